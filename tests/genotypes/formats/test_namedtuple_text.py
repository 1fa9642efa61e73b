import pytest
from hypothesis import given

from genotypes import Cell, CellGenotype, Edge, GenotypeError, from_text, library_names, load, to_text
from genotypes.formats.reader import read_with_lines as read
from tests.strategies import genotypes, narrow_genotypes

ONE = Cell(((Edge("skip_connect", 0), Edge("none", 1)),), (2,))


@given(genotypes())
def test_text_round_trip(genotype):
    back = from_text(f"{genotype.name} = {to_text(genotype)}" if genotype.name else to_text(genotype))
    assert back == genotype and back.hash == genotype.hash and back.name == genotype.name


@given(genotypes())
def test_nested_holds_every_genotype(genotype):
    back = from_text(to_text(genotype, "nested"))
    assert back == genotype and back.hash == genotype.hash


@given(narrow_genotypes())
def test_edge_lists_hold_every_order_of_distinct_inputs(genotype):
    text = to_text(genotype, "edges")
    back = from_text(text)
    assert back == genotype and back.hash == genotype.hash
    in_order = all(
        sources == sorted(sources)
        for cell in (genotype.normal, genotype.reduce)
        for sources in ([edge.source for edge in node] for node in cell.nodes)
    )
    assert in_order == ("_order" not in text)


@given(narrow_genotypes(fewest=1))
def test_triples_hold_every_genotype_without_empty_nodes(genotype):
    back = from_text(to_text(genotype, "triples"))
    assert back == genotype and back.hash == genotype.hash


@given(narrow_genotypes(fewest=2, most=2))
def test_pairs_hold_every_genotype_of_two_inputs(genotype):
    text = to_text(genotype, "text")
    assert text == to_text(genotype) and from_text(text) == genotype


def test_an_edge_list_has_an_entry_for_every_edge():
    text = to_text(load("DARTS_V2"), "edges")
    normal = text[text.index("[") + 1 : text.index("]")].split(", ")
    wanted = "sep_conv_3x3 sep_conv_3x3 sep_conv_3x3 sep_conv_3x3 None skip_connect sep_conv_3x3 None None"
    assert [entry.strip("'") for entry in normal] == [
        *wanted.split(),
        "skip_connect",
        "None",
        "dil_conv_3x3",
        "None",
        "None",
    ]
    assert "normal_order=[[0, 1], [0, 1], [1, 0], [0, 2]]" in text


@pytest.mark.parametrize("form", ["text", "nested", "triples", "edges"])
@pytest.mark.parametrize("name", library_names())
def test_the_library_in_every_form(name, form):
    genotype = load(name)
    nodes = [node for cell in (genotype.normal, genotype.reduce) for node in cell.nodes]
    twice = any(len({edge.source for edge in node}) < len(node) for node in nodes)
    if (form == "edges" and twice) or (form == "text" and any(len(node) != 2 for node in nodes)):
        with pytest.raises(GenotypeError, match=f"{name} as {form}: .*nodes"):
            to_text(genotype, form)
    else:
        assert from_text(to_text(genotype, form)).hash == genotype.hash


@pytest.mark.parametrize(
    ("nodes", "concat", "form", "reason"),
    [
        ([[("none", 0), ("none", 0)]], (2,), "edges", "nodes[0]: found two edges from one state"),
        ([[("none", 0)]], (2,), "text", "nodes[0]: found 1 edges, allowed two"),
        ([[("none", 0)], []], (2,), "triples", "nodes[1]: found an empty last node"),
    ],
)
def test_what_a_form_cannot_express(nodes, concat, form, reason):
    cell = Cell(tuple(tuple(Edge(*edge) for edge in node) for node in nodes), concat)
    with pytest.raises(GenotypeError) as caught:
        to_text(CellGenotype(ONE, cell), form)
    assert len(caught.value.faults) == 1 and f"reduce.{reason}" in str(caught.value)


def test_a_concatenated_empty_last_node_is_a_triple_form():
    cell = Cell(((Edge("none", 0),), ()), (2, 3))
    genotype = CellGenotype(ONE, cell)
    assert from_text(to_text(genotype, "triples")) == genotype


def test_the_text_of_the_original():
    text = """DARTS_V1 = Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0),
        ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
        normal_concat=[2, 3, 4, 5], reduce=[("max_pool_3x3", 0), ("max_pool_3x3", 1), ('skip_connect', 2),
        ('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
        reduce_concat=range(2, 6))"""
    assert from_text(text) == load("DARTS_V1")


def test_triples_and_nested_pairs():
    nested = from_text(
        "Genotype(normal=[(('skip_connect', 0), ('none', 1)), [('none', 2)]], normal_concat=range(2, 4),"
        " reduce=[[('none', 0)]], reduce_concat=[2])"
    )
    triples = from_text(
        "Genotype(normal=[('skip_connect', 2, 0), ('none', 2, 1), ('none', 3, 2)], normal_concat=range(2, 4),"
        " reduce=[('none', 2, 0)], reduce_concat=[2])"
    )
    assert nested == triples


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Genotype(normal=__import__('os').system('true'))", "__import__"),
        ("Genotype(normal=[('skip_connect', 0)], normal_concat=[2], reduce=[], reduce_concat=[2])", "1 pairs"),
        ("Genotype(normal=[('skip_connect', 0), ('x', 1, 2)], normal_concat=[2])", "mixed entries"),
        ("Genotype(normal=[('a', 10**9)])", "'**9)"),
        ("Genotype(normal_concat=range(0, 999999999))", "at most 256"),
        ("Genotype(normal=" + "[" * 5000, "allowed a string"),
        ("Genotype(normal=[], normal=[])", "each once"),
        ("Genotype() ; import os", "nothing after"),
        ("", "the end of the text"),
    ],
)
def test_faulty_text_names_its_place(text, part):
    with pytest.raises(GenotypeError, match="line 1|normal") as caught:
        from_text(text, "file.py")
    assert str(caught.value).startswith("file.py: ")
    assert part in str(caught.value)


def test_every_fault_at_once_with_its_line():
    text = """X = Genotype(
        normal=[('sep_conv_3x4', 0), ('none', 1),
                ('none', 4), ('none', -1)],
        normal_concat=[2, 7],
        reduce=['none', None,
                'skip', None, 'none'],
        reduce_concat=range(1, 4))"""
    with pytest.raises(GenotypeError) as caught:
        read(text)
    assert [(fault.line, fault.field) for fault in caught.value.faults] == [
        (2, "normal.nodes[0][0].op"),
        (3, "normal.nodes[1][0].from"),
        (3, "normal.nodes[1][1].from"),
        (4, "normal.concat[1]"),
        (6, "reduce.nodes[1][0].op"),
        (7, "reduce.concat[0]"),
    ]


@pytest.mark.parametrize(
    ("order", "part"),
    [("[[1, 0], [0]]", "normal_order: found a list"), ("[[1, 1]]", "normal_order[0]"), ("7", "normal_order: found 7")],
)
def test_a_faulty_order(order, part):
    text = "G(normal=['none', 'none'], normal_concat=[2], reduce=['none', None], reduce_concat=[2], normal_order="
    assert from_text(f"{text}[[1, 0]])").normal.nodes[0] == (Edge("none", 1), Edge("none", 0))
    with pytest.raises(GenotypeError) as caught:
        from_text(f"{text}{order})")
    assert part in str(caught.value)
