"""The best epoch, early stopping and its resuming; starts with another run's weights; layers that do not train."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import darts
import darts.config
import darts.retraining.network_task
import genotypes
from darts.artifacts import checkpoint
from darts.config import RetrainConfig, SpaceConfig, check
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from darts.errors import UserError
from darts.retraining.best_epoch import BestEpoch
from darts.retraining.start import NOT_STARTED, Frozen, begin_with
from darts.retraining.task import RetrainTask

CPU = torch.device("cpu")
SHORT = dict(batch_size=16, device="cpu", verbose=False)


def retraining(count=20, **options):
    images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), np.uint8)
    arrays = Arrays(images, np.arange(count) % 2, images[:4], np.arange(4) % 2)
    data = resident("tiny", arrays, Augmentation(0, False, 0), torch.Generator().manual_seed(0))
    config = RetrainConfig(space=SpaceConfig(2, 3), batch_size=4, **{"epochs": 3, **options})
    return RetrainTask(config, genotypes.load("DARTS_V2"), data, CPU)


def test_the_papers_protocol_trains_on_all_and_selects_nothing():
    config = RetrainConfig()
    assert (config.valid_share, config.patience, config.start, config.freeze) == (0, None, None, ())
    task = retraining()
    assert len(task.train_part) == 20 and len(task.valid_part) == 0 and task.selection.kept == {}


def test_a_share_of_every_class_is_held_out_and_the_best_epoch_kept():
    task = retraining(valid_share=0.2)
    assert len(task.valid_part) == 4 and (task.valid_part % 2).sum() == 2
    assert sorted([*task.train_part.tolist(), *task.valid_part.tolist()]) == list(range(20))
    task.begin_epoch(0, 0)
    task.step()
    figures = task.end_epoch(0, lambda done, batches: None)
    assert (
        task.selection.kept["epoch"] == 1 and task.selection.kept["figures"] == figures and "valid_accuracy" in figures
    )


@pytest.mark.parametrize(
    ("values", "patience", "ends"), [([3, 5, 4, 4, 9], 2, 4), ([1, 2, 3, 4, 5], 1, None), ([2, 2, 2], 2, 3),
                                     ([9, 1, 1, 1], None, None)])  # fmt: skip
def test_patience(values, patience, ends):
    selection = BestEpoch(patience)
    over = []
    for number, value in enumerate(values, 1):
        best = selection.is_best({"valid_accuracy": value, "valid_loss": -value, "test_accuracy": 100})
        assert best == (value >= max(values[:number]))
        over += [number] if selection.is_over else []
    assert over[:1] == ([] if ends is None else [ends])
    by_loss = BestEpoch(1)
    losses = (float("nan"), 2.0, 3.0)
    assert [by_loss.is_best({"valid_loss": loss}) for loss in losses] == [True, True, False] and by_loss.is_over


@pytest.mark.parametrize(
    ("options", "message"), [(dict(patience=2), "`patience` is 2, but there is no validation part: set `valid_share`"),
                             (dict(freeze=("started",)), "no run is given"),
                             (dict(freeze=("head",)), "'head', which no layer's name begins with; there are stem")],
)  # fmt: skip
def test_options_that_do_not_fit(options, message):
    with pytest.raises(UserError, match=message):
        retraining(**options)


def test_start_and_inherit_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="`start` and `inherit`"):
        check(RetrainConfig(start=tmp_path, inherit=tmp_path))


def saved(folder, network):
    folder.mkdir()
    checkpoint.save(folder / "weights.pt", {"kind": "weights", "network": network.state_dict()})
    return folder


def network(classes=3, width=8):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def test_layers_start_where_shapes_agree(tmp_path):
    other, ours = network(5), network(3)
    begun = begin_with(ours, saved(tmp_path / "run", other))
    assert begun.started == ("0", "1") and "(3, 8), there (5, 8)" in begun.layers["2"]
    assert torch.equal(ours[0].weight, other[0].weight) and not torch.equal(ours[2].weight, other[2].weight[:3])
    assert next(begun.lines()) == f"2 of 3 layers start with the weights of {tmp_path / 'run'}"
    begun.write(tmp_path)
    assert '"0": "started"' in (tmp_path / "start.json").read_text()
    with pytest.raises(UserError, match="none of 3 layers starts"):
        begin_with(network(3, 7), tmp_path / "run")
    with pytest.raises(UserError, match="`start` is .*nowhere: it must be the folder of a run"):
        begin_with(ours, tmp_path / "nowhere")


def test_frozen_layers_keep_weights_and_statistics(tmp_path):
    ours = network()
    run, x = saved(tmp_path / "run", ours), torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    data = x, torch.arange(32) % 3
    other = network()
    darts.retrain(other, data, start=run, freeze=["0", "1"], epochs=1, **SHORT)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]) == (not name.startswith("2.")), name
    with pytest.raises(UserError, match="leaves no weight to train"):
        Frozen(other, ["0", "1", "2"], NOT_STARTED)


def labelled(count=48):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long()


def test_a_training_stops_early_with_the_best_epochs_weights_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    def values():
        return itertools.chain([0.5, 0.9, 0.6, 0.7], itertools.repeat(0.1))

    def begun():
        torch.manual_seed(0)
        return network(2)

    def judged(found):
        def is_best(selection, figures):
            selection.values.append(next(found))
            return selection.values[-1] >= max(selection.values)

        monkeypatch.setattr(BestEpoch, "is_best", is_best)

    settings = dict(validation_split=0.25, patience=2, epochs=9, **SHORT)
    judged(values())
    whole = begun()
    figures = darts.retrain(whole, labelled(), run=tmp_path / "whole", **settings)
    assert figures["kept_epoch"] == 2 and len((tmp_path / "whole" / "log.jsonl").read_text().splitlines()) >= 4

    found, stopped = values(), begun()
    judged(found)
    original = darts.retraining.network_task.NetworkTask.begin_epoch

    def killed(task, epoch, step):
        if epoch == 3:
            raise RuntimeError("killed")
        original(task, epoch, step)

    monkeypatch.setattr(darts.retraining.network_task.NetworkTask, "begin_epoch", killed)
    with pytest.raises(RuntimeError, match="killed"):
        darts.retrain(stopped, labelled(), run=tmp_path / "cut", **settings)
    monkeypatch.setattr(darts.retraining.network_task.NetworkTask, "begin_epoch", original)
    resumed = begun()
    again = darts.retrain(resumed, labelled(), run=tmp_path / "cut", **settings)
    assert again == figures and next(found) == 0.1
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(patience=2), "`patience` is 2, but there is no validation part"),
        (dict(valid=labelled(), validation_split=0.2), "`valid` and `validation_split` are both given"),
        (dict(validation_split=2.0), "`validation_split` is 2.0"),
        (dict(epochs="x"), "`epochs` is 'x'; it must be a whole number"),
        (dict(freeze="0"), "`freeze` is '0'; it must be a list"),
        (dict(weights=3), "`weights` is 3; it must be a WeightsConfig or None"),
        (dict(weights=darts.config.WeightsConfig(), optimizer=torch.optim.Adam), "leave out one of them"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        darts.retrain(network(2), labelled(), **{**SHORT, **options})


def test_an_optimizer_of_ones_own_and_data_that_judge():
    model = network(2)
    figures = darts.retrain(
        model, labelled(), valid=labelled(20), epochs=2, optimizer=lambda p: torch.optim.Adam(p, 0.01), **SHORT
    )
    assert figures["kept_epoch"] in (1, 2) and {"train_loss", "valid_loss", "valid_accuracy"} <= set(figures)
