"""Configurations as JSON holds them, and what of one a checkpoint must agree with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from darts.config.checks import Config
from darts.config.fields import Resume, fields_of


def to_dict(config: Config) -> dict[str, Any]:
    """Return a configuration as JSON can hold it, section by section."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def identity(config: Config) -> dict[str, Any]:
    """Return the fields that determine the results, by dotted names.

    A checkpoint whose run had another identity is not resumed. Fields that are annotated with ``Resume.FREE`` are no
    part of it.
    """
    free = {field.path for field in fields_of(config) if Resume.FREE in field.metadata}
    return {path: value for path, value in flat(to_dict(config)).items() if path not in free}


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as one, by dotted names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
