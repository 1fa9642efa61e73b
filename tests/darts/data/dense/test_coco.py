"""Images with boxes in JSON files of COCO's form: layouts, boxes, and one line for what is wrong."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from darts.config import DataConfig
from darts.data.dense.coco import read_coco
from darts.data.dense.labels import NO_BOX
from darts.data.registry import open_data
from darts.data.summary import summary
from darts.errors import UserError

CATEGORIES = [{"id": 7, "name": "owl"}, {"id": 2, "name": "cat"}]


def write(images, file, count, width=20, height=20, seed=0):
    """Images of one bright rectangle on black, or of none, and their JSON file."""
    draw = np.random.default_rng(seed)
    content = {"images": [], "annotations": [], "categories": CATEGORIES}
    images.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = np.zeros((height, width), np.uint8)
        content["images"].append({"id": k, "file_name": f"{k}.png", "width": width, "height": height})
        if k % 4:
            x, y = (int(draw.integers(side // 2 - 6, side // 2 + 1)) for side in (width, height))
            pixels[y : y + 6, x : x + 4] = 255
            content["annotations"].append(
                {"id": k, "image_id": k, "category_id": (2, 7)[k % 2], "bbox": [x, y, 4, 6], "iscrowd": 0}
            )
        Image.fromarray(pixels).save(images / f"{k}.png")
    file.write_text(json.dumps(content))


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_boxes_lie_on_their_objects(tmp_path):
    write(tmp_path / "images", tmp_path / "labels.json", 10)
    arrays = read_coco(tmp_path, None, None)
    assert arrays.classes == ("cat", "owl") and (len(arrays.train_images), len(arrays.test_images)) == (8, 2)
    found = 0
    for image, boxes in zip(arrays.train_images[:, 0], arrays.train_labels):
        rows, columns = np.nonzero(image)
        if len(rows):
            assert boxes[0, :4].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            found += 1
        else:
            assert (boxes[:, 4] == NO_BOX).all()
    assert found in (5, 6, 7)
    config = DataConfig("detection_coco", root=tmp_path, crop_padding=2, limit=4)
    data = open_data(config, torch.device("cpu"), 0)
    assert len(data.train) == 4 and data.shape.target == "boxes"
    assert "3 images without boxes" in summary(data) and "2 classes (cat, owl)" in summary(data)


def test_layouts(tmp_path):
    layouts = {
        "coco": [(f"{split}2017", f"annotations/instances_{split}2017.json") for split in ("train", "val")],
        "beside": [(split, f"{split}/_annotations.coco.json") for split in ("train", "valid")],
        "nested": [(f"images/{split}", f"{split}.json") for split in ("train", "test")],
    }
    for name, splits in layouts.items():
        for (images, file), count in zip(splits, (6, 4)):
            write(tmp_path / name / images, tmp_path / name / file, count, seed=count)
        arrays = read_coco(tmp_path / name, None, None)
        assert (len(arrays.train_images), len(arrays.test_images)) == (6, 4), name
    arrays = read_coco(tmp_path / "beside" / "train" / "_annotations.coco.json", None, None)
    assert (len(arrays.train_images), len(arrays.test_images)) == (5, 1)


def test_what_lies_beside_the_files_of_instances(tmp_path):
    for split, count in (("train", 6), ("val", 4), ("test", 5)):
        write(tmp_path / f"{split}2017", tmp_path / "annotations" / f"instances_{split}2017.json", count)
    folder = tmp_path / "annotations"
    for kind in ("captions", "person_keypoints"):
        (folder / f"{kind}_train2017.json").write_bytes((folder / "instances_train2017.json").read_bytes())
    (folder / "instances_test2017.json").rename(folder / "image_info_test2017.json")
    edit(folder / "image_info_test2017.json", lambda content: content.pop("annotations"))
    arrays = read_coco(tmp_path, None, None)
    assert (len(arrays.train_images), len(arrays.test_images)) == (6, 4)
    assert "1 JSON files without annotations not used" in arrays.notes
    edit(folder / "image_info_test2017.json", lambda content: content.update(annotations=[]))
    arrays = read_coco(tmp_path, None, None)
    assert len(arrays.test_images) == 4 and "1 test split without boxes not used" in arrays.notes


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    write(tmp_path, tmp_path / "a.json", 8)
    expected = read_coco(tmp_path, None, None)
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.json").read_bytes())
    found = read_coco(tmp_path, None, None)
    assert (found.train_labels == expected.train_labels).all() and found.classes == expected.classes


def test_boxes_follow_resizing_and_cropping(tmp_path):
    write(tmp_path, tmp_path / "a.json", 12, width=60, height=40)
    arrays = read_coco(tmp_path, 20, None)
    assert arrays.train_images.shape[1:] == (1, 20, 20)
    for image, boxes in zip(arrays.train_images[:, 0], arrays.train_labels):
        rows, columns = np.nonzero(image > 127)
        if len(rows):
            bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(boxes[0, :4] - bounds).max() <= 1


def test_what_the_literature_leaves_out(tmp_path):
    def change(content):
        first, second, third, fourth, *_ = content["annotations"]
        first["bbox"] = [-3, 5, 9, 6]
        second["bbox"] = [4, 4, 0, 3]
        third["iscrowd"] = 1
        fourth["bbox"] = [15, 2, 9.5, 4]

    write(tmp_path, tmp_path / "a.json", 8)
    edit(tmp_path / "a.json", change)
    arrays = read_coco(tmp_path, None, None)
    notes = set(arrays.notes)
    assert {"1 crowd regions left out", "1 boxes without area left out", "2 boxes clipped to their images"} <= notes
    assert "4 images without boxes" in notes
    boxes = {
        tuple(box[:4]) for part in (arrays.train_labels, arrays.test_labels) for box in part.reshape(-1, 5).tolist()
    }
    assert (0.0, 5.0, 6.0, 11.0) in boxes and (15.0, 2.0, 20.0, 6.0) in boxes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][1].update(category_id=5),
         r"a\.json: annotations\[1\]: 'category_id' 5 is none of 'categories' \(2, 7\)"),
        (lambda c: c["annotations"][1].update(image_id=99), r"annotations\[1\]: 'image_id' 99 is none of 'images'"),
        (lambda c: c["annotations"][1].update(bbox=[40, 2, 5, 5]),
         r"2\.png: the box from \(40, 2\) to \(45, 7\) lies outside the image of 20x20 pixels; correct its 'bbox'"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), r"annotations\[1\]: 'bbox' is '\[1, 2, 3\]'; it must"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3, 10**400]), r"annotations\[1\]: 'bbox' is"),
        (lambda c: [each.update(bbox=[0.1, 0.2, 0.3, 0.4]) for each in c["annotations"]],
         "no 'bbox' is larger than 1; they must be in pixels"),
        (lambda c: c["images"][2].update(file_name="x" * 5000), r"images\[2\]: no file 'x*' in .*; add it"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3, "x"]), r"annotations\[1\]: 'bbox' is"),
        (lambda c: c["images"][2].update(file_name="no.png"), r"images\[2\]: no file 'no\.png' in .*; add it"),
        (lambda c: c["images"][2].update(width=21), r"2\.png: 20x20 pixels, 21x20 in its JSON file"),
        (lambda c: c["images"][2].pop("id"), r"images\[2\]: 'id' is 'None'; it must be a whole number"),
        (lambda c: c["images"][2].update(id=1), r"images\[2\]: 'id' 1 is that of an image before it"),
        (lambda c: c["images"][2].update(file_name="./" + c["images"][1]["file_name"]),
         r"images\[2\]: '\./1\.png' is the file of an image before it; keep one entry"),
        (lambda c: c.update(categories=[]), "'categories' is empty"),
        (lambda c: c["categories"][1].update(id=7), r"categories\[1\]: 'id' 7 is that of a category before it"),
        (lambda c: c.update(annotations=[]), "no training image has a box; boxes are needed to learn from"),
        (lambda c: c.update(images=[], annotations=[]), "'images' is empty"),
        (lambda c: c.update(annotations={}), "'annotations' is no list of objects"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path, change, message):
    write(tmp_path, tmp_path / "a.json", 8)
    edit(tmp_path / "a.json", change)
    with pytest.raises(UserError, match=message) as error:
        read_coco(tmp_path, None, None)
    assert "\n" not in str(error.value)


def test_files_that_are_not_of_the_form(tmp_path):
    with pytest.raises(UserError, match="a JSON file of COCO's form is needed, such as .*; there is none"):
        read_coco(tmp_path, None, None)
    (tmp_path / "a.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"a\.json: no JSON"):
        read_coco(tmp_path, None, None)
    write(tmp_path / "train", tmp_path / "train.json", 4)
    write(tmp_path / "test", tmp_path / "test.json", 4)
    (tmp_path / "a.json").unlink()
    edit(tmp_path / "test.json", lambda content: content["categories"][0].update(name="dog"))
    with pytest.raises(UserError, match="category 'dog' is not the same in both splits' JSON files"):
        read_coco(tmp_path, None, None)
