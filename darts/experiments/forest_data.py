"""The data on which ``darts.fit`` is compared with forests: what each of the two reads, of one division.

All but MNIST come with scikit-learn or are made from it. The folder of images is the digits, each drawn at a size of
its own; the texts are the first sentences of the docstrings of installed packages, and the package is the class.

Axes: ``n`` example, ``f`` feature.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from darts.data.image_folder import ImageForm, read_files
from darts.data.readers import mnist
from darts.errors import UserError

TEST = 0.25
"""Share of the examples that neither model sees before it is scored."""

MNIST_IMAGES = 10_000
"""Images of MNIST's training split that are used; all of its test split scores."""

PACKAGES = ("numpy", "scipy", "sklearn", "torch")
SENTENCES = 700
"""Sentences of each package."""

WORDS = 1_000
"""Words that forests count, the most frequent ones."""

SIDE = 16
"""Side to which forests' images are brought."""


@dataclass(frozen=True)
class Case:
    """One division of a data set.

    Attributes:
        given: ``x`` and ``y`` of ``darts.fit``.
        asked: the same of the model's ``score``.
        train, test: rows ``(n, f)`` and answers ``(n,)`` of forests, of the same examples.
        regression: whether numbers are predicted.
    """

    given: tuple[Any, Any]
    asked: tuple[Any, Any]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    regression: bool = False


Make = Callable[[int, Path, Path | None], Case]
"""(seed, folder for files, folder of MNIST) -> a division."""


def _table(load: Callable[..., Any], regression: bool = False) -> Make:
    def make(seed: int, folder: Path, root: Path | None) -> Case:
        x, y = load(return_X_y=True)
        first, second, y_first, y_second = train_test_split(
            x, y, test_size=TEST, random_state=seed, stratify=None if regression else y
        )
        return Case((first, y_first), (second, y_second), (first, y_first), (second, y_second), regression)

    return make


def _digits(seed: int, folder: Path, root: Path | None) -> Case:
    rows = _table(load_digits)(seed, folder, root)
    (first, y_first), (second, y_second) = rows.train, rows.test
    return Case((first.reshape(-1, 8, 8), y_first), (second.reshape(-1, 8, 8), y_second), rows.train, rows.test)


def _mnist(seed: int, folder: Path, root: Path | None) -> Case:
    if root is None:
        raise UserError("`root` is not given; it is the folder of MNIST")
    arrays = mnist(root, False)
    chosen = np.random.default_rng(seed).permutation(len(arrays.train_images))[:MNIST_IMAGES]
    train = arrays.train_images[chosen], arrays.train_labels[chosen]
    test = arrays.test_images, arrays.test_labels
    return Case(train, test, (_flat(train[0]), train[1]), (_flat(test[0]), test[1]))


def _folder(seed: int, folder: Path, root: Path | None) -> Case:
    images, labels = load_digits(return_X_y=True)
    rng, listed = np.random.default_rng(seed), {}
    first, second = train_test_split(np.arange(len(labels)), test_size=TEST, random_state=seed, stratify=labels)
    for split, indices in (("train", first), ("test", second)):
        listed[split] = [folder / split / f"class{labels[index]}" / f"{index}.png" for index in indices]
        for index, path in zip(indices, listed[split]):
            path.parent.mkdir(parents=True, exist_ok=True)
            width, height = rng.integers(10, 33, 2).tolist()
            picture = Image.fromarray((images[index].reshape(8, 8) * 15.9).astype(np.uint8))
            picture.resize((width, height), Image.Resampling.BICUBIC).save(path)
    form = ImageForm(SIDE, 1, 8)
    train, test = (_flat(read_files(listed[split], form)) for split in ("train", "test"))
    return Case((folder, None), (folder, None), (train, labels[first]), (test, labels[second]))


def _texts(seed: int, folder: Path, root: Path | None) -> Case:
    sentences = [(text, package) for package in PACKAGES for text in _first_sentences(package)]
    texts, labels = map(np.array, zip(*sentences))
    first, second = train_test_split(np.arange(len(labels)), test_size=TEST, random_state=seed, stratify=labels)
    files = {}
    for name, indices in (("train", first), ("test", second)):
        files[name] = folder / f"{name}.csv"
        with files[name].open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *zip(texts[indices], labels[indices])])
    counted = TfidfVectorizer(max_features=WORDS)
    train, test = counted.fit_transform(texts[first]).toarray(), counted.transform(texts[second]).toarray()
    return Case((files["train"], None), (files["test"], None), (train, labels[first]), (test, labels[second]))


def _first_sentences(package: str) -> Iterator[str]:
    """Yield the first lines of the docstrings of a package's public functions and classes, each once, in the order of
    its files."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UserError(f"the package {package} is not installed; its docstrings are the texts")
    seen: dict[str, None] = {}
    for path in sorted(Path(found.origin).parent.rglob("*.py")):
        if {"tests", "_vendored_packages", "externals", "testing"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                line = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
                if 5 <= len(line.split()) <= 40:
                    seen[line] = None
        if len(seen) >= SENTENCES:
            break
    yield from list(seen)[:SENTENCES]


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


CASES: dict[str, Make] = {
    "wine": _table(load_wine),
    "breast_cancer": _table(load_breast_cancer),
    "diabetes": _table(load_diabetes, regression=True),
    "digits": _digits,
    "folder": _folder,
    "texts": _texts,
    "mnist": _mnist,
}
"""Name of a data set -> its divisions."""
