"""Recipes of searches without gradients: every row on every task, with budgets that schedulers use up."""

import pytest

from darts.blackbox.schedulers import Hyperband, SuccessiveHalving
from darts.config import check
from darts.recipes import BLACKBOX_RECIPES
from darts.recipes.blackbox import PUBLISHED, RECIPES, ROWS, TASKS


@pytest.mark.parametrize("name", BLACKBOX_RECIPES)
def test_a_recipe_is_named_and_says_what_to_expect(name):
    make = BLACKBOX_RECIPES[name]
    config = make()
    if config.evaluator != "benchmark" or config.benchmark.name:
        check(config)
    assert config.recipe == name and make.__doc__ and make.__doc__.strip().endswith(".")


def test_every_row_is_on_every_task():
    assert len(RECIPES) == len(TASKS) * len(ROWS) - sum(row.scheduler != "none" for row in ROWS.values())
    assert [data for data in TASKS if f"asha_{data}" not in RECIPES] == [PUBLISHED]


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.scheduled and task.scheduled.trials])
def test_scheduled_budgets_are_whole_brackets(task):
    epochs = task.scheduled.epochs
    assert task.hyperband == sum(bracket.trials for bracket in Hyperband().start(epochs).brackets)
    assert task.scheduled.trials == 3 * SuccessiveHalving().start(epochs).brackets[0].trials
