"""``darts.fit``: every kind of data and task, the budget, resuming, saving, exporting, and one line for bad input."""

import copy
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_iris

import darts
from darts.artifacts.checkpoint import canonical
from darts.artifacts.checkpoint import load as load_checkpoint
from darts.automatic import fit_study, problem
from darts.automatic.examples.inputs import ENCODERS
from darts.automatic.fit_data import seconds_of
from darts.automatic.predictor import predictor_from
from darts.errors import UserError

SHORT = dict(budget=None, trials=2, device="cpu", verbose=False)
QUIET = pytest.mark.filterwarnings("ignore:too few data")


@pytest.fixture(scope="module", autouse=True)
def short_trainings():
    """One fold, and few epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "FOLDED", 0)
        patch.setattr(problem, "MAX_EPOCHS", {"table": 20, "image": 2, "text": 2})
        patch.setattr(problem, "MIN_EPOCHS", 1)
        yield


@pytest.fixture(scope="module")
def iris(short_trainings):
    """Rows, answers by name, and a model that was fitted to them."""
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    return x, names, darts.fit(x, names, **SHORT)


def test_a_table_is_learned(iris):
    x, names, model = iris
    assert model.task == "classification" and model.classes == ("setosa", "versicolor", "virginica")
    assert model.score(x, names) > 0.6 and model.figures["accuracy"] > 0.6
    probabilities = model.predict_proba(x[:7])
    assert probabilities.shape == (7, 3) and np.allclose(probabilities.sum(1), 1)
    assert (model.predict(x) == np.array(model.classes)[model.predict_proba(x).argmax(1)]).all()
    assert set(model.scores(x, names)) == {"accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"}


def test_saved_loaded_and_exported_models_are_equal(iris, tmp_path):
    x, _, model = iris
    loaded = darts.load(model.save(tmp_path / "model"))
    assert (loaded.predict_proba(x) == model.predict_proba(x)).all()
    assert loaded.genotype == model.genotype and loaded.report() == model.report()
    assert load_checkpoint(tmp_path / "model" / "model.pt")["facts"]["versions"]["torch"] == torch.__version__
    assert model.export(tmp_path / "model.pt2") < 1e-5


def test_onnx_equals_the_model(iris, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x, _, model = iris
    assert model.export(tmp_path / "model.onnx") < 1e-5
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {"x": x})
    assert np.abs(found - model.predict_proba(x)).max() < 1e-5
    assert "setosa" in session.get_modelmeta().custom_metadata_map["classes"]


def test_a_file_that_computes_something_else_is_not_written(iris, tmp_path, monkeypatch):
    _, _, model = iris
    monkeypatch.setattr("darts.retraining.exchange.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="does not compute what the network does"):
        model.export(tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_the_leaderboard_is_sorted_and_the_report_says_what_was_done(iris):
    *_, model = iris
    rows = model.leaderboard()
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert "150 examples" in model.report() and str(model.genotype) in model.report()


class Frame:
    """A data frame of no library: columns by name."""

    def __init__(self, **columns):
        self.values = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return self.values[name]


def people(count=80):
    """Numbers with missing values and categories; the answer follows from both."""
    rng = np.random.default_rng(0)
    age, city = rng.uniform(0, 90, count), rng.choice(["Rome", "Oslo", "Kiel"], count).astype(object)
    answer = np.where((age > 40) ^ (city == "Oslo"), "yes", "no")
    age[::9] = np.nan
    city[::11] = None
    return age, city, answer


@QUIET
def test_a_frame_of_numbers_and_categories():
    age, city, answer = people()
    model = darts.fit(Frame(age=age, city=city, answer=answer), "answer", **SHORT)
    new = {"age": [30.0, np.nan], "city": ["Oslo", "Bonn"]}
    assert set(model.predict(new)) <= {"yes", "no"}
    assert len(model.predict(Frame(city=city, extra=age, age=age))) == len(age)
    with pytest.raises(UserError, match="no column 'city'"):
        model.predict({"age": [1.0]})
    with pytest.raises(UserError, match="'old' in column 'age', which held numbers"):
        model.predict({"age": ["old"], "city": ["Oslo"]})


@QUIET
def test_a_csv_file(tmp_path):
    age, city, answer = people()
    lines = ["age;city;label", *(f"{'' if a != a else a};{c or ''};{y}" for a, c, y in zip(age, city, answer))]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines))
    model = darts.fit(path, **SHORT)
    assert model.label == "label" and 0 <= model.score(path) <= 1
    (tmp_path / "new.csv").write_text("age;city\n20;Rome\n?;Oslo\n")
    assert len(model.predict(tmp_path / "new.csv")) == 2


@QUIET
@pytest.mark.parametrize("width", [1, 2])
def test_numbers_are_predicted_in_their_unit(width):
    x = np.random.default_rng(0).normal(size=(120, 3))
    y = 1000 + 100 * x[:, :width] if width > 1 else 1000 + 100 * x[:, 0]
    model = darts.fit(x, y, metric="mean_absolute_error", **SHORT)
    assert model.task == "regression" and model.predict(x).shape == y.shape
    assert 0 < model.score(x, y) < 90 and 900 < model.predict(x).mean() < 1100
    with pytest.raises(UserError, match="numbers, which have no probabilities"):
        model.predict_proba(x)


@QUIET
def test_several_labels():
    x = np.random.default_rng(0).normal(size=(60, 3))
    labels = [[name for name, value in zip("abc", row) if value > 0] for row in x]
    model = darts.fit(x, labels, **SHORT)
    assert model.task == "multilabel" and model.classes == ("a", "b", "c")
    assert model.predict(x).shape == (60, 3) and 0 <= model.score(x, labels) <= 1
    matrix = (x > 0).astype(int)
    assert darts.fit(x, matrix, class_weight="balanced", **SHORT).task == "multilabel"


@QUIET
def test_images_that_are_no_squares():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)[:100, :, :6]
    model = darts.fit(images, labels[:100], **SHORT)
    assert model.encoder.describe() == "images of 1 x 8 x 6"
    assert len(model.predict(images[:5])) == len(model.predict(np.pad(images[:5], ((0, 0), (0, 4), (0, 3))))) == 5
    with pytest.raises(UserError, match="images of 3 channels; the model was trained on 1"):
        model.predict(np.zeros((2, 3, 8, 6)))


@QUIET
def test_a_folder_of_images_of_mixed_sizes_whose_test_split_is_not_touched(tmp_path):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        for split, count in (("train", 12), ("test", 2)):
            (tmp_path / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(level - 30, level + 30, (10 + k, 14, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{k}.png")
    for path in (tmp_path / "test").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])  # cannot be decoded
    model = darts.fit(tmp_path, **SHORT)
    files = sorted((tmp_path / "train").rglob("*.png"))
    assert model.classes == ("dark", "light") and len(model.predict(files)) == 24
    assert model.predict(str(files[0])).shape == (1,) and len(model.predict(tmp_path / "train")) == 24
    with pytest.raises(UserError, match="a damaged image"):
        model.score(tmp_path)


@QUIET
def test_texts():
    texts = ["good nice film", "bad dull film", "nice", "dull and bad", "so good", "so bad"] * 6
    labels = ["+", "-", "+", "-", "+", "-"] * 6
    model = darts.fit(texts, labels, **SHORT)
    assert model.encoder.kind == "text" and set(model.predict(["a good film", ""])) <= {"+", "-"}
    with pytest.raises(UserError, match="read as a table; the model was trained on texts"):
        model.predict([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1, 2], [3]], [0, 1], "`x` has rows of unequal lengths"),
        (np.zeros((8, 2)), np.arange(7) % 2, "`x` has 8 examples and `y` has 7 answers"),
        (np.full((8, 2), np.inf), np.arange(8) % 2, "`x` is infinite in column 0 at example 0"),
        (np.zeros((8, 2)), np.arange(8) % 2, "no column with two different values"),
        (np.eye(8), ["a"] * 8, "one class only, 'a'"),
        (np.eye(8), [1.5] * 8, "`y` is the same number for all"),
        (np.eye(8), [0.5] * 7 + [np.nan], "`y` is nan at example 7"),
        (np.eye(8), ["a"] * 7 + [None], "`y` is None at example 7"),
        (np.eye(8), [object()] * 8, "`y` is a object at example 0"),
        (np.array([[object()] * 2] * 8), np.arange(8) % 2, "`x` holds a object in column 0"),
        (np.eye(4), [0, 1, 0, 1], "`x` has 4 examples; 6 or more"),
        (np.eye(8), np.arange(8).astype(str), "no class with two examples"),
        (np.eye(8) * 1j, np.arange(8) % 2, "complex numbers"),
        (np.zeros((8, 0)), np.arange(8) % 2, "no columns"),
        (np.zeros((2, 2, 2, 2, 2)), [0, 1], "accepted are"),
        ("nowhere.csv", None, "no such file or folder"),
        (np.full((8, 4, 4), np.nan), np.arange(8) % 2, "a non-finite value in image 0"),
        (np.eye(8), None, "`y` is not given"),
        ([], [], "no examples"),
    ],
)
def test_bad_data_are_one_line(x, y, message):
    with pytest.raises(UserError, match=message) as raised:
        darts.fit(x, y, **SHORT)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(budget="soon"), "`budget` is 'soon'; it must be a time such as '90s'"),
        (dict(trials=None), "`budget` and `trials` are both None"),
        (dict(trials=0), "`trials` is 0"),
        (dict(metric="r2"), "`metric` is 'r2'; of classification, it must be one of accuracy"),
        (dict(task="ranking"), "`task` is 'ranking'; it must be one of classification"),
        (dict(strategy="magic"), "`strategy` is 'magic'"),
        (dict(class_weight="much"), "`class_weight` is much"),
        (dict(class_weight={"z": 2}), "`class_weight` is .*map classes .a, b. to weights"),
        (dict(device="moon"), "device` is moon"),
    ],
)
def test_bad_arguments_are_one_line(given, message):
    with pytest.raises(UserError, match=message):
        darts.fit(np.eye(8), list("abababab"), **{**SHORT, **given})


def test_unknown_classes_in_a_score(iris):
    x, _, model = iris
    with pytest.raises(UserError, match="the class 'rose', which the model was not trained on"):
        model.score(x[:2], ["setosa", "rose"])


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("10m", 600), ("1.5 h", 5400), (3, 3), (0.5, 0.5), ("2min", 120), (None, None)]
)
def test_budgets(given, seconds):
    assert seconds_of(given) == seconds


@QUIET
@pytest.mark.parametrize("seconds", [170.0])
def test_a_budget_is_kept_and_used(seconds, monkeypatch):
    """Each architecture takes some seconds more, by the clock that the search reads."""
    real, original, added, ends = time.monotonic, fit_study.judge, [0.0], []

    def slow(*arguments):
        *_, end, _ = arguments
        ends.append(end)
        added[0] += min(seconds, end - time.monotonic())
        return original(*arguments)

    monkeypatch.setattr(time, "monotonic", lambda: real() + added[0])
    monkeypatch.setattr(fit_study, "judge", slow)
    x, y = load_iris(return_X_y=True)
    began = time.monotonic()
    model = darts.fit(x, y, budget="1000s", device="cpu", verbose=False)
    assert 900 < time.monotonic() - began < 1100 and began < ends[0] <= began + 1000
    assert len(model.trials) >= 4


@QUIET
def test_trials_without_a_budget_depend_on_the_seed_alone(monkeypatch):
    monkeypatch.setattr(problem, "MAX_EPOCHS", {"table": 2})
    x, y = load_iris(return_X_y=True)
    first, again, other = (darts.fit(x, y, seed=seed, **{**SHORT, "trials": 3}) for seed in (0, 0, 1))
    assert len(first.trials) == 3 and (first.predict_proba(x) == again.predict_proba(x)).all()
    assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))


@QUIET
def test_an_interrupted_search_is_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(problem, "MAX_EPOCHS", {"table": 2})
    x, y = load_iris(return_X_y=True)
    settings = {**SHORT, "trials": 4}
    whole = darts.fit(x, y, run=tmp_path / "whole", **settings)
    original, calls = fit_study.judge, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(fit_study, "judge", killed)
    with pytest.raises(KeyboardInterrupt):
        darts.fit(x, y, run=tmp_path / "cut", **settings)
    assert darts.load(tmp_path / "cut").classes == (0, 1, 2)  # the best so far
    monkeypatch.setattr(fit_study, "judge", original)
    resumed = darts.fit(x, y, run=tmp_path / "cut", **settings)
    assert [row["choices"] for row in resumed.trials] == [row["choices"] for row in whole.trials]
    assert (resumed.predict_proba(x) == whole.predict_proba(x)).all()
    with pytest.raises(UserError, match="made with `data`"):
        darts.fit(x + 1, y, run=tmp_path / "cut", **settings)


def test_few_data_and_rare_classes_are_warned_of():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.array(["common"] * 56 + ["rare"] * 4)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        darts.fit(x, y, **{**SHORT, "trials": 5, "verbose": True})
    messages = " ".join(str(each.message) for each in found)
    assert "class 'rare' has 4 of 60 examples" in messages and "too few data to tell architectures apart" in messages


def test_a_damaged_model_is_refused(iris, tmp_path):
    *_, model = iris
    file = model.save(tmp_path / "model") / "model.pt"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="torn or no checkpoint"):
        darts.load(tmp_path / "model")
    with pytest.raises(UserError, match="no model; give the folder"):
        darts.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metrics", []),
        ("metrics", ["r2"]),
        ("metrics", [["accuracy"]]),
        ("figures", {"accuracy": {}}),
        ("figures", None),
        ("trials", [True]),
        ("trials", [{"state": "complete", "figures": {}, "choices": {}}]),
        ("facts", {"seconds": "x"}),
        ("notes", "x"),
        ("label", 3),
        ("genotype", 3),
        ("networks", 3),
        ("target.task", "x"),
        ("target.names", ["a"]),
        ("target.names", ["a", "a", "b"]),
        ("encoder.kind", "x"),
        ("encoder.columns", []),
        ("encoder.columns", [{"name": 3}]),
        ("encoder.columns", [{"name": "a", "std": 0.0}]),
        ("encoder.columns", [{"name": "a", "mean": float("nan")}]),
    ],
)
def test_a_model_with_a_changed_field_is_refused(field, value, iris):
    *_, model = iris
    state = copy.deepcopy(canonical(model.state()))
    box = state
    *folders, name = field.split(".")
    for folder in folders:
        box = box[folder]
    box[name] = value
    with pytest.raises(UserError, match=r"^model.pt: not a model that this version can read \(") as error:
        predictor_from(state, Path("model.pt"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("image", "height", 10**12),
        ("image", "width", 0),
        ("image", "channels", 7),
        ("image", "bits", 0),
        ("image", "std", [0.0]),
        ("image", "mean", [0.0, 1.0]),
        ("text", "length", 10**12),
        ("text", "length", True),
        ("text", "tokens", [1]),
    ],
)
def test_an_encoder_with_a_changed_field_is_refused(kind, field, value):
    states = {
        "image": {"channels": 1, "height": 8, "width": 8, "bits": 8, "mean": [0.5], "std": [1.0]},
        "text": {"tokens": ["a", "b"], "length": 5},
    }
    assert ENCODERS[kind](states[kind]).kind == kind
    with pytest.raises(ValueError, match="encoder"):
        ENCODERS[kind]({**states[kind], field: value})


def test_fit_is_imported_when_it_is_called():
    code = "import darts, sys; darts.fit; assert not {'torch', 'optuna', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
