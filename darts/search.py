"""A search: a supernet's weights and logits, trained in turn; every epoch's genotype; the files at its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts.bilevel import ImageBatch, SearchProblem
from darts.checkpoint import write_atomically
from darts.config import SearchConfig
from darts.data import DataSet, endless, shuffled
from darts.device import autocast
from darts.discretize import DISCRETIZATIONS
from darts.evaluate import Tell, accuracy_and_loss
from darts.relax import RELAXATIONS
from darts.report import gates_svg
from darts.steps import STEPS
from genotypes import CellGenotype, to_json, to_text
from genotypes.draw import svg
from supernet.spaces.darts import DARTSSpace

VALID_STREAM = 2**31
"""Added to the seed of the validation batches' order: equal orders would pair the halves alike in every epoch."""


class SearchTask:
    """The search that a configuration describes, as a task of the training loop (Liu et al. 2019, algorithm 1).

    Each step draws a batch of each half of the training set, moves the logits by the method's hypergradient, then the
    weights by SGD.
    """

    kind = "search"

    def __init__(self, config: SearchConfig, data: DataSet, device: torch.device):
        self.config, self.data = config, data
        space = config.space
        self.space = DARTSSpace(data.shape, space.channels, space.layers, space.nodes, stem=space.stem)
        self.hypergradient = STEPS[config.method.step]
        self.discretize = DISCRETIZATIONS[config.method.discretize]
        backend = space.backend
        if backend == "auto":
            backend = "reference" if config.method.step == "unrolled_exact" else "batched"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            supernet = self.space.supernet(backend).to(device)
            drawn = {t.label: config.logits.scale * torch.randn(t.rows, len(t.candidates)) for t in self.space.tables}
        logits = {label: logit.to(device).requires_grad_() for label, logit in drawn.items()}
        sgd, adam = config.weights, config.logits
        self.problem = SearchProblem(
            supernet,
            self.space.tables,
            logits,
            RELAXATIONS[config.method.relax],
            torch.optim.SGD(supernet.parameters(), sgd.lr, sgd.momentum, weight_decay=sgd.weight_decay),
            torch.Generator(device).manual_seed(config.seed),
            autocast(device, config.run.precision),
        )
        self.adam = torch.optim.Adam(logits.values(), adam.lr, adam.betas, weight_decay=adam.weight_decay)
        examples = torch.arange(len(data.train))
        self.train_half, self.valid_half = examples.tensor_split([int(config.train_share * len(examples))])
        self.epochs = config.epochs
        self.steps_per_epoch = -(-len(self.train_half) // config.batch_size)
        self.history = {label: [s.cpu()] for label, s in self.problem.strengths().items()}
        self.evaluated: dict[str, float] = {}
        self._train: Iterator[ImageBatch] = iter(())
        self._valid: Iterator[ImageBatch] = iter(())

    def begin_epoch(self, epoch: int, step: int) -> None:
        config = self.config
        self.problem.optimizer.param_groups[0]["lr"] = config.weights.learning_rate(epoch, config.epochs)
        self.problem.progress = epoch / config.epochs
        self.problem.supernet.train()
        order = shuffled(self.train_half, config.seed, epoch)
        self._train = self.data.train.batches(order, config.batch_size, True, step)
        first = epoch * self.steps_per_epoch + step
        self._valid = endless(self.data.train, self.valid_half, config.batch_size, config.seed + VALID_STREAM, first)

    def step(self) -> Mapping[str, Tensor]:
        train, valid = next(self._train), next(self._valid)
        grads = self.hypergradient(self.problem, train, valid)
        for label, logit in self.problem.logits.items():
            logit.grad = grads[label]
        self.adam.step()
        loss, scores = self.problem.train_weights(train, self.config.weights.clip)
        labels = train[1]
        count = torch.tensor(len(labels))
        return {"loss": loss * count, "accuracy": (scores.argmax(1) == labels).sum(), "images": count}

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        strengths = self.problem.strengths()
        for label, strength in strengths.items():
            self.history[label].append(strength.cpu())
        genotype = self.genotype()
        entropies = {f"gate_entropy_{label}": _entropy(strength) for label, strength in strengths.items()}
        return {**self.evaluate(tell), **entropies, **_skips(genotype), "genotype": to_text(genotype)}

    def evaluate(self, tell: Tell) -> dict[str, float]:
        """Loss and accuracy of the supernet on the half that trains the logits, without augmentation."""
        problem, gates = self.problem, self.problem.strengths()
        split = self.data.train, self.valid_half, 2 * self.config.batch_size
        with problem.autocast:
            accuracy, loss = accuracy_and_loss(problem.supernet, lambda x: problem.supernet(x, gates), *split, tell)
        self.evaluated = {"valid_loss": loss, "valid_accuracy": accuracy}
        return self.evaluated

    def genotype(self) -> CellGenotype:
        """What is derived from the logits as they are now."""
        strengths = self.problem.strengths()
        return self.space.derive({t.label: self.discretize(strengths[t.label], t) for t in self.space.tables})

    def state(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "supernet": problem.supernet.state_dict(),
            "logits": problem.logits,
            "weights_optimizer": problem.optimizer.state_dict(),
            "logits_optimizer": self.adam.state_dict(),
            "method_generator": problem.generator.get_state(),
            "data": self.data.train.state(),
            "history": self.history,
            "evaluated": self.evaluated,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        problem = self.problem
        problem.supernet.load_state_dict(state["supernet"])
        for label, logit in problem.logits.items():
            logit.data.copy_(state["logits"][label])
        problem.optimizer.load_state_dict(state["weights_optimizer"])
        self.adam.load_state_dict(state["logits_optimizer"])
        problem.generator.set_state(state["method_generator"])
        self.data.train.load_state(state["data"])
        self.history = {label: list(strengths) for label, strengths in state["history"].items()}
        self.evaluated = state["evaluated"]

    def write(self, folder: Path, name: str) -> CellGenotype:
        """The files of a finished search: the genotype of the final logits, pictures, figures."""
        genotype = self.genotype().named(name)
        origin = {"recipe": self.config.recipe, "data": self.data.name, "seed": self.config.seed}
        figures = {**self.evaluated, **_skips(genotype), "genotype": to_text(genotype), "genotype_hash": genotype.hash}
        history = {label: torch.stack(strengths) for label, strengths in self.history.items()}
        picture = gates_svg(history, self.space.tables, self.space.titles)
        for file, content in (
            ("genotype.json", to_json(genotype, {"searched": origin})),
            ("cells.svg", svg(genotype)),
            ("gates.svg", picture),
            ("metrics.json", json.dumps(figures, indent=2) + "\n"),
        ):
            write_atomically(folder / file, content.encode())
        return genotype


def _entropy(gates: Tensor) -> float:
    """Mean entropy of a table's decisions, as a share of its largest possible value: 1 is undecided, 0 one-hot."""
    rows = gates / gates.sum(1, keepdim=True)
    return (torch.special.entr(rows).sum(1).mean() / torch.tensor(float(gates.shape[1])).log()).item()


def _skips(genotype: CellGenotype) -> dict[str, int]:
    """Skip connections in the derived cells: a search that collapses fills the normal cell with them."""
    counts = {}
    for label, cell in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        counts[f"skips_{label}"] = Counter(edge.op for edges in cell.nodes for edge in edges)["skip_connect"]
    return counts
