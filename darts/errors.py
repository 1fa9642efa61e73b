"""Mistakes that a user can mend. Scripts print their one line and exit with code 2."""


class UserError(Exception):
    """What is wrong, naming the file or field, and what to do about it."""
