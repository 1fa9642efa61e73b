"""A command line as a configuration; what cannot be parsed is one line that names the option.

tyro draws boxes of ten lines and more; here its messages are reduced to a line, and a misspelt option to its name and
the nearest of those that there are.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import tyro

from darts.config.fields import check_ranges, fields_of
from darts.config.types_in_words import in_words
from darts.errors import UserError
from genotypes.errors import InputError
from genotypes.parsing import paragraphs, parsed, shortened

C = TypeVar("C")

HELP = ("-h", "--help")

ARGUMENT: Any = type(tyro.conf.arg())
"""The annotation that gives a field other names on the command line; tyro does not export its class."""


def option(field: str) -> str:
    """Return a field's name as it is typed on the command line; the fields of ``run`` stand there without a prefix."""
    return "--" + field.removeprefix("run.").replace("_", "-")


def asks_help(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return any(argument in HELP for argument in arguments)


def value_of(arguments: Sequence[str], flag: str) -> str | None:
    """Return the value that a command line gives an option of one value, or None; nothing else is looked at."""
    found = None
    for argument, following in zip(arguments, [*arguments[1:], None]):
        name, equals, value = argument.partition("=")
        if _typed(name) == flag and (equals or following is not None):
            found = value if equals else following
    return found


def _typed(name: str) -> str:
    """An option's name with hyphens, as the help writes it; underscores are taken as well."""
    return name.replace("_", "-") if name.startswith("--") else name


def parse_command(kind: type[C], arguments: Sequence[str], **settings: Any) -> C:
    """Return the options of a command, for commands that have no recipes.

    ``--help`` is printed and ends the process.

    Args:
        settings: of ``tyro.cli``: ``prog``, ``description``, ``config``.

    Raises:
        UserError: in one line, where there is an unknown option, or a value of the wrong type or out of its range.
    """
    try:
        options: C = parsed(lambda: tyro.cli(kind, args=arguments, **settings))
    except InputError as error:
        raise UserError(str(error)) from None
    check_ranges(options)
    return options


def parse_options(default: C, arguments: Sequence[str], prog: str, description: str) -> C:
    """Return a configuration with what the command line overrides.

    ``--help`` is printed and ends the process.

    Raises:
        UserError: where the command line has an unknown option or a value of the wrong type, in one line.
    """
    options = dict(_options(default))
    _refuse_unknown(options, arguments)
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            return tyro.cli(
                type(default),
                default=default,
                prog=prog,
                description=description,
                args=arguments,
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
    raise UserError(_in_one_line(written.getvalue(), options, arguments))


def _options(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield the options of a configuration: how each is typed, and its type. Those that are hidden are left out."""
    for field in fields_of(config):
        if tyro.conf.Suppress in field.metadata:
            continue
        yield option(field.path), field.hint
        for each in field.metadata:
            if isinstance(each, ARGUMENT):
                yield from ((alias, field.hint) for alias in each.aliases or ())
        if field.hint is bool:
            section, dot, name = field.path.removeprefix("run.").rpartition(".")
            yield option(f"{section}{dot}no_{name}"), field.hint


def _refuse_unknown(options: dict[str, Any], arguments: Sequence[str]) -> None:
    for argument in arguments:
        name = _typed(argument.partition("=")[0])
        if argument == "--":
            return
        if name.startswith("--") and name not in (*options, *HELP):
            ends = [each for each in options if each.endswith(f".{name[2:]}")]
            near = ends or get_close_matches(name, options, n=1, cutoff=0.6)
            hint = f"the nearest: {', '.join(near)}" if near else "see --help"
            raise UserError(f"unknown option {shortened(name)}; {hint}")


def _in_one_line(box: str, options: dict[str, Any], arguments: Sequence[str]) -> str:
    """Return what a message of tyro's says, in the words of this project where it is of a common kind."""
    message = next(paragraphs(box), "the command line cannot be parsed")
    value = re.match(r"Error parsing (?:\S+/)?(--[\w.-]+)(?:\|\S+)?:", message) or re.match(
        r"invalid choice '.*' for argument '(--[\w.-]+)'", message
    )
    if value and value[1] in options:
        given = shortened(value_of(arguments, value[1]) or "")
        return f"{value[1]} is {given!r}; it must be {in_words(options[value[1]], 'None')}"
    missing = re.match(r"Missing value for argument '(?:\S+/)?(--[\w.-]+)(?:/\S+)?'", message)
    if missing and missing[1] in options:
        return f"{missing[1]} lacks its value: {in_words(options[missing[1]], 'None')}"
    stray = re.match(r"Unrecognized options: (.*)", message)
    if stray:
        given = shortened(stray[1])
        return f"unexpected argument {given}; a recipe comes first, and a switch (--x, --no-x) takes no value"
    return message
