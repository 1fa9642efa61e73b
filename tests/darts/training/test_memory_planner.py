"""Memory: what is measured, what is chosen, and that a rehearsal leaves no trace."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

import genotypes
from darts.artifacts.checkpoint import canonical
from darts.config import DataConfig, SearchSpaceConfig, SpaceConfig
from darts.data.registry import open_data
from darts.data.split import SplitSubset
from darts.errors import UserError
from darts.oneshot.builder import make_search
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.task import RetrainTask
from darts.training.memory_planner import LiveTensors, needs, parse_bytes, rehearse

CPU = torch.device("cpu")
QUIET = Console(quiet=True)


def task_of(kind):
    data = open_data(DataConfig("digits", crop_padding=1), CPU, seed=0)
    if kind == "search":
        space = SearchSpaceConfig(channels=4, layers=3, nodes=2)
        return make_search(replace(SEARCH_RECIPES["digits"](), space=space, batch_size=32), data, CPU)
    # The auxiliary head's weights alone take more memory than the activations of so small a network.
    config = replace(FINAL_RECIPES["digits"](), space=SpaceConfig(4, 3), batch_size=32, auxiliary=0.0)
    return RetrainTask(config, genotypes.load("DARTS_V1"), data, CPU)


def flat(tree, path=""):
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(tree, list):
        return {k: v for key, value in enumerate(tree) for k, v in flat(value, f"{path}/{key}").items()}
    return {path: tree}


@pytest.mark.parametrize(("text", "size"), [("8GB", 8e9), ("1.5 GiB", 1.5 * 2**30), ("512mb", 512e6)])
def test_amounts(text, size):
    assert parse_bytes(text) == int(size)


@pytest.mark.parametrize("text", ["8", "GB", "-1GB", "0GB", "8 bytes", "nanGB"])
def test_what_is_no_amount(text):
    with pytest.raises(UserError, match="a number and a unit"):
        parse_bytes(text)


def test_live_tensors_count_what_is_alive_at_once():
    kilobyte = 256
    with LiveTensors() as live:
        kept = torch.ones(10 * kilobyte)
        for _ in range(5):
            torch.ones(20 * kilobyte).add_(1)
        view = kept.view(2, -1)[0]
        both = torch.cat([view, view])
    assert live.peak == 30 * 1024 and both.numel() == kept.numel()


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_a_rehearsal_leaves_no_trace(kind):
    task, fresh = task_of(kind), task_of(kind)
    rehearse(task, batch_size=32, device=CPU, limit=None, console=QUIET)
    for each in (task, fresh):
        each.begin_epoch(0, 0)
        each.step()
    ours, theirs = flat(canonical(task.state())), flat(canonical(fresh.state()))
    assert ours.keys() == theirs.keys() and len(ours) > 50
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
        assert same, name


def test_an_epoch_of_one_step_is_rehearsed():
    task = task_of("retrain")
    task.data = replace(task.data, train=SplitSubset(task.data.train, torch.arange(20)))
    task.train_part = torch.arange(20)
    step, evaluation = needs(task, CPU)
    assert step.example > evaluation.example > 0


def test_the_estimate_is_what_a_whole_batch_takes():
    task = task_of("search")
    step, _ = needs(task, CPU)
    floor = step.of(0)
    task.begin_epoch(0, 0)
    task.step()
    with LiveTensors() as live:
        task.step()
    grown = step.of(32) - floor
    assert grown == pytest.approx(live.peak, rel=0.25)


def test_a_limit_picks_micro_batches(monkeypatch):
    monkeypatch.setattr(
        "darts.training.memory_planner.peak_process_bytes", lambda: 10**8
    )  # else what ran before in this process counts
    task = task_of("search")
    found = step, _ = needs(task, CPU)
    monkeypatch.setattr("darts.training.memory_planner.needs", lambda task, device: found)
    rehearse(task, batch_size=32, device=CPU, limit=int(step.of(10)), console=QUIET)
    assert task.partition.micro_batches == 4
    task.begin_epoch(0, 0)
    with LiveTensors() as divided:
        task.step()
    assert divided.peak < 0.6 * (step.of(32) - step.base)
    with pytest.raises(UserError, match="needs .* GB for one example"):
        rehearse(task, batch_size=32, device=CPU, limit=int(step.of(1)) - 10**6, console=QUIET)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_running_out_of_gpu_memory_halves_the_micro_batch():
    device = torch.device("cuda", torch.cuda.current_device())
    data = open_data(DataConfig("digits", crop_padding=1), device, seed=0)
    config = replace(SEARCH_RECIPES["digits"](), space=SearchSpaceConfig(channels=16, layers=8), batch_size=256)
    task = make_search(config, data, device)
    step, _ = needs(task, device)
    there = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(step.of(128) / there, device)
    try:
        task.begin_epoch(0, 0)
        for _ in range(task.steps_per_epoch):
            task.step()
        task.begin_epoch(1, 0)
        for _ in range(task.steps_per_epoch):
            task.step()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    assert task.partition.micro_batches >= 2
    assert all(parts == task.partition.micro_batches for ((_, _, (parts, _), _), _) in task.graph._graphs)
