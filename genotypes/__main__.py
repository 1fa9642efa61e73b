"""Genotypes on the command line: list, show, check, diff, convert, mutate, draw, schema."""

import contextlib
import io
import os
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from genotypes.atomic_write import write_atomically
from genotypes.commands import Check, Convert, Diff, Draw, List, Mutate, Schema, Show
from genotypes.errors import InputError
from genotypes.faults import Fault, GenotypeError, line_of, quote
from genotypes.formats.json_document import SCHEMA, schema_from
from genotypes.formats.registry import TYPES, describe, forms, row_of, write
from genotypes.formats.schema import schema
from genotypes.library import FIGURES, rows
from genotypes.load import load, load_with_lines
from genotypes.parsing import parsed
from genotypes.types.cell import CellGenotype
from genotypes.types.genotype import Genotype
from genotypes.types.nasbench201 import NASBench201Genotype

LIMITS = {"channels": (2, 4096), "layers": (1, 1000), "size": (1, 4096), "classes": (1, 1_000_000)}

MIN_WIDTH = 100
"""Characters of a table's line: a narrower terminal wraps the lines, but no figure is cut."""


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
    console.print("* the mean over several searches of the method, not this cell's own figure")
    return 0


def run_show(command: Show, console: Console) -> int:
    """Print the genotype as text, and the cost of its network."""
    faults = [
        Fault(f"--{name}", str(getattr(command, name)), f"{least} to {most}")
        for name, (least, most) in LIMITS.items()
        if getattr(command, name) is not None and not least <= getattr(command, name) <= most
    ]
    if faults:
        raise GenotypeError(faults, "show")
    located = load_with_lines(command.genotype)
    genotype = located.genotype
    console.print(f"{_printable(genotype.name or 'without a name')}, hash {genotype.hash}")
    for key in ("paper", "source", "note"):
        value = located.extra.get(key)
        if isinstance(value, str) and value.isprintable():
            console.print(value)
    console.print()
    console.print(row_of(genotype).outline(genotype))
    if isinstance(genotype, CellGenotype | NASBench201Genotype):
        _print_cost(genotype, command, console)
    return 0


def _print_cost(genotype: CellGenotype | NASBench201Genotype, command: Show, console: Console) -> None:
    """Print parameters and multiply-adds of the network of the given width and depth, or of the published one."""
    # Imported here, so that commands without these figures do not wait for torch.
    from supernet.cost.network import count_unbuilt
    from supernet.shapes import ImageShape
    from supernet.spaces.darts.space import DARTSSpace
    from supernet.spaces.nasbench201 import NASBench201Space

    shape = ImageShape(3, command.size, command.classes)
    if isinstance(genotype, CellGenotype):
        channels, layers, unit = command.channels or 36, command.layers or 20, "cells"
        build = partial(DARTSSpace(shape, channels, layers, stem=command.stem).network, genotype)
        cost = count_unbuilt(build, shape)
    else:
        channels, layers, unit = command.channels or 16, command.layers or 5, "cells in each stage"
        cost = count_unbuilt(partial(NASBench201Space(shape, channels, layers).network, genotype), shape)
    console.print(
        f"{layers} {unit}, {channels} channels, images of {command.size}x{command.size}, "
        f"{command.classes} classes, without auxiliary head:"
    )
    numbers = {"parameters": cost.parameters, "multiply-adds": cost.multiply_adds}
    for name, number in numbers.items():
        note = "   (convolutions, linear layers)" if name == "multiply-adds" else ""
        console.print(f"{name:14} {number:>15,}   {number / 1e6:8.2f} M{note}")


def run_check(command: Check, console: Console) -> int:
    """Print the faults and warnings of each file to standard error, and the names of valid files to standard output."""
    if not command.files:
        raise GenotypeError([Fault("FILE", "none", "at least one")], "check")
    faulty = 0
    for file in command.files:
        try:
            located = load_with_lines(file)
        except GenotypeError as error:
            _print_faults(error)
            faulty += 1
            continue
        genotype = located.genotype
        for field, text in row_of(genotype).warnings(genotype):
            position = f"line {line_of(located.lines, field)}, {field}: " if field else ""
            _complain("warning", f"{file}: {position}{text}")
        console.print(f"{_printable(file)}: ok, hash {genotype.hash}")
    return 2 if faulty else 0


def run_diff(command: Diff, console: Console) -> int:
    """Print the differences as a table; nothing if there are none."""
    first, second = load(command.first), load(command.second)
    row = row_of(first)
    if row is not row_of(second):
        raise GenotypeError([Fault(command.second, type(second).__name__, type(first).__name__)], "diff")
    found = row.differences(first, second)
    if found:
        table = Table("", _printable(command.first), _printable(command.second), box=box.SIMPLE)
        for difference in found:
            table.add_row(difference.field, difference.first or "-", difference.second or "-")
        console.print(table)
    return 1 if found else 0


def run_convert(command: Convert, console: Console) -> int:
    """Print or write the genotype."""
    located = load_with_lines(command.genotype)
    genotype = located.genotype
    if command.to not in forms(genotype):
        raise GenotypeError([Fault("--to", command.to, " or ".join(forms(genotype)))], "convert")
    # The path of the schema is relative to the folder of the written file.
    folder = command.output.parent if command.output else Path()
    text = write(genotype, command.to, {**located.extra, **schema_from(folder)})
    if command.output is None:
        sys.stdout.write(text)
        return 0
    _write(command.output, text, command.force)
    return 0


def run_mutate(command: Mutate, console: Console) -> int:
    """Print neighbours in the notation of their type."""
    genotype = load(command.genotype)
    if command.count < 1:
        raise GenotypeError([Fault("--count", str(command.count), "1 or more")], "mutate")
    neighbours = row_of(genotype).neighbours
    if neighbours is None:
        allowed = " or ".join(other.type.__name__ for other in TYPES.values() if other.neighbours)
        raise GenotypeError([Fault("genotype", type(genotype).__name__, allowed)], "mutate")
    found: list[Genotype] = list(islice(neighbours(genotype, random.Random(command.seed), command.ops), command.count))
    if len(found) < command.count:
        allowed = f"at most {len(found)}: {command.genotype} has no more neighbours"
        raise GenotypeError([Fault("--count", str(command.count), allowed)], "mutate")
    sys.stdout.writelines(f"{describe(neighbour)}\n" for neighbour in found)
    return 0


def run_draw(command: Draw, console: Console) -> int:
    """Write the picture."""
    genotype = load(command.genotype)
    pictures = row_of(genotype).pictures
    suffix = command.output.suffix.lower()
    if suffix not in pictures:
        *others, last = pictures
        allowed = f"{', '.join(others)} or {last}" if others else f"{last}, of {type(genotype).__name__}"
        raise GenotypeError([Fault("--output", repr(suffix), allowed)], str(command.output))
    _write(command.output, pictures[suffix](genotype, command.theme), True)
    return 0


def _write(path: Path, content: str | bytes, force: bool) -> None:
    try:
        write_atomically(path, content.encode() if isinstance(content, str) else content, replace=force)
    except FileExistsError:
        fault = Fault("--output", "an existing file", "a new one, or --force")
        raise GenotypeError([fault], str(path)) from None
    except (OSError, ValueError) as error:
        fault = Fault("--output", quote(getattr(error, "strerror", None) or str(error)), "a file that can be written")
        raise GenotypeError([fault], str(path)) from None


def run_schema(command: Schema, console: Console) -> int:
    """Print the schema, or write its file anew."""
    if command.update:
        write_atomically(SCHEMA, schema().encode())
    else:
        sys.stdout.write(schema())
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
    _open_streams()
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    console.width = max(console.width, MIN_WIDTH)
    try:
        command = _parse(arguments)
        if command is not None:
            code = dict(COMMANDS.values())[type(command)](command, console)
            sys.stdout.flush()
            return code
    except GenotypeError as error:
        _print_faults(error)
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does.
        _discard_output()
        return 0
    except OSError as error:
        _discard_output()
        _complain("error", f"standard output: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return 2


def _open_streams() -> None:
    """Let output to a closed stream be discarded, and output that the terminal's encoding lacks be escaped."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Discard what standard output still buffers, so that the interpreter does not fail to flush it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments: Sequence[str]) -> object | None:
    """Return the command, or None after an error message of one line about the command line."""
    commands: dict[str, Callable[..., Any]] = {name: options for name, (options, _) in COMMANDS.items()}
    try:
        return parsed(
            lambda: tyro.extras.subcommand_cli_from_dict(
                commands,
                args=arguments,
                prog="python -m genotypes",
                description=__doc__,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
        )
    except InputError as error:
        _complain("error", str(error))
        return None
    except SystemExit:
        sys.stdout.flush()
        raise


def _print_faults(error: GenotypeError) -> None:
    for fault in error.faults:
        _complain("error", f"{error.source}: {fault}")


def _complain(severity: str, text: str) -> None:
    line = " ".join(text.splitlines())
    with contextlib.suppress(OSError):  # as on a full disk
        sys.stderr.write(f"{severity}: {_printable(line)}\n")


def _printable(text: str) -> str:
    """Return a text with control characters and bytes outside Unicode, as of a file's name, escaped."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
