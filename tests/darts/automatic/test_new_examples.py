"""Examples to predict, as other programs write them: they are read as those were that a model was trained on."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from darts.automatic import command, retrained
from darts.automatic.examples.images import fit_images, images_of_array
from darts.automatic.examples.inputs import Expected, read_examples, read_new
from darts.automatic.examples.targets import target_of
from darts.automatic.fit_data import _left_out
from darts.automatic.metrics import metrics_of
from darts.automatic.problem import make_problem
from darts.config import DataConfig
from darts.data.registry import open_data
from darts.errors import UserError
from darts.retraining.export import Normalized
from supernet.shapes import ImageShape


def trained(path, content):
    """The encoder of a CSV file, and what a model that was trained on it reads."""
    path.write_text(content)
    given = read_examples(path)
    encoder, _ = given.fitted()
    return given, encoder, Expected(given.kind, given.label, getattr(encoder, "texts", frozenset()))


def encoded(path, content, encoder, expected):
    path.write_text(content)
    return encoder(read_new(path, expected).value).tolist()


def test_categories_are_texts_even_where_all_in_a_file_look_like_numbers(tmp_path):
    rows = "".join(f"{code},{k % 3},{k % 2}\n" for k in range(8) for code in ("01", "1.50", "A3"))
    _, encoder, expected = trained(tmp_path / "a.csv", "code,x,y\n" + rows)
    whole = encoded(tmp_path / "b.csv", "code,x\n01,1\n1.50,1\nA3,1\n", encoder, expected)
    part = encoded(tmp_path / "b.csv", "code,x\n01,1\n1.50,1\n", encoder, expected)
    assert part == whole[:2] and not np.isnan(part).any()


def test_classes_are_texts_even_where_all_in_a_file_look_like_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,01\n2,02\n")
    assert read_examples(path, expected=Expected("table", "y", frozenset({"y"}))).answers.tolist() == ["01", "02"]


def test_short_texts_are_texts_for_a_model_of_texts(tmp_path):
    rows = "".join(f"a rather long sentence about {k},{k % 2}\n" for k in range(8))
    given, encoder, expected = trained(tmp_path / "a.csv", "text,y\n" + rows)
    assert given.kind == "text"
    for content in ("text\nsentence\n", "text\n3\n", "text,y\nsentence,1\n"):
        assert len(encoded(tmp_path / "b.csv", content, encoder, expected)) == 1


def test_no_column_is_taken_for_answers_where_a_model_knows_none(tmp_path):
    table = read_new_table(tmp_path, "a,b\n1,2\n3,4\n", Expected("table"))
    assert list(table) == ["a", "b"]


def read_new_table(folder, content, expected=None):
    (folder / "t.csv").write_text(content)
    return read_new(folder / "t.csv", expected).value if expected else read_examples(folder / "t.csv").value


@pytest.mark.parametrize(
    "content",
    [
        '"","a","y"\n"1",5,"p"\n"2",6,"q"\n"3",7,"p"\n',  # write.csv of R
        ",a,y\n0,5,p\n1,6,q\n2,7,p\n",  # to_csv of pandas
        ",a,y\n17,5,p\n3,6,q\n12,7,p\n",  # of a part of a frame
    ],
)
def test_a_column_that_numbers_the_rows_is_no_feature(content, tmp_path):
    assert list(read_new_table(tmp_path, content)) == ["a"]
    assert list(read_new_table(tmp_path, ",a,y\n1,5,p\n1,6,q\n2,7,p\n")) == ["", "a"]
    assert list(read_new_table(tmp_path, "id,a,y\n0,5,p\n1,6,q\n")) == ["id", "a"]


def test_columns_that_are_left_out_are_named(tmp_path):
    rows = "".join(f"{k % 5},name {k},same,{'pq'[k % 2]}\n" for k in range(24))
    given, _, _ = trained(tmp_path / "a.csv", "a,b,c,y\n" + rows)
    target = target_of(given.answers)
    metrics = metrics_of(target.task, None)
    problem = make_problem(given, target, target.encode(given.answers), torch.device("cpu"), metrics, None, 0)
    assert _left_out(problem) == ["columns of one value, or of texts that hardly repeat, are left out: 'b', 'c'"]


def test_decimal_commas_and_underscores(tmp_path):
    table = read_new_table(tmp_path, "a;b;c;d;y\n1,5;1_2;3;1.000,5;p\n-2;1_3;,5;2;q\n;1_2;4;3;p\n")
    assert table["a"].tolist()[:2] == [1.5, -2.0] and np.isnan(table["a"][2]) and table["c"].tolist() == [3, 0.5, 4]
    assert table["b"].tolist() == ["1_2", "1_3", "1_2"] and table["d"].dtype == object
    assert read_new_table(tmp_path, 'a,b,y\n"1,5",1,p\n"2,5",2,q\n')["a"].dtype == object


def test_hidden_files_are_no_images_to_predict(tmp_path):
    for place in ("a.png", "inner/b.png", ".ipynb_checkpoints/a.png", "__MACOSX/._a.png", "inner/._b.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / place)
    assert [path.name for path in read_new(tmp_path, Expected("image")).value] == ["a.png", "b.png"]


def images(folder):
    """Coloured images of two classes, 20 x 16 pixels, in splits."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for k in range(6):
            path = folder / split / "ab"[k % 2] / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (16, 20, 3), np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("name", ["folder", "imagenet"])
def test_a_retrained_network_predicts_what_it_predicted_in_its_evaluation(name, tmp_path, monkeypatch):
    data = open_data(DataConfig(name, root=images(tmp_path), workers=0, size=12), torch.device("cpu"), 0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    batch, _ = next(data.test.batches(torch.arange(6), 6, training=False))
    expected = network(batch).softmax(1)
    model = Normalized(network, *data.train.moments(), data.metadata()).eval()
    monkeypatch.setattr(retrained, "read_record", lambda run: run)
    monkeypatch.setattr(retrained, "rebuilt", lambda record: (model, ImageShape(3, 12, 2)))
    _, header, rows = command._predictions(tmp_path, [tmp_path / "test"])
    found = torch.tensor([list(map(float, row[1:])) for row in rows])
    assert header == ["prediction", "a", "b"] and (found - expected).abs().max() < 2e-6


def test_image_files_for_a_model_of_arrays_of_another_scale(tmp_path, monkeypatch):
    Image.new("L", (8, 8), 200).save(tmp_path / "a.png")
    noise = np.random.default_rng(0).random((10, 8, 8))
    for scale in (1.0, 65535.0):
        with pytest.raises(UserError, match="trained on arrays of another scale"):
            fit_images(images_of_array(noise * scale))([tmp_path / "a.png"])
        model = Normalized(nn.Flatten(), [scale / 2], [scale / 4])
        monkeypatch.setattr(retrained, "read_record", lambda run: run)
        monkeypatch.setattr(retrained, "rebuilt", lambda record, model=model: (model, ImageShape(1, 8, 64)))
        with pytest.raises(UserError, match="trained on arrays of another scale"):
            command._predictions(tmp_path, [tmp_path / "a.png"])
    assert fit_images(images_of_array((noise * 255).astype(np.uint8)))([tmp_path / "a.png"]).max() == 200


def test_predictions_do_not_replace_the_file_they_are_made_from(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    with pytest.raises(UserError, match="`output` is .*a.csv, which is one of the files to predict from"):
        command.predict_command([str(tmp_path), str(path), "--output", str(path)], Console(file=io.StringIO()))
    assert path.read_text() == "x\n1\n"


def test_names_of_files_that_are_not_utf_8_are_written(tmp_path, monkeypatch):
    name = b"\xff.png".decode(errors="surrogateescape")
    monkeypatch.setattr(command, "_predictions", lambda run, files: ([name], ["prediction"], [["a"]]))
    console = Console(file=io.StringIO())
    command.predict_command([str(tmp_path), name, "--output", str(tmp_path / "out.csv")], console)
    assert (tmp_path / "out.csv").read_bytes() == b"example,prediction\r\n\xff.png,a\r\n"


@pytest.mark.parametrize("rule", [{"bits": "8"}, {"bits": 99}, {"resize_shorter_side": 3}])
def test_an_edited_preprocessing_is_one_line(rule, tmp_path, monkeypatch):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    model = Normalized(nn.Flatten(), [99.0], [9.0], {"preprocessing": json.loads(json.dumps(rule))})
    monkeypatch.setattr(retrained, "read_record", lambda run: run)
    monkeypatch.setattr(retrained, "rebuilt", lambda record: (model, ImageShape(1, 8, 64)))
    with pytest.raises(UserError, match="weights.pt has the preprocessing"):
        command._predictions(tmp_path, [tmp_path / "a.png"])
