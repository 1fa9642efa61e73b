"""The interface that all types of genotype share."""

import hashlib
from typing import Protocol


class Genotype(Protocol):
    """A discrete architecture: immutable, validated, compared without its name.

    A type adds its own fields, and one row in ``genotypes.formats.registry``.
    """

    @property
    def name(self) -> str | None:
        """The name of the genotype, where it has one; no part of the architecture."""

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the architecture alone, not on its name."""

    def named(self, name: str | None) -> "Genotype":
        """Return the same architecture under another name."""


def architecture_hash(text: str) -> str:
    """Return the first twelve hexadecimal digits of the SHA-256 of a text that describes the architecture."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
