"""Folders of images with masks: layouts, values of pixels, and one line for what is wrong."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from darts.config import DataConfig
from darts.data.dense.mask_folder import read_masks
from darts.data.registry import open_data
from darts.data.summary import summary
from darts.errors import UserError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(images, masks, count, values=(0, 1, 2), size=12, seed=0):
    """Images whose grey value says which mask they have: 100 times the class's number."""
    draw = np.random.default_rng(seed)
    for k in range(count):
        labels = draw.integers(0, len(values), (size, size))
        save(images / f"{k}.png", (100 * labels).astype(np.uint8))
        save(masks / f"{k}.png", np.array(values, np.uint8)[labels])


def paired(arrays):
    """Whether every pixel of a mask has the grey value of its class."""
    return all(
        (images[:, 0] == 100 * masks).all()
        for images, masks in (
            (arrays.train_images, arrays.train_labels),
            (arrays.test_images, arrays.test_labels),
        )
    )


def test_images_and_masks_of_equal_names(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", 10)
    arrays = read_masks(tmp_path, None, None)
    assert (len(arrays.train_images), len(arrays.test_images)) == (8, 2) and paired(arrays)
    assert arrays.classes == ("0", "1", "2") and arrays.target == "mask"
    data = open_data(DataConfig("segmentation_folder", root=tmp_path, crop_padding=2), torch.device("cpu"), 0)
    assert data.shape.classes == 3 and data.objective is not None
    assert summary(data) == (
        "data segmentation_folder: 8 training, 2 test images of 12x12, 1 channel; 3 classes (0, 1, 2); a fifth held "
        "out for testing"
    )


@pytest.mark.parametrize("inside", [False, True])
def test_splits_within_either_folder(tmp_path, inside):
    for split, count in (("train", 4), ("val", 3)):
        parts = [tmp_path / name / split if inside else tmp_path / split / name for name in ("images", "masks")]
        write(*parts, count, seed=count)
    arrays = read_masks(tmp_path, None, 3)
    assert (len(arrays.train_images), len(arrays.test_images)) == (3, 3) and paired(arrays)
    assert arrays.notes[0] == "splits: train/ and val/"


def test_values_of_any_kind(tmp_path):
    colours = np.array([(0, 0, 0), (200, 10, 0), (0, 0, 90)], np.uint8)
    for kind, values, names, ignored in (
        ("sparse", (3, 70, 255), ("3", "70"), 1),
        ("binary", (0, 255), ("0", "255"), 0),
        ("colours", None, ("#000000", "#00005a", "#c80a00"), 0),
    ):
        root = tmp_path / kind
        write(root / "images", root / "masks", 6, values or (0, 1, 2))
        for path in sorted((root / "masks").glob("*.png")) if values is None else ():
            save(path, colours[np.asarray(Image.open(path))])
        arrays = read_masks(root, None, None)
        assert arrays.classes == names
        assert set(np.unique(arrays.train_labels)) == {*range(len(names)), *([255] if ignored else [])}


def test_names_of_the_classes(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", 6)
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\nowl\n")
    assert read_masks(tmp_path, None, None).classes == ("ground", "cat", "dog", "owl")
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    with pytest.raises(UserError, match=r"\.png: a pixel of value 2, which is no class"):
        read_masks(tmp_path, None, None)


def test_two_names_for_masks_of_0_and_255(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", 6, (0, 255))
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfground\ncat\n")
    arrays = read_masks(tmp_path, None, None)
    assert arrays.classes == ("ground", "cat") and paired(arrays) and set(np.unique(arrays.train_labels)) == {0, 1}


@pytest.mark.parametrize("inside", [False, True])
def test_a_test_split_without_masks_beside_a_validation_split(tmp_path, inside):
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        parts = [tmp_path / name / split if inside else tmp_path / split / name for name in ("images", "masks")]
        write(*parts, count, seed=count)
    shutil.rmtree(parts[1])
    arrays = read_masks(tmp_path, None, None)
    assert len(arrays.test_images) == 3 and arrays.notes[0] == "splits: train/ and val/"


def test_masks_are_resized_with_their_images(tmp_path):
    """Of a wide image the centre is kept, and a mask gets no values between its classes."""
    for k in range(6):
        labels = np.zeros((20, 40), np.uint8)
        labels[4:16, 14:26] = 9
        save(tmp_path / "images" / f"{k}.png", (labels > 0).astype(np.uint8) * 200)
        save(tmp_path / "masks" / f"{k}.png", labels)
    arrays = read_masks(tmp_path, 10, None)
    assert arrays.train_images.shape == (5, 1, 10, 10) and set(np.unique(arrays.train_labels)) == {0, 1}
    expected = np.zeros((10, 10), int)
    expected[2:8, 2:8] = 1
    assert (arrays.train_labels == expected).all() and ((arrays.train_images[:, 0] > 100) == expected).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: save(root / "masks" / "3.png", np.zeros((12, 9), np.uint8)),
         r"masks/3\.png: 9x12 pixels, and its image 12x12; a mask is as large as its image"),
        (lambda root: (root / "masks" / "3.png").unlink(), r"images/3\.png: no mask .*masks/3\.png; add it"),
        (lambda root: (root / "masks" / "3.png").write_bytes(b"no image"), r"masks/3\.png: not a readable image"),
        (lambda root: (root / "masks" / "3.png").write_bytes((root / "masks" / "3.png").read_bytes()[:60]),
         r"masks/3\.png: a damaged image"),
        (lambda root: (root / "masks").rename(root / "others"), "no folders images/ and masks/"),
        (lambda root: [save(path, np.zeros((12, 12), np.uint8)) for path in (root / "masks").glob("*.png")],
         "masks of 1 classes; 2 to 255 are needed, as values of pixels"),
        (lambda root: [path.unlink() for path in (root / "images").glob("*.png")], "images: holds no images"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path, spoil, message):
    write(tmp_path / "images", tmp_path / "masks", 8)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        read_masks(tmp_path, None, None)
    assert "\n" not in str(error.value)


def test_a_class_of_the_test_masks_alone(tmp_path):
    write(tmp_path / "train" / "images", tmp_path / "train" / "masks", 3)
    write(tmp_path / "test" / "images", tmp_path / "test" / "masks", 2, (0, 1, 7))
    with pytest.raises(
        UserError, match=r"test/masks/0\.png: a pixel of value 7, which is no class of the training masks"
    ):
        read_masks(tmp_path, None, None)
