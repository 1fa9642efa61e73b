"""The prediction of a step: loops, counts and sums by hand, and its options."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from supernet.bench import kernels
from supernet.fused.cuda import library
from supernet.fused.handling import handled
from supernet.fused.prediction.loops import nest
from supernet.mixed.graph import MixedGraph
from supernet.ops import Fusable

pytest.importorskip("triton", reason="Triton is not installed")
command = pytest.importorskip("supernet.fused.prediction.command")
counting = pytest.importorskip("supernet.fused.prediction.counting")
machine_code = pytest.importorskip("supernet.fused.prediction.machine_code")

needs_nvrtc = pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")

TWO_LOOPS = [[1], [2], [2, 3], [1, 4], [5], [4, 6], []]
"""Block 2 repeats itself inside the loop of 1 to 3; then 4 and 5 are a loop."""


def test_loops_and_how_they_are_nested():
    loops = nest(TWO_LOOPS)
    assert loops.shape == (((),), ())
    assert [sorted(region.own) for region in loops.every()] == [[0, 6], [1, 3], [2], [4, 5]]


def test_a_jump_back_from_the_end_is_no_loop():
    """Block 3 stands at the end but is passed at most once: it goes back to 2, which does not lead to it."""
    assert nest([[1], [2, 3], [], [2]]).shape == ()


def test_machine_instructions_loop_by_loop():
    loops = nest(TWO_LOOPS)
    code = machine_code.MachineCode((10, 1, 6, 1, 4, 4, 2), loops)
    sizes, counts = [4, 2, 3, 2, 1, 3, 2], [2, 20, 600, 20, 8, 8, 1]
    outside, outer, inner, last = (4 * 2 + 2 * 1) * 12 / 6, (2 * 20 + 2 * 20) * 2 / 4, 600 * 3 * 6 / 3, 8 * 4 * 8 / 4
    assert machine_code.executed(code, loops, sizes, counts) == (outside + outer + inner + last, True)
    unrolled = machine_code.MachineCode((10, 1, 6, 1, 4, 4, 20, 2), nest([*TWO_LOOPS[:6], [6, 7], []]))
    assert machine_code.executed(unrolled, loops, sizes, counts) == (outside + outer + inner + last, True)
    other = machine_code.MachineCode((10, 1), nest([[1], []]))
    executed = sum(size * count for size, count in zip(sizes, counts))
    assert machine_code.executed(other, loops, sizes, counts) == (pytest.approx(executed * 11 / 17), False)


@pytest.mark.parametrize("grid", [(1, 1, 1), (7, 3, 2), (1024, 1, 1), (16, 300, 8), (20, 20, 20)])
def test_sampled_blocks_stand_for_all(grid):
    blocks, weights = counting.sample(grid)
    assert weights.sum() == np.prod(grid) and len(set(blocks)) == len(blocks) <= max(400, 5**3)
    assert all(0 <= index < length for block in blocks for index, length in zip(block, grid))
    if np.prod(grid) <= 42:
        assert (weights == 1).all()


@needs_nvrtc
def test_what_is_skipped_in_counting_changes_no_count():
    """The share of instructions that decides which run gives the counts of a whole run; so do sampled blocks."""
    from supernet.fused.launch import recorded
    from supernet.fused.ptx.launches import run
    from tests.supernet.fused.ptx.graphs import convolution

    with recorded(232_448) as launches:
        convolution()
    for launch in launches:
        whole, counted = run(launch), run(launch, count=True)
        assert (whole.counts == counted.counts).all() and whole.instructions > 0
        assert counting.count(launch, 80).ptx == whole.instructions


@needs_nvrtc
def test_a_block_of_a_tap_that_exists_counts_more():
    """``dense_weights`` has a block for each row and tap; beyond the 9 taps of a 3x3 kernel blocks only look."""
    from supernet.fused.ptx.launches import run
    from supernet.fused.resources import record

    names = "dil_conv_3x3", "dil_conv_5x5"
    launches = record(names, 16, 1, 4, 8, inputs=1, nodes=1, shared_bytes=232_448, device="cpu")
    launch = next(launch for launch in launches if getattr(launch, "name", "") == "dense_weights")
    assert launch.grid == (2, 25, 1)
    short, long = ([run(launch, blocks=[(row, tap, 0)]).instructions for tap in range(25)] for row in range(2))
    assert len(set(long)) == 1 and short[:9] == long[:9] and len(set(short[9:])) == 1
    assert 0 < short[9] < short[8] / 2
    assert run(launch).instructions == sum(short) + sum(long)


@needs_nvrtc
def test_sums_of_a_small_step():
    options = command.Options(batch_size=2)
    given = ((16, 8, 1, 3),), ((48, 16, 1, 8, 3), (16, 32, 2, 8, 6))
    rows = [*command.predicted(options, *given)]
    operations = {"here": {"cat": 5, "add": 2}}
    content = command.summary(rows, operations, options)
    passes = content["passes"].values()
    assert content["operations_on_device"] == sum(part["launches"] for part in passes) + 7
    fused = sum(part["seconds"] for part in passes)
    assert content["seconds"] == pytest.approx(fused + 7 * options.operation)
    assert all(row.launches % 3 == 0 and row.seconds >= options.start and row.instructions > 0 for row in rows)
    extra = Counter()  # of three graphs: first halves of five states, those of both inputs together, since the second
    # ones come with the way back; of nine layers, three of which read the stem
    for row in rows:
        extra[row.kernel] += row.launches if row.part == "weights" else -row.launches
    assert {name: count for name, count in extra.items() if count} == {
        "weight_gradients": 12, "weight_sums": 12, "gradient_sums": 3, "image_gradient": -6,
        "pointwise_gradients": 9,
    }  # fmt: skip
    slower = command.summary([*command.predicted(replace(options, clock=1e6), *given)], operations, options)
    assert slower["seconds"] > 100 * content["seconds"]


def test_occupancy():
    """By warps, by registers (of 256 for a warp at a time), by shared memory, by blocks."""
    assert command.occupancy(32, 0, 256) == 1
    assert command.occupancy(33, 0, 256) == 6 * 8 / 64
    assert command.occupancy(32, 100 * 1024, 256) == 2 * 8 / 64
    assert command.occupancy(16, 0, 32) == 32 / 64


def test_the_graphs_are_those_of_the_space(monkeypatch):
    """Channels, size of the inputs, stride and number of the mixed graphs in a supernet at paper settings."""
    seen, forward = Counter(), MixedGraph.forward

    def noted(graph, states, *given, **options):
        seen[graph.width, states[0].shape[-1], graph.sources[0].stride] += 1
        return forward(graph, states, *given, **options)

    monkeypatch.setattr(MixedGraph, "forward", noted)
    with FakeTensorMode(allow_non_fake_inputs=True), handled(lambda launch: None):
        network, logits = kernels.paper_network("fused", torch.device("cpu"))
        network(torch.zeros(2, 3, 32, 32), {label: logit.softmax(1) for label, logit in logits.items()})
    assert seen == {(channels, size, stride): count for channels, size, stride, count in command.GRAPHS}


def test_the_layers_are_those_of_the_network(monkeypatch):
    """Channels, stride, size of the inputs and number of the layers before the graphs; the first read the stem."""
    seen, forward = Counter(), Fusable.forward

    def noted(layer, x):
        y = forward(layer, x)
        seen[x.shape[1], y.shape[1], x.shape[2] // y.shape[2], x.shape[2]] += 1
        return y

    monkeypatch.setattr(Fusable, "forward", noted)
    with FakeTensorMode(allow_non_fake_inputs=True), handled(lambda launch: None):
        network, logits = kernels.paper_network("fused", torch.device("cpu"))
        network(torch.zeros(2, 3, 32, 32), {label: logit.softmax(1) for label, logit in logits.items()})
    assert seen == {tuple(sizes): count for *sizes, count in command.LAYERS}
    stem = network.stem.conv.out_channels
    assert [inputs == stem for inputs, *_ in command.LAYERS] == [True, *[False] * 7]


@needs_nvrtc
def test_operations_around_the_kernels():
    from supernet.fused.prediction.operations import inside, optimizers, outside

    with_weights, without = (outside(torch.bfloat16, 2, weights=weights) for weights in (True, False))
    assert with_weights["convolution"] == without["convolution"] == 1, "of the stem"
    assert with_weights["convolution_backward"] - without["convolution_backward"] == 1
    assert not with_weights["cat"] and not with_weights["stack"], "nodes lie side by side, and so do their gradients"
    assert not inside(torch.bfloat16, 2, 232_448, weights=True)
    assert inside(torch.bfloat16, 2, 0, weights=True).total() > 8, "the library's skip connections of reduction cells"
    assert optimizers()["momentum"] == 11  # 511 parameters, 48 at a time


@needs_nvrtc
def test_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "predicted", lambda options: iter([ROW]))
    monkeypatch.setattr(command, "operations_of", lambda options: {"optimizers": {"adam": 1}})
    assert command.run(["--json", str(tmp_path / "p.json")]) == 0
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["launches"][0]["kernel"] == "convs_forward" and content["operations_on_device"] == 3
    assert content["passes"]["weights"]["instructions"] == 2e6 and content["assumed"]["latency"] == 12
    assert "convs_forward" in capsys.readouterr().out


ROW = command.Predicted("weights", "convs_forward", (1, 1, 1), 2, 2e6, 1e6, True, 1, 64, 0, 0.5, 1e6, 1e-5)


@pytest.mark.parametrize(
    "options",
    [
        "now",
        "--batch-size 0",
        "--multiprocessors 0",
        "--clock 0",
        "--issue nan",
        "--latency -1",
        "--start -1",
        "--json /",
    ],
)
def test_a_mistake_is_one_line(options, capsys):
    assert command.run(options.split()) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
