"""A search: a supernet's weights and logits, trained in turn, and every epoch's genotype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts.artifacts.gate_heatmaps import gates_to_json
from darts.benchmarks.protocol import Benchmark
from darts.bilevel.hypergradients import Batch, same_draws
from darts.bilevel.problem import SearchProblem
from darts.config import SearchConfig
from darts.data.dataset import DataSet
from darts.methods.method import spans
from darts.oneshot.collapse import CollapseWatch
from darts.oneshot.context import VALID_STREAM, SearchContext
from darts.oneshot.difference_check import check_differences, checked_radius, checked_step
from darts.oneshot.limits import cost_figures, limits_of
from darts.oneshot.prior import begin
from darts.oneshot.results import gate_entropy, write_files
from darts.oneshot.stages import Built, StageNetworks, dropped_skips
from darts.training.cuda_graph import StepGraph, step_graph
from darts.training.distributed import average_statistics, synchronize_batchnorm
from darts.training.evaluate import ReportProgress
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import BatchPartition
from darts.training.objective import score_of
from darts.training.state_form import load_optimizer
from darts.training.weights_optimizer import set_learning_rate
from genotypes import Genotype, describe, read
from supernet.choice import Picks
from supernet.network import DropPath


class SearchTask:
    """A search as a task of the training loop (Liu et al. 2019, algorithm 1); ``make_search`` builds one.

    Each step draws a batch of each part of the search set, moves the logits by the method's hypergradient, then the
    weights by SGD. A method of several stages continues with another network in each (``darts.oneshot.stages``).

    Args:
        config: of the search.
        data: its data set, on the device of the networks.
        networks: build the network of each stage, of the method that they hold.
        partition: which processes search together, and how batches are divided.
        benchmark: knows the true accuracy of every genotype, where there is one.

    Attributes:
        context: what the method sees and changes: the problem at work, the split of the examples, epochs, accuracies.
        stage: the number of the stage at work.
        genotypes: of the finished epochs, as texts.
        evaluated: figures of the last evaluation.
        started: which layers of the supernet began with another run's weights.
        attempt: how often the run was rolled back.
    """

    kind = "search"

    def __init__(
        self,
        config: SearchConfig,
        data: DataSet,
        *,
        networks: StageNetworks,
        partition: BatchPartition,
        benchmark: Benchmark | None = None,
    ):
        self.config, self.data, self.networks, self.partition = config, data, networks, partition
        self.benchmark, self.method, self.ranks = benchmark, networks.method, partition.ranks
        partition.release = lambda: self.graph.forget()
        self.spans = spans(self.method.stages, config.epochs)
        built = networks.build()
        self.started = begin(config, built.space, built.problem)
        self.context = SearchContext(config, data, partition, built.problem)
        valid_count = len(self.context.valid_indices)
        data.train.steps(valid_count, config.batch_size)  # refuses too few examples
        self.evaluation_steps = data.train.steps(valid_count, self.context.evaluation_batch_size, training=False)
        self._begin_stage(0, built)
        self.watch = CollapseWatch(config)
        self.history = {label: [s.cpu().clone()] for label, s in self.problem.edge_scores().items()}
        self.evaluated: dict[str, float] = {}
        self.genotypes: list[str] = []
        self._train: Iterator[tuple[Any, ...]] = iter(())
        self._valid: Iterator[tuple[Any, ...]] = iter(())
        self._drop_rates = torch.zeros(2, dtype=torch.float64, device=networks.device)
        self.attempt, self._step, self._rate, self._warming_up = 0, 0, 0.0, False

    @property
    def problem(self) -> SearchProblem:
        """Return the problem of the stage at work."""
        return self.context.problem

    @property
    def epochs(self) -> int:
        """Return the epochs of the search, fewer than configured where it was stopped."""
        return self.context.epochs

    @property
    def steps_per_epoch(self) -> int:
        """Return the steps of an epoch, fewer where the method lets batches grow."""
        return self.data.train.steps(len(self.context.train_indices), self.context.batch_size)

    def _begin_stage(self, stage: int, built: Built) -> None:
        """Search with the network of a stage from here on."""
        self.stage, self.context.problem = stage, built.problem
        self.space, _, self.logits_optimizer = built
        self.limits = limits_of(self.config, self.problem)
        self.problem.draw = self.context.draw
        self.problem.partition = self.partition
        compared = [callback.compared_weights(built.problem) for callback in self.method.acting]
        self.problem.kept.names = frozenset[str]().union(*compared)
        self.hidden = HiddenState(self.problem.supernet)
        self.hidden.require_single_process(self.ranks)
        self.graph = self._new_graph()
        if self.config.run.sync_batchnorm:
            synchronize_batchnorm(self.problem.supernet, self.ranks)

    def _new_graph(self) -> StepGraph:
        graph = step_graph(
            self.config.run.graph,
            self.problem.generator.device,
            [self.problem.generator, *self.data.train.generators],
            listener=self.partition.notify,
            ranks=self.ranks,
            hidden=self.hidden,
        )
        if self.networks.setting.make:
            graph.refuse("a network and a loss of the user's own may change from step to step")
        if any(callback.acts_in_steps for callback in self.method.acting):
            graph.refuse("the method keeps count of its steps on the host")
        return graph

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Prepare to continue at this step of this epoch, with the network of the epoch's stage."""
        config, method = self.config, self.method
        while epoch not in self.spans[self.stage]:
            built = Built(self.space, self.problem, self.logits_optimizer)
            self._begin_stage(self.stage + 1, self.networks.follow(built, self.stage + 1))
        problem, stage, span = self.problem, method.stages[self.stage], self.spans[self.stage]
        since = epoch - span.start
        begun = 0 if stage.constant else since
        place = (begun, len(span)) if stage.restart else (span.start + begun, config.epochs)
        rate = config.weights.learning_rate(*place)
        self._rate = stage.lr * rate * 0.5**self.attempt
        set_learning_rate(problem.optimizer, self._rate)
        progress = epoch / config.epochs
        problem.progress.fill_(epoch / max(1, config.epochs - 1) if method.reach_end else progress)
        problem.drop_path = self._drop_path(config.drop_path * progress, dropped_skips(stage, since, len(span)))
        self.data.train.begin_epoch(progress)
        problem.supernet.train()
        self._warming_up = since < round(stage.warmup * len(span))
        if epoch == step == 0 and not self.hidden.is_stateful:
            check_differences(method.step, self.context, 0)
        self._step = epoch * self.steps_per_epoch + step
        self._train = self._endless(self.context.train_indices, config.seed)
        self._valid = self._endless(self.context.valid_indices, config.seed + VALID_STREAM)
        if self.method.acting:
            self.graph.forget()

    def _endless(self, indices: Tensor, seed: int) -> Iterator[tuple[Any, ...]]:
        """Return what the host prepares of the training batches of these examples, from the step at work on."""
        size = self.context.batch_size
        return self.data.train.endless_host_batches(indices, size, seed, self._step, self.attempt)

    def step(self) -> Mapping[str, Tensor]:
        """Take one step of the logits, where they are updated in this one, and of the weights."""
        moves = not self._warming_up and self._step % self.method.every == 0
        train_inputs, valid_inputs = next(self._train), next(self._valid)
        self._step += 1
        set_learning_rate(self.problem.optimizer, self._rate * self.data.train.lr_scale(train_inputs))

        def update(*inputs: Any) -> Mapping[str, Tensor]:
            train = self.data.train.load(*inputs[: len(train_inputs)], training=True)
            valid = self.data.train.load(*inputs[len(train_inputs) :], training=True)
            return self.update(self.hidden.attach("train", train), self.hidden.attach("valid", valid), moves)

        key = self.stage, moves, self.partition.graph_key, self._host_values()
        return self.graph(update, (*train_inputs, *valid_inputs), key)

    def _drop_path(self, edges: float, skips: float) -> DropPath | None:
        """Return what drops edges and skip connections with these probabilities; None where both are 0.

        Probabilities other than 0 stand in a tensor, which a captured step reads anew.
        """
        if not (edges or skips):
            return None
        rates = [place.fill_(value) if value else 0.0 for place, value in zip(self._drop_rates, (edges, skips))]
        return DropPath(rates[0], self.problem.generator, rates[1])

    def _host_values(self) -> tuple[Any, ...]:
        """Return what a step takes from Python values: a captured step is valid for these alone."""
        dropping = self.problem.drop_path
        kinds = dropping and (dropping.drops, dropping.drops_skips)
        return kinds, self.problem.optimizer.param_groups[0]["weight_decay"], checked_radius(self.context)

    def update(self, train: Batch, valid: Batch, moves: bool) -> Mapping[str, Tensor]:
        """Take one step on a batch of each part of the search set; return sums over this rank's share of ``train``.

        Args:
            train, valid: the batches.
            moves: whether the logits are updated.
        """
        order, problem = self.config.order, self.problem
        problem.kept.valid = {}
        grads = dict[str, Tensor]()
        if moves and order == "logits_first":
            self._move_logits(self._hypergradient(train, valid))
        elif moves and order == "together":
            with same_draws(problem):
                grads = self._hypergradient(train, valid)
        for callback in self.method.acting:
            callback.before_weights(self.context, train, valid)
        loss, sums = problem.differentiate_weights(train)
        for callback in self.method.acting:
            callback.with_gradients(self.context, train, valid)
        problem.move_weights(self.config.weights.clip)
        if moves and order != "logits_first":
            self._move_logits(grads or self._hypergradient(train, valid))
        return {"loss": loss * sums["images"], **sums}

    def _hypergradient(self, train: Batch, valid: Batch) -> dict[str, Tensor]:
        return checked_step(self.method.step, self.context)(self.problem, train, valid)

    def _move_logits(self, grads: Mapping[str, Tensor]) -> None:
        logits = self.problem.logits
        for label, logit in logits.items():
            logit.grad = grads[label]
        if self.config.logits.clip:
            nn.utils.clip_grad_norm_(logits.values(), self.config.logits.clip)
        self.logits_optimizer.step()

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        """Let the method decide, evaluate, derive a genotype, and look for signs of collapse."""
        context = self.context
        average_statistics(self.problem.supernet, self.ranks)
        for callback in self.method.acting:
            callback.decide(context, epoch)
        scores, picks = self.problem.edge_scores(), self.picks()
        for label, score in scores.items():
            self.history[label].append(score.cpu().clone())
        genotype = self.space.derive(picks)
        entropies = {f"gate_entropy_{label}": gate_entropy(score) for label, score in scores.items()}
        figures = {**self.evaluate(report), **entropies, **self.figures(genotype), "genotype": describe(genotype)}
        figures |= cost_figures(self.limits, self.problem, picks)
        self.genotypes.append(figures["genotype"])
        figures["gates"] = gates_to_json(scores, self.space.tables, self.space.titles)
        context.accuracies.append(score_of(self.evaluated))
        for callback in self.method.acting:
            figures |= callback.after_epoch(context, epoch)
        checked = {} if self.hidden.is_stateful else check_differences(self.method.step, context, epoch + 1)
        watched = self.watch.after_epoch(context, epoch, self.space.skipped(genotype), self.space.connected(genotype))
        warnings = [found["warning"] for found in (checked, watched) if "warning" in found]
        return {**figures, **checked, **watched, **({"warning": "; ".join(warnings)} if warnings else {})}

    def figures(self, genotype: Genotype) -> dict[str, Any]:
        """Return what is known of a genotype: by its space, and by a benchmark where there is one."""
        known = self.space.figures(genotype)
        return known | self.benchmark.figures(genotype, self.data.name) if self.benchmark else known

    def evaluate(self, report: ReportProgress) -> dict[str, float]:
        """Return loss and accuracy of the supernet on the validation split, without augmentation."""
        means = self.context.evaluate(self.problem.expected_gates(), report=report)
        self.evaluated = {f"valid_{name}": mean for name, mean in means.items()}
        return self.evaluated

    def genotype(self) -> Genotype:
        """Return what is derived from the logits as they are now."""
        return self.space.derive(self.picks())

    def picks(self) -> Picks:
        """Return what the discretization keeps of the logits as they are now, within the limits."""
        scores = self.problem.edge_scores()
        picks = {t.label: self.method.discretize(scores[t.label], t) for t in self.space.tables}
        return picks if self.limits is None else self.limits.derive(picks, scores)

    def result(self) -> Genotype:
        """Return the search's genotype: of the epoch that was chosen, or of the final logits."""
        chosen = self.context.chosen_epoch
        return self.genotype() if chosen is None else read(self.genotypes[chosen])

    def write(self, folder: Path, name: str) -> Genotype:
        """Write the files of a finished search to its folder, and return its genotype under this name."""
        genotype = self.result().named(name)
        write_files(
            folder,
            genotype,
            origin={"recipe": self.config.recipe, "data": self.data.name, "seed": self.config.seed},
            evaluated=self.evaluated,
            figures=self.figures(genotype),
            epochs=list(zip(self.genotypes, self.context.accuracies)),
            history={label: torch.stack(scores) for label, scores in self.history.items()},
            space=self.space,
        )
        return genotype

    def replicas(self) -> Mapping[str, Tensor]:
        """Return the tensors that must be equal on every rank."""
        return {f"logits of {label}": logit for label, logit in self.problem.logits.items()}

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, for a checkpoint."""
        problem = self.problem
        average_statistics(problem.supernet, self.ranks)
        return {
            "supernet": problem.supernet.state_dict(),
            "logits": problem.logits,
            "weights_optimizer": problem.optimizer.state_dict(),
            "logits_optimizer": self.logits_optimizer.state_dict(),
            "method_generator": problem.generator.get_state(),
            "data": self.data.train.state(),
            "hidden_states": self.hidden.states,
            "stage": self.stage,
            "allowed": {t.label: t.allowed for t in self.space.tables},
            "fixed_gates": problem.modifiers.fixed,
            "frozen_weights": problem.masks.frozen,
            "context": self.context.state_dict(),
            "watch": self.watch.state_dict(),
            "history": self.history,
            "evaluated": self.evaluated,
            "genotypes": self.genotypes,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Return to the state of a checkpoint."""
        device = self.problem.generator.device
        if state["stage"] != self.stage:
            allowed = {label: tuple(map(tuple, rows)) for label, rows in state["allowed"].items() if rows}
            self._begin_stage(state["stage"], self.networks.build(state["stage"], allowed))
        self.graph.forget()
        problem = self.problem
        problem.supernet.load_state_dict(state["supernet"])
        for label, logit in problem.logits.items():
            logit.data.copy_(state["logits"][label])
        load_optimizer(problem.optimizer, state["weights_optimizer"])
        load_optimizer(self.logits_optimizer, state["logits_optimizer"])
        problem.generator.set_state(state["method_generator"])
        self.data.train.load_state(state["data"])
        self.hidden.states = {stream: carried.to(device) for stream, carried in state["hidden_states"].items()}
        problem.modifiers.fixed = {label: fixed.to(device) for label, fixed in state["fixed_gates"].items()}
        problem.masks.frozen = {name: mask.to(device) for name, mask in state["frozen_weights"].items()}
        self.context.load_state_dict(state["context"])
        self.watch.load_state_dict(state["watch"])
        self.history = {label: list(state["history"][label]) for label in self.history}
        self.evaluated, self.genotypes = state["evaluated"], list(state["genotypes"])
