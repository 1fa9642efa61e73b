import json
import re

import pytest
from hypothesis import given, settings

from genotypes import CELL_OPS, GenotypeError, from_json, library_names, load, to_json
from genotypes.formats import FORMAT, SCHEMA, VERSION
from genotypes.load import LIBRARY
from genotypes.reading import MAX_NODES
from tests.strategies import genotypes

PUBLISHED = json.loads(SCHEMA.read_text(encoding="utf-8"))
NOTES = {"title", "description", "enumDescriptions", "$defs"}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
RULES = {
    "$schema": lambda value, rule: True,
    "$ref": lambda value, rule: valid(value, PUBLISHED["$defs"][rule.removeprefix("#/$defs/")]),
    "type": lambda value, rule: any(
        isinstance(value, TYPES[name]) and not isinstance(value, bool)
        for name in (rule if type(rule) is list else [rule])
    ),
    "const": lambda value, rule: value == rule and type(value) is type(rule),
    "enum": lambda value, rule: value in rule,
    "required": lambda value, rule: all(key in value for key in rule),
    "properties": lambda value, rule: all(valid(value[key], part) for key, part in rule.items() if key in value),
    "items": lambda value, rule: all(valid(item, rule) for item in value),
    "minItems": lambda value, rule: len(value) >= rule,
    "maxItems": lambda value, rule: len(value) <= rule,
    "maxLength": lambda value, rule: not isinstance(value, str) or len(value) <= rule,
    "uniqueItems": lambda value, rule: len(set(value)) == len(value),
    "minimum": lambda value, rule: value >= rule,
    "maximum": lambda value, rule: value <= rule,
}


def valid(value, schema):
    """The part of JSON Schema that the published one uses; a keyword that is not known here fails."""
    rules = {key: rule for key, rule in schema.items() if key not in NOTES and key != "additionalProperties"}
    if "type" in rules and not RULES["type"](value, rules["type"]):
        return False
    closed = schema.get("additionalProperties", True) or set(value) <= set(schema["properties"])
    return closed and all(RULES[key](value, rule) for key, rule in rules.items())


def test_it_describes_this_format():
    op = PUBLISHED["$defs"]["op"]
    assert tuple(op["enum"]) == CELL_OPS and len(op["enumDescriptions"]) == len(CELL_OPS)
    assert PUBLISHED["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert PUBLISHED["properties"]["format"]["const"] == FORMAT
    assert PUBLISHED["properties"]["version"]["const"] == VERSION
    assert PUBLISHED["$defs"]["cell"]["properties"]["nodes"]["maxItems"] == MAX_NODES


@pytest.mark.parametrize("name", library_names())
def test_library_files_are_valid_and_name_it(name):
    path = LIBRARY / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert valid(document, PUBLISHED)
    assert (path.parent / document["$schema"]).resolve() == SCHEMA.resolve()


@given(genotypes())
def test_whatever_is_written_is_valid(genotype):
    assert valid(json.loads(to_json(genotype)), PUBLISHED)


@settings(max_examples=40)
@given(genotypes())
def test_what_is_invalid_is_refused(genotype):
    """The schema says no more than the reader does."""
    text = to_json(genotype)
    for before, after in (
        (r'"op": "\w+"', '"op": "conv"'),
        (r'"from": \d+', '"from": "0"'),
        (r'"from": \d+', '"from": -1'),
        (r'"from": \d+', '"from": 0, "to": 2'),
        (r'"concat": .*', '"concat": [2, 2]'),
        (r'"concat": .*', '"concat": [1]'),
        (r'"concat": .*', '"concat": [2], "concats": [2]'),
        (r'"version": 1', '"version": 2'),
        (r'"nodes"', '"node"'),
        (r'"reduce"', '"reduced"'),
    ):
        changed = re.sub(before, after, text, count=1)
        assert not valid(json.loads(changed), PUBLISHED), changed
        with pytest.raises(GenotypeError):
            from_json(changed)


def test_with_the_real_validator():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(PUBLISHED)
    validator.check_schema(PUBLISHED)
    for name in library_names():
        validator.validate(json.loads(to_json(load(name))))
