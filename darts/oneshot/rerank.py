"""The best epochs' genotypes, retrained briefly and ranked (Liu et al. 2019, section 3.2, does so with four searches).

Each candidate trains at the search's own size on the examples that trained the weights, and is ranked by its accuracy
on those that trained the logits, or its loss where nothing is classified: the test split decides nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from darts.config import LanguageRetrainConfig, identity
from darts.data.dataset import DataSet
from darts.data.split import SplitSubset
from darts.oneshot.task import SearchTask
from darts.retraining.task import RetrainTask
from darts.training.loop import train
from darts.training.objective import SCORES, ranked_by
from darts.training.progress import pluralize
from genotypes import Genotype, describe, read, write
from genotypes.atomic_write import write_atomically


@dataclass(frozen=True)
class Candidate:
    """An epoch's genotype and what it is worth.

    Attributes:
        epoch: that derived it, counted from 0.
        genotype: of that epoch.
        figure: by which candidates are ranked: of ``SCORES``, or ``loss``.
        value: of the figure, on the validation split after retraining.
        searched: the same with the supernet's weights.
        parameters: number of weights of the retrained network.
    """

    epoch: int
    genotype: Genotype
    figure: str
    value: float
    searched: float
    parameters: int

    def row(self) -> dict[str, Any]:
        """Return the candidate as ``candidates.json`` has it, with epochs counted from 1."""
        return {
            "epoch": self.epoch + 1,
            f"valid_{self.figure}": self.value,
            "parameters": self.parameters,
            f"searched_valid_{self.figure}": self.searched,
            "genotype": describe(self.genotype),
        }

    def line(self, epochs: int) -> str:
        """Return the candidate as the console shows it.

        Args:
            epochs: of its retraining.
        """
        reached = f"{100 * self.value:.2f} %" if self.figure in SCORES else f"{self.figure} {self.value:.4f}"
        after = f"after {pluralize(epochs, 'epoch')}"
        return f"candidate of epoch {self.epoch + 1:>3}: {reached} {after}, {self.parameters:,} parameters"


def best_epochs(search: SearchTask, count: int) -> list[tuple[int, Genotype]]:
    """Return the epochs of the highest validation accuracy, later ones first among equals, no genotype twice."""
    accuracies = search.context.accuracies
    epochs = sorted(range(len(search.genotypes)), key=lambda epoch: (-accuracies[epoch], -epoch))
    found: dict[str, int] = {}
    for epoch in epochs:
        found.setdefault(search.genotypes[epoch], epoch)
    return [(epoch, read(text)) for text, epoch in list(found.items())[:count]]


def rank(search: SearchTask, folder: Path, console: Console) -> list[Candidate]:
    """Retrain the genotypes of the best epochs, and return them best first.

    Args:
        search: a finished one, whose configuration says how many candidates train for how many epochs.
        folder: of the search; each candidate is a run of its own in its folder ``candidates``.
        console: to report to.
    """
    found = [
        evaluate(search, epoch, genotype, folder, console)
        for epoch, genotype in best_epochs(search, search.config.rerank)
    ]
    return sorted(found, key=lambda candidate: -candidate.value if candidate.figure in SCORES else candidate.value)


def evaluate(search: SearchTask, epoch: int, genotype: Genotype, folder: Path, console: Console) -> Candidate:
    """Retrain one genotype on the examples that trained the weights, and return what it is worth on the others."""
    config, data, context = search.config, search.data, search.context
    settings = LanguageRetrainConfig(
        data=config.data,
        space=config.space.of_networks,
        weights=replace(config.weights, lr_min=0.0),
        language=config.language,
        epochs=config.rerank_epochs,
        batch_size=config.batch_size,
        auxiliary=0.0,
        drop_path=0.0,
        seed=config.seed,
        run=replace(config.run, resume=True, max_steps=None, max_hours=None),
    )
    parts = DataSet(
        data.name,
        data.shape,
        train=SplitSubset(data.train, context.train_indices),
        test=SplitSubset(data.train, context.valid_indices),
        objective=data.objective,
    )
    task = RetrainTask(settings, genotype, parts, search.problem.generator.device)
    where = folder / "candidates" / f"epoch{epoch + 1}_for_{config.rerank_epochs}_epochs"
    train(task, settings.run, where, {**identity(settings), "genotype": genotype.hash}, console)
    figure, sign = ranked_by(task.tested)
    return Candidate(
        epoch,
        genotype,
        figure,
        value=task.tested[f"test_{figure}"],
        searched=sign * context.accuracies[epoch],
        parameters=task.parameters,
    )


def rerank(search: SearchTask, folder: Path, console: Console) -> Genotype:
    """Rank the best epochs' genotypes, write ``candidates.json``, and make the best the run's genotype.

    Returns:
        The best candidate, named after the run.
    """
    candidates = rank(search, folder, console)
    rows = [candidate.row() for candidate in candidates]
    write_atomically(folder / "candidates.json", (json.dumps(rows, indent=2) + "\n").encode())
    config, best = search.config, candidates[0].genotype.named(folder.name)
    origin = {
        "recipe": config.recipe,
        "data": search.data.name,
        "seed": config.seed,
        "epoch": candidates[0].epoch + 1,
    }
    write_atomically(folder / "genotype.json", write(best, extra={"searched": origin}).encode())
    for candidate in candidates:
        console.print(candidate.line(config.rerank_epochs), highlight=False)
    return best
