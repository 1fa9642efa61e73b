"""``darts.fit`` and predictions on the command line.

python train_search.py auto --data.root DIR --budget 10m
python train_final.py predict RUN FILE ... --output predictions.csv
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from rich.console import Console

from darts.artifacts.run_record import read_record
from darts.automatic.examples.images import is_image
from darts.automatic.fit import fit
from darts.automatic.predictor import FILE, load_predictor
from darts.config.command_line import parse_command
from darts.data.image_folder import ImageForm, read_files
from darts.errors import UserError
from darts.retraining.export import rebuilt


@dataclass(frozen=True)
class FitData:
    """The data."""

    root: Path
    """A folder of images with one sub-folder a class, a CSV file of a table or of texts, or an .npz file of images."""
    target: str | None = None
    """Column of a CSV file that is predicted; by default one named label, target, class or y, else the last."""


@dataclass(frozen=True)
class FitConfig:
    """Options of ``auto``."""

    data: FitData
    budget: str = "10m"
    """Time for everything, as 90s, 10m or 2h."""
    trials: int | None = None
    """Architectures to try at most."""
    metric: str | None = None
    """What architectures are compared by: accuracy, balanced_accuracy, f1, roc_auc, r2, mean_absolute_error, ..."""
    task: Literal["classification", "regression"] | None = None
    """Where it is not to be inferred from the answers."""
    balanced: bool = False
    """Let classes count alike in the loss, however many examples they have."""
    strategy: str = "evolution:population=8,sample=3"
    """How architectures are chosen: random, local_search, evolution, genetic, reinforce, with options."""
    seed: int = 0
    """Seed of everything random."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU where there is one."""
    run: Path | None = None
    """Folder of the model; by default runs/auto-NAME. A search that ended there early is continued."""


@dataclass(frozen=True)
class PredictConfig:
    """Options of ``predict``."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """Folder of a model of ``auto`` or ``darts.fit``, or of a finished retraining on images."""
    files: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")]]
    """Images or folders of images; or one CSV file."""
    output: Path | None = None
    """CSV file to write; by default the terminal."""


@contextmanager
def _in_options(x: str, y: str) -> Iterator[None]:
    """Raise a ``UserError`` within again, with what the command line has in place of the arguments ``x`` and ``y``."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("`x`", x).replace("`y`", y)) from None


def fit_command(arguments: Sequence[str], console: Console) -> None:
    """Find and train a model for the data of a command line."""
    config = parse_command(FitConfig, arguments, prog="train_search.py auto", description="Data in, trained model out.")
    folder = config.run or Path("runs") / f"auto-{config.data.root.resolve().stem}"
    with warnings.catch_warnings(), _in_options("`data.root`", "`data.target`"):
        warnings.simplefilter("ignore", UserWarning)  # the report has them as notes
        model = fit(
            config.data.root,
            config.data.target,
            budget=config.budget,
            trials=config.trials,
            metric=config.metric,
            task=config.task,
            class_weight="balanced" if config.balanced else None,
            strategy=config.strategy,
            seed=config.seed,
            device=config.device,
            run=folder,
        )
    console.print(model.report(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"in {folder}: model.pt, genotype.json, report.txt", markup=False, highlight=False, soft_wrap=True)
    console.print(f"now type:  python train_final.py predict {folder} FILE", markup=False, highlight=False)


def predict_command(arguments: Sequence[str], console: Console) -> None:
    """Write a CSV file of the predictions for files: the class, and the probability of each class.

    Raises:
        UserError: where the run has no model, or a file cannot be read by it.
    """
    description = "Predictions for files as CSV: the class, and the probability of each."
    config = parse_command(PredictConfig, arguments, prog="train_final.py predict", description=description)
    if not config.files:
        raise UserError("no FILE is given; give images, folders of images, or one CSV file")
    with _in_options("FILE", "FILE"):
        names, header, rows = _predictions(config.run, config.files)
    if config.output is None:
        _write(sys.stdout, names, header, rows)
        return
    try:
        with config.output.open("w", newline="", encoding="utf-8") as file:
            _write(file, names, header, rows)
    except OSError as error:
        raise UserError(f"`output` {config.output}: {error.strerror or error}") from None
    console.print(f"in {config.output}: {len(rows)} predictions", markup=False, highlight=False)


def _predictions(run: Path, files: Sequence[Path]) -> tuple[list[str], list[str], list[list[object]]]:
    """Return the name of each example, the header, and each row: the prediction, then probabilities."""
    if not (run / FILE).exists():
        return _of_retraining(run, files)
    model = load_predictor(run)
    if model.encoder.kind == "image":
        paths = _images(files)
        names, outputs = list(map(str, paths)), model.outputs(paths)
    else:
        if len(files) != 1:
            raise UserError(f"{len(files)} files are given; the model reads one CSV file")
        outputs = model.outputs(files[0])
        names = [str(number) for number in range(1, len(outputs) + 1)]
    decided = model.target.decode(outputs)
    if model.task == "regression":
        return names, ["prediction"], [[value] for value in np.atleast_1d(decided).tolist()]
    if model.task == "multilabel":
        decided = np.array([" ".join(str(n) for n, there in zip(model.classes, row) if there) for row in decided])
    rows: list[list[object]] = [
        [str(value), *map(_rounded, row)] for value, row in zip(decided.tolist(), outputs.tolist())
    ]
    return names, ["prediction", *map(str, model.classes)], rows


def _of_retraining(run: Path, files: Sequence[Path]) -> tuple[list[str], list[str], list[list[object]]]:
    """Return predictions of a retrained network that classifies images.

    Raises:
        UserError: where it predicts masks or boxes, which have no place in a row of class and probabilities.
    """
    network, shape = rebuilt(read_record(run))
    if shape.target != "class":
        raise UserError(
            f"{run}: its network predicts {shape.target} of images, not classes; "
            f"export it: python -m darts.export {run} --format torch.export"
        )
    known = {name: json.loads(value) for name, value in network.metadata.items()}
    bits = known.get("preprocessing", {}).get("bits", 8)
    paths = _images(files)
    images = torch.from_numpy(read_files(paths, ImageForm(shape.size, shape.channels, bits)))
    with torch.no_grad():
        outputs = torch.cat([network(part.float()).softmax(1) for part in images.split(256)])
    classes = known.get("classes") or [str(number) for number in range(shape.classes)]
    rows: list[list[object]] = [[classes[max(range(len(row)), key=row.__getitem__)], *map(_rounded, row)]
                                for row in outputs.tolist()]  # fmt: skip
    return list(map(str, paths)), ["prediction", *map(str, classes)], rows


def _images(files: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in files:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
        found += sorted(each for each in path.rglob("*") if is_image(each)) if path.is_dir() else [path]
    if not found:
        raise UserError(f"{files[0]}: holds no images")
    return found


def _rounded(value: float) -> str:
    return f"{value:.6f}"


def _write(file: object, names: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    writer = csv.writer(file)  # type: ignore[arg-type]  # any object with write
    writer.writerow(["example", *header])
    writer.writerows([name, *row] for name, row in zip(names, rows))
