"""A retrained network for use elsewhere: as ONNX, as a program of torch.export, or as a plain state_dict.

    python -m darts.export runs/NAME --format onnx

What is written is read back, run, and compared with the network; only then does it get its name. ONNX and torch.export
hold the normalization too: they take images as the data set stores them, any number at once, and give class scores;
those of every pixel where masks are predicted; where boxes are, what ``supernet.heads.BoxHead`` gives, before
suppression.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from torch import Tensor, nn

from darts.artifacts.checkpoint import load
from darts.artifacts.run_config import load_space_config
from darts.artifacts.run_record import RunRecord, read_record
from darts.config import RetrainConfig
from darts.config.command_line import parse_command
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.retraining.exchange import compared, replacing, write_onnx, write_program
from supernet.heads import BOX, LOCATION
from supernet.shapes import ImageShape

METADATA = ("classes", "preprocessing")
"""Entries of ``weights.pt`` that exported files hold too."""

OUTPUT = "--output"
"""The option that names the file, for messages."""

OUTPUTS: dict[str, Callable[[ImageShape], str]] = {
    "class": lambda shape: f"(b, {shape.classes})",
    "mask": lambda shape: f"(b, {shape.classes}, {shape.size}, {shape.size})",
    "boxes": lambda shape: f"(b, n, {LOCATION + BOX + shape.classes}): x, y, stride, box, logits of classes",
}
"""What is predicted of an image -> the form of the output, in words."""

FILES = {"onnx": "model.onnx", "torch.export": "model.pt2", "state_dict": "state_dict.pt"}


@dataclass(frozen=True)
class ExportConfig:
    """Options of the command."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """Folder of a finished retraining."""
    format: Literal["onnx", "torch.export", "state_dict"]
    """onnx needs the packages onnx and onnxscript, and onnxruntime to be checked."""
    output: Path | None = None
    """File to write; in the run's folder where not given."""


class Normalized(nn.Module):
    """A network with the normalization of its images before it.

    Args:
        network: takes normalized images.
        mean, std: of each channel, in the unit of the data set's images.
        metadata: the names of the classes and the preprocessing of image files, which exported files hold as JSON.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], metadata: Mapping[str, Any] | None = None
    ):
        super().__init__()
        self.network = network
        self.metadata = {name: json.dumps(value) for name, value in (metadata or {}).items()}
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of images ``(b, c, h, w)``, or what else the head gives (``OUTPUTS``), float32."""
        return self.network((images - self.mean) / self.std)


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, rebuild, write, check."""
    about = (__doc__ or "").partition("\n")[0]
    config = parse_command(ExportConfig, arguments, prog="python -m darts.export", description=about)
    model, shape = rebuilt(read_record(config.run))
    path = config.output or config.run / FILES[config.format]
    difference = WRITERS[config.format](model, shape, path)
    size = f"{path.stat().st_size / 2**20:.1f} MiB"
    if difference is None:
        said = "its structure is sound; not run, for want of onnxruntime: python -m pip install onnxruntime"
    else:
        same = f"scores within {difference:.1e} of the largest" if difference else "the same scores"
        said = f"read back and run: {same}"
    console.print(f"in {path} ({size}); {said}", highlight=False)
    if config.format != "state_dict":
        form = f"(b, {shape.channels}, {shape.size}, {shape.size})"
        unit = f"channel means {', '.join(f'{mean:.4g}' for mean in model.mean.flatten().tolist())}"
        console.print(
            f"images: {form}, float32, as the data set stores them, {unit}; scores: {OUTPUTS[shape.target](shape)}"
        )
    if model.metadata.get("classes"):
        console.print(f"classes: {', '.join(json.loads(model.metadata['classes']))}", highlight=False, markup=False)


def rebuilt(record: RunRecord) -> tuple[Normalized, ImageShape]:
    """Return the network of a finished retraining, to evaluate, without its auxiliary head; and its images' shape.

    Raises:
        UserError: where the run has no trained network.
    """
    folder = record.folder
    if record.kind == "search":
        raise UserError(f"{folder}: a search trains no network to keep; python train_final.py --genotype {folder}")
    path = folder / "weights.pt"
    if not path.exists() or record.genotype is None:
        raise UserError(f"{folder}: not finished, weights.pt is missing; resume it with its command and --resume")
    state = load(path)
    if "shape" not in state:
        raise UserError(f"{path}: does not say what images its network takes; only networks of images are exported")
    reason = _invalid(state)
    if reason:
        raise UserError(f"{path}: {reason}; the file was edited: retrain, or restore it")
    shape = ImageShape(*state["shape"])
    space = space_from(RetrainConfig(space=load_space_config(folder)), shape=shape, genotype=record.genotype)
    weights = {k: v for k, v in state["network"].items() if not k.startswith("auxiliary_head.")}
    with torch.device("meta"):
        expected = space.network(record.genotype).state_dict()
    odd = [name for name in {**weights, **expected} if _form(weights.get(name)) != _form(expected.get(name))]
    if odd:
        raise UserError(
            f"{folder}: genotype.json and config.json describe another network than that of weights.pt (they differ in "
            f"{odd[0][:80]!r}); one of the files was edited: restore it"
        )
    network = space.network(record.genotype)
    network.load_state_dict(weights)
    metadata = {name: state[name] for name in METADATA if name in state}
    return Normalized(network, state["mean"], state["std"], metadata).eval(), shape


def _invalid(state: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the content of ``weights.pt``, or ``None``."""
    shape: Any = state.get("shape")
    network, classes = state.get("network"), state.get("classes")
    sizes, target = (shape[:3], shape[3:] or ["class"]) if isinstance(shape, list) else ([], [])
    known = target in [[name] for name in OUTPUTS]
    if not known or len(sizes) != 3 or not all(type(n) is int and 0 < n < 2**20 for n in sizes):
        return f"'shape' is {str(shape)[:60]!r}; it must be channels, size, classes and what is predicted"
    for name in ("mean", "std"):
        values: Any = state.get(name)
        numbers = isinstance(values, list) and all(type(value) is float and math.isfinite(value) for value in values)
        if not numbers or len(values) != shape[0] or (name == "std" and min(values) <= 0):
            return f"'{name}' is {str(values)[:60]!r}; it must be a number for each of {shape[0]} channels"
    if not isinstance(network, Mapping) or not all(isinstance(weight, Tensor) for weight in network.values()):
        return "'network' holds other things than tensors"
    if classes and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        return f"'classes' is {str(classes)[:60]!r}; it must be a list of names"
    if classes and len(classes) != shape[2]:
        return f"'classes' has {len(classes)} names; the network has {shape[2]}"
    if not _is_plain(state.get("preprocessing", {})):
        return "'preprocessing' holds other things than numbers and text"
    return None


def _is_plain(content: Any) -> bool:
    return isinstance(content, Mapping) and all(
        isinstance(value, str | int | float | None) for item in content.items() for value in item
    )


def _form(weight: Tensor | None) -> tuple[Any, ...] | None:
    return None if weight is None else (weight.shape, weight.dtype)


def write_state_dict(model: Normalized, shape: ImageShape, path: Path) -> float:
    """Write the weights by name, for ``load_state_dict`` after ``torch.load(weights_only=True)``.

    A JSON file beside it, ``state_dict.pt.json``, says what images the network takes, and the names of the classes.
    """
    with replacing(path, OUTPUT) as temporary:
        content = io.BytesIO()
        torch.save(model.network.state_dict(), content)
        temporary.write_bytes(content.getvalue())  # PyTorch's own writer raises no OSError
        read = torch.load(temporary, weights_only=True)

        def run(images: Tensor) -> Tensor:
            return torch.func.functional_call(model.network, read, ((images - model.mean) / model.std,))

        difference = compared(run, model, _tried(model, shape))
    description = {
        "shape": {"channels": shape.channels, "size": shape.size, "classes": shape.classes},
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        **{name: json.loads(text) for name, text in model.metadata.items()},
    }
    with replacing(path.with_name(f"{path.name}.json"), OUTPUT) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return difference


def write_exported(model: Normalized, shape: ImageShape, path: Path) -> float:
    """Write a program for ``torch.export.load``."""
    with replacing(path, OUTPUT) as temporary:
        run = write_program(model, _images(model, shape, 2), temporary, name="images", metadata=model.metadata)
        return compared(run, model, _tried(model, shape))


def write_scores(model: Normalized, shape: ImageShape, path: Path) -> float | None:
    """Write ONNX, with input ``images`` and output ``scores``.

    Returns:
        None where onnxruntime is not installed, so that only the file's structure was checked.
    """
    with replacing(path, OUTPUT) as temporary:
        images, names = _images(model, shape, 2), ("images", "scores")
        run = write_onnx(model, images, temporary, names=names, metadata=model.metadata)
        return None if run is None else compared(run, model, _tried(model, shape))


WRITERS: dict[str, Callable[[Normalized, ImageShape, Path], float | None]] = {
    "onnx": write_scores,
    "torch.export": write_exported,
    "state_dict": write_state_dict,
}


def _tried(model: Normalized, shape: ImageShape) -> Iterator[Tensor]:
    """Yield the batches on which a file is compared with the network."""
    return (_images(model, shape, count) for count in (1, 3))


def _images(model: Normalized, shape: ImageShape, count: int) -> Tensor:
    """Return random images with the data set's mean and deviation, ``(count, c, h, w)``."""
    noise = torch.randn(count, shape.channels, shape.size, shape.size, generator=torch.Generator().manual_seed(count))
    return model.mean + model.std * noise
