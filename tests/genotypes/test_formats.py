import json
import random
import time

import pytest
from hypothesis import given

from genotypes import Cell, CellGenotype, Edge, GenotypeError, from_json, from_text, load, to_json, to_text
from tests.strategies import genotypes

V2 = load("DARTS_V2")


@given(genotypes())
def test_json_round_trip(genotype):
    back = from_json(to_json(genotype))
    assert back == genotype and back.hash == genotype.hash and back.name == genotype.name


@given(genotypes())
def test_text_round_trip(genotype):
    back = from_text(f"{genotype.name} = {to_text(genotype)}" if genotype.name else to_text(genotype))
    assert back == genotype and back.hash == genotype.hash and back.name == genotype.name


def test_one_changed_edge_is_one_changed_line():
    first, *rest = V2.normal.nodes
    edited = Cell(((Edge("dil_conv_5x5", 0), first[1]), *rest), V2.normal.concat)
    before, after = (to_json(g).splitlines() for g in (V2, CellGenotype(edited, V2.reduce, V2.name)))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_the_text_of_the_original():
    text = """DARTS_V1 = Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0),
        ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
        normal_concat=[2, 3, 4, 5], reduce=[("max_pool_3x3", 0), ("max_pool_3x3", 1), ('skip_connect', 2),
        ('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
        reduce_concat=range(2, 6))"""
    assert from_text(text) == load("DARTS_V1")


def test_triples_and_nested_pairs():
    nested = from_text(
        "Genotype(normal=[(('skip_connect', 0), ('none', 1)), [('none', 2)]], normal_concat=range(2, 4),"
        " reduce=[[('none', 0)]], reduce_concat=[2])"
    )
    triples = from_text(
        "Genotype(normal=[('skip_connect', 2, 0), ('none', 2, 1), ('none', 3, 2)], normal_concat=range(2, 4),"
        " reduce=[('none', 2, 0)], reduce_concat=[2])"
    )
    assert nested == triples


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Genotype(normal=__import__('os').system('true'))", "__import__"),
        ("Genotype(normal=[('skip_connect', 0)], normal_concat=[2], reduce=[], reduce_concat=[2])", "1 pairs"),
        ("Genotype(normal=[('skip_connect', 0), ('x', 1, 2)], normal_concat=[2])", "mixed entries"),
        ("Genotype(normal=[('a', 10**9)])", "'**9)"),
        ("Genotype(normal_concat=range(0, 999999999))", "at most 256"),
        ("Genotype(normal=" + "[" * 5000, "allowed a string"),
        ("Genotype(normal=[], normal=[])", "each once"),
        ("Genotype() ; import os", "nothing after"),
        ("", "the end of the text"),
    ],
)
def test_faulty_text_names_its_place(text, part):
    with pytest.raises(GenotypeError, match="line 1|normal") as caught:
        from_text(text, "file.py")
    assert str(caught.value).startswith("file.py: ")
    assert part in str(caught.value)


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


def test_mutilated_input_gives_an_error_or_a_genotype():
    rng = random.Random(0)
    pieces = [
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        '"',
        "'",
        ",",
        ":",
        "1e999",
        "-1",
        "null",
        "9" * 5000,
        "eval('1')",
        "\x00",
        "é",
    ]
    slowest = 0.0
    for count in range(4000):
        read, text = (from_json, to_json(V2)) if count % 2 else (from_text, to_text(V2))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(pieces) * rng.choice([1, 1, 1, 400]) + text[at + rng.choice([0, 1, 9]) :]
        began = time.perf_counter()
        try:
            assert isinstance(read(text), CellGenotype)
        except GenotypeError as error:
            assert str(error)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.05
