"""Sentences from CSV files of two columns."""

import pytest
import torch

from darts.data.text.sentences import UNKNOWN, read_sentences
from darts.errors import UserError

CPU = torch.device("cpu")


def write(path, rows, head=""):
    path.write_text(head + "".join(f'"{text}",{label}\n' for text, label in rows))
    return path


def test_words_labels_and_splits(tmp_path):
    rows = [(f"The cat no. {k}", "cat") for k in range(10)] + [(f"a dog, {k + 50}", "dog") for k in range(10)]
    data = read_sentences(write(tmp_path / "a.csv", rows, "text,animal\n"), CPU)
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.shape.classes == 2 and data.shape.length == 5
    for split in (data.train, data.test):
        assert ((split.tokens != 0).sum(1) == torch.where(split.labels == 0, 5, 4)).all()
    assert (data.test.tokens == UNKNOWN).any(), "numbers that only the test split holds are unknown"
    tokens, labels = next(data.train.batches(torch.arange(16), 5, True, 3))
    assert tokens.shape == (1, 5) and labels.shape == (1,)


def test_the_order_of_columns_is_found_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{k % 3},word{k} other\n" for k in range(30)))
    assert read_sentences(path, CPU).shape.classes == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,c\n" * 20, "row 1: 3 columns"),
        ("a,b\n" * 3, "3 rows are too few"),
        ("".join(f"text {k},same\n" for k in range(20)), "one label only, 'same'"),
        ("", "0 rows are too few"),
    ],
)
def test_other_files(content, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_sentences(tmp_path / "a.csv", CPU)
    with pytest.raises(UserError, match="not a readable CSV file"):
        read_sentences(tmp_path, CPU)


ROWS = "".join(f"{k},this one is {w} and number {i}\n" for i in range(12) for k, w in (("pos", "good"), ("neg", "bad")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "label,text\n"])
def test_what_spreadsheets_write_reads_the_same(tmp_path, encoding, delimiter, head):
    path = tmp_path / "a.csv"
    path.write_bytes((head + ROWS).replace(",", delimiter).replace("\n", "\r\n").encode(encoding))
    data = read_sentences(path, CPU)
    assert (len(data.train), len(data.test), data.classes) == (20, 4, ("neg", "pos"))
    assert not any("\ufeff" in word for word in data.vocabulary)


def test_a_class_of_one_sentence_is_trained_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(ROWS + 'rare,"a word, and another"\n')
    data = read_sentences(path, CPU)
    assert (data.train.labels == data.classes.index("rare")).sum() == 1 and len(data.test) == 4


def test_a_file_that_is_missing_is_missing(tmp_path):
    with pytest.raises(UserError, match="a.csv: no such file"):
        read_sentences(tmp_path / "a.csv", CPU)
