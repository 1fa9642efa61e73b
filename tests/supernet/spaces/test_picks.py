"""Genotypes to picks and back, in every space; genotypes and picks that are not of a space."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genotypes import Cell, CellGenotype, Edge, load
from genotypes.types.choices import ChoicesGenotype
from genotypes.types.nasbench201 import NASBench201Genotype
from genotypes.types.recurrent import RecurrentGenotype
from supernet import architectures
from supernet.errors import SpaceError
from supernet.spaces.nasbench201 import NASBench201Space
from tests.supernet.every_space import IMAGES, SMALL, SPACES, drawn, generator

NAMES = st.sampled_from(list(SPACES))
SEEDS = st.integers(0, 10**6)


@given(NAMES, SEEDS)
@settings(max_examples=80, deadline=None)
def test_derive_and_picks_are_inverse(name, seed):
    """On canonical picks, and on genotypes that list their edges in any order."""
    space = SPACES[name]
    picks = drawn(space, seed)
    assert space.valid(picks) is None
    genotype = space.derive(picks)
    assert space.picks(genotype) == picks == architectures.canonical(space.tables, space.picks(genotype))
    rng = random.Random(seed)
    shuffled = {label: tuple(rng.sample(pairs, len(pairs))) for label, pairs in picks.items()}
    other = space.derive(shuffled)
    assert space.derive(space.picks(other)) == other
    assert architectures.key(space, space.picks(other)) == architectures.key(space, picks)
    hash(architectures.key(space, picks))


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS_cifar", "DrNAS_cifar10"])
def test_published_genotypes_have_picks(name):
    genotype = load(name)
    space = SPACES["darts"]
    picks = space.picks(genotype)
    assert space.derive(picks) == genotype and space.valid(picks) is None


EDGES = ((Edge("skip_connect", 0), Edge("skip_connect", 1)),) * 4
NORMAL = Cell(EDGES, (2, 3, 4, 5))


def cells(nodes=EDGES, concat=(2, 3, 4, 5)):
    return CellGenotype(NORMAL, Cell(nodes, concat))


@pytest.mark.parametrize(
    ("name", "genotype", "message"),
    [
        ("darts", cells(EDGES[:3], (2, 3, 4)), "reduce.nodes: 3 nodes; cells of this space have 4"),
        ("darts", cells(concat=(4, 5)), r"reduce.concat: \[4, 5\]; this space has \[2, 3, 4, 5\]"),
        ("darts", cells(((Edge("sep_conv_7x7", 0),), *EDGES[1:])), r"reduce.nodes\[0\]\[0\]: 'sep_conv_7x7' is"),
        (
            "darts",
            cells(((Edge("skip_connect", 0), Edge("skip_connect", 0)), *EDGES[1:])),
            r"reduce.nodes\[0\]\[1\]: skip_connect from state 0 again",
        ),
        ("s1", cells(), r"reduce.nodes\[0\]\[0\]: 'skip_connect' is no candidate there; this space has max_pool_3x3, "),
        ("darts", NASBench201Genotype(("none",) * 6), "needs a normal and a reduction cell"),
        ("nasbench201", cells(), "needs an architecture string"),
        ("recurrent", RecurrentGenotype((Edge("tanh", 0),), (1,)), "nodes: 1 nodes; the cell of this space has 4"),
        ("recurrent", RecurrentGenotype((Edge("tanh", 0),) * 4, (4,)), r"concat: \[4\]; this space has \[1, 2, 3, 4\]"),
        ("recurrent", cells(), "give a recurrent cell"),
        ("nested", ChoicesGenotype({"outer": ["relu"], "block": ["deep"], "join": ["x", "both"]}), "decide 'middle'"),
        (
            "nested",
            ChoicesGenotype({"outer": ["relu"], "block": ["plain"], "shared": ["a"], "join": ["x", "both"]}),
            "'shared' is decided, but takes no part",
        ),
        (
            "nested",
            ChoicesGenotype({"outer": ["relu"], "block": ["plain"], "join": ["x", "x"]}),
            "'join': found 'x', 'x'",
        ),
        ("nested", cells(), "needs label -> names"),
    ],
)  # fmt: skip
def test_genotypes_of_other_spaces_are_refused(name, genotype, message):
    with pytest.raises(SpaceError, match=message) as error:
        SPACES[name].picks(genotype)
    assert "\n" not in str(error.value)


def test_operations_that_a_reduced_space_leaves_out_are_refused():
    with pytest.raises(SpaceError, match=r"ops\[0\]: 'avg_pool_3x3' is no candidate"):
        SMALL["nasbench201"].picks(NASBench201Genotype(("avg_pool_3x3",) * 6))
    with pytest.raises(SpaceError, match=r"nodes\[1\]: 'sigmoid' is no candidate"):
        SMALL["recurrent"].picks(RecurrentGenotype((Edge("tanh", 0), Edge("sigmoid", 0), Edge("relu", 0)), (1, 2, 3)))


def test_a_genotype_may_leave_open_what_its_space_decides():
    """Fair DARTS keeps fewer edges, GDAS two operations of one; NAS-Bench-201 without ``none`` may lack an edge."""
    space = SPACES["darts"]
    sparse = cells((EDGES[0], (), (Edge("sep_conv_3x3", 2),), EDGES[3]))
    assert space.derive(space.picks(sparse)) == sparse
    assert space.valid(space.picks(sparse)) == "reduce: 0 of rows 2 to 4 are kept, must be 2"
    double = cells(((Edge("skip_connect", 0), Edge("sep_conv_3x3", 0)), *EDGES[1:]))
    assert space.derive(space.picks(double)) == double
    assert space.valid(space.picks(double)) == "reduce: 1 of rows 0 to 1 are kept, must be 2"
    without = NASBench201Space(IMAGES, candidates=("skip_connect", "nor_conv_3x3"))
    genotype = NASBench201Genotype(("none", *("skip_connect",) * 5))
    assert without.derive(without.picks(genotype)) == genotype
    assert without.valid(without.picks(genotype)).startswith("cell: ")
    with pytest.raises(SpaceError, match="not an architecture of this space: reduce: 0 of rows 2 to 4 are kept"):
        architectures.mutate(space, space.picks(sparse), generator(0))


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        ({"normal": ()}, "normal: 0 of rows 0 to 1 are kept, must be 2"),
        ({"cell": ()}, "'cell' is no table of this space; it has normal, reduce"),
        ({"normal": ((14, "none"),)}, "normal: row 14 does not exist; the table has 14"),
        ({"normal": ((0, "none"),)}, "normal: 'none' on row 0 is never derived"),
        ({"normal": ((0, "nor_conv_3x3"),)}, "normal: row 0 has no 'nor_conv_3x3'; it has none, max_pool_3x3"),
        ({"normal": ((0, "sep_conv_3x3"),) * 2}, "normal: 'sep_conv_3x3' is kept twice on row 0"),
        ({}, "normal is not decided"),
    ],
)
def test_why_picks_are_not_valid(picks, message):
    assert SPACES["darts"].valid(picks).startswith(message)


def test_two_operations_on_a_row_are_not_valid():
    space = SPACES["darts"]
    picks = drawn(space, 0)
    row, name = picks["normal"][0]
    other = next(op for op in space.candidates[1:] if op != name)
    fault = space.valid({**picks, "normal": (*picks["normal"], (row, other))})
    assert fault == f"normal: 2 candidates are kept on row {row}, must be 1"
