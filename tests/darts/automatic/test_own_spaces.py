"""One's own models by strategies without gradients, sequences of layers, define-by-run."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import darts
from darts.automatic.trials.epochs import train_epochs
from darts.automatic.trials.sequence import SequenceSpace
from darts.automatic.trials.trial_settings import TrialSettings
from darts.blackbox.points import every
from darts.config import WeightsConfig
from darts.data.user_data import user_split
from darts.errors import UserError
from darts.retraining import network_task
from darts.training.objective import classification
from supernet.layer_choice import InputChoice, LayerChoice

SHORT = dict(epochs=2, batch_size=32, device="cpu", verbose=False)


def images(count=60):
    """Images of two classes: bright or dark."""
    labels = torch.arange(count) % 2
    noise = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return noise + 3.0 * labels[:, None, None, None], labels


class Net(nn.Module):
    """Choices whose candidates differ in shape, and lazy layers behind them."""

    def __init__(self):
        super().__init__()
        self.conv = LayerChoice({"4": nn.Conv2d(1, 4, 3), "8": nn.Conv2d(1, 8, 3)}, label="conv")
        self.dense = LayerChoice({"16": nn.LazyLinear(16), "32": nn.LazyLinear(32)}, label="dense")
        self.head = nn.LazyLinear(2)

    def forward(self, x):
        return self.head(self.dense(self.conv(x).relu().flatten(1)).relu())


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = LayerChoice({"a": nn.Linear(36, 8), "b": nn.Sequential(nn.Linear(36, 8), nn.Tanh())}, "layer")
        self.join = InputChoice(["twice", "once"], "join")
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        y = self.layer(x.flatten(1))
        return self.head(self.join(2 * y, y).relu())


@pytest.mark.parametrize("method", ["evolution:population=2,sample=1", "random", darts.Genetic(population=2, elite=1)])
def test_any_strategy_searches_a_model(method):
    result = darts.search(Net(), images(), method=method, trials=3, validation_split=0.25, **SHORT)
    assert set(dict(result.genotype.picks)) == {"conv", "dense"} and 0 <= result.figures["valid_accuracy"] <= 1
    network = result.network(inherit=True)
    assert network(images()[0]).shape == (60, 2) and result.supernet is None
    assert darts.retrain(network, images(), **SHORT)["train_accuracy"] >= 0


def test_a_search_by_trials_is_continued_and_refuses_another(tmp_path):
    model = Fixed()
    settings = dict(method="random", run=tmp_path / "run", **SHORT)
    whole = darts.search(model, images(), trials=4, method="random", **SHORT)
    darts.search(model, images(), trials=2, **settings)
    continued = darts.search(model, images(), trials=4, **settings)
    assert continued.genotype == whole.genotype and continued.figures == whole.figures
    assert {"genotype.json", "trials.json", "weights.pt", "metrics.json"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with pytest.raises(UserError, match="made with `epochs` 2, not 3; choose another `run`"):
        darts.search(model, images(), trials=4, **{**settings, "epochs": 3})
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before


def test_a_sequence_of_layers_by_a_genetic_algorithm():
    layers = [darts.Dense(8), darts.Dense(16), darts.Conv2d(4, 3), darts.MaxPool2d(), darts.Dropout(0.1)]
    space = darts.Sequence(layers, depth=(1, 3))
    method = darts.Genetic(population=3, mutation_rate=0.1, elite=1)
    result = darts.search(space, images(), method=method, trials=4, validation_split=0.2, **SHORT)
    assert 1 <= int(result.genotype["depth"][0]) <= 3
    assert result.network(inherit=True)(images()[0]).shape == (60, 2)


def test_every_point_of_a_sequence_is_a_network():
    space = SequenceSpace(darts.Sequence([darts.Dense(3), darts.Conv2d(2, 3), darts.MaxPool2d()], (1, 2)), (1, 4, 4), 2)
    points = list(every(_decisions(space)))
    assert len({tuple(point.items()) for point in points}) == len(points) == 3 + 1 + 3 + 3
    for point in points:
        names = [value for name, value in point.items() if name != "depth"]
        assert set(dict(space.genotype(point).picks)) == {"depth", *(f"layer{k + 1}" for k in range(len(names)))}
        assert not any(a.startswith("dense") and not b.startswith("dense") for a, b in pairwise(names))
        assert space.network(space.genotype(point))(torch.zeros(2, 1, 4, 4)).shape == (2, 2)


def _decisions(space):
    from darts.automatic.trials.model_search import SequenceDecisions

    return SequenceDecisions(space)


def build(trial):
    """Filters, kernel, dense units, dropout and learning rate."""
    kernel = trial.suggest_categorical("kernel", [3, 5])
    network = nn.Sequential(
        nn.LazyConv2d(trial.suggest_int("filters", 4, 8, step=4), kernel),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(trial.suggest_int("units", 8, 16, step=8)),
        nn.ReLU(),
        nn.Dropout(trial.suggest_float("dropout", 0.1, 0.5, step=0.1)),
        nn.LazyLinear(2),
    )
    return network, torch.optim.Adam(network.parameters(), lr=trial.suggest_categorical("lr", [1e-2, 1e-3]))


@pytest.mark.parametrize("strategy", ["random", "tpe"])
def test_define_by_run(strategy, tmp_path):
    settings = dict(strategy=strategy, executions_per_trial=2, **SHORT)
    whole = darts.tune(build, images(), trials=3, **settings)
    assert set(whole.best_params) == {"kernel", "filters", "units", "dropout", "lr"}
    assert whole.best_model()(images()[0]).shape == (60, 2) and 0 <= whole.best_value <= 1
    assert [row["rank"] for row in whole.leaderboard()] == [1, 2, 3]
    darts.tune(build, images(), trials=1, run=tmp_path / "run", **settings)
    continued = darts.tune(build, images(), trials=3, run=tmp_path / "run", **settings)
    assert continued.best_params == whole.best_params and continued.best_value == whole.best_value
    first, second = (study.best_model().state_dict() for study in (whole, continued))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: darts.search(Fixed(), images(), method=3, **SHORT), "`method` is a int; it must be a name"),
        (lambda: darts.search(Fixed(), images(), trials=3, **SHORT), "`trials` is for a strategy without gradients"),
        (lambda: darts.search(Fixed(), images(), method="random", trials=0, **SHORT), "`trials` is 0"),
        (lambda: darts.search(Fixed(), images(), validation_split=1.0, **SHORT), "`validation_split` is 1.0"),
        (lambda: darts.search(Fixed(), images(), method="genetic:size=3", **SHORT), "has no option 'size'"),
        (lambda: darts.search(darts.Sequence([darts.Conv2d(3)]), (torch.ones(40, 3), torch.arange(40) % 2),
                              method="random", **SHORT), "none reads examples of shape"),
        (lambda: darts.search(nn.Sequential(nn.Flatten(), LayerChoice([nn.Linear(9, 2)], "x")), images(),
                              method="random", **SHORT), "the network of x: 0 fails on a batch"),
        (lambda: darts.Sequence([darts.Dense(3), darts.Dense(3)]), "several different layers; dense_3_relu"),
        (lambda: darts.Sequence([darts.Dense(3)], depth=(2, 1)), "`depth` is "),
        (lambda: darts.Sequence([darts.Dense(3, "magic")]), "`activation` is 'magic'"),
        (lambda: darts.tune(lambda trial: 3, images(), trials=1, **SHORT), "`build` returns a int"),
        (lambda: darts.tune(lambda trial: nn.Linear(2, 2), images(), trials=1, **SHORT), "`build` fails on a batch"),
        (lambda: darts.tune(build, images(), strategy="magic", **SHORT), "`strategy` is 'magic'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(call, message):
    with pytest.raises(Exception, match=message) as raised:
        call()
    assert isinstance(raised.value, UserError) and "\n" not in str(raised.value)


def test_patience_ends_a_training_and_the_best_epoch_counts(monkeypatch):
    losses = iter([1.0, 0.5, 0.7, 0.8, 0.9, 0.1])
    monkeypatch.setattr(network_task, "evaluate", lambda *args, **kwargs: {"loss": next(losses)})
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    split = user_split(images(), torch.device("cpu"))
    settings = TrialSettings(6, 30, WeightsConfig(), 0.2, 2, 0)
    trained = train_epochs(network, split, split, classification, settings, seed=0)
    assert trained.epoch == 2 and trained.figures == {"valid_loss": 0.5} and list(losses) == [0.9, 0.1]
    assert all(torch.equal(weight, trained.weights[name]) for name, weight in network.state_dict().items())
