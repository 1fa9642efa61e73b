"""Boxes and masks of photographs with an EXIF orientation lie on their objects, drawn before or after turning."""

import json

import numpy as np
import pytest
from PIL import Image

from darts.data.dense.coco import read_coco
from darts.data.dense.mask_folder import read_masks
from darts.data.image_decoder import ORIENTATION, UPRIGHT
from darts.errors import UserError

BACK = {6: UPRIGHT[8], 8: UPRIGHT[6]}
COUNT = 10


def as_stored(upright, orientation):
    """The pixels as they are stored so that the orientation turns them upright."""
    image = Image.fromarray(upright)
    turn = BACK.get(orientation, UPRIGHT.get(orientation))
    return np.asarray(image if turn is None else image.transpose(turn))


def save(path, pixels, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def rectangles(height, width, seed=0):
    draw = np.random.default_rng(seed)
    for _ in range(COUNT):
        pixels = np.zeros((height, width), np.uint8)
        y, x = (int(draw.integers(side // 2 - 7, side // 2)) for side in (height, width))
        pixels[y : y + 7, x : x + 3] = 255
        yield pixels


def box_of(pixels):
    rows, columns = np.nonzero(pixels)
    x, y = int(columns.min()), int(rows.min())
    return [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]


def write_boxes(root, orientations, *, upright, stated=True, height=20, width=28):
    """Images of these orientations in turn, with boxes of the upright or the stored pixels."""
    images, annotations = [], []
    for k, pixels in enumerate(rectangles(height, width)):
        orientation = orientations[k % len(orientations)]
        stored = as_stored(pixels, orientation)
        save(root / f"{k}.png", stored, orientation)
        drawn = pixels if upright else stored
        size = {"width": drawn.shape[1], "height": drawn.shape[0]} if stated else {}
        images.append({"id": k, "file_name": f"{k}.png", **size})
        annotations.append({"id": k, "image_id": k, "category_id": 1, "bbox": box_of(drawn)})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "owl"}]}
    (root / "a.json").write_text(json.dumps(content))


def boxes_lie_on_objects(arrays):
    pairs = [(arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)]
    for images, boxes in pairs:
        for image, (box, *_) in zip(images[:, 0], boxes):
            x, y, width, height = box_of(image)
            assert box[:4].tolist() == [x, y, x + width, y + height]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_stored_pixels_are_turned(tmp_path, orientation):
    write_boxes(tmp_path, [orientation], upright=False)
    arrays = read_coco(tmp_path, None, None)
    boxes_lie_on_objects(arrays)
    assert ("10 images turned upright (EXIF), boxes with them" in arrays.notes) == (orientation != 1)
    write_boxes(tmp_path, [orientation], upright=False, stated=False)
    boxes_lie_on_objects(read_coco(tmp_path, None, None))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_stated_size_says_that_boxes_are_upright(tmp_path, orientation):
    write_boxes(tmp_path, [orientation], upright=True)
    arrays = read_coco(tmp_path, None, None)
    boxes_lie_on_objects(arrays)
    assert "10 images turned upright (EXIF), boxes as they are" in arrays.notes


@pytest.mark.parametrize("upright", [False, True])
def test_sizes_that_do_not_tell_are_taken_like_others(tmp_path, upright):
    write_boxes(tmp_path, [1, 3, 6, 2, 8], upright=upright)
    boxes_lie_on_objects(read_coco(tmp_path, None, None))
    write_boxes(tmp_path / "square", [6, 3], upright=False, width=20)
    boxes_lie_on_objects(read_coco(tmp_path / "square", None, None))


def test_a_size_of_one_picture_with_boxes_of_the_other_is_refused(tmp_path):
    write_boxes(tmp_path, [6], upright=True)
    content = json.loads((tmp_path / "a.json").read_text())
    for image in content["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    content["annotations"][4]["bbox"] = [22, 2, 5, 7]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"of 20x28 pixels; state width 28 and height 20 if boxes are of the image that"
    ):
        read_coco(tmp_path, None, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("upright", [False, True])
def test_masks_lie_on_their_images(tmp_path, orientation, upright):
    for k, pixels in enumerate(rectangles(20, 28)):
        stored = as_stored(pixels, orientation)
        save(tmp_path / "images" / f"{k}.png", stored, orientation)
        save(tmp_path / "masks" / f"{k}.png", (pixels if upright else stored) // 255)
    arrays = read_masks(tmp_path, None, None)
    images, masks = (np.concatenate(each) for each in (
        (arrays.train_images, arrays.test_images), (arrays.train_labels, arrays.test_labels)
    ))  # fmt: skip
    told = orientation in (1, 5, 6, 7, 8)
    assert (images[:, 0] == 255 * masks).all() == (told or not upright)


def test_a_mask_with_the_orientation_of_its_image_is_turned_as_it_is(tmp_path):
    for k, pixels in enumerate(rectangles(20, 20)):
        for folder, values in (("images", pixels), ("masks", pixels // 255)):
            orientation = (6, 3, 5)[k % 3]
            save(tmp_path / folder / f"{k}.png", as_stored(values, orientation), orientation)
    arrays = read_masks(tmp_path, None, None)
    assert (arrays.train_images[:, 0] == 255 * arrays.train_labels).all()
