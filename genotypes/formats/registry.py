"""All types of genotype: one row each, with everything that commands and runs do with a genotype.

A new type is a file in ``genotypes/types``, a row of ``TYPES``, and its fields in ``genotype.schema.json``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from genotypes.diff import Difference, differences, differing_entries
from genotypes.draw.dag_svg import dag_svg, list_svg
from genotypes.draw.png import png
from genotypes.draw.svg import dot, outline, svg
from genotypes.faults import Fault, GenotypeError
from genotypes.formats import cell_json
from genotypes.formats.json_document import write_document
from genotypes.formats.namedtuple_text import find_texts, is_identifier, read_text, to_text
from genotypes.formats.spans import Span
from genotypes.formats.validation import LocatedGenotype
from genotypes.neighbours import neighbours
from genotypes.types import cell, choices, nasbench101, nasbench201, recurrent, vision_transformer
from genotypes.types.genotype import Genotype


def _nowhere(text: str) -> Iterable[Span]:
    return ()


def _entries_outline(genotype: Any) -> str:
    """Return one line for each entry."""
    return "\n".join([*(f"  {field}  {entry}" for field, entry in genotype.entries().items()), ""])


def _no_warnings(genotype: Any) -> list[tuple[str, str]]:
    return []


def _entries_differences(first: Any, second: Any) -> list[Difference]:
    return differing_entries(first.entries(), second.entries())


@dataclass(frozen=True)
class GenotypeType:
    """One type of genotype. All functions but the readers take a genotype first.

    The defaults are those of a type that is shown by its entries.

    Attributes:
        type: the class of its genotypes.
        fields: -> the fields of its JSON file, beside format, version and name.
        names: of these fields.
        read_fields: JSON document -> genotype; raises ``GenotypeError`` with all faults.
        describe: -> the architecture on one line, in the notation of its papers.
        matches: text -> whether it is meant as this notation.
        read: (text, its name in errors) -> genotype with lines.
        notations: form -> genotype as text in that form, beside JSON.
        entries: -> field -> value, in order.
        pictures: a file's suffix -> (genotype, theme) -> picture.
        find: text -> the parts that hold this notation, in any text such as a log.
        outline: -> the genotype as text over several lines.
        embeddable: whether the SVG can be put into an HTML page as it is: its style rules name its own class.
        warnings: -> (field, description) of valid but unusual parts.
        differences: (first, second) -> their differences.
        neighbours: (genotype, generator, operations or None for all) -> genotypes that differ in one decision; None
            where the genotype does not tell what else could have been chosen.
    """

    type: type
    fields: Callable[[Any], Mapping[str, Any]]
    names: tuple[str, ...]
    read_fields: Callable[[Mapping[str, Any]], Genotype]
    describe: Callable[[Any], str]
    matches: Callable[[str], bool]
    read: Callable[[str, str], LocatedGenotype]
    notations: Mapping[str, Callable[[Any], str]]
    entries: Callable[[Any], Mapping[str, str]]
    pictures: Mapping[str, Callable[[Any, str], str | bytes]]
    find: Callable[[str], Iterable[Span]] = _nowhere
    outline: Callable[[Any], str] = _entries_outline
    embeddable: bool = False
    warnings: Callable[[Any], list[tuple[str, str]]] = _no_warnings
    differences: Callable[[Any, Any], list[Difference]] = _entries_differences
    neighbours: Callable[[Any, Random, Sequence[str] | None], Iterator[Any]] | None = None


def row_of(genotype: Genotype) -> GenotypeType:
    """Return the row of a genotype's type."""
    return next(row for row in TYPES.values() if isinstance(genotype, row.type))


def describe(genotype: Genotype) -> str:
    """Return the architecture on one line, in its family's notation; choices as JSON, label -> names."""
    return row_of(genotype).describe(genotype)


def picture(genotype: Genotype) -> str:
    """Return the genotype as SVG that follows the viewer's light or dark setting."""
    content = row_of(genotype).pictures[".svg"](genotype, "auto")
    assert isinstance(content, str)
    return content


def forms(genotype: Genotype) -> tuple[str, ...]:
    """Return the forms in which ``write`` can write a genotype."""
    return ("json", *row_of(genotype).notations)


def write(genotype: Genotype, form: str = "json", extra: Mapping[str, Any] | None = None) -> str:
    """Return the content of a genotype's file.

    Args:
        genotype: to write, with its name where the form can hold it.
        form: one of ``forms``.
        extra: further JSON fields to keep.

    Raises:
        GenotypeError: where the form does not exist for this type, or cannot express the genotype.
    """
    row = row_of(genotype)
    if form == "json":
        format_ = next(name for name, other in TYPES.items() if other is row)
        return write_document(format_, genotype, row.fields(genotype), extra)
    if form not in row.notations:
        raise GenotypeError([Fault("form", repr(form), " or ".join(forms(genotype)))])
    return f"{row.notations[form](genotype)}\n"


def _without_lines(read: Callable[[str, str], Genotype]) -> Callable[[str, str], LocatedGenotype]:
    """Return a reader that has no lines of fields; faults without a line are those of the first one."""

    def read_line(text: str, source: str) -> LocatedGenotype:
        try:
            return LocatedGenotype(read(text, source), {})
        except GenotypeError as error:
            raise error.at_lines({}, default=1) from None

    return read_line


def _cell_notation(form: str) -> Callable[[cell.CellGenotype], str]:
    """Return the writer of a form of the namedtuple notation, with ``NAME =`` before it where there is a name."""

    def written(genotype: cell.CellGenotype) -> str:
        head = f"{genotype.name} = " if genotype.name and is_identifier(genotype.name) else ""
        return f"{head}{to_text(genotype, form)}"

    return written


def _cell_entries(genotype: cell.CellGenotype) -> dict[str, str]:
    """Return the edges into each node, and each cell's concatenation."""
    entries = {}
    for label in cell.LABELS:
        wiring: cell.Cell = getattr(genotype, label)
        for index, edges in enumerate(wiring.nodes):
            entries[f"{label}.nodes[{index}]"] = ", ".join(f"{edge.op} from {edge.source}" for edge in edges)
        entries[f"{label}.concat"] = ", ".join(map(str, wiring.concat))
    return entries


def _graph_svg(genotype: Any, theme: str) -> str:
    return dag_svg(genotype.name or describe(genotype), *genotype.graph())


def _entries_svg(genotype: Any, theme: str) -> str:
    return list_svg(genotype.name or describe(genotype), genotype.entries())


def _choices_svg(genotype: choices.ChoicesGenotype, theme: str) -> str:
    entries = {label: " + ".join(names) for label, names in genotype.picks}
    return list_svg(genotype.name or describe(genotype), entries)


TYPES: dict[str, GenotypeType] = {
    "cell-genotype": GenotypeType(
        type=cell.CellGenotype,
        fields=cell_json.cell_fields,
        names=("normal", "reduce"),
        read_fields=cell_json.read_cells,
        describe=to_text,
        matches=lambda text: False,
        find=find_texts,
        read=read_text,
        notations={form: _cell_notation(form) for form in ("text", "triples", "nested", "edges")},
        entries=_cell_entries,
        outline=outline,
        pictures={".svg": svg, ".dot": lambda genotype, theme: dot(genotype), ".png": png},
        embeddable=True,
        warnings=cell.warnings,
        differences=differences,
        neighbours=neighbours,
    ),
    "nasbench201-genotype": GenotypeType(
        type=nasbench201.NASBench201Genotype,
        fields=nasbench201.NASBench201Genotype.fields,
        names=("architecture",),
        read_fields=nasbench201.from_fields,
        describe=str,
        matches=nasbench201.is_string,
        find=nasbench201.find_strings,
        read=_without_lines(nasbench201.from_string),
        notations={"text": str},
        entries=nasbench201.NASBench201Genotype.entries,
        pictures={".svg": _graph_svg},
        warnings=nasbench201.NASBench201Genotype.warnings,
        neighbours=nasbench201.NASBench201Genotype.neighbours,
    ),
    "nasbench101-genotype": GenotypeType(
        type=nasbench101.NASBench101Genotype,
        fields=nasbench101.NASBench101Genotype.fields,
        names=("architecture",),
        read_fields=nasbench101.from_fields,
        describe=str,
        matches=nasbench101.is_text,
        read=_without_lines(nasbench101.from_text),
        notations={"text": str},
        entries=nasbench101.NASBench101Genotype.entries,
        pictures={".svg": _graph_svg},
        warnings=nasbench101.NASBench101Genotype.warnings,
    ),
    "recurrent-genotype": GenotypeType(
        type=recurrent.RecurrentGenotype,
        fields=recurrent.RecurrentGenotype.fields,
        names=("nodes", "concat"),
        read_fields=recurrent.from_fields,
        describe=str,
        matches=recurrent.is_recurrent_text,
        find=recurrent.find_recurrent_texts,
        read=_without_lines(recurrent.from_recurrent_text),
        notations={"text": str},
        entries=recurrent.RecurrentGenotype.entries,
        pictures={".svg": _graph_svg},
    ),
    "vision-transformer-genotype": GenotypeType(
        type=vision_transformer.VisionTransformerGenotype,
        fields=vision_transformer.VisionTransformerGenotype.fields,
        names=(*vision_transformer.SIZES, "blocks"),
        read_fields=vision_transformer.from_fields,
        describe=str,
        matches=vision_transformer.is_text,
        read=_without_lines(vision_transformer.from_text),
        notations={"text": str},
        entries=vision_transformer.VisionTransformerGenotype.entries,
        pictures={".svg": _entries_svg},
    ),
    "choices-genotype": GenotypeType(
        type=choices.ChoicesGenotype,
        fields=choices.ChoicesGenotype.fields,
        names=("choices",),
        read_fields=choices.from_fields,
        describe=choices.ChoicesGenotype.describe,
        matches=choices.is_choices_text,
        read=_without_lines(choices.from_choices_text),
        notations={"text": choices.ChoicesGenotype.describe},
        entries=choices.ChoicesGenotype.entries,
        pictures={".svg": _choices_svg},
    ),
}
"""Format -> type of genotype."""

FORMS = tuple(dict.fromkeys(("json", *(form for row in TYPES.values() for form in row.notations))))
"""All forms that a genotype can be written in; cells in every one of them."""
