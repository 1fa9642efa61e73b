"""A folder of images with masks: ``ROOT/images/*`` and ``ROOT/masks/*.png``, one mask of an image's name for each.

Splits are folders in either order, ``ROOT/train/images`` or ``ROOT/images/train``; without them, a fifth is held out.
A mask's value is the class of a pixel: a grey value of 8 or 16 bits, the index of a palette, or a colour; 255 is no
class, as in Pascal VOC's masks, unless there are two classes and all masks are of 0 and 255 alone.

Axes: ``n`` image, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from darts.data.dataset import Arrays
from darts.data.dense.files import form_in_memory, splits_of
from darts.data.dense.labels import IGNORED
from darts.data.dense.orientation import labels_as_stored, told_by_size, upright_mask
from darts.data.folder_layout import folders_of, images_of, split_of
from darts.data.image_decoder import Header, read_header
from darts.data.image_folder import ImageForm, read_files
from darts.data.reading_progress import with_progress
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError

IMAGES = ("images", "image", "imgs", "img", "jpegimages")
MASKS = ("masks", "mask", "labels", "annotations", "segmentationclass", "segmentations")
"""Names of the folders, in lower case."""

NAMES = "classes.txt"
"""File in the root with the name of each class, a line each, for masks whose values are line numbers from 0."""

COLOUR = 1 << 24
"""Added to a colour of three bytes, which is then no grey value."""

Pairs = list[tuple[str, str]]
"""Images and their masks."""


def read_masks(root: Path, size: int | None, limit: int | None) -> Arrays:
    """Read a folder of images with masks; at most ``limit`` images of each split, brought to ``size`` pixels.

    Raises:
        UserError: naming the folder or the file that is not as it has to be.
    """
    train, test, notes = _splits(root)
    train, test = train[:limit], test[:limit]
    paths = [[image for image, _ in pairs] for pairs in (train, test)]
    form = form_in_memory(root, *paths, size=size, planes=1)
    names, labels = _classes(root, [mask for _, mask in train])
    pairs = [*train, *test]
    headers, told = [], []
    for image, mask in with_progress(pairs, "looking at images"):
        header, own = read_header(image), read_header(mask)
        headers.append(header)
        told.append(own.orientation == header.orientation != 1 or told_by_size(header, own.stored_size))
    stored, turned = labels_as_stored(headers, told, "masks")
    masks = _read([*zip(pairs, headers, stored)], form, labels)
    images = [read_files(part, form) for part in paths]
    return Arrays(
        images[0],
        masks[: len(train)],
        images[1],
        masks[len(train) :],
        classes=names,
        target="mask",
        preprocessing=form.preprocessing(),
        notes=(*notes, *turned, *form.notes()),
    )


def _splits(root: Path) -> tuple[Pairs, Pairs, tuple[str, ...]]:
    """Return the pairs of both splits, those for training in a fixed random order, and notes for people.

    Raises:
        UserError: where the folders are not of the layout.
    """
    if not root.is_dir():
        raise UserError(f"`data.root` {root}: no such folder")
    images, masks = _named(root, IMAGES), _named(root, MASKS)
    if images and masks:
        parts = {split_of(folder.name, alone=True): folder for folder in folders_of(images)}
        found = {split: (folder, masks / folder.name) for split, folder in parts.items() if split}
        unlabelled = [split for split, (_, folder) in found.items() if split == "test" and not folder.is_dir()]
        if "val" in found:
            found = {split: pair for split, pair in found.items() if split not in unlabelled}
    else:
        inner = {split_of(folder.name, alone=True): folder for folder in folders_of(root)}
        pairs = {split: (_named(folder, IMAGES), _named(folder, MASKS)) for split, folder in inner.items() if split}
        found = {split: (a, b) for split, (a, b) in pairs.items() if a and b}
    if "train" in found:
        train = _pairs(*found["train"])
        tested = found.get("test", found.get("val"))
        if tested is not None:
            names = " and ".join(f"{_split_folder(root, pair[0])}/" for pair in (found["train"], tested))
            return splits_of(root, train, _pairs(*tested), f"splits: {names}")
    elif images and masks:
        train = _pairs(images, masks)
    else:
        raise UserError(
            f"`data.root` {root}: no folders images/ and masks/, neither there nor in train/: put images into the one, "
            "and a PNG mask of the same name for each into the other"
        )
    return splits_of(root, train, None)


def _split_folder(root: Path, images: Path) -> str:
    """Return the name of the split's folder, of the path of its images."""
    return next(part for part in images.relative_to(root).parts if split_of(part, alone=True))


def _named(folder: Path, names: Sequence[str]) -> Path | None:
    return next((inner for inner in folders_of(folder) if inner.name.casefold() in names), None)


def _pairs(images: Path, masks: Path) -> Pairs:
    """Return the images of a folder with their masks.

    Raises:
        UserError: where there is no image, or one has no mask.
    """
    found = []
    for image in images_of(images):
        stem = masks / Path(image).relative_to(images).with_suffix("")
        options = [stem.with_name(stem.name + end) for end in (".png", ".PNG", "_mask.png")]
        mask = next((path for path in options if path.is_file()), None)
        if mask is None:
            raise UserError(f"{image}: no mask {options[0]}; add it, or take the image away")
        found.append((image, str(mask)))
    if not found:
        raise UserError(f"{images}: holds no images")
    return found


def codes_of(mask: str) -> np.ndarray:
    """Return the value of each pixel of a mask, ``(h, w)``, int64: grey, index of a palette, or ``COLOUR`` + RGB.

    Raises:
        UserError: naming the file, where it is no such image.
    """
    read_header(mask)
    with Image.open(mask) as image:
        try:
            values = np.asarray(image)
        except Exception as error:
            reason = " ".join(str(error).split())[:80]
            raise UserError(f"{mask}: a damaged image ({reason}); replace it or take it away") from None
    values = values.astype(np.int64)
    if values.ndim == 2:
        return values
    if values.shape[2] < 3:
        return values[..., 0]
    return COLOUR + (values[..., 0] << 16) + (values[..., 1] << 8) + values[..., 2]


def _classes(root: Path, masks: Sequence[str]) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """Return the names of the classes, and value of a pixel -> class.

    Args:
        root: of the folder.
        masks: those for training.

    Raises:
        UserError: where there are too few or too many classes, or a value has no name.
    """
    file = root / NAMES
    codes = sorted(
        {int(code) for mask in with_progress(masks, "looking at masks") for code in np.unique(codes_of(mask))}
    )
    only = set(codes) == {0, IGNORED}
    if file.is_file():
        names = tuple(line.strip() for line in read_unicode(file, "list of classes").splitlines() if line.strip())
        labels = {0: 0, IGNORED: 1} if only and len(names) == 2 else {code: code for code in range(len(names))}
    else:
        used = [code for code in codes if only or code != IGNORED]
        names = tuple(str(code) if code < COLOUR else f"#{code - COLOUR:06x}" for code in used)
        labels = {code: label for label, code in enumerate(used)}
    if not 2 <= len(names) <= IGNORED:
        raise UserError(
            f"`data.root` {root}: masks of {len(names)} classes; 2 to {IGNORED} are needed, as values of pixels"
        )
    return names, {IGNORED: IGNORED, **labels}


def _read(
    pairs: Sequence[tuple[tuple[str, str], Header, bool]], form: ImageForm, labels: Mapping[int, int]
) -> np.ndarray:
    """Return the masks of upright images, ``(n, h, w)``, uint8.

    Args:
        pairs: images and their masks, headers of the images, and whether masks are of the stored pixels.
        form: that they are brought to.
        labels: value of a pixel -> class.

    Raises:
        UserError: naming the mask of another size than its image, or of an unknown class.
    """
    resize: Callable[[Any], Any] = v2.Compose(
        [v2.Resize(form.size, InterpolationMode.NEAREST), v2.CenterCrop(form.size)]
    )
    masks = np.empty((len(pairs), form.size, form.size), np.uint8)
    for index, ((_, mask), header, stored) in enumerate(with_progress(pairs, "reading masks")):
        codes = codes_of(mask)
        if codes.shape[::-1] != (header.stored_size if stored else header.size):
            height, width = codes.shape
            whole = f"{header.width}x{header.height}"
            raise UserError(f"{mask}: {width}x{height} pixels, and its image {whole}; a mask is as large as its image")
        values, places = np.unique(codes, return_inverse=True)
        unknown = [int(value) for value in values if int(value) not in labels]
        if unknown:
            value = f"#{unknown[0] - COLOUR:06x}" if unknown[0] >= COLOUR else unknown[0]
            raise UserError(
                f"{mask}: a pixel of value {value}, which is no class of the training masks or of {NAMES}; correct it, "
                f"or set it to {IGNORED} for no class"
            )
        mapped = np.array([labels[int(value)] for value in values], np.uint8)[places].reshape(codes.shape)
        masks[index] = np.asarray(resize(Image.fromarray(upright_mask(mapped, header) if stored else mapped)))
    return masks
