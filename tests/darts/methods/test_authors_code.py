"""Components against numbers that the authors' public code computed; each fixture names the code."""

from types import SimpleNamespace

import pytest
import torch

from darts.methods import sdarts
from supernet.choice import ChoiceTable
from tests import fixture_data as fixture

(SDARTS,) = fixture.cases("sdarts").values()
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
