"""Language modelling on running text: tokens, the lengths of batches, penalties and dropout (Merity et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from darts.config.ranges import BELOW_1, BELOW_HALF, NOT_NEGATIVE, POSITIVE


@dataclass(frozen=True)
class DropoutConfig:
    """Dropout of a language model; each mask is kept for a whole sequence."""

    embedding: Annotated[float, BELOW_1] = 0.0
    """Probability of dropping a token's whole embedding."""
    input: Annotated[float, BELOW_1] = 0.2
    """Dropout of the embedded tokens."""
    output: Annotated[float, BELOW_1] = 0.75
    """Dropout of the recurrent layer's output, before the decoder."""
    x: Annotated[float, BELOW_1] = 0.75
    """Dropout of the input of the recurrent cell."""
    hidden: Annotated[float, BELOW_1] = 0.25
    """Dropout of the recurrent cell's hidden state."""


@dataclass(frozen=True)
class LanguageConfig:
    """Language modelling on running text."""

    unit: Literal["auto", "spaced", "word", "character"] = "auto"
    """The kind of token: spaced, all between two spaces, with an end-of-sentence token at each line's end; word, words
    and punctuation in lower case, with an end token after each paragraph; or character. auto is word for one file,
    spaced for a folder of prepared files."""
    vocabulary: Annotated[int, POSITIVE] = 50_000
    """Vocabulary size: the most frequent tokens; all others are one unknown token."""
    held_out: Annotated[float, BELOW_HALF] = 0.1
    """Share of a single file that is its validation part; as much again, from the end, is its test part."""
    length: Annotated[int, POSITIVE] = 35
    """Tokens of a training sequence (truncated backpropagation). The learning rate is for this length, and is scaled
    in proportion for batches of another."""
    halved: Annotated[float, BELOW_1] = 0.05
    """Probability that a training batch has half that length."""
    spread: Annotated[float, NOT_NEGATIVE] = 0.0
    """Standard deviation of the length of training batches."""
    streams: Annotated[int, POSITIVE] = 10
    """Batch size of the evaluation."""
    activation: Annotated[float, NOT_NEGATIVE] = 0.0
    """Activation regularization: weight of the squares of the recurrent layer's output (AR)."""
    slowness: Annotated[float, NOT_NEGATIVE] = 1e-3
    """Temporal activation regularization: weight of the squared changes of the hidden state (TAR)."""
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
