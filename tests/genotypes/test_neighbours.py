from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genotypes import (
    DERIVED_OPS,
    Cell,
    CellGenotype,
    Edge,
    GenotypeError,
    differences,
    load,
    mutate,
    neighbours,
    sample,
)
from tests.strategies import genotypes

V2 = load("DARTS_V2")


def edges(genotype):
    return [edge for cell in (genotype.normal, genotype.reduce) for node in cell.nodes for edge in node]


@settings(max_examples=50)
@given(genotypes(), st.integers(0, 99))
def test_one_operation_or_one_input_changes(genotype, seed):
    found = list(islice(neighbours(genotype, Random(seed)), 20))
    assert len({neighbour.hash for neighbour in found} | {genotype.hash}) == len(found) + 1
    for neighbour in found:
        changed = [(old, new) for old, new in zip(edges(genotype), edges(neighbour), strict=True) if old != new]
        assert len(changed) == 1
        old, new = changed[0]
        assert (old.op == new.op) != (old.source == new.source)
        assert new.op == old.op or new.op in DERIVED_OPS
        assert neighbour.normal.concat == genotype.normal.concat and neighbour.name is None


def test_all_neighbours_of_a_cell():
    # 16 edges with 6 other operations each; nodes 1, 2, 3 of both cells have 1, 2, 3 free states for each of 2 inputs.
    found = list(neighbours(V2, Random(0)))
    assert len(found) == len({neighbour.hash for neighbour in found}) == 16 * 6 + 2 * 2 * (1 + 2 + 3)
    assert all(len({edge.source for edge in node}) == 2 for n in found for node in (*n.normal.nodes, *n.reduce.nodes))


def test_inputs_that_coincide_may_coincide_again():
    twice = Cell(((Edge("none", 0), Edge("none", 0)),), (2,))
    found = list(neighbours(CellGenotype(twice, twice), Random(0), ("none",)))
    assert len(found) == 4 and all(len(differences(n, CellGenotype(twice, twice))) == 1 for n in found)


def test_operations_and_inputs_change_equally_often():
    rng = Random(0)
    inputs = sorted(edge.source for edge in edges(V2))
    ops = sum(sorted(edge.source for edge in edges(mutate(V2, rng))) == inputs for _ in range(400))
    assert 160 < ops < 240


def test_a_seed_decides():
    def drawn(seed):
        return [mutate(V2, Random(seed)).hash, sample(Random(seed)).hash, next(neighbours(V2, Random(seed))).hash]

    assert drawn(3) == drawn(3) != drawn(4)
    assert len({sample(Random(seed)).hash for seed in range(50)}) == 50


def test_only_valid_genotypes():
    """The one input of the only concatenated node cannot become a node without a value."""
    cell = Cell(((), (Edge("none", 0),)), (3,))
    found = list(neighbours(CellGenotype(cell, cell), Random(0), ("none",)))
    assert sorted(edge.source for n in found for edge in edges(n)) == [0, 0, 1, 1]


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 3))
def test_a_sample_has_the_asked_shape(seed, nodes, inputs):
    drawn = sample(Random(seed), nodes, ("none", "skip_connect"), inputs)
    for cell in (drawn.normal, drawn.reduce):
        assert cell.concat == tuple(range(2, 2 + nodes))
        assert [len({edge.source for edge in node}) for node in cell.nodes] == [
            min(inputs, 2 + i) for i in range(nodes)
        ]
        assert {edge.op for node in cell.nodes for edge in node} <= {"none", "skip_connect"}


@pytest.mark.parametrize("ops", [("sep_conv_3x4",), ()])
def test_unknown_operations_are_named(ops):
    for make in (lambda: mutate(V2, Random(0), ops), lambda: sample(Random(0), ops=ops)):
        with pytest.raises(GenotypeError, match="ops: found"):
            make()


def test_nothing_to_change():
    cell = Cell(((Edge("none", 0), Edge("none", 1)),), (2,))
    with pytest.raises(GenotypeError, match="something to change"):
        mutate(CellGenotype(cell, cell), Random(0), ("none",))
