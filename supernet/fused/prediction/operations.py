"""PyTorch's operations of a search step on a device: those around the fused kernels.

They are counted as they are dispatched, on tensors without memory: inside the operator of the mixed graphs on meta
tensors, outside of it on fake ones under autocast. Views, uninitialized and empty tensors launch nothing; of some
operations PyTorch launches several kernels on a GPU (``KERNELS``). The optimizers' operations follow from the number of
parameters. What the libraries of a GPU launch beside that, to change layouts or add parts, is not counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from supernet.bench.kernels import GRAPHS, paper_network
from supernet.fused.handling import handled
from supernet.fused.launch import ceil_div
from supernet.fused.resources import record
from supernet.spaces.darts import DARTS_PRIMITIVES

KERNELS = {"native_batch_norm": 3, "native_batch_norm_backward": 2}
"""Operation -> kernels that PyTorch launches for it on a GPU, where they are not one: statistics, running statistics
and normalizing; sums and gradient."""

NOTHING = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "device", "lift_fresh", "_unsafe_view")
"""Operations that launch nothing."""

TENSORS_AT_ONCE = {"norm": 110, "scale": 110, "momentum": 48, "adam": 36}
"""Tensors that one launch of an operation on many tensors takes, for lists of 1, 1, 3 and 4 tensors each."""

SCALARS = 6
"""Operations on numbers of a step: the whole norm and its bound, the counters of steps, sums of losses."""


class Dispatched(TorchDispatchMode):
    """Counts the operations that run inside.

    Attributes:
        kernels: name of an operation -> kernels that it launches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        empty = isinstance(result, Tensor) and result.numel() == 0
        if func.namespace == "aten" and not func.is_view and name not in NOTHING and not empty:
            self.kernels[name] += _kernels(name, result)
        return result


def _kernels(name: str, result: Any) -> int:
    if name == "convolution_backward":  # one for each gradient
        return sum(isinstance(grad, Tensor) for grad in result)
    return KERNELS.get(name, 1)


def inside(storage: torch.dtype, batch: int, shared_bytes: int, *, weights: bool) -> Counter[str]:
    """Return the operations inside the operator of the mixed graphs in a forward and a backward pass.

    Args:
        storage: type of the states.
        batch: images.
        shared_bytes: of a block of the GPU.
        weights: whether the weights' gradients are computed.
    """
    found: Counter[str] = Counter()
    for channels, size, stride, count in GRAPHS:
        given = DARTS_PRIMITIVES, channels, stride, batch, size, storage, weights
        record(*given, shared_bytes=shared_bytes)  # sends the tables, which are kept
        mode = Dispatched()
        record(*given, shared_bytes=shared_bytes, around=mode)
        for name, kernels in mode.kernels.items():
            found[name] += count * kernels
    return found


def outside(storage: torch.dtype, batch: int, *, weights: bool) -> Counter[str]:
    """Return the operations around the fused ones in a forward and a backward pass; arguments as of ``inside``."""
    with FakeTensorMode(allow_non_fake_inputs=True), handled(lambda launch: None):
        network, logits = paper_network("fused", torch.device("cpu"))
        network.requires_grad_(weights)
        images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
        labels = torch.randint(10, (batch,))
        wanted = [*network.parameters()] if weights else [*logits.values()]
        with Dispatched() as mode:
            with torch.autocast("cpu", storage, enabled=storage != torch.float32):
                scores = network(images, {label: logit.softmax(1) for label, logit in logits.items()})
            torch.autograd.grad(F.cross_entropy(scores.float(), labels), wanted)
    return mode.kernels


def optimizers() -> Counter[str]:
    """Return the operations of clipping and updating weights and architecture, of fused SGD and fused Adam."""
    with FakeTensorMode():
        network, logits = paper_network("fused", torch.device("cpu"))
        count = len([*network.parameters()])
    found = Counter({name: ceil_div(count, TENSORS_AT_ONCE[name]) for name in ("norm", "scale", "momentum")})
    return found + Counter(adam=ceil_div(len(logits), TENSORS_AT_ONCE["adam"]), scalars=SCALARS)
