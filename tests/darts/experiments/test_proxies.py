"""Zero-cost proxies against the truth: what is judged, how it is correlated, what is written."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from darts.blackbox.evaluators import Setting
from darts.blackbox.proxies import PROXIES
from darts.config import SearchSpaceConfig
from darts.data.registry import open_data
from darts.errors import UserError
from darts.experiments import estimates, proxies
from darts.recipes import BLACKBOX_RECIPES
from darts.recipes.data_sets import DIGITS

QUIET, CPU = Console(quiet=True), torch.device("cpu")


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    """The judge of small networks of NAS-Bench-201 on the digits."""
    space = SearchSpaceConfig(name="nasbench201", channels=4, layers=1)
    config = replace(BLACKBOX_RECIPES[proxies.RECIPE](), data=DIGITS, space=space)
    setting = Setting(config, open_data(DIGITS, CPU, 0), CPU, tmp_path_factory.mktemp("run"), QUIET)
    return proxies.untrained(setting, images=8)


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    assert proxies.drawn(30)[:12] == proxies.drawn(12) and len(set(proxies.drawn(15625))) == 15625


def test_jobs_judge_each_architecture_by_every_proxy_and_the_slow_ones_last(evaluator):
    jobs = proxies.jobs_of(evaluator, ("grasp", "nwot"), 25)
    assert [job.name for job in jobs] == [
        f"architectures {part} by {names}"
        for names in ("nwot, parameters", "grasp")
        for part in ("1 to 10", "11 to 20", "21 to 25")
    ]


def test_figures_are_those_of_the_evaluator_of_a_search(evaluator):
    (text,) = proxies.drawn(1)
    found = proxies.judged(evaluator, ("nwot", "synflow"), [text], {})[text]
    for name in ("nwot", "synflow"):
        alone = replace(evaluator, options=replace(evaluator.options, name=name))
        genotype = proxies.from_string(text)
        assert found[name] == pytest.approx(alone(genotype, None, None).values["proxy"], rel=1e-6)


def made_up(count=40):
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(count, generator=generator)
    noise = 0.1 * torch.randn(count, generator=generator)
    return [
        {"architecture": str(number), "test_accuracy": float(a), "parameters": float(p), "synflow": float(-a)}
        for number, (a, p) in enumerate(zip(truth, truth + noise))
    ]


def test_correlations_keep_their_signs(monkeypatch):
    monkeypatch.setattr(estimates, "RESAMPLES", 50)
    synflow, parameters = proxies.correlations(made_up())
    assert synflow["spearman"][0] == -1 and synflow["kendall"][0] == -1
    assert synflow["difference"] == pytest.approx(1 - proxies.PUBLISHED["synflow"], abs=1e-4)
    assert synflow["above_parameters"][0] == pytest.approx(1 - parameters["spearman"][0], abs=1e-4)
    assert parameters["proxy"] == "parameters" and "above_parameters" not in parameters
    console = Console(record=True, width=160)
    console.print(proxies.table([synflow, parameters]))
    assert "-1.000 [-1.000, -1.000]" in console.export_text()
    assert set(proxies.PUBLISHED) < set(PROXIES)


def test_results_are_json_with_an_architecture_on_each_line():
    rows = made_up(3)
    text = proxies.written({"seconds": 1.0, "correlations": [{"proxy": "synflow"}]}, rows)
    assert json.loads(text) == {"seconds": 1.0, "correlations": [{"proxy": "synflow"}], "rows": rows}
    assert len([line for line in text.splitlines() if '"architecture"' in line]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`benchmark.file` is not given"),
        (["--proxies", "nwot", "none"], "`proxies` holds 'none'; there are grad_norm"),
        (["--architectures", "9"], "`architectures` is 9; it must be from 10 to 15625"),
        (["--images", "1"], "`images` is 1; it must be 2 or more"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        proxies.main(arguments, QUIET)
