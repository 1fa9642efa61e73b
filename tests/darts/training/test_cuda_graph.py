"""Steps as CUDA graphs: on a CPU, that nothing in a step waits for the device; on a GPU, that a replay is the step."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import genotypes
import supernet.mixed.batched
from darts.artifacts.checkpoint import canonical, load, save
from darts.bilevel.hypergradients import same_draws, unrolled
from darts.bilevel.relaxations import Softmax
from darts.config import MethodConfig, RunConfig, SearchSpaceConfig, SpaceConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from darts.errors import UserError
from darts.methods.gdas import HardGumbel
from darts.oneshot.builder import make_search
from darts.oneshot.task import SearchTask
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.task import RetrainTask
from darts.training.cuda_graph import KEPT, WARM_UP, StepGraph, capturing
from darts.training.microbatch import BatchPartition
from darts.training.weights_optimizer import set_learning_rate
from supernet.fused.handling import handled
from supernet.mixed.graph import MixedGraph
from tests import tiny
from tests.darts.training.recorded import WAITING, RecordedGraph, Recorder
from tests.darts.training.test_memory_planner import flat

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)

ONCE = ("darts", "gdas", "fair_darts", "darts_minus", "sdarts_rs", "beta_darts", "drnas")
RECORDED = [
    *((MethodConfig(name), 1) for name in ONCE),
    (MethodConfig(step="unrolled"), 1),
    (MethodConfig("pc_darts"), 2),
    (MethodConfig("snas", penalties=("resource:estimate=policy_gradient",)), 2),
]
"""How many steps are captured in all epochs: one of each kind, with and without a move of the logits, and, here for
SNAS, with and without dropped edges."""


def data_on(device):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (74, 3, 8, 8), np.uint8), np.arange(74) % 3
    arrays = Arrays(images[:64], labels[:64], images[64:], labels[64:])
    return resident("small", arrays, Augmentation(2, True, 4), torch.Generator(device).manual_seed(0))


def task_on(device, kind, run=RunConfig(), **options):  # noqa: B008
    if kind == "retrain":
        config = replace(FINAL_RECIPES["darts_cifar10"](), space=SpaceConfig(4, 1), batch_size=8, epochs=4, run=run)
        config = replace(config, **options)
        return RetrainTask(config, genotypes.load("DARTS_V2"), data_on(device), device)
    space = SearchSpaceConfig(channels=4, layers=3, nodes=2, backend=options.pop("backend", "auto"))
    config = replace(SEARCH_RECIPES["digits"](), space=space, method=MethodConfig(step=kind), batch_size=8, run=run)
    return make_search(replace(config, **options), data_on(device), device)


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
        task = task_on(CPU, "retrain", compile=compiled, fused=False)
        task.begin_epoch(1, 0)
        losses.append([task.step()["loss"].item() for _ in range(3)])
    assert losses[0] == losses[1]


class NoWaiting(torch.utils._python_dispatch.TorchDispatchMode):
    """Fails where a value is read, or a shape depends on values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in WAITING, name
        return func(*args, **(kwargs or {}))


def test_loading_a_batch_waits_for_nothing():
    data = data_on(CPU)
    (indices,) = next(data.train.host_batches(torch.arange(80), 16, True))
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
    with pytest.raises(UserError, match="`run.graph` is on: graphs need a GPU"):
        StepGraph("on", CPU)


def test_the_rate_on_a_cpu_is_a_number():
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0)
    set_learning_rate(sgd, 0.25)
    assert sgd.param_groups[0]["lr"] == 0.25


class Replayable:
    """A graph that only says what was done to it; the test's steps say when they run."""

    def __init__(self, log):
        self.log, self.fails = log, None

    def register_generator_state(self, generator):
        self.log.append("registered")

    def pool(self):
        return "pool"

    def replay(self):
        self.log.append("replayed")


@pytest.fixture
def pretended(monkeypatch):
    """StepGraph's own course on a machine without a GPU: what it asks of PyTorch, in order."""
    log = []

    class Capture:
        def __init__(self, graph, pool, stream, capture_error_mode):
            log.append(f"captured in {pool}")

        def __enter__(self):
            monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)

        def __exit__(self, kind, error, trace):
            monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
            if error:
                raise RuntimeError("operation failed due to a previous error during capture")

    class Stream:
        def __init__(self, device):
            log.append("stream")

        def wait_stream(self, other):
            pass

    made = {"CUDAGraph": lambda: Replayable(log), "graph": Capture, "Stream": Stream, "stream": lambda s: nullcontext()}
    made |= {"current_stream": Stream.__new__, "current_device": lambda: 0, "is_available": lambda: True}
    made |= {"synchronize": lambda device: None, "empty_cache": lambda: log.append("emptied")}
    made |= {"graph_pool_handle": lambda: "new pool", "default_generators": (torch.default_generator,)}
    made |= {"is_current_stream_capturing": lambda: False}
    for name, value in made.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream.__new__(Stream))
    monkeypatch.setattr("darts.training.cuda_graph._close_pool", lambda index, pool: log.append(f"closed {pool}"))
    monkeypatch.setattr("darts.training.cuda_graph._release", lambda generator, state: log.append("anew"))
    return log


def test_a_step_warms_up_is_captured_once_and_replayed(pretended):
    graph, generator = StepGraph("auto", CUDA, [torch.Generator()]), torch.zeros(1)
    for _ in range(WARM_UP + 4):
        pretended.append("called")
        graph(lambda x: {"y": pretended.append("computed") or x}, (generator,), "key")
    expected = ["called", "stream", "computed", *["called", "computed"] * (WARM_UP - 1)]
    expected += ["called", "registered", "captured in new pool", "computed", "replayed"]
    assert pretended == [*expected, *["called", "replayed"] * 3]


def test_few_graphs_are_kept_and_share_their_memory(pretended):
    graph = StepGraph("auto", CUDA)
    for key in range(KEPT + 2):
        for _ in range(WARM_UP + 1):
            graph(lambda x: {"y": x}, (torch.zeros(1),), key)
    assert [name for (name, _) in graph._graphs] == list(range(2, KEPT + 2))
    pools = [entry for entry in pretended if entry.startswith("captured")]
    assert pools == ["captured in new pool", *["captured in pool"] * (KEPT + 1)] and pretended.count("stream") == 1


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_failed_capture_leaves_no_trace(pretended, mode):
    said = []
    graph = StepGraph(mode, CUDA, [torch.Generator()], listener=said.append)

    def step(x):
        if capturing():
            raise RuntimeError("a value is needed\nand more")
        return {"y": x + 1}

    for _ in range(WARM_UP):
        graph(step, (torch.zeros(1),), None)
    if mode == "on":
        with pytest.raises(UserError, match=r"cannot be captured \(a value is needed\); set it to auto"):
            graph(step, (torch.zeros(1),), None)
    else:
        assert graph(step, (torch.zeros(1),), None)["y"] == 1 and not graph.capturing
        assert said == ["without CUDA graph: a value is needed"]
    assert pretended[-4:] == ["closed new pool", "emptied", "anew", "anew"] and not graph._graphs


def test_memory_that_runs_out_drops_the_graphs_and_a_capture_is_not_halved(pretended, monkeypatch):
    network, dropped = torch.nn.Linear(2, 1), []
    partition = BatchPartition(release=lambda: dropped.append(True))

    def loss(part):
        if len(part[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        value = network(part[0]).mean()
        return value, value, {}

    partition.backward(network, loss, (torch.zeros(4, 2), torch.zeros(4)))
    assert partition.micro_batches == 2 and dropped == [True]
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(torch.OutOfMemoryError):
        partition.backward(network, loss, (torch.zeros(8, 2), torch.zeros(8)))
    assert partition.micro_batches == 2


@pytest.mark.parametrize(("relax", "redraws"), [(Softmax(), False), (HardGumbel(), True)])
def test_a_captured_step_leaves_the_generator_alone_where_nothing_is_drawn_twice(relax, redraws, monkeypatch):
    problem, *batches = tiny.problem(relax=relax)
    unrolled(problem, *batches)
    assert problem.redraws == redraws
    monkeypatch.setattr("darts.bilevel.hypergradients.capturing", lambda: True)
    before = problem.generator.get_state()
    with same_draws(problem):
        problem.generator.manual_seed(5)
    assert torch.equal(before, problem.generator.get_state()) == redraws


def test_a_method_that_counts_on_the_host_is_not_captured():
    space = SearchSpaceConfig(channels=2, layers=3, nodes=1)
    config = replace(SEARCH_RECIPES["digits"](), space=space, method=MethodConfig("oles"))
    task = make_search(config, data_on(CPU), CPU)
    task.config = replace(config, run=RunConfig(graph="on"))
    with pytest.raises(UserError, match="keeps count of its steps on the host"):
        task.problem.generator = SimpleNamespace(device=CUDA)
        task._new_graph()


def trained(task, epochs, first=0):
    """All that a task is after some epochs."""
    for epoch in range(first, epochs):
        task.begin_epoch(epoch, 0)
        for _ in range(task.steps_per_epoch):
            task.step()
    return flat(canonical(task.state()))


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name


TOLERANCES = {"float32": dict(rtol=1e-2, atol=5e-3), "bfloat16": dict(rtol=0.1, atol=2e-2)}


def assert_close(ours, theirs, precision="float32"):
    """Equal but for the order in which a library's kernels add: atomically, where they are not deterministic."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(theirs[name], value, **TOLERANCES[precision])


@pytest.fixture
def deterministic(monkeypatch):
    """On a GPU, the library's kernels that are left beside the fused ones give the same bits twice."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def steady(task):
    """Optimizers that a graph can hold on a CPU too: a rate that stays, steps that are counted in tensors."""
    task.config = replace(task.config, weights=replace(task.config.weights, lr_min=task.config.weights.lr))
    if isinstance(task, SearchTask):
        task.logits_optimizer = torch.optim.Adam(task.problem.logits.values(), 0.05, fused=True)
    return task


@pytest.fixture
def gates_unknown(monkeypatch):
    """On a CPU too, a candidate is computed without a look at its gate."""

    def leaving(source, x, gates, live, known=supernet.mixed.batched._edge_outputs):
        return known(source, x, gates * (gates != 0), None)

    monkeypatch.setattr(supernet.mixed.batched, "_edge_outputs", leaving)


@pytest.mark.parametrize(("method", "captures"), RECORDED)
def test_schedules_continue_while_a_step_is_replayed(method, captures, monkeypatch, gates_unknown):
    states = []
    monkeypatch.setattr("darts.bilevel.hypergradients.capturing", lambda: Recorder.active)
    for graph in (StepGraph, RecordedGraph):
        monkeypatch.setattr("darts.training.cuda_graph.StepGraph", graph)
        config = replace(SEARCH_RECIPES["digits"](), epochs=5, batch_size=8, method=method)
        config = replace(config, space=SearchSpaceConfig(channels=4, layers=3, nodes=1, backend="batched"))
        config = replace(config, drop_path=0.3 if method.name == "snas" else 0.0)
        task = steady(make_search(config, data_on(CPU), CPU))
        states.append(trained(task, 4))
    assert not task.graph.refused and task.graph.captures == captures
    assert_same(*states)


def test_drop_path_and_cutout_rise_while_a_retraining_step_is_replayed(monkeypatch):
    states = []
    for graph in (StepGraph, RecordedGraph):
        monkeypatch.setattr("darts.training.cuda_graph.StepGraph", graph)
        task = steady(task_on(CPU, "retrain", drop_path=0.9, fused=False))
        policy = replace(task.data.train.augmentation, rising=True)
        task.data = replace(task.data, train=replace(task.data.train, augmentation=policy))
        states.append(trained(task, 3))
    assert not task.graph.refused and task.graph.captures == 1
    assert_same(*states)


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("kind", ["first_order", "unrolled"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replayed_step_is_the_step(kind, precision, deterministic):
    """Bit for bit where all kernels are deterministic, as the fused ones are."""
    states = []
    for mode in ("off", "on"):
        task = task_on(CUDA, kind, RunConfig(graph=mode, precision=precision), backend="fused")
        states.append(trained(task, 3))
        assert bool(task.graph._graphs) == (mode == "on")
    assert_same(*states)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {"backend": "batched"}) for kind in ("first_order", "unrolled")),
        *(("retrain", {"fused": fused}) for fused in (False, True)),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replayed_step_of_the_librarys_kernels_is_the_step(kind, options, precision, deterministic):
    """After few steps: what they round differently grows tenfold with each."""
    states = []
    for mode in ("off", "on"):
        task = task_on(CUDA, kind, RunConfig(graph=mode, precision=precision), **options)
        states.append(trained(task, 1 if kind == "retrain" else 2))
        assert bool(task.graph._graphs) == (mode == "on")
    assert_close(*states, precision)


@pytest.mark.gpu
@gpu
def test_the_definition_reads_gates_and_runs_uncaptured(deterministic):
    """A capture that the device refuses leaves no trace: the numbers are those without, and others can be captured."""
    states = []
    for mode in ("off", "auto"):
        task = task_on(CUDA, "first_order", RunConfig(graph=mode), backend="reference")
        states.append(trained(task, 2))
    assert task.graph.refused and not task.graph._graphs
    assert_close(*states)
    torch.cuda.empty_cache()
    task = task_on(CUDA, "first_order", RunConfig(graph="on"), backend="fused")
    trained(task, 3)
    assert task.graph._graphs


@pytest.mark.gpu
@gpu
def test_a_search_on_a_gpu_uses_the_fused_kernels():
    task = task_on(CUDA, "first_order")
    graphs = [module for module in task.problem.supernet.modules() if isinstance(module, MixedGraph)]
    assert graphs and {module.backend for module in graphs} == {"fused"}
    assert all(part.kernels for cell in task.problem.supernet.cells for part in (cell.preprocess0, cell.preprocess1))


def test_the_fused_kernels_of_a_gpu_compute_the_layers_too():
    pytest.importorskip("triton")
    from supernet.fused.layers.fused import fused

    with handled(lambda launch: None):
        task = task_on(CPU, "first_order", backend="fused")
    layers = [part for cell in task.problem.supernet.cells for part in (cell.preprocess0, cell.preprocess1)]
    assert len(layers) == 6 and all(layer.kernels is fused for layer in layers)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("kind", ["first_order", "retrain"])
def test_a_run_goes_on_from_a_replayed_step(kind, tmp_path, deterministic):
    run = RunConfig(graph="on")
    first = task_on(CUDA, kind, run)
    trained(first, 2)
    save(tmp_path / "state.pt", {"task": first.state()})
    again = task_on(CUDA, kind, run)
    trained(again, 1)  # has graphs of its own, of other tensors
    again.load_state(load(tmp_path / "state.pt")["task"])
    assert not again.graph._graphs
    same = assert_same if kind == "first_order" else assert_close
    same(trained(first, 4, 2), trained(again, 4, 2))
    assert first.graph._graphs and again.graph._graphs


@pytest.mark.gpu
@gpu
def test_each_replay_draws_anew_and_as_without():
    seen = []
    for mode in ("off", "on"):
        own = torch.Generator(CUDA).manual_seed(3)
        torch.manual_seed(4)
        graph = StepGraph(mode, CUDA, [own])

        def step(x, own=own):
            dropped = torch.nn.functional.dropout(torch.ones(64, device=CUDA))
            return {"own": x + torch.rand(64, generator=own, device=CUDA), "dropped": dropped}

        seen.append([graph(step, (torch.zeros(64, device=CUDA),), None) for _ in range(WARM_UP + 4)])
    for name in ("own", "dropped"):
        rows = [torch.stack([outputs[name] for outputs in each]) for each in seen]
        assert torch.equal(*rows) and len(rows[1].unique(dim=0)) == WARM_UP + 4


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("method", [MethodConfig("oles"), MethodConfig("gdas", step="unrolled")])
def test_methods_take_the_same_steps_whether_they_can_be_captured_or_not(method):
    states = []
    for mode in ("off", "auto"):
        task = task_on(CUDA, "first_order", RunConfig(graph=mode), method=method)
        states.append(trained(task, 2))
    assert task.graph.refused or method.name != "oles"
    assert_close(*states)


@pytest.mark.gpu
@gpu
def test_a_step_that_cannot_be_captured_says_why_and_runs():
    said, own = [], torch.Generator(CUDA).manual_seed(0)
    graph = StepGraph("auto", CUDA, [own], listener=said.append)

    def waiting(x):
        drawn = torch.rand(2, generator=own, device=CUDA) + torch.rand(2, device=CUDA)
        return {"y": x * x.sum().item(), "drawn": drawn}

    drawn = []
    for _ in range(6):
        outputs = graph(waiting, (torch.ones(2, device="cuda"),), None)
        assert outputs["y"].sum() == 4
        drawn.append(outputs["drawn"])
    assert len(torch.stack(drawn).unique(dim=0)) == 6
    assert len(said) == 1 and said[0].startswith("without CUDA graph:")
    with pytest.raises(UserError, match="`run.graph` is on: this step cannot be captured"):
        strict = StepGraph("on", torch.device("cuda"))
        for _ in range(6):
            strict(waiting, (torch.ones(2, device="cuda"),), None)
