"""Bytes moved and floating point operations done by a launch, computed from its arguments.

Data that several programs read at about the same time, or that one program reads again while it is in the cache, counts
once; so does what a launch writes and adds up itself. Tables, weights and statistics, which are small, are left out. A
multiplication and an addition count as two operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from supernet.fused.cuda.library import parameters_of
from supernet.fused.handling import CudaLaunch
from supernet.fused.launch import Launch, kernel_of
from supernet.fused.rows import STATE, TermRow


@dataclass(frozen=True)
class Work:
    """Bytes moved and operations done."""

    bytes: float
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.bytes + other.bytes, self.operations + other.operations)

    def seconds(self, bytes_a_second: float, operations_a_second: float) -> float:
        """Return the least time that it takes on a machine of these rates."""
        return max(self.bytes / bytes_a_second, self.operations / operations_a_second)


def work_of(launch: Launch | CudaLaunch) -> Work:
    """Return the work of a launch.

    Raises:
        KeyError: for a kernel that ``WORK`` does not know.
    """
    return WORK[kernel_of(launch)](arguments_of(launch))


def arguments_of(launch: Launch | CudaLaunch) -> dict[str, Any]:
    """Return the arguments and constants of a launch by their names."""
    names: Sequence[str]
    if isinstance(launch, CudaLaunch):
        names, constants = parameters_of(launch.name, launch.file), dict(launch.definitions)
    else:
        names, constants = [name for name in launch.kernel.arg_names if name not in launch.constants], launch.constants
    return dict(zip(names, launch.arguments)) | constants


def _plane(a: dict[str, Any], like: str) -> float:
    """Return the bytes of one plane."""
    return a["PIXELS"] * a["C"] * a[like].element_size()


def _taps(a: dict[str, Any]) -> int:
    """Return the taps of a launch's convolutions, of all rows."""
    return sum(count * side * side for _, count, side, *_ in a["groups"].tolist())  # a table on the CPU


def _products(a: dict[str, Any]) -> float:
    """Return the operations of a launch's dense convolutions for each pixel."""
    return 2.0 * _taps(a) * a["C"] ** 2


def _forward(a: dict[str, Any]) -> Work:
    x, dense = a["x"], a["dense"]
    return Work(x.nbytes + len(dense) * _plane(a, "planes"), _products(a) * a["PIXELS"])


def _dense(a: dict[str, Any]) -> Work:
    sides = a["SIDES"] if "SIDES" in a else a["kinds"].sides
    numbers = sum(sides[kind] ** 2 for kind, *_ in a["table"].tolist()) * a["C"] ** 2
    return Work(numbers * a["dense"].element_size(), numbers)


def _normalized(a: dict[str, Any]) -> Work:
    out: Tensor = a["out"]
    return Work(len(out) * _plane(a, "planes") + out.nbytes, 3 * out.numel())


def _plane_gradients(a: dict[str, Any]) -> Work:
    out: Tensor = a["out"]
    return Work(2 * len(out) * _plane(a, "planes") + out.nbytes, 4 * out.numel())


def _weight(a: dict[str, Any]) -> Work:
    taps = sum(len(weight) * side * side for weight, side in zip(a["depthwise"], a["SIDES"]))
    parts = taps * a["depthwise_parts"][0, 0].nbytes + a["pointwise_parts"].nbytes
    return Work(a["x"].nbytes + a["dy"].nbytes + parts, 2 * taps * a["C"] ** 2 * a["PIXELS"])


def _weight_sums(a: dict[str, Any]) -> Work:
    moved = 0
    for kind, *_ in a["table"].tolist():
        launch, taps = a["LAUNCHES"][kind], a["SIDES"][kind] ** 2
        moved += taps * a["depthwise_parts"][launch][0, 0].nbytes + a["pointwise_parts"][launch][0].nbytes
    return Work(moved, moved / a["pointwise_parts"][0].element_size())


def _input_gradient(a: dict[str, Any]) -> Work:
    return Work(a["dy"].nbytes + 3 * _plane(a, "out"), _products(a) * a["OUTPUTS"])


def _half_gradient(a: dict[str, Any]) -> Work:
    return Work(a["dy"].nbytes + 2 * len(a["table"]) * _plane(a, "planes"), _products(a) * a["PIXELS"])


def _pools(a: dict[str, Any]) -> Work:
    count = len(a["states"])
    planes = 2 * a["STORED"] * _plane(a, "pools") + _plane(a, "where")
    read = sum(state.nbytes for state in a["states"])
    return Work(read + count * planes + a["partial"].nbytes, 10 * count * a["PIXELS"] * a["C"])


def _pools_backward(a: dict[str, Any]) -> Work:
    outs: tuple[Tensor, ...] = a["outs"]
    read = len(outs) * (2 * _plane(a, "grads") + _plane(a, "where"))
    written = sum(out.nbytes for out in outs)
    return Work(read + (1 + a["ADD"]) * written, 18 * sum(out.numel() for out in outs))


def _combine(a: dict[str, Any]) -> Work:
    return _node(a, a["LAST"] - a["FIRST"], a["PIXELS"], a["KEPT"] + a["BESIDE"])


def _sums(a: dict[str, Any]) -> Work:
    return _node(a, a["LAST"] - a["FIRST"], a["PIXELS"], 1 + a["COPY"]) + Work(a["partial"].nbytes)


def _combine_by_cuda(a: dict[str, Any]) -> Work:
    return _node_by_cuda(a, (a["out"] is not None) + (a["beside"] is not None))


def _sums_by_cuda(a: dict[str, Any]) -> Work:
    return _node_by_cuda(a, 1 + (a["arriving"] is not None)) + Work(a["partial"].nbytes)


def _node_by_cuda(a: dict[str, Any], others: int) -> Work:
    """Return the same as ``_node``; the pools of a state are formed of it, which is read once."""
    rows, read, pools = a["table"].tolist(), set[tuple[bool, int]](), 0
    for number, group in enumerate(a["groups"].tolist()):
        for row in (TermRow(*rows[at]) for at in group if at >= 0):
            is_state = row.form == STATE or number < a["edges"].value
            read.add((is_state, row.state if is_state else row.plane))
            pools += is_state and row.form != STATE
    values, terms = a["pixels"].value * a["C"], sum(at >= 0 for group in a["groups"].tolist() for at in group)
    return Work((len(read) + others) * values * a["planes"].element_size(), (2 * terms + 9 * pools) * values)


def _node(a: dict[str, Any], terms: int, pixels: int, others: int) -> Work:
    """Return the work of a pass over a node's terms, and over ``others`` that are as large."""
    values = pixels * a["C"]
    return Work((terms + others) * values * a["planes"].element_size(), 2 * terms * values)


def _shared_gradient(a: dict[str, Any]) -> Work:
    edges, states = len(a["table"]), len(a["table"]) // a["EDGES"]
    nodes = {node for node, *_ in a["table"].tolist() if node >= 0}
    moved = len(nodes) + states * (4 * a["POOLS"] + (1 + a["ADD"]) * a["SKIPS"])
    return Work(moved * _plane(a, "pools"), edges * (4 * a["POOLS"] + 2 * a["SKIPS"]) * a["PIXELS"] * a["C"])


def _shared_by_cuda(a: dict[str, Any]) -> Work:
    nodes = [node for node, *_ in a["table"].tolist() if node >= 0]
    plane = a["where"][0].numel() * a["grads"].element_size()
    added = [] if a["before0"] is None else [a["before0"], a["before1"]]
    states = len(a["where"])
    moved = 2 * states * a["x0"].nbytes + a["where"].nbytes + len(set(nodes)) * plane
    moved += sum(before.nbytes for before in added[:states])
    return Work(moved, (4 + 2 * a["SKIPS"]) * len(nodes) * plane / 2 + 30 * states * a["x0"].numel())


def _parts(a: dict[str, Any]) -> Work:
    partial: Tensor = a["partial"]
    return Work(partial.nbytes, 2 * partial.numel())


def _outputs(a: dict[str, Any]) -> int:
    """Return the output pixels of a launch of a CUDA kernel, of a whole batch."""
    return a["batch"].value * a["SIZE_HO"] * a["SIZE_WO"]


def _states(a: dict[str, Any]) -> int:
    """Return the bytes of the states of a launch of first halves."""
    return a["x0"].nbytes * (1 if a["x1"] is a["x0"] else 2)


def _convs(a: dict[str, Any]) -> Work:
    rows, plane = len(a["table"]), _outputs(a) * a["C"] * a["planes"].element_size()
    read = rows * plane if a["x0"] is None else _states(a)
    return Work(read + rows * plane + a["partial"].nbytes, _products(a) * _outputs(a))


def _gradients(a: dict[str, Any]) -> int:
    """Return how many gradients behind a BatchNorm the rows of a launch read: those of one node read the same."""
    return len({behind for *_, behind in a["table"].tolist()})


def _half(a: dict[str, Any]) -> Work:
    rows, plane = len(a["table"]), _outputs(a) * a["C"] * a["planes"].element_size()
    moved = _gradients(a) + (3 + (a["dy"] is not None)) * rows
    parts = _weight_parts(a) if a["WEIGHTS"] else 0
    operations = (1 + a["WEIGHTS"]) * _products(a) * _outputs(a)
    return Work(moved * plane + a["partial"].nbytes + parts, operations)


def _state(a: dict[str, Any]) -> Work:
    rows, plane = len(a["table"]), _outputs(a) * a["C"] * a["planes"].element_size()
    moved = _gradients(a) + (1 + (a["dy"] is not None)) * rows
    return Work(moved * plane + a["parts"].nbytes + 3 * _states(a), _products(a) * _outputs(a))


def _weights(a: dict[str, Any]) -> Work:
    rows, plane = len(a["table"]), _outputs(a) * a["C"] * a["planes"].element_size()
    read = rows * plane if a["x0"] is None else _states(a)
    return Work(read + rows * plane + _weight_parts(a), _products(a) * _outputs(a))


def _weight_parts(a: dict[str, Any]) -> float:
    """Return the bytes of the parts of weights' gradients that a launch writes."""
    return _taps(a) * a["depthwise_parts"][0, 0].nbytes + a["pointwise_parts"].nbytes


def _product(a: dict[str, Any]) -> Work:
    read = a["x"].nbytes // a["STRIDE"]  # of a factorized reduction, two pixels of each square
    return Work(read + a["y"].nbytes + a["partial"].nbytes, _pointwise_products(a))


def _pointwise_products(a: dict[str, Any]) -> float:
    """Return the operations of 1x1 convolutions; the parts of a factorized reduction have half of the channels each."""
    return 2.0 * a["PIXELS"] * a["CIN"] * a["C"]


def _scaled(a: dict[str, Any]) -> Work:
    return Work(2 * _plane(a, "y"), 4 * a["PIXELS"] * a["C"])


def _gradient_sums(a: dict[str, Any]) -> Work:
    return Work(2 * _plane(a, "y") + a["partial"].nbytes, 5 * a["PIXELS"] * a["C"])


def _image_gradient(a: dict[str, Any]) -> Work:
    read = a["x"].nbytes // a["STRIDE"]
    return Work(read + a["out"].nbytes + 2 * _plane(a, "y"), _pointwise_products(a))


def _pointwise_gradients(a: dict[str, Any]) -> Work:
    read, out = a["x"].nbytes // a["STRIDE"], a["IMAGE"] * a["out"].nbytes
    moved = read + out + 2 * _plane(a, "y") + a["parts"].nbytes
    return Work(moved, (1 + a["IMAGE"]) * _pointwise_products(a))


WORK: dict[str, Callable[[dict[str, Any]], Work]] = {
    "_forward_kernel": _forward,
    "_dense_kernel": _dense,
    "_normalized_kernel": _normalized,
    "_plane_gradients_kernel": _plane_gradients,
    "_weight_kernel": _weight,
    "_weight_sums_kernel": _weight_sums,
    "_input_gradient_kernel": _input_gradient,
    "_half_gradient_kernel": _half_gradient,
    "_pools_kernel": _pools,
    "_pools_backward_kernel": _pools_backward,
    "_combine_kernel": _combine,
    "_sums_kernel": _sums,
    "_shared_gradient_kernel": _shared_gradient,
    "_statistics_kernel": _parts,
    "_coefficients_kernel": _parts,
    "_running_kernel": lambda a: Work(0.0),
    "_product_kernel": _product,
    "_scaled_kernel": _scaled,
    "_gradient_sums_kernel": _gradient_sums,
    "_image_gradient_kernel": _image_gradient,
    "_pointwise_gradients_kernel": _pointwise_gradients,
    "combine": _combine_by_cuda,
    "combine_sums": _sums_by_cuda,
    "pools_and_skips": _shared_by_cuda,
    "dense_weights": _dense,
    "convs_forward": _convs,
    "half_gradient": _half,
    "state_gradient": _state,
    "weight_gradients": _weights,
}
"""Name of a kernel, of Triton's or of CUDA's -> its work, computed from its arguments by name.

Blocks that read the same pixels for other columns do so at about the same time.
"""
