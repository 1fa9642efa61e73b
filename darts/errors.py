"""Mistakes in configurations, data and runs. Scripts print their one line and exit with code 2."""

from genotypes.errors import InputError


class UserError(InputError):
    """A mistake that a user can correct; the message names the file or field, and what to do about it."""
