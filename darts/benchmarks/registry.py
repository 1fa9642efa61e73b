"""The benchmarks by the name of their space."""

from __future__ import annotations

from pathlib import Path

from darts.benchmarks.digits.table import Digits201
from darts.benchmarks.nasbench101 import NASBench101
from darts.benchmarks.nasbench201 import NASBench201
from darts.benchmarks.nasbenchmacro import NASBenchMacro
from darts.benchmarks.protocol import Benchmark
from darts.config import BenchmarkConfig
from darts.errors import UserError

BENCHMARKS: dict[str, type[NASBench201] | type[NASBench101] | type[NASBenchMacro]] = {
    NASBench201.space: NASBench201,
    NASBench101.space: NASBench101,
    NASBenchMacro.space: NASBenchMacro,
}
"""Name of the space -> the benchmark, which is made from its file."""

BUNDLED: dict[str, type[Digits201]] = {"digits201": Digits201}
"""Name -> a benchmark whose table comes with the project."""


def benchmark_of(config: BenchmarkConfig, space: str | None, data: str) -> Benchmark | None:
    """Return the benchmark that a configuration names; None where it names none.

    Args:
        config: its name, or its file.
        space: that is searched.
        data: name of the data set.

    Raises:
        UserError: where there is no such benchmark, or it does not cover the space and the data set.
    """
    if config.name is None:
        return benchmark_for(config.file, space, data) if config.file else None
    if config.file is not None:
        raise UserError(f"`benchmark.name` {config.name} has its own table: leave out `benchmark.file`")
    if config.name not in BUNDLED:
        raise UserError(f"`benchmark.name` is {config.name[:40]!r}; it must be one of {', '.join(BUNDLED)}")
    kind = BUNDLED[config.name]
    if space != kind.space or data not in kind.data:
        covered = f"space {kind.space} on {', '.join(kind.data)}"
        raise UserError(f"`benchmark.name` {config.name} covers {covered}, not space {space or 'darts'} on {data}")
    return kind()


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
