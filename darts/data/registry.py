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
from darts.data.sentences import read_sentences
from darts.data.text_reader import TEXTS, read_text
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


def _arrays(request: Request, arrays: Arrays) -> DataSet:
    """Keep arrays of images on the device."""
    config = request.config
    policy = Augmentation(config.crop_padding, config.flip, config.cutout, config.cutout_rises)
    generator = torch.Generator(request.device).manual_seed(request.seed)
    return resident(config.name, arrays, policy, generator, request.channels_last, ranks=request.ranks)


def _by_reader(request: Request) -> DataSet:
    reader = READERS[request.config.name]
    return _arrays(request, reader.read(request.root if reader.needs_root else Path(), request.config.download))


def _folder(request: Request) -> DataSet:
    from darts.data.image_folder import fits_memory, read_folder  # torchvision takes a second to import

    if not fits_memory(request.root, request.config.size):
        return _streamed(request)
    return _arrays(request, read_folder(request.root, request.config.size))


def _streamed(request: Request) -> DataSet:
    from darts.data.streamed_images import stream_folder

    config = request.config
    return stream_folder(
        config.name,
        request.root,
        config.size,
        device=request.device,
        workers=config.workers,
        channels_last=request.channels_last,
        ranks=request.ranks,
        jitter=config.jitter,
    )


def _sentences(request: Request) -> DataSet:
    return read_sentences(request.root, request.device, request.ranks)


def _text(request: Request) -> DataSet:
    return read_text(request.config.name, request.root, request.language, request.device)


DATA_SETS: dict[str, Callable[[Request], DataSet]] = {
    **{name: _by_reader for name in READERS},
    "folder": _folder,
    "imagenet": _streamed,
    "csv": _sentences,
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
