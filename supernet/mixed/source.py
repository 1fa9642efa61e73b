"""The parameters of the mixed operations on all edges that leave one state, stored together.

All edges that leave a state read the same tensor, so an operation's parameters and buffers have a leading axis ``e``
over those edges, and a backend can compute all of them at once.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from supernet.mixed.stacked import stack, unstack
from supernet.ops import FactorizedReduce, candidate

Make = Callable[[str, int, int], nn.Module]
"""``(name, channels, stride) -> operation``."""


class MixedSource(nn.Module):
    """The mixed operations on all edges that leave one state.

    ``ops[name]`` is that candidate for all these edges at once: each of its parameters and buffers is stacked over
    the edges, ``(e, ...)``. It stores tensors and is called through a backend only.

    Attributes:
        channels: width of the candidates.
        stride: of all these edges.
        rows, targets: of each local edge, its row in the gates and the node it leads to.
        edges: candidate -> the local edges that have it, in the order of its stacked tensors; all edges, unless the
            candidate is not allowed everywhere. A candidate that no edge has is missing.
        columns: candidate -> its column in the gates.
        ops: candidate -> its stacked module.
        skips: auxiliary skips that have weights, stacked over the edges (``add_auxiliary_skips``).
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        candidates: Sequence[str],
        rows: Sequence[int],
        targets: Sequence[int],
        allowed: Sequence[Sequence[str]] | None = None,
        make: Make = candidate,
    ):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.rows, self.targets = tuple(rows), tuple(targets)
        self.columns = {name: column for column, name in enumerate(candidates)}
        having = {name: [e for e, row in enumerate(rows) if not allowed or name in allowed[row]] for name in candidates}
        self.edges = {name: tuple(edges) for name, edges in having.items() if edges}
        self.ops = nn.ModuleDict(
            {name: stack([make(name, channels, stride) for _ in edges]) for name, edges in self.edges.items()}
        )
        self.skips: nn.Module | None = None
        self._indices: dict[tuple[str | None, torch.device], Tensor] = {}

    def index(self, name: str | None, device: torch.device) -> Tensor:
        """Return the local edges that have a candidate; without a name, the rows of all edges.

        The tensor is copied to a device once: a copy would wait for all work that is queued there.
        """
        if (name, device) not in self._indices:
            self._indices[name, device] = torch.tensor(self.edges[name] if name else self.rows, device=device)
        return self._indices[name, device]

    def auxiliary(self, x: Tensor) -> Sequence[Tensor]:
        """Return each edge's auxiliary skip: ``x`` itself, or a convolution of it, or its reduction at stride 2."""
        if self.skips is None:
            return [x] * len(self.rows)
        return [torch.func.functional_call(self.skips, copy, (x,)) for copy in unstack(self.skips, len(self.rows))]


def add_auxiliary_skips(network: nn.Module, convolution: bool = False) -> None:
    """Give every edge of stride 2 in a network's mixed graphs a factorized reduction of its own (DARTS-, section 3.2).

    At stride 1 an auxiliary skip is the identity and has no weights; or, with ``convolution``, a 1x1 convolution that
    is initialized as the identity. New values are drawn from PyTorch's generator after all others, so the network's
    other weights are the same as without auxiliary skips.
    """
    for source in network.modules():
        if isinstance(source, MixedSource) and (source.stride > 1 or convolution):
            make = FactorizedReduce if source.stride > 1 else _identity_conv
            source.skips = stack([make(source.channels, source.channels, False) for _ in source.rows])


def _identity_conv(c_in: int, c_out: int, affine: bool) -> nn.Conv2d:
    """A 1x1 convolution that returns its input; ``affine`` has no meaning here."""
    conv = nn.Conv2d(c_in, c_out, 1, bias=False)
    nn.init.dirac_(conv.weight)
    return conv
