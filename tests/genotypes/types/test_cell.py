import pytest
from hypothesis import given

from genotypes import CELL_OPS, DERIVED_OPS, Cell, CellGenotype, Edge, GenotypeError, library_names, load
from tests.strategies import genotypes

ONE = Cell(((Edge("skip_connect", 0),),), (2,))


def test_all_faults_at_once():
    nodes = ((Edge("sep_conv_3x4", 0), Edge("skip_connect", 2)), (Edge("none", -1),))
    with pytest.raises(GenotypeError) as caught:
        CellGenotype(Cell(nodes, (2, 9, 2)), ONE)
    fields = [fault.field for fault in caught.value.faults]
    assert fields == [
        "normal.nodes[0][0].op",
        "normal.nodes[0][1].from",
        "normal.nodes[1][0].from",
        "normal.concat[1]",
        "normal.concat[2]",
    ]
    assert "'sep_conv_3x3' (nearest)" in str(caught.value)


@pytest.mark.parametrize(
    "cell", [Cell((), (2,)), Cell(((),), (2,)), Cell(((Edge("none", 0),), (Edge("none", 0),)), ())]
)
def test_cells_without_a_value(cell):
    with pytest.raises(GenotypeError):
        CellGenotype(ONE, cell)


def test_nodes_without_inputs_are_left_out():
    cell = Cell(((), (Edge("skip_connect", 2),), (Edge("skip_connect", 1),)), (2, 3, 4))
    assert cell.alive == {0, 1, 4}
    assert cell.outputs == (4,)


@given(genotypes())
def test_hash_is_of_the_architecture(genotype):
    assert genotype.hash == genotype.named("another").hash
    assert len(genotype.hash) == 12
    changed = Cell((*genotype.normal.nodes, (Edge("none", 0),)), genotype.normal.concat)
    assert CellGenotype(changed, genotype.reduce).hash != genotype.hash


def test_hashes_of_the_library_are_fixed():
    assert load("DARTS_V2").hash == "23aee99f4eae"
    assert len({load(name).hash for name in library_names()}) == len(library_names())


def test_derived_operations_are_those_of_darts():
    """The candidates of the paper (Liu et al. 2019, section 3.1), without ``none``."""
    assert set(CELL_OPS) - set(DERIVED_OPS) == {"none", "sep_conv_7x7", "conv_7x1_1x7", "noise"}
    assert len(DERIVED_OPS) == 7
