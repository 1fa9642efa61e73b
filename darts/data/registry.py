"""The data set that a configuration names, ready to train on."""

import torch

from darts.config.language import LanguageConfig
from darts.config.schema import DataConfig
from darts.data.augment import Augmentation
from darts.data.corpus import TEXTS, read_text
from darts.data.dataset import DataSet, resident
from darts.data.readers import READERS, digits
from darts.data.sentences import read_sentences
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks


def open_data(
    config: DataConfig,
    device: torch.device,
    seed: int,
    channels_last: bool = True,
    ranks: Ranks = SINGLE_PROCESS,
    language: LanguageConfig | None = None,
) -> DataSet:
    """The data set, on the device where it fits.

    Args:
        seed: of the augmentation.
        channels_last: the memory format of batches.
        ranks: who computes on a share of each batch.
        language: how running text is read.

    Raises:
        UserError: where the root is missing or holds something else.
    """
    root = config.root
    if config.name == "digits":
        arrays = digits()
    elif root is None:
        raise UserError(f"data set {config.name} needs its folder or file: set --data.root")
    elif not root.exists() and not config.download:
        raise UserError(f"--data.root {root}: no such file or folder")
    elif config.name == "csv":
        return read_sentences(root, device, ranks)
    elif config.name in TEXTS:
        return read_text(config.name, root, language or LanguageConfig(), device)
    elif config.name in READERS:
        arrays = READERS[config.name](root, config.download)
    else:
        from darts.data.image_folder import (  # torchvision takes a second to import
            fits_memory,
            read_folder,
            stream_folder,
        )

        if config.name == "imagenet" or not fits_memory(root, config.size):
            how = config.size, device, config.workers, channels_last, ranks, config.jitter
            return stream_folder(config.name, root, *how)
        arrays = read_folder(root, config.size)
    policy = Augmentation(config.crop_padding, config.flip, config.cutout, config.cutout_rises)
    generator = torch.Generator(device).manual_seed(seed)
    return resident(config.name, arrays, policy, generator, channels_last, ranks=ranks)
