"""Running text from files: its parts, its words, its vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from darts.config.language import LanguageConfig
from darts.data.dataset import DataSet
from darts.data.running_text import LanguageModelling, Text
from darts.errors import UserError
from supernet.shapes import LanguageShape

PARTS = ("train", "valid", "test")
PATTERNS = ("ptb.{}.txt", "wiki.{}.tokens", "{}.txt")
"""What the files of the parts are called: as of Penn Treebank (Mikolov et al. 2010), as of WikiText-2 (Merity et al.
2017), or plainly."""

TEXTS = ("text", "ptb", "wikitext2")
"""Names of data sets that are running text."""

END, UNKNOWN = "<eos>", "<unk>"
"""The word at the end of a line or paragraph, and the one that stands for all that are not told apart."""


def read_text(name: str, root: Path, config: LanguageConfig, device: torch.device) -> DataSet:
    """Running text: a file, of which the end is held out, or a folder with a file for each of ``PARTS``.

    The vocabulary is that of the training part. Unless the text says ``<unk>`` by itself, words that it holds once are
    unknown, so that what is said of unknown words is learnt. The training and validation part come as one split.

    Raises:
        UserError: naming the file that is missing, or cannot be read.
    """
    pattern = next((p for p in PATTERNS if (root / p.format("train")).is_file()), None)
    if root.is_dir():
        if pattern is None:
            wanted = ", ".join(p.format("train") for p in PATTERNS)
            raise UserError(f"--data.root {root}: no training text in this folder; one of {wanted} is needed")
        files = [root / pattern.format(part) for part in PARTS]
        unit = "spaced" if config.unit == "auto" else config.unit
        parts = [_words(_read(file), unit) for file in files]
    else:
        words = _words(_read(root), "word" if config.unit == "auto" else config.unit)
        held = int(config.held_out * len(words))
        first, second = len(words) - 2 * held, len(words) - held
        files, parts = [root] * 3, [words[:first], words[first:second], words[second:]]
    for part, file, words in zip(PARTS, files, parts):
        if len(words) < 2:
            raise UserError(f"--data.root {file}: {len(words)} words for the {part} part are too few")
    vocabulary = _vocabulary(parts[0], config.vocabulary)
    train, valid, test = (_numbers(words, vocabulary) for words in parts)
    splits = (Text(words.to(device), config) for words in (torch.cat([train, valid]), test))
    objective = LanguageModelling(config.activation, config.slowness)
    shape = LanguageShape(len(vocabulary))
    return DataSet(name, shape, *splits, valid=len(valid), objective=objective, vocabulary=vocabulary)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--data.root {path}: not a readable text in UTF-8 ({str(error)[:80]})") from None


def _words(text: str, unit: str) -> list[str]:
    if unit == "character":
        return list(text)
    if unit == "spaced":
        return [word for line in text.splitlines() for word in (*line.split(), END)]
    paragraphs = re.split(r"\n\s*\n", text.lower().strip())
    return [word for paragraph in paragraphs for word in (*re.findall(rf"{UNKNOWN}|\w+|[^\w\s]", paragraph), END)]


def _vocabulary(words: Sequence[str], most: int) -> dict[str, int]:
    """Word -> number: the most frequent ones, those of equal frequency as they come."""
    counts = Counter(words)
    least = 1 if UNKNOWN in counts else 2
    kept = [word for word, count in counts.most_common() if count >= least and word != UNKNOWN]
    return {word: number for number, word in enumerate([UNKNOWN, *kept[: most - 1]])}


def _numbers(words: Sequence[str], vocabulary: dict[str, int]) -> torch.Tensor:
    return torch.tensor([vocabulary.get(word, vocabulary[UNKNOWN]) for word in words])
