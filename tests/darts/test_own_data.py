"""One's own data, models and losses in ``darts.search`` and ``darts.retrain``: what is used, refused and reproduced."""

import json
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import darts
from darts.artifacts.checkpoint import CheckpointError
from darts.config import WeightsConfig
from darts.data.user_data import mixed_order, user_split
from darts.errors import UserError
from supernet.layer_choice import LayerChoice

CPU = torch.device("cpu")
SHORT = dict(epochs=2, device="cpu", verbose=False)


class Examples(Dataset):
    """Vectors with labels; notes which are loaded, and augments them by all three libraries' generators."""

    def __init__(self, count=64, augmented=False):
        generator = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(count, 4, generator=generator), torch.arange(count) % 2
        self.augmented, self.seen = augmented, set()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        self.seen.add(int(index))
        noise = torch.randn(4) + random.random() + float(np.random.rand()) if self.augmented else 0
        return self.x[index] + noise, self.y[index]


class Net(nn.Module):
    def __init__(self, norm=False, dropout=0.0):
        super().__init__()
        self.layer = LayerChoice({"linear": nn.Linear(4, 8), "plain": nn.Linear(4, 8, bias=False)}, "layer")
        self.norm, self.drop = nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Dropout(dropout)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.layer(x)).relu()))


def plain(dropout=0.0):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 2))


LOADERS = {
    "subset sampler": lambda data: DataLoader(data, batch_size=8, sampler=SubsetRandomSampler(range(40))),
    "subset": lambda data: DataLoader(Subset(data, range(40)), batch_size=8, shuffle=True),
    "batch sampler": lambda data: DataLoader(data, batch_sampler=BatchSampler(SubsetRandomSampler(range(40)), 8, True)),
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("command", ["search", "retrain"])
def test_only_the_loaders_examples_are_used(name, command):
    data = Examples()
    loader = LOADERS[name](data)
    darts.search(Net(), loader, **SHORT) if command == "search" else darts.retrain(plain(), loader, **SHORT)
    assert data.seen == set(range(40))


@pytest.mark.parametrize(
    "loader",
    [
        lambda data: DataLoader(data, 8, sampler=WeightedRandomSampler([1.0] * 64, 64)),
        lambda data: DataLoader(data, 8, sampler=RandomSampler(data, replacement=True)),
        lambda data: DataLoader(data, 8, sampler=RandomSampler(data, num_samples=10)),
        lambda data: DataLoader(data, 8, sampler=[3, 1, 2]),
        lambda data: DataLoader(data, batch_sampler=[[1, 2], [3]]),
    ],
)
def test_a_loader_that_cannot_be_followed_is_refused(loader):
    with pytest.raises(UserError, match="Subset of the examples"):
        darts.search(Net(), loader(Examples()), **SHORT)


def test_a_data_set_of_whole_batches_is_taken():
    batches = TensorDataset(torch.randn(6, 8, 4), torch.zeros(6, 8).long())
    loader = DataLoader(batches, batch_size=None, sampler=SequentialSampler(batches))
    assert darts.retrain(plain(), loader, **SHORT).keys() >= {"train_loss", "train_accuracy"}


@pytest.mark.parametrize(
    ("count", "drop_last", "steps"), [(65, False, 4), (65, True, 4), (70, False, 5), (70, True, 4)]
)
def test_steps_of_an_epoch(count, drop_last, steps):
    split = user_split(DataLoader(Examples(count), 16, drop_last=drop_last), CPU)
    batches = list(split.batches(torch.arange(count), 16, training=True))
    assert len(batches) == steps == split.steps(count, 16) and min(len(y) for _, y in batches) > 1
    assert sum(len(y) for _, y in split.batches(torch.arange(count), 16, training=False)) == count


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_last_batch_of_one_meets_no_batch_norm(drop_last):
    darts.search(Net(norm=True), DataLoader(Examples(66), 32, drop_last=drop_last), **SHORT)
    darts.retrain(plain(), DataLoader(Examples(33), 32, drop_last=drop_last), **SHORT)


@pytest.mark.parametrize("form", ["tensors", "targets", "subset"])
def test_both_parts_of_sorted_data_have_every_class(form):
    labels = torch.arange(200) // 50
    data = torch.randn(200, 4), labels
    if form != "tensors":
        data = Examples(200)
        data.targets = labels.tolist()
        data = Subset(data, range(200)) if form == "subset" else data
    order = mixed_order(user_split(data, CPU), seed=0)
    assert sorted(order.tolist()) == list(range(200))
    for share in (20, 100, 150):
        counts = labels[order[:share]].bincount(minlength=4)
        assert counts.max() - counts.min() <= 1
    assert not torch.equal(order, mixed_order(user_split(data, CPU), seed=1))


def test_data_of_unknown_classes_are_shuffled():
    assert mixed_order(user_split(Examples(), CPU), 0).tolist() != list(range(64))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_seed_fixes_dropout_and_augmentation(workers):
    figures, weights = [], []
    for _ in range(2):
        network = plain(0.5)
        loader = DataLoader(Examples(augmented=True), 16, num_workers=workers)
        torch.manual_seed(random.randrange(10**6)), np.random.seed(None)
        figures.append(darts.retrain(network, loader, seed=1, **SHORT))
        weights.append(network.state_dict())
    assert figures[0] == figures[1]
    assert all(torch.equal(a, b) for a, b in zip(*(each.values() for each in weights)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_training_equals_one_without_interruption(workers, tmp_path, monkeypatch):
    def trained(folder):
        network = plain(0.5)
        loader = DataLoader(Examples(augmented=True), 16, num_workers=workers)
        darts.retrain(network, loader, test=Examples(), epochs=3, device="cpu", run=folder, verbose=False)
        return network.state_dict()

    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut")
    for path in (tmp_path / "cut" / "checkpoints").glob("step_*.pt"):
        if path.name != "step_000000008.pt":
            path.unlink()
    resumed = trained(tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.values(), resumed.values()))


def test_the_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    darts.retrain(plain_like(before), Examples(augmented=True), **SHORT)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def plain_like(state):
    """A network made without a trace in the global generators."""
    with torch.random.fork_rng(devices=[]):
        return plain(0.5)


def other_loss(network, batch):
    return F.cross_entropy(network(batch[0]), batch[1], label_smoothing=0.1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(epochs=3), "epochs 2, not 3"),
        (dict(batch_size=8), "batch_size 16, not 8"),
        (dict(seed=5), "seed 0, not 5"),
        (dict(weights=WeightsConfig(lr=1.0)), "weights.lr 0.025, not 1.0"),
        (dict(test=Examples(10)), "test None, not 10 examples"),
        (dict(data=(torch.zeros(64, 4), torch.arange(64) % 2)), "data"),
        (dict(loss=other_loss), "loss cross_entropy, not other_loss"),
        (dict(network=nn.Linear(4, 2)), "model Sequential .*, not Linear"),
    ],
)
def test_a_folder_of_another_training_is_refused(change, named, tmp_path):
    data = Examples()
    settings = dict(network=plain(), data=(data.x, data.y), batch_size=16, run=tmp_path / "r", **SHORT)
    first = darts.retrain(**settings)
    again = darts.retrain(**{**settings, "network": plain()})
    assert again == first and again.keys() >= {"train_loss", "train_accuracy"}
    with pytest.raises(CheckpointError, match=f"made with {named}"):
        darts.retrain(**{**settings, **change})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(data=Examples(60)), "data 64 examples .*, not 60 examples"),
        (dict(loss=other_loss), "loss"),
        (dict(model=Net(norm=True)), "model"),
        (dict(epochs=1), "epochs"),
    ],
)
def test_a_folder_of_another_search_is_refused(change, named, tmp_path):
    settings = dict(model=Net(), data=Examples(), batch_size=16, run=tmp_path / "r", **SHORT)
    darts.search(**settings)
    with pytest.raises(CheckpointError, match=f"made with {named}"):
        darts.search(**{**settings, **change})


@pytest.mark.parametrize("left", ["study.db", "genotype.json", "weights.pt", "model.pt", "config.json"])
def test_a_folder_with_the_results_of_another_kind_of_run_is_left_as_it_is(left, tmp_path):
    content = json.dumps({"kind": "search", "config": {"recipe": "digits"}})
    (tmp_path / left).write_text(content)
    rows, answers = torch.randn(12, 3), torch.arange(12) % 2
    for run in (
        lambda run: darts.search(Net(), Examples(), batch_size=16, run=run, **SHORT),
        lambda run: darts.search(Net(), Examples(), method="random", trials=1, batch_size=16, run=run, **SHORT),
        lambda run: darts.retrain(plain(), (rows, answers), run=run, **SHORT),
        lambda run: darts.tune(lambda trial: plain(), (rows, answers), run=run, **SHORT),
        lambda run: darts.fit(rows, answers, trials=1, verbose=False, run=run),
    ):
        with pytest.raises(UserError, match=f"`run` is .*, which holds {left} of another run; give a new folder"):
            run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [left] and (tmp_path / left).read_text() == content


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.randn(64, 1), r"labels of float32 \(64, 1\).*give `loss`"),
        (torch.randn(64), r"labels of float32 \(64,\).*give `loss`"),
        (torch.zeros(64, 1).long(), r"take labels.squeeze\(1\)"),
        (-torch.ones(64).long(), "a label -1"),
    ],
)
@pytest.mark.parametrize("command", ["search", "retrain"])
def test_labels_that_are_no_classes_are_refused(labels, message, command):
    data = torch.randn(64, 4), labels
    with pytest.raises(UserError, match=message):
        darts.search(Net(), data, **SHORT) if command == "search" else darts.retrain(plain(), data, **SHORT)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.bool, torch.int64])
def test_integers_of_any_width_are_classes(kind):
    assert (
        0
        <= darts.retrain(plain(), (torch.randn(64, 4), (torch.arange(64) % 2).to(kind)), **SHORT)["train_accuracy"]
        <= 1
    )


def test_probabilities_are_labels():
    labels = torch.eye(2, dtype=torch.float64)[torch.arange(64) % 2]
    assert 0 <= darts.retrain(plain(), (torch.randn(64, 4), labels), **SHORT)["train_accuracy"] <= 1


def test_dense_labels_are_counted_by_position():
    network = nn.Conv2d(1, 3, 3, padding=1)
    data = torch.randn(32, 1, 8, 8), torch.randint(0, 3, (32, 8, 8))
    figures = darts.retrain(network, data, test=data, **SHORT)
    assert 0 < figures["train_accuracy"] < 1 and 0 < figures["test_accuracy"] < 1


def test_arrays_are_tensors():
    x, y = np.random.default_rng(0).normal(size=(64, 4)), np.arange(64) % 2
    first = darts.retrain(plain(), (x, y), **SHORT)
    assert first == darts.retrain(plain(), (torch.tensor(x).float(), torch.tensor(y)), **SHORT)
    with pytest.raises(UserError, match="array of object"):
        darts.retrain(plain(), (x.astype(object), y), **SHORT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(method="none"), "^`method` is 'none'"),
        (dict(method="oles"), "set `method.callbacks` none, in a Python file that defines METHOD"),
        (dict(device="moon"), "^`device` is moon"),
        (dict(model="net"), "^`model` is a str"),
        (dict(loss=lambda network, batch: network(batch[0])), r"^`loss` returns \(64, 2\)"),
        (dict(data=(torch.full((64, 4), torch.nan), torch.arange(64) % 2)), "nan at step .* look for NaN in `data`"),
    ],
)
def test_messages_name_arguments(change, message):
    with pytest.raises(UserError, match=message) as raised:
        darts.search(**{"model": Net(), "data": Examples(), **SHORT, **change})
    assert "on_nan" not in str(raised.value)


def test_a_loss_may_call_the_network_by_keyword():
    def loss(network, batch):
        return F.cross_entropy(network(x=batch[0]), batch[1])

    darts.search(Net(), Examples(), loss=loss, **SHORT)
    darts.search(Net(), Examples(), loss=loss, method="darts_pt", epochs=4, device="cpu", verbose=False)


@pytest.mark.parametrize("data", [(), [], (torch.zeros(0, 4), torch.zeros(0)), (torch.zeros(4, 2), torch.zeros(3))])
def test_nothing_and_unequal_lengths_are_refused(data):
    with pytest.raises(UserError, match="`data`"):
        darts.retrain(plain(), data, **SHORT)


def test_a_thread_can_search():
    found = []
    thread = threading.Thread(target=lambda: found.append(darts.search(Net(), Examples(), **SHORT)))
    thread.start()
    thread.join()
    assert found and set(found[0].genotype["layer"]) < {"linear", "plain"}
