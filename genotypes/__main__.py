"""Genotypes on the command line: list, show, check, diff, convert, mutate, draw, schema."""

import contextlib
import io
import os
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from genotypes.atomic_write import write_atomically
from genotypes.commands import Check, Convert, Diff, Draw, List, Mutate, Schema, Show
from genotypes.diff import differences, differing_entries
from genotypes.draw.png import png
from genotypes.draw.svg import dot, outline, svg
from genotypes.formats.json_form import SCHEMA, schema_from, write
from genotypes.formats.registry import Genotype, describe, entries, find_with_lines, picture
from genotypes.formats.registry import write as write_kind
from genotypes.formats.validation import line_of
from genotypes.load import FIGURES, rows
from genotypes.neighbours import nasbench201_neighbours, neighbours
from genotypes.types.cell import CellGenotype, Fault, GenotypeError, quote, warnings
from genotypes.types.nasbench201 import NASBench201Genotype

LIMITS = {"channels": (2, 4096), "layers": (1, 1000), "size": (1, 4096), "classes": (1, 1_000_000)}

LEAST_WIDTH = 100
"""Of a table, in characters: where the terminal is narrower, it breaks lines, but no figure is cut."""


def run_list(command: List, console: Console) -> int:
    """Print the table."""
    table = Table("name", box=box.SIMPLE)
    heads = ("CIFAR-10\nerror %", "std", "params\nM", "GPU-days", "ImageNet\nerror %", "exact\nparameters")
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows(command.sort):
        figures = [f"{row.figures.get(column, '')}{'*' if column in row.means else ''}" for column in FIGURES]
        table.add_row(row.name, *figures, f"{row.exact:,}")
    console.print(table)
    console.print("Reported test errors; exact parameters of the CIFAR-10 network of 36 channels and 20 cells.")
    console.print("* the mean of a method's searches, not this cell's own figure")
    return 0


def run_show(command: Show, console: Console) -> int:
    """Print the drawing and what it costs."""
    faults = [
        Fault(f"--{name}", str(getattr(command, name)), f"{least} to {most}")
        for name, (least, most) in LIMITS.items()
        if getattr(command, name) is not None and not least <= getattr(command, name) <= most
    ]
    if faults:
        raise GenotypeError(faults, "show")
    reading = find_with_lines(command.genotype)
    genotype = reading.genotype
    console.print(f"{genotype.name or 'without a name'}, hash {genotype.hash}")
    for key in ("paper", "source", "note"):
        value = reading.extra.get(key)
        if isinstance(value, str) and value.isprintable():
            console.print(value)
    console.print()
    if isinstance(genotype, CellGenotype):
        console.print(outline(genotype))
        _print_cost(genotype, command, "cells", 36, 20, console)
        return 0
    for field, entry in entries(genotype).items():
        console.print(f"  {field}  {entry}")
    console.print()
    if isinstance(genotype, NASBench201Genotype):
        _print_cost(genotype, command, "cells in each stage", 16, 5, console)
    return 0


def _print_cost(genotype: Genotype, command: Show, what: str, channels: int, layers: int, console: Console) -> None:
    """Print parameters and multiply-adds, at the given width and depth where the command names none."""
    # Here, so that the commands that count nothing start without waiting for torch.
    from supernet.cost.network import count_unbuilt
    from supernet.shapes import ImageShape
    from supernet.spaces.darts.space import DARTSSpace
    from supernet.spaces.nasbench201 import NASBench201Space

    channels, layers = command.channels or channels, command.layers or layers
    shape = ImageShape(3, command.size, command.classes)
    if isinstance(genotype, CellGenotype):
        space: DARTSSpace | NASBench201Space = DARTSSpace(shape, channels, layers, stem=command.stem)
    else:
        space = NASBench201Space(shape, channels, layers)
    cost = count_unbuilt(lambda: space.network(genotype), shape)
    console.print(
        f"{layers} {what}, {channels} channels, images of {command.size}x{command.size}, "
        f"{command.classes} classes, without auxiliary head:"
    )
    numbers = {"parameters": cost.parameters, "multiply-adds": cost.multiply_adds}
    for name, number in numbers.items():
        note = "   (convolutions, linear layers)" if name == "multiply-adds" else ""
        console.print(f"{name:14} {number:>15,}   {number / 1e6:8.2f} M{note}")


def run_check(command: Check, console: Console) -> int:
    """Print the faults and warnings of each file to standard error, and what is in order to standard output."""
    if not command.files:
        raise GenotypeError([Fault("FILE", "none", "at least one")], "check")
    faulty = 0
    for file in command.files:
        try:
            reading = find_with_lines(file)
        except GenotypeError as error:
            _print_faults(error)
            faulty += 1
            continue
        genotype = reading.genotype
        for field, text in warnings(genotype) if isinstance(genotype, CellGenotype) else []:
            line = line_of(reading.lines, field)
            _complain("warning", f"{file}: line {line}, {field}: {text}")
        if isinstance(genotype, NASBench201Genotype) and not genotype.connected:
            _complain("warning", f"{file}: no path from the input to the output")
        console.print(f"{file}: ok, hash {genotype.hash}")
    return 2 if faulty else 0


def run_diff(command: Diff, console: Console) -> int:
    """Print the differences as a table; nothing where there is none."""
    first, second = (find_with_lines(name).genotype for name in (command.first, command.second))
    if type(first) is not type(second):
        raise GenotypeError([Fault(command.second, type(second).__name__, type(first).__name__)], "diff")
    cells = isinstance(first, CellGenotype)
    found = differences(first, second) if cells else differing_entries(entries(first), entries(second))
    if found:
        table = Table("", command.first, command.second, box=box.SIMPLE)
        for difference in found:
            table.add_row(difference.field, difference.first or "-", difference.second or "-")
        console.print(table)
    return 1 if found else 0


def run_convert(command: Convert, console: Console) -> int:
    """Print or write the genotype."""
    reading = find_with_lines(command.genotype)
    genotype = reading.genotype
    # The schema is named as it is seen from the folder that is written to.
    folder = command.output.parent if command.output else Path()
    extra = {**reading.extra, **schema_from(folder)}
    if isinstance(genotype, CellGenotype):
        text = write(genotype, command.to, extra)
    elif command.to in ("json", "text"):
        text = write_kind(genotype, extra) if command.to == "json" else f"{describe(genotype)}\n"
    else:
        raise GenotypeError([Fault("--to", command.to, "json or text; it is no cell of the DARTS family")], "convert")
    if command.output is None:
        sys.stdout.write(text)
        return 0
    _write(command.output, text, command.force)
    return 0


def run_mutate(command: Mutate, console: Console) -> int:
    """Print the neighbours in their family's notation."""
    genotype = find_with_lines(command.genotype).genotype
    if command.count < 1:
        raise GenotypeError([Fault("--count", str(command.count), "1 or more")], "mutate")
    rng = random.Random(command.seed)
    if isinstance(genotype, CellGenotype):
        others: Iterator[Genotype] = neighbours(genotype, rng, command.ops)
    elif isinstance(genotype, NASBench201Genotype):
        others = nasbench201_neighbours(genotype, rng)
    else:
        raise GenotypeError([Fault("genotype", type(genotype).__name__, "cells, or NAS-Bench-201")], "mutate")
    found = list(islice(others, command.count))
    if len(found) < command.count:
        allowed = f"at most {len(found)}: {command.genotype} has no more neighbours"
        raise GenotypeError([Fault("--count", str(command.count), allowed)], "mutate")
    sys.stdout.writelines(f"{describe(neighbour)}\n" for neighbour in found)
    return 0


def run_draw(command: Draw, console: Console) -> int:
    """Write the picture."""
    genotype = find_with_lines(command.genotype).genotype
    suffix = command.output.suffix.lower()
    cells = isinstance(genotype, CellGenotype)
    if suffix == ".svg":
        content = svg(genotype, command.theme) if cells else picture(genotype)
    elif suffix == ".dot" and cells:
        content = dot(genotype)
    elif suffix == ".png" and cells:
        content = png(genotype, command.theme)
    else:
        allowed = ".svg, .dot or .png" if cells else ".svg; it is no cell of the DARTS family"
        raise GenotypeError([Fault("--output", repr(suffix), allowed)], str(command.output))
    _write(command.output, content, True)
    return 0


def _write(path: Path, content: str | bytes, force: bool) -> None:
    try:
        write_atomically(path, content.encode() if isinstance(content, str) else content, replace=force)
    except FileExistsError:
        fault = Fault("--output", "a file that is there already", "one that is not, or --force")
        raise GenotypeError([fault], str(path)) from None
    except (OSError, ValueError) as error:
        fault = Fault("--output", quote(getattr(error, "strerror", None) or str(error)), "a file that can be written")
        raise GenotypeError([fault], str(path)) from None


def run_schema(command: Schema, console: Console) -> int:
    """Print the schema's file."""
    sys.stdout.write(SCHEMA.read_text(encoding="utf-8"))
    return 0


COMMANDS: dict[str, tuple[type, Callable[..., int]]] = {
    "list": (List, run_list),
    "show": (Show, run_show),
    "check": (Check, run_check),
    "diff": (Diff, run_diff),
    "convert": (Convert, run_convert),
    "mutate": (Mutate, run_mutate),
    "draw": (Draw, run_draw),
    "schema": (Schema, run_schema),
}


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit code: 0, or 1 where ``diff`` finds a difference, or 2 for a mistake."""
    sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    console.width = max(console.width, LEAST_WIDTH)
    try:
        command = _parse(arguments)
        if command is not None:
            code = dict(COMMANDS.values())[type(command)](command, console)
            sys.stdout.flush()
            return code
    except GenotypeError as error:
        _print_faults(error)
    except BrokenPipeError:
        # The reader went away, as `head` does: leave, and let nothing be flushed into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 2


def _parse(arguments: Sequence[str]) -> object | None:
    """The command, or None after a complaint of one line about the command line."""
    kinds = {name: kind for name, (kind, _) in COMMANDS.items()}
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            options = {"prog": "python -m genotypes", "description": __doc__, "config": (tyro.conf.FlagCreatePairsOff,)}
            return tyro.extras.subcommand_cli_from_dict(kinds, args=arguments, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
    # tyro draws a box: a title, then paragraphs between bars, of characters that depend on the terminal.
    lines = [line.strip("│╭╮╰╯ ") for line in written.getvalue().splitlines()]
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split("[─-]{5,}", " ".join(lines))]
    _complain("error", "; ".join(filter(None, paragraphs[1:])))
    return None


def _print_faults(error: GenotypeError) -> None:
    for fault in error.faults:
        _complain("error", f"{error.source}: {fault}")


def _complain(kind: str, text: str) -> None:
    sys.stderr.write(f"{kind}: {' '.join(text.splitlines())}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
