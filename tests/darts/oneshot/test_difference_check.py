"""The check of finite differences while a search runs."""

import pytest
import torch

from darts.bilevel.hypergradients import first_order
from darts.bilevel.radius import ChosenRadius
from darts.oneshot import difference_check
from darts.oneshot.difference_check import check_differences, checked_radius, checked_step
from supernet.ops import fusable_layers
from tests import tiny


def search(step, **options):
    return tiny.search(tiny.config(channels=2, step=step, **options), make=tiny.few_candidates)


@pytest.mark.parametrize(("error", "warns"), [(0.1, False), (0.8, True)])
def test_a_search_warns_once_where_no_radius_agrees(error, warns, monkeypatch):
    monkeypatch.setattr(difference_check, "choose_radius", lambda *arguments: ChosenRadius(0.002, error))
    task = search("unrolled:radius=0.02", epochs=2)
    task.begin_epoch(0, 0)
    figures = task.end_epoch(0, lambda done, batches: None)
    assert figures["difference_error"] == error and figures["difference_radius"] == 0.002
    assert ("warning" in figures) is warns
    if warns:
        assert "radius 0.002 are off by 80 %" in figures["warning"] and "unrolled_exact" in figures["warning"]
    task.begin_epoch(1, 0)
    assert "warning" not in task.end_epoch(1, lambda done, batches: None)


def test_a_fixed_radius_is_judged_alone(monkeypatch):
    task = search("unrolled:radius=100,choose=false", epochs=1)
    task.begin_epoch(0, 0)
    figures = task.end_epoch(0, lambda done, batches: None)
    assert figures["difference_radius"] == checked_radius(task.context) == 100
    assert "radius=10, or leave out choose=false" in figures["warning"]


@pytest.mark.parametrize("step", ["unrolled:radius=0.1", "neumann:terms=1,radius=0.1"])
def test_a_search_takes_a_radius_for_which_differences_agree(step):
    """From the first step on; the supernet's own backend is not changed."""
    task = search(step)
    graph = task.problem.supernet.cells[0].inside.graph
    before = graph.backend, [layer.kernels for layer in fusable_layers(task.problem.supernet)]
    task.begin_epoch(0, 0)
    radius = checked_radius(task.context)
    assert radius < 0.1 and checked_step(task.method.step, task.context) == task.method.step.at(radius)
    assert before == (graph.backend, [layer.kernels for layer in fusable_layers(task.problem.supernet)])
    seen = []
    task.problem.kept.valid = {}

    class Seen(type(task.method.step)):
        def __call__(self, problem, train, valid):
            seen.append(self.radius)
            return first_order(problem, train, valid)

    object.__setattr__(task.method, "step", Seen(radius=0.1))
    task.step()
    assert seen == [radius]


def test_the_check_changes_nothing_of_the_search_and_is_resumed(tmp_path):
    settings = tiny.config(channels=2, epochs=1, step="unrolled")
    saved = [((0, 1), tmp_path / "state.pt")]
    whole = tiny.run(tiny.search(settings, make=tiny.few_candidates), saving=saved)
    again = tiny.resumed(tiny.search(settings, make=tiny.few_candidates), saved[0][1], 0, 1)
    assert checked_radius(whole.context) == checked_radius(again.context)
    assert all(torch.equal(whole.problem.logits[label], a) for label, a in again.problem.logits.items())


def test_only_differences_are_checked_and_now_and_then(monkeypatch):
    monkeypatch.setattr(difference_check, "choose_radius", lambda *arguments: ChosenRadius(0.01, 0.0))
    task = search("neumann", epochs=9)
    due = [bool(check_differences(task.method.step, task.context, done)) for done in range(10)]
    assert due == [done in (0, 1, 6, 9) for done in range(10)]
    exact = search("neumann:exact=true").method.step
    for step in (first_order, exact):
        assert not check_differences(step, task.context, 0)


def compared(monkeypatch, error=None):
    """Which hypergradients differences are compared with, where the exact one raises an error."""
    seen = []

    def choose(step, problem, train, valid, exact=None):
        seen.append("exact" if exact else "shorter")
        if exact and error:
            raise error
        return ChosenRadius(0.01, 0.0)

    monkeypatch.setattr(difference_check, "choose_radius", choose)
    return seen


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        NotImplementedError("derivative for aten::flash_attention_backward is not implemented"),
    ],
)
def test_where_there_is_no_exact_gradient_the_log_says_what_differences_were_compared_with(error, monkeypatch):
    seen, task = compared(monkeypatch, error), search("unrolled")
    figures = check_differences(task.method.step, task.context, 0)
    assert seen == ["exact", "shorter"] and figures["difference_compared"] == f"with shorter differences: {error}"


def test_other_errors_are_not_swallowed(monkeypatch):
    compared(monkeypatch, RuntimeError("shapes differ"))
    task = search("unrolled")
    with pytest.raises(RuntimeError, match="shapes differ"):
        check_differences(task.method.step, task.context, 0)


def test_a_batch_that_is_divided_to_fit_is_not_computed_as_a_whole(monkeypatch):
    seen, task = compared(monkeypatch), search("unrolled")
    task.partition.micro_batches = 2
    assert "micro-batches" in check_differences(task.method.step, task.context, 0)["difference_compared"]
    task.partition.micro_batches = 1
    assert "difference_compared" not in check_differences(task.method.step, task.context, 0)
    assert seen == ["shorter", "exact"]
