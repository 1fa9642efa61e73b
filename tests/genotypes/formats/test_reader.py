"""Genotypes as people have them: in logs, with comments, weights of edges or NumPy's numbers, several in a file."""

import json

import pytest

from genotypes import (
    ChoicesGenotype,
    Edge,
    GenotypeError,
    RecurrentGenotype,
    from_text,
    library_names,
    load,
    read,
    read_with_lines,
    to_text,
    write,
)
from genotypes.formats.json_reader import MAX_CHARACTERS
from genotypes.types.nasbench201 import from_string

CELLS = from_text(
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_3x3', 2), ('max_pool_3x3', 0)], "
    "normal_concat=range(2, 4), reduce=[('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=range(2, 4))"
)
PLAIN, OTHER = to_text(CELLS), to_text(load("DARTS_V1"))
FIELDS = {
    "normal": [["sep_conv_3x3", 1], ["skip_connect", 0], ["dil_conv_3x3", 2], ["max_pool_3x3", 0]],
    "normal_concat": [2, 3],
    "reduce": [["max_pool_3x3", 0], ["sep_conv_5x5", 1], ["skip_connect", 2], ["max_pool_3x3", 1]],
    "reduce_concat": [2, 3],
}
STRING = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
RECURRENT = RecurrentGenotype((Edge("tanh", 0), Edge("relu", 1)), (1, 2))
CHOICES = ChoicesGenotype({"kernel": ["3x3"]})

GDAS = (
    "Genotype(normal=[(('sep_conv_3x3', 1, 0.1311), ('skip_connect', 0, 0.1402)), (('dil_conv_3x3', 2, 0.2), "
    "('max_pool_3x3', 0, 1e-05))], normal_concat=[2, 3], reduce=[(('max_pool_3x3', 0, 0.1), ('sep_conv_5x5', 1, 2.)), "
    "(('skip_connect', 2, .3), ('max_pool_3x3', 1, nan))], reduce_concat=[2, 3])"
)


@pytest.mark.parametrize(
    "text",
    [
        f"2021-04-07 10:11:12,345 genotype = {PLAIN}",
        f"04/07 10:11 AM genotype = {PLAIN}\n04/07 10:11 AM tensor([[0.125, 0.125]], grad_fn=<SoftmaxBackward>)\n",
        f"epoch 0\ngenotype = {OTHER}\nvalid_acc 50.2\nepoch 1\ngenotype = {PLAIN}\nvalid_acc 60.1\n",
        f"genotype = {OTHER}\ngenotype = {PLAIN}\n",
        "12:00 INFO genotype = " + PLAIN.replace(", (", ",\n  (") + "\n12:01 INFO (more)",
        f"python train.py --arch DARTS --layers 20\n>>> {PLAIN} <<<",
        f"{PLAIN}\nepoch 3",
        f"  # the best of five\n{PLAIN}  # 97.3 %\n# end",
        PLAIN.replace("[(", "[  # normal cell\n  (", 1),
        PLAIN.replace("('", "(u'"),
        PLAIN.replace("\n", "\r\n") + "\r\n",
        "\ufeff" + PLAIN,
    ],
)
def test_logs_and_comments(text):
    assert read(text) == from_text(text) == CELLS and read(text).name is None


@pytest.mark.parametrize(
    "text",
    [
        GDAS,
        PLAIN.replace("1)", "1, 0.25)").replace("0)", "0, np.float64(0.75))"),
        PLAIN.replace("1)", "1, tensor(0.2500, device='cuda:0', grad_fn=<SelectBackward0>))").replace("0)", "0, 0.1)"),
        PLAIN.replace("range(2, 4)", "array([2, 3])").replace("1)", "np.int64(1))"),
        PLAIN.replace("'skip_connect'", "np.str_('skip_connect')"),
        PLAIN.replace("range(", "np.arange("),
        PLAIN.replace("range(2, 4)", "list(range(2, 4))"),
        PLAIN.replace("range(2, 4)", "range(2, 4, 1)"),
        PLAIN.replace("range(2, 4)", "array([2, 3], dtype=int64)"),
        to_text(CELLS, "triples").replace("1)", "1, 0.5)").replace("0)", "0, 0.5)"),
    ],
)
def test_weights_and_numpy_numbers(text):
    assert read(text) == CELLS


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FIELDS),
        json.dumps(FIELDS, indent=2),
        str(FIELDS),
        f"INFO cells: {FIELDS} of epoch 3",
        f"# edited by hand\n// by me\n{write(CELLS)}\nINFO done",
        json.dumps({"test_accuracy": 0.9, "genotype": PLAIN}),
    ],
)
def test_dicts_and_documents_within_text(text):
    assert read(text) == CELLS


def test_lines_are_those_of_the_whole_text():
    text = "first\nsecond\n12:00 genotype = " + PLAIN.replace(", (", ",\n(").replace("dil_conv_3x3", "dil_conv_3x4")
    with pytest.raises(GenotypeError, match=r"log.txt: line 5, normal.nodes\[1\]\[0\].op: found 'dil_conv_3x4'"):
        read(text, "log.txt")
    document = "# first\n" + write(CELLS).replace("sep_conv_5x5", "sep_conv_5x6")
    with pytest.raises(GenotypeError, match=r"line \d\d, reduce.nodes\[0\]\[1\].op: found 'sep_conv_5x6'"):
        read(document)
    assert read_with_lines("\n\n12:00 " + PLAIN.replace("reduce=", "\nreduce=")).lines["reduce.nodes[0]"] == 4


@pytest.mark.parametrize(
    ("text", "genotype"),
    [
        (f"<<<--->>> The 249-th epoch : Structure(4 nodes with {STRING})", from_string(STRING)),
        (f"{STRING.replace('none', 'skip_connect')}\n{STRING}\n", from_string(STRING)),
        (f"10:11 genotype = {RECURRENT}\n10:12 valid ppl 61.2", RECURRENT),
        (str(RECURRENT).replace("0)", "0, 0.3)").replace(" 1)", " np.int64(1), 0.2)"), RECURRENT),
        (f"# best\nBEST = {RECURRENT}  # 60.1\n", RECURRENT),
        (json.dumps([{"epoch": 1, "genotype": CHOICES.describe()}]), CHOICES),
        (json.dumps([{"epoch": 1, "genotype": STRING}]), from_string(STRING)),
    ],
    ids=range(7),
)
def test_other_types(text, genotype):
    assert read(text) == genotype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{PLAIN} ; import os", "line 1, column 250: found '; import os', allowed nothing after the genotype"),
        (f"A = {PLAIN}\nB = {OTHER}", "file: found 2 genotypes: A, B, allowed FILE@NAME for one of them"),
        (f"10:00 genotype = {PLAIN[:60]}", "line 1, column"),
        (PLAIN.replace("1)", "1.5)"), "normal[0]"),
        (PLAIN.replace("range(2, 4)", "range()"), "a range without numbers"),
        (PLAIN.replace("range(2, 4)", "range(2, 4, 0)"), "a range without numbers"),
        (PLAIN.replace("range(2, 4)", "range(2, 400)"), "at most 256 states"),
        (PLAIN.replace("range(2, 4)", "open('x')"), "found 'open', allowed a string, a number"),
        (f"Genotype(normal=[{'array(' * 50}", "allowed"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(GenotypeError) as caught:
        read(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_long_log_and_a_file_without_end():
    noise = "10:11 train 001 loss 2.30 (top 1)\n" * 20_000
    assert len(noise) > MAX_CHARACTERS and read(f"{noise}genotype = {PLAIN}\n{noise}") == CELLS
    for text in (noise, noise + "genotype = Genotype(normal=" + "[" * MAX_CHARACTERS):
        with pytest.raises(GenotypeError):
            read(text)


@pytest.mark.parametrize("name", library_names())
def test_the_library_within_a_log(name):
    genotype = load(name)
    assert read(f"10:11 {name}: {to_text(genotype, 'nested')}\n10:12 done") == genotype
