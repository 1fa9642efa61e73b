"""Imports that fail because the environment lacks a package, or has too old a one, reported in one line."""

import sys
from types import TracebackType


def report_failed_imports() -> None:
    """Print one line instead of a traceback where an import fails that nothing handles; for scripts, before imports."""
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, ImportError):
        sys.__excepthook__(kind, error, trace)
        return
    reason = str(error).splitlines()[0] if str(error) else kind.__name__
    sys.stderr.write(f"error: {reason}; install the packages of requirements.txt: pip install -r requirements.txt\n")
