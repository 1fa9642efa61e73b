"""Pairs of sentences: reading, vocabularies, held-out sources, mistakes; reversed strings of digits."""

import pytest
import torch
from rich.console import Console

from darts.config import DataConfig
from darts.data.registry import open_data
from darts.data.text import reversed_digits as command
from darts.data.text.pairs import pairs_of, read_pairs
from darts.data.text.reversed_digits import reversed_digits
from darts.data.text.translation import BEGIN, END, Translation
from darts.errors import UserError

CPU = torch.device("cpu")


def test_a_file_is_read_as_the_command_writes_it(tmp_path):
    path = tmp_path / "pairs.tsv"
    command.main([str(path), "--count", "60", "--seed", "3"], Console(quiet=True))
    assert read_pairs(path) == reversed_digits(60, 3)
    data = open_data(DataConfig("pairs", path), CPU, 0)
    assert (len(data.train), len(data.test)) == (48, 12)
    assert all(source.split() == target.split()[::-1] for source, target in reversed_digits(60, 3))


def test_a_line_ends_with_a_line_feed_alone(tmp_path):
    path = tmp_path / "pairs.tsv"
    sentences = [f"one\u2028two\x85three\x0bfour\x1c {k}" for k in range(10)]
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes("".join(f"{each}\tx{end}" for each in sentences).encode())
        assert read_pairs(path) == [(each, "x") for each in sentences]


def test_sentences_are_indices_between_beginning_and_end():
    pairs = [(f"Word{k} Same.", f"wort{k}") for k in range(20)] + [("word0 same.", "anders")]
    data = pairs_of("pairs", pairs, CPU)
    words = {index: word for word, index in data.vocabulary.items()}
    row = data.train.source[0].tolist()
    assert row[0] == BEGIN and row[4] == END and [words[k] for k in row[2:4]] == ["same", "."]
    assert data.shape.source_length == 5 and data.shape.target_length == 3
    assert data.shape.source_words == 4 + len(words)
    sources = [{tuple(row) for row in split.source.tolist()} for split in (data.train, data.test)]
    assert not [row for row in sources[1] if row in sources[0] and 1 not in row], "a source is on one side"


def test_shares_of_pairs_for_a_search_which_have_no_classes():
    data = pairs_of("pairs", reversed_digits(100), CPU)
    first, second = data.search_split(0.75, 0.125)
    assert first.tolist() == list(range(60)) and second.tolist() == list(range(60, 70))


def test_the_objective_counts_tokens_and_sentences():
    target = torch.tensor([[2, 4, 5, 3], [2, 6, 3, 0]])

    def network(source, before):
        assert torch.equal(before, target[:, :-1])
        scores = torch.zeros(2, 3, 7)
        scores[0, [0, 1, 2], [4, 5, 3]] = 9.0
        scores[1, [0, 1, 2], [6, 5, 0]] = 9.0  # the end is wrong; padding does not count
        return scores

    outcome = Translation()(network, (target, target))
    assert {name: float(value) for name, value in outcome.sums.items()} == {
        "accuracy": 1.5, "sentence_accuracy": 1.0, "images": 2.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a\tb"] * 12 + ["no tab"], "pairs.tsv, line 13: 0 tabs; one tab must stand between two sentences"),
        (["a\tb\tc"] * 12, "pairs.tsv, line 1: 2 tabs"),
        (["a\t "] * 12, "pairs.tsv, line 1: an empty sentence"),
        (["a\tb"] * 3, "pairs.tsv: 3 pairs are too few"),
        (["a\tb"] * 30, "1 different sources are too few"),
    ],
)
def test_wrong_files(lines, message, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        open_data(DataConfig("pairs", path), CPU, 0)
