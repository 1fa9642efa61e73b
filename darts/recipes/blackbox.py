"""Searches without gradients: every strategy on each of five tasks, and every scheduler where curves are known.

A recipe is named after a row of ``ROWS`` and one of ``TASKS``: ``evolution_digits``. On three tasks architectures are
trained, or judged by shared weights where a strategy is defined by them. On the other two they are looked up. In
NAS-Bench-201's table: 12,000 seconds of its recorded training, the reward being the validation accuracy on CIFAR-10
after 12 epochs. Published figures are test accuracies after 200 epochs on CIFAR-10 / CIFAR-100 / ImageNet16-120, means
of 500 runs (Dong and Yang 2020, quoted in Mellor et al. 2021, table 2a). In the digits benchmark's: 100 architectures
by the validation accuracy after its five epochs, or as many epochs in all under a scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from darts.config import SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.recipes import digits201
from darts.recipes.data_sets import CIFAR10, DIGITS, DIGITS201, MNIST
from darts.recipes.recipe import recipe

NOT_PUBLISHED = "No number is published for this protocol."


@dataclass(frozen=True)
class Task:
    """Data, a space and a budget.

    Attributes:
        about: what is searched, for the recipe's docstring.
        config: of a search; the strategy is that of the row.
        trained: the same where a strategy trains a supernet, though others look up.
        spent: the budget where architectures are looked up, for the docstring.
        shared: the budget where weights are shared: epochs of the supernet, architectures to judge.
        scheduled: the budget under a scheduler: epochs of its last rung, and epochs in all, or the architectures of
            three brackets of successive halving; None where no figures after fewer epochs are known.
        hyperband: architectures of a round of Hyperband up to that rung, where architectures are the budget.
    """

    about: str
    config: BlackboxConfig
    shared: BudgetConfig
    trained: str = ""
    spent: str = ""
    scheduled: BudgetConfig | None = None
    hyperband: int = 0

    @property
    def looked_up(self) -> bool:
        """Whether architectures are looked up in a table."""
        return self.config.evaluator == "benchmark"


@dataclass(frozen=True)
class Row:
    """A strategy in the recipes.

    Attributes:
        title: the beginning of a recipe's docstring.
        strategy: with its options, for few trials that are trained.
        looked_up: the same for a benchmark's table, where it differs.
        published: on NAS-Bench-201's table, where anything is.
        shared: whether architectures are judged by shared weights, where there is a table too.
        scheduler: that decides which architectures are trained further.
        rounds: of Hyperband, which the scheduler makes where architectures are the budget; 0 for brackets of one size.
    """

    title: str
    strategy: str
    looked_up: str = ""
    published: str = ""
    shared: bool = False
    scheduler: str = "none"
    rounds: int = 0


NASBENCH201 = SearchSpaceConfig(name="nasbench201", layers=5)
PUBLISHED = "nasbench201"
"""The task that published figures are of."""

TASKS: dict[str, Task] = {
    "digits": Task(
        about="in the DARTS space on scikit-learn's digits",
        config=BlackboxConfig(
            data=DIGITS, space=SearchSpaceConfig(channels=8, layers=3), budget=BudgetConfig(trials=20, epochs=5)
        ),
        shared=BudgetConfig(trials=100, epochs=30),
        scheduled=BudgetConfig(trials=27, epochs=9),
        hyperband=17,
    ),
    "mnist": Task(
        about="in a convolutional network with choices on MNIST",
        config=BlackboxConfig(
            data=MNIST,
            space=SearchSpaceConfig(name="convnet", channels=8, layers=2),
            budget=BudgetConfig(trials=20, epochs=2),
            batch_size=128,
        ),
        shared=BudgetConfig(trials=100, epochs=10),
        scheduled=BudgetConfig(trials=27, epochs=9),
        hyperband=17,
    ),
    "cifar10": Task(
        about="in the DARTS space on CIFAR-10",
        config=BlackboxConfig(data=CIFAR10, space=SearchSpaceConfig(), budget=BudgetConfig(trials=100, epochs=20)),
        shared=BudgetConfig(trials=100, epochs=150),
        scheduled=BudgetConfig(trials=81, epochs=27),
        hyperband=49,
    ),
    "digits201": Task(
        about="on the digits benchmark's table",
        config=BlackboxConfig(
            data=DIGITS201,
            space=digits201.SPACE,
            evaluator="benchmark",
            benchmark=LookupConfig(name="digits201", data="digits201"),
            budget=BudgetConfig(trials=100, epochs=digits201.PROTOCOL.epochs),
        ),
        shared=BudgetConfig(trials=100, epochs=digits201.EPOCHS),
        scheduled=BudgetConfig(total_epochs=100 * digits201.PROTOCOL.epochs, epochs=digits201.PROTOCOL.epochs),
        trained="on the digits benchmark's images",
        spent="100 architectures",
    ),
    PUBLISHED: Task(
        about="on NAS-Bench-201's table",
        config=BlackboxConfig(
            data=CIFAR10, space=NASBENCH201, evaluator="benchmark", budget=BudgetConfig(seconds=12000.0)
        ),
        shared=BudgetConfig(trials=100, epochs=100),
        trained="in NAS-Bench-201's space, trained on CIFAR-10",
        spent="12,000 s of its recorded training",
    ),
}

ROWS: dict[str, Row] = {
    "random": Row("Random search", "random", published="93.70 +- 0.36 / 71.04 +- 1.07 / 44.57 +- 1.25 %"),
    "exhaustive": Row("Every architecture of NAS-Bench-201", "exhaustive"),
    "local_search": Row("Local search, moving to the first better neighbour,", "local_search:first_improvement=true"),
    "evolution": Row(
        "Regularized evolution",
        "evolution:population=6,sample=3",
        looked_up="evolution:population=10,sample=3",
        published="93.92 +- 0.30 / 71.84 +- 0.99 / 45.54 +- 1.03 %",
    ),
    "genetic": Row(
        "A genetic algorithm", "genetic:population=6,tournament=2,elite=1", looked_up="genetic:population=20"
    ),
    "reinforce": Row(
        "REINFORCE",
        "reinforce:lr=0.1",
        looked_up="reinforce",
        published="93.85 +- 0.37 / 71.71 +- 1.09 / 45.24 +- 1.18 %",
    ),
    "enas": Row(
        "ENAS: the best of 100 samples of a controller",
        "enas",
        published="54.30 / 15.61 / 16.32 %",
        shared=True,
    ),
    "rsps": Row(
        "Random search with weight sharing: the best of 100 architectures",
        "rsps",
        published="87.66 +- 1.69 / 58.33 +- 4.34 / 31.14 +- 3.88 %",
        shared=True,
    ),
    "bayesian_tpe": Row("Bayesian optimization by Parzen estimators (Optuna's TPE)", "tpe"),
    "bayesian_gp": Row("Bayesian optimization by a Gaussian process (Optuna's)", "gp"),
    "bananas": Row(
        "BANANAS, an ensemble of neural predictors,", "bananas:first=5,batch=5,parents=5", looked_up="bananas"
    ),
    "surrogate_descent": Row(
        "Gradient descent of logits through a Gaussian process",
        "surrogate_descent:first=5,batch=5",
        looked_up="surrogate_descent",
    ),
    "asha": Row("ASHA among random architectures", "random", scheduler="asha"),
    "halving": Row("Successive halving of random architectures", "random", scheduler="halving"),
    "hyperband": Row("Hyperband of random architectures", "random", scheduler="hyperband", rounds=1),
    "bohb": Row("BOHB, Hyperband by Parzen estimators,", "tpe", scheduler="bohb", rounds=2),
}


def made(name: str, data: str) -> Callable[[], BlackboxConfig]:
    """Return the recipe of a row on a task."""
    row, task = ROWS[name], TASKS[data]
    exhaustive = row.strategy == "exhaustive"
    shared = row.shared or (exhaustive and not task.looked_up)

    def make() -> BlackboxConfig:
        config = replace(task.config, strategy=(row.looked_up if task.looked_up else "") or row.strategy)
        if shared:
            config = replace(config, evaluator="shared", benchmark=LookupConfig(), budget=task.shared)
        if task.scheduled and row.scheduler != "none":
            trials = row.rounds * task.hyperband or task.scheduled.trials
            config = replace(config, scheduler=row.scheduler, budget=replace(task.scheduled, trials=trials))
        if exhaustive:
            space = config.space if task.looked_up else NASBENCH201
            config = replace(config, space=space, budget=replace(config.budget, trials=None, seconds=None))
        return config

    config = make()
    about = task.trained if task.looked_up and row.shared else task.about
    if exhaustive and not task.looked_up:
        about = f"on {config.data.name}"
    if shared:
        budget = f"judged by the weights of a supernet that is trained for {config.budget.epochs} epochs first"
    elif row.scheduler != "none":
        total = config.budget.total_epochs
        spent = f"{total} epochs in all, up to" if total else f"{config.budget.trials} architectures for up to"
        budget = f"{spent} {config.budget.epochs}{' for each' if total else ' epochs'}"
    elif task.looked_up:
        budget = "" if exhaustive else task.spent
    else:
        budget = f"{config.budget.trials} architectures, {config.budget.epochs} epochs each"
    published = f"Published: {row.published}." if row.published and data == PUBLISHED else NOT_PUBLISHED
    make.__name__ = f"{name}_{data}"
    make.__doc__ = f"{row.title} {about}{', ' if budget else ''}{budget}. {published}"
    return recipe(make)


RECIPES: dict[str, Callable[[], BlackboxConfig]] = {
    f"{name}_{data}": made(name, data)
    for data, task in TASKS.items()
    for name, row in ROWS.items()
    if task.scheduled or row.scheduler == "none"
}
"""Every strategy on every task, every scheduler on those whose architectures are trained."""
