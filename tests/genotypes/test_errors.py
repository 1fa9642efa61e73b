"""How messages quote other errors: one line, whatever an error's text is."""

import pytest

from genotypes.errors import first_line, kind_and_text, last_line


@pytest.mark.parametrize(
    ("error", "first", "last", "kind"),
    [
        (ValueError("one\n two"), "one", "two", "ValueError: one"),
        (KeyError("name"), "'name'", "'name'", "KeyError: 'name'"),
        (MemoryError(), "MemoryError", "MemoryError", "MemoryError"),
        (RuntimeError("\n\n"), "RuntimeError", "RuntimeError", "RuntimeError"),
    ],
)
def test_one_line(error, first, last, kind):
    assert (first_line(error), last_line(error), kind_and_text(error)) == (first, last, kind)


def test_long_texts_are_cut():
    error = ValueError("x" * 300)
    assert len(first_line(error)) == len(last_line(error)) == len(kind_and_text(error)) == 120
