"""The registry of data sets, and the data set of a configuration, ready to train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from darts.config import DataConfig, LanguageConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays, DataSet
from darts.data.readers import READERS
from darts.data.resident import resident
from darts.data.text.pairs import pairs_of, read_pairs
from darts.data.text.reversed_digits import reversed_digits
from darts.data.text.sentences import read_sentences
from darts.data.text.text_reader import TEXTS, read_text
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks


@dataclass(frozen=True)
class Request:
    """The data set that a run asks for, and how it is to be delivered.

    Attributes:
        config: the data set, where it is, and its augmentation.
        device: of the batches.
        seed: of the augmentation.
        channels_last: the memory format of batches of images.
        ranks: the processes that share each batch.
        language: how running text is read.
    """

    config: DataConfig
    device: torch.device
    seed: int
    channels_last: bool = True
    ranks: Ranks = SINGLE_PROCESS
    language: LanguageConfig = field(default_factory=LanguageConfig)

    @property
    def root(self) -> Path:
        """The folder or file that holds the data set.

        Raises:
            UserError: where none is given, or it is not there.
        """
        root = self.config.root
        if root is None:
            raise UserError(f"data set {self.config.name} needs its folder or file: set `data.root`")
        if not root.exists() and not self.config.download:
            raise UserError(f"`data.root` {root}: no such file or folder")
        return root


def _resident(request: Request, arrays: Arrays) -> DataSet:
    """Keep arrays of images on the device."""
    config = request.config
    policy = Augmentation(config.crop_padding, config.flip, config.cutout, config.cutout_rises)
    generator = torch.Generator(request.device).manual_seed(request.seed)
    return resident(config.name, arrays, policy, generator, request.channels_last, ranks=request.ranks)


def _by_reader(request: Request) -> DataSet:
    reader = READERS[request.config.name]
    arrays = reader.read(request.root if reader.needs_root else Path(), request.config.download)
    return _resident(request, arrays.limited(request.config.limit))


def _canvases(request: Request) -> DataSet:
    from darts.data.dense.canvases import canvases

    config = request.config
    digits, target = CANVASES[config.name]
    reader = READERS[digits]
    arrays = reader.read(request.root if reader.needs_root else Path(), config.download)
    return _resident(request, canvases(arrays, config.canvas, target).limited(config.limit))


def _masks(request: Request) -> DataSet:
    from darts.data.dense.mask_folder import read_masks  # torchvision takes a second to import

    return _resident(request, read_masks(request.root, request.config.size, request.config.limit))


def _boxes(request: Request) -> DataSet:
    from darts.data.dense.coco import read_coco  # torchvision takes a second to import

    return _resident(request, read_coco(request.root, request.config.size, request.config.limit))


def _folder(request: Request) -> DataSet:
    from darts.data.folder_layout import list_folder
    from darts.data.image_folder import form_of, read_listing  # torchvision takes a second to import
    from darts.data.streamed_images import stream_folder

    config = request.config
    listing = list_folder(request.root).limited(config.limit)
    form = form_of(*listing.paths, config.size)
    if config.name == "folder" and form.fits_memory(len(listing.train) + len(listing.test)):
        return _resident(request, read_listing(listing, form))
    channels_last, ranks = request.channels_last, request.ranks
    return stream_folder(config, listing, form, device=request.device, channels_last=channels_last, ranks=ranks)


def _sentences(request: Request) -> DataSet:
    return read_sentences(request.root, request.device, request.ranks, request.config.limit)


def _pairs(request: Request) -> DataSet:
    config = request.config
    if config.name == "reversed_digits":
        return pairs_of(config.name, reversed_digits(), request.device, request.ranks, config.limit)
    return pairs_of(config.name, read_pairs(request.root), request.device, request.ranks, config.limit)


def _text(request: Request) -> DataSet:
    return read_text(request.config.name, request.root, request.language, request.device, request.config.limit)


CANVASES = {
    f"{task}_{digits}": (digits, target)
    for task, target in (("segmentation", "mask"), ("detection", "boxes"))
    for digits in ("digits", "mnist")
}
"""Data set of canvases -> the data set of its digits, and what is predicted (``ImageShape.target``)."""

DATA_SETS: dict[str, Callable[[Request], DataSet]] = {
    **{name: _by_reader for name in READERS},
    "folder": _folder,
    "imagenet": _folder,
    **{name: _canvases for name in CANVASES},
    "segmentation_folder": _masks,
    "detection_coco": _boxes,
    "csv": _sentences,
    "pairs": _pairs,
    "reversed_digits": _pairs,
    **{name: _text for name in TEXTS},
}
"""Data set -> what opens it. Those that are arrays of images stand in ``READERS``."""


def open_data(
    config: DataConfig,
    device: torch.device,
    seed: int,
    channels_last: bool = True,
    ranks: Ranks = SINGLE_PROCESS,
    language: LanguageConfig | None = None,
) -> DataSet:
    """Open a data set, on the device where it fits.

    Args:
        config: the data set, where it is, and its augmentation.
        device: of the batches.
        seed: of the augmentation.
        channels_last: the memory format of batches of images.
        ranks: the processes that share each batch.
        language: how running text is read.

    Raises:
        UserError: where the root is missing or holds something else.
    """
    request = Request(config, device, seed, channels_last, ranks, language or LanguageConfig())
    return DATA_SETS[config.name](request)
