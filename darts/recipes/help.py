"""The help texts that are made from the registries: all recipes, and the components of a search method."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

WIDTH = 120
INDENT = " " * 6


def about(make: Callable[[], Any]) -> str:
    """Return what a recipe's docstring says, in one line."""
    return " ".join((inspect.getdoc(make) or "").replace("``", "").split())


def recipes_help(recipes: Mapping[str, Callable[[], Any]], introduction: str) -> str:
    """Return an introduction and all recipes, each with what it runs and which result to expect."""
    width = min(WIDTH, shutil.get_terminal_size().columns)
    lines = [introduction.strip(), "", "recipes:"]
    for name, make in recipes.items():
        lines += [f"  {name}", *_indented(about(make), width)]
    return "\n".join(lines)


def components_help(methods: Iterable[str], components: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the search methods, and the components by name, each with its options and their values.

    Args:
        components: field of ``MethodConfig`` -> component by name.
    """
    width = min(WIDTH, shutil.get_terminal_size().columns)
    lines = ["--method.name is one of:", *_indented(", ".join(methods), width), ""]
    lines.append("Components of a method, typed as NAME or NAME:OPTION=VALUE,OPTION=VALUE (defaults are shown):")
    for field, table in components.items():
        names = ", ".join(name + _options(component) for name, component in table.items())
        lines += [f"  --method.{field.replace('_', '-')}", *_indented(names, width)]
    return "\n".join(lines)


def _indented(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)


def _options(component: Any) -> str:
    """Return the options of a component with their values; nothing where it has none."""
    if not dataclasses.is_dataclass(component) or isinstance(component, type):
        return ""
    values = {field.name: getattr(component, field.name) for field in dataclasses.fields(component) if field.init}
    shown = [f"{name}={_shown(value)}" for name, value in values.items() if value is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)
