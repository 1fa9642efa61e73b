"""Compare counted costs with those of real networks, as they compute, for random architectures of every space.

    python -m supernet.cost.verification --genotypes 200 --json costs.json

Costs are counted on the meta device, without computing anything (``supernet.cost.architecture``). Here networks with
real weights compute real inputs: hooks on their modules see what enters and leaves, and every tensor that is allocated
is followed until it is freed. Attention is computed by PyTorch's definition: where a device fuses it, it takes less
memory than is counted. Sums over candidates are compared with the same figures.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from genotypes.atomic_write import require_writable, write_atomically
from genotypes.parsing import parsed
from supernet import architectures
from supernet.bench.machine import machine
from supernet.command import exit_code
from supernet.cost.architecture import COSTS, Deployment, costs_of
from supernet.cost.network import LiveStorages
from supernet.cost.space_costs import SpaceCosts
from supernet.errors import SpaceError
from supernet.ops import Zero
from supernet.shapes import ImageShape, LanguageShape, Shape, TextShape, TranslationShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

OBSERVED = tuple(name for name in SPACES if name not in ("vit", "translation"))
"""Spaces whose layers are called as modules; those of entangled sizes compute slices, which hooks do not see."""

SHAPES: dict[str, Shape] = {
    "textnet": TextShape(9, 5, 3),
    "recurrent": LanguageShape(9),
    "translation": TranslationShape(9, 8, 6, 5),
}
"""Space -> shape of its examples, where these are no images."""

IMAGES = ImageShape(3, 8, 4)


@dataclass(frozen=True)
class Options:
    """Options of ``python -m supernet.cost.verification``."""

    genotypes: int = 200
    """Random architectures of each space."""
    spaces: tuple[str, ...] = OBSERVED
    """Which spaces."""
    json: Path | None = None
    """File to write the figures to, after each space."""


def real_costs(network: nn.Module, inputs: Sequence[Any]) -> dict[str, int]:
    """Return the costs of a network, observed while it computes in evaluation mode: those of ``COSTS`` but latency."""
    accesses = 0

    def observe(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        nonlocal accesses
        if not any(True for _ in module.children()) and not isinstance(module, Zero):
            tensors = [x for x in tree_leaves((given, output)) if isinstance(x, Tensor)]
            accesses += sum(x.numel() for x in (*tensors, *module.parameters()))

    handles = [module.register_forward_hook(observe) for module in network.eval().modules()]
    tensors = [*network.parameters(), *network.buffers()]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), LiveStorages(tensors) as live:
        live.note(tuple(inputs))
        network(*inputs)
    for handle in handles:
        handle.remove()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        network(*inputs)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": flops.get_total_flops() // 2,
        "memory_accesses": accesses,
        "memory": live.peak,
    }


def compared(name: str, genotypes: int) -> dict[str, Any]:
    """Compare random architectures of a space with their networks.

    Args:
        name: of the space.
        genotypes: number of architectures.

    Returns:
        Cost -> of how many architectures the counted cost is the real one; ``sum of`` a cost -> of how many the sum
        over candidates is, of the spaces whose costs add up.
    """
    shape = SHAPES.get(name, IMAGES)
    space = SPACES[name].make(SpaceOptions(shape, channels=8, layers=3))
    generator = torch.Generator().manual_seed(0)
    names = [cost for cost, row in COSTS.items() if row.counts is not None]
    sums = dict(_sums(SpaceCosts(space, shape), names))
    equal = dict.fromkeys([*names, *(f"sum of {cost}" for cost in sums)], 0)
    for _ in range(genotypes):
        picks = architectures.sample(space, generator)
        genotype = space.derive(picks)
        counted = costs_of(space, genotype, names, Deployment(shape))
        real = real_costs(space.network(genotype), shape.inputs(1))
        for cost in names:
            equal[cost] += counted[cost] == real[cost]
        for cost, of in sums.items():
            equal[f"sum of {cost}"] += of(picks) == real[cost]
    return {"space": name, "genotypes": genotypes, "equal": equal}


def _sums(costs: SpaceCosts, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the costs of a space that are sums over candidates, as functions of picks."""
    for name in names:
        try:
            found = costs.cost(name)
        except SpaceError:  # they do not add up in this space
            continue
        if found.adds_up:
            yield name, found.total.of


def main(arguments: Sequence[str] | None = None) -> bool:
    """Compare each space, print a line for each, and return whether all are equal.

    Raises:
        SpaceError: where there is no such space, or nothing to compare.
    """
    prog = "python -m supernet.cost.verification"
    options: Options = parsed(lambda: tyro.cli(Options, args=arguments, prog=prog, description=__doc__))
    if options.genotypes < 1:
        raise SpaceError(f"--genotypes is {options.genotypes}; it must be 1 or more")
    for name in options.spaces:
        if name not in SPACES:
            raise SpaceError(f"--spaces is {name!r}; it must be of {', '.join(SPACES)}")
    if options.json is not None:
        require_writable(options.json)
    content: dict[str, Any] = {"machine": machine(torch.device("cpu")), "rows": []}
    for name in options.spaces:
        began = time.monotonic()
        row = compared(name, options.genotypes)
        content["rows"].append(row)
        print(f"{name}: {_in_words(row['equal'], options.genotypes)}; {time.monotonic() - began:.0f} s", flush=True)
        if options.json is not None:
            write_atomically(options.json, (json.dumps(content, indent=1) + "\n").encode())
    return all(count == row["genotypes"] for row in content["rows"] for count in row["equal"].values())


def _in_words(equal: Mapping[str, int], genotypes: int) -> str:
    others = [f"{cost} of {count}" for cost, count in equal.items() if count != genotypes]
    return f"equal for all {genotypes}: {', '.join(equal)}" if not others else f"not all equal: {', '.join(others)}"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; differences are exit code 1, a mistake is one line and exit code 2."""
    return exit_code(lambda: main(arguments), "--genotypes")


if __name__ == "__main__":
    sys.exit(run())
