"""Text files in UTF-8, with or without a byte order mark, or in UTF-16 or UTF-32 with one."""

import codecs
from pathlib import Path

from darts.errors import UserError
from genotypes.devices import refuse_device

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, the longer ones before those that they begin with, and the encodings that they tell."""


def read_unicode(path: Path, kind: str, field: str = "data.root") -> str:
    """Read a text file; a byte order mark is no part of the text.

    Args:
        path: the file.
        kind: what it should be, for messages.
        field: of the configuration that names it, for messages.

    Raises:
        UserError: naming the file that is missing, or is no text.
    """
    try:
        refuse_device(path)
        content = path.read_bytes()
        encoding = next((encoding for mark, encoding in MARKS if content.startswith(mark)), "utf-8")
        return content.decode(encoding)
    except FileNotFoundError:
        raise UserError(f"`{field}` {path}: no such file") from None
    except OSError as error:
        raise UserError(f"`{field}` {path}: not a readable {kind} ({error.strerror or error})") from None
    except UnicodeError as error:
        raise UserError(f"`{field}` {path}: not a readable {kind} in UTF-8 ({str(error)[:80]})") from None
