"""The commands of experiments: ``python -m darts.experiments NAME ...``.

python -m darts.experiments protocol RECIPE ... searches x retrainings beside random architectures, and a checklist
python -m darts.experiments reproduce NAME ...  a published table, published beside ours
python -m darts.experiments proxies ...         zero-cost proxies against NAS-Bench-201's true accuracies
python -m darts.experiments digits201 ...       every method judged by the digits benchmark
python -m darts.experiments forests ...         ``darts.fit`` within a budget beside scikit-learn's default forests
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from rich.console import Console

from darts.cli import run_script, say
from darts.errors import UserError
from genotypes.parsing import shortened

COMMANDS = ("protocol", "reproduce", "proxies", "digits201", "forests")
"""Modules of this folder with a function ``main``."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Run the command that the first argument names."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        say(console, (__doc__ or "").strip())
        return
    if name not in COMMANDS:
        raise UserError(f"no command {shortened(name)!r}; there are {', '.join(COMMANDS)}")
    command: Callable[[Sequence[str], Console], None] = import_module(f"darts.experiments.{name}").main
    command(arguments[1:], console)


if __name__ == "__main__":
    run_script(main)
