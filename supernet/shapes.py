"""The shapes of examples and answers: those of a data set, for which a network is built.

Data sets state one, search spaces require one of a kind (``SpaceOptions.require``). ``example`` returns a batch of that
shape with arbitrary content, for passes whose values do not matter.

Axes: ``b`` batch, ``c`` channel, ``h w`` space, ``t`` time.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageShape:
    """Square images and what is predicted of each.

    Attributes:
        channels: of an image.
        size: side of the square, in pixels.
        classes: number of classes; of masks, with the background.
        target: a row of ``supernet.heads.HEADS``: ``class``, ``mask`` or ``boxes``.
    """

    channels: int
    size: int
    classes: int
    target: str = field(default="class", repr=False)

    def example(self, count: int) -> Tensor:
        """Return ``count`` images of zeros, ``(b, c, h, w)``."""
        return torch.zeros(count, self.channels, self.size, self.size)

    def inputs(self, count: int) -> tuple[Tensor | None, ...]:
        """Return what a network is called with for ``count`` images."""
        return (self.example(count),)


@dataclass(frozen=True)
class TextShape:
    """Sentences with one class each.

    Attributes:
        words: size of the vocabulary, with the tokens for padding and for unknown words.
        length: of the longest sentence, in tokens.
        classes: number of classes.
    """

    words: int
    length: int
    classes: int

    def example(self, count: int) -> Tensor:
        """Return ``count`` sentences of unknown words, ``(b, t)``."""
        return torch.ones(count, self.length, dtype=torch.long)

    def inputs(self, count: int) -> tuple[Tensor | None, ...]:
        """Return what a network is called with for ``count`` sentences."""
        return (self.example(count),)


@dataclass(frozen=True)
class LanguageShape:
    """Running text whose next token is predicted.

    Attributes:
        words: size of the vocabulary.
    """

    words: int

    def inputs(self, count: int) -> tuple[Tensor | None, ...]:
        """Return what a network is called with for one token of ``count`` sequences: tokens, and no hidden state."""
        return torch.zeros(1, count, dtype=torch.long), None


@dataclass(frozen=True)
class TranslationShape:
    """Pairs of sentences, the second of which is the first in another language.

    Attributes:
        source_words, target_words: sizes of the vocabularies, with the tokens for padding, unknown words, beginning and
            end.
        source_length, target_length: of the longest sentence in tokens, with those of beginning and end.
    """

    source_words: int
    target_words: int
    source_length: int
    target_length: int

    def inputs(self, count: int) -> tuple[Tensor | None, ...]:
        """Return what a network is called with for ``count`` pairs: the source, and the target without its end."""
        lengths = self.source_length, self.target_length - 1
        source, target = (torch.ones(count, length, dtype=torch.long) for length in lengths)
        return source, target


class Shape(Protocol):
    """What is known of the examples of a data set: with which inputs a network is called."""

    def inputs(self, count: int) -> tuple[Any, ...]:
        """Return what a network is called with for ``count`` examples."""
        ...
