"""What methods keep, fix, freeze and stop."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from darts.bilevel.discretization import decisions_due
from darts.bilevel.hessian import largest_eigenvalue
from darts.bilevel.modifiers import UNDECIDED
from darts.bilevel.problem import SearchProblem
from darts.config import WeightsConfig
from darts.methods import METHODS, darts_pt, oles
from darts.methods.darts_minus import Falling
from darts.methods.darts_pt import Perturbation
from darts.methods.fair_darts import Threshold
from darts.methods.method import Stage, spans
from darts.methods.oles import OperationStopping
from darts.methods.pdarts import LimitedSkips
from darts.methods.robust_darts import EigenvalueStop
from darts.methods.sgas import Greedy, certainty, fix_edge, stability
from darts.methods.snas import TopEdgesOfAll
from darts.oneshot.stages import Built, dropped_skips, narrowed
from supernet.choice import ChoiceTable
from supernet.mixed.graph import MixedGraph
from supernet.mixed.widen import ChannelMap, widen, widen_candidate
from tests import tiny
from tests.tiny import TABLE


def test_threshold_leaves_nodes_without_input():
    strength = torch.zeros(5, 4)
    strength[0, 1], strength[1, 2], strength[2, 1], strength[3, 3] = 0.9, 0.8, 0.86, 0.5
    assert Threshold()(strength, TABLE) == ((0, "a"), (2, "a"))
    strength[0, 1] = 0.85
    assert Threshold(0.95)(strength, TABLE) == ((0, "a"),)


def test_threshold_keeps_a_way_from_the_inputs():
    """An edge between nodes alone delivers nothing."""
    strength = torch.zeros(5, 4)
    strength[4, 1], strength[1, 2] = 0.99, 0.2
    assert Threshold()(strength, TABLE) == ((1, "b"), (4, "a"))


def test_threshold_over_every_edge_keeps_up_to_two_of_each():
    strength = torch.full((5, 4), 0.1)
    strength[0, [1, 2]], strength[2, 1], strength[3, 3], strength[4, [1, 2, 3]] = 0.9, 0.86, 0.88, 0.95
    kept = ((0, "a"), (0, "b"), (2, "a"), (3, "c"), (4, "a"), (4, "b"))
    assert Threshold(every_edge=True)(strength, TABLE) == kept


def test_threshold_leaves_out_no_decision_that_is_needed():
    table = ChoiceTable("t", ("a", "b", "c"), (1,), None, None, (), 2, required=True)
    for every_edge in (False, True):
        assert Threshold(every_edge=every_edge)(torch.tensor([[0.1, 0.3, 0.2]]), table) == ((0, "b"), (0, "c"))


def test_none_takes_part_in_the_choice_of_snas():
    strength = torch.tensor([[0.9, 0.1, 0, 0], [0.1, 0.2, 0.7, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0.6, 0.4, 0]])
    assert TopEdgesOfAll()(strength, TABLE) == ((0, "none"), (1, "b"), (2, "c"), (3, "none"))
    every = ((0, "none"), (1, "b"), (2, "c"), (3, "none"), (4, "a"))
    assert TopEdgesOfAll(every_edge=True)(strength, TABLE) == every


def test_skips_are_limited_weakest_first():
    table = ChoiceTable("normal", ("none", "skip_connect", "a"), (2, 3))
    strength = torch.tensor([[0, 0.9, 0.1], [0, 0.8, 0.2], [0, 0.7, 0.25], [0, 0.6, 0.3], [0, 0.1, 0.5]])
    assert LimitedSkips(4)(strength, table) == (
        (0, "skip_connect"),
        (1, "skip_connect"),
        (2, "skip_connect"),
        (3, "skip_connect"),
    )
    assert LimitedSkips(2)(strength, table) == ((0, "skip_connect"), (1, "skip_connect"), (4, "a"), (3, "a"))
    assert LimitedSkips(0)(strength, table) == ((1, "a"), (0, "a"), (4, "a"), (3, "a"))
    free = replace(table, watched_for_collapse=False)
    assert LimitedSkips(0)(strength, free) == LimitedSkips(4)(strength, table)


def test_candidates_are_narrowed_by_score():
    first = narrowed((TABLE,), {"t": torch.tensor([[0.1, 0.4, 0.3, 0.2]] * 4 + [[0.25] * 4])}, 3)
    assert first == {"t": (("a", "b", "c"),) * 4 + (("none", "a", "b"),)}
    table = ChoiceTable("t", TABLE.candidates, TABLE.groups, first["t"])
    second = narrowed((table,), {"t": torch.tensor([[9.0, 0.1, 0.3, 0.2]] * 5)}, 2)
    assert second == {"t": (("b", "c"),) * 4 + (("none", "b"),)}


def test_stages_share_the_epochs():
    assert spans(METHODS["pdarts"].stages, 75) == [range(0, 25), range(25, 50), range(50, 75)]
    assert spans(METHODS["darts_pt"].stages, 131) == [range(0, 50), range(50, 131)]


def test_auxiliary_skips_fall_from_all_to_nothing():
    for decay, middle in (("linear", 0.5), ("cosine", 0.5), ("slow_cosine", 0.5**0.5)):
        at = Falling(2.0, decay)(torch.tensor([0, 0.5, 1]).double())
        torch.testing.assert_close(at, torch.tensor([2, 2 * middle, 0]).double())
    quarter = Falling(decay="cosine")(torch.tensor(0.25).double())
    assert quarter == pytest.approx((1 + 0.5**0.5) / 2)


def test_dropout_of_skips_decays_as_in_pdarts():
    stage = Stage(warmup=0.4, skip_dropout=0.4)
    expected = [0.4 * (24 - e) / 25 if e < 10 else 0.4 * np.exp(-0.2 * (e - 10)) for e in range(25)]
    assert [dropped_skips(stage, epoch, 25) for epoch in range(25)] == pytest.approx(expected)
    assert dropped_skips(Stage(), 3, 25) == 0


def test_pdarts_goes_deeper_with_fewer_candidates():
    task = tiny.search(tiny.config("pdarts"))
    seen = []
    for epoch in range(3):
        task.begin_epoch(epoch, 0)
        edges = [len(row) for table in task.space.tables for row in (table.allowed or [table.candidates] * table.rows)]
        built = sum(len(edges) for edges in task.problem.supernet.cells[0].inside.graph.sources[0].edges.values())
        seen.append((task.space.layers, set(edges), built))
    assert seen == [(3, {8}, 8), (7, {5}, 5), (10, {3}, 3)]


def test_widened_candidates_compute_the_same():
    old, new = (
        MixedGraph(c, ("skip_connect", "sep_conv_3x3", "avg_pool_3x3", "dil_conv_5x5"), 1, 1, 2) for c in (4, 6)
    )
    old(torch.randn(1, 3, 4, 6, 6), torch.rand(1, 4))  # running statistics of their own
    copies = ChannelMap(torch.Generator().manual_seed(0))
    at = copies.sources(4, 6)
    x = torch.randn(3, 4, 6, 6)
    for name, op in new.sources[0].ops.items():
        widen_candidate(old.sources[0].ops[name], op, [0], copies)
    halves = copies.sources(2, 3)
    for column, name in enumerate(new.candidates):
        gates = F.one_hot(torch.tensor([column]), 4).float()
        for training in (True, False):
            narrow, wide = old.train(training)([x], gates)[1], new.train(training)([x[:, at]], gates)[1]
            out = torch.cat([halves, 2 + halves]) if name == "skip_connect" else at
            torch.testing.assert_close(wide, narrow[:, out], rtol=1e-4, atol=1e-5)


def test_widening_keeps_all_else_and_the_kept_candidates():
    space = tiny.SPACE
    old, new = (type(space)(space.shape, 4, 3, 1, space.candidates, partial=k) for k in (2, 1))
    kept = {label: (("skip_connect",), ("dil_conv_3x3",)) for label in ("normal", "reduce")}
    narrow = old.supernet()
    wide = type(space)(space.shape, 4, 3, 1, space.candidates, partial=1, allowed=kept).supernet()
    widen(narrow, wide, torch.Generator())
    assert torch.equal(narrow.stem.conv.weight, wide.stem.conv.weight)
    theirs, ours = (n.cells[0].inside.graph.sources[1].ops["dil_conv_3x3"].op[1].weight for n in (narrow, wide))
    assert torch.equal(ours[0, :2], theirs[0])
    assert new.partial == 1 and "dil_conv_3x3" not in wide.cells[0].inside.graph.sources[0].ops


def test_drnas_goes_on_wider_with_four_candidates():
    task = tiny.search(tiny.config("drnas_progressive", channels=12))
    task.begin_epoch(0, 0)
    task.step()
    logits = {label: logit.detach().clone() for label, logit in task.problem.logits.items()}
    stem = task.problem.supernet.stem.conv.weight.detach().clone()
    assert task.problem.supernet.cells[0].inside.graph.width == 2
    task.begin_epoch(2, 0)
    assert task.problem.supernet.cells[0].inside.graph.width == 3
    assert all(torch.equal(logits[label], logit) for label, logit in task.problem.logits.items())
    assert torch.equal(stem, task.problem.supernet.stem.conv.weight)
    assert {len(row) for table in task.space.tables for row in table.allowed} == {4}


def test_drnas_copies_the_momentum_with_the_channels():
    """As the authors' code: copied in both axes, and divided nowhere; elsewhere as it was."""
    task = tiny.search(tiny.config("drnas_progressive", channels=12), make=tiny.few_candidates)
    task.begin_epoch(0, 0)
    task.step()
    old, narrow = task.problem, task.problem.supernet.cells[0].inside.graph.sources[0]
    task.begin_epoch(2, 0)
    new, wide = task.problem, task.problem.supernet.cells[0].inside.graph.sources[0]
    before, after = (p.optimizer.state[p.supernet.stem.conv.weight]["momentum_buffer"] for p in (old, new))
    assert torch.equal(before, after) and before.any()
    theirs, ours = (
        [p.optimizer.state[s.ops["dil_conv_3x3"].op[k].weight]["momentum_buffer"] for k in (1, 2)]
        for p, s in ((old, narrow), (new, wide))
    )
    slices = [narrow.edges["dil_conv_3x3"].index(edge) for edge in wide.edges["dil_conv_3x3"]]
    weights = [s.ops["dil_conv_3x3"].op[1].weight.detach() for s in (narrow, wide)]
    copied = next(c for c in range(2) if torch.equal(weights[1][:, 2], weights[0][slices][:, c]))
    at = [0, 1, copied]
    assert torch.equal(ours[0], theirs[0][slices][:, at])
    assert torch.equal(ours[1], theirs[1][slices][:, at][:, :, at])
    assert len(new.optimizer.state) == len(new.weights)


def test_a_stage_may_keep_its_learning_rate():
    """DARTS-PT's decisions take a tenth of the first learning rate throughout."""
    task = tiny.search(tiny.config("darts_pt", channels=2, epochs=6), make=tiny.few_candidates)
    rates = []
    for epoch in range(6):
        task.begin_epoch(epoch, 0)
        rates.append(task.problem.optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.025 > rates[1] > 0.0025 and rates[2:] == pytest.approx([0.0025] * 4)


def test_an_order_takes_both_gradients_at_the_same_values(monkeypatch):
    """By the sample of one pass, the logits before the weights have moved and these before the logits have."""
    task = tiny.search(tiny.config("snas", channels=2, order="together"), make=tiny.few_candidates)
    task.begin_epoch(0, 0)
    seen, original = [], SearchProblem.gates
    monkeypatch.setattr(SearchProblem, "gates", lambda self, logits: seen.append(original(self, logits)) or seen[-1])
    task.step()
    first, second = seen
    assert all(torch.equal(first[label], second[label]) for label in first)


def test_gaea_takes_the_epoch_of_the_best_accuracy_and_no_warm_up():
    for name in ("gaea", "gaea_pc_darts"):
        (callback,) = METHODS[name].callbacks
        chosen = []
        callback.after_epoch(SimpleNamespace(accuracies=[0.1, 0.4, 0.4], choose_epoch=chosen.append), 2)
        assert chosen == [1] and not METHODS[name].stages[0].warmup


def test_certainty_and_stability():
    shares = torch.tensor([[1.0, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]])
    torch.testing.assert_close(certainty(shares), torch.tensor([1.0, 0.0, 1 - np.log(2) / np.log(3)]).float())
    moved = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    torch.testing.assert_close(stability(shares, [shares, moved]), torch.tensor([1.0, (1 + 2 / 3) / 2, 0.75]))


def test_decisions_are_due_when_the_papers_are():
    assert [decisions_due(8, 0.18, 0.88, epoch, 50) for epoch in (8, 9, 13, 14, 43, 44)] == [0, 1, 1, 2, 7, 8]
    counts = [decisions_due(17, 50 / 131, 130 / 131, epoch + 1, 131) for epoch in range(131)]
    assert [counts.index(k) for k in range(1, 18)] == [49 + 5 * k for k in range(17)]


def test_fixed_edges_close_their_node():
    fixed = torch.full((5, 4), UNDECIDED)
    fix_edge(fixed, TABLE, 3, 1, [3])
    assert fixed[3].tolist() == [0, 1, 0, 0] and (fixed[[0, 1, 2, 4]] == UNDECIDED).all()
    fix_edge(fixed, TABLE, 2, 2, [3, 2])
    assert fixed[4].tolist() == [0] * 4 and (fixed[:2] == UNDECIDED).all()


def test_greedy_ends_as_the_derived_network():
    task = tiny.run(tiny.search(tiny.config("sgas", nodes=2), make=tiny.few_candidates))
    for table in task.space.tables:
        gates = task.problem.expected_gates()[table.label]
        assert not (task.problem.modifiers.fixed[table.label] == UNDECIDED).any()
        assert [int((gates[span].sum(1) == 1).sum()) for span in table.spans] == [2, 2]
        assert gates.sum() == 4 and set(gates.unique().tolist()) == {0.0, 1.0}


def test_greedy_takes_the_certain_edge_first():
    task = tiny.search(tiny.config("sgas"))
    with torch.no_grad():
        task.problem.logits["normal"].zero_()
        task.problem.logits["normal"][1, 4] = 3.0
    Greedy(first=0.0).decide(task.context, 0)
    fixed = task.problem.modifiers.fixed["normal"]
    assert fixed[1].argmax() == 4 and (fixed[0] == UNDECIDED).all()


def test_batches_grow_after_each_epoch_of_decisions(tmp_path):
    """Both tables fix an edge in the first epoch, both another in the third; then the run continues."""
    settings = tiny.config("sgas", discretize="greedy:first=0,last=0.7,growth=4", channels=2, epochs=4)
    files = [((3, 1), tmp_path / "state.pt")]
    whole = tiny.run(task := tiny.search(settings, count=48, make=tiny.few_candidates), saving=files)
    assert task.context.batch_size == 16 and task.steps_per_epoch == 2
    again = tiny.search(settings, count=48, make=tiny.few_candidates)
    assert again.steps_per_epoch == 3
    again = tiny.resumed(again, files[0][1], 3, 1)
    assert again.context.batch_size == 16 and all(
        torch.equal(a, b) for a, b in zip(whole.problem.logits.values(), again.problem.logits.values())
    )


def test_perturbation_keeps_what_is_missed_most(monkeypatch):
    """Accuracy without a candidate or an edge is a table here; the largest loss stays."""
    task = tiny.search(tiny.config("darts_pt", nodes=2))
    generator = torch.Generator().manual_seed(0)
    without = {table.label: torch.rand(table.rows, 8, generator=generator) for table in task.space.tables}

    def accuracy(search, table, where):
        row, column = where
        return without[table.label][row, 7 if isinstance(column, slice) else column].item()

    monkeypatch.setattr(darts_pt, "accuracy_without", accuracy)
    Perturbation().decide(task.context, task.epochs - 1)
    for table in task.space.tables:
        gates = task.problem.expected_gates()[table.label]
        dropped_edge = max(range(2, 5), key=lambda row: without[table.label][row, 7].item())
        for row in range(5):
            expected = torch.zeros(7)
            if row != dropped_edge:
                expected[without[table.label][row, :7].argmin()] = 1
            assert torch.equal(gates[row], expected)


def test_a_removed_candidates_gate_is_not_made_up_for(monkeypatch):
    task = tiny.search(tiny.config("darts_pt"))
    seen = []
    monkeypatch.setattr(darts_pt, "accuracy_by_batches", lambda search, gates: seen.append(gates) or 0.5)
    darts_pt.accuracy_without(task.context, task.space.tables[0], (1, 2))
    before, without = task.problem.expected_gates()["normal"], seen[0]["normal"]
    assert without[1, 2] == 0 and torch.equal(torch.where(without == 0, before, without), before)
    assert torch.equal(seen[0]["reduce"], task.problem.expected_gates()["reduce"])


def test_frozen_candidates_stay_and_the_others_train():
    task = tiny.search(tiny.config("oles", nodes=2))
    task.begin_epoch(0, 0)
    task.step()
    name = "cells.0.inside.graph.sources.0.ops.sep_conv_3x3.op.1.weight"
    task.problem.masks.frozen[name] = torch.tensor([True, False])
    before = task.problem.weights[name].detach().clone()
    task.step()
    after = task.problem.weights[name]
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


@pytest.mark.parametrize(("threshold", "frozen"), [(-1.1, False), (1.1, True)])
def test_a_candidate_is_frozen_below_the_threshold(threshold, frozen):
    task = tiny.search(tiny.config("oles", callbacks=(f"operation_stopping:threshold={threshold},window=2",)))
    task.begin_epoch(0, 0)
    task.step()
    assert not task.problem.masks.frozen and task.context.state("agreement")["steps"] == 1
    task.step()
    assert all(at.all() == frozen for at in task.problem.masks.frozen.values())
    assert len(task.problem.masks.frozen) > 50 and task.context.state("agreement") == {"steps": 0, "sums": {}}


class OwnPasses(OperationStopping):
    """The comparison by two passes of its own at the same weights and logits, of which the step knows nothing."""

    def compared_weights(self, problem):
        return frozenset()

    def with_gradients(self, context, train, valid):
        problem = context.problem
        wanted = OperationStopping().compared_weights(problem)
        weights = {name: w.detach().requires_grad_(name in wanted) for name, w in problem.weights.items()}
        gates, grads = problem.expected_gates(), []
        for batch in (train, valid):
            found = torch.autograd.grad(problem.loss(weights, gates, batch), [weights[name] for name in wanted])
            grads.append(dict(zip(wanted, found)))
        self._compare(context, oles._candidates(problem.supernet), grads)


def test_the_gradients_of_the_step_lead_to_the_decisions_of_passes_of_their_own():
    """The same candidates freeze, and no pass is added to a step's two."""
    frozen, passes = [], []
    for kind in (OperationStopping, OwnPasses):
        task = tiny.search(tiny.config("oles", nodes=2, seed=5), make=tiny.few_candidates)
        object.__setattr__(task, "method", replace(task.method, callbacks=(kind(threshold=0.1, window=2),)))
        task._begin_stage(0, Built(task.space, task.problem, task.logits_optimizer))
        called = []
        task.problem.supernet.register_forward_hook(lambda *_, called=called: called.append(1))
        task.begin_epoch(0, 0)
        for _ in range(2):
            task.step()
        frozen.append({name: at.tolist() for name, at in task.problem.masks.frozen.items()})
        passes.append(len(called))
    assert frozen[0] == frozen[1] and {at for rows in frozen[0].values() for at in rows} == {False, True}
    assert passes == [4, 8]


def test_without_a_step_of_the_logits_the_validation_gradient_is_taken_by_a_pass():
    task = tiny.search(tiny.config("oles", every=2), make=tiny.few_candidates)
    task.begin_epoch(0, 0)
    task.step()
    assert task.problem.kept.valid.keys() == task.problem.kept.names != frozenset()
    task.step()
    assert not task.problem.kept.valid and task.context.state("agreement")["steps"] == 2


def test_agreement_is_the_cosine_of_all_weights_of_a_candidate():
    first, second = ([torch.randn(2, 3, 1, 3, 3), torch.randn(2, 3, 3, 1, 1)] for _ in range(2))
    cosine = OperationStopping()._cosine([first, second])
    for edge in range(2):
        a, b = (np.concatenate([part[edge].flatten().numpy() for part in side]) for side in (first, second))
        assert cosine[edge].item() == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-5)


def test_agreement_along_output_channels():
    """As the authors' code: the cosine runs over output channels, the mean over all else, then over convolutions."""
    first, second = ([torch.randn(2, 3, 1, 3, 3), torch.randn(2, 3, 3, 1, 1)] for _ in range(2))
    expected = [torch.stack([F.cosine_similarity(a[e], b[e], 0).mean() for e in (0, 1)]) for a, b in zip(first, second)]
    found = OperationStopping(by_channel=True)._cosine([first, second])
    torch.testing.assert_close(found, torch.stack(expected).mean(0))


def test_what_is_left_over_is_the_clipped_gradient_of_the_step_before():
    task = tiny.search(tiny.config("oles", weights=WeightsConfig(clip=1.0)))
    stopping, generator = OperationStopping(left_over=True), torch.Generator().manual_seed(0)
    train, valid, later = ({"a": torch.randn(3, generator=generator), "b": 5 * torch.ones(2)} for _ in range(3))
    assert stopping._left_over(task.context, train, valid) == []
    before, both = stopping._left_over(task.context, later, valid)
    length = torch.cat([train["a"], train["b"]]).norm()
    for name in train:
        torch.testing.assert_close(before[name], train[name] / length, rtol=1e-5, atol=0)
        torch.testing.assert_close(both[name], before[name] + valid[name])


def test_forms_of_the_authors_code_of_oles(tmp_path):
    """Frozen weights go on moving, the first batch chooses the epoch, and all of it is resumed."""
    forms = "operation_stopping:window=1,threshold=1.1,by_channel=true,left_over=true,drifting=true,one_batch=true"
    settings = tiny.config("oles", channels=2, epochs=2, callbacks=(forms,))
    files = [((1, 1), tmp_path / "state.pt")]
    whole = tiny.run(tiny.search(settings, make=tiny.few_candidates), saving=files)
    again = tiny.resumed(tiny.search(settings, make=tiny.few_candidates), files[0][1], 1, 1)
    assert len(whole.context.state("first_batches")["accuracies"]) == 2
    assert whole.context.chosen_epoch == again.context.chosen_epoch
    frozen = [name for name, at in whole.problem.masks.frozen.items() if at.all()]
    before = {name: whole.problem.weights[name].detach().clone() for name in frozen}
    assert all(torch.equal(again.problem.weights[name], w) for name, w in before.items())
    whole.begin_epoch(1, 0)
    whole.step()
    assert all(not torch.equal(whole.problem.weights[name], w) for name, w in before.items())


def test_a_candidate_without_gradient_does_not_disagree():
    gradient, nothing = [torch.randn(2, 3, 3, 1, 1)], [torch.zeros(2, 3, 3, 1, 1)]
    for by_channel in (False, True):
        assert OperationStopping(by_channel=by_channel)._cosine([gradient, nothing]).tolist() == [1, 1]
        torch.testing.assert_close(OperationStopping(by_channel=by_channel)._cosine([gradient] * 2), torch.ones(2))


def test_oles_takes_the_epoch_of_the_best_accuracy():
    task = tiny.run(tiny.search(tiny.config("oles", channels=2), make=tiny.few_candidates))
    assert task.context.chosen_epoch == int(np.argmax(task.context.accuracies))


def test_the_largest_eigenvalue_is_the_hessians():
    problem, _, valid = tiny.problem()
    labels = list(problem.logits)

    def loss(*logits):
        return problem.upper(problem.weights, dict(zip(labels, logits)), valid)

    blocks = torch.autograd.functional.hessian(loss, tuple(problem.logits.values()))
    sizes = [logit.numel() for logit in problem.logits.values()]
    whole = torch.cat([torch.cat([b.reshape(m, n) for b, n in zip(row, sizes)], 1) for row, m in zip(blocks, sizes)])
    expected = torch.linalg.eigvalsh(whole).max().item() + 0.5
    assert largest_eigenvalue(problem, valid, 0.5, radius=1e-4) == pytest.approx(expected, rel=1e-3)


def readings(monkeypatch, values, stop, epochs, stop_after=None):
    """A search after its epochs, whose eigenvalue is read as these values, every second epoch."""
    task = tiny.search(tiny.config(epochs=epochs, channels=2), make=tiny.few_candidates)
    left, problem = iter(values), task.problem
    monkeypatch.setattr(task.context, "largest_eigenvalue", lambda epoch: next(left))
    for epoch in range(epochs if stop_after is None else stop_after + 1):
        if epoch < task.epochs:
            problem.logits["normal"].data.fill_(epoch)
            for w in problem.weights.values():
                problem.optimizer.state[w]["momentum_buffer"] = torch.full_like(w, epoch)
            stop.after_epoch(task.context, epoch)
    return task


def test_a_search_stops_when_the_eigenvalue_has_grown(monkeypatch):
    task = readings(monkeypatch, [1, 1, 1, 1, 1, 1, 1, 1, 3], EigenvalueStop(), epochs=20)
    assert task.epochs == 17 and task.context.chosen_epoch == 4
    task = readings(monkeypatch, [1, 1, 1, 1, 1, 1, 1, 1, 2.4, 1], EigenvalueStop(), epochs=18)
    assert task.epochs == 18 and task.context.chosen_epoch is None


def test_or_goes_back_and_on_with_more_weight_decay(monkeypatch):
    """To the weights, their momentum and the logits of epoch 4, whose readings are kept; epochs are not repeated."""
    task = readings(monkeypatch, [1, 1, 1, 1, 1, 1, 1, 1, 3], EigenvalueStop(adapt=True), epochs=18, stop_after=16)
    assert task.epochs == 18 and task.problem.optimizer.param_groups[0]["weight_decay"] == pytest.approx(3e-3)
    assert (task.problem.logits["normal"] == 4).all()
    assert all((state["momentum_buffer"] == 4).all() for state in task.problem.optimizer.state.values())
    assert task.context.state("eigenvalue_stop")["epochs"] == [0, 2, 4]


def test_oles_freezes_no_skip_connection():
    """The authors' list of operations has no factorized reduction, the skip connection of stride 2."""
    groups = oles._candidates(tiny.search(tiny.config("oles", channels=2)).problem.supernet)
    kinds = {key.rpartition(".")[2] for key in groups}
    assert kinds == {"sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"}


@pytest.mark.parametrize(("accuracies", "epoch"), [([0.5, 0.7, 0.6], 0), ([0.5, 0.6, 0.7], 1), ([0.9, 0.6, 0.7], 0)])
def test_oles_takes_the_genotype_with_which_the_best_epoch_begins(accuracies, epoch):
    task = tiny.search(tiny.config("oles", channels=2), make=tiny.few_candidates)
    task.context.accuracies = accuracies
    OperationStopping(beginning=True).after_epoch(task.context, 2)
    assert task.context.chosen_epoch == epoch
