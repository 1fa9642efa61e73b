import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genotypes.formats.json_reader import MAX_DEPTH, MAX_VALUES, Lines, read_json

SCALARS = st.none() | st.booleans() | st.integers(-(10**38), 10**38) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_reads_what_the_standard_library_reads(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    located = read_json(text)
    assert not located.faults
    assert located.value == json.loads(text) and type(located.value) is type(value)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=30), st.lists(st.integers(), min_size=1), min_size=1))
def test_the_line_of_every_value(document):
    text = json.dumps(document, indent=1)
    lines, found = text.splitlines(), read_json(text).lines
    for key, numbers in document.items():
        assert f'"{key}"' in lines[found[key] - 1]
        for index, number in enumerate(numbers):
            assert lines[found[f"{key}[{index}]"] - 1].strip(" ,") == str(number)


@given(st.text("ab\n", max_size=40), st.data())
def test_lines_and_columns(text, data):
    offset = data.draw(st.integers(0, len(text)))
    before = text[:offset]
    assert Lines(text).position(offset) == (before.count("\n") + 1, offset - before.rfind("\n"))


@pytest.mark.parametrize(
    ("text", "value", "faults"),
    [
        ('{"a": 1,}', {"a": 1}, ["column 8: found ',', allowed none before '}'"]),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}, ["column 9: found '\"b\"', allowed ',' or '}' before it"]),
        ("[1 2, 3,]", [1, 2, 3], ["column 4: found '2'", "column 8: found ','"]),
        ('{a: True, "b": x}', {"a": None, "b": None}, ["column 2: found 'a'", "a: found 'True'", "b: found 'x'"]),
        ("{'a': 'b'}", {"a": None}, ["column 2: found", "a: found"]),
        ('{"a": 1, "a": 2}', {"a": 2}, ["a: found 'a' again, allowed each field once"]),
        ("[1e999, 01, -0, NaN]", [None, None, 0, None], ["[0]: found '1e999'", "[1]: found '01'", "[3]: found 'NaN'"]),
        (f"[{'9' * 41}]", [None], ["[0]: found", "at most 40"]),
        (r'["\ud800", "\x", "\u00e9"]', [None, None, "é"], ["[0]: found", "[1]: found"]),
        ("", None, ["column 1: found the end of the text, allowed a value"]),
        ("[1", None, ["column 3: found the end of the text, allowed ',' or ']'"]),
        ('["a', None, ["column 2: found '\"a', allowed a value"]),
        ('{"a" 1}', None, ["column 6: found '1}', allowed ':'"]),
        ("[1]]", None, ["column 4: found ']', allowed nothing"]),
        ("[1}", None, ["column 3: found '}', allowed ',' or ']'"]),
        ("[" * 5000, None, [f"column {MAX_DEPTH + 2}: found more, allowed at most {MAX_DEPTH} levels"]),
        ("[" + "0," * MAX_VALUES, None, [f"found more, allowed at most {MAX_VALUES} values"]),
    ],
)
def test_mistakes(text, value, faults):
    located = read_json(text)
    assert located.value == value
    written = "; ".join(map(str, located.faults))
    assert all(fault in written for fault in faults), written
