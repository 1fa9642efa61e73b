"""The base class of every error that a user can correct."""


class InputError(Exception):
    """A mistake in a file, an option or an argument; the message is one line that names it and says what to change.

    Configuration fields stand in backticks by their dotted path, as in "`weights.lr` is -1.0; it must be more than 0";
    the command line shows them as options (``--weights.lr``).
    """
