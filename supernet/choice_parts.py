"""The parts of networks whose candidates are modules of ``LayerChoice``.

A candidate that contains no further choice is one part. Of a candidate with choices inside, the parts are its modules
that contain none; what its own ``forward`` computes besides belongs to no part. A layer whose sizes are choices is a
part for each combination of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from supernet.layer_choice import LayerChoice, choices
from supernet.layers import SizedLayer
from supernet.parts import Pair, Part


def choice_parts(model: nn.Module, inputs: Sequence[Any]) -> list[Part]:
    """Return the parts of a model's candidates, in the order in which a pass of all candidates computes them.

    Args:
        model: with choices; it is copied.
        inputs: of the model; their values do not matter.
    """
    model = copy.deepcopy(model).to("meta").eval()
    path: list[tuple[str, str]] = []
    parts: list[Part] = []

    def enter(label: str, name: str) -> Callable[..., None]:
        return lambda module, given: path.append((label, name))

    def leave(module: nn.Module, given: Any, output: Any) -> None:
        path.pop()

    def record(module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        kept = dict(path)
        if path and all(kept[label] == name for label, name in path):
            when: tuple[Pair, ...] = tuple((label, 0, name) for label, name in kept.items())
            parts.append(Part(when, path[-1][1], module, _detached(given), _detached(dict(named))))

    def record_sizes(layer: SizedLayer, given: tuple[Tensor, ...]) -> None:
        kept = dict(path)
        if any(kept[label] != name for label, name in path):
            return
        for case in layer.cases():
            names = {label: name for label, (name,) in case.items()}
            if all(kept.get(label, name) == name for label, name in names.items()):
                when = tuple((label, 0, name) for label, name in {**kept, **names}.items())
                inputs = (_detached(layer.part_of(given[0], case)),)
                parts.append(Part(when, "x".join(names.values()), layer.decided(case), inputs))

    for choice in choices(model):
        if isinstance(choice, LayerChoice):
            for name, candidate in zip(choice.names, choice.candidates):
                candidate.register_forward_pre_hook(enter(choice.label, name))
    for layer in model.modules():
        if isinstance(layer, SizedLayer) and any(size.choices for size in layer.sizes):
            layer.register_forward_pre_hook(record_sizes)
    for piece in dict.fromkeys(_pieces(model)):
        piece.register_forward_pre_hook(record, with_kwargs=True)
    for choice in choices(model):
        if isinstance(choice, LayerChoice):
            for candidate in choice.candidates:
                candidate.register_forward_hook(leave)
    with torch.no_grad():
        model(*_detached(tuple(inputs)))
    for part in parts:
        part.module._forward_pre_hooks.clear()
        part.module._forward_pre_hooks_with_kwargs.clear()
        part.module._forward_hooks.clear()
    return parts


def _pieces(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest modules of a model that contain no choice."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or any(True for _ in choices(child)):
            yield from _pieces(child)
        else:
            yield child


def _detached(given: Any) -> Any:
    """Return inputs with new tensors of their shapes on the meta device."""
    return tree_map(lambda x: torch.empty_like(x, device="meta") if isinstance(x, Tensor) else x, given)
