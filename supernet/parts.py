"""The parts that the networks of a space are made of: each candidate, with the inputs that it gets there.

Costs of candidates are those of their parts (``supernet.cost.additive``): counted on the meta device, or measured by
running them (``supernet.cost.latency``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Pair = tuple[str, int, str]
"""A table's label, a row and a candidate."""


@dataclass(frozen=True)
class Part:
    """A module that networks contain where certain candidates are kept.

    Attributes:
        when: the pairs that are all kept.
        name: of the candidate, for people.
        module: as it stands in a derived network; on the meta device.
        inputs, named: that it is called with; tensors on the meta device.
        summed: whether its output is added to another tensor of its shape.
    """

    when: tuple[Pair, ...]
    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)
    summed: bool = False


def keys_of(parts: Sequence[Part]) -> list[str]:
    """Return a key of each part, equal for those that compute the same: name, shapes of inputs, digest of layers."""
    digests: dict[int, str] = {}
    keys = []
    for part in parts:
        if id(part.module) not in digests:
            weights = [(name, tuple(p.shape)) for name, p in part.module.named_parameters()]
            digests[id(part.module)] = hashlib.sha256(f"{part.module!r}{weights}".encode()).hexdigest()[:8]
        tensors = [x for x in tree_leaves((part.inputs, dict(part.named))) if isinstance(x, Tensor)]
        shapes = " ".join("x".join(map(str, x.shape)) for x in tensors)
        keys.append(f"{part.name} {shapes} {digests[id(part.module)]}{'+' * part.summed}")
    return keys


def kept_parts(parts: Sequence[Part], picks: Mapping[str, Sequence[tuple[int, str]]]) -> list[Part]:
    """Return the parts of the network of an architecture."""
    kept = {(label, row, name) for label, pairs in picks.items() for row, name in pairs}
    return [part for part in parts if kept.issuperset(part.when)]
