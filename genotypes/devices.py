"""Refusal of devices where a file is read: /dev/zero has no end."""

import errno
import stat
from pathlib import Path


def refuse_device(path: Path) -> None:
    """Refuse a device, before it is read as a file; a pipe has an end.

    Raises:
        OSError: naming ``path``, where it is a device, or where opening it would fail.
    """
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
