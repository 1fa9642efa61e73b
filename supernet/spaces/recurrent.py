"""The recurrent space of DARTS: one cell for language models (Liu et al. 2019, sections 3.2 and A.1.2).

Each node of the cell reads one earlier state through one activation; see ``supernet.spaces.recurrent_network``.

Axes: ``e`` edge, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from genotypes.types.cell import Edge
from genotypes.types.recurrent import RECURRENT_OPS, RecurrentGenotype
from supernet.choice import ChoiceTable, Picks
from supernet.errors import SpaceError
from supernet.parts import Part
from supernet.shapes import LanguageShape
from supernet.spaces.recurrent_network import RECURRENT, Activation, DerivedCell, Dropouts, LanguageModel, MixedCell
from supernet.spaces.space import SearchSpace, SpaceEntry, SpaceOptions, require_candidate


@dataclass(frozen=True)
class RecurrentOptions:
    """The options that only the recurrent space has."""

    nodes: int = 8
    """Nodes of the cell."""
    dropouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of ``Dropouts`` -> their probabilities; the others keep their defaults."""


@dataclass(frozen=True)
class RecurrentSpace(SearchSpace):
    """The space of one recurrent cell.

    Attributes:
        words: size of the vocabulary.
        width: of the embedding and the hidden state.
        nodes: of the cell; the mean of all is its output.
        candidates: activations of each edge.
        dropouts: probabilities while the networks train.
    """

    words: int
    width: int = 300
    nodes: int = 8
    candidates: tuple[str, ...] = RECURRENT_OPS
    dropouts: Dropouts = field(default_factory=Dropouts)

    @property
    def tables(self) -> tuple[ChoiceTable, ...]:
        """One table: an edge from every earlier state into each node."""
        return (ChoiceTable(RECURRENT, self.candidates, tuple(range(1, self.nodes + 1)), keep=1, required=True),)

    @property
    def titles(self) -> dict[str, list[str]]:
        """Table label -> the states that each row connects."""
        return {RECURRENT: [f"{source} \u2192 {node}" for source, node in self._edges]}

    def supernet(self, backend: str = "batched") -> LanguageModel:
        """Return the model with the mixed cell; it is called with tokens, hidden state and gates."""
        cell = MixedCell(self.width, self.width, self.nodes, self.candidates, backend)
        return LanguageModel(self.words, self.width, cell, self.dropouts)

    def network(self, genotype: RecurrentGenotype, auxiliary: bool = False, searched: bool = False) -> LanguageModel:
        """Return the model with the cell of a genotype; with ``searched``, states are normalized as in the supernet.

        Raises:
            SpaceError: where the genotype is of another kind, or an auxiliary head is asked for.
        """
        _require_cell(genotype)
        if auxiliary:
            raise SpaceError("a recurrent network has no auxiliary head: set `auxiliary` 0")
        cell = DerivedCell(self.width, self.width, genotype, searched)
        return LanguageModel(self.words, self.width, cell, self.dropouts)

    def derive(self, picks: Picks) -> RecurrentGenotype:
        """Return the cell of the picked edges, one into each node."""
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
        """Copy the supernet's weights: both networks have the same ones."""
        network.load_state_dict(supernet.state_dict())

    def parts(self, inputs: tuple[Any, ...]) -> list[Part]:
        """Return the activation of every edge: products and states are the same in every cell."""
        x = torch.empty(inputs[0].shape[1], self.width, device="meta")
        names = [name for name in self.candidates if name != "none"]
        return [
            Part(((RECURRENT, row, name),), name, Activation(name), (x,))
            for row in range(len(self._edges))
            for name in names
        ]

    def skipped(self, genotype: RecurrentGenotype) -> tuple[int, int]:
        """Return 0, 0: a cell has no skip connections."""
        return 0, 0

    def figures(self, genotype: RecurrentGenotype) -> dict[str, Any]:
        """Return the number of nodes with the commonest activation; a search that collapses uses only one."""
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
