"""Checks of a whole configuration: every field's range, and what must hold between fields."""

from __future__ import annotations

from darts.config.fields import check_ranges
from darts.config.retrain import RetrainConfig
from darts.config.search import SearchConfig
from darts.errors import UserError

Config = SearchConfig | RetrainConfig


def check(config: Config) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such field, its value and what is allowed.
    """
    check_ranges(config)
    if isinstance(config, RetrainConfig):
        if config.batch_size < 2:
            raise UserError(f"`batch_size` is {config.batch_size}; BatchNorm needs 2 or more images")
        return
    if config.method.stages == ():
        raise UserError("`method.stages` is empty; give one stage or more, such as stage:share=1")
    share = config.valid_share
    if share is not None and config.train_share + share >= 1 + 1e-9:
        both = f"at most 1 together with `train_share`, which is {config.train_share}"
        raise UserError(f"`valid_share` is {share}; it must be more than 0, and {both}")
