"""The benchmarks by the name of their space."""

from __future__ import annotations

from pathlib import Path

from darts.benchmarks.nasbench101 import NASBench101
from darts.benchmarks.nasbench201 import NASBench201
from darts.benchmarks.nasbenchmacro import NASBenchMacro
from darts.benchmarks.protocol import Benchmark
from darts.errors import UserError

BENCHMARKS: dict[str, type[NASBench201] | type[NASBench101] | type[NASBenchMacro]] = {
    NASBench201.space: NASBench201,
    NASBench101.space: NASBench101,
    NASBenchMacro.space: NASBenchMacro,
}
"""Name of the space -> the benchmark, which is made from its file."""


def benchmark_for(path: Path, space: str | None, data: str) -> Benchmark:
    """Return the benchmark for a search's results.

    Args:
        path: of its file.
        space: that is searched.
        data: name of the data set.

    Raises:
        UserError: where there is none of the space, it does not cover the data set, or the file is not its table.
    """
    if space not in BENCHMARKS or data not in BENCHMARKS[space].data:
        there = "; ".join(f"{name} on {', '.join(row.data)}" for name, row in BENCHMARKS.items())
        raise UserError(
            f"`benchmark.file` {path}: there is no table of space {space or 'darts'} on {data}; there is {there}"
        )
    return BENCHMARKS[space](path)
