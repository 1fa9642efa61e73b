"""Several modules of one kind as one module whose tensors have a leading axis ``e``, one slice for each module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def stack(modules: Sequence[nn.Module]) -> nn.Module:
    """Stack the tensors of all modules, each with its own initial values, in the first module, and return it."""
    for copies in zip(*(module.modules() for module in modules)):
        first = copies[0]
        for name in [name for name, _ in first.named_parameters(recurse=False)]:
            values = torch.stack([copy.get_parameter(name).detach() for copy in copies])
            setattr(first, name, nn.Parameter(values))
        for name in [name for name, _ in first.named_buffers(recurse=False)]:
            first.register_buffer(name, torch.stack([copy.get_buffer(name) for copy in copies]))
    return modules[0]


def unstack(module: nn.Module, copies: int) -> list[dict[str, Tensor]]:
    """Return the tensors of each copy by name, as views that autograd follows."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    slices = {name: tensor.unbind(0) for name, tensor in tensors.items()}
    return [{name: parts[copy] for name, parts in slices.items()} for copy in range(copies)]
