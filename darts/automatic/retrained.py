"""A network that ``train_final.py`` has trained, for use from Python: ``darts.load(run)``.

Axes: ``n`` image, ``c`` channel, ``h w`` space, ``k`` class.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts.artifacts.run_record import read_record
from darts.automatic.examples.inputs import Expected, read_new
from darts.data.dense.detection import Detection
from darts.data.image_folder import ImageForm, are_of_files, read_files
from darts.errors import UserError
from darts.retraining.export import Normalized, rebuilt
from supernet.shapes import ImageShape

BATCH = 256


@dataclass(frozen=True)
class Retrained:
    """A trained network of images.

    Attributes:
        network: images as the data set stores them -> scores, with the normalization within.
        shape: of the images, the number of classes and what is predicted.
        folder: of the run.
    """

    network: Normalized
    shape: ImageShape
    folder: Path

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or their numbers, in the order of the columns of ``predict_proba``."""
        known = json.loads(self.network.metadata.get("classes", "null"))
        return tuple(known or map(str, range(self.shape.classes)))

    def predict(self, x: Any) -> np.ndarray | list[np.ndarray]:
        """Return the predictions.

        Args:
            x: image files, a folder of them, or an array of images of the network's size, in the data set's unit.

        Returns:
            The name of each image's class, ``(n,)``; where masks are predicted, the number of each pixel's class, ``(n,
            h, w)``; where boxes are, for each image its detections ``(d, 6)``: left, top, right, bottom, score, number
            of the class.

        Raises:
            UserError: where the images cannot be read, or are of another form.
        """
        if self.shape.target == "boxes":
            found = Detection(self.shape.classes).detections(self.outputs(x))
            columns = ([d.boxes, d.scores[:, None], d.classes[:, None].to(d.boxes.dtype)] for d in found)
            return [torch.cat(parts, dim=1).numpy() for parts in columns]
        best = self.outputs(x).argmax(1).numpy()
        return best if self.shape.target == "mask" else np.array(self.classes)[best]

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return the probability of each class, ``(n, k)``, or ``(n, k, h, w)`` of masks; arguments as of ``predict``.

        Raises:
            UserError: as ``predict``; where boxes are predicted.
        """
        if self.shape.target == "boxes":
            raise UserError("the network predicts boxes, each with a score: call predict")
        return self.outputs(x).softmax(1).numpy()

    def outputs(self, x: Any) -> Tensor:
        """Return the network's outputs, such as logits ``(n, k)``, float32; arguments and errors as of ``predict``."""
        device = self.network.mean.device
        images = self._images(x)
        with torch.no_grad():
            return torch.cat([self.network(part.to(device).float()).cpu() for part in images.split(BATCH)])

    def _images(self, x: Any) -> Tensor:
        """Return images ``(n, c, h, w)`` as the data set stores them."""
        images = read_new(x, Expected("image")).value
        if not isinstance(images, Tensor):
            return self._read(images)
        form = (self.shape.channels, self.shape.size, self.shape.size)
        if images.shape[1:] != form:
            raise UserError(f"`x` has images of shape {tuple(images.shape[1:])}; the network takes {form}")
        return images

    def _read(self, paths: Sequence[Path]) -> Tensor:
        """Return images of files as the data set stores them.

        Raises:
            UserError: where the network was trained on arrays of another scale, or a file is no image.
        """
        rule = json.loads(self.network.metadata.get("preprocessing", "{}"))
        bits, shorter = rule.get("bits", 8), rule.get("resize_shorter_side", self.shape.size)
        if not (type(bits) is int and 1 <= bits <= 16 and type(shorter) is int and self.shape.size <= shorter < 2**20):
            raise UserError(
                f"{self.folder}: weights.pt has the preprocessing {str(rule)[:80]}, which no training writes"
            )
        scale = 255.0 if rule.get("values") == "0 to 1" else 1.0
        mean, std = (scale * values.flatten() for values in (self.network.mean, self.network.std))
        if not are_of_files(mean.tolist(), std.tolist()):
            raise UserError(
                f"{self.folder}: its network was trained on arrays of another scale than that of image files"
            )
        form = ImageForm(self.shape.size, self.shape.channels, bits)
        return torch.from_numpy(read_files(paths, form, shorter)).float() / scale


def load_retrained(folder: Path) -> Retrained:
    """Load the network of a finished retraining.

    Raises:
        UserError: where the run has no trained network of images.
    """
    return Retrained(*rebuilt(read_record(folder)), folder)
