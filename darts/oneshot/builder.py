"""Build the search that a configuration describes: its method, networks and benchmark."""

from __future__ import annotations

import torch

from darts.benchmarks.registry import benchmark_of
from darts.bilevel.requirements import DOUBLE_BACKWARD
from darts.config import SearchConfig
from darts.data.dataset import DataSet
from darts.errors import UserError
from darts.methods.compose import compose
from darts.methods.method import Method
from darts.oneshot.stages import Setting, StageNetworks
from darts.oneshot.task import SearchTask
from darts.processes import SINGLE_PROCESS, Ranks
from darts.training.microbatch import BatchPartition
from darts.training.objective import classification


def make_search(
    config: SearchConfig,
    data: DataSet,
    device: torch.device,
    *,
    method: Method | None = None,
    setting: Setting | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> SearchTask:
    """Return a search in its initial state.

    Args:
        config: of the search.
        data: its data set, on the device.
        device: that the search runs on.
        method: the configuration's, composed from it where not given.
        setting: the data set's shape and objective, where not given.
        ranks: the processes that search together.

    Raises:
        UserError: where the configuration's parts cannot work together, with the reason.
        SpaceError: where the space does not support the options.
    """
    method = method or compose(config)
    setting = setting or Setting(data.shape, objective=data.objective or classification)
    benchmark = benchmark_of(config.benchmark, config.space.name, data.name)
    twice = method.requires(DOUBLE_BACKWARD)
    if ranks.count > 1 and twice:
        raise UserError("a step that differentiates twice runs in one process only; take another `method.step`")
    if ranks.count > 1 and config.rerank:
        raise UserError("`rerank` retrains in one process only; leave out `rerank` or torchrun")
    partition = BatchPartition(ranks, synchronized=config.run.sync_batchnorm, guarded=not twice)
    networks = StageNetworks(config, method, setting, device)
    return SearchTask(config, data, networks=networks, partition=partition, benchmark=benchmark)
