"""``darts.fit`` and predictions on the command line.

python train_search.py auto --data.root DIR --budget 10m
python train_final.py predict RUN FILE ... --output predictions.csv
"""

from __future__ import annotations

import csv
import io
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console

from darts.artifacts.run_folder import MODEL
from darts.automatic.examples.inputs import image_files
from darts.automatic.fit import fit
from darts.automatic.predictor import load_predictor
from darts.automatic.retrained import load_retrained
from darts.cli import say
from darts.config.command_line import parse_command
from darts.errors import UserError
from darts.training.loop import Interrupted
from darts.training.out_of_memory import out_of_memory
from genotypes.atomic_write import write_atomically


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
    """Find and train a model for the data of a command line.

    Raises:
        Interrupted: after Ctrl-C.
    """
    config = parse_command(FitConfig, arguments, prog="train_search.py auto", description="Data in, trained model out.")
    folder = config.run or Path("runs") / f"auto-{Path(os.path.abspath(config.data.root)).stem}"
    with warnings.catch_warnings(), _in_options("`data.root`", "`data.target`"):
        warnings.simplefilter("ignore", UserWarning)  # the report has them as notes
        try:
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
        except KeyboardInterrupt:
            text = f"stopped; what was tried is in {folder}, and the same command continues"
            raise Interrupted(text, 128 + signal.SIGINT) from None
        except OSError as error:
            raise UserError(f"`run` {folder}: {error.strerror or error}; give a folder that can be written") from None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError("not enough memory; give fewer examples, or smaller ones") from None
    say(console, model.report())
    say(console, f"in {folder}: model.pt, genotype.json, report.txt")
    say(console, f"now type:  python train_final.py predict {shlex.quote(str(folder))} FILE")


def predict_command(arguments: Sequence[str], console: Console) -> None:
    """Write a CSV file of the predictions for files: the class, and the probability of each class.

    Raises:
        UserError: where the run has no model, or a file cannot be read by it.
    """
    description = "Predictions for files as CSV: the class, and the probability of each."
    config = parse_command(PredictConfig, arguments, prog="train_final.py predict", description=description)
    if not config.files:
        raise UserError("no FILE is given; give images, folders of images, or one CSV file")
    output = config.output
    if output is not None and any(output.exists() and path.exists() and output.samefile(path) for path in config.files):
        raise UserError(f"`output` is {output}, which is one of the files to predict from; give another file")
    with _in_options("FILE", "FILE"):
        names, header, rows = _predictions(config.run, config.files)
    if output is None:
        _write(sys.stdout, names, header, rows)
        return
    text = io.StringIO(newline="")
    _write(text, names, header, rows)
    try:
        write_atomically(output, text.getvalue().encode(errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"`output` {output}: {error.strerror or error}") from None
    say(console, f"in {output}: {len(rows)} predictions")


def _predictions(run: Path, files: Sequence[Path]) -> tuple[list[str], list[str], list[list[object]]]:
    """Return the name of each example, the header, and each row: the prediction, then probabilities."""
    if not (run / MODEL).exists():
        return _of_retraining(run, files)
    model = load_predictor(run)
    if model.encoder.kind == "image":
        paths = image_files(files)
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
    model = load_retrained(run)
    if model.shape.target != "class":
        raise UserError(
            f"{run}: its network predicts {model.shape.target} of images, not classes; call "
            "darts.load(run).predict(files) in Python, or export it: python -m darts.export"
        )
    paths = image_files(files)
    shares = model.predict_proba(paths)
    best = shares.argmax(1).tolist()
    rows: list[list[object]] = [[model.classes[k], *map(_rounded, row)] for k, row in zip(best, shares.tolist())]
    return list(map(str, paths)), ["prediction", *model.classes], rows


def _rounded(value: float) -> str:
    return f"{value:.6f}"


def _write(file: object, names: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    writer = csv.writer(file)  # type: ignore[arg-type]  # any object with write
    writer.writerow(["example", *header])
    writer.writerows([name, *row] for name, row in zip(names, rows))
