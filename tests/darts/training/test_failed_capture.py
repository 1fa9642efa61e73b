"""A failed capture is cleaned up; a stand-in behaves as PyTorch's CUDA graphs do."""

from contextlib import contextmanager

import pytest
import torch

from darts.training import cuda_graph
from darts.training.cuda_graph import StepGraph

CUDA = torch.device("cuda", 0)
POOL = (0, 7)


class StandIn:
    """The parts of ``torch.cuda`` that a capture uses.

    Attributes:
        captures: pools of captures that have begun and not ended; emptying the cache fails while there are any.
        held: pools that are in use; releasing one twice spoils the allocator.
        stream: the current one.
    """

    def __init__(self, ends_itself):
        self.captures, self.held, self.stream, self.emptied = [], [], "main", 0
        self.ends_itself = ends_itself

    @contextmanager
    def use(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextmanager
    def capture(self, graph, *, pool, stream, capture_error_mode):
        self.captures.append(pool)
        self.held.append(pool)
        self.stream = stream
        try:
            yield
        finally:  # the stream is not restored
            if self.ends_itself:  # an error of the step: the allocations end, and the graph releases its pool
                self.captures.remove(pool)
                self.held.remove(pool)
            else:  # the device has ended the capture: ``capture_end`` raises before the allocations end
                raise RuntimeError("capture_end: the capture was invalidated")

    def end(self, index, pool):
        if pool not in self.captures:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.captures.remove(pool)

    def release(self, index, pool):
        self.held.remove(pool)

    def empty_cache(self):
        assert not self.captures, "captures_underway.empty() INTERNAL ASSERT FAILED"
        self.emptied += 1


@pytest.mark.parametrize("ends_itself", [False, True], ids=["by the device", "by an error of the step"])
def test_a_failed_capture_is_cleaned_up(monkeypatch, ends_itself):
    gpu, generator = StandIn(ends_itself), torch.Generator().manual_seed(5)
    released = []
    monkeypatch.setattr(cuda_graph, "_release", lambda generator, state: released.append(state))
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", gpu.end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", gpu.release, raising=False)
    for name, value in {
        "synchronize": lambda device: None,
        "default_generators": (generator,),
        "CUDAGraph": object,
        "Stream": lambda device: "side",
        "graph_pool_handle": lambda: POOL,
        "current_stream": lambda device: gpu.stream,
        "stream": gpu.use,
        "graph": gpu.capture,
        "empty_cache": gpu.empty_cache,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)

    def step(x):
        raise ValueError("this step waits for the device")

    said = []
    graph = StepGraph("auto", CUDA, listener=said.append)
    assert graph._capture(step, (torch.ones(2),), "key") == "this step waits for the device"
    assert not graph._graphs and not gpu.captures and not gpu.held
    assert gpu.stream == "main" and gpu.emptied == 1
    assert len(released) == 1 and released[0].equal(torch.Generator().manual_seed(5).get_state())
