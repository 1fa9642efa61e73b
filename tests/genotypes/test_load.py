import json
import os
from pathlib import Path

import pytest

from genotypes import (
    ChoicesGenotype,
    Edge,
    GenotypeError,
    NASBench201Genotype,
    RecurrentGenotype,
    describe,
    folder_of,
    library_entry,
    library_names,
    load,
    to_json,
    to_text,
    write,
)
from genotypes.__main__ import main
from genotypes.formats.registry import TYPES
from genotypes.types.nasbench101 import NASBench101Genotype
from genotypes.types.vision_transformer import VIT_B_16

ONE_OF_EACH = [
    load("PDARTS"),
    NASBench201Genotype(("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none")),
    NASBench101Genotype([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ("maxpool3x3",)),
    RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1)), (1, 2)),
    VIT_B_16,
    ChoicesGenotype({"kernel": ["3x3"], "inputs": ["stem", "block"]}),
]


def test_names_and_aliases():
    assert {"DARTS_V1", "DARTS_V2", "NASNet_A", "AmoebaNet_A", "PC_DARTS_cifar", "PDARTS", "GDAS_V1"} <= set(
        library_names()
    )
    assert load("DARTS") == load("DARTS_V2")


@pytest.mark.parametrize("name", library_names())
def test_library_entries_say_where_they_are_from(name):
    entry = library_entry(name)
    assert entry["name"] == name and entry["paper"] and entry["source"] and entry["reported"]["source"]


def test_unknown_name_gives_the_nearest():
    with pytest.raises(GenotypeError, match=r"'DARTS_V2' \(nearest\)"):
        load("DARTS_v2")


def test_files_and_folders(tmp_path):
    genotype = load("PDARTS")
    (tmp_path / "genotype.json").write_text(to_json(genotype))
    (tmp_path / "cell.txt").write_text(to_text(genotype))
    assert load(tmp_path) == load(tmp_path / "genotype.json") == load(str(tmp_path / "cell.txt")) == genotype


def test_missing_and_unreadable_files_are_named(tmp_path):
    binary = tmp_path / "bytes.json"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.json", binary):
        with pytest.raises(GenotypeError, match=path.name):
            load(path)


def test_files_as_other_programs_write_them(tmp_path):
    path = tmp_path / "cell.json"
    for content in ("\ufeff" + to_json(load("PDARTS")), to_json(load("PDARTS")).replace("\n", "\r\n")):
        path.write_bytes(content.encode())
        assert load(path) == load("PDARTS")
        path.write_bytes(content.replace("sep_conv_3x3", "sep_conv", 1).encode())
        with pytest.raises(GenotypeError, match=r"line 1\d, normal.nodes\[1\]\[1\].op"):
            load(path)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", ".", "/dev/null", "nowhere/cell"])
def test_names_that_are_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenotypeError):
        load(name)


def test_a_file_of_any_size_is_refused_at_once(tmp_path):
    path = tmp_path / "huge.json"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(GenotypeError, match="at most"):
        load(path)


def test_every_alias_means_one_genotype():
    aliases = [alias for name in library_names() for alias in library_entry(name).get("aliases", ())]
    assert len(set(aliases)) == len(aliases) and not set(aliases) & set(library_names())
    assert load("DrNAS").name == "DrNAS_cifar10" and load("SDARTS_ADV").name == "SDARTS_c10_s5_pgd"


def test_no_figure_is_from_memory():
    for name in library_names():
        assert "recall" not in str(library_entry(name))


@pytest.mark.parametrize("genotype", ONE_OF_EACH, ids=lambda genotype: type(genotype).__name__)
def test_every_type_from_files_and_folders(genotype, tmp_path):
    assert {type(other) for other in ONE_OF_EACH} == {row.type for row in TYPES.values()}
    (tmp_path / "genotype.json").write_text(write(genotype))
    (tmp_path / "text").write_text(describe(genotype))
    assert load(tmp_path) == load(tmp_path / "genotype.json") == load(str(tmp_path / "text")) == genotype


def test_an_architecture_string():
    assert load(f"  {ONE_OF_EACH[1]}") == ONE_OF_EACH[1]


@pytest.mark.parametrize("genotype", ONE_OF_EACH, ids=lambda genotype: type(genotype).__name__)
def test_an_argument_may_be_the_genotype_itself(genotype):
    assert load(describe(genotype)) == load(f"  {describe(genotype)}\n") == load(write(genotype)) == genotype


@pytest.mark.parametrize(
    "text", ["Genotype(normal=[('sep_conv_3x3', 1)", "{", "|none~0|", "MINE = Genotype(recurrent=["]
)
def test_a_torn_argument_is_no_file_name(text):
    with pytest.raises(GenotypeError) as caught:
        load(text)
    assert "no such file" not in str(caught.value) and "AmoebaNet" not in str(caught.value)


@pytest.fixture
def run(tmp_path):
    """A run of three epochs whose folder has an unusual name."""
    folder = tmp_path / "runs [" / "a] ü:@x"
    folder.mkdir(parents=True)
    rows = [{"epoch": epoch, "genotype": describe(load(name))} for epoch, name in enumerate(("PDARTS", "DARTS_V1"), 1)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{}\n[1]\nnull\n{"epoch": 3, "geno')
    return folder, rows


def test_an_epoch_of_a_run(run):
    folder, rows = run
    for _ in range(2):
        assert load(f"{folder}@1") == load("PDARTS") and load(f"{folder}@2") == load("DARTS_V1")
        assert load(f"{folder}@2").name == f"{folder.name}@2"
        with pytest.raises(GenotypeError, match="epoch: found 3, allowed 1 to 2"):
            load(f"{folder}@3")
        (folder / "log.jsonl").unlink(missing_ok=True)
        (folder / "genotypes.json").write_text(json.dumps(rows, indent=2))
    assert load(folder / "genotypes.json") == load("DARTS_V1") == load(f"{folder / 'genotypes.json'}@2")
    with pytest.raises(GenotypeError, match="file: found no genotype.json, allowed the folder of a finished search"):
        load(folder)
    with pytest.raises(GenotypeError, match="no such file"):
        load(f"{folder}@nothing/x")
    assert folder_of(str(folder)) == folder_of(f"{folder}@2") == folder_of(str(folder / "genotypes.json")) == folder


def test_one_of_several_named_genotypes(tmp_path):
    path = tmp_path / "genotypes.py"
    lines = [f"{name} = {to_text(load(name))}\n" for name in ("PDARTS", "DARTS_V1", "DARTS_V2")]
    head = "from collections import namedtuple\nGenotype = namedtuple('Genotype', 'normal normal_concat reduce')\n"
    path.write_text(head + "\n".join(lines))
    assert load(f"{path}@DARTS_V1") == load("DARTS_V1") and load(f"{path}@DARTS_V1").name == "DARTS_V1"
    with pytest.raises(GenotypeError, match="3 genotypes: PDARTS, DARTS_V1, DARTS_V2, allowed FILE@NAME"):
        load(path)
    with pytest.raises(GenotypeError, match="name: found 'NASNet', allowed one of PDARTS, DARTS_V1, DARTS_V2"):
        load(f"{path}@NASNet")


@pytest.mark.parametrize("name", ["[a].json", "[\\a]", "a:b", "ü ß.json", "x@y", "a'b\"c", "[bold]x", "line\nbreak"])
def test_unusual_file_names(name, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(write(load("PDARTS")))
    assert load(path) == load(str(path)) == load("PDARTS")
    assert main(["check", str(path)]) == main(["show", str(path)]) == main(["diff", str(path), "PDARTS"]) == 0
    path.write_text("{")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_whose_name_is_no_text(tmp_path):
    folder = os.fsencode(tmp_path) + b"/run-\xff"
    os.mkdir(folder)
    name = os.fsdecode(folder)
    Path(name, "log.jsonl").write_text(json.dumps({"epoch": 1, "genotype": describe(load("PDARTS"))}))
    genotype = load(f"{name}@1")
    assert genotype == load("PDARTS") and genotype.name is None and write(genotype).encode()
