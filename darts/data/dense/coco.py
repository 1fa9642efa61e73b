"""Images with boxes in JSON files of COCO's form (Lin et al. 2014): ``images``, ``annotations`` and ``categories``.

``ROOT/annotations/instances_train2017.json`` with ``ROOT/train2017/*.jpg``, or ``ROOT/train/*.json`` beside the images,
or one JSON file, of which a fifth is held out. As torchvision's reference training does, boxes are clipped to their
image, those without area and those of crowds are left out; images without boxes are kept, as background. Photographs
are turned upright, and boxes of their stored pixels with them.

Axes: ``n`` image, ``c`` channel, ``h w`` space, ``m`` box of an image.
"""

from __future__ import annotations

import codecs
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from darts.data.dataset import Arrays
from darts.data.dense.files import form_in_memory, splits_of
from darts.data.dense.labels import NO_BOX
from darts.data.dense.orientation import Box, labels_as_stored, told_by_size, upright_box
from darts.data.folder_layout import folders_of, split_of
from darts.data.image_decoder import Header, read_header
from darts.data.image_folder import ImageForm, read_files
from darts.data.reading_progress import with_progress
from darts.errors import UserError

LARGEST_FILE = 2**31
"""Bytes of a JSON file that is looked at."""

LARGEST = 2**31
"""Pixels that a box may be away."""


@dataclass(frozen=True)
class Labelled:
    """An image file and its boxes.

    Attributes:
        path: of the image.
        size: width and height that the JSON file states; None where it does not.
        boxes: left, top, right, bottom in pixels of the file, and the class.
    """

    path: str
    size: tuple[int, int] | None
    boxes: list[tuple[float, float, float, float, int]] = field(default_factory=list)


def read_coco(root: Path, size: int | None, limit: int | None) -> Arrays:
    """Read images with boxes; at most ``limit`` images of each split, brought to ``size`` pixels.

    Raises:
        UserError: naming the folder or file, and the entry, that is not as it has to be.
    """
    notes: Counter[str] = Counter()
    files = _files(root, notes)
    found = {split: _labelled(file, root, split, notes) for split, file in files.items()}
    if "val" in found and "test" in found and not any(image.boxes for image in found["test"][1]):
        del found["test"]
        notes["test split without boxes not used"] += 1
    (classes, train), *rest = (found.pop(split) for split in ("train", "test", "val") if split in found)
    test = None
    if rest:
        names, test = rest[0]
        if names != classes:
            odd = sorted(set(names) ^ set(classes)) or list(names)
            raise UserError(f"`data.root` {root}: category {odd[0]!r} is not the same in both splits' JSON files")
    train, test, said = splits_of(root, train, test)
    train, test = train[:limit], test[:limit]
    if not any(image.boxes for image in train):
        raise UserError(f"`data.root` {root}: no training image has a box; boxes are needed to learn from")
    paths = [[image.path for image in part] for part in (train, test)]
    form = form_in_memory(root, *paths, size=size)
    both = [*train, *test]
    headers = [read_header(image.path) for image in with_progress(both, "looking at images")]
    told = [told_by_size(header, image.size) for header, image in zip(headers, both)]
    stored, turned = labels_as_stored(headers, told, "boxes")
    boxes = _boxes_in_form([*zip(both, headers, stored)], form, notes)
    images = [read_files(part, form) for part in paths]
    return Arrays(
        images[0],
        boxes[: len(train)],
        images[1],
        boxes[len(train) :],
        classes=classes,
        target="boxes",
        preprocessing=form.preprocessing(),
        notes=(*said, *(f"{count} {what}" for what, count in notes.items() if count), *turned, *form.notes()),
    )


def _files(root: Path, notes: Counter[str]) -> dict[str, Path]:
    """Return split -> its JSON file; a single file is that of the training split.

    Of several files of one split, as COCO has for other tasks, that of the instances is taken.

    Args:
        root: of the data set.
        notes: counts what is left out.

    Raises:
        UserError: where there is none, or several are of one split.
    """
    if root.is_file():
        return {"train": root}
    places = [root, *folders_of(root)]
    files = [file for place in places for file in sorted(place.glob("*.json")) if _mentions(file, b'"images"')]
    labelled = [file for file in files if _mentions(file, b'"annotations"')] or files
    if len(labelled) < len(files):
        notes["JSON files without annotations not used"] += len(files) - len(labelled)
    if len(labelled) == 1:
        return {"train": labelled[0]}
    found: dict[str, list[Path]] = {}
    for file in labelled:
        if split := split_of(file.stem, alone=False) or split_of(file.parent.name, alone=False):
            found.setdefault(split, []).append(file)
    for split, alike in found.items():
        found[split] = [file for file in alike if "instances" in file.stem.casefold()] or alike
        if len(found[split]) > 1:
            both = " and ".join(map(str, found[split][:2]))
            raise UserError(f"`data.root` {root}: {both} are both of the {split} split; keep one")
    if "train" not in found:
        what = "none is named like a training split" if labelled else "there is none"
        raise UserError(
            f"`data.root` {root}: a JSON file of COCO's form is needed, such as instances_train.json; {what}"
        )
    return {split: file for split, (file,) in found.items()}


def _mentions(file: Path, word: bytes) -> bool:
    """Return whether a file begins like an object, and a word is in it."""
    try:
        content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError:
        return False
    return content[:100].lstrip()[:1] == b"{" and word in content


def _labelled(file: Path, root: Path, split: str, notes: Counter[str]) -> tuple[tuple[str, ...], list[Labelled]]:
    """Return the names of the classes, by rising id of their categories, and the images of a JSON file.

    Args:
        file: of COCO's form.
        root: of the data set.
        split: of the file.
        notes: counts what is left out or changed.

    Raises:
        UserError: naming the entry that is not as it has to be.
    """
    content = _content(file)
    categories: dict[int, Mapping[str, Any]] = {}
    for k, each in enumerate(content["categories"]):
        where = f"{file}: categories[{k}]"
        number = _whole(each, "id", where)
        if number in categories:
            raise UserError(f"{where}: 'id' {number} is that of a category before it; each category needs its own")
        categories[number] = each
    if not categories:
        raise UserError(f"{file}: 'categories' is empty; each class needs an id and a name")
    labels = {number: label for label, number in enumerate(sorted(categories))}
    names = tuple(str(categories[number].get("name", number)) for number in labels)
    places = _places(file, root, split)
    images: dict[int, Labelled] = {}
    known: set[str] = set()
    for k, each in enumerate(with_progress(content["images"], "looking for images")):
        where = f"{file}: images[{k}]"
        number, name = _whole(each, "id", where), str(each.get("file_name", ""))
        if number in images:
            raise UserError(f"{where}: 'id' {number} is that of an image before it; each image needs its own")
        path = next((place / name for place in places if name and os.path.isfile(place / name)), None)
        if path is None:
            folders = ", ".join(map(str, places[:3]))
            raise UserError(f"{where}: no file {name[:80]!r} in {folders}; add it, or remove the entry")
        if str(path) in known:
            fix = "keep one entry, with all its boxes"
            raise UserError(f"{where}: {name[:80]!r} is the file of an image before it; {fix}")
        known.add(str(path))
        stated = each.get("width"), each.get("height")
        images[number] = Labelled(
            str(path), stated if all(isinstance(side, int) and abs(side) < LARGEST for side in stated) else None
        )
    if not images:
        raise UserError(f"{file}: 'images' is empty")
    for k, each in enumerate(content["annotations"]):
        where = f"{file}: annotations[{k}]"
        image = images.get(_whole(each, "image_id", where))
        if image is None:
            raise UserError(f"{where}: 'image_id' {each['image_id']} is none of 'images'")
        label = labels.get(_whole(each, "category_id", where))
        if label is None:
            listed = ", ".join(map(str, list(labels)[:10]))
            raise UserError(f"{where}: 'category_id' {each['category_id']} is none of 'categories' ({listed})")
        if each.get("iscrowd"):
            notes["crowd regions left out"] += 1
            continue
        x, y, width, height = _box(each, where)
        if width <= 0 or height <= 0:
            notes["boxes without area left out"] += 1
            continue
        image.boxes.append((x, y, x + width, y + height, label))
    boxes = [box for image in images.values() for box in image.boxes]
    if boxes and max(max(box[:4]) for box in boxes) <= 1:
        raise UserError(f"{file}: no 'bbox' is larger than 1; they must be in pixels, not shares of the image")
    empty = sum(not image.boxes for image in images.values())
    if empty:
        notes["images without boxes"] += empty
    return names, list(images.values())


def _content(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file of COCO's form.

    Raises:
        UserError: where it is none.
    """
    if file.stat().st_size > LARGEST_FILE:
        raise UserError(f"{file}: larger than 2 GiB; divide it")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: no JSON ({' '.join(str(error).split())[:80]})") from None
    for name in ("images", "annotations", "categories"):
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise UserError(f"{file}: '{name}' is no list of objects, which a file of COCO's form has")
    return content


def _whole(entry: Mapping[str, Any], name: str, where: str) -> int:
    value = entry.get(name)
    if type(value) is not int:
        raise UserError(f"{where}: '{name}' is {str(value)[:40]!r}; it must be a whole number")
    return value


def _box(entry: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    """Return left, top, width and height."""
    box: Any = entry.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not numbers or not all(-LARGEST < value < LARGEST for value in box):  # NaN is not
        raise UserError(f"{where}: 'bbox' is {str(box)[:60]!r}; it must be left, top, width and height, in pixels")
    x, y, width, height = map(float, box)
    return x, y, width, height


def _places(file: Path, root: Path, split: str) -> Sequence[Path]:
    """Return the folders in which the images of a split may lie, the likeliest first."""
    base = root if root.is_dir() else root.parent
    named = [folder for folder in folders_of(base) if split_of(folder.name, alone=False) == split]
    nested = [folder / "images" for folder in (*named, file.parent, base)]
    inner = [folder for folder in folders_of(base / "images")] if (base / "images").is_dir() else []
    return [*named, file.parent, base, *nested, *(each for each in inner if split_of(each.name, alone=False) == split)]


def _boxes_in_form(images: Sequence[tuple[Labelled, Header, bool]], form: ImageForm, notes: Counter[str]) -> np.ndarray:
    """Return the boxes of each image, ``(n, m, 5)``, float32, in pixels of what the image is brought to.

    Boxes whose centre the crop cuts off are left out, as in training crops. Rows are as many as the image with the
    most boxes has.

    Args:
        images: and their headers, and whether boxes are of the stored pixels.
        form: that the images are brought to.
        notes: counts what is left out or changed.

    Raises:
        UserError: naming the image of another size than stated, or the box outside its image.
    """
    most = max([1, *(len(image.boxes) for image, _, _ in images)])
    boxes = np.zeros((len(images), most, 5), np.float32)
    boxes[..., 4] = NO_BOX
    for index, (image, header, stored) in enumerate(images):
        if image.size is not None and image.size != (header.stored_size if stored else header.size):
            stated = f"{image.size[0]}x{image.size[1]}"
            raise UserError(
                f"{image.path}: {header.width}x{header.height} pixels, {stated} in its JSON file; correct one of them"
            )
        scale = form.size / min(header.size)
        left, top = ((round(scale * side) - form.size) / 2 for side in header.size)
        for number, (*box, label) in enumerate(image.boxes):
            clipped = _clipped(image, header, stored, (box[0], box[1], box[2], box[3]))
            notes["boxes clipped to their images"] += list(clipped) != box
            upright = upright_box(clipped, header) if stored else clipped
            corners = np.array(upright) * scale - (left, top, left, top)
            centre = (corners[:2] + corners[2:]) / 2
            if (centre >= 0).all() and (centre < form.size).all():
                boxes[index, number] = *corners.clip(0, form.size), label
            else:
                notes["boxes cut off by the crop left out"] += 1
    return boxes


def _clipped(image: Labelled, header: Header, stored: bool, box: Box) -> Box:
    """Return a box clipped to its image, stored or upright.

    Raises:
        UserError: where it lies outside.
    """
    width, height = header.stored_size if stored else header.size
    x0, y0, x1, y1 = box
    if x0 < width and y0 < height and x1 > 0 and y1 > 0:
        return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    fix = "correct its 'bbox'"
    if header.size != header.stored_size and x0 < height and y0 < width:
        fix = f"state width {height} and height {width} if boxes are of the image that EXIF turns"
    raise UserError(
        f"{image.path}: the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) lies outside the image of "
        f"{width}x{height} pixels; {fix}"
    )
