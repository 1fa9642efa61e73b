"""Checks of a whole configuration: every field's range, and what must hold between fields."""

from __future__ import annotations

from pathlib import Path

from darts.config.blackbox import BlackboxConfig
from darts.config.fields import check_ranges
from darts.config.retrain import RetrainConfig
from darts.config.search import SearchConfig
from darts.errors import UserError

Config = SearchConfig | RetrainConfig | BlackboxConfig


def check(config: Config) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such field, its value and what is allowed.
    """
    check_ranges(config)
    if config.weights.nesterov and config.weights.optimizer != "sgd":
        raise UserError(f"`weights.nesterov` is on, which `weights.optimizer` {config.weights.optimizer} does not have")
    if isinstance(config, RetrainConfig):
        if config.batch_size < 2:
            raise UserError(f"`batch_size` is {config.batch_size}; BatchNorm needs 2 or more images")
        if config.start and config.inherit:
            raise UserError("`start` and `inherit` are both given; give the one run whose weights to start with")
        return
    if isinstance(config, BlackboxConfig):
        _refuse_unused(config)
        _check_budget(config)
        return
    _refuse_unread("deployment.latencies", config.deployment.latencies, f"{config.limits}", "`limits`")
    if config.method.stages == ():
        raise UserError("`method.stages` is empty; give one stage or more, such as stage:share=1")
    share = config.valid_share
    if share is not None and config.train_share + share >= 1 + 1e-9:
        both = f"at most 1 together with `train_share`, which is {config.train_share}"
        raise UserError(f"`valid_share` is {share}; it must be more than 0, and {both}")


def _refuse_unused(config: BlackboxConfig) -> None:
    """Refuse options of a search with gradients that a search without them would not follow."""
    run = config.run
    unused = {
        "run.max_steps": (run.max_steps, "set `budget.epochs` or `budget.trials`"),
        "run.max_hours": (run.max_hours, "set `budget.seconds`"),
        "run.memory": (run.memory, "lower `batch_size` or `space.channels`"),
        "space.partial": (config.space.partial, "leave it out"),
    }
    for field, (value, instead) in unused.items():
        if value is not None:
            raise UserError(f"`{field}` is {value}; a search without gradients does not follow it: {instead}")
    costs = f"{config.limits},{config.objectives}"
    _refuse_unread("latencies", config.latencies, costs, "`objectives` or `limits`")
    for name, table in (("file", config.benchmark.file), ("name", config.benchmark.name)):
        if table is not None and config.evaluator != "benchmark":
            evaluator = f"`evaluator` {config.evaluator} looks nothing up"
            raise UserError(f"`benchmark.{name}` is {table}, and {evaluator}: set it to benchmark")


def _refuse_unread(field: str, table: Path | None, costs: str, fields: str) -> None:
    """Refuse a table of latencies where latency is none of the costs."""
    if table is not None and "latency" not in costs:
        raise UserError(f"`{field}` is {table}, which nothing reads: set latency in {fields}, or leave it out")


def _check_budget(config: BlackboxConfig) -> None:
    """Refuse searches that never end, or whose architectures cannot be judged."""
    budget = config.budget
    limits = budget.trials, budget.seconds, budget.total_epochs, *budget.hours
    ends = config.strategy_name == "exhaustive"
    if all(limit is None for limit in limits) and not ends:
        raise UserError(
            "no budget is given, and a search never ends without one: set `budget.trials`, `budget.seconds`, "
            "`budget.total_epochs`, `budget.cpu_hours` or `budget.gpu_hours`"
        )
    if config.seeds > 1 and (config.scheduler != "none" or config.stoppers or config.study.shared):
        raise UserError(
            f"`seeds` is {config.seeds}; several searches replay a table, without `scheduler`, `stoppers` and `study`"
        )
    if config.study.shared and config.run.name is not None:
        raise UserError(f"`run.name` is {config.run.name!r}; the folder of a shared study is named by `study.name`")
    if config.evaluator == "benchmark":
        if config.benchmark.file is None and config.benchmark.name is None:
            raise UserError("`benchmark.file` is not given; it is the table in which architectures are looked up")
    elif config.seeds > 1:
        raise UserError(
            f"`seeds` is {config.seeds}; several searches run on a benchmark only: start one for each `seed`"
        )
    elif config.train_share == 1:
        raise UserError("`train_share` is 1, which leaves no examples to judge architectures on")
    elif config.batch_size < 2:
        raise UserError(f"`batch_size` is {config.batch_size}; BatchNorm needs 2 or more images")
