"""The structure of a network as a short text, to check that the network that was trained is that of its genotype."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from genotypes import Genotype, describe, load
from supernet.spaces.space import SearchSpace

DIGITS = 16
"""Hexadecimal digits of a fingerprint."""


def fingerprint(network: nn.Module) -> str:
    """Return a hash of a network's modules, in their order, and of the shapes of its weights; not of their values.

    The modules' own descriptions hold kernel sizes, strides and groups, so that operations of as many weights differ.
    """
    lines = [f"{name} {type(module).__name__} {module.extra_repr()}" for name, module in network.named_modules()]
    lines += [f"{name} {tuple(weight.shape)}" for name, weight in network.named_parameters()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def checked_fingerprint(
    network: nn.Module, space: SearchSpace, genotype: Genotype, *, auxiliary: bool = False, searched: bool = False
) -> str:
    """Return the fingerprint of a network that was built, where it is that of its genotype as records hold it.

    The genotype is written and read, as for a record, and its network is built once more, without values.

    Args:
        network: that was trained or evaluated.
        space: that built it.
        genotype: of the trial.
        auxiliary, searched: as of ``SearchSpace.network``.

    Raises:
        RuntimeError: where another network was built: a fault of the space, which would make its results worthless.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        expected = space.network(load(describe(genotype)), auxiliary, searched=searched)
    found, wanted = fingerprint(network), fingerprint(expected)
    if found != wanted:
        raise RuntimeError(f"the network that was built ({found}) is not that of its genotype ({wanted}): {genotype}")
    return found
