"""The check of finite differences while a search runs."""

import pytest

from darts.oneshot import difference_check
from darts.oneshot.difference_check import check_differences
from tests import tiny


@pytest.mark.parametrize(("error", "warns"), [(0.1, False), (0.8, True)])
def test_a_search_warns_of_differences_that_are_too_long(error, warns, monkeypatch):
    monkeypatch.setattr(difference_check, "difference_error", lambda *arguments: error)
    task = tiny.search(tiny.config(channels=2, epochs=1, step="unrolled:radius=0.02"), make=tiny.few_candidates)
    task.begin_epoch(0, 0)
    figures = task.end_epoch(0, lambda done, batches: None)
    assert figures["difference_error"] == error
    if warns:
        assert "radius 0.02 are off by 80 %" in figures["warning"] and "radius=0.002" in figures["warning"]
    else:
        assert "warning" not in figures


def test_only_differences_are_checked_and_now_and_then():
    context = tiny.search(tiny.config(channels=2, epochs=9), make=tiny.few_candidates).context
    step = tiny.search(tiny.config(channels=2, step="neumann"), make=tiny.few_candidates).method.step
    assert [bool(check_differences(step, context, epoch)) for epoch in range(9)] == [
        epoch in (0, 5, 8) for epoch in range(9)
    ]
    first_order = tiny.search(tiny.config(channels=2), make=tiny.few_candidates).method.step
    assert not check_differences(first_order, context, 0)
