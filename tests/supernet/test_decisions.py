"""The values of one table of choices, against every subset of its pairs; the changes between them."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from supernet.choice import ChoiceTable
from supernet.conditions import violation
from supernet.decisions import changes, count_values, draw_below, values
from tests.supernet.every_space import generator


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_values_of_a_table_by_brute_force(data):
    """Every way to keep pairs, tried one by one, against the closed form; changes against their definition."""
    candidates = ("none", "a", "b", "c")[: data.draw(st.integers(2, 4))]
    groups = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    some = st.lists(st.sampled_from(candidates), min_size=1, unique=True).map(tuple)
    allowed = data.draw(st.none() | st.tuples(*[some] * sum(groups)))
    table = ChoiceTable("t", candidates, groups, allowed, data.draw(st.sampled_from([None, 1, 2])), ("none",),
                        data.draw(st.integers(1, 2)))  # fmt: skip
    pairs = [(row, name) for row in range(table.rows) for name in candidates]
    kept = (
        [chosen for size in range(len(pairs) + 1) for chosen in itertools.combinations(pairs, size)]
        if len(pairs) <= 12
        else []
    )
    every = list(values(table))
    assert len(set(every)) == len(every) == count_values(table)
    assert all(violation((table,), {"t": value}) is None for value in every)
    if kept:
        assert {value for value in kept if violation((table,), {"t": value}) is None} == set(every)
    around = {value: {change.value for change in changes(table, value)} for value in every[:60]}
    for value, others in around.items():
        assert value not in others and others <= set(every)
        assert all(value in {change.value for change in changes(table, other)} for other in others)


def test_large_integers_are_drawn_uniformly():
    bound = 3 * 2**70
    seen = [draw_below(bound, generator(seed)) for seed in range(300)]
    assert max(seen) < bound and Counter(each * 3 // bound for each in seen).keys() == {0, 1, 2}
    assert len(set(seen)) == len(seen)
