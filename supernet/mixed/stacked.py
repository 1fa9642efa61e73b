"""Several modules of one kind as one module whose tensors have a leading axis ``e``, one slice for each."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def stack(modules: Sequence[nn.Module]) -> nn.Module:
    """The tensors of all modules, each with its own initial values, stacked in the first module."""
    for parts in zip(*(module.modules() for module in modules)):
        first = parts[0]
        for name in [name for name, _ in first.named_parameters(recurse=False)]:
            setattr(first, name, nn.Parameter(torch.stack([getattr(part, name).detach() for part in parts])))
        for name in [name for name, _ in first.named_buffers(recurse=False)]:
            first.register_buffer(name, torch.stack([getattr(part, name) for part in parts]))
    return modules[0]


def unstack(module: nn.Module, copies: int) -> list[dict[str, Tensor]]:
    """The tensors of each copy by name, as views that autograd follows."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    slices = {name: tensor.unbind(0) for name, tensor in tensors.items()}
    return [{name: parts[copy] for name, parts in slices.items()} for copy in range(copies)]
