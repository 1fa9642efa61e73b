"""Components against numbers that the authors' public code computed; each fixture names the code."""

import math
from types import SimpleNamespace

import pytest
import torch

from darts.methods import sdarts, zarts
from supernet.choice import ChoiceTable
from tests import fixture_data as fixture

(SDARTS,) = fixture.cases("sdarts").values()
(ZARTS,) = fixture.cases("zarts").values()
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
