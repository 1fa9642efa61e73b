"""A trained model as ``darts.fit`` returns it: predicts, scores, explains itself, is saved, loaded and exported."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from darts.arguments import public
from darts.artifacts import checkpoint
from darts.artifacts.run_folder import MODEL
from darts.automatic.examples.inputs import ENCODERS, Encoder, Expected, read_examples, read_new
from darts.automatic.examples.tables import TableEncoder
from darts.automatic.examples.targets import Target, target_from
from darts.automatic.export import export
from darts.automatic.metrics import METRICS, figures
from darts.automatic.networks import Averaged, space_for
from darts.config.ranges import is_number
from darts.errors import UserError
from genotypes import load as load_genotype
from genotypes import write
from genotypes.atomic_write import write_atomically
from genotypes.errors import InputError
from genotypes.types.choices import ChoicesGenotype

READING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InputError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What goes wrong where the state of a model is not one that ``Predictor.state`` returned."""

KIND = "model"
BATCH = 256


@dataclass(frozen=True)
class Predictor:
    """A trained model.

    Attributes:
        genotype: label -> chosen names of its architecture.
        target: the task, and the names of its classes or labels.
        encoder: what new examples are brought to.
        network: encoded examples -> probabilities ``(n, k)``, or numbers.
        metrics: names, that which was searched by first.
        figures: of the validation parts, by metric.
        trials: one record for each architecture that was tried.
        facts: what was given and done: examples, validation, seconds, versions.
        notes: what a user should know, such as too few data to tell architectures apart.
        label: name of the column of answers, where a file or data frame had one.
    """

    genotype: ChoicesGenotype
    target: Target
    encoder: Encoder
    network: Averaged
    metrics: tuple[str, ...]
    figures: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    label: str | None = None

    @property
    def task(self) -> str:
        """The task: classification, multilabel or regression."""
        return self.target.task

    @property
    def classes(self) -> tuple[Any, ...]:
        """Names of the classes or labels, in the order of the columns of ``predict_proba``."""
        return self.target.names

    @property
    def _expected(self) -> Expected:
        """What the model reads; classes that were texts are texts again, even where all of them look like numbers."""
        texts = self.encoder.texts if isinstance(self.encoder, TableEncoder) else frozenset()
        if self.label is not None and any(isinstance(name, str) for name in self.classes):
            texts |= {self.label}
        return Expected(self.encoder.kind, self.label, texts)

    def predict(self, x: Any) -> np.ndarray:
        """Return predictions: the class of each example ``(n,)``, 0 or 1 for each label, or numbers.

        Args:
            x: new examples, of any form that ``darts.fit`` takes for this kind of data; also image files.

        Raises:
            UserError: where they are of another kind, or lack a column.
        """
        return self.target.decode(self.outputs(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return the probability of each class or label, ``(n, k)``.

        Raises:
            UserError: as ``predict``; where numbers are predicted.
        """
        if self.task == "regression":
            raise UserError("the model predicts numbers, which have no probabilities: call predict")
        return self.outputs(x)

    @public
    def score(self, x: Any, y: Any = None, metric: str | None = None) -> float:
        """Return a metric of the predictions, by default the one that was searched by.

        Args:
            x: examples; of a folder or ``.npz`` file, its test split is taken.
            y: their answers, where ``x`` has none.
            metric: its name.

        Raises:
            UserError: where there are no answers, one is an unknown class, or the metric is unknown.
        """
        return self.scores(x, y, [metric or self.metrics[0]])[metric or self.metrics[0]]

    def scores(self, x: Any, y: Any = None, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """Return several metrics by name, by default all; arguments and errors as of ``score``."""
        names = list(metrics or self.metrics)
        for name in names:
            if name not in self.metrics:
                raise UserError(f"`metric` is {name!r}; of {self.task}, it must be one of {', '.join(self.metrics)}")
        given = read_examples(x, y, expected=self._expected, test=True)
        if given.answers is None:
            raise UserError("`y` is not given; a score needs the answers")
        if given.kind != self.encoder.kind:
            raise UserError(f"`x` is of kind {given.kind}; the model was trained on {self.encoder.kind}")
        answers = self.target.encode(given.answers).double().numpy()
        if self.task == "regression":
            answers = answers * self.target.std + self.target.mean
        elif self.task == "classification":
            answers = answers.astype(np.int64)
        return figures(names, answers, self._computed(self.encoder(given.value)))

    def outputs(self, x: Any) -> np.ndarray:
        """Return probabilities, or numbers, ``(n, k)`` float64."""
        return self._computed(self.encoder(read_new(x, self._expected).value))

    def _computed(self, encoded: Tensor) -> np.ndarray:
        """Return the network's outputs, ``(n, k)``.

        Rows of a table are computed in batches of one size, so that a prediction depends on its row alone, to the bit.
        """
        device, count = next(self.network.buffers()).device, len(encoded)
        if self.encoder.kind == "table":
            encoded = torch.cat([encoded, encoded[:1].expand(-count % BATCH, -1)])
        with torch.no_grad():
            parts = [self.network(part.to(device)) for part in encoded.split(BATCH)]
        return torch.cat(parts)[:count].double().cpu().numpy()

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return a record of each architecture that was tried to the end: the best first, by the metric."""
        rows = [dict(trial) for trial in self.trials if trial["state"] == "complete"]
        rows.sort(key=lambda row: -row["score"])
        return [{"rank": rank, **row} for rank, row in enumerate(rows, 1)]

    def report(self) -> str:
        """Return what was given, done and found, as text of a few lines."""
        facts = self.facts
        metric = self.metrics[0]
        lines = [
            f"{self.task} of {self.encoder.describe()}: {facts.get('examples')} examples, {facts.get('validation')}",
            f"searched {len(self.trials)} architectures in {facts.get('seconds', 0):.0f} s",
            "validation: " + ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items()),
            f"architecture: {self.genotype}",
            f"{facts.get('parameters', 0):,} parameters in {len(self.network.networks)} networks",
            *(f"note: {note}" for note in self.notes),
            f"{'rank':>4}  {metric:>20}  {'parameters':>10}  {'seconds':>8}  architecture",
        ]
        for row in self.leaderboard()[:10]:
            shown = ", ".join(f"{name}={value}" for name, value in row["choices"].items())
            cost = f"{row['parameters']:>10,}  {row['seconds']:>8.1f}"
            lines.append(f"{row['rank']:>4}  {row['figures'][metric]:>20.4f}  {cost}  {shown}")
        return "\n".join(lines)

    @public
    def save(self, path: str | Path) -> Path:
        """Write the model to a folder: ``model.pt``, ``genotype.json`` and ``report.txt``; return the folder.

        ``darts.load(path)`` reads it again: tensors and plain values, nothing that is executed.

        Raises:
            UserError: where the folder cannot be written.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            checkpoint.save(folder / MODEL, self.state())
            write_atomically(folder / "genotype.json", write(self.genotype).encode())
            write_atomically(folder / "report.txt", (self.report() + "\n").encode(errors="backslashreplace"))
        except OSError as error:
            raise UserError(f"`path` {folder}: {error.strerror}; give a folder that can be written") from None
        return folder

    def state(self) -> dict[str, Any]:
        """Return all that ``predictor_from`` needs, as tensors and plain values."""
        return {
            "kind": KIND,
            "genotype": write(self.genotype),
            "target": self.target.state(),
            "encoder": {"kind": self.encoder.kind, **self.encoder.state()},
            "networks": [network.state_dict() for network in self.network.networks],
            "metrics": self.metrics,
            "figures": dict(self.figures),
            "trials": [dict(trial) for trial in self.trials],
            "facts": dict(self.facts),
            "notes": self.notes,
            "label": self.label,
        }

    @public
    def export(self, path: str | Path) -> float:
        """Write the model as ONNX, ``.onnx``, or as a program of torch.export, ``.pt2``.

        It takes encoded examples, whatever number at once: images as arrays of the model's size before normalization,
        rows of a table with categories as their indices, or indices of tokens. It gives what ``outputs`` gives. The
        file is read back and run on 100 examples before it gets its name.

        Returns:
            The largest difference between the file's outputs and the model's, as a share of the largest output.

        Raises:
            UserError: where a package is missing, the place cannot be written, or the outputs differ.
        """
        encoder = {"kind": self.encoder.kind, **self.encoder.state()}
        known = {"task": self.task, "classes": self.classes, "encoder": encoder, "genotype": str(self.genotype)}
        return export(copy.deepcopy(self.network).cpu(), self.encoder, known, Path(path))


def predictor_from(state: Mapping[str, Any], place: Path) -> Predictor:
    """Return the predictor of what ``Predictor.state`` returned.

    Raises:
        UserError: naming the file, where it was written by other code.
    """
    try:
        kind = state["encoder"]["kind"]
        encoder = ENCODERS[kind]({name: value for name, value in state["encoder"].items() if name != "kind"})
        target = target_from(state["target"])
        _require_plain(state, target)
        genotype = load_genotype(state["genotype"])
        assert isinstance(genotype, ChoicesGenotype)
        network = assembled(encoder, target, genotype, state["networks"])
        return Predictor(
            genotype,
            target,
            encoder,
            network,
            tuple(name for name in state["metrics"] if name in METRICS),
            state["figures"],
            state["trials"],
            state["facts"],
            tuple(state["notes"]),
            state["label"],
        )
    except READING_ERRORS as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise UserError(f"{place}: not a model that this version can read ({reason})") from None


def _require_plain(state: Mapping[str, Any], target: Target) -> None:
    """Refuse figures, trials, facts and notes of another form than a search writes.

    Raises:
        ValueError: naming the first.
    """

    def is_facts(facts: Any) -> bool:
        return isinstance(facts, dict) and all(is_number(facts.get(name, 0)) for name in ("seconds", "parameters"))

    def is_list(values: Any, holds: Callable[[Any], bool]) -> bool:
        return isinstance(values, list) and all(map(holds, values))

    known = [name for name, metric in METRICS.items() if target.task in metric.tasks]
    forms: dict[str, Callable[[Any], bool]] = {
        "metrics": lambda names: is_list(names, lambda name: isinstance(name, str)) and names[:1] and names[0] in known,
        "figures": lambda found: isinstance(found, dict) and all(map(is_number, found.values())),
        "trials": lambda trials: is_list(trials, lambda trial: _is_trial(trial, state["metrics"][0])),
        "facts": is_facts,
        "notes": lambda notes: is_list(notes, lambda note: isinstance(note, str)),
        "label": lambda label: isinstance(label, str | None),
    }
    for name, holds in forms.items():
        if not holds(state[name]):
            raise ValueError(f"{name} is {str(state[name])[:60]!r}")


def _is_trial(trial: Any, metric: str) -> bool:
    if not isinstance(trial, dict) or not isinstance(trial.get("state"), str):
        return False
    figures, choices = trial.get("figures"), trial.get("choices")
    if not isinstance(figures, dict) or not isinstance(choices, dict):
        return False
    numbers = trial.get("score"), trial.get("parameters"), trial.get("seconds"), figures.get(metric)
    return trial["state"] != "complete" or all(map(is_number, numbers))


def assembled(
    encoder: Encoder, target: Target, genotype: ChoicesGenotype, weights: Sequence[Mapping[str, Tensor]]
) -> Averaged:
    """Return the model of an architecture with the weights of each of its networks, in evaluation mode."""
    fit_space = space_for(encoder, target)
    networks: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # new weights are drawn before those are loaded
        for state in weights:
            network = fit_space.space.network(genotype)
            network.load_state_dict(state)
            networks.append(network)
    return Averaged(fit_space.stem, networks, target).eval()


def load_predictor(path: Path) -> Predictor:
    """Load a model from the folder that it was saved to, or from its file.

    Raises:
        UserError: where there is none, or it is damaged.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.exists():
        raise UserError(f"{path}: no model; give the folder of model.save(folder), or the run of darts.fit")
    state = checkpoint.load(file)
    if state.get("kind") != KIND:
        raise UserError(f"{file}: not a model of darts.fit")
    return predictor_from(state, file)
