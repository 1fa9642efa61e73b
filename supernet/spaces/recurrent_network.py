"""The recurrent networks of DARTS: a cell for language models (Liu et al. 2019, sections 3.2 and A.1.2).

A cell computes state 0 from a token's embedding and the hidden state; then each node ``j`` reads one earlier state::

    c, h = split(s W_j);   s_j = s + sigmoid(c) * (f(h) - s)

with one activation ``f``. The mean of the nodes is the output and the next hidden state. In the supernet, a node is the
sum over all earlier states and activations, weighted by gates, and is normalized by a BatchNorm without scale.

Axes: ``t`` time, ``b`` sequence, ``v`` token of the vocabulary, ``h`` hidden width, ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.recurrent import RecurrentGenotype
from supernet.choice import Gates
from supernet.errors import SpaceError
from supernet.mixed.backends import check_backend, warn_fallback
from supernet.ops import RandomModule

RECURRENT = "recurrent"
SCALE = 0.04
"""Initial weights are uniform in plus and minus this."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": torch.zeros_like,
    "tanh": torch.tanh,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


class Activation(nn.Module):
    """An activation by its name in ``ACTIVATIONS``."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.name](x)


@dataclass(frozen=True)
class Dropouts:
    """Probabilities of dropout; each mask is the same at every time step of a sequence (Gal and Ghahramani 2016).

    Attributes:
        embedding: of dropping a token's whole embedding.
        input: of the embedded tokens.
        output: of the cell's outputs.
        x: of the embedded token, inside the cell.
        hidden: of the hidden state and of the nodes' inputs, inside the cell.
    """

    embedding: float = 0.0
    input: float = 0.2
    output: float = 0.75
    x: float = 0.75
    hidden: float = 0.25


class Passed(NamedTuple):
    """The output of a language model.

    Attributes:
        scores: the logits of every next token, ``(t, b, v)``.
        hidden: the hidden state after the last token, ``(b, h)``.
        raw: the cell's outputs before dropout, ``(t, b, h)``.
        dropped: the cell's outputs after dropout, ``(t, b, h)``.
    """

    scores: Tensor
    hidden: Tensor
    raw: Tensor
    dropped: Tensor


class Cell(nn.Module):
    """The weights and the first state of a cell, which is called as ``(x, hidden, gates, masks) -> output``.

    Args:
        width_in: of a token's embedding.
        width: of the hidden state.
        nodes: of the cell.
        normed: whether states are normalized by a BatchNorm without scale, as in the supernet.
    """

    def __init__(self, width_in: int, width: int, nodes: int, normed: bool):
        super().__init__()
        self.w0 = nn.Parameter(torch.empty(width_in + width, 2 * width).uniform_(-SCALE, SCALE))
        self.w = nn.Parameter(torch.empty(nodes, width, 2 * width).uniform_(-SCALE, SCALE))
        self.norm = nn.BatchNorm1d(width, affine=False) if normed else nn.Identity()

    def first(self, x: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Return state 0, ``(b, h)``; ``mask`` is a dropout mask of ``[x, hidden]``."""
        both = torch.cat([x, hidden], -1)
        c, h = (both if mask is None else both * mask).matmul(self.w0).chunk(2, -1)
        return self.norm(hidden + c.sigmoid() * (h.tanh() - hidden))


class MixedCell(Cell):
    """The cell of the supernet."""

    def __init__(self, width_in: int, width: int, nodes: int, candidates: Sequence[str], backend: str):
        super().__init__(width_in, width, nodes, normed=True)
        self.candidates = tuple(candidates)
        check_backend(backend)
        if backend not in NODES:
            warn_fallback(backend, "batched", "the recurrent cell has no kernels")
        self.backend = backend if backend in NODES else "batched"

    def forward(self, x: Tensor, hidden: Tensor, gates: Gates | None, masks: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the output of one time step, ``(b, h)``.

        Args:
            x: the embedded token, ``(b, h)``.
            hidden: the hidden state, ``(b, h)``.
            gates: ``(e, o)`` for the cell's table; rows node by node, then by source.
            masks: the dropout masks of ``[x, hidden]`` and of the nodes' inputs.

        Raises:
            SpaceError: where a training batch holds one sequence only, over which BatchNorm cannot normalize.
        """
        assert gates is not None, "a supernet is called with gates"
        if self.training and len(x) < 2:
            raise SpaceError(
                "the supernet normalizes over the sequences of a batch; one is too few: raise `batch_size`"
            )
        outer, inner = masks or (None, None)
        states = [self.first(x, hidden, outer)]
        row = 0
        for w in self.w:
            total = NODES[self.backend](self, states, w, gates[RECURRENT][row : row + len(states)], inner)
            row += len(states)
            states.append(self.norm(total))
        return torch.stack(states[1:]).mean(0)


def _reference(cell: MixedCell, states: list[Tensor], w: Tensor, gates: Tensor, mask: Tensor | None) -> Tensor:
    """Return a node's sum, one state and one candidate at a time: the definition. ``gates`` is ``(e, o)``."""
    live = (gates.detach() != 0).tolist()
    total = torch.zeros_like(states[0])
    for state, row, used in zip(states, gates, live):
        c, h = (state if mask is None else state * mask).matmul(w).chunk(2, -1)
        for name, gate, counts in zip(cell.candidates, row, used):
            if counts and name != "none":
                total = total + gate * (state + c.sigmoid() * (ACTIVATIONS[name](h) - state))
    return total


def _batched(cell: MixedCell, states: list[Tensor], w: Tensor, gates: Tensor, mask: Tensor | None) -> Tensor:
    """Return the same sum by one product for all states: ``sum g (s + c (f - s)) = (sum g) s (1 - c) + c sum g f``."""
    columns = [column for column, name in enumerate(cell.candidates) if name != "none"]
    if gates.device.type == "cpu":  # elsewhere reading their values would synchronize with the device
        live = (gates.detach()[:, columns] != 0).tolist()
        rows = [row for row, used in enumerate(live) if any(used)]
        columns = [column for k, column in enumerate(columns) if any(used[k] for used in live)]
        if not rows:
            return torch.zeros_like(states[0])
        states, gates = [states[row] for row in rows], gates[rows]
    gates = gates * (gates != 0)
    s = torch.stack(states)
    c, h = (s if mask is None else s * mask).matmul(w).chunk(2, -1)
    c = c.sigmoid()
    mixed = sum(gates[:, column, None, None] * ACTIVATIONS[cell.candidates[column]](h) for column in columns)
    return (gates[:, columns].sum(1)[:, None, None] * s * (1 - c) + c * mixed).sum(0)


NODES = {"reference": _reference, "batched": _batched}
"""Backend -> how it computes a node's sum; the other backends compute it as ``batched`` does."""


class DerivedCell(Cell):
    """The cell of a genotype: one state and one activation for each node."""

    def __init__(self, width_in: int, width: int, genotype: RecurrentGenotype, normed: bool):
        super().__init__(width_in, width, len(genotype.nodes), normed)
        self.edges, self.concat = genotype.nodes, genotype.concat

    def forward(self, x: Tensor, hidden: Tensor, gates: Gates | None, masks: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the output of one time step, ``(b, h)``; see ``MixedCell.forward``. A derived cell takes no gates."""
        outer, inner = masks or (None, None)
        states = [self.first(x, hidden, outer)]
        for w, edge in zip(self.w, self.edges):
            state = states[edge.source]
            c, h = (state if inner is None else state * inner).matmul(w).chunk(2, -1)
            states.append(self.norm(state + c.sigmoid() * (ACTIVATIONS[edge.op](h) - state)))
        return torch.stack([states[index] for index in self.concat]).mean(0)


class LanguageModel(RandomModule):
    """A language model: an embedding, the cell over time, and a decoder with the embedding's weights (Press and Wolf
    2017).

    Args:
        words: size of the vocabulary.
        width: of the embedding and of the hidden state.
        cell: of this width.
        dropouts: probabilities while it trains. Masks are drawn from ``generator`` (``RandomModule``).
    """

    def __init__(self, words: int, width: int, cell: Cell, dropouts: Dropouts):
        super().__init__()
        self.width, self.dropouts = width, dropouts
        self.embedding = nn.Parameter(torch.empty(words, width).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(words))
        self.cell = cell

    def forward(self, words: Tensor, hidden: Tensor | None, gates: Gates | None = None) -> Passed:
        """Predict the token that follows each token.

        Args:
            words: indices of tokens, ``(t, b)``.
            hidden: the hidden state before the first token, ``(b, h)``; zeros where not given.
            gates: of the supernet's table; a derived network takes none.
        """
        hidden = self.start(words.shape[1]) if hidden is None else hidden
        rates = self.dropouts
        vectors: Tensor = self.embedding
        if self.training and rates.embedding:
            vectors = vectors * self._mask((len(vectors), 1), rates.embedding)
        x = self._locked(F.embedding(words, vectors), rates.input)
        masks = None
        if self.training:
            b = words.shape[1]
            inner = self._mask((b, self.width), rates.hidden)
            masks = torch.cat([self._mask((b, self.width), rates.x), inner], 1), inner
        outputs = []
        for vector in x:
            hidden = self.cell(vector, hidden, gates, masks)
            outputs.append(hidden)
        raw = torch.stack(outputs)
        dropped = self._locked(raw, rates.output)
        return Passed(F.linear(dropped, self.embedding, self.bias), hidden, raw, dropped)

    def start(self, sequences: int) -> Tensor:
        """Return the hidden state before the first token: zeros, ``(b, h)``."""
        return self.embedding.new_zeros(sequences, self.width)

    def _locked(self, x: Tensor, rate: float) -> Tensor:
        return x * self._mask((1, *x.shape[1:]), rate) if self.training and rate else x

    def _mask(self, shape: tuple[int, ...], rate: float) -> Tensor:
        return self.embedding.new_empty(shape).bernoulli_(1 - rate, generator=self.generator) / (1 - rate)
