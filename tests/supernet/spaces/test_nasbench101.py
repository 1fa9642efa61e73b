"""NAS-Bench-101's cells and networks: the published hash, numbers of weights and channels; what is no cell of it."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genotypes import GenotypeError
from genotypes.types.nasbench101 import NASBENCH101_OPS, NASBench101Genotype, from_fields, from_text
from supernet import architectures
from supernet.errors import SpaceError
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from supernet.spaces.nasbench101 import PAIRS, Cell, NASBench101Space, vertex_channels

SPACE = NASBench101Space(ImageShape(3, 32, 10))
CONV3, CONV1, POOL = NASBENCH101_OPS
INCEPTION = from_text(f"{CONV1}~0|{CONV3}~0|{CONV3}~0|{CONV3}~3|{POOL}~0|output~1,2,4,5")
"""The example in the benchmark's documentation."""

FEWEST = from_text(f"{POOL}~0|{POOL}~1|{POOL}~1|{POOL}~1|output~1,2,3,4")
"""A cell of the fewest weights."""


def cell(edges, *ops):
    """A cell of edges, ``01`` from the input to vertex 1; all operations alike where none are given."""
    pairs = [(int(a), int(b)) for a, b in edges.split()]
    size = 1 + max(b for _, b in pairs)
    matrix = [[int((a, b) in pairs) for b in range(size)] for a in range(size)]
    return NASBench101Genotype(matrix, ops or (CONV3,) * (size - 2))


def test_published_hash_and_weights():
    assert INCEPTION.module_hash == "28cfc7874f6d200472e1a9dcd8650aa0"
    assert SPACE.parameters(INCEPTION) == 2_694_282
    most = from_text(f"{CONV3}~0|{CONV3}~1|{CONV3}~2|{CONV3}~0,3|{CONV3}~0,4|output~0,5")
    assert SPACE.parameters(FEWEST) == 227_274 and SPACE.parameters(most) == 49_979_274


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_closed_form_is_that_of_real_networks(seed):
    genotype = SPACE.derive(architectures.sample(SPACE, torch.Generator().manual_seed(seed)))
    with torch.device("meta"):
        network, image = SPACE.network(genotype), torch.empty(2, 3, 32, 32)
    assert count_parameters(network) == SPACE.parameters(genotype)
    assert network(image).shape == (2, 10)
    small = NASBench101Space(ImageShape(1, 9, 3), 7, 1)
    assert small.network(genotype)(torch.randn(2, 1, 9, 9)).shape == (2, 3)


@pytest.mark.parametrize(
    ("edges", "c_in", "c_out", "channels"),
    [
        ("01 12 23", 8, 16, [8, 16, 16, 16]),
        ("01", 1, 5, [1, 5]),
        ("01 02 13 23 34", 16, 8, [16, 8, 8, 8, 8]),
        ("01 02 13 23", 8, 15, [8, 8, 7, 15]),
        ("01 02 03 14 24 34", 8, 8, [8, 3, 3, 2, 8]),
        ("01 12 13 24 34", 8, 9, [8, 5, 5, 4, 9]),
        ("01 03 12 14 23 34", 8, 15, [8, 8, 7, 7, 15]),
    ],
)
def test_published_rules_of_channels(edges, c_in, c_out, channels):
    """The cases of the benchmark's own tests."""
    assert vertex_channels(cell(edges), c_in, c_out) == channels


def test_a_cell_by_hand():
    """Vertices cut what they read to their channels; the output is a concatenation plus the projected input."""
    torch.manual_seed(0)
    genotype = cell("01 12 13 23 24 34 14 04", CONV1, POOL, CONV1)
    module, x = Cell(genotype, 6, 8).double().eval(), torch.randn(2, 6, 5, 5, dtype=torch.float64)
    assert module.channels == [6, 3, 3, 2, 8]
    one = module.ops[0](module.projections["1"](x))
    two = torch.nn.functional.max_pool2d(one, 3, 1, 1)
    three = module.ops[2](one[:, :2] + two[:, :2])
    torch.testing.assert_close(module(x), torch.cat([one, two, three], 1) + module.projections["4"](x))


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_isomorphic_cells_have_one_hash(seed):
    """Relabelled vertices, and vertices on no path, change nothing; another operation does."""
    genotype = SPACE.derive(architectures.sample(SPACE, torch.Generator().manual_seed(seed))).pruned()
    last, rng = len(genotype.matrix) - 1, random.Random(seed)
    edges = [(s, v) for v in range(last + 1) for s in genotype.sources(v)]
    order, left = [0], list(range(1, last))
    while left:  # any topological order
        ready = [v for v in left if all(s in order for s in genotype.sources(v))]
        order.append(rng.choice(ready))
        left.remove(order[-1])
    place = {vertex: index for index, vertex in enumerate([*order, last])}
    moved = {(place[s], place[v]) for s, v in edges}
    matrix = [[int((a, b) in moved) for b in range(last + 1)] for a in range(last + 1)]
    other = NASBench101Genotype(matrix, tuple(genotype.ops[v - 1] for v in order[1:]))
    assert other.module_hash == genotype.module_hash
    if 0 < last < 6:
        wider = [[*row[:last], 0, row[last]] for row in genotype.matrix[:last]]
        wider += [[0] * (last + 2), [0] * (last + 2)]
        wider[0][last] = 1
        dangling = NASBench101Genotype(wider, (*genotype.ops, POOL))
        assert dangling.module_hash == genotype.module_hash and dangling != genotype
        assert dangling.pruned() == genotype and len(dangling.warnings()) == 1
    if genotype.ops:
        ops = (CONV3 if genotype.ops[0] != CONV3 else CONV1, *genotype.ops[1:])
        assert NASBench101Genotype(genotype.matrix, ops).module_hash != genotype.module_hash


def test_number_of_unique_cells_of_few_vertices():
    """Hashes against isomorphism by brute force, up to four vertices."""
    for size in (2, 3, 4):
        pairs = [(a, b) for b in range(1, size) for a in range(b)]
        hashes, classes = set(), set()
        for bits in itertools.product((0, 1), repeat=len(pairs)):
            kept = {pair for pair, bit in zip(pairs, bits) if bit}
            matrix = [[int((a, b) in kept) for b in range(size)] for a in range(size)]
            for ops in itertools.product(NASBENCH101_OPS, repeat=size - 2):
                try:
                    genotype = NASBench101Genotype(matrix, ops)
                except GenotypeError:
                    continue
                if genotype.pruned() != genotype:
                    continue
                hashes.add(genotype.module_hash)
                forms = []
                for order in itertools.permutations(range(1, size - 1)):
                    at = dict(zip((0, *order, size - 1), range(size)))
                    edges = tuple(sorted((at[a], at[b]) for a, b in kept))
                    forms.append((edges, tuple(ops[v - 1] for v in order)))
                classes.add(min(forms))
        assert len(hashes) == len(classes)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_texts_and_fields_round_trip(seed):
    genotype = SPACE.derive(architectures.sample(SPACE, torch.Generator().manual_seed(seed)))
    assert from_text(str(genotype)) == genotype == from_fields(genotype.fields())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NASBench101Genotype([[0]], ()), "matrix: found 1 vertices, allowed 2 to 7"),
        (lambda: NASBench101Genotype([[0, 1], [0]], ()), r"matrix\[1\]: found 1 entries, allowed 2"),
        (lambda: NASBench101Genotype([[0, 2], [0, 0]], ()), r"matrix\[0\]\[1\]: found 2, allowed 0 or 1"),
        (lambda: NASBench101Genotype([[0, 1], [1, 0]], ()), r"matrix\[1\]\[0\]: found 1, allowed 0: an edge leads"),
        (lambda: NASBench101Genotype([[0, 0], [0, 0]], ()), "no path from the input to the output"),
        (lambda: cell("01 12", "conv3x3"), r"ops\[0\]: found 'conv3x3', allowed 'conv3x3-bn-relu' \(nearest\)"),
        (lambda: cell("01 12", CONV1, CONV3), "ops: found 2 operations, allowed 1"),
        (lambda: cell("01 02 03 04 05 06 16 26 36 46 56"), "11 edges on paths .* allowed at most 9"),
        (lambda: from_text("conv3x3-bn-relu~1|output~1"), "vertex 1: found input 1, allowed an earlier vertex"),
        (lambda: from_text("conv3x3-bn-relu"), r"allowed op~0\|op~0,1\|...\|output~0,2"),
        (lambda: from_fields({}), r"architecture: found nothing, allowed a string op~0\|"),
        (lambda: from_fields({"architecture": "output~1"}), "architecture, vertex 1: found input 1"),
    ],
)
def test_wrong_cells_are_one_clear_error(make, message):
    with pytest.raises(GenotypeError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def picks(edges, *ops):
    pairs = {(int(a), int(b)) for a, b in edges.split()}
    ops = ops or (CONV3,) * 5
    kept = tuple((row, "edge" if pair in pairs else "none") for row, pair in enumerate(PAIRS))
    return {"edges": kept, "operations": tuple(enumerate(ops))}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (picks("01 16"), None),
        (picks("02 26"), "vertex 1 has no edge, but a later one has"),
        (
            picks("01 16", CONV1, CONV3, CONV3, CONV3, POOL),
            "vertex 5 has no edge; its operation must be conv3x3-bn-relu",
        ),
        (picks("01"), "no path from the input to the output; allowed at least one"),
        (picks("01 02 03 04 05 16 26 36 46 56"), "10 edges on paths from the input to the output; allowed at most 9"),
        (picks("01 02 03 04 05 16 26 36 46 45"), None),
        ({"operations": ()}, "edges is not decided"),
    ],
)
def test_what_is_valid(chosen, message):
    assert SPACE.valid(chosen) == message


def test_genotypes_that_are_not_of_the_space():
    matrix = [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    with pytest.raises(SpaceError, match=r"ops\[0\]: vertex 1 has no edge; leave it out"):
        SPACE.picks(NASBench101Genotype(matrix, (CONV1, CONV1)))
    with pytest.raises(SpaceError, match="no auxiliary head"):
        SPACE.network(INCEPTION, auxiliary=True)
    with pytest.raises(SpaceError, match="3 channels cannot be divided among 4 vertices: raise `space.channels`"):
        NASBench101Space(ImageShape(3, 8, 2), 3).network(FEWEST)
