"""What both scripts share: recipes on the command line, mistakes as one line, the frame around a run."""

from __future__ import annotations

import errno
import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
import tyro
from rich.console import Console

from darts.artifacts.checkpoint import write_atomically
from darts.config.schema import Config, check, to_dict
from darts.processes import SINGLE_PROCESS, Ranks
from darts.training.distributed import Lost, connected, is_main_process, restarted
from darts.training.loop import Interrupted
from genotypes.errors import InputError
from supernet.bench.machine import machine

C = TypeVar("C", bound=Config)

FIELD = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)`")
"""A configuration field by its dotted path, in backticks."""

EXIT_DELAY = 2.0
"""Seconds that other ranks leave rank 0 to say what is wrong: torchrun ends all as soon as one has ended."""


ROOM = "make room; a run goes on with --resume"
PLACE = "choose a folder that can be written, by --runs"
RECOVERABLE_ERRORS = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EACCES: PLACE,
    errno.EPERM: PLACE,
    errno.EROFS: PLACE,
    errno.ENOTDIR: PLACE,
    errno.EEXIST: PLACE,
    errno.ENAMETOOLONG: "choose a shorter --name",
}
"""What a user can do about an error of the operating system."""


def parse(
    program: str, recipes: Mapping[str, Callable[[], C]], arguments: Sequence[str], default: str, about: str = ""
) -> C:
    """The configuration of a recipe with what the command line overrides; checked.

    The first argument names the recipe; where it is an option, ``default`` is meant. Help on all recipes begins with
    what there is to say ``about`` them.
    """
    asks_help = arguments and arguments[0] in ("-h", "--help")
    arguments = list(arguments) if asks_help or names_recipe(arguments) else [default, *arguments]
    described = {name: (" ".join(inspect.getdoc(make).split()), make()) for name, make in recipes.items()}
    about = about if asks_help else ""
    config = tyro.extras.overridable_config_cli(described, prog=program, description=about, args=arguments)
    check(config)
    return replace(config, run=replace(config.run, resume=True)) if restarted() else config


def names_recipe(arguments: Sequence[str]) -> bool:
    """Whether a command line begins with a recipe's name rather than with an option."""
    return bool(arguments) and not arguments[0].startswith("-")


def train_script(main: Callable[[Sequence[str], Console, Ranks], None]) -> None:
    """Run a script that torchrun can start several times over: its processes work together."""

    def together(arguments: Sequence[str], console: Console) -> None:
        stopped = None
        with connected() as ranks:
            try:
                main(arguments, console, ranks)
            except Interrupted as error:  # all have agreed to stop, so they part in order
                stopped = error
        if stopped is not None:
            raise stopped

    run_script(together)


def run_script(main: Callable[[Sequence[str], Console], None]) -> None:
    """Run a script: a user's mistake is one line and exit code 2, a signal the code that stands for it."""
    console = Console(soft_wrap=True, quiet=not is_main_process())
    try:
        main(sys.argv[1:], console)
    except InputError as error:
        if is_main_process():
            sys.stderr.write(f"error: {fields_as_options(str(error))}\n")
        else:
            time.sleep(EXIT_DELAY)
        sys.exit(2)
    except OSError as error:
        if error.errno not in RECOVERABLE_ERRORS:
            raise
        if is_main_process():
            sys.stderr.write(f"error: {_told(error)}\n")
        sys.exit(2)
    except Lost as lost:
        sys.stderr.write(f"{lost}\n")
        sys.exit(1)
    except Interrupted as stopped:
        console.print(str(stopped), highlight=False)
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        console.print("stopped before the first step")
        sys.exit(130)


def _told(error: OSError) -> str:
    """What a disk or a folder refuses, and what to do."""
    place = f"{error.filename}: " if error.filename else "a file of the run: "
    return f"{place}{error.strerror}; {RECOVERABLE_ERRORS[error.errno]}"


def fields_as_options(message: str) -> str:
    """Return a message with the configuration fields that stand in backticks written as command-line options.

    >>> fields_as_options("`run.memory` is 3; set `weights.lr_min`")
    '--memory is 3; set --weights.lr-min'
    """
    return FIELD.sub(lambda match: option(match[1]), message)


def option(field: str) -> str:
    """Return a field's name as it is typed on the command line; the fields of ``run`` stand there without a prefix."""
    return "--" + field.removeprefix("run.").replace("_", "-")


def write_config(folder: Path, kind: str, config: Config, device: torch.device, ranks: Ranks = SINGLE_PROCESS) -> None:
    """``config.json``: all that made the run, and the machine and versions that ran it. Written by rank 0."""
    if ranks.rank > 0:
        return
    run = replace(config.run, name=folder.name, resume=False)
    content = {
        "kind": kind,
        "command": ["python", *sys.argv],
        "machine": machine(device),
        "processes": ranks.count,
        "config": to_dict(replace(config, run=run)),
    }
    write_atomically(folder / "config.json", (json.dumps(content, indent=2) + "\n").encode())
