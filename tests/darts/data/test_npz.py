"""Arrays in .npz files: which are read, by which names, and how a difference of both splits is named."""

import numpy as np
import pytest

from darts.data.npz import npz
from darts.errors import UserError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), np.arange(40) % 4
WHOLE = dict(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:12], y_test=LABELS[:12])


def saved(path, **arrays):
    np.savez(path / "set.npz", **arrays)
    return path / "set.npz"


@pytest.mark.parametrize(
    ("x", "y"),
    [("x_train", "y_train"), ("X_train", "Y_train"), ("train_images", "train_labels"), ("images", "labels"),
     ("data", "target"), ("x", "y"), ("X", "y"), ("image", "label"), ("images_train", "labels_train")],
)  # fmt: skip
@pytest.mark.parametrize("beside", [{}, {"x_test": IMAGES[:5]}, {"y_test": LABELS[:5], "mean": np.zeros(3)}])
def test_without_a_labelled_test_split_a_fifth_of_each_class_is_held_out(tmp_path, x, y, beside):
    arrays = npz(saved(tmp_path, **{x: IMAGES, y: LABELS}, **beside))
    assert np.bincount(arrays.train_labels).tolist() == [8] * 4 and np.bincount(arrays.test_labels).tolist() == [2] * 4
    assert "a fifth held out" in arrays.notes[0] and arrays.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("test", [("x_test", "y_test"), ("X_val", "y_val"), ("valid_images", "valid_labels")])
def test_the_test_split_may_be_called_validation(tmp_path, test):
    x, y = test
    train = dict(x_train=IMAGES, y_train=LABELS) if x.startswith("x") else dict(images=IMAGES, labels=LABELS)
    arrays = npz(saved(tmp_path, **train, **{x: IMAGES[:12], y: LABELS[:12]}))
    assert len(arrays.train_images) == 40 and np.array_equal(arrays.test_labels, LABELS[:12])


def test_a_small_class_is_trained_on(tmp_path):
    labels = np.array([0] * 30 + [1] * 8 + [2, 3])
    arrays = npz(saved(tmp_path, images=IMAGES, labels=labels))
    assert np.bincount(arrays.train_labels).tolist() == [24, 6, 1, 1] and set(arrays.test_labels) == {0, 1}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ((IMAGES / 255).astype("f4"), IMAGES[:12].astype("f4")),
        (IMAGES.astype("f8"), IMAGES[:12] / 255),
        (IMAGES, (IMAGES[:12] > 128)),
        (IMAGES, IMAGES[:12].astype(np.uint16) * 257),
        (IMAGES / 255, IMAGES[:12] / 127.5 - 1),
        (IMAGES / 127.5 - 1, IMAGES[:12] / 255),
        ((IMAGES - IMAGES.mean()) / IMAGES.std(), IMAGES[:12].astype("f4")),
        (IMAGES / 16, IMAGES[:12] / 255),
    ],
)
def test_scales_that_differ_are_named(tmp_path, train, test):
    with pytest.raises(UserError, match=r"x_train from .* to .* and x_test from .* to .*: scale both alike"):
        npz(saved(tmp_path, **{**WHOLE, "x_train": train, "x_test": test}))


@pytest.mark.parametrize("scale", [1.0, 1 / 255, 2.0])
def test_scales_that_agree_are_taken(tmp_path, scale):
    test = np.clip(IMAGES[:12] * 0.6, 0, 255)  # a darker test split
    arrays = npz(saved(tmp_path, **{**WHOLE, "x_train": (IMAGES * scale).astype("f4"), "x_test": test * scale}))
    assert arrays.train_images.dtype == np.float32
    assert npz(saved(tmp_path, **WHOLE)).train_images.dtype == np.uint8


def test_only_arrays_that_are_used_are_read(tmp_path):
    names = np.array(["a", "b", "c", "d"], object)
    assert npz(saved(tmp_path, **WHOLE, class_names=names, meta=np.array([{}]))).classes == ("0", "1", "2", "3")
    assert npz(saved(tmp_path, **WHOLE, class_names=names.astype("U"))).classes == ("a", "b", "c", "d")
    assert npz(saved(tmp_path, **WHOLE, classes=names.astype("U")[:3])).classes == ("0", "1", "2", "3")


def test_pickled_arrays_that_are_needed_are_refused_by_their_name(tmp_path):
    with pytest.raises(UserError, match="set.npz: y_train holds pickled Python objects, which are refused"):
        npz(saved(tmp_path, **{**WHOLE, "y_train": LABELS.astype(object)}))


@pytest.mark.parametrize(
    "labels", [np.array(["cat", "dog", "cow", "ant"])[LABELS], np.array([b"z", b"b", b"c", b"d"])[LABELS]]
)
def test_text_labels_are_the_classes_names(tmp_path, labels):
    arrays = npz(saved(tmp_path, images=IMAGES, labels=labels))
    assert arrays.classes == tuple(
        sorted({str(label.decode() if labels.dtype.kind == "S" else label) for label in labels})
    )


def test_other_names_are_told_which_are_wanted(tmp_path):
    with pytest.raises(UserError, match="holds arr_0, arr_1; wanted are x_train/y_train/x_test/y_test or .* x/y"):
        npz(saved(tmp_path, arr_0=IMAGES, arr_1=LABELS))


def test_a_limit_is_stratified(tmp_path):
    labels = np.array([0] * 30 + [1] * 10)
    arrays = npz(saved(tmp_path, images=IMAGES, labels=labels)).limited(8)
    assert np.bincount(arrays.train_labels).tolist() == [6, 2] and len(arrays.test_labels) == 8
