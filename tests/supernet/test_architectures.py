"""Every space alike: sampled, mutated, crossed over, neighbouring, enumerated, counted and encoded architectures."""

import itertools
import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genotypes.types.nasbench201 import NASBench201Genotype
from supernet import architectures, conditions
from supernet.conditions import taking_part
from supernet.decisions import count_values, values
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBench201Space
from supernet.spaces.recurrent import RecurrentSpace
from supernet.spaces.transformer.translation import TranslationSpace
from tests.supernet.every_space import IMAGES, SHAPES, SMALL, SPACES, drawn, generator

NAMES = st.sampled_from(list(SPACES))
SEEDS = st.integers(0, 10**6)


class Constrained(NASBench201Space):
    """NAS-Bench-201 without the architectures of more than two convolutions: more than the tables say."""

    constrained = True

    def valid(self, picks):
        convolutions = sum(name.startswith("nor_conv") for _, name in picks.get("cell", ()))
        return super().valid(picks) or (f"{convolutions} convolutions, at most 2" if convolutions > 2 else None)


def differing(space, first, second):
    """The decisions that differ, of those that take part in both: (label, group), and the changes between them."""
    found = []
    for table in space.tables:
        if table.label in first and table.label in second:
            for span in table.spans:
                parts = [{pair for pair in picks[table.label] if pair[0] in span} for picks in (first, second)]
                found += [(table.label, *parts)] if parts[0] != parts[1] else []
    return found


@given(NAMES, SEEDS, st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_mutation_is_valid_and_differs_in_exactly_one_decision(name, seed, kind_first):
    space = SPACES[name]
    picks = drawn(space, seed)
    mutant = architectures.mutate(space, picks, generator(seed + 1), kind_first)
    assert space.valid(mutant) is None
    ((label, before, after),) = differing(space, picks, mutant)
    assert len(before ^ after) == 2 and len({row for row, _ in before ^ after}) <= 2
    assert architectures.key(space, mutant) in {
        architectures.key(space, n) for n in architectures.neighbours(space, picks)
    }
    outside = set(mutant) ^ set(picks)
    assert not outside or label not in outside


@given(NAMES, SEEDS, st.sampled_from(["uniform", "one_point"]))
@settings(max_examples=80, deadline=None)
def test_every_decision_of_a_child_is_that_of_a_parent(name, seed, points):
    space = SPACES[name]
    first, second = drawn(space, seed), drawn(space, seed + 1)
    child = architectures.cross_over(space, first, second, generator(seed), points)
    assert space.valid(child) is None
    for table in space.tables:
        for span in table.spans if table.label in child else ():
            rows = [span] if table.keep is not None else [[row] for row in span]
            for own in rows:
                genes = [
                    {pair for pair in picks.get(table.label, ()) if pair[0] in own} for picks in (first, second, child)
                ]
                assert genes[2] in genes[:2]


@given(SEEDS, st.sampled_from(["uniform", "one_point"]))
@settings(max_examples=20, deadline=None)
def test_both_parents_pass_decisions_on(seed, points):
    space = SPACES["darts"]
    first, second = drawn(space, seed), drawn(space, seed + 1)
    children = [architectures.cross_over(space, first, second, generator(k), points) for k in range(8)]
    keys = {architectures.key(space, child) for child in children}
    assert len(keys) > 1 or first == second


def test_one_point_takes_the_front_from_the_first_and_the_rest_from_the_second():
    space = SPACES["nasbench201"]
    parents = [{"cell": tuple((row, op) for row in range(6))} for op in ("none", "skip_connect")]
    seen = set()
    for seed in range(40):
        ops = [op for _, op in architectures.cross_over(space, *parents, generator(seed), "one_point")["cell"]]
        point = ops.index("skip_connect")
        assert ops == ["none"] * point + ["skip_connect"] * (6 - point)
        seen.add(point)
    assert seen == {1, 2, 3, 4, 5}


@given(NAMES, SEEDS)
@settings(max_examples=40, deadline=None)
def test_neighbours_are_symmetric_distinct_and_valid(name, seed):
    space = SPACES[name]
    picks = drawn(space, seed)
    around = [architectures.key(space, other) for other in architectures.neighbours(space, picks)]
    assert len(set(around)) == len(around) and architectures.key(space, picks) not in around
    for other in random.Random(seed).sample(around, min(6, len(around))):
        assert space.valid(dict(other)) is None and len(differing(space, picks, dict(other))) == 1
        back = {architectures.key(space, each) for each in architectures.neighbours(space, dict(other))}
        assert architectures.key(space, picks) in back


def test_the_number_of_neighbours():
    """NAS-Bench-201: 6 edges, 4 other operations each. DARTS: 16 edges of 6 others; groups of 2 to 5 rows keep 2."""
    for name, wanted in {
        "nasbench201": 24,
        "darts": 16 * 6 + 2 * (0 + 2 + 4 + 6),
        "recurrent": 4 * 3 + 0 + 1 + 2 + 3,
    }.items():
        assert len(list(architectures.neighbours(SPACES[name], drawn(SPACES[name], 0)))) == wanted


def test_many_dependent_decisions_are_made_together(monkeypatch):
    """Of the translation space, 81 tables: a neighbour takes a few passes over them, not one for each table."""
    space, passes = TranslationSpace(SHAPES["translation"], 4), []
    decide = conditions.decide
    monkeypatch.setattr(conditions, "decide", lambda *given: passes.append(1) or decide(*given))
    picks = drawn(space, 0)
    passes.clear()
    around = list(architectures.neighbours(space, picks))
    wanted = 0
    for table in space.tables:
        if table.label in picks:
            opened = [t for t in space.tables if t.label not in picks and any(w[0][0] == table.label for w in t.when)]
            wanted += (len(table.candidates) - 1) * math.prod(len(t.candidates) for t in opened)
    assert len(around) == wanted and len(passes) < 4 * wanted


@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_is_reached_by_neighbours(name):
    space = SMALL[name]
    start = architectures.key(space, drawn(space, 0))
    reached, edge = {start}, [start]
    while edge:
        around = {architectures.key(space, each) for key in edge for each in architectures.neighbours(space, dict(key))}
        edge = list(around - reached)
        reached |= around
    assert len(reached) == architectures.count(space)


@pytest.mark.parametrize("name", SMALL)
def test_enumeration_has_no_repeats_and_counts_are_exact(name):
    space = SMALL[name]
    every = list(architectures.enumerate_all(space))
    assert len({architectures.key(space, picks) for picks in every}) == len(every) == architectures.count(space)
    assert len({space.derive(picks) for picks in every}) == len(every), "no two have one genotype"
    assert all(space.valid(picks) is None for picks in every)
    assert all(space.picks(space.derive(picks)) == picks for picks in every)


@pytest.mark.parametrize("name", SMALL)
def test_encodings_are_injective(name):
    space = SMALL[name]
    every = list(architectures.enumerate_all(space))
    integers = [architectures.encode_integers(space, picks) for picks in every]
    hot = [tuple(architectures.encode_one_hot(space, picks).tolist()) for picks in every]
    assert len(set(integers)) == len(set(hot)) == len(every)
    assert len({len(code) for code in integers}) == len({len(code) for code in hot}) == 1


def test_known_counts():
    cells = (math.comb(2, 2) * math.comb(3, 2) * math.comb(4, 2) * math.comb(5, 2) * 7**8) ** 2
    nested = 2 * 3 * (3 * (1 + 2) + 3 + 1)  # outer, join; deep: shared and middle, own: inner; other: shared; plain
    known = {"nasbench201": 15_625, "darts": cells, "recurrent": math.factorial(4) * 4**4, "nested": nested}
    known["convnet"] = 3 * 3 * ((3 * 3 + 1) * 3) ** 2  # activation, normalization; blocks: width and kernel or dense
    known["textnet"] = (9 * 2) ** 2
    known["s1"] = math.prod(math.comb(size, 2) * 2**2 for size in (2, 3, 4, 5)) ** 2
    for name, count in known.items():
        assert architectures.count(SPACES[name]) == count
    assert architectures.count(RecurrentSpace(9)) == math.factorial(8) * 4**8
    assert sum(1 for _ in architectures.enumerate_all(SPACES["nasbench201"])) == 15_625
    assert next(architectures.enumerate_all(SPACES["darts"])) is not None, "lazily"


@pytest.mark.parametrize("name", ["narrowed", "nested"])
def test_samples_are_uniform(name):
    """Where rows have unequal candidates, and where decisions depend on others."""
    space, rng = SMALL[name], generator(0)
    tables = space.tables[:1] if name == "narrowed" else space.tables
    number = math.prod(map(count_values, tables)) if name == "narrowed" else architectures.count(space)
    labels = {table.label for table in tables}
    draws = 20 * number
    seen = Counter(
        tuple(
            (label, value)
            for label, value in architectures.key(space, architectures.sample(space, rng))
            if label in labels
        )
        for _ in range(draws)
    )
    assert len(seen) == number
    chi = sum((times - 20) ** 2 / 20 for times in seen.values())
    assert abs(chi - (number - 1)) < 5 * math.sqrt(2 * (number - 1))


def test_mutations_are_uniform_over_changes_or_over_kinds_first():
    space = SPACES["recurrent"]
    picks = drawn(space, 0)
    kinds = {}
    for kind_first in (False, True):
        mutants = [architectures.mutate(space, picks, generator(seed), kind_first) for seed in range(900)]
        inputs = sum({row for row, _ in picks["recurrent"]} != {row for row, _ in m["recurrent"]} for m in mutants)
        kinds[kind_first] = inputs / len(mutants)
    assert kinds[False] == pytest.approx(6 / 18, abs=0.06) and kinds[True] == pytest.approx(0.5, abs=0.06)


def test_draws_repeat_with_their_generator():
    for space in SPACES.values():
        assert drawn(space, 3) == drawn(space, 3)
        assert architectures.mutate(space, drawn(space, 3), generator(1)) == architectures.mutate(
            space, drawn(space, 3), generator(1)
        )


def test_decisions_that_take_no_part_are_left_out():
    """By the tables' conditions, as by what the model itself leads to."""
    space = SPACES["nested"]
    every = itertools.product(*(list(values(table)) for table in space.tables))
    labels = [table.label for table in space.tables]
    for chosen in every:
        picks = dict(zip(labels, chosen))
        assert set(taking_part(space.tables, picks)) == {label for label, _ in space.derive(picks).picks}
    plain = architectures.canonical(space.tables, dict(zip(labels, chosen)) | {"block": ((0, "plain"),)})
    assert set(plain) == {"outer", "block", "join"}
    deeper = [each for each in architectures.neighbours(space, plain) if each["block"] == ((0, "deep"),)]
    assert len(deeper) == 3 * (1 + 2), "each with every value of what it brings in"


def test_a_constrained_space_is_sampled_counted_and_walked_within_its_limits():
    space = Constrained(IMAGES)
    wanted = sum(math.comb(6, k) * 2**k * 3 ** (6 - k) for k in range(3))
    assert architectures.count(space) == wanted
    picks = drawn(space, 0)
    assert all(space.valid(drawn(space, seed)) is None for seed in range(50))
    assert all(space.valid(each) is None for each in architectures.neighbours(space, picks))
    for seed in range(50):
        assert space.valid(architectures.mutate(space, picks, generator(seed))) is None
        assert space.valid(architectures.cross_over(space, picks, drawn(space, seed), generator(seed))) is None


def test_paths():
    """Two-node example by hand: 0 -skip-> 1 -conv-> 3 and 0 -conv-> 3; the path over ``none`` is none."""
    space = NASBench201Space(IMAGES)
    ops = ("skip_connect", "none", "none", "nor_conv_3x3", "nor_conv_1x1", "none")
    code = architectures.encode_paths(space, space.picks(NASBench201Genotype(ops)))
    names = [name for name in space.candidates if name != "none"]
    skip, conv1, conv3 = (names.index(name) for name in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3"))
    assert len(code) == 4 + 4**2 + 4**3 and code.nonzero().flatten().tolist() == sorted([conv3, 4 + 4 * skip + conv1])
    darts = SPACES["darts"]
    long = architectures.encode_paths(darts, drawn(darts, 0))
    assert len(long) == 2 * 2 * (7 + 7**2 + 7**3 + 7**4)
    short = architectures.encode_paths(darts, drawn(darts, 0), size=30)
    assert torch.equal(short, torch.cat([long[:30], long[len(long) // 2 :][:30]]))
    nested = SPACES["nested"]
    hot = architectures.encode_one_hot(nested, drawn(nested, 0))
    assert torch.equal(architectures.encode_paths(nested, drawn(nested, 0)), hot), (
        "a model's decisions are paths of one"
    )


@pytest.mark.parametrize("name", ["darts", "nasbench201", "nested"])
@pytest.mark.parametrize("seed", range(2))
def test_one_hot_gates_give_the_network_of_the_genotype(name, seed):
    torch.manual_seed(seed)
    space = {
        "darts": DARTSSpace(IMAGES, 4, 3, 2),
        "nasbench201": NASBench201Space(IMAGES, 4, 1),
        "nested": SPACES["nested"],
    }[name]
    picks = drawn(space, seed)
    gates = architectures.one_hot(space.tables, picks, torch.float64)
    x = torch.randn(4, *((4,) if name == "nested" else (3, 8, 8)), dtype=torch.float64)
    supernet, genotype = space.supernet().double(), space.derive(picks)
    supernet(x + 0.3, gates)
    network = space.network(genotype, searched=True).double()
    space.inherit(network, supernet, genotype)
    torch.testing.assert_close(network.eval()(x), supernet.eval()(x, gates), rtol=0, atol=1e-10)


def test_inputs_of_a_space_are_not_changed():
    space = SPACES["nested"]
    picks = {table.label: next(values(table)) for table in space.tables}
    before = dict(picks)
    architectures.mutate(space, picks, generator(0))
    list(architectures.neighbours(space, picks))
    assert picks == before
