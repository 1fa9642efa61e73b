"""Steps as CUDA graphs: on a CPU, that nothing in a step waits for the device; on a GPU, that a replay is the step."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import genotypes
from darts.augment import Augmentation
from darts.config import MethodConfig, RunConfig, SearchSpaceConfig, SpaceConfig
from darts.data import Arrays, resident
from darts.errors import UserError
from darts.graph import StepGraph, set_learning_rate
from darts.recipes import FINAL_RECIPES, search_digits
from darts.retrain import RetrainTask
from darts.search import SearchTask
from tests.darts.test_memory import flat

CPU = torch.device("cpu")


def data_on(device):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (90, 3, 8, 8), np.uint8), np.arange(90) % 3
    arrays = Arrays(images[:80], labels[:80], images[80:], labels[80:])
    return resident("small", arrays, Augmentation(2, True, 4), torch.Generator(device).manual_seed(0))


def task_on(device, kind, run=RunConfig(), **options):  # noqa: B008
    if kind == "retrain":
        config = replace(FINAL_RECIPES["darts_cifar10"](), space=SpaceConfig(4, 1), batch_size=8, epochs=4, run=run)
        config = replace(config, **options)
        return RetrainTask(config, genotypes.load("DARTS_V2"), data_on(device), device)
    space, method = SearchSpaceConfig(channels=4, layers=3, nodes=2), MethodConfig(step=kind)
    return SearchTask(
        replace(search_digits(), space=space, method=method, batch_size=8, run=run), data_on(device), device
    )


def moved_to_meta(task):
    """The task's tensors without values: whatever asks for one fails."""
    meta = torch.device("meta")
    if isinstance(task, RetrainTask):
        task.network.to(meta)
        task.keep = task.keep.to(meta)
        task.optimizer = torch.optim.SGD(task.network.parameters(), 0.1, 0.9)
    else:
        problem = task.problem
        problem.supernet.to(meta)
        problem.logits = {label: logit.detach().to(meta).requires_grad_() for label, logit in problem.logits.items()}
        problem.optimizer = torch.optim.SGD(problem.supernet.parameters(), 0.1, 0.9)
        problem.__post_init__()
        task.logits_optimizer = torch.optim.Adam(problem.logits.values())
    images = torch.empty(8, 3, 8, 8, device=meta).contiguous(memory_format=torch.channels_last)
    return images, torch.empty(8, dtype=torch.long, device=meta)


class NothingSent(torch.utils._python_dispatch.TorchDispatchMode):
    """Fails where a host's tensor meets a device's: a copy that a graph cannot repeat. Single numbers go as such."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        sent = [leaf for leaf in given if not leaf.is_meta and (leaf.dim() or "copy" in func.__name__)]
        on_device = [leaf for leaf in (*given, *tree_leaves(out)) if isinstance(leaf, torch.Tensor) and leaf.is_meta]
        assert not (sent and on_device), func
        return out


class NoListsSent(torch.overrides.TorchFunctionMode):
    """Fails where a list becomes a device's tensor."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and args[0].is_meta:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(part, list) for part in index), args[1]
        made = func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        assert not (made and torch.device((kwargs or {}).get("device") or "cpu").type == "meta"), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["first_order", "unrolled"])
def test_a_search_step_asks_for_no_value(kind, monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # autocast knows no device "meta"
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    task = task_on(CPU, kind)
    task.begin_epoch(1, 0)
    batch = moved_to_meta(task)
    for moves in (True, False):
        task.update(batch, batch, moves)  # what is sent once is sent while warming up
        with NothingSent(), NoListsSent():
            sums = task.update(batch, batch, moves)
        assert sums["loss"].is_meta
    with pytest.raises(RuntimeError, match="meta"):
        sums["loss"].item()


def test_a_retraining_step_asks_for_no_value(monkeypatch):
    task = task_on(CPU, "retrain")
    task.begin_epoch(1, 0)
    batch = moved_to_meta(task)
    monkeypatch.setattr(type(task.data.train), "load", lambda self, *pick, training: pick)
    task._drawn_paths = lambda count: [torch.ones(count, task.paths, device="meta")]
    with NothingSent(), NoListsSent():
        assert task.update(*batch)["loss"].is_meta


def test_a_compiled_network_takes_the_same_step(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # traces, without a C compiler
    losses = []
    for compiled in (False, True):
        task = task_on(CPU, "retrain", compile=compiled)
        task.begin_epoch(1, 0)
        losses.append([task.step()["loss"].item() for _ in range(3)])
    assert losses[0] == losses[1]


class NoWaiting(torch.utils._python_dispatch.TorchDispatchMode):
    """Fails where a value is read, or a shape depends on values."""

    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.waiting, name
        return func(*args, **(kwargs or {}))


def test_loading_a_batch_waits_for_nothing():
    data = data_on(CPU)
    (indices,) = next(data.train.picks(torch.arange(80), 16, True))
    with NoWaiting():
        images, labels = data.train.load(indices, training=True)
    assert images.shape == (16, 3, 8, 8) and len(labels) == 16
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoWaiting():
        labels[0].item()


def test_fused_optimizers_read_no_value_and_take_their_rate_from_a_tensor():
    weight = torch.nn.Parameter(torch.ones(3))
    rate = torch.tensor(0.1)
    sgd = torch.optim.SGD([weight], rate, 0.9, weight_decay=1e-3, fused=True)
    adam = torch.optim.Adam([weight], 1e-3, fused=True)
    for _ in range(2):
        weight.grad = torch.ones(3)
        before = weight.detach().clone()
        with NoWaiting():
            sgd.step()
            adam.step()
        moved = (before - weight).mean().item()
        rate.fill_(10.0)
    assert moved > 0.1 and weight.mean().item() < -10


def test_off_and_a_cpu_run_the_step_itself():
    for mode in ("auto", "off"):
        graph = StepGraph(mode, CPU)
        assert not graph.capturing
        assert graph(lambda x: {"y": x + 1}, (torch.ones(()),), None)["y"] == 2
    with pytest.raises(UserError, match="--graph on: graphs need a GPU"):
        StepGraph("on", CPU)


def test_the_rate_on_a_cpu_is_a_number():
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0)
    set_learning_rate(sgd, 0.25)
    assert sgd.param_groups[0]["lr"] == 0.25


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["first_order", "unrolled", "retrain"])
def test_a_replayed_step_is_the_step(kind):
    device, states = torch.device("cuda"), []
    for mode in ("off", "on"):
        task = task_on(device, kind, RunConfig(graph=mode))
        for epoch in range(3):
            task.begin_epoch(epoch, 0)
            for _ in range(task.steps_per_epoch):
                task.step()
        assert bool(task.graph._graphs) == (mode == "on")
        states.append(flat(task.state()))
    for name, value in states[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.cpu(), states[1][name].cpu()), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_that_cannot_be_captured_says_why_and_runs():
    said = []
    graph = StepGraph("auto", torch.device("cuda"), tell=said.append)

    def waiting(x):
        return {"y": x * x.sum().item()}

    for _ in range(6):
        assert graph(waiting, (torch.ones(2, device="cuda"),), None)["y"].sum() == 4
    assert len(said) == 1 and said[0].startswith("without CUDA graph:")
    with pytest.raises(UserError, match="--graph on: this step cannot be captured"):
        strict = StepGraph("on", torch.device("cuda"))
        for _ in range(6):
            strict(waiting, (torch.ones(2, device="cuda"),), None)
