"""Whatever stands in a file: a genotype, or errors of one line each. Nothing raises, runs or takes long."""

import builtins
import gc
import json
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genotypes import FORMS, Edge, GenotypeError, load, write
from genotypes.__main__ import main
from genotypes.formats.reader import read_with_lines
from genotypes.formats.registry import TYPES, describe
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.nasbench201 import from_string
from genotypes.types.recurrent import RecurrentGenotype

COUNT = int(os.environ.get("MUTILATED", 4000))
SECONDS = 0.25

SOUND = [write(load("DARTS_V2"), form) for form in FORMS]
SOUND += [write(load(name), form) for name in ("FairDARTS_g", "NASNet_A", "DARTS_V1") for form in ("json", "nested")]
SOUND += [write(load("PDARTS"), "json", {"reported": {"error": 2.5}, "aliases": ["x"]})] * 3

OTHERS = [
    from_string("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"),
    RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1), Edge("identity", 1)), (1, 2, 3), "mine"),
    ChoicesGenotype((("kernel", ("3x3",)), ("inputs", ("stem", "block 1"))), "chosen"),
]
SOUND += [write(genotype) for genotype in OTHERS] + [describe(genotype) for genotype in OTHERS[:2]]

V1 = describe(load("DARTS_V1"))
LOG = f"04/07 10:11 AM genotype = {V1}\n04/07 10:12 AM valid 93.1 (top 1)\n04/07 10:13 AM genotype = {V1}\n"
WEIGHTED = write(load("DARTS_V2"), "nested").replace("1)", "1, np.float64(0.25))").replace("0)", "0, 1e-05)")
RECORDS = [{"epoch": epoch, "loss": 0.5, "genotype": V1} for epoch in (1, 2, 3)]
SOUND += [LOG, WEIGHTED, json.dumps(RECORDS, indent=2), "\n".join(map(json.dumps, RECORDS)), f"A = {V1}\nB = {V1}"]
SOUND += [f"# made by hand\n{SOUND[0]}", f"Structure(4 nodes with {OTHERS[0]})", f"10:11 genotype = {OTHERS[1]} # best"]

CODE = "__import__('os').system('touch executed')"
FRAGMENTS = [
    *"[]{}(),:='\"\\\n\t #",
    "null",
    "None",
    "true",
    "NaN",
    "Infinity",
    "1e999",
    "-1",
    "-0",
    "0x10",
    "01",
    "9" * 5000,
    "9" * 30,
    "range(0, 99999999)",
    "range(9)",
    '"\\ud800"',
    "\\u0000",
    "\x00",
    "\x1b[31m",
    "é",
    "\u2028",
    "\ufeff",
    "//",
    CODE,
    f'"{CODE}"',
    f"eval({CODE!r})",
    "{{}}",
    "${HOME}",
    '"op": "none", "from": 0',
    "('none', 0), ",
    "[[[[",
]
VALUES = [None, True, 0, -1, 10**30, 1.5, "", "none", CODE, [], {}, [[]], {"op": "none"}, [1] * 500, "x" * 3000]


def mutilated(rng):
    """Return a valid document with random damage: fragments inserted, left out, repeated or exchanged, other values."""
    text = rng.choice(SOUND)
    kind = rng.randrange(8)
    if kind == 0:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(400))).decode("latin-1")
    if kind == 1:
        opening = rng.choice("[{(") if rng.random() < 0.5 else '{"normal":'
        return rng.choice(["", "Genotype(normal="]) + opening * rng.choice([10, 100, 20_000])
    if kind == 2 and text.startswith("{") and "}\n{" not in text:
        return json.dumps(exchanged(json.loads(text), rng), indent=rng.choice([None, 2]))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(text))
        fragment = rng.choice(FRAGMENTS) * rng.choice([1, 1, 1, 400])
        text = text[:at] + fragment + text[at + rng.choice([0, 1, 9, 200]) :]
        if rng.random() < 0.1:
            start = rng.randrange(len(text) or 1)
            text += text[start : start + 500] * rng.choice([1, 50])
    return text


def exchanged(value, rng):
    """A document with another value somewhere in it."""
    if rng.random() < 0.1:
        return rng.choice(VALUES)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        return {**value, key: exchanged(value[key], rng)}
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return [*value[:at], exchanged(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def outcome(text):
    """``sound`` or ``refused``, after checking what is promised of either."""
    try:
        genotype = read_with_lines(text, "file")
    except GenotypeError as error:
        assert error.faults
        for fault in map(str, error.faults):
            assert fault.isprintable() and 10 < len(fault) < 400, fault
        return "refused"
    assert isinstance(genotype.genotype, tuple(row.type for row in TYPES.values()))
    return "sound"


def timed_outcome(text):
    """``outcome``, within the time allowed: the best of ten, where the machine was busy with something else.

    Without garbage collection, which takes longer the more objects other tests have left.
    """
    gc.disable()
    try:
        for _ in range(10):
            began = time.process_time()
            found = outcome(text)
            if time.process_time() - began < SECONDS:
                return found
    finally:
        gc.enable()
    raise AssertionError((len(text), text[:200]))


@pytest.fixture
def forbidden(monkeypatch, tmp_path):
    """Fails where a text's code runs. Returns what fails, to stand in further places."""
    monkeypatch.chdir(tmp_path)

    def run(*_, **__):
        raise AssertionError("a text was evaluated")

    monkeypatch.setattr(os, "system", run)
    yield run
    assert not list(tmp_path.iterdir())


def test_mutilated_documents(forbidden, monkeypatch):
    for name in ("eval", "exec"):
        monkeypatch.setattr(builtins, name, forbidden)
    rng = random.Random(0)
    counted = {"sound": 0, "refused": 0}
    for _ in range(COUNT):
        text = mutilated(rng)
        counted[timed_outcome(text)] += 1
    assert counted["refused"] > COUNT / 2 and counted["sound"] > COUNT / 1000, counted


@given(st.text() | st.text("{}[]()\"':,=\\0129 nullnormalopfromconcatreduceGenotyperange_x"))
def test_any_text(text):
    assert outcome(text) in ("sound", "refused")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["normal", "reduce", "nodes", "concat", "op", "from", "name", "format"]), inner
            )
        ),
    )
)
def test_any_json(value):
    choices = isinstance(value, dict) and value and all(isinstance(names, list) for names in value.values())
    assert outcome(json.dumps(value)) == "refused" or choices


def large(item, count, before, after=""):
    return before + ",".join(item.replace("#", str(index)) for index in range(count)) + after


LARGE = {
    "unknown operations": large(
        '{"op": "sep_conv_#", "from": #}', 1900, '{"normal": {"nodes": [[', ']], "concat": [2]}}'
    ),
    "unknown operations as text": large("('sep_conv_#', #)", 1900, "G(normal=[", "], normal_concat=[2])"),
    "unknown fields": large('"normal#": 0', 5000, "{", "}"),
    "no edges": large("0", 5000, '{"normal": {"nodes": [', '], "concat": [2]}}'),
    "no states": large('"2"', 5000, '{"normal": {"nodes": [], "concat": [', "]}}"),
    "a state again": large("2", 5000, '{"normal": {"nodes": [[{"op": "none", "from": 0}]], "concat": [', "]}}"),
    "an edge list": large("None", 5000, "G(normal=[", f"], normal_concat=[{'2, ' * 900}])"),
    "long operations": large(f'{{"op": "{"sep_conv_" * 40}", "from": 0}}', 400, '{"normal": {"nodes": [[', "]]}}"),
    "a long string": '{"a": "' + "\\n" * 90_000 + '"}',
    "a long name": large("0", 5000, '{"' + "a" * 90_000 + '": [', "]}"),
    "recurrent edges": large("('tanx', 0)", 3000, "Genotype(recurrent=[", "], concat=[1])"),
    "recurrent edges in JSON": large(
        '{"op": "tanx", "from": 0}',
        1900,
        '{"format": "recurrent-genotype", "version": 1, "nodes": [',
        '], "concat": []}',
    ),
    "choices": large('"label#": []', 2900, '{"format": "choices-genotype", "version": 1, "choices": {', "}}"),
    "an architecture string": "|" + "nor_conv_3x3~0|" * 12_000,
    "lines": "\n" * 190_000,
    "quotes": '"' * 190_000,
    "letters": "x" * 3_000_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_large_documents_are_refused_soon(name):
    assert timed_outcome(LARGE[name]) == "refused"


def test_the_command_line_prints_lines(tmp_path, capsys, forbidden):
    rng = random.Random(1)
    path = tmp_path / "any"
    for _ in range(150):
        content = mutilated(rng).encode("utf-8", "surrogatepass") if rng.random() < 0.9 else rng.randbytes(200)
        path.write_bytes(content)
        code = main(["check", str(path)])
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert code == (2 if any(line.startswith("error: ") for line in lines) else 0)
        assert all(line.startswith((f"error: {path}: ", f"warning: {path}: ")) for line in lines), err
        assert bool(out) == (code == 0)
    path.unlink()
