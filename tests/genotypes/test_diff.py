from dataclasses import replace

from hypothesis import given

from genotypes import Cell, CellGenotype, Difference, Edge, differences, from_text, load
from tests.strategies import genotypes

V2 = load("DARTS_V2")


def with_normal(*nodes, concat=(2, 3, 4, 5)):
    return replace(V2, normal=Cell(nodes, concat))


@given(genotypes(), genotypes())
def test_none_where_and_only_where_equal(first, second):
    assert not differences(first, first.named("another"))
    found = differences(first, second)
    assert bool(found) == (first != second)
    assert sorted(d.field for d in found) == sorted(d.field for d in differences(second, first))


def test_edges_are_matched():
    zero, one, two, three = V2.normal.nodes
    other_op = (Edge("dil_conv_5x5", 0), zero[1])
    assert differences(V2, with_normal(other_op, one, two, three)) == [
        Difference("normal.nodes[0]", "sep_conv_3x3 from 0", "dil_conv_5x5 from 0")
    ]
    other_input = (Edge("sep_conv_3x3", 2), one[1])
    assert differences(V2, with_normal(zero, other_input, two, three)) == [
        Difference("normal.nodes[1]", "sep_conv_3x3 from 0", "sep_conv_3x3 from 2")
    ]
    both = (Edge("none", 3), two[1])
    assert differences(V2, with_normal(zero, one, both, three)) == [
        Difference("normal.nodes[2]", "sep_conv_3x3 from 1", "none from 3")
    ]
    fewer = (three[1],)
    assert differences(V2, with_normal(zero, one, two, fewer)) == [
        Difference("normal.nodes[3]", "skip_connect from 0", "")
    ]


def test_order_nodes_and_concatenation():
    zero, one, two, three = V2.normal.nodes
    assert differences(V2, with_normal(zero[::-1], one, two, three)) == [
        Difference(
            "normal.nodes[0]", "sep_conv_3x3 from 0, sep_conv_3x3 from 1", "sep_conv_3x3 from 1, sep_conv_3x3 from 0"
        )
    ]
    shorter = with_normal(zero, one, concat=(2, 3))
    assert [d.field for d in differences(V2, shorter)] == ["normal.nodes[2]", "normal.nodes[3]", "normal.concat"]
    assert differences(V2, shorter)[-1] == Difference("normal.concat", "2, 3, 4, 5", "2, 3")
    empty = from_text("G(normal=[[('none', 0)], []], normal_concat=[2], reduce=[[('none', 0)]], reduce_concat=[2])")
    full = CellGenotype(Cell(((Edge("none", 0),), (Edge("none", 1),)), (2,)), empty.reduce)
    assert differences(empty, full) == [Difference("normal.nodes[1]", "", "none from 1")]
