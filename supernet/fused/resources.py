"""Registers, shared memory and spills of the fused kernels, compiled without a GPU.

    python -m supernet.fused.resources --channels 16 32 64 --archs 80 90

A forward and backward pass of a mixed graph is recorded on meta tensors; every distinct kernel in it is compiled for
the architecture, and ``cuobjdump`` reports what it uses. Convolutions are those of the CUDA kernels where these compute
them on such a GPU.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import triton
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genotypes.parsing import parsed
from supernet.command import exit_code, require_range
from supernet.fused.cuda import library
from supernet.fused.graph.backward import graph_backward
from supernet.fused.graph.custom_op import move_graph_statistics
from supernet.fused.graph.description import describe, flat_tensors
from supernet.fused.graph.forward import graph_forward
from supernet.fused.handling import CudaLaunch
from supernet.fused.launch import Launch, compile_options, kernel_of, recorded, sum_type, without_spills
from supernet.fused.layers.pointwise import layer_backward, layer_forward, plane_forward
from supernet.mixed.graph import MixedGraph
from supernet.spaces.darts import DARTS_PRIMITIVES

WIDTHS = (16, 32, 64, 36, 72, 144)
"""Channels of a search's cells, and of a retraining's."""

POINTERS = {
    torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float64: "*fp64",
    torch.int32: "*i32", torch.int64: "*i64", torch.uint8: "*u8",
}  # fmt: skip


SHARED_BYTES = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448}
"""Compute capability -> bytes of shared memory that a block may use."""


def shared_bytes_of(arch: int) -> int:
    """Return the bytes of shared memory that CUDA kernels may use in a block; 0 where they cannot be compiled."""
    return SHARED_BYTES.get(arch, 0) if library.can_compile() else 0


RESERVED = 1024
"""Bytes of shared memory that CUDA takes for itself of each block."""


@dataclass(frozen=True)
class Usage:
    """Resources of one compiled kernel: registers per thread, bytes of shared memory per program, bytes spilled per
    thread.
    """

    kernel: str
    variant: str
    registers: int
    shared: int
    spilled: int


def record(
    candidates: tuple[str, ...],
    channels: int,
    stride: int = 1,
    batch: int = 64,
    size: int = 32,
    dtype: torch.dtype = torch.bfloat16,
    weights: bool = True,
    inputs: int = 2,
    nodes: int = 4,
    shared_bytes: int = 0,
    device: str = "meta",
    around: AbstractContextManager[object] | None = None,
) -> list[Any]:
    """Return the launches of a forward and a backward pass of one graph in training; nothing runs.

    Args:
        candidates: operations on every edge.
        channels, stride, inputs, nodes: of the graph.
        batch, size: number and side length of the images.
        dtype: storage type of states and planes.
        weights: whether the weights' gradients are computed.
        shared_bytes: of a block of the GPU in question (``SHARED_BYTES``), where CUDA kernels may compute the
            convolutions; with 0 Triton's do.
        device: of the tensors; on ``cpu`` the launches can be interpreted.
        around: is entered for the passes alone.
    """
    graph = MixedGraph(channels, candidates, inputs, nodes, stride).to(device)
    images = [torch.empty(batch, size, size, channels, dtype=dtype, device=device) for _ in range(inputs)]
    rows = sum(range(inputs, inputs + nodes))
    gates = torch.ones(rows, len(candidates), dtype=sum_type(dtype), device=device)
    params, buffers = flat_tensors(graph, False)
    given = images, gates, gates.new_empty(0), [p.detach() for p in params]
    description = describe(graph)
    assert description is not None, "every candidate has a kernel"
    with recorded(shared_bytes) as launches, around or nullcontext():
        results, *saved = graph_forward(*given, buffers, description, True)
        move_graph_statistics(saved[2], saved[5], gates, buffers, description)
        graph_backward(torch.empty_like(results), *given, saved, description, True, weights)
    return launches


def record_layer(
    inputs: int,
    channels: int,
    stride: int = 1,
    batch: int = 64,
    size: int = 32,
    dtype: torch.dtype = torch.bfloat16,
    *,
    image: bool = True,
    weights: bool = True,
    affine: bool = False,
    device: str = "meta",
) -> list[Any]:
    """Return the launches of a forward and backward pass of a 1x1 convolution before a BatchNorm, in training.

    Args:
        inputs, channels: input and output channels.
        stride: 2 for a factorized reduction.
        image: whether the input's gradient is computed; there is no backward pass without it and that of the weights.
        affine: whether BatchNorm learns a scale and a shift.
        batch, size, dtype, weights, device: as of ``record``.
    """
    with torch.device(device):
        x = torch.empty(batch, size, size, inputs, dtype=dtype)
        first, second, mean, variance = (torch.empty(channels) for _ in range(4))
        split = [channels] if stride == 1 else [channels // 2, channels - channels // 2]
        convs = [torch.empty(part, inputs, 1, 1) for part in split]
    scale, shift = (first, second) if affine else (None, None)
    with recorded() as launches:
        plane, average, rstd = plane_forward(x, convs, mean, variance, True)
        out = layer_forward(x, convs, scale, shift, plane, average, rstd, True)
        if image or weights:
            layer_backward(torch.empty_like(out), x, convs, scale, plane, average, rstd, True, image, weights)
    return launches


def compiled(launch: Launch, arch: int, bound: int | None) -> Any:
    """Compile the kernel of a launch for ``sm_<arch>`` and a bound on registers, specialized as Triton would."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature: dict[str, Any] = {}
    constants: dict[tuple[int, ...], Any] = {}
    hints: dict[tuple[int, ...], Any] = {}
    for index, name in enumerate(launch.kernel.arg_names):
        if name in launch.constants:
            signature[name] = "constexpr"
            constants[index,] = launch.constants[name]
            continue
        value = launch.arguments[index]
        signature[name], fixed, hinted = _specialized(value, (index,))
        constants |= fixed
        hints |= hinted
    source = ASTSource(fn=launch.kernel, signature=signature, constexprs=constants, attrs=hints)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=compile_options(bound, launch.warps))


def _specialized(value: Any, path: tuple[int, ...]) -> tuple[Any, dict, dict]:
    """Return an argument's type in a signature, its constant parts, and its alignment hints."""
    aligned = {path: [["tt.divisibility", 16]]}
    if isinstance(value, Tensor):
        return POINTERS[value.dtype], {}, aligned
    if isinstance(value, tuple):
        parts = [_specialized(item, (*path, index)) for index, item in enumerate(value)]
        fixed = {key: item for _, part, _ in parts for key, item in part.items()}
        hints = {key: item for _, _, part in parts for key, item in part.items()}
        return tuple(kind for kind, _, _ in parts), fixed, hints
    if isinstance(value, float):
        return "fp32", {}, {}
    if value == 1:
        return "constexpr", {path: 1}, {}
    return "i32", {}, aligned if value % 16 == 0 else {}


def usage(launch: Launch | CudaLaunch, arch: int) -> Usage:
    """Compile a launch's kernel with the options that are used on a GPU, and return its resources."""
    return machine_code(launch, arch)[1]


def machine_code(launch: Launch | CudaLaunch, arch: int) -> tuple[bytes, Usage]:
    """Return a launch's kernel compiled with the options that are used on a GPU, a cubin, and its resources."""
    if isinstance(launch, CudaLaunch):
        cubin = library.compiled(launch.file, launch.definitions, f"sm_{arch}")
        return cubin, _usage(launch, cubin, launch.shared, arch)
    found: dict[int | None, tuple[bytes, Usage]] = {}

    def used(bound: int | None) -> tuple[int, int]:
        result = compiled(launch, arch, bound)
        cubin = result.asm["cubin"]
        found[bound] = cubin, _usage(launch, cubin, result.metadata.shared, arch)
        return found[bound][1].registers, found[bound][1].spilled

    return found[without_spills(used, launch.warps)]


def _usage(launch: Launch | CudaLaunch, cubin: bytes, shared: int, arch: int) -> Usage:
    name = name_of(launch)
    blocks = inspected(cubin, "cuobjdump", "--dump-resource-usage").split("Function ")
    text = next(block for block in blocks if block.strip("_").startswith(name))
    numbers = dict(re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", text))
    registers, stack, declared, local = (int(numbers[key]) for key in ("REG", "STACK", "SHARED", "LOCAL"))
    reserved = RESERVED if arch >= 90 else 0  # is counted there if a kernel has any
    return Usage(name, variant(launch), registers, shared + max(0, declared - reserved), stack + local)


def inspected(cubin: bytes, tool: str, *options: str) -> str:
    """Return what a tool that comes with Triton says of a cubin."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        path = Path(triton.__file__).parent / "backends/nvidia/bin" / tool
        return subprocess.run([path, *options, file.name], capture_output=True, text=True, check=True).stdout


def name_of(launch: Launch | CudaLaunch) -> str:
    """Return the name of a launch's kernel, as tables show it."""
    return kernel_of(launch).strip("_")


def variant(launch: Launch | CudaLaunch) -> str:
    """Return the constants that distinguish a launch from others of its kernel, as text."""
    if isinstance(launch, CudaLaunch):
        return " ".join(f"{key}={value}" for key, value in launch.definitions)
    shown = {key: value for key, value in launch.constants.items() if key not in ("SUM", "PRECISION")}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def distinct(launches: Iterable[Any]) -> list[Any]:
    """Return one launch of each kernel and specialization."""
    found: dict[tuple[str, str, str], Any] = {}
    for launch in launches:
        types = [] if isinstance(launch, CudaLaunch) else [_specialized(value, (0,))[0] for value in launch.arguments]
        found.setdefault((name_of(launch), variant(launch), str(types)), launch)
    return list(found.values())


def specialization(launch: Launch | CudaLaunch) -> str:
    """Return text that is the same for launches of a kernel that one compilation serves."""
    if isinstance(launch, CudaLaunch):
        return variant(launch)
    return f"{launch.constants} {[_specialized(value, (0,)) for value in launch.arguments]}"


@dataclass(frozen=True)
class Options:
    """Options of ``python -m supernet.fused.resources``."""

    channels: tuple[int, ...] = WIDTHS
    """Channels of the mixed operations."""
    archs: tuple[int, ...] = (80, 90)
    """Compute capabilities, 80 for an A100, 90 for an H100 or H200."""
    storage: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Type of states and planes."""


def usages(channels: int, arch: int, storage: torch.dtype = torch.bfloat16, *, shared_bytes: int = 0) -> list[Usage]:
    """Return the resources of every kernel of the DARTS space's normal and reduction cells.

    Args:
        shared_bytes: as of ``record``.
    """
    launches = [
        launch
        for stride in (1, 2)
        for launch in record(DARTS_PRIMITIVES, channels, stride, dtype=storage, shared_bytes=shared_bytes)
    ]
    return [usage(launch, arch) for launch in distinct(launches)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table.

    Raises:
        SpaceError: where an option cannot be used.
    """
    prog = "python -m supernet.fused.resources"
    options: Options = parsed(lambda: tyro.cli(Options, args=arguments, prog=prog, description=__doc__))
    require_range("--channels", options.channels, 1, 4_096)
    require_range("--archs", options.archs, 50, 1_000)
    storage = getattr(torch, options.storage)
    table = Table("kernel", "constants", "sm", "registers", "shared", "spilled")
    for arch in options.archs:
        for channels in options.channels:
            for row in usages(channels, arch, storage, shared_bytes=shared_bytes_of(arch)):
                numbers = str(arch), str(row.registers), f"{row.shared:,} B", f"{row.spilled} B"
                table.add_row(row.kernel, row.variant, *numbers)
    Console().print(table)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a mistake is one line and exit code 2."""
    return exit_code(lambda: main(arguments), "--channels")


if __name__ == "__main__":
    sys.exit(run())
