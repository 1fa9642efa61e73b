"""The Python of the page runs, with a space, an evaluator and less to do."""

import re
from pathlib import Path

import optuna
from torch import nn

import darts
from darts.benchmarks.protocol import Score
from darts.blackbox.evaluation import Plan
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.schedulers import ASHA
from darts.blackbox.strategies.evolution import RegularizedEvolution
from darts.blackbox.study import search
from darts.config.blackbox import BudgetConfig
from supernet.layer_choice import LayerChoice
from supernet.spaces.modules import ModuleSpace

PAGE = Path(darts.__file__).parent / "blackbox" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_examples_run(tmp_path):
    space = ModuleSpace(nn.Sequential(*(LayerChoice([nn.Linear(2, 2), nn.Tanh()], f"layer{k}") for k in range(4))))
    names = {
        **{each.__name__: each for each in (ArchitectureDecisions, StrategySampler, RegularizedEvolution, suggest)},
        **{each.__name__: each for each in (search, Plan, BudgetConfig, ASHA)},
        "optuna": optuna,
        "space": space,
        "accuracy_of": lambda genotype: sum(names == ("1",) for _, names in genotype.picks) / 4,
        "parameters": {f"layer{k}/0": "1" for k in range(4)},
        "evaluator": lambda genotype, budget, trial: Score({"test_accuracy": 0.5 + budget.epochs / 100}, 1.0),
        "folder": tmp_path,
    }
    for example in EXAMPLES:
        shorter = example.replace("n_trials=100", "n_trials=12").replace("trials=50", "trials=4")
        exec(compile(shorter, PAGE, "exec"), names)
        assert len(names["study"].trials) == (12 if "n_trials" in example else 4)
    assert names["study"].trials[0].params == names["parameters"]
