"""The base class of every error that a user can correct, and how messages quote other errors."""


class InputError(Exception):
    """A mistake in a file, an option or an argument; the message is one line that names it and says what to change.

    Configuration fields stand in backticks by their dotted path, as in "`weights.lr` is -1.0; it must be more than 0";
    the command line shows them as options (``--weights.lr``).
    """


def first_line(error: BaseException, most: int = 120) -> str:
    """Return the first line of an error's text; its kind, such as MemoryError, where it has none."""
    return _lines(error)[0][:most]


def last_line(error: BaseException, most: int = 120) -> str:
    """Return the last line of an error's text, where PyTorch says which tensor does not fit."""
    return _lines(error)[-1].strip()[:most]


def kind_and_text(error: BaseException, most: int = 120) -> str:
    """Return an error's kind and the first line of its text: "KeyError: 'network'"."""
    kind, text = type(error).__name__, first_line(error, most)
    return text if text == kind else f"{kind}: {text}"[:most]


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]
