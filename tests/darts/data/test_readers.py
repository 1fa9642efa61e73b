import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from darts.config import DataConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.folder_layout import list_folder
from darts.data.order import shuffled
from darts.data.readers import READERS
from darts.data.registry import open_data
from darts.data.resident import resident, statistics
from darts.data.streamed_images import StreamedImages
from darts.errors import UserError

CPU = torch.device("cpu")


def opened(root, name, **options):
    return open_data(DataConfig(name, root, **options), CPU, seed=0)


def read(name, root):
    return READERS[name].read(root, False)


def cifar_records(count, label_bytes=1, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (count, label_bytes), np.uint8)
    pixels = rng.integers(0, 256, (count, 3072), np.uint8)
    return np.concatenate([labels, pixels], 1)


def write_cifar10(folder):
    folder.mkdir(parents=True)
    for index, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        cifar_records(8, seed=index).tofile(folder / f"{name}.bin")


def test_digits_are_whole_and_balanced():
    data = opened(None, "digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert (data.shape.channels, data.shape.size, data.shape.classes) == (1, 8, 10)
    assert min(np.bincount(data.test.labels)) >= 34


@pytest.mark.parametrize("nested", [True, False])
def test_cifar10_binary(tmp_path, nested):
    folder = tmp_path / "cifar-10-batches-bin" if nested else tmp_path / "here"
    write_cifar10(folder)
    arrays = read("cifar10", tmp_path if nested else folder)
    first = cifar_records(8, seed=0)
    assert arrays.train_images.shape == (40, 3, 32, 32) and arrays.test_images.shape == (8, 3, 32, 32)
    assert np.array_equal(arrays.train_images[0].reshape(-1), first[0, 1:])
    assert np.array_equal(arrays.train_labels[:8], first[:, 0])


def test_cifar100_binary_takes_the_fine_labels(tmp_path):
    records = cifar_records(8, label_bytes=2)
    for name in ("train", "test"):
        records.tofile(tmp_path / f"{name}.bin")
    assert np.array_equal(read("cifar100", tmp_path).train_labels, records[:, 1])


@pytest.mark.parametrize("damage", ["short", "labels", "absent"])
def test_damaged_cifar_is_named(tmp_path, damage):
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    victim = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    if damage == "short":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == "labels":
        victim.write_bytes(b"\xff" * 3073)
    else:
        victim.unlink()
    with pytest.raises(UserError, match="data_batch_3.bin"):
        read("cifar10", tmp_path)


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.needs_root])
def test_absent_data_says_what_to_do(name, tmp_path):
    with pytest.raises(UserError, match="`data.root`"):
        opened(None, name)
    with pytest.raises(UserError, match="no such file or folder"):
        opened(tmp_path / "absent", name)
    with pytest.raises(UserError, match=f"`data.root` {tmp_path}"):
        opened(tmp_path, name)


def write_mnist(root):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("t10k", 4)):
        header = [np.array([2051, count, 28, 28], ">i4"), np.array([2049, count], ">i4")]
        content = [rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8)]
        for kind, head, body in zip(("images-idx3", "labels-idx1"), header, content):
            (raw / f"{split}-{kind}-ubyte").write_bytes(head.tobytes() + body.tobytes())


def test_mnist(tmp_path):
    write_mnist(tmp_path)
    arrays = read("mnist", tmp_path)
    assert arrays.train_images.shape == (6, 1, 28, 28) and arrays.test_labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("keys", [("x_train", "y_train", "x_test", "y_test"), ("images", "labels")])
@pytest.mark.parametrize(("shape", "dtype"), [((9, 9), "u1"), ((9, 9, 3), "u1"), ((2, 9, 9), "f8"), ((1, 9, 9), "i4")])
def test_npz(tmp_path, keys, shape, dtype):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 200, (50, *shape)).astype(dtype), np.array([3, 7] * 25)
    content = {keys[0]: images, keys[1]: labels}
    if len(keys) == 4:
        content |= {keys[2]: images[:10], keys[3]: labels[:10]}
    np.savez(tmp_path / "set.npz", **content)
    data = opened(tmp_path / "set.npz", "npz")
    channels = {2: 1, 3: 3 if shape[-1] == 3 else shape[0]}[len(shape)]
    assert (data.shape.channels, data.shape.size, data.shape.classes) == (channels, 9, 2)
    assert (len(data.train), len(data.test)) == ((50, 10) if len(keys) == 4 else (40, 10))
    batch = next(data.train.batches(torch.arange(len(data.train)), 50, False))[0]
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(channels), atol=1e-4, rtol=0)
    torch.testing.assert_close(batch.std((0, 2, 3), correction=0), torch.ones(channels), atol=1e-3, rtol=0)


IMAGES, LABELS = np.zeros((10, 8, 8), np.uint8), np.arange(10) % 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": np.zeros(3)}, "holds a; wanted are"),
        ({"images": IMAGES, "labels": LABELS[1:]}, r"labels has shape \(9,\).*each of the 10 images"),
        ({"images": IMAGES, "labels": np.eye(2)[LABELS]}, r"labels.argmax\(1\)"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "fractions or NaN"),
        ({"images": IMAGES, "labels": np.zeros(10)}, "one label only"),
        ({"images": IMAGES[:, 0], "labels": LABELS}, "images have shape"),
        ({"images": IMAGES[:, 1:], "labels": LABELS}, "crop or pad"),
        ({"images": IMAGES[:, :0, :0], "labels": LABELS}, "empty"),
        ({"images": IMAGES.astype(complex), "labels": LABELS}, "real numbers"),
        ({"images": np.full(IMAGES.shape, np.nan), "labels": LABELS}, "no finite numbers"),
        ({"images": np.full(IMAGES.shape, 1e300), "labels": LABELS}, "no finite numbers"),
        ({"images": IMAGES[:4], "labels": LABELS[:4]}, "too few"),
        ({"images": np.array([{}, {}]), "labels": np.zeros(2)}, "plain arrays"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:, 1:], "y_test": LABELS},
            "1x8x8, of x_test 1x7x7",
        ),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES / 255, "y_test": LABELS}, "scale both alike"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
            "label 2, which y_train never",
        ),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS.astype("U1")}, "the other text"),
    ],
)
def test_faulty_npz_is_named(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(UserError, match=f"set.npz.*{message}"):
        read("npz", tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("images", "labels", "shape"),
    [
        (IMAGES > 3, LABELS, (1, 8, 8)),
        (np.zeros((10, 4, 4, 3), np.float16), LABELS * 1000 - 7, (3, 4, 4)),
        (np.zeros((10, 8, 8, 5), ">i4"), LABELS[:, None], (5, 8, 8)),
        (np.asfortranarray(np.zeros((10, 2, 8, 8), np.uint16)), np.array(["cat", "dog"])[LABELS], (2, 8, 8)),
    ],
)
def test_unusual_npz(tmp_path, images, labels, shape):
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    arrays = read("npz", tmp_path / "set.npz")
    assert arrays.train_images.shape == (8, *shape) and arrays.test_images.shape == (2, *shape)
    assert {*arrays.train_labels, *arrays.test_labels} == {0, 1}


def test_a_pickle_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "set.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="set.npz"):
        read("npz", tmp_path / "set.npz")
    assert not (tmp_path / "sprung").exists()


def write_folder(root, splits=("train", "test"), size=(12, 12), mode="RGB", count=6):
    rng = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / split / name / f"{index}.png")


@pytest.mark.parametrize(
    ("splits", "size", "mode", "wanted", "found"),
    [
        (("train", "test"), (12, 12), "RGB", None, (3, 12)),
        (("train", "val"), (20, 14), "L", None, (1, 14)),
        (("",), (12, 12), "RGB", 8, (3, 8)),
    ],
)
def test_image_folders(tmp_path, splits, size, mode, wanted, found):
    write_folder(tmp_path, splits, size, mode)
    data = opened(tmp_path, "folder", size=wanted)
    assert (data.shape.channels, data.shape.size) == found and data.shape.classes == 2
    assert len(data.train) + len(data.test) == 12 * len(splits)
    images, labels = next(data.train.batches(torch.arange(8), 8, True))
    assert images.shape == (8, found[0], found[1], found[1]) and set(labels.tolist()) == {0, 1}


def test_faulty_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list_folder(tmp_path / "absent")
    with pytest.raises(UserError, match="one sub-folder"):
        list_folder(tmp_path)
    write_folder(tmp_path, size=(8, 8))
    (tmp_path / "train" / "cat" / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="3.png"):
        opened(tmp_path, "folder")
    (tmp_path / "test" / "cow").mkdir()
    (tmp_path / "test" / "cow" / "0.png").write_bytes((tmp_path / "train" / "cat" / "1.png").read_bytes())
    with pytest.raises(UserError, match="'cow'"):
        list_folder(tmp_path)


def test_one_class_is_none(tmp_path):
    write_folder(tmp_path)
    for split in ("train", "test"):
        shutil.rmtree(tmp_path / split / "dog")
    with pytest.raises(UserError, match="one class only, 'cat'"):
        list_folder(tmp_path)


def test_grey_images_of_16_bits_keep_their_shades(tmp_path):
    write_folder(tmp_path)
    shades = np.arange(144, dtype=np.uint16).reshape(12, 12) * 400
    for path in tmp_path.glob("*/*/*.png"):
        Image.fromarray(shades).save(path)
    data = opened(tmp_path, "folder")
    assert data.shape.channels == 1 and np.array_equal(data.train.images[0, 0], shades >> 8)
    for path in tmp_path.glob("*/*/*.png"):
        Image.fromarray(shades.astype(np.float32)).save(path, format="tiff")
    with pytest.raises(UserError, match=r"\.png: an image of floating-point values"):
        opened(tmp_path, "folder")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_by_workers_too(tmp_path, workers):
    write_folder(tmp_path, size=(40, 36))
    victim = tmp_path / "train" / "dog" / "2.png"
    victim.write_bytes(victim.read_bytes()[:-2000])
    data = opened(tmp_path, "imagenet", size=32, workers=workers)
    with pytest.raises(UserError, match="2.png: a damaged image") as error:
        list(data.train.batches(torch.arange(12), 5, True))
    assert "\n" not in str(error.value)


def test_an_image_too_large_is_named(tmp_path, monkeypatch):
    write_folder(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(UserError, match=r"\.png: not a readable image"):
        opened(tmp_path, "folder")


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_folder_goes_on_the_same(tmp_path, workers):
    write_folder(tmp_path, size=(40, 36))
    data = opened(tmp_path, "imagenet", size=32, workers=workers)
    assert isinstance(data.train, StreamedImages) and data.shape.size == 32
    order = shuffled(torch.arange(12), 3, 0)
    whole = list(data.train.batches(order, 5, True))
    rest = list(data.train.batches(order, 5, True, first=1))
    assert [len(labels) for _, labels in whole] == [5, 5, 2]
    for (a, y), (b, z) in zip(whole[1:], rest, strict=True):
        assert torch.equal(a, b) and torch.equal(y, z)
    other = next(data.train.batches(shuffled(torch.arange(12), 3, 1), 12, True))[0]
    assert not torch.equal(other[:5].sort(0)[0], whole[0][0].sort(0)[0])


def test_statistics():
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 5, 5), np.uint8)
    images[:, 2] = 7
    mean, std = statistics(images)
    np.testing.assert_allclose(mean, images.mean((0, 2, 3)))
    np.testing.assert_allclose(std[:2], images.std((0, 2, 3))[:2])
    assert std[2] == 1


def small(count=23):
    images = np.arange(count * 16, dtype=np.uint8).reshape(count, 1, 4, 4)
    arrays = Arrays(images, np.arange(count) % 3, images[:5], np.arange(5) % 3)
    return resident("small", arrays, Augmentation(1, True, 2), torch.Generator().manual_seed(0))


def test_an_epoch_is_a_permutation_by_seed_and_epoch():
    indices = torch.arange(100)
    orders = [shuffled(indices, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert all(torch.equal(order.sort()[0], indices) for order in orders)
    assert torch.equal(orders[0], orders[3])
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_batches_continue_where_they_stopped():
    data = small()
    stream = data.train.endless_batches(torch.arange(23), 5, seed=0, first=0)
    whole = []
    for count in range(13):
        if count == 7:
            state = data.train.state()
        whole.append(next(stream))
    data.train.load_state(state)
    resumed = data.train.endless_batches(torch.arange(23), 5, seed=0, first=7)
    for x, y in whole[7:]:
        a, b = next(resumed)
        assert torch.equal(a, x) and torch.equal(b, y)
    assert sorted(len(y) for _, y in whole[:5]) == [3, 5, 5, 5, 5]


@pytest.mark.skipif("DATA_ROOT" not in os.environ, reason="DATA_ROOT names no folder with the real CIFAR-10")
def test_the_real_cifar10():
    arrays = read("cifar10", Path(os.environ["DATA_ROOT"]))
    assert arrays.train_images.shape == (50000, 3, 32, 32) and arrays.test_images.shape == (10000, 3, 32, 32)
    mean, std = statistics(arrays.train_images)
    np.testing.assert_allclose(mean / 255, [0.49139968, 0.48215841, 0.44653091], atol=1e-7)
    np.testing.assert_allclose(std / 255, [0.24703223, 0.24348513, 0.26158784], atol=1e-7)
