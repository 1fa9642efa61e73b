"""What a user may give as ``x`` and ``y``: its kind is recognized, and it is brought to one of three forms.

Tables are columns by name, images an array or a list of files, texts a list of strings. Axes: ``n`` example.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from darts.automatic.examples.images import (
    LARGEST,
    ImageEncoder,
    fit_images,
    images_of_array,
    is_image,
    paths_of,
)
from darts.automatic.examples.tables import (
    Columns,
    TableEncoder,
    column,
    fit_table,
    numbers_rows,
    read_csv,
    table_of_array,
    table_of_frame,
    without,
)
from darts.automatic.examples.texts import TextEncoder, fit_texts
from darts.data.folder_layout import images_of, list_folder
from darts.data.image_folder import ImageForm, form_of, read_files
from darts.data.npz import npz
from darts.data.text.sentences import tokens_of
from darts.errors import UserError

Kind = Literal["table", "image", "text"]
Encoder = TableEncoder | ImageEncoder | TextEncoder

ENCODERS: dict[str, Callable[[Mapping[str, Any]], Encoder]] = {
    "table": TableEncoder.from_state,
    "image": ImageEncoder.from_state,
    "text": TextEncoder.from_state,
}
"""Kind -> an encoder of its state."""

LABELS = ("label", "labels", "target", "class", "y")
"""Names of the column of a CSV file that holds the answers, in lower case; else it is the last column."""

WORDS = 3.0
"""Tokens on average from which on a single column of texts is read as texts, not as categories."""


@dataclass(frozen=True)
class Given:
    """Examples of one kind.

    Attributes:
        kind: table, image or text.
        value: columns, an array ``(n, c, h, w)`` or a list of files, or a list of strings.
        answers: of the examples; None where there are none.
        label: name of the column that held the answers, where a file did.
        form: to which image files are brought; None for anything else.
        notes: what was found, for people.
    """

    kind: Kind
    value: Any
    answers: Any = None
    label: str | None = None
    form: ImageForm | None = None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.value.values()))) if self.kind == "table" else len(self.value)

    def fitted(self) -> tuple[Encoder, Tensor]:
        """Return an encoder that was fitted to these examples, and them encoded."""
        if self.kind == "table":
            table = fit_table(self.value)
            return table, table(self.value)
        if self.kind == "text":
            texts = fit_texts(self.value)
            return texts, texts(self.value)
        images, bits = self.value, 8
        if not isinstance(images, Tensor):
            assert self.form is not None
            images, bits = torch.from_numpy(read_files(images, self.form)), self.form.bits
        encoder = fit_images(images, bits)
        return encoder, encoder(images)


@dataclass(frozen=True)
class Expected:
    """What a trained model reads.

    Attributes:
        kind: of its examples.
        label: column of answers that it was trained on, where a file or data frame had one; it need not be there.
        texts: names of columns that hold text, even where it looks like numbers.
    """

    kind: str
    label: str | None = None
    texts: frozenset[str] = frozenset()


def read_examples(x: Any, y: Any = None, *, expected: Expected | None = None, test: bool = False) -> Given:
    """Recognize examples.

    Args:
        x: an array or tensor of rows, images or texts, a data frame, a mapping of columns, a list of texts or rows, or
            the path of a folder of images, a CSV file or an ``.npz`` file.
        y: the answers; of a CSV file or data frame, the name of their column. A folder's sub-folders are its classes.
        expected: by a model that is trained; None to train one.
        test: whether a folder's or file's test split is read, not its training split.

    Raises:
        UserError: where ``x`` is of none of these forms, or has another number of examples than ``y``.
    """
    texts = expected.texts if expected else frozenset()
    given = _read_path(Path(x), y, expected, test) if isinstance(x, str | Path) else _read_object(x, y, texts)
    if len(given) == 0:
        raise UserError("`x` holds no examples")
    if given.answers is not None:
        try:
            count = len(given.answers)
        except TypeError:
            kind = type(given.answers).__name__
            raise UserError(f"`y` is one {kind}; it must hold an answer for each example") from None
        if count != len(given):
            raise UserError(f"`x` has {len(given)} examples and `y` has {count} answers; they must be equally many")
    return given


def _read_object(x: Any, y: Any, texts: Collection[str]) -> Given:
    if isinstance(x, Tensor):
        x = x.detach().cpu().numpy()
    if isinstance(x, list | tuple) and x and all(isinstance(item, Path) for item in x):
        return Given("image", list(x), y)
    if isinstance(x, Mapping):
        columns = {str(name): (f"column {name!r}", _flat(values)) for name, values in x.items()}
        return _of_table({name: column(*each, name in texts) for name, each in columns.items()}, y)
    if not isinstance(x, np.ndarray | list | tuple) and hasattr(x, "columns"):  # a data frame of any library
        return _of_table(table_of_frame(x, texts), y)
    try:
        values = np.asarray(x)
    except ValueError:
        raise UserError("`x` has rows of unequal lengths; they must be of one length") from None
    if values.dtype.kind == "c":
        raise UserError("`x` holds complex numbers; give their real and imaginary parts as columns")
    if values.ndim == 1 and values.dtype.kind in "UOS" and all(isinstance(text, str) for text in values):
        return Given("text", [str(text) for text in values], y)
    if values.ndim == 1 and any(isinstance(row, list | tuple | np.ndarray) for row in values):
        raise UserError("`x` has rows of unequal lengths; they must be of one length")
    if values.ndim and len(values) == 0:
        raise UserError("`x` holds no examples")
    if values.ndim in (1, 2):
        return _of_table(table_of_array(values[:, None] if values.ndim == 1 else values, texts), y)
    if values.ndim in (3, 4):
        return Given("image", images_of_array(values), y)
    accepted = "a table (n, columns), images (n, h, w) or (n, c, h, w), or a list of texts"
    raise UserError(f"`x` is a {type(x).__name__} of shape {values.shape}; accepted are {accepted}")


def _flat(values: Any) -> np.ndarray:
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if found.ndim != 1:
        raise UserError(f"`x` has a column of shape {found.shape}; a column has one value for each example")
    return found


def _of_table(table: Columns, y: Any) -> Given:
    """Return a table; of which a column is taken out where ``y`` is its name."""
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"`x` has columns of unequal lengths: {', '.join(map(str, sorted(set(lengths.values()))))}")
    if not table:
        raise UserError("`x` has no columns")
    if not isinstance(y, str):
        return Given("table", table, y)
    if y not in table:
        raise UserError(f"`y` is {y!r}; there is no such column, but {', '.join(list(table)[:20])}")
    return Given("table", without(table, [y]), _answers(table[y]), y)


def _answers(values: np.ndarray) -> np.ndarray:
    if values.dtype != object and not np.isnan(values).any() and (values == np.round(values)).all():
        return values.astype(np.int64)
    return values


def _read_path(path: Path, y: Any, expected: Expected | None, test: bool) -> Given:
    if path.is_dir():
        return _read_folder(path, test)
    if not path.exists():
        raise UserError(f"`x` {path}: no such file or folder")
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _read_csv(path, y, expected)
    if path.suffix.lower() == ".npz":
        arrays = npz(path)
        images, labels = (
            (arrays.test_images, arrays.test_labels) if test else (arrays.train_images, arrays.train_labels)
        )
        names = np.array(arrays.classes) if arrays.classes else None
        return Given("image", torch.from_numpy(images), labels if names is None else names[labels], notes=arrays.notes)
    if is_image(path):
        return Given("image", [path])
    raise UserError(f"`x` {path}: neither a folder of images, a .csv file, an .npz file nor an image")


def _read_folder(path: Path, test: bool) -> Given:
    listing = list_folder(path)
    form = form_of(*listing.paths, None)
    if form.size > LARGEST:  # training and prediction then decode the files in the same way
        form = replace(form, size=LARGEST, resized=True)
    samples = listing.test if test else listing.train
    answers = np.array([listing.classes[label] for _, label in samples])
    notes = (*listing.notes, *form.notes())
    return Given("image", paths_of(samples), answers, form=form, notes=notes)


def _read_csv(path: Path, y: Any, expected: Expected | None) -> Given:
    table = read_csv(path, () if expected is None else None if expected.kind == "text" else expected.texts)
    notes: tuple[str, ...] = ()
    if numbers_rows(table) and len(table) > 1:
        table = without(table, [""])
        notes = ("the first column, which numbers the rows, is left out",)
    chosen = y if isinstance(y, str) else expected.label if expected else None
    if isinstance(y, str) and y not in table:
        raise UserError(f"`y` is {y!r}; {path} has no such column, but {', '.join(list(table)[:20])}")
    if expected is None and chosen is None:
        names = {name.lower(): name for name in table}
        chosen = next((names[name] for name in LABELS if name in names), list(table)[-1])
    answers = _answers(table[chosen]) if chosen in table else None
    if not isinstance(y, str) and y is not None:
        answers = y
    rest = table if chosen is None else without(table, [chosen])
    if not rest:
        raise UserError(f"{path}: one column only; columns to predict from are needed beside {chosen!r}")
    if expected is None:
        notes = (*notes, f"{chosen!r} is predicted from the other columns")
    (first, *others) = rest.values()
    if not others and first.dtype == object:
        texts = ["" if text is None else text for text in first]
        words = sum(len(tokens_of(text)) for text in texts[:1000]) / len(texts[:1000])
        if words >= WORDS or (expected is not None and expected.kind == "text"):
            return Given("text", texts, answers, chosen, notes=notes)
    return Given("table", rest, answers, chosen, notes=notes)


def read_new(x: Any, expected: Expected) -> Given:
    """Recognize examples to predict; single files and any folder of images are taken too.

    Raises:
        UserError: where they are of another kind than expected.
    """
    if expected.kind == "image":
        paths = [x] if isinstance(x, str | Path) else list(x) if isinstance(x, list | tuple) else []
        if paths and all(isinstance(path, str | Path) for path in paths):
            return Given("image", image_files([Path(path) for path in paths]))
    given = read_examples(x, expected=expected)
    if given.kind != expected.kind:
        raise UserError(f"`x` is read as {_named(given.kind)}; the model was trained on {_named(expected.kind)}")
    return given


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return image files, and those in folders at any depth; hidden ones are left out.

    Raises:
        UserError: where a path is not there, or there is no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += map(Path, images_of(path))
        elif not path.exists():
            raise UserError(f"`x` {path}: no such file or folder")
        else:
            found.append(path)
    if not found:
        raise UserError(f"`x` {paths[0]}: holds no images")
    return found


def _named(kind: str) -> str:
    return {"table": "a table", "image": "images", "text": "texts"}[kind]
