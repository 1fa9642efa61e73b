import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genotypes import (
    FORMS,
    Cell,
    CellGenotype,
    Edge,
    GenotypeError,
    from_json,
    library_entry,
    library_names,
    load,
    to_json,
    write,
)
from genotypes.formats.cell_json import extra_fields
from genotypes.formats.reader import read_with_lines as read
from genotypes.library import LIBRARY
from tests.strategies import genotypes

V2 = load("DARTS_V2")


@given(genotypes())
def test_json_round_trip(genotype):
    back = from_json(to_json(genotype))
    assert back == genotype and back.hash == genotype.hash and back.name == genotype.name


def test_one_changed_edge_is_one_changed_line():
    first, *rest = V2.normal.nodes
    edited = Cell(((Edge("dil_conv_5x5", 0), first[1]), *rest), V2.normal.concat)
    before, after = (to_json(g).splitlines() for g in (V2, CellGenotype(edited, V2.reduce, V2.name)))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d.update(version=2), "version"),
        (lambda d: d.update(version=True), "version"),
        (lambda d: d.update(format="other"), "format"),
        (lambda d: d.pop("reduce"), "reduce"),
        (lambda d: d["normal"].update(nodes=3), "normal.nodes"),
        (lambda d: d["normal"]["nodes"][1].append([]), "normal.nodes[1][2]"),
        (lambda d: d["normal"]["nodes"][0][0].update(op=7), "normal.nodes[0][0].op"),
        (lambda d: d["reduce"]["nodes"][0][0].update({"from": True}), "reduce.nodes[0][0].from"),
        (lambda d: d["reduce"]["nodes"][0][0].update({"from": 10**50}), "reduce.nodes[0][0].from"),
        (lambda d: d["reduce"].update(concat=[]), "reduce.concat"),
    ],
)
def test_faulty_json_names_its_field(change, field):
    document = json.loads(to_json(V2))
    change(document)
    with pytest.raises(GenotypeError) as caught:
        from_json(json.dumps(document))
    assert field in [fault.field for fault in caught.value.faults]


def faults_of(text):
    with pytest.raises(GenotypeError) as caught:
        read(text, "cell.json")
    return [(fault.line, fault.field) for fault in caught.value.faults], str(caught.value)


def test_every_fault_at_once_with_its_line():
    text = to_json(V2)
    for before, after in (
        ('"version": 1', '"version": "1"'),
        ('"sep_conv_3x3"', '"sep_conv_3x4"'),
        ('"from": 1}', '"form": 1}'),
        ('"skip_connect"', "skip_connect"),
        ("[2, 3, 4, 5]", "[2, 9, 2, true]"),
        ('"from": 2}\n      ],', '"from": 4}\n      ],'),
        ('"reduce": {', '"reduce": {"nods": [],'),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    places, message = faults_of(text)
    lines = text.splitlines()
    assert places == sorted(places, key=lambda place: place[0])
    assert {field: lines[line - 1].strip() for line, field in places} == {
        "version": '"version": "1",',
        "normal.nodes[0][0].op": '{"op": "sep_conv_3x4", "from": 0},',
        "normal.nodes[0][1].form": '{"op": "sep_conv_3x3", "form": 1}',
        "normal.nodes[2][1].op": '{"op": skip_connect, "from": 0}',
        "normal.concat[1]": '"concat": [2, 9, 2, true]',
        "normal.concat[2]": '"concat": [2, 9, 2, true]',
        "normal.concat[3]": '"concat": [2, 9, 2, true]',
        "reduce.nods": '"reduce": {"nods": [],',
        "reduce.nodes[2][1].from": '{"op": "skip_connect", "from": 4}',
    }
    assert "line 4, version: found '1', allowed 1" in message
    assert "found 'sep_conv_3x4', allowed 'sep_conv_3x3' (nearest)" in message
    assert "found a field 'form', allowed 'from' (nearest)" in message
    assert "normal.concat[1]: found 9, allowed a node of this cell, 2 to 5" in message


def test_a_misspelt_cell_is_named():
    places, message = faults_of(to_json(V2).replace('"reduce"', '"recude"'))
    assert [field for _, field in places] == ["recude"] and "allowed 'reduce' (nearest)" in message


def test_what_is_forgotten_by_hand_hides_nothing_else():
    text = to_json(V2).replace('"from": 0},', '"from": 0}', 2).replace("4, 5]", "4, 5,]", 1)
    text = text.replace("max_pool_3x3", "max_pool_3x2", 1)
    places, message = faults_of(text)
    assert [line for line, _ in places] == [10, 14, 25, 30]
    assert places[-1][1] == "reduce.nodes[0][0].op" and "found ',', allowed none before ']'" in message


@given(genotypes(), st.sampled_from(FORMS))
def test_every_form_reads_back_or_says_why_not(genotype, form):
    try:
        text = write(genotype, form)
    except GenotypeError as error:
        assert form in ("text", "edges", "triples") and all("nested" in fault.allowed for fault in error.faults)
        return
    back = read(text).genotype
    assert back == genotype and back.hash == genotype.hash and back.name == genotype.name


@pytest.mark.parametrize("name", library_names())
def test_a_library_file_is_what_would_be_written(name):
    genotype = load(name)
    text = to_json(genotype, library_entry(name))
    assert text == (LIBRARY / f"{name}.json").read_text(encoding="utf-8")
    assert from_json(text) == genotype and next(iter(json.loads(text))) == "$schema"


def test_the_schema_field_is_first_and_not_required():
    text = to_json(V2)
    assert text.splitlines()[1] == '  "$schema": "genotype.schema.json",'
    without = text.replace('  "$schema": "genotype.schema.json",\n', "")
    assert from_json(without) == from_json(text) == V2
    elsewhere = text.replace('"genotype.schema.json"', '"/etc/genotype.schema.json"')
    assert to_json(V2, extra_fields(elsewhere)) == elsewhere


@settings(max_examples=30)
@given(st.dictionaries(st.text("abcdef", min_size=1), st.recursive(st.integers(), st.lists, max_leaves=5), max_size=3))
def test_further_fields_are_kept(extra):
    text = to_json(V2, extra)
    assert extra_fields(text) == {"$schema": "genotype.schema.json", "name": "DARTS_V2", **extra}
    assert from_json(text) == V2
