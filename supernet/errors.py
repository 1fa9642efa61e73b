"""Errors of a search space, found before anything is trained."""

from genotypes.errors import InputError


class SpaceError(InputError, ValueError):
    """A space that cannot be built or searched; the message is one line that says why."""
