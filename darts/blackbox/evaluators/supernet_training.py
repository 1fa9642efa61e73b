"""A supernet trained on sampled paths, for evaluations by shared weights: RSPS, single-path one-shot search, ENAS.

It is a search by the loop of the methods with gradients, whose logits do not take part: every step trains the weights
of one architecture. Uniform paths are those of random search with weight sharing (Li and Talwalkar 2019). A strategy
with a controller samples the paths itself, and learns after each epoch of the weights (ENAS, Pham et al. 2018).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain, islice
from random import Random

import torch

from darts.artifacts.fingerprint import of_data_set
from darts.artifacts.log import read_log
from darts.bilevel.sampled_paths import follow
from darts.blackbox.evaluators.evaluator import Setting
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.strategies import STRATEGIES
from darts.blackbox.strategies.enas import ENAS, Controller, TrainedController
from darts.blackbox.strategies.strategy import Strategy
from darts.config import MethodConfig, SearchConfig, identity, to_dict
from darts.errors import UserError
from darts.methods.compose import component, compose
from darts.methods.context import Callback, MethodContext
from darts.oneshot.builder import make_search
from darts.retraining.inherit import TrainedSupernet
from darts.training.hidden_state import HiddenState
from darts.training.loop import Interrupted, train
from darts.training.microbatch import Batch
from darts.training.objective import examples, ranked_by
from genotypes.atomic_write import write_atomically

SUPERNET = "supernet"
"""Folder of the supernet's training, in the run's folder."""


@dataclass(frozen=True)
class ControllerPaths(Callback):
    """Trains the weights on paths that a controller draws, and the controller after each epoch of the weights.

    A sample's reward is its accuracy, or the negative loss, on one validation batch with the shared weights and
    BatchNorm by that batch's statistics.

    Attributes:
        options: of the controller.
        decisions: of the space.
        seed: of its draws.
    """

    options: ENAS
    decisions: ArchitectureDecisions
    seed: int
    acts_in_steps = True

    def before_weights(self, context: MethodContext, train: Batch, valid: Batch) -> None:
        follow(context.problem, self.decisions.picks(self._drawn(context)))

    def decide(self, context: MethodContext, epoch: int) -> None:
        problem, controller = context.problem, self.controller(context)
        weights = {name: weight.detach() for name, weight in problem.weights.items()}
        hidden = HiddenState(problem.supernet)
        batches = chain.from_iterable(iter(context.valid_batches, None))
        for batch in islice(filter(examples, batches), self.options.updates * self.options.samples):
            point = self._drawn(context)
            follow(problem, self.decisions.picks(point))
            with torch.no_grad():
                call = problem.functional(weights, problem.expected_gates())
                loss, sums, _ = problem.objective(call, hidden.attach("controller", batch))
            figure, _ = ranked_by(sums)
            reward = sums[figure] / sums["images"] if figure in sums else -loss
            controller.tell(point, float(reward))

    def controller(self, context: MethodContext) -> Controller:
        """Return the controller at work; its state is kept in the search's checkpoints."""
        return Controller(self.decisions, self.options, context.state("controller"))

    def _drawn(self, context: MethodContext) -> dict[str, str]:
        count = context.state("draws")
        count["number"] = count.get("number", 0) + 1
        return self.controller(context).ask(Random(f"{self.seed}:path {count['number']}"))


def train_supernet(setting: Setting) -> tuple[TrainedSupernet, Strategy | None]:
    """Train a supernet in the run's folder, or continue; return it, and the controller where it has trained one.

    Raises:
        UserError: where the space has no supernet.
        Interrupted: where ``run.max_hours`` has ended the training before its last epoch.
    """
    config, data = setting.config, setting.data
    name = config.space.name or "darts"
    decisions = setting.decisions()
    if not decisions.space.has_supernet:
        raise UserError(f"`space.name` is {name}, which has no supernet: take another `evaluator` than shared")
    search = SearchConfig(
        recipe=config.recipe,
        data=config.data,
        space=config.space,
        method=MethodConfig("darts", callbacks=("single_paths:samples=0",), stages=("stage:warmup=1",)),
        weights=config.weights,
        epochs=config.budget.epochs,
        batch_size=config.batch_size,
        collapse="off",
        train_share=config.train_share,
        seed=config.seed,
        run=replace(config.run, resume=True, max_steps=None),
    )
    method, options = compose(search), None
    if config.strategy_name == "enas":
        options = component("`strategy`", STRATEGIES, config.strategy)
        paths = ControllerPaths(options, decisions, config.seed)
        method = replace(method, callbacks=(paths,))
    task = make_search(search, data, setting.device, method=method)
    folder = setting.folder / SUPERNET
    made_with = {**identity(search), "data": of_data_set(data), "strategy": config.strategy if options else "uniform"}
    train(task, search.run, folder, made_with, setting.console)
    if read_log(folder)[-1]["step"] < task.epochs * task.steps_per_epoch:
        raise Interrupted("the supernet is not trained to the end; --resume continues", 0)
    content = {"kind": "search", "config": to_dict(search)}
    write_atomically(folder / "config.json", (json.dumps(content, indent=2) + "\n").encode())
    trained = TrainedSupernet(task.space, task.problem.supernet, search)
    if options is None:
        return trained, None
    return trained, TrainedController(options, task.context.state("controller"))
