"""The frame of both scripts: recipes on the command line, users' mistakes in one line, exit codes, ``config.json``."""

from __future__ import annotations

import errno
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar, cast

import torch
from rich.console import Console

from darts.artifacts.run_config import describe_run, load_config
from darts.config import Config, RunConfig, check, to_dict
from darts.config.command_line import asks_help, option, parse_options, value_of
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks, is_main_process
from darts.recipes.help import about, recipes_help
from darts.retraining.start import NOT_STARTED, Start
from darts.standard_streams import interrupts, make_lossy
from darts.training.distributed import Lost, connected
from darts.training.loop import Interrupted
from darts.training.out_of_memory import out_of_memory
from darts.training.progress import TRAINED, stopped_message
from genotypes.errors import InputError
from genotypes.parsing import shortened

C = TypeVar("C", bound=Config)

FIELD = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)`")
"""A configuration field by its dotted path, in backticks."""

LONG_WORD = re.compile(r"\S{300,}")
"""What is shortened in a message: a value or a path can be of any length."""

EXIT_DELAY = 2.0
"""Seconds that the other ranks wait before they exit, so that rank 0 can print the error: torchrun ends all processes
as soon as one has ended."""


FREE_SPACE = "free some space, then start it again{resume}"
OTHER_FOLDER = "choose a folder that can be written to{runs}"
FILE_HANDLES = "allow more open files, with ulimit -n 4096"
RECOVERABLE_ERRORS = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: FREE_SPACE,
    errno.EMFILE: FILE_HANDLES,
    errno.ENFILE: FILE_HANDLES,
    errno.EIO: "the disk fails; " + OTHER_FOLDER,
    errno.ENOENT: OTHER_FOLDER,
    errno.ELOOP: OTHER_FOLDER,
    errno.EISDIR: OTHER_FOLDER,
    errno.EOPNOTSUPP: OTHER_FOLDER,
    errno.EACCES: OTHER_FOLDER,
    errno.EPERM: OTHER_FOLDER,
    errno.EROFS: OTHER_FOLDER,
    errno.ENOTDIR: OTHER_FOLDER,
    errno.EEXIST: OTHER_FOLDER,
    errno.ENAMETOOLONG: "choose a shorter {name}",
}
"""Errors of the operating system that a user can do something about, and what."""

OF_RUNS = {"resume": " with --resume", "runs": ", with --runs", "name": "--name"}
OF_OTHERS = {"resume": "", "runs": "", "name": "name"}
"""Options that advice names: of scripts that train, and of other commands."""


def parse(
    program: str,
    recipes: Mapping[str, Callable[[], C]],
    arguments: Sequence[str],
    *,
    default: str,
    introduction: str = "",
    components: str = "",
) -> C:
    """Return the configuration of a recipe with what the command line overrides; checked.

    The first argument names the recipe; where there is none, or it is an option, it is ``default``.

    Args:
        introduction: stands above the list of recipes in the help of the program.
        components: stands below the options in the help of a recipe.

    Raises:
        UserError: where there is no such recipe or option, or a value is out of its range.
    """
    if not names_recipe(arguments) and asks_help(arguments):
        print(recipes_help(recipes, introduction))
        sys.exit(0)
    name, *rest = arguments if names_recipe(arguments) else [default, *arguments]
    require_recipe(name, recipes, program)
    try:
        config = parse_options(recipes[name](), rest, f"{program} {name}", about(recipes[name]))
    except SystemExit:
        print(components)
        raise
    check(config)
    return config


def require_recipe(name: str, recipes: Collection[str], program: str) -> None:
    """Refuse a name that is no recipe's; the message has the nearest ones, or the script that lists all.

    Raises:
        UserError: where there is no such recipe.
    """
    if name not in recipes:
        near = get_close_matches(name, recipes, n=3, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else f"python {program} --help lists all"
        raise UserError(f"no recipe {shortened(name)!r}; {hint}")


def names_recipe(arguments: Sequence[str]) -> bool:
    """Whether a command line begins with a recipe's name rather than with an option."""
    return bool(arguments) and not arguments[0].startswith("-")


def with_resumed(
    kind: str, recipes: Mapping[str, Callable[[], C]], arguments: Sequence[str]
) -> tuple[dict[str, Callable[[], C]], str | None]:
    """Return recipes, and the name of that of the run which a command line resumes by its name alone.

    That recipe is the run's own configuration. None where the command line names a recipe, does not resume, or there is
    no such run yet.

    Args:
        kind: of the runs, ``search`` or ``retrain``.
    """
    name = value_of(arguments, "--name")
    if names_recipe(arguments) or asks_help(arguments) or "--resume" not in arguments or name is None:
        return dict(recipes), None
    config = load_config(Path(value_of(arguments, "--runs") or RunConfig.runs) / name, kind)
    if config is None:
        return dict(recipes), None
    return {**recipes, config.recipe: lambda: cast(C, config)}, config.recipe


def train_script(main: Callable[[Sequence[str], Console, Ranks], None]) -> None:
    """Run a script that torchrun may start in several processes, which then work together."""

    def together(arguments: Sequence[str], console: Console) -> None:
        stopped = None
        try:
            with connected() as ranks:
                try:
                    main(arguments, console, ranks)
                except Interrupted as error:  # all ranks have agreed to stop: close the process group first
                    stopped = error
        except KeyboardInterrupt:
            raise Interrupted("stopped before the first step", 128 + signal.SIGINT) from None
        if stopped is not None:
            raise stopped

    run_script(together, trains=True)


def run_script(main: Callable[[Sequence[str], Console], None], trains: bool = False) -> None:
    """Run a script. A user's mistake is one line and exit code 2; after a signal the exit code is the signal's.

    Output that cannot be written (a closed pipe, a full disk) is lost, and the run continues.

    Args:
        main: takes the command line and the console.
        trains: whether the script has the options of runs, which advice may then name.
    """
    make_lossy()
    with interrupts():
        sys.exit(_exit_code(main, trains))


def _exit_code(main: Callable[[Sequence[str], Console], None], trains: bool) -> int:
    console = plain_console(quiet=not is_main_process())
    try:
        main(sys.argv[1:], console)
    except InputError as error:
        if not is_main_process():
            time.sleep(EXIT_DELAY)
        return _complain(fields_as_options(str(error)))
    except OSError as error:
        if error.errno not in RECOVERABLE_ERRORS:
            raise
        return _complain(_refusal(error, OF_RUNS if trains else OF_OTHERS))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        advice = "; lower --batch-size or --space.channels, or set --memory" if trains else ""
        return _complain(f"not enough memory{advice}")
    except Lost as lost:
        print(lost, file=sys.stderr, flush=True)
        return 1
    except Interrupted as stopped:
        say(console, str(stopped))
        return stopped.code
    except KeyboardInterrupt:
        say(console, "stopped")
        return 128 + signal.SIGINT
    return 0


@contextmanager
def writing_results() -> Iterator[None]:
    """Raise ``Interrupted`` where Ctrl-C comes in the block, after the last step: a resumed run writes the rest."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(stopped_message(TRAINED), 128 + signal.SIGINT) from None


def _complain(message: str) -> int:
    """Print a mistake in one line, once for all processes, and return its exit code."""
    if is_main_process() and sys.stderr is not None:
        line = LONG_WORD.sub(lambda match: shortened(match[0], 200), " ".join(message.splitlines()))
        print(f"error: {line}", file=sys.stderr, flush=True)
    return 2


def _refusal(error: OSError, options: Mapping[str, str]) -> str:
    """Return what the file system refused, and what to do about it."""
    place = f"{str(error.filename)[:200]}: " if error.filename else "a file of the run: "
    return f"{place}{error.strerror}; {RECOVERABLE_ERRORS[error.errno or 0].format(**options)}"


def fields_as_options(message: str) -> str:
    """Return a message with the configuration fields that stand in backticks written as command-line options.

    >>> fields_as_options("`run.memory` is 3; set `weights.lr_min`")
    '--memory is 3; set --weights.lr-min'
    """
    return FIELD.sub(lambda match: option(match[1]), message)


def plain_console(quiet: bool = False) -> Console:
    """Return a console on which nothing is markup: names and paths may hold brackets and colons."""
    return Console(soft_wrap=True, quiet=quiet, markup=False, emoji=False)


def say(console: Console, text: str) -> None:
    """Print a line in which nothing is markup or highlighted: names and paths may hold brackets and colons."""
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def write_config(
    folder: Path,
    kind: str,
    config: Config,
    device: torch.device,
    ranks: Ranks = SINGLE_PROCESS,
    started: Start = NOT_STARTED,
) -> None:
    """Write ``config.json``, with configuration, command, machine and versions, and what another run's weights started.

    Rank 0 writes.
    """
    if ranks.rank > 0:
        return
    run = replace(config.run, name=folder.name, resume=False)
    data = replace(config.data, root=config.data.root and config.data.root.absolute())
    describe_run(folder, kind, to_dict(replace(config, run=run, data=data)), device, ranks.count)
    started.write(folder)
