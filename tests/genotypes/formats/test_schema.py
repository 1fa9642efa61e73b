import json
import re

import pytest
from hypothesis import given, settings

from genotypes import CELL_OPS, GenotypeError, from_json, library_names, load, read, to_json
from genotypes.formats.json_document import SCHEMA, VERSION
from genotypes.formats.registry import TYPES as FORMATS
from genotypes.formats.registry import write
from genotypes.library import LIBRARY
from genotypes.types.cell import MAX_NODES, OPERATIONS, Edge
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.nasbench101 import from_text
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype
from genotypes.types.recurrent import RECURRENT_OPS, RecurrentGenotype
from genotypes.types.vision_transformer import TransformerBlock, VisionTransformerGenotype
from tests.strategies import genotypes

PUBLISHED = json.loads(SCHEMA.read_text(encoding="utf-8"))
NOTES = {"title", "description", "enumDescriptions", "$defs", "then"}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
RULES = {
    "$schema": lambda value, rule: True,
    "$ref": lambda value, rule: valid(value, PUBLISHED["$defs"][rule.removeprefix("#/$defs/")]),
    "type": lambda value, rule: any(
        isinstance(value, TYPES[name]) and not isinstance(value, bool)
        for name in (rule if type(rule) is list else [rule])
    ),
    "allOf": lambda value, rules: all(not valid(value, rule["if"]) or valid(value, rule["then"]) for rule in rules),
    "anyOf": lambda value, rules: any(valid(value, rule) for rule in rules),
    "const": lambda value, rule: value == rule and type(value) is type(rule),
    "enum": lambda value, rule: value in rule,
    "pattern": lambda value, rule: re.search(rule, value) is not None,
    "required": lambda value, rule: all(key in value for key in rule),
    "properties": lambda value, rule: all(valid(value[key], part) for key, part in rule.items() if key in value),
    "items": lambda value, rule: all(valid(item, rule) for item in value),
    "minProperties": lambda value, rule: len(value) >= rule,
    "minItems": lambda value, rule: len(value) >= rule,
    "maxItems": lambda value, rule: len(value) <= rule,
    "maxLength": lambda value, rule: not isinstance(value, str) or len(value) <= rule,
    "uniqueItems": lambda value, rule: len(set(value)) == len(value),
    "minimum": lambda value, rule: value >= rule,
    "maximum": lambda value, rule: value <= rule,
    "exclusiveMinimum": lambda value, rule: value > rule,
}


def valid(value, schema):
    """The part of JSON Schema that the published one uses; a keyword that is not known here fails."""
    rules = {key: rule for key, rule in schema.items() if key not in NOTES and key != "additionalProperties"}
    if "type" in rules and not RULES["type"](value, rules["type"]):
        return False
    further = schema.get("additionalProperties", {})
    if further is not True and isinstance(value, dict):
        named = set(schema.get("properties", ()))
        others = [item for key, item in value.items() if key not in named]
        if others if further is False else not all(valid(item, further) for item in others):
            return False
    return all(RULES[key](value, rule) for key, rule in rules.items())


def test_it_describes_this_format():
    op = PUBLISHED["$defs"]["op"]
    assert tuple(op["enum"]) == CELL_OPS
    assert op["enumDescriptions"] == [operation.description for operation in OPERATIONS.values()]
    assert PUBLISHED["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert tuple(PUBLISHED["properties"]["format"]["enum"]) == tuple(FORMATS)
    assert tuple(PUBLISHED["$defs"]["activation"]["properties"]["op"]["enum"]) == RECURRENT_OPS[1:]
    assert PUBLISHED["$defs"]["recurrent"]["properties"]["nodes"]["maxItems"] == MAX_NODES
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


OTHERS = {
    **{op: NASBench201Genotype((op,) * len(EDGES)) for op in NASBENCH201_OPS},
    "nasbench101": from_text("conv3x3-bn-relu~0|maxpool3x3~0,1|output~0,2"),
    "recurrent": RecurrentGenotype((Edge("tanh", 0), Edge("identity", 1)), (2, 1), "mine"),
    "vit": VisionTransformerGenotype(
        4, 48, 16, (TransformerBlock("attention", 3, 2), TransformerBlock("convolution", 5, 2.5))
    ),
    "choices": ChoicesGenotype({"kernel": ["3x3"], "inputs": ["stem", "block"]}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_valid_and_name_it(name):
    document = json.loads(write(OTHERS[name], extra={"searched": {"seed": 1}}))
    assert valid(document, PUBLISHED) and document["$schema"] == SCHEMA.name
    assert next(iter(document)) == "$schema"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("none", r"none~0", "none~1"),
        ("none", r"none~2", "non~2"),
        ("none", r'"architecture": .*', '"architecture": 3'),
        ("none", r"architecture", "arch"),
        ("nasbench101", r"conv3x3", "conv5x5"),
        ("nasbench101", r"output~", "input~"),
        ("nasbench101", r"0,1", "0,7"),
        ("nasbench101", r'"architecture": .*', '"architecture": ["output~0"]'),
        ("recurrent", r'"op": "\w+"', '"op": "none"'),
        ("recurrent", r'"from": 0', '"from": -1'),
        ("recurrent", r'"from": 0', '"from": 0, "to": 1'),
        ("recurrent", r'"concat": .*', '"concat": [1, 1]'),
        ("recurrent", r'"concat": .*', '"concat": [0]'),
        ("recurrent", r'"concat": .*', '"concat": []'),
        ("recurrent", r'"nodes"', '"node"'),
        ("recurrent", r'"version": 1', '"version": true'),
        ("recurrent", r'"name": "mine"', '"name": 3'),
        ("vit", r'"patch": 4', '"patch": 0'),
        ("vit", r'"width": 48', '"width": "48"'),
        ("vit", r'"heads": 3', '"heads": 0'),
        ("vit", r'"heads": 3', '"kernel": 3'),
        ("vit", r'"kernel": 5', '"kernel": 4'),
        ("vit", r'"ratio": 2.5', '"ratio": 0'),
        ("vit", r'"ratio": 2.5', '"ratio": true'),
        ("vit", r'"mixer": "attention"', '"mixer": "pooling"'),
        ("vit", r'"blocks": (.|\n)*\]', '"blocks": []'),
        ("choices", r'\["3x3"\]', "[]"),
        ("choices", r'\["3x3"\]', "[3]"),
        ("choices", r'\["3x3"\]', '"3x3"'),
        ("choices", r"choices-genotype", "choice-genotype"),
        ("choices", r'\{\n    "kernel(.|\n)*\}\n\}', "{}}"),
    ],
)
def test_what_is_invalid_of_other_kinds_is_refused(name, before, after):
    changed, count = re.subn(before, after, write(OTHERS[name]), count=1)
    assert count == 1 and not valid(json.loads(changed), PUBLISHED), changed
    with pytest.raises(GenotypeError):
        read(changed)


def test_with_the_real_validator():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(PUBLISHED)
    validator.check_schema(PUBLISHED)
    for name in library_names():
        validator.validate(json.loads(to_json(load(name))))
    for genotype in OTHERS.values():
        validator.validate(json.loads(write(genotype)))
