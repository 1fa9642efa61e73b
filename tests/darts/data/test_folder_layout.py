"""Layouts of folders of images: splits in any spelling, hidden folders, small classes; what is ambiguous is refused."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from darts.data.folder_layout import list_folder
from darts.errors import UserError


def pictures(folder, count=6, end=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.full((4, 4, 3), 40 * index % 256, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03}{end}")


def splits(root, *names, classes=("cat", "dog"), count=6):
    for name in names:
        for each in classes:
            pictures(root / name / each, count)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("training", "testing"),
        ("Training Set", "Test Set"),
        ("training_set", "dev"),
        ("trainset", "testset"),
        ("train2017", "val2017"),
        ("train_images", "validation-data"),
        ("seg_train", "seg_test"),
        ("train", "holdout"),
        ("dogs.training", "dogs.evaluation"),
    ],
)
def test_splits_are_recognized_in_any_spelling(tmp_path, train, test):
    splits(tmp_path, train, test)
    found = list_folder(tmp_path)
    assert found.classes == ("cat", "dog") and (len(found.train), len(found.test)) == (12, 12)
    assert all(f"/{train}/" in path for path, _ in found.train) and all(f"/{test}/" in path for path, _ in found.test)
    assert f"{train}/ and {test}/" in found.notes[0]


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", ".git", ".thumbnails", "__MACOSX", "@eaDir", "__pycache__"])
@pytest.mark.parametrize("count", [0, 2])
def test_hidden_folders_are_no_classes(tmp_path, hidden, count):
    splits(tmp_path, "train", "test")
    for place in (tmp_path, tmp_path / "train", tmp_path / "test", tmp_path / "train" / "cat"):
        pictures(place / hidden, count)
    (tmp_path / "train" / "cat" / "._000.png").write_bytes(b"\x00\x05\x16\x07")
    found = list_folder(tmp_path)
    assert found.classes == ("cat", "dog") and len(found.train) == 12


@pytest.mark.parametrize("hidden", [".git", "__MACOSX"])
def test_hidden_folders_beside_classes_are_no_classes(tmp_path, hidden):
    splits(tmp_path, "", hidden)
    assert list_folder(tmp_path).classes == ("cat", "dog")


def test_every_class_is_trained_on_and_where_it_has_two_examples_tested(tmp_path):
    for name, count in (("a", 15), ("b", 1), ("c", 4), ("d", 2)):
        pictures(tmp_path / name, count)
    found = list_folder(tmp_path)
    train, test = (Counter(found.classes[label] for _, label in part) for part in (found.train, found.test))
    assert train == {"a": 12, "b": 1, "c": 3, "d": 1} and test == {"a": 3, "c": 1, "d": 1}


def test_an_unlabelled_test_folder_beside_a_labelled_validation_folder_is_not_used(tmp_path):
    splits(tmp_path, "train", "val")
    pictures(tmp_path / "test")
    found = list_folder(tmp_path)
    assert len(found.test) == 12 and all("/val/" in path for path, _ in found.test)
    assert "test/ holds no class folders and is not used" in found.notes


def test_an_unlabelled_test_folder_alone_leaves_a_fifth_to_test_on(tmp_path):
    splits(tmp_path, "train", count=10)
    pictures(tmp_path / "Test")
    found = list_folder(tmp_path)
    assert (len(found.train), len(found.test)) == (16, 4) and "Test/ holds no class folders" in found.notes[1]


def test_a_test_and_a_validation_folder(tmp_path):
    splits(tmp_path, "train", "val", "test")
    found = list_folder(tmp_path)
    assert all("/test/" in path for path, _ in found.test) and "val/ is not used" in found.notes


def test_one_folder_around_the_classes_is_unwrapped(tmp_path):
    splits(tmp_path / "pets" / "images", "train", "test")
    assert list_folder(tmp_path).classes == ("cat", "dog")
    splits(tmp_path / "other" / "inner", "")
    assert list_folder(tmp_path / "other").classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["train", "trainer", "test tube", "development kit"])
def test_a_class_may_have_the_word_of_a_split_in_its_name(tmp_path, name):
    splits(tmp_path, "", classes=("car", name))
    assert list_folder(tmp_path).classes == tuple(sorted(("car", name)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda root: splits(root, "Test", "other"), "Test/ holds class folders, but no training split does"),
        (lambda root: splits(root, "train", "Train", "test"), "are all named like the train split"),
        (lambda root: splits(root, "train", "pruefung"), "pruefung/ holds the same classes as train/; rename it test/"),
        (lambda root: [splits(root, ""), pictures(root / "test")], "test/ holds images without classes, beside class"),
        (lambda root: [pictures(root / "train"), pictures(root / "test")], "test/ holds images without classes"),
        (lambda root: [splits(root, "train", "test"), (root / "train" / "cow").mkdir()], "cow/ holds no images"),
        (
            lambda root: [splits(root, "train"), splits(root, "test", classes=("cat", "cow"))],
            "class 'cow' is in one of",
        ),
        (lambda root: pictures(root), "one sub-folder of images for each class"),
        (lambda root: splits(root, "", count=1), "2 examples are too few to hold some out"),
        (lambda root: splits(root, "", classes="abcdef", count=1), "no class has two"),
    ],
)
def test_what_is_ambiguous_or_missing_is_one_line(tmp_path, made, message):
    made(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        list_folder(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_the_order_of_files_is_that_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    splits(tmp_path, "train", "test")
    for place in ("train/cat/b/c", "train/cat/B", "train/dog/10", "train/dog/9"):
        pictures(tmp_path / place, 2, ".JPG")
    (tmp_path / "train" / "cat" / "loop").symlink_to(tmp_path / "train" / "dog" / "9")
    found = ImageFolder(str(tmp_path / "train"))
    order = np.random.default_rng(0).permutation(len(found.samples))
    assert list_folder(tmp_path).train == [found.samples[index] for index in order]


def test_a_circle_of_links_is_walked_once(tmp_path):
    splits(tmp_path, "train", "test")
    (tmp_path / "train" / "cat" / "again").symlink_to(tmp_path / "train" / "cat")
    assert len(list_folder(tmp_path).train) == 12


def test_a_limit_keeps_the_shares_of_the_classes(tmp_path):
    for name, count in (("a", 40), ("b", 20)):
        pictures(tmp_path / "train" / name, count)
        pictures(tmp_path / "test" / name, 3)
    found = list_folder(tmp_path).limited(9)
    assert Counter(label for _, label in found.train) == {0: 6, 1: 3} and len(found.test) == 6
    with pytest.raises(UserError, match="`data.limit` 1 is below the number of classes, 2"):
        list_folder(tmp_path).limited(1)


@pytest.mark.parametrize("names", [("train", "test"), ("",)])
def test_images_of_other_formats_are_left_out_and_the_line_says_so(tmp_path, names):
    splits(tmp_path, *names)
    for name in ("a.HEIC", "b.heic", "c.gif", "notes.txt", ".d.gif"):
        (tmp_path / names[0] / "cat" / name).write_bytes(b"")
    assert "left out: 1 .gif files, 2 .heic files" in list_folder(tmp_path).notes
