"""Components against numbers that the authors' public code computed; each fixture names the code."""

import math
from types import SimpleNamespace

import pytest
import torch

from darts.methods import sdarts, zarts
from darts.methods.gdas import HardGumbel, top_pairs
from supernet.choice import ChoiceTable
from tests import fixture_data as fixture
from tests import tiny

(SDARTS,) = fixture.cases("sdarts").values()
(ZARTS,) = fixture.cases("zarts").values()
(GDAS,) = fixture.cases("gdas").values()
TABLES = tuple(ChoiceTable(label, ("a", "b", "c", "d"), (2, 3)) for label in ("normal", "reduce"))


def by_label(values):
    return {table.label: torch.tensor(rows, dtype=torch.float64) for table, rows in zip(TABLES, values)}


def loss_of(gates, sign):
    """The loss that the fixture's perturbations were computed on: a function of two tables' gates alone."""
    total = 0.0
    for k, g in enumerate(gates.values()):
        coefficient = sign * 3 * torch.sin(1.7 * torch.arange(20.0, dtype=torch.float64) + k).reshape(5, 4)
        total = total + (coefficient * g + 6 * g.square().roll(1, 1) * g).sum() + (9 * g.sum(0)).sin().sum()
    return total


@pytest.mark.parametrize("case", SDARTS["cases"], ids=lambda case: f"{case['radius']}-{case['sign']}-{case['steps']}")
def test_sdarts_perturbs_as_the_authors(case, monkeypatch):
    """The same gates from the same noise, by random smoothing and by the adversary; one case is reverted."""
    gates, radius = by_label(case["gates"]), case["radius"]
    monkeypatch.setattr(sdarts, "uniform", lambda problem, gates, radius: by_label(case["noise"]))
    problem = SimpleNamespace(
        tables=TABLES,
        progress=torch.tensor(0.5, dtype=torch.float64),
        loss_in_evaluation=lambda gates, batch: loss_of(gates, case["sign"]),
    )
    for name, perturb in (
        ("random", sdarts.RandomSmoothing(radius, radius)),
        ("adversarial", sdarts.Adversarial(radius, radius, case["steps"])),
    ):
        found = perturb(problem, gates, None)
        for label, expected in by_label(case[name]).items():
            torch.testing.assert_close(found[label], expected, rtol=1e-12, atol=1e-12)
    reverted = all(torch.equal(found[label], gate) for label, gate in gates.items())
    assert reverted is (case["steps"] == 1 and case["sign"] == 1)


@pytest.mark.parametrize("case", ZARTS["cases"], ids=lambda case: str(len(case["gradient"])))
def test_zarts_weighs_the_displacements_as_the_authors(case):
    step = zarts.MonteCarlo(mix=case["mix"], temperature=case["temperature"], slip=True)
    losses, delta, gradient, deviation, expected = (
        torch.tensor(case[key], dtype=torch.float64)
        for key in ("losses", "displacements", "gradient", "deviation", "shares")
    )
    torch.testing.assert_close(step.shares(losses, delta, -gradient, deviation), expected, rtol=1e-10, atol=1e-12)


def test_the_losses_decide_the_weights_of_zarts():
    """Of draws of as many logits as the DARTS space has; by equation 8 without the floor the densities decide."""
    generator, found = torch.Generator().manual_seed(0), {0.0: [], 1e-4: []}
    for _ in range(200):
        mean, losses = torch.zeros(196).double(), 0.003 * torch.randn(4, generator=generator).double()
        delta = 0.025 * torch.randn(4, 196, generator=generator).double()
        for floor, best in found.items():
            shares = zarts.MonteCarlo(floor=floor).shares(losses, delta, mean, torch.tensor(0.025).double())
            best.append(shares.argmax() == losses.argmin())
    assert sum(found[1e-4]) == 200 and 30 < sum(found[0.0]) < 90


def test_the_deviation_of_zarts_falls_after_the_warm_up():
    """The authors' cosine over the epochs after the 10 of 50 in which the weights train alone."""
    step = zarts.MonteCarlo()
    found = [step.deviation_at(torch.tensor(epoch / 50, dtype=torch.float64)).item() for epoch in range(50)]
    cosine = [0.025 * (1 + math.cos(math.pi * (epoch - 10) / 40)) / 2 for epoch in range(10, 50)]
    assert found == pytest.approx([0.025] * 10 + [max(value, 0.000025) for value in cosine])


@pytest.mark.parametrize("case", GDAS["cases"], ids=lambda case: f"tau {case['tau']}")
def test_gdas_samples_as_the_authors(case, monkeypatch):
    """The same candidates of the same noise, and the same gradient of the logits."""
    noise = torch.tensor(case["exponential"], dtype=torch.float64)
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, generator: self.copy_(noise))
    table = ChoiceTable("t", tuple(GDAS["candidates"]), (2, 3, 4, 5))
    logits = torch.tensor(case["alphas_normal"], dtype=torch.float64, requires_grad=True)
    gates = HardGumbel(case["tau"], case["tau"]).gates(logits, table, torch.tensor(0.5).double(), torch.Generator())
    assert gates.argmax(1).tolist() == case["index"]
    weights = torch.sin(torch.arange(112.0, dtype=torch.float64)).reshape(14, 8)
    (grad,) = torch.autograd.grad((gates * weights).sum(), logits)
    torch.testing.assert_close(grad, torch.tensor(case["gradient"], dtype=torch.float64), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("label", ["normal", "reduce"])
@pytest.mark.parametrize("case", GDAS["cases"], ids=lambda case: f"tau {case['tau']}")
def test_gdas_keeps_the_pairs_of_the_authors(case, label):
    """Some nodes have both of their inputs from one state, by two candidates."""
    table = ChoiceTable("t", tuple(GDAS["candidates"]), (2, 3, 4, 5))
    scores = torch.tensor(case[f"alphas_{label}"], dtype=torch.float64).softmax(1)
    picks = top_pairs(scores, table)
    nodes = [[[op, row - span.start] for row, op in picks if row in span] for span in table.spans]
    assert nodes == case[label]


def test_gdas_reaches_its_last_temperature_in_the_last_epoch():
    task = tiny.search(tiny.config("gdas", channels=2, epochs=3, reach_end=True), make=tiny.few_candidates)
    found = []
    for epoch in range(3):
        task.begin_epoch(epoch, 0)
        found.append(task.problem.progress.item())
    assert found == [0, 0.5, 1]
