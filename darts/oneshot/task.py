"""A search: a supernet's weights and logits, trained in turn; every epoch's genotype; the files at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts.artifacts.checkpoint import write_atomically
from darts.artifacts.gate_heatmaps import gates_svg, gates_to_json
from darts.benchmarks.nasbench201 import benchmark_for
from darts.bilevel.hypergradients import Batch, unrolled_exact
from darts.bilevel.problem import ImageBatch
from darts.config.schema import SearchConfig
from darts.data.dataset import DataSet, endless, endless_picks, lr_scale, split_search_set, steps
from darts.errors import UserError
from darts.methods.compose import compose
from darts.methods.method import Method, spans
from darts.methods.robust_darts import eigenvalue_of
from darts.oneshot.collapse import signs
from darts.oneshot.stages import Built, Setting, build, dropped_skips, follow
from darts.training.cuda_graph import StepGraph, capturing, set_learning_rate
from darts.training.distributed import SINGLE_PROCESS, Ranks, average_statistics, synchronize_batchnorm
from darts.training.evaluate import Tell, evaluate
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import BatchPartition
from darts.training.objective import classification, ranked_by
from genotypes import schema_from
from genotypes.formats.registry import Genotype, describe, picture, read, write
from supernet.network import DropPath

VALID_STREAM = 2**31
"""Added to the seed of the validation batches' order: equal orders would pair the halves alike in every epoch."""

DRAW_STREAM = 2**30
"""Added to the seed of the order of batches that a method draws for itself."""


class SearchTask:
    """The search that a configuration and a method describe, as a task of the training loop (Liu et al. 2019,
    algorithm 1).

    Each step draws a batch of each half of the training set, moves the logits by the method's hypergradient, then the
    weights by SGD. A method of several stages goes on with another network in each (``darts.oneshot.stages``). The method is
    given, or is the one that the configuration names.

    Attributes:
        table: of a benchmark that knows the true accuracy of every genotype, where the configuration names one.
        stage: the number of the stage at work.
        batch_size: images a step, of each half; the configuration's, unless the method lets it grow.
        memory: what the method's callbacks remember: tensors and plain values.
        accuracies: of the epochs, on the half that trains the logits; the loss with the opposite sign, where nothing is
            classified.
    """

    kind = "search"

    def __init__(
        self,
        config: SearchConfig,
        data: DataSet,
        device: torch.device,
        method: Method | None = None,
        setting: Setting | None = None,
        ranks: Ranks = SINGLE_PROCESS,
    ):
        self.config, self.data, self.ranks = config, data, ranks
        self.setting = setting or Setting(data.shape, objective=data.objective or classification)
        self.table = benchmark_for(config.table, config.space.name, data.name) if config.table else None
        self.method = method or compose(config)
        once = self.method.step is not unrolled_exact
        if ranks.count > 1 and not once:
            raise UserError("--method.step unrolled_exact differentiates twice: it runs in one process only")
        if ranks.count > 1 and config.candidates:
            raise UserError("--candidates retrains in one process only: leave it or torchrun out")
        self.partition = BatchPartition(ranks, synchronized=config.run.sync_batchnorm, guarded=once)
        self.partition.release = lambda: self.graph.forget()
        if data.valid:
            self.train_indices, self.valid_indices = torch.arange(len(data.train)).split(
                [len(data.train) - data.valid, data.valid]
            )
        else:
            self.train_indices, self.valid_indices = split_search_set(
                data.train, config.train_share, config.valid_share
            )
        self.epochs, self.batch_size = config.epochs, config.batch_size
        steps(data.train, len(self.valid_indices), config.batch_size)  # says so where there are too few
        self.evaluation_steps = steps(data.train, len(self.valid_indices), 2 * config.batch_size, training=False)
        self.attempt = 0
        self.spans = spans(self.method.stages, config.epochs)
        self.memory: dict[str, Any] = {"drawn": 0}
        self._go_on(0, build(config, self.method, self.setting, device))
        self.history = {label: [s.cpu().clone()] for label, s in self.problem.edge_scores().items()}
        self.evaluated: dict[str, float] = {}
        self.genotypes: list[str] = []
        self.accuracies: list[float] = []
        self._train: Iterator[tuple[Any, ...]] = iter(())
        self._valid: Iterator[tuple[Any, ...]] = iter(())
        self._dropped = torch.zeros(2, dtype=torch.float64, device=device)
        self._step = 0
        self._rate = 0.0
        self._warm = False

    @property
    def steps_per_epoch(self) -> int:
        return steps(self.data.train, len(self.train_indices), self.batch_size)

    def _go_on(self, stage: int, built: Built) -> None:
        """Search with the network of a stage from here on."""
        self.stage = stage
        self.space, self.problem, self.logits_optimizer = built
        self.problem.draw = self._draw
        self.problem.partition = self.partition
        self.hidden = HiddenState(self.problem.supernet)
        if self.ranks.count > 1 and self.hidden.is_stateful:
            raise UserError("a hidden state is carried from batch to batch, in one process only: leave torchrun out")
        self.graph = self._new_graph()
        if self.config.run.sync_batchnorm:
            synchronize_batchnorm(self.problem.supernet, self.ranks)

    def _new_graph(self) -> StepGraph:
        drawn = [self.problem.generator, *self.data.train.generators]
        graph = StepGraph(self.config.run.graph, self.problem.generator.device, drawn, tell=self.partition.say)
        if self.ranks.count > 1:
            graph.refuse("several processes")
        if self.hidden.is_stateful:
            graph.refuse("a hidden state is carried from batch to batch, of several lengths")
        if self.setting.make:
            graph.refuse("a network and a loss of the user's own may change from step to step")
        if self.method.hooks("before_weights"):
            graph.refuse("the method keeps count of its steps on the host")
        return graph

    def begin_epoch(self, epoch: int, step: int) -> None:
        config, method = self.config, self.method
        while epoch not in self.spans[self.stage]:
            built = Built(self.space, self.problem, self.logits_optimizer)
            self._go_on(self.stage + 1, follow(built, config, method, self.setting, self.stage + 1))
        problem, stage, span = self.problem, method.stages[self.stage], self.spans[self.stage]
        since = epoch - span.start
        when = (since, len(span)) if stage.restart else (epoch, config.epochs)
        self._rate = stage.lr * config.weights.learning_rate(*when) * 0.5**self.attempt
        set_learning_rate(problem.optimizer, self._rate)
        progress = epoch / config.epochs
        problem.progress.fill_(progress)
        problem.drop_path = self._dropping(config.drop_path * progress, dropped_skips(stage, since, len(span)))
        self.data.train.begin_epoch(progress)
        problem.supernet.train()
        self._warm = since < round(stage.warmup * len(span))
        self._step = epoch * self.steps_per_epoch + step
        size, seed = self.batch_size, config.seed + VALID_STREAM
        self._train = endless_picks(self.data.train, self.train_indices, size, config.seed, self._step, self.attempt)
        self._valid = endless_picks(self.data.train, self.valid_indices, size, seed, self._step, self.attempt)
        if any(self.method.hooks(name) for name in ("decide", "after_epoch")):
            self.graph.forget()

    def step(self) -> Mapping[str, Tensor]:
        moves = not self._warm and self._step % self.method.every == 0
        picks = next(self._train), next(self._valid)
        self._step += 1
        set_learning_rate(self.problem.optimizer, self._rate * lr_scale(self.data.train, picks[0]))

        def update(*tensors: Any) -> Mapping[str, Tensor]:
            halves = tensors[: len(picks[0])], tensors[len(picks[0]) :]
            train, valid = (self.data.train.load(*half, training=True) for half in halves)
            return self.update(self.hidden.attach("train", train), self.hidden.attach("valid", valid), moves)

        return self.graph(update, (*picks[0], *picks[1]), (self.stage, moves, self.partition.way, self._schedule()))

    def _dropping(self, edges: float, skips: float) -> DropPath | None:
        """What drops edges and skips with these probabilities; 0 drops nothing, the others stand in their places."""
        if not (edges or skips):
            return None
        edges, skips = (place.fill_(value) if value else 0.0 for place, value in zip(self._dropped, (edges, skips)))
        return DropPath(edges, self.problem.generator, skips)

    def _schedule(self) -> tuple[Any, ...]:
        """What Python takes from the epoch in a step; all else stands in tensors."""
        dropping = self.problem.drop_path
        kinds = dropping and (dropping.drops, dropping.drops_skips)
        return kinds, self.problem.optimizer.param_groups[0]["weight_decay"]

    def update(self, train: Batch, valid: Batch, moves: bool) -> Mapping[str, Tensor]:
        """One step on a batch of each half; the logits move only where they are to."""
        first = self.config.order == "logits_first"
        if moves and first:
            self._move_logits(train, valid)
        loss, sums = self._move_weights(train, valid)
        if moves and not first:
            self._move_logits(train, valid)
        return {"loss": loss * sums["images"], **sums}

    def _move_logits(self, train: Batch, valid: Batch) -> None:
        problem = self.problem
        grads = self.method.step(problem, train, valid)
        for label, logit in problem.logits.items():
            logit.grad = grads[label]
        if self.config.logits.clip:
            nn.utils.clip_grad_norm_(problem.logits.values(), self.config.logits.clip)
        self.logits_optimizer.step()

    def _move_weights(self, train: Batch, valid: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        for act in self.method.hooks("before_weights"):
            act(self, train, valid)
        return self.problem.train_weights(train, self.config.weights.clip)

    def _draw(self) -> ImageBatch:
        """A further batch of the half that trains the weights."""
        if capturing():
            raise RuntimeError("a batch that the method draws for itself is picked on the host")
        self.memory["drawn"] += 1
        seed = self.config.seed + DRAW_STREAM
        return next(endless(self.data.train, self.train_indices, self.batch_size, seed, self.memory["drawn"] - 1))

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        average_statistics(self.problem.supernet, self.ranks)
        for act in self.method.hooks("decide"):
            act(self, epoch)
        scores = self.problem.edge_scores()
        for label, score in scores.items():
            self.history[label].append(score.cpu().clone())
        genotype = self.genotype()
        entropies = {f"gate_entropy_{label}": _entropy(score) for label, score in scores.items()}
        figures = {**self.evaluate(tell), **entropies, **self.figures(genotype), "genotype": describe(genotype)}
        self.genotypes.append(figures["genotype"])
        figures["gates"] = gates_to_json(scores, self.space.tables, self.space.titles)
        self.accuracies.append(figures.get("valid_accuracy", -figures["valid_loss"]))
        for act in self.method.hooks("after_epoch"):
            figures |= act(self, epoch) or {}
        return figures | self._watch(epoch, genotype)

    def _watch(self, epoch: int, genotype: Genotype) -> dict[str, Any]:
        """Look for signs of collapse: the eigenvalue, and what to say."""
        config, figures = self.config, {}
        seen = self.memory.setdefault("watched", {"eigenvalues": [], "sound": None})
        if config.eigenvalue_every and (epoch + 1) % config.eigenvalue_every == 0:
            figures["eigenvalue"] = eigenvalue_of(self, epoch)
            seen["eigenvalues"].append(figures["eigenvalue"])
        reason = signs(config, self.space.skipped(genotype), seen["eigenvalues"], (epoch + 1) / config.epochs)
        if reason is None:
            seen["sound"] = epoch
            return figures
        figures["warning"] = f"the search collapses: {reason}"
        if config.collapse == "stop":
            self.memory["chosen"] = epoch if seen["sound"] is None else seen["sound"]
            self.stop(epoch, figures["warning"])
        return figures

    def stop(self, epoch: int, reason: str) -> None:
        """End the search with this epoch."""
        self.epochs, self.memory["stopped"] = epoch + 1, reason

    def figures(self, genotype: Genotype) -> dict[str, Any]:
        """What is known of a genotype: by its space, and by the table of a benchmark where there is one."""
        true = self.table.standing(genotype, self.data.name).figures if self.table else {}
        return {**self.space.figures(genotype), **true}

    def evaluate(self, tell: Tell) -> dict[str, float]:
        """Loss and accuracy of the supernet on the half that trains the logits, without augmentation."""
        problem = self.problem
        network = problem.supernet, problem.call(problem.expected_gates()), problem.objective
        split = self.data.train, self.valid_indices, 2 * self.config.batch_size
        means = evaluate(*network, *split, tell, self.partition)
        self.evaluated = {f"valid_{name}": mean for name, mean in means.items()}
        return self.evaluated

    def genotype(self) -> Genotype:
        """What is derived from the logits as they are now."""
        scores = self.problem.edge_scores()
        return self.space.derive({t.label: self.method.discretize(scores[t.label], t) for t in self.space.tables})

    def replicas(self) -> Mapping[str, Tensor]:
        return {f"logits of {label}": logit for label, logit in self.problem.logits.items()}

    def state(self) -> dict[str, Any]:
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
            "decided": problem.decided,
            "frozen": problem.frozen,
            "memory": self.memory,
            "history": self.history,
            "evaluated": self.evaluated,
            "genotypes": self.genotypes,
            "accuracies": self.accuracies,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        if state["stage"] != self.stage:
            allowed = {label: tuple(map(tuple, rows)) for label, rows in state["allowed"].items() if rows}
            device = self.problem.generator.device
            self._go_on(state["stage"], build(self.config, self.method, self.setting, device, state["stage"], allowed))
        self.graph.forget()
        problem, device = self.problem, self.problem.generator.device
        problem.supernet.load_state_dict(state["supernet"])
        for label, logit in problem.logits.items():
            logit.data.copy_(state["logits"][label])
        problem.optimizer.load_state_dict(state["weights_optimizer"])
        self.logits_optimizer.load_state_dict(state["logits_optimizer"])
        problem.generator.set_state(state["method_generator"])
        self.data.train.load_state(state["data"])
        self.hidden.states = {stream: carried.to(device) for stream, carried in state["hidden_states"].items()}
        problem.decided = {label: decided.to(device) for label, decided in state["decided"].items()}
        problem.frozen = {name: at.to(device) for name, at in state["frozen"].items()}
        self.memory = state["memory"]
        self.history = {label: list(strengths) for label, strengths in state["history"].items()}
        self.evaluated, self.epochs, self.batch_size = state["evaluated"], state["epochs"], state["batch_size"]
        self.genotypes, self.accuracies = list(state["genotypes"]), list(state["accuracies"])

    def write(self, folder: Path, name: str) -> Genotype:
        """The files of a finished search: the genotype, pictures, figures.

        The genotype is that of the final logits, or of the epoch that the method has chosen.
        """
        chosen = self.memory.get("chosen")
        genotype = (self.genotype() if chosen is None else read(self.genotypes[chosen])).named(name)
        origin = {"recipe": self.config.recipe, "data": self.data.name, "seed": self.config.seed}
        found = {"genotype": describe(genotype), "genotype_hash": genotype.hash}
        figures = {**self.evaluated, **self.figures(genotype), **found}
        history = {label: torch.stack(strengths) for label, strengths in self.history.items()}
        gates = gates_svg(history, self.space.tables, self.space.titles)
        for file, content in (
            ("genotype.json", write(genotype, {**schema_from(folder), "searched": origin})),
            ("cells.svg", picture(genotype)),
            ("gates.svg", gates),
            ("genotypes.json", self._every_genotype()),
            ("metrics.json", json.dumps(figures, indent=2) + "\n"),
        ):
            write_atomically(folder / file, content.encode())
        return genotype

    def _every_genotype(self) -> str:
        rows = enumerate(zip(self.genotypes, self.accuracies), 1)
        key, sign = ranked_by(self.evaluated)
        found = [{"epoch": epoch, f"valid_{key}": sign * by, "genotype": text} for epoch, (text, by) in rows]
        return json.dumps(found, indent=2) + "\n"


def _entropy(gates: Tensor) -> float:
    """Mean entropy of a table's decisions, as a share of its largest possible value: 1 is undecided, 0 one-hot."""
    rows = gates / gates.sum(1, keepdim=True).clamp_min(torch.finfo(gates.dtype).tiny)
    return (torch.special.entr(rows).sum(1).mean() / torch.tensor(float(gates.shape[1])).log()).item()
