"""The recurrent half of DARTS: a cell for language models (Liu et al. 2019, sections 3.2 and A.1.2).

A cell turns a word's vector and the hidden state into state 0, then each node ``j`` takes one earlier state::

    c, h = split(s W_j);   s_j = s + sigmoid(c) * (f(h) - s)

with one activation ``f``; the mean of the nodes is the output and the next hidden state. While it is searched, a node
is the sum of all earlier states and activations, weighed by gates; one BatchNorm without scale keeps the states' size.

Axes: ``t`` time, ``b`` sequence, ``i`` width of a word's vector, ``h`` hidden width, ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.cell import Edge
from genotypes.types.recurrent import RECURRENT_OPS, RecurrentGenotype
from supernet.choice import ChoiceTable, Gates, Picks
from supernet.errors import SpaceError
from supernet.mixed.backends import check_backend, warn_fallback
from supernet.ops import RandomModule
from supernet.shapes import LanguageShape
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions, require_candidate

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


@dataclass(frozen=True)
class Dropouts:
    """Probabilities, all of masks that one sequence keeps over time (Gal and Ghahramani 2016).

    Attributes:
        embedding: of a whole word.
        input, output: of the vectors that enter the cell, and of what leaves it.
        x, hidden: of the word's vector and the hidden state within the cell.
    """

    embedding: float = 0.0
    input: float = 0.2
    output: float = 0.75
    x: float = 0.75
    hidden: float = 0.25


class Passed(NamedTuple):
    """What a language model returns.

    Attributes:
        scores: of every word, ``(t, b, v)``, before the softmax.
        hidden: after the last word, ``(b, h)``.
        raw, dropped: the cell's outputs before and after dropout, ``(t, b, h)``.
    """

    scores: Tensor
    hidden: Tensor
    raw: Tensor
    dropped: Tensor


class Cell(nn.Module):
    """The weights of a cell, and its first state. ``normed`` adds the BatchNorm of the search."""

    def __init__(self, width_in: int, width: int, nodes: int, normed: bool):
        super().__init__()
        self.w0 = nn.Parameter(torch.empty(width_in + width, 2 * width).uniform_(-SCALE, SCALE))
        self.w = nn.Parameter(torch.empty(nodes, width, 2 * width).uniform_(-SCALE, SCALE))
        self.norm = nn.BatchNorm1d(width, affine=False) if normed else nn.Identity()

    def first(self, x: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """State 0, ``(b, h)``. ``mask`` drops parts of ``[x, hidden]``."""
        both = torch.cat([x, hidden], -1)
        c, h = (both if mask is None else both * mask).matmul(self.w0).chunk(2, -1)
        return self.norm(hidden + c.sigmoid() * (h.tanh() - hidden))


class MixedCell(Cell):
    """The cell of a search: ``(x, hidden, gates, masks) -> output``."""

    def __init__(self, width_in: int, width: int, nodes: int, candidates: Sequence[str], backend: str):
        super().__init__(width_in, width, nodes, normed=True)
        self.candidates = tuple(candidates)
        check_backend(backend)
        if backend not in NODES:
            warn_fallback(backend, "batched", "the recurrent cell has no kernels")
        self.backend = backend if backend in NODES else "batched"

    def forward(self, x: Tensor, hidden: Tensor, gates: Gates, masks: tuple[Tensor, Tensor] | None) -> Tensor:
        """One word further; ``gates`` are ``(e, o)``, node by node, then by source.

        Raises:
            SpaceError: where BatchNorm has one sequence only to learn from.
        """
        if self.training and len(x) < 2:
            raise SpaceError("the searched network normalizes over sequences, one is too few: raise `batch_size`")
        at, inside = masks or (None, None)
        states = [self.first(x, hidden, at)]
        row = 0
        for w in self.w:
            total = NODES[self.backend](self, states, w, gates[RECURRENT][row : row + len(states)], inside)
            row += len(states)
            states.append(self.norm(total))
        return torch.stack(states[1:]).mean(0)


def _reference(cell: MixedCell, states: list[Tensor], w: Tensor, gates: Tensor, mask: Tensor | None) -> Tensor:
    """A node's sum, one state and one candidate at a time: the definition. ``gates`` is ``(e, o)``."""
    live = (gates.detach() != 0).tolist()
    total = torch.zeros_like(states[0])
    for state, row, used in zip(states, gates, live):
        c, h = (state if mask is None else state * mask).matmul(w).chunk(2, -1)
        for name, gate, counts in zip(cell.candidates, row, used):
            if counts and name != "none":
                total = total + gate * (state + c.sigmoid() * (ACTIVATIONS[name](h) - state))
    return total


def _batched(cell: MixedCell, states: list[Tensor], w: Tensor, gates: Tensor, mask: Tensor | None) -> Tensor:
    """The same sum by one product for all states: ``sum g (s + c (f - s)) = (sum g) s (1 - c) + c sum g f``."""
    columns = [column for column, name in enumerate(cell.candidates) if name != "none"]
    if gates.device.type == "cpu":  # elsewhere their values are not known without waiting
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
"""Backend -> a node's sum; ``batched`` serves for the others."""


class DerivedCell(Cell):
    """The cell of a genotype: one state and one activation for each node."""

    def __init__(self, width_in: int, width: int, genotype: RecurrentGenotype, normed: bool):
        super().__init__(width_in, width, len(genotype.nodes), normed)
        self.edges, self.concat = genotype.nodes, genotype.concat

    def forward(self, x: Tensor, hidden: Tensor, gates: Gates | None, masks: tuple[Tensor, Tensor] | None) -> Tensor:
        """One word further."""
        at, inside = masks or (None, None)
        states = [self.first(x, hidden, at)]
        for w, edge in zip(self.w, self.edges):
            state = states[edge.source]
            c, h = (state if inside is None else state * inside).matmul(w).chunk(2, -1)
            states.append(self.norm(state + c.sigmoid() * (ACTIVATIONS[edge.op](h) - state)))
        return torch.stack([states[index] for index in self.concat]).mean(0)


class LanguageModel(RandomModule):
    """Words to vectors, the cell over time, scores by the same vectors (Press and Wolf 2017).

    Args:
        words: size of the vocabulary.
        width: of vectors and of the hidden state.
        cell: of this width.
        dropouts: while it trains. Masks are drawn from ``generator`` (``RandomModule``).
    """

    def __init__(self, words: int, width: int, cell: Cell, dropouts: Dropouts):
        super().__init__()
        self.width, self.dropouts = width, dropouts
        self.embedding = nn.Parameter(torch.empty(words, width).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(words))
        self.cell = cell

    def forward(self, words: Tensor, hidden: Tensor | None, gates: Gates | None = None) -> Passed:
        """Scores of the next word at every place of ``words`` ``(t, b)``, from ``hidden`` ``(b, h)`` or the start."""
        hidden = self.start(words.shape[1]) if hidden is None else hidden
        rates = self.dropouts
        vectors = self.embedding
        if self.training and rates.embedding:
            vectors = vectors * self._mask((len(vectors), 1), rates.embedding)
        x = self._locked(F.embedding(words, vectors), rates.input)
        masks = None
        if self.training:
            b = words.shape[1]
            inside = self._mask((b, self.width), rates.hidden)
            masks = torch.cat([self._mask((b, self.width), rates.x), inside], 1), inside
        outputs = []
        for vector in x:
            hidden = self.cell(vector, hidden, gates, masks)
            outputs.append(hidden)
        raw = torch.stack(outputs)
        dropped = self._locked(raw, rates.output)
        return Passed(F.linear(dropped, self.embedding, self.bias), hidden, raw, dropped)

    def start(self, sequences: int) -> Tensor:
        """The hidden state before the first word, ``(b, h)``."""
        return self.embedding.new_zeros(sequences, self.width)

    def _locked(self, x: Tensor, rate: float) -> Tensor:
        return x * self._mask((1, *x.shape[1:]), rate) if self.training and rate else x

    def _mask(self, shape: tuple[int, ...], rate: float) -> Tensor:
        return self.embedding.new_empty(shape).bernoulli_(1 - rate, generator=self.generator) / (1 - rate)


@dataclass(frozen=True)
class RecurrentOptions:
    """The options that only the recurrent space has."""

    nodes: int = 8
    """Nodes of the cell."""
    dropouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of ``Dropouts`` -> their probabilities; the others keep their defaults."""


@dataclass(frozen=True)
class RecurrentSpace(SearchSpace):
    """One recurrent cell.

    Attributes:
        words: size of the vocabulary.
        width: of vectors and hidden state.
        nodes: in the cell; all are averaged.
        candidates: activations on each edge.
        dropouts: of the networks while they train.
    """

    words: int
    width: int = 300
    nodes: int = 8
    candidates: tuple[str, ...] = RECURRENT_OPS
    dropouts: Dropouts = Dropouts()

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        return (ChoiceTable(RECURRENT, self.candidates, tuple(range(1, self.nodes + 1)), keep=1, required=True),)

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> what each row decides, for people."""
        return {RECURRENT: [f"{source} \u2192 {node}" for source, node in self._edges]}

    def supernet(self, backend: str = "batched") -> LanguageModel:
        """The model with the mixed cell; call it with words, hidden state and gates."""
        cell = MixedCell(self.width, self.width, self.nodes, self.candidates, backend)
        return LanguageModel(self.words, self.width, cell, self.dropouts)

    def network(self, genotype: RecurrentGenotype, auxiliary: bool = False, searched: bool = False) -> LanguageModel:
        """The model with the cell of a genotype; ``searched`` keeps the BatchNorm of the search."""
        _require_cell(genotype)
        if auxiliary:
            raise SpaceError("a recurrent network has no auxiliary head: set `auxiliary` 0")
        cell = DerivedCell(self.width, self.width, genotype, searched)
        return LanguageModel(self.words, self.width, cell, self.dropouts)

    def derive(self, picks: Picks) -> RecurrentGenotype:
        """The cell of the strongest edge into each node."""
        chosen = {self._edges[row][1]: Edge(op, self._edges[row][0]) for row, op in picks[RECURRENT]}
        return RecurrentGenotype(tuple(chosen[node] for node in self._states), tuple(self._states))

    def picks(self, genotype: RecurrentGenotype) -> Picks:
        """Return the edge into each node.

        Raises:
            SpaceError: where the number of nodes, the averaged states or an activation is of another space.
        """
        _require_cell(genotype)
        (table,) = self.tables
        if len(genotype.nodes) != self.nodes:
            raise SpaceError(f"nodes: {len(genotype.nodes)} nodes; the cell of this space has {self.nodes}")
        if genotype.concat != tuple(self._states):
            raise SpaceError(f"concat: {list(genotype.concat)}; this space has {list(self._states)}")
        pairs = []
        for node, edge in enumerate(genotype.nodes, 1):
            row = self._edges.index((edge.source, node))
            require_candidate(table, row, edge.op, f"nodes[{node - 1}]")
            pairs.append((row, edge.op))
        return {RECURRENT: tuple(pairs)}

    def inherit(self, network: LanguageModel, supernet: LanguageModel, genotype: RecurrentGenotype) -> None:
        """Copy all tensors: both cells store the same ones."""
        network.load_state_dict(supernet.state_dict())

    def skipped(self, genotype: RecurrentGenotype) -> tuple[int, int]:
        """None: a cell has no skip connections."""
        return 0, 0

    def figures(self, genotype: RecurrentGenotype) -> dict[str, Any]:
        """How often the commonest activation is used: a search that collapses uses one."""
        ops = [edge.op for edge in genotype.nodes]
        return {"commonest_activation": max(map(ops.count, ops))}

    @property
    def _states(self) -> range:
        """The nodes' states, which are averaged."""
        return range(1, self.nodes + 1)

    @property
    def _edges(self) -> list[tuple[int, int]]:
        """The (source, node) of each row."""
        return [(source, node) for node in self._states for source in range(node)]


def _require_cell(genotype: Any) -> None:
    if not isinstance(genotype, RecurrentGenotype):
        raise SpaceError(f"the recurrent space has no {type(genotype).__name__}; give a recurrent cell")


def make(options: SpaceOptions) -> RecurrentSpace:
    """Return the space of a run: the width is that of the hidden state.

    Raises:
        SpaceError: where the data set holds no running text, or the options do not fit.
    """
    options.require(LanguageShape, "running text")
    own = options.own_as(RecurrentOptions)
    if options.partial > 1:
        raise SpaceError("partial channels do not apply to a recurrent cell: set `space.partial` 1")
    return RecurrentSpace(
        words=options.shape.words,
        width=options.channels,
        nodes=own.nodes,
        candidates=options.kept(RECURRENT_OPS),
        dropouts=Dropouts(**own.dropouts),
    )


ENTRY = SpaceEntry(make, RecurrentGenotype, RecurrentOptions)
