"""The best epochs' genotypes, retrained briefly and ranked (Liu et al. 2019, section 3.2, does so with four searches).

Each candidate trains at the search's own size on the half that trained the weights, and is ranked by its accuracy on
the other half, or its loss where nothing is classified: the test split decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from darts.artifacts.checkpoint import write_atomically
from darts.config.schema import RetrainConfig, SpaceConfig, identity
from darts.data.dataset import DataSet, Images, endless_picks, lr_scale, steps
from darts.oneshot.task import SearchTask
from darts.retraining.task import RetrainTask
from darts.training.loop import train
from darts.training.objective import ranked_by
from darts.training.progress import pluralize
from genotypes.formats.registry import Genotype, describe, read, write


@dataclass(frozen=True)
class Part:
    """Some examples of a split, as a split."""

    images: Images
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the examples in this order."""
        return self.images.batches(self.indices[order], size, training, first)

    def picks(self, order: Tensor, size: int, training: bool, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """What these batches are loaded from."""
        return self.images.picks(self.indices[order], size, training, first)

    def endless_picks(
        self, indices: Tensor, size: int, seed: int, first: int, attempt: int = 0
    ) -> Iterator[tuple[Tensor, ...]]:
        """Training batches epoch after epoch."""
        return endless_picks(self.images, self.indices[indices], size, seed, first, attempt)

    def steps(self, count: int, size: int, training: bool = True) -> int:
        """Batches that so many examples make."""
        return steps(self.images, count, size, training)

    def lr_scale(self, pick: tuple[Tensor, ...]) -> float:
        """Factor of a training batch on the learning rate."""
        return lr_scale(self.images, pick)

    def load(self, *pick: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """The batch of a pick."""
        return self.images.load(*pick, training=training)

    def begin_epoch(self, progress: float) -> None:
        """Augment as the whole split would."""
        self.images.begin_epoch(progress)

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """Those of the whole split."""
        return self.images.generators

    def state(self) -> dict[str, Tensor]:
        """That of the whole split."""
        return self.images.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """That of the whole split."""
        self.images.load_state(state)


def best_epochs(search: SearchTask, count: int) -> list[tuple[int, Genotype]]:
    """The epochs of the highest validation accuracy, later ones first among equals, no genotype twice."""
    epochs = sorted(range(len(search.genotypes)), key=lambda epoch: (-search.accuracies[epoch], -epoch))
    found: dict[str, int] = {}
    for epoch in epochs:
        found.setdefault(search.genotypes[epoch], epoch)
    return [(epoch, read(text)) for text, epoch in list(found.items())[:count]]


def rank(search: SearchTask, folder: Path, console: Console) -> Genotype:
    """Retrain the candidates, write ``candidates.json``, and make the best the run's genotype.

    Returns:
        The best candidate on the validation half.
    """
    config, data = search.config, search.data
    halves = (Part(data.train, search.train_indices), Part(data.train, search.valid_indices))
    device = search.problem.generator.device
    ranked = []
    for epoch, genotype in best_epochs(search, config.candidates):
        settings = RetrainConfig(
            data=config.data,
            space=SpaceConfig(config.space.channels, config.space.layers, config.space.stem, config.space.name),
            weights=replace(config.weights, lr_min=0.0),
            language=config.language,
            epochs=config.candidate_epochs,
            batch_size=config.batch_size,
            auxiliary=0.0,
            drop_path=0.0,
            seed=config.seed,
            run=replace(config.run, resume=True, max_steps=None, max_hours=None),
        )
        split = DataSet(data.name, data.shape, *halves, objective=data.objective)
        task = RetrainTask(settings, genotype, split, device)
        where = folder / "candidates" / f"epoch{epoch + 1}"
        train(task, settings.run, where, {**identity(settings), "genotype": genotype.hash}, console)
        key, sign = ranked_by(task.tested)
        figures = {f"valid_{key}": task.tested[f"test_{key}"], "parameters": task.parameters}
        searched = {f"searched_valid_{key}": sign * search.accuracies[epoch], "genotype": describe(genotype)}
        ranked.append({"epoch": epoch + 1, **figures, **searched})
    ranked.sort(key=lambda row: -sign * row[f"valid_{key}"])
    write_atomically(folder / "candidates.json", (json.dumps(ranked, indent=2) + "\n").encode())
    best = read(ranked[0]["genotype"]).named(folder.name)
    origin = {"recipe": config.recipe, "data": data.name, "seed": config.seed, "epoch": ranked[0]["epoch"]}
    write_atomically(folder / "genotype.json", write(best, {"searched": origin}).encode())
    for row in ranked:
        value = row[f"valid_{key}"]
        reached = f"{100 * value:.2f} %" if key == "accuracy" else f"{key} {value:.4f}"
        shown = f"epoch {row['epoch']:>3}: {reached} after {pluralize(config.candidate_epochs, 'epoch')}"
        console.print(f"candidate of {shown}, {row['parameters']:,} parameters", highlight=False)
    return best
