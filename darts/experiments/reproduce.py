"""Rerun a published table as far as the machine allows, published beside ours, with what was shortened.

    python -m darts.experiments reproduce nasbench201 --benchmark.file nb201.csv        see its --help for the parts
    python -m darts.experiments reproduce darts_v1_cifar10 -- --data.root DIR           a recipe's published test error
    python -m darts.experiments reproduce darts_v1_cifar10 --random 2 --final-epochs 20 -- --data.root DIR --epochs 5

A recipe runs by the protocol (``python -m darts.experiments protocol``), with its own options before ``--`` and those
of the search behind it; what differs from the published recipe is printed with the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from rich.console import Console

from darts.cli import say
from darts.errors import UserError
from darts.experiments import protocol
from darts.experiments.published import published_errors
from darts.experiments.tables import nasbench201
from genotypes.parsing import shortened

TABLES = {"nasbench201": nasbench201.main}
"""Tables that are rerun without the protocol's runs, by name."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Rerun the table that the first argument names.

    Raises:
        UserError: where there is no such table.
    """
    errors = published_errors()
    names = (*TABLES, *errors)
    if not arguments or arguments[0] in ("-h", "--help"):
        say(console, f"{(__doc__ or '').strip()}\n\nTables: {', '.join(names)}")
        return
    name, *rest = arguments
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else "see --help"
        raise UserError(f"no published table {shortened(name)!r}; {hint}")
    if name in TABLES:
        TABLES[name](rest, console)
    else:
        protocol.main([name, *rest], console)
