"""Two processes with half the batch each equal one process with the whole batch: gloo, float64, SyncBatchNorm."""

import os
import socket
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing

import genotypes
from darts.cli import train_script
from darts.config import MethodConfig, RunConfig, SearchSpaceConfig, SpaceConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from darts.errors import UserError
from darts.oneshot.builder import make_search
from darts.processes import Ranks
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.task import RetrainTask
from darts.training.distributed import connected
from darts.training.loop import Interrupted
from darts.training.microbatch import BatchPartition
from supernet.ops import BatchNorm

CPU = torch.device("cpu")
STEPS = 2
SYNC = RunConfig(sync_batchnorm=True)


def small_data(ranks):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 3, 8, 8), np.uint8), np.arange(60) % 3
    arrays = Arrays(images[:50], labels[:50], images[50:], labels[50:])
    generator = torch.Generator().manual_seed(0)
    return resident("small", arrays, Augmentation(2, True, 4), generator, dtype=torch.float64, ranks=ranks)


def searched(ranks, step, backend):
    space = SearchSpaceConfig(channels=2, layers=3, nodes=2, backend=backend)
    config = replace(SEARCH_RECIPES["digits"](), space=space, method=MethodConfig(step=step), batch_size=8, run=SYNC)
    return make_search(config, small_data(ranks), CPU, ranks=ranks)


def retrained(ranks):
    config = replace(FINAL_RECIPES["darts_cifar10"](), space=SpaceConfig(2, 3), batch_size=8, epochs=4, run=SYNC)
    return RetrainTask(config, genotypes.load("DARTS_V2"), small_data(ranks), CPU, ranks)


CASES = {
    "first_order": (searched, "first_order", "batched"),
    "unrolled": (searched, "unrolled", "batched"),
    "reference": (searched, "first_order", "reference"),
    "retrain": (retrained,),
}


def after_some_steps(case, ranks):
    """Everything that is learnt, and the figures of an evaluation; on 8 threads or on 1 it is the same."""
    torch.set_default_dtype(torch.float64)
    build, *options = CASES[case]
    task = build(ranks, *options)
    task.begin_epoch(2, 0)
    for _ in range(STEPS):
        task.step()
    ranks.check_equal(task.replicas())
    figures = task.end_epoch(2, lambda done, examples: None)
    state = task.state()
    learnt = {name: value for key in ("network", "supernet", "logits") for name, value in state.get(key, {}).items()}
    numbers = {name: value for name, value in figures.items() if isinstance(value, float)}
    return {name: value.detach().clone() for name, value in learnt.items()}, numbers


def as_a_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with connected() as ranks:
        made = {case: after_some_steps(case, ranks) for case in CASES}
        parts = [
            ranks.all_reduce_max([rank, 5 - rank]),
            ranks.broadcast_from_rank0(lambda: "decided"),
            ranks.total(torch.tensor(rank + 1.0)),
        ]
        unequal = None
        try:
            ranks.check_equal({"logits": torch.tensor([1.0, float(rank)])})
        except RuntimeError as error:
            unequal = str(error)

        def mistake():
            raise UserError("a mistake")

        try:
            ranks.broadcast_from_rank0(mistake)
        except UserError as error:
            parts.append(str(error))
        torch.save({"made": made, "parts": parts, "unequal": unequal}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(as_a_rank, (port, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case, two_ranks):
    before = torch.get_default_dtype()
    try:
        learnt, figures = after_some_steps(case, Ranks())
    finally:
        torch.set_default_dtype(before)
    assert len(learnt) > 100
    for made in two_ranks:
        theirs, numbers = made["made"][case]
        assert numbers == pytest.approx(figures, rel=1e-6, abs=1e-9)
        for name, tensor in learnt.items():
            torch.testing.assert_close(
                theirs[name], tensor, rtol=1e-6, atol=1e-8, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_both_ranks_hold_the_same_bits(two_ranks):
    first, second = (made["made"] for made in two_ranks)
    for case in CASES:
        assert first[case][1] == second[case][1]
        assert all(torch.equal(tensor, second[case][0][name]) for name, tensor in first[case][0].items())


def test_ranks_agree(two_ranks):
    for made in two_ranks:
        largest, decided, total, mistake = made["parts"]
        assert (largest, decided, total.item(), mistake) == ([1, 5], "decided", 3.0, "a mistake")
        assert "logits differs between ranks" in made["unequal"]


def test_ranks_that_agreed_to_stop_part_in_order(monkeypatch, capsys):
    left = []

    @contextmanager
    def group():
        yield Ranks(0, 2)
        left.append("in order")

    def main(arguments, console, ranks):
        raise Interrupted("stopped; the state is saved", 143)

    monkeypatch.setattr("darts.cli.connected", group)
    with pytest.raises(SystemExit) as ended:
        train_script(main)
    assert left == ["in order"] and ended.value.code == 143 and "the state is saved" in capsys.readouterr().out


def test_averages_go_type_by_type_in_the_order_of_the_tensors(monkeypatch):
    sent = []
    monkeypatch.setattr("darts.processes.dist.all_reduce", lambda flat: sent.append(flat.dtype))
    order = [torch.float64, torch.bfloat16, torch.float32, torch.float16]
    Ranks(0, 2).average([torch.zeros(2, dtype=dtype) for dtype in order * 2])
    assert sent == order


@pytest.mark.parametrize(("size", "count"), [(8, 2), (7, 3), (2, 3), (1, 4)])
def test_shares_are_of_one_size_and_miss_nothing(size, count):
    shares = [Ranks(rank, count).shard(size) for rank in range(count)]
    assert len({len(share) for share in shares}) == 1
    assert set(torch.cat(shares).tolist()) == set(range(size))


def test_micro_batches_equal_the_whole_without_batch_statistics():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).double()
    images, labels = torch.randn(7, 3, 2, 2).double(), torch.arange(7) % 3

    def loss(part):
        scores = network(part[0])
        value = torch.nn.functional.cross_entropy(scores, part[1])
        return value, value, {"scores": scores.sum(0).detach(), "images": torch.tensor(len(scores))}

    results = []
    for parts in (1, 3, 7):
        value, sums = BatchPartition(micro_batches=parts).backward(network, loss, (images, labels))
        results.append([value, *sums.values(), *(p.grad for p in network.parameters())])
    for other in results[1:]:
        for ours, theirs in zip(other, results[0]):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_running_statistics_move_once_a_step_by_the_mean_of_the_parts():
    norm = BatchNorm(2, affine=True).double()
    images, labels = torch.randn(8, 2, 3, 3).double(), torch.zeros(8)
    expected = 0.9 * norm.running_mean + 0.1 * images.mean((0, 2, 3))

    def loss(part):
        out = norm(part[0])
        return out.square().mean(), out.mean(), {}

    BatchPartition(micro_batches=4).backward(norm, loss, (images, labels))
    torch.testing.assert_close(norm.running_mean, expected)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_out_of_memory_halves_the_micro_batch_and_goes_on(error):
    network = torch.nn.Sequential(BatchNorm(2), torch.nn.Flatten(), torch.nn.Linear(8, 3)).double()
    batch = torch.randn(8, 2, 2, 2).double(), torch.arange(8) % 3
    said = []
    partition = BatchPartition(listener=said.append)

    def loss(part):
        scores = network(part[0])
        if len(part[1]) > 2:
            raise error
        value = torch.nn.functional.cross_entropy(scores, part[1])
        return value, value, {}

    partition.backward(network, loss, batch)
    assert partition.micro_batches == 4 and len(said) == 2 and "micro-batches of 2 examples" in said[-1]
    exact = BatchPartition(micro_batches=4)
    after = [p.grad for p in network.parameters()], network[0].running_mean.clone()
    for parameter in network.parameters():
        parameter.grad = None
    exact.backward(network, loss, batch)
    for ours, theirs in zip(after[0], network.parameters()):
        assert torch.equal(ours, theirs.grad)
    with pytest.raises(UserError, match="out of memory with one example at a time"):
        BatchPartition().backward(network, lambda part: (_ for _ in ()).throw(error), batch)


def test_other_errors_are_not_taken_for_out_of_memory():
    def loss(part):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        BatchPartition().backward(torch.nn.Linear(1, 1), loss, (torch.zeros(2, 1), torch.zeros(2)))


def test_batches_of_any_form_are_divided_only_where_they_can_be():
    network = torch.nn.Linear(3, 1).double()
    inputs, answers = torch.randn(6, 3).double(), torch.randn(6, 1).double()

    def loss(part):
        x, y = (part["x"], part["y"]) if isinstance(part, dict) else part
        value = (network(x) - y).square().mean()
        return value, {"images": torch.tensor(len(x)), "largest": x.abs().amax(1).sum()}

    results = []
    for batch, parts in (((inputs, answers), 1), ([inputs, answers], 4), ({"x": inputs, "y": answers}, 4)):
        with torch.no_grad():
            value, sums = BatchPartition(micro_batches=parts).outcome(loss, batch)
        gradients = BatchPartition(micro_batches=parts).backward(
            network, lambda part: (loss(part)[0], *loss(part)), batch
        )
        assert torch.equal(gradients[0], value) and sums["images"] == 6
        results.append([value, sums["largest"], network.weight.grad])
    for other in results[1:]:
        for ours, theirs in zip(other, results[0]):
            torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-12, atol=1e-14)
