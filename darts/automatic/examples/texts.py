"""Texts for ``darts.fit``: tokens by a vocabulary. Axes: ``n`` text, ``t`` token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts.data.text.sentences import MAX_LENGTH, MAX_WORDS, PADDING, UNKNOWN, tokens_of


@dataclass(frozen=True)
class TextEncoder:
    """Encodes texts as indices of tokens, ``(n, t)`` int64, cut or padded to ``length``.

    Attributes:
        vocabulary: index of each token.
        length: of all texts, in tokens.
    """

    vocabulary: Mapping[str, int]
    length: int

    kind = "text"

    @property
    def words(self) -> int:
        """Number of different indices, with padding and unknown tokens."""
        return len(self.vocabulary) + UNKNOWN + 1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Encode texts."""
        tokens = torch.full((len(texts), self.length), PADDING)
        for row, text in enumerate(texts):
            found = [self.vocabulary.get(token, UNKNOWN) for token in tokens_of(text)[: self.length]]
            tokens[row, : len(found)] = torch.tensor(found)
        return tokens

    def state(self) -> dict[str, Any]:
        """Return plain values that ``from_state`` reads."""
        return {"tokens": list(self.vocabulary), "length": self.length}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> TextEncoder:
        """Return the encoder of what ``state`` returned; a ``ValueError`` names what cannot be."""
        length, tokens = state["length"], state["tokens"]
        if type(length) is not int or not 1 <= length <= MAX_LENGTH:
            raise ValueError(f"encoder.length is {str(length)[:40]!r}")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("encoder.tokens is not a list of texts")
        return TextEncoder({token: k for k, token in enumerate(tokens, UNKNOWN + 1)}, length)

    def describe(self) -> str:
        """Return what the texts are, for people."""
        return f"texts of up to {self.length} tokens, {len(self.vocabulary):,} different ones"


def fit_texts(texts: Sequence[str]) -> TextEncoder:
    """Return an encoder with the most frequent tokens; those that occur once in many texts count as unknown."""
    found = [tokens_of(text) for text in texts]
    counts = Counter(token for tokens in found for token in tokens)
    least = 2 if len(texts) >= 200 else 1
    kept = [token for token, count in counts.most_common(MAX_WORDS) if count >= least]
    lengths = sorted(map(len, found))
    longest = lengths[min(len(lengths) - 1, int(0.98 * len(lengths)))]
    return TextEncoder({token: k for k, token in enumerate(kept, UNKNOWN + 1)}, min(MAX_LENGTH, max(1, longest)))
