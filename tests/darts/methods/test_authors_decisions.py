"""What methods keep, fix and stop, against what the authors' public code decides; each fixture names the code."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from darts.bilevel.discretization import top_edges
from darts.bilevel.modifiers import UNDECIDED
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Softmax, linear
from darts.methods import darts_pt
from darts.methods.beta_darts import BetaDecay
from darts.methods.darts_pt import Perturbation
from darts.methods.fair_darts import Threshold
from darts.methods.pdarts import LimitedSkips
from darts.methods.robust_darts import EigenvalueStop
from darts.methods.sgas import Greedy
from darts.methods.snas import Concrete, TopEdgesOfAll
from darts.oneshot.stages import narrowed
from supernet.choice import ChoiceTable
from tests import fixture_data as fixture

BETA_DARTS, DARTS_PT, DRNAS, FAIR_DARTS, PDARTS = (
    next(iter(fixture.cases(kind).values())) for kind in ("beta_darts", "darts_pt", "drnas", "fair_darts", "pdarts")
)
ROBUST_DARTS, SGAS, SNAS = (next(iter(fixture.cases(kind).values())) for kind in ("robust_darts", "sgas", "snas"))
NODES = (2, 3, 4, 5)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def by_node(picks, table):
    """Operation and source of each kept edge, node by node."""
    return [[op, row - span.start] for span in table.spans for row, op in picks if row in span]


def problem_of(tables, logits):
    """A problem of gates alone."""
    return SearchProblem(nn.Identity(), tables, logits, Softmax(), None, torch.Generator(), nullcontext())


def context_of(problem, epochs):
    states = {}
    return SimpleNamespace(
        problem=problem, epochs=epochs, batch_size=8, state=lambda name: states.setdefault(name, {}), states=states
    )


@pytest.mark.parametrize("form", ["sparse", "edge"])
def test_fair_darts_keeps_what_the_authors_keep(form):
    """Where the authors' cell would deliver nothing, one edge is kept more."""
    table = ChoiceTable("t", tuple(FAIR_DARTS["candidates"]), NODES)
    same = 0
    for case in FAIR_DARTS["parsed"]:
        scores = double(case["scores"])
        picks = Threshold(every_edge=form == "edge")(scores, table)
        found = sorted(
            [op, node + 2, row - span.start]
            for node, span in enumerate(table.spans)
            for row, op in picks
            if row in span
        )
        assert found == sorted(case[form]) or len(found) == len(case[form]) + 1
        same += found == sorted(case[form])
    assert same >= 10


def test_pdarts_drops_the_candidates_that_the_authors_drop():
    table = ChoiceTable("t", tuple(PDARTS["candidates"]), NODES)
    scores = double(PDARTS["narrow"]["logits"]).softmax(1)
    assert [list(row) for row in narrowed((table,), {"t": scores}, 5)["t"]] == PDARTS["narrow"]["kept"]


@pytest.mark.parametrize("case", PDARTS["finals"])
def test_pdarts_limits_the_skips_as_the_authors(case):
    names = tuple(PDARTS["candidates"])
    table = ChoiceTable("normal", names, NODES, tuple(map(tuple, case["kept"])))
    scores = torch.zeros(14, 8, dtype=torch.float64)
    scores[table.mask] = double(case["logits"]).softmax(1).flatten()
    for most, cell in case["cells"].items():
        found = by_node(LimitedSkips(int(most))(scores, table), table)
        for node in range(4):
            ours, theirs = (sorted(cell[2 * node : 2 * node + 2]) for cell in (found, cell))
            assert ours == theirs


def test_drnas_keeps_the_candidates_that_the_authors_keep():
    case, names = DRNAS["prune"], DRNAS["candidates"]
    table = ChoiceTable("t", tuple(names), (2, 3))
    expected = [[name for name, left in zip(names, row) if left] for row in case["kept"]]
    assert [list(row) for row in narrowed((table,), {"t": double(case["alphas"]).softmax(1)}, 4)["t"]] == expected


@pytest.mark.parametrize("case", SNAS["genotypes"])
def test_snas_derives_what_the_authors_derive(case):
    table = ChoiceTable("t", tuple(SNAS["candidates"]), NODES)
    scores = double(case["alphas"]).softmax(1)
    assert by_node(TopEdgesOfAll()(scores, table), table) == case["best"]
    assert sorted(by_node(TopEdgesOfAll(every_edge=True)(scores, table), table)) == sorted(case["every"])


def test_the_temperature_of_snas_ends_with_the_authors():
    """They begin with the temperature of the second of 150 epochs; both reach the last one in the last epoch."""
    relax, theirs = Concrete(), SNAS["temperatures"]
    ours = [linear(relax.first, relax.last, torch.tensor(e / 149, dtype=torch.float64)).item() for e in range(150)]
    assert ours[-1] == pytest.approx(theirs[-1], rel=1e-12) and max(abs(a - b) for a, b in zip(ours, theirs)) < 0.0066


@pytest.mark.parametrize("case", BETA_DARTS["cases"], ids=lambda case: str(case["epoch"]))
def test_beta_decay_pulls_as_in_the_authors_code(case):
    """Its weight in an epoch of 100, beside another loss."""
    logits = double(BETA_DARTS["alphas"]).requires_grad_()
    table = ChoiceTable("t", tuple("abcde"), (1, 2, 3), keep=None, dropped=())
    progress = torch.tensor(case["epoch"] / BETA_DARTS["epochs"], dtype=torch.float64)
    problem = SimpleNamespace(tables=(table,), progress=progress)
    (grad,) = torch.autograd.grad(logits.sin().sum() + BetaDecay()(problem, {"t": logits}, {}), logits)
    torch.testing.assert_close(grad, double(case["gradient"]), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("case", SGAS["cases"], ids=["criterion 1", "criterion 2"])
def test_sgas_fixes_the_edges_of_the_authors(case):
    """The same edges in the same epochs. The logits of fixed edges, which move on here, count as they were then."""
    table = ChoiceTable("normal", ("none", *"abcdefg"), NODES)
    logits = torch.from_numpy(fixture.random_state(SGAS, "alphas").standard_normal((14, 8))).requires_grad_()
    epochs = SGAS["epochs"]
    context = context_of(problem_of((table,), {"normal": logits}), epochs)
    stop = Greedy(case["criterion"], first=SGAS["first"] / epochs, last=(epochs - 1) / epochs)
    for epoch, expected in enumerate(case["fixed"]):
        with torch.no_grad():
            logits += torch.from_numpy(0.4 * fixture.random_state(SGAS, f"move_{epoch}").standard_normal((14, 8)))
        stop.decide(context, epoch)
        fixed = context.problem.modifiers.fixed.get("normal", torch.full((14, 8), UNDECIDED))
        found = [-1 if row[0] == UNDECIDED else int(row.argmax()) for row in fixed]
        assert found == expected


@pytest.mark.parametrize("case", ROBUST_DARTS["cases"], ids=lambda case: str(case["stop"]))
def test_robust_darts_stops_when_the_authors_stop(case):
    """In the same epoch, with the genotype of the same earlier one."""
    found = []
    context = context_of(None, 50)
    context.configured_epochs, context.largest_eigenvalue = 50, lambda epoch: case["values"][epoch // 2]
    context.choose_epoch, context.stop = found.append, lambda epoch, reason: found.insert(0, epoch)
    for epoch in range(50):
        if not found:
            EigenvalueStop().after_epoch(context, epoch)
    assert (found or None) == case["stop"]


def test_darts_pt_decides_as_the_authors(monkeypatch):
    """By a coarse function of the gates in place of the accuracy, where many are equal; edges and nodes in turn."""
    names, label_of = DARTS_PT["candidates"], []
    tables = tuple(ChoiceTable(label, tuple(names), NODES) for label in ("normal", "reduce"))
    logits = fixture.logits(DARTS_PT, 14, len(names))
    context = context_of(problem_of(tables, logits), 18)
    left = {label: [k if i < 14 else k + 1 for i, k in enumerate(order)] for label, order in DARTS_PT["order"].items()}

    def accuracy(context, table, where):
        label_of[:] = [table.label]
        return original(context, table, where)

    def coarse(context, gates):
        w = gates[label_of[0]]
        k = torch.arange(w.numel(), dtype=torch.float64).reshape(w.shape)
        return torch.round(5 * torch.sin(3 * (torch.cos(k) * w).sum() + (label_of[0] == "reduce"))).item()

    original = darts_pt.accuracy_without
    turn = []
    monkeypatch.setattr(darts_pt, "accuracy_without", accuracy)
    monkeypatch.setattr(darts_pt, "accuracy_by_batches", coarse)
    monkeypatch.setattr(darts_pt, "_drawn", lambda context, items: left[turn[0]].pop(0))

    class InTurn(Perturbation):
        def decide(self, context, epoch):
            whole = context.problem.tables
            for table in whole:
                turn[:] = [table.label]
                context.problem.tables = (table,)
                super().decide(context, epoch)
            context.problem.tables = whole

    for epoch in range(18):
        InTurn(first=1 / 18, last=17 / 18).decide(context, epoch)
    assert not any(left.values())
    for table in tables:
        scores = context.problem.edge_scores()[table.label]
        found = by_node(top_edges(scores, table), table)
        expected = DARTS_PT["genotype"][table.label]
        for node in range(4):
            ours, theirs = (sorted(cell[2 * node : 2 * node + 2]) for cell in (found, expected))
            assert ours == theirs
