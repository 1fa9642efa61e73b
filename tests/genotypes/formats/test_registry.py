"""Genotypes of every kind: strings, files, pictures, and what is said about wrong ones."""

import itertools
import json
import xml.etree.ElementTree as ElementTree

import pytest

from genotypes import Edge, GenotypeError, load, read
from genotypes.formats.registry import TYPES, describe, picture, write
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.nasbench101 import NASBench101Genotype
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype, from_string
from genotypes.types.recurrent import RecurrentGenotype, from_recurrent_text
from genotypes.types.vision_transformer import TransformerBlock, VisionTransformerGenotype

STRING = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
TANH = RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1), Edge("identity", 1)), (1, 2, 3), "mine")
EXAMPLES = [
    NASBench201Genotype(("nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")),
    NASBench101Genotype([[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4], ("maxpool3x3", "conv1x1-bn-relu"), "x"),
    TANH,
    VisionTransformerGenotype(
        4, 48, 16, (TransformerBlock("attention", 3, 2), TransformerBlock("convolution", 5, 2.5))
    ),
    ChoicesGenotype((("kernel", ("3x3",)), ("inputs", ("stem", "block 1"))), "chosen"),
    load("DARTS_V2"),
]


def test_every_architecture_string_round_trips():
    for ops in itertools.product(NASBENCH201_OPS, repeat=len(EDGES)):
        genotype = NASBench201Genotype(ops)
        assert from_string(str(genotype)) == genotype
    assert str(EXAMPLES[0]) == STRING


def test_connected_is_a_path_from_input_to_output():
    cut = from_string("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|")
    assert not cut.connected and EXAMPLES[0].connected


@pytest.mark.parametrize("genotype", EXAMPLES, ids=lambda g: type(g).__name__)
def test_files_round_trip(genotype, tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text(write(genotype, extra={"searched": {"seed": 1}}))
    again = load(tmp_path)
    assert again == genotype and again.hash == genotype.hash and again.name == genotype.name
    assert read(describe(genotype)) == genotype
    assert json.loads(path.read_text())["searched"] == {"seed": 1}
    assert ElementTree.fromstring(picture(genotype)).tag.endswith("svg") and describe(genotype)


def test_texts_in_files(tmp_path):
    path = tmp_path / "text"
    path.write_text(STRING + "\n")
    assert load(path) == load(STRING) == EXAMPLES[0]
    path.write_text(f"BEST = {TANH}")
    assert load(path) == TANH and load(path).name == "BEST"
    assert from_recurrent_text(str(TANH)) == TANH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|nor_conv_3x3~0|", "1 blocks, allowed 3 blocks"),
        (STRING.replace("none~1", "none~2"), "block 2: found '|skip_connect~0|none~2|', allowed |op~0|op~1|"),
        (STRING.replace("skip", "skp"), "block 2, entry 0: found 'skp_connect', allowed 'skip_connect' (nearest)"),
        ("|" * 2000, "2000 characters"),
        ("", "1 blocks"),
    ],
)
def test_wrong_strings(text, message):
    with pytest.raises(GenotypeError) as error:
        from_string(text)
    assert message in str(error.value)


@pytest.mark.parametrize("format_", TYPES)
@pytest.mark.parametrize("content", [{}, {"version": 1}, {"version": 1, "name": 3}, {"version": True}])
def test_wrong_files_are_one_clear_error(format_, content, tmp_path):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"format": format_, **content}))
    with pytest.raises(GenotypeError, match="wrong.json"):
        load(path)


@pytest.mark.parametrize(
    "text",
    ["Genotype(recurrent=[], concat=range(1, 2))", "Genotype(recurrent=[('tanh', 3)], concat=[1])", "x" * 99_999],
)
def test_wrong_recurrent_texts(text):
    with pytest.raises(GenotypeError):
        from_recurrent_text(text)


def test_choices_are_checked():
    with pytest.raises(GenotypeError, match="this label again"):
        ChoicesGenotype((("a", ("x",)), ("a", ("y",))))
    with pytest.raises(GenotypeError, match="no name"):
        ChoicesGenotype((("a", ()),))
    assert ChoicesGenotype({"a": ["x"]})["a"] == ("x",)
