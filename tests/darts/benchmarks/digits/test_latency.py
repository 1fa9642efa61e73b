"""Latencies: batches are scaled by the reference, a file is continued, damaged files are refused."""

import json

import pytest

from darts.benchmarks.digits import latency
from darts.benchmarks.digits.training import PROTOCOL
from darts.errors import UserError
from genotypes.types.nasbench201 import NASBench201Genotype
from supernet.cost.timing import Timing
from tests.darts.benchmarks.digits.conftest import QUIET

NETWORKS = [NASBench201Genotype((op,) * 6) for op in ("none", "skip_connect", "avg_pool_3x3")]


def test_a_slow_batch_is_scaled_by_the_reference(tmp_path):
    out = tmp_path / "l.jsonl"
    batches = [{"reference": 2.0, "ms": {"a": 1.0}}, {"reference": 4.0, "ms": {"b": 2.0}}, {"reference": 2.0, "ms": {}}]
    out.write_text("".join(json.dumps(batch) + "\n" for batch in batches))
    assert latency.read_latencies(out) == {"a": 1.0, "b": 1.0}


def test_a_file_is_continued_after_a_torn_line(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "classes", lambda: dict.fromkeys(NETWORKS, ()))
    monkeypatch.setattr(latency, "BATCH", 1)
    timed = []

    def measure(calls, device, protocol):
        timed.append(list(calls))
        assert all(call().shape == (1, 10) for call in calls.values())
        return {name: Timing(1.5, 0.1) for name in calls}

    monkeypatch.setattr(latency, "measure", measure)
    out = tmp_path / "runs" / "l.jsonl"
    assert latency.measure_all(out, protocol=PROTOCOL, max_seconds=None, console=QUIET) == 0
    assert latency.read_latencies(out) == {str(genotype): 1.5 for genotype in NETWORKS}
    out.write_bytes(out.read_bytes()[:-5])
    assert latency.measure_all(out, protocol=PROTOCOL, max_seconds=None, console=QUIET) == 0
    assert len(latency.read_latencies(out)) == 3 and len(timed) == 4
    assert latency.measure_all(out.with_name("m"), protocol=PROTOCOL, max_seconds=1e-9, console=QUIET) == 3


def test_another_file_is_refused(tmp_path):
    (tmp_path / "l.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UserError, match=r"l.jsonl: not latencies of the digits benchmark"):
        latency.read_latencies(tmp_path / "l.jsonl")
