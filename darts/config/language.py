"""The configuration of language modelling, on data sets of running text; what trains on others does not look at it."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DropoutConfig:
    """Dropout of a language model; each mask is kept over a whole sequence."""

    embedding: float = 0.0
    """Probability of dropping a word altogether."""
    input: float = 0.2
    """Of the vectors that come in."""
    output: float = 0.75
    """Of what goes on to the scores."""
    x: float = 0.75
    """Of the incoming vectors once more, within what is searched."""
    hidden: float = 0.25
    """Of the hidden state."""


@dataclass(frozen=True)
class LanguageConfig:
    """Language modelling, on data sets of running text; no other looks at it."""

    unit: Literal["auto", "spaced", "word", "character"] = "auto"
    """What is predicted: all that stands between spaces, with an end of each line; words and signs in lower case, with
    an end of each paragraph; or characters. auto takes word for one file, spaced for a folder of prepared ones."""
    vocabulary: int = 50_000
    """How many of the most frequent are told apart."""
    held_out: float = 0.1
    """Share of one file that is its validation part, and as much again its test part, both from the end."""
    length: int = 35
    """Words that gradients go back over, and the learning rate is meant for: it is scaled by a batch's own length."""
    halved: float = 0.05
    """Share of training batches of half that length."""
    spread: float = 0.0
    """Standard deviation of the length of training batches."""
    streams: int = 10
    """Parts of a text that are evaluated side by side."""
    activation: float = 0.0
    """Penalty on the squares of what goes on to the scores."""
    slowness: float = 1e-3
    """Penalty on the squares of the hidden state's steps."""
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
