"""The cost of a network: its parameters, its multiply-adds for one example, and the memory of its activations.

Papers compare architectures by the first two figures (Liu et al. 2019, tables 1 and 3). Multiply-adds are those of
convolutions, linear layers, products of matrices and attention; pooling, normalization, activations and sums are not
counted.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from supernet.network import count_parameters
from supernet.ops import Zero
from supernet.shapes import Shape


@dataclass(frozen=True)
class Cost:
    """The cost of a network without its auxiliary head.

    Attributes:
        parameters: number of weights.
        multiply_adds: of one example's forward pass.
    """

    parameters: int
    multiply_adds: int


def count(network: nn.Module, shape: Shape) -> Cost:
    """Return the cost of a network without computing it: on the meta device, where tensors have shapes but no values.

    Nothing is allocated, and the network is not changed, whatever device it is on.

    Args:
        network: a derived one; called in evaluation mode.
        shape: of its examples.
    """
    return Cost(count_parameters(network), multiply_adds(network, on_meta(shape.inputs(1))))


def count_unbuilt(build: Callable[[], nn.Module], shape: Shape) -> Cost:
    """Return the cost of the network that ``build`` returns; its weights are never allocated."""
    with torch.device("meta"):
        network = build()
    return count(network, shape)


def multiply_adds(network: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> int:
    """Return the multiply-adds of a forward pass, in evaluation mode.

    Args:
        network: it is not changed.
        inputs, named: on the meta device.
    """
    with MultiplyAdds() as counted:
        call_on_meta(network, inputs, named)
    return counted.total


def peak_activations(network: nn.Module, shape: Shape, batch: int = 1) -> int:
    """Return the largest number of bytes that the activations of a forward pass occupy at one time, in evaluation mode.

    The inputs count, weights do not, nor does what a library allocates inside an operation. A tensor is freed when the
    network no longer refers to it, as PyTorch does without gradients.

    Args:
        network: a derived one; it is not changed.
        shape: of its examples.
        batch: number of examples.
    """
    weights, inputs = _weights_on_meta(network), on_meta(shape.inputs(batch))
    with LiveStorages(weights.values()) as live:
        live.note(inputs)
        with evaluating(network), torch.no_grad():
            torch.func.functional_call(network, weights, inputs)
    return live.peak


def allocated(network: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> int:
    """Return the bytes of all tensors that a forward pass allocates, in evaluation mode.

    Args:
        network: it is not changed.
        inputs, named: on the meta device.
    """
    weights = _weights_on_meta(network)
    with LiveStorages(weights.values()) as live:
        live.note((tuple(inputs), dict(named or {})))
        before = live.total
        with evaluating(network), torch.no_grad():
            torch.func.functional_call(network, weights, tuple(inputs), dict(named or {}))
    return live.total - before


def layer_accesses(network: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> int:
    """Return how many values the layers of a network read and write in a forward pass, their weights included.

    Layers are the modules without modules inside. Each one's inputs, weights and outputs count once (Ma et al. 2018,
    ShuffleNet V2); the absence of an edge counts nothing.

    Args:
        network: it is not changed.
        inputs, named: on the meta device.
    """
    counted = 0

    def add(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        nonlocal counted
        tensors = [x for x in (*tree_leaves((given, output)), *layer.parameters()) if isinstance(x, Tensor)]
        counted += sum(x.numel() for x in tensors)

    layers = [
        each for each in network.modules() if not any(True for _ in each.children()) and not isinstance(each, Zero)
    ]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        call_on_meta(network, inputs, named)
    finally:
        for handle in handles:
            handle.remove()
    return counted


def on_meta(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Return inputs with their tensors on the meta device."""
    return tuple(x.to("meta") if isinstance(x, Tensor) else x for x in inputs)


def call_on_meta(network: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> Any:
    """Call a network in evaluation mode, without gradients, as if its weights were on the meta device."""
    weights = _weights_on_meta(network)
    with evaluating(network), torch.no_grad():
        return torch.func.functional_call(network, weights, tuple(inputs), dict(named or {}))


def _weights_on_meta(network: nn.Module) -> dict[str, Tensor]:
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and afterwards every module's own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _shapes_of(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Call an operation on the meta device. BatchNorm's shapes are known, and PyTorch takes milliseconds for them."""
    if func in (torch.ops.aten.native_batch_norm.default, torch.ops.aten._native_batch_norm_legit_no_training.default):
        return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
    return func(*args, **named)


class MultiplyAdds(TorchDispatchMode):
    """Count the multiply-adds of all operations that are called, whatever the module or function that calls them.

    Attributes:
        total: of all operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = _shapes_of(func, args, kwargs or {})
        counted = flop_registry.get(func._overloadpacket)
        if counted is not None:
            self.total += counted(*args, **(kwargs or {}), out_val=result) // 2
        return result


class LiveStorages(TorchDispatchMode):
    """Follow the storages that operations allocate, until they are freed.

    Args:
        known: tensors whose storages do not count.

    Attributes:
        peak: the largest number of bytes that were allocated at one time.
        total: bytes of all storages.
    """

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self.peak = self.total = self._bytes = 0
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = _shapes_of(func, args, kwargs or {})
        self.note(result)
        return result

    def note(self, tensors: Any) -> None:
        """Count the storages of tensors that are not known yet."""
        for tensor in tree_leaves(tensors):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage not in self._seen:
                self._seen.add(storage)
                self._bytes += storage.nbytes()
                self.total += storage.nbytes()
                weakref.finalize(storage, self._free, storage.nbytes())
        self.peak = max(self.peak, self._bytes)

    def _free(self, size: int) -> None:
        self._bytes -= size
