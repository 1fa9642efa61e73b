"""A further type of genotype is one class and one row: reading, writing and every command then work for it."""

import json
from dataclasses import dataclass, field, replace

import pytest

from genotypes import GenotypeError, load, picture, read, write
from genotypes.__main__ import main
from genotypes.draw.dag_svg import list_svg
from genotypes.faults import Fault, quote
from genotypes.formats.registry import TYPES, GenotypeType
from genotypes.formats.validation import LocatedGenotype
from genotypes.types.genotype import architecture_hash


@dataclass(frozen=True)
class Widths:
    """The width of every layer."""

    widths: tuple[int, ...]
    name: str | None = field(default=None, compare=False)

    def __str__(self):
        return "widths " + "-".join(map(str, self.widths))

    @property
    def hash(self):
        return architecture_hash(str(self))

    def named(self, name):
        return replace(self, name=name)

    def entries(self):
        return {f"layer {index}": str(width) for index, width in enumerate(self.widths)}


def from_fields(document):
    widths = document.get("widths")
    if not isinstance(widths, list) or not all(isinstance(width, int) for width in widths):
        raise GenotypeError([Fault("widths", quote(widths), "a list of numbers")])
    return Widths(tuple(widths))


def from_text(text, source):
    try:
        return LocatedGenotype(Widths(tuple(map(int, text.split()[1].split("-")))), {})
    except (IndexError, ValueError):
        raise GenotypeError([Fault("text", quote(text), "widths a-b-c")], source) from None


ROW = GenotypeType(
    type=Widths,
    fields=lambda genotype: {"widths": list(genotype.widths)},
    names=("widths",),
    read_fields=from_fields,
    describe=str,
    matches=lambda text: text.lstrip().startswith("widths "),
    find=lambda text: (),
    read=from_text,
    notations={"text": str},
    entries=Widths.entries,
    outline=str,
    pictures={".svg": lambda genotype, theme: list_svg(genotype.name or str(genotype), genotype.entries())},
    embeddable=False,
    warnings=lambda genotype: [("widths", "a width of 1")] if 1 in genotype.widths else [],
    differences=TYPES["nasbench201-genotype"].differences,
    neighbours=lambda genotype, rng, ops: (Widths((*genotype.widths, width)) for width in (8, 16)),
)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setitem(TYPES, "widths-genotype", ROW)
    path = tmp_path / "genotype.json"
    path.write_text(write(Widths((8, 1), "mine"), extra={"searched": {"seed": 1}}))
    return path


def test_it_is_read_and_written(file):
    assert load(file) == load(file.parent) == load("widths 8-1") == read("widths 8-1\n") == Widths((8, 1))
    assert load(file).name == "mine" and json.loads(file.read_text())["format"] == "widths-genotype"
    assert picture(load(file)).startswith("<svg")
    file.write_text(file.read_text().replace("[8, 1]", '"8"'))
    with pytest.raises(GenotypeError, match=r"genotype.json: line 9, widths: found '8', allowed a list of numbers"):
        load(file)


def test_every_command_takes_it(file, capsys, tmp_path):
    def run(*arguments):
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    assert run("show", file)[1].count("widths 8-1\n") == 1
    assert run("check", file)[2] == f"warning: {file}: line 9, widths: a width of 1\n"
    assert run("convert", file, "--to", "text") == (0, "widths 8-1\n", "")
    assert "--to: found triples, allowed json or text" in run("convert", file, "--to", "triples")[2]
    assert run("mutate", file, "--count", 2)[1].split("\n")[:2] == ["widths 8-1-8", "widths 8-1-16"]
    code, out, _ = run("diff", file, "widths 8-2")
    assert code == 1 and out.split()[-3:] == ["1", "1", "2"]
    assert run("draw", file, "--output", tmp_path / "a.svg")[0] == 0 and (tmp_path / "a.svg").is_file()
    assert run("diff", file, "DARTS_V1")[0] == 2
