"""The reader of running text: files, tokens, vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from darts.config import LanguageConfig
from darts.data.dataset import DataSet
from darts.data.text.language_modelling import LanguageModelling
from darts.data.text.running_text import RunningText
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError
from supernet.shapes import LanguageShape

PARTS = ("train", "valid", "test")
PATTERNS = ("ptb.{}.txt", "wiki.{}.tokens", "{}.txt")
"""File names of the parts: Penn Treebank's (Mikolov et al. 2010), WikiText-2's (Merity et al. 2017), plain ones."""

TEXTS = ("text", "ptb", "wikitext2")
"""Names of data sets that are running text."""

END, UNKNOWN = "<eos>", "<unk>"
"""The token at the end of a line or paragraph, and the one that replaces all tokens outside the vocabulary."""


def read_text(name: str, root: Path, config: LanguageConfig, device: torch.device, limit: int | None = None) -> DataSet:
    """Read running text: a file, whose end is held out, or a folder with a file for each of ``PARTS``.

    The vocabulary is that of the training part. Unless the text contains ``<unk>`` itself, words that occur once are
    replaced by it, so that its scores are trained. The training and the validation part come as one split. ``limit`` is
    the number of tokens of each part that are used, its first ones; None for all.

    Raises:
        UserError: naming the file that is missing or cannot be read.
    """
    pattern = next((p for p in PATTERNS if (root / p.format("train")).is_file()), None)
    if root.is_dir():
        if pattern is None:
            wanted = ", ".join(p.format("train") for p in PATTERNS)
            raise UserError(f"`data.root` {root}: no training text in this folder; one of {wanted} is needed")
        files = [root / pattern.format(part) for part in PARTS]
        unit = "spaced" if config.unit == "auto" else config.unit
        parts = [_tokens(read_unicode(file, "text"), unit) for file in files]
    else:
        tokens = _tokens(read_unicode(root, "text"), "word" if config.unit == "auto" else config.unit)
        held = int(config.held_out * len(tokens))
        first, second = len(tokens) - 2 * held, len(tokens) - held
        files, parts = [root] * 3, [tokens[:first], tokens[first:second], tokens[second:]]
    parts = [tokens[:limit] for tokens in parts]
    for part, file, tokens in zip(PARTS, files, parts):
        if len(tokens) < 2:
            raise UserError(f"`data.root` {file}: {len(tokens)} words for the {part} part are too few")
    vocabulary = _vocabulary(parts[0], config.vocabulary)
    train, valid, test = (_indices(tokens, vocabulary) for tokens in parts)
    return DataSet(
        name,
        LanguageShape(len(vocabulary)),
        train=RunningText(torch.cat([train, valid]).to(device), config),
        test=RunningText(test.to(device), config),
        valid=len(valid),
        objective=LanguageModelling(config.activation, config.slowness),
        vocabulary=vocabulary,
    )


def _tokens(text: str, unit: str) -> list[str]:
    if unit == "character":
        return list(text)
    if unit == "spaced":
        return [word for line in text.splitlines() for word in (*line.split(), END)]
    paragraphs = re.split(r"\n\s*\n", text.lower().strip())
    return [word for paragraph in paragraphs for word in (*re.findall(rf"{UNKNOWN}|\w+|[^\w\s]", paragraph), END)]


def _vocabulary(tokens: Sequence[str], size: int) -> dict[str, int]:
    """Return token -> index of the most frequent tokens; those of equal frequency in the order of their occurrence."""
    counts = Counter(tokens)
    least = 1 if UNKNOWN in counts else 2
    kept = [token for token, count in counts.most_common() if count >= least and token != UNKNOWN]
    return {token: index for index, token in enumerate([UNKNOWN, *kept[: size - 1]])}


def _indices(tokens: Sequence[str], vocabulary: dict[str, int]) -> torch.Tensor:
    return torch.tensor([vocabulary.get(token, vocabulary[UNKNOWN]) for token in tokens])
