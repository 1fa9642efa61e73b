"""Searches that begin with what earlier ones have found on other data."""

import json

import pytest
import torch
from torch import nn

import darts
import darts.config
from darts.errors import UserError
from darts.oneshot.prior import raise_logits, results_in, results_of, shares_of
from genotypes import read
from supernet import ValueChoice, layers
from supernet.layer_choice import LayerChoice
from supernet.spaces.modules import ModuleSpace

SHORT = dict(epochs=1, batch_size=16, device="cpu", verbose=False)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        width = ValueChoice([2, 4, 8], "width")
        self.first = layers.Linear(4, width)
        self.act = LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, "act")
        self.head = layers.Linear(width, 2)

    def forward(self, x):
        return self.head(self.act(self.first(x)))


def labelled(seed=0, count=48):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0).long()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a search by gradients and of one by trials."""
    folder = tmp_path_factory.mktemp("prior")
    darts.search(Net(), labelled(), run=folder / "gradients", **SHORT)
    darts.search(Net(), labelled(), method="random", trials=5, run=folder / "trials", **SHORT)
    return folder


def test_shares_and_logits(runs):
    space = ModuleSpace(Net())
    shares = shares_of(space, [runs / "gradients", runs / "trials"])
    for table in space.tables:
        assert shares[table.label].shape == (1, len(table.candidates))
        assert shares[table.label].sum().item() == pytest.approx(1) and (shares[table.label] > 0).all()
    logits = {"width": torch.zeros(1, 3), "act": torch.zeros(1, 2)}
    raise_logits(logits, shares, space.tables)
    assert torch.allclose(logits["width"].softmax(1).double(), shares["width"], atol=1e-6)


def test_the_best_quarter_of_the_trials_counts(runs):
    rows = json.loads((runs / "trials" / "trials.json").read_text())
    best = max(rows, key=lambda row: row["value"])
    (picks,) = results_in(ModuleSpace(Net()), [runs / "trials"])
    assert {label: [name for _, name in pairs] for label, pairs in picks.items()} == json.loads(best["genotype"])


def study(folder, objectives, values, states=("complete",) * 5):
    """Write the trials of a search on the command line, whose configuration names its objectives."""
    names = [json.dumps({"width": [str(2 ** (1 + k % 3))], "act": ["relu" if k < 3 else "tanh"]}) for k in range(5)]
    rows = [{"state": state, "value": value, "genotype": name} for state, value, name in zip(states, values, names)]
    folder.mkdir()
    (folder / "trials.json").write_text(json.dumps(rows))
    (folder / "config.json").write_text(json.dumps({"kind": "search", "config": {"objectives": objectives}}))
    return names


@pytest.mark.parametrize(("objectives", "best"), [("accuracy", 4), ("loss,accuracy", 0), ("parameters", 0)])
def test_the_best_of_an_objective_that_is_minimized_is_the_smallest(objectives, best, tmp_path):
    names = study(tmp_path / "run", objectives, [1, 2, 3, 4, 5])
    assert results_of(tmp_path / "run") == [read(names[best])]


def test_trials_over_a_limit_are_no_results(tmp_path):
    names = study(tmp_path / "run", "parameters", [1, 2, 3, 4, 5], ["infeasible", "running", *["complete"] * 3])
    assert results_of(tmp_path / "run") == [read(names[2])]
    study(tmp_path / "none", "accuracy", [None] * 5, ["fail"] * 5)
    with pytest.raises(UserError, match="the folder of a finished search .no trial of it is complete"):
        results_of(tmp_path / "none")


def test_searches_begin_with_it(runs, tmp_path):
    prior = [runs / "gradients", runs / "trials"]
    result = darts.search(Net(), labelled(1), method="evolution:population=2,sample=1", trials=2, prior=prior,
                          run=tmp_path / "run", **SHORT)  # fmt: skip
    tried = json.loads((tmp_path / "run" / "trials.json").read_text())[0]["genotype"]
    expected = results_in(ModuleSpace(Net()), prior)[0]
    assert json.loads(tried) == {label: [name for _, name in pairs] for label, pairs in expected.items()}
    assert result.network(inherit=True)(labelled()[0]).shape == (48, 2)
    darts.search(Net(), labelled(1), prior=prior, start=runs / "gradients", **SHORT)


def test_a_run_that_is_none(runs, tmp_path):
    with pytest.raises(UserError, match="`prior` is .*: it must be the folder of a finished search"):
        darts.search(Net(), labelled(), prior=[tmp_path], **SHORT)
    other = nn.Sequential(LayerChoice({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2, bias=False)}, "x"))
    with pytest.raises(UserError, match="its results are of another space"):
        darts.search(other, labelled(), prior=[runs / "trials"], **SHORT)


def test_limits_of_ones_own_model():
    for method in ("darts", "random"):
        result = darts.search(Net(), labelled(), method=method, limits="parameters=30", **SHORT,
                              **({"trials": 4} if method == "random" else {}))  # fmt: skip
        assert sum(p.numel() for p in result.network().parameters()) <= 30
    with pytest.raises(Exception, match="no architecture|each of 500 architectures exceeds one"):
        darts.search(Net(), labelled(), limits="parameters=3", **SHORT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(method="random", logits=darts.config.LogitsConfig()), "`logits` is of a search by gradients"),
        (dict(method="random", train_share=0.3), "`train_share` is of a search by gradients"),
        (dict(patience=2), "`patience` is for a strategy"),
        (dict(validation_split=0.3, train_share=0.7), "both given"),
        (dict(valid=labelled(), validation_split=0.3), "`valid` and `validation_split` are both given"),
        (dict(epochs="x"), "`epochs` is 'x'; it must be a whole number"),
        (dict(epochs=True), "`epochs` is True"),
        (dict(batch_size=2.5), "`batch_size` is 2.5"),
        (dict(loss=3), "`loss` is 3; it must be a function or None"),
        (dict(method="random", limits="latency=3ms"), "`limits` of latency"),
        (dict(limits="speed=3"), "`limits` is 'speed=3'"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(Exception, match=message):
        darts.search(Net(), labelled(), **{**SHORT, **options})


@pytest.mark.parametrize("method", ["darts", "random"])
def test_data_that_judge(method):
    options = {"trials": 2} if method == "random" else {}
    result = darts.search(Net(), labelled(), valid=labelled(3, 20), method=method, **options, **SHORT)
    assert 0 <= result.figures["valid_accuracy"] <= 1 and (20 * result.figures["valid_accuracy"]) % 1 < 1e-6
