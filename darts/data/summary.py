"""The contents of a data set, in one line."""

from __future__ import annotations

import torch

from darts.data.dataset import DataSet
from supernet.shapes import ImageShape, LanguageShape, TextShape, TranslationShape

MAX_NAMED = 20
"""Classes that are named with their counts; of more classes, the most and the least frequent are named."""


def summary(data: DataSet) -> str:
    """Return the line: examples of each split, their shape, classes with names and counts, notes, what is too small."""
    shape, train, test = data.shape, len(data.train) - data.valid, len(data.test)
    valid = f"{data.valid:,} validation, " if data.valid else ""
    split = f"{train:,} training, {valid}{test:,} test"
    if isinstance(shape, ImageShape):
        parts = [f"{split} images of {shape.size}x{shape.size}, {shape.channels} channel{'s'[: shape.channels > 1]}"]
    elif isinstance(shape, TextShape):
        parts = [f"{split} sentences of up to {shape.length} tokens, vocabulary of {shape.words:,}"]
    elif isinstance(shape, LanguageShape):
        parts = [f"{split} tokens, vocabulary of {shape.words:,}"]
    elif isinstance(shape, TranslationShape):
        words = f"vocabularies of {shape.source_words:,} and {shape.target_words:,}"
        lengths = f"{shape.source_length - 2} and {shape.target_length - 2}"
        parts = [f"{split} pairs of sentences of up to {lengths} tokens, {words}"]
    else:
        parts = [f"{split} examples"]
    classes, few = _classes(data)
    parts += [*classes, *data.notes, *few]
    return f"data {data.name}: {'; '.join(parts)}"


def _classes(data: DataSet) -> tuple[list[str], list[str]]:
    """Return the classes and those of too few examples, both with counts where each example is of one class; nothing
    where there are no classes."""
    train, test = data.train.class_labels(), data.test.class_labels()
    if not data.classes:
        return [], []
    if train is None or test is None:
        shown = data.classes if len(data.classes) <= MAX_NAMED else (*data.classes[:MAX_NAMED], "...")
        return [f"{len(data.classes)} classes ({', '.join(shown)})"], []
    counts, tested = (torch.bincount(labels, minlength=len(data.classes)).tolist() for labels in (train, test))
    named = [f"{name} {a + b:,}" for name, a, b in zip(data.classes, counts, tested)]
    if len(named) > MAX_NAMED:
        order = sorted(range(len(named)), key=lambda index: counts[index] + tested[index])
        named = [f"from {named[order[-1]]} to {named[order[0]]} examples"]
    classes = [f"{len(data.classes)} classes ({', '.join(named)})"]
    few = [(name, a, b) for name, a, b in zip(data.classes, counts, tested) if a < 2 or b < 1]
    if not few:
        return classes, []
    said = ", ".join(f"{name} ({a} training, {b} test)" for name, a, b in few[:MAX_NAMED])
    return classes, [f"too few examples: {said}{', ...' if len(few) > MAX_NAMED else ''}"]
