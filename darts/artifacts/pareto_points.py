"""A point of a Pareto set chosen by limits: ``pareto.json@latency=5ms,parameters=2M``."""

from __future__ import annotations

from pathlib import Path

from darts.artifacts.run_folder import read_object
from darts.artifacts.tuned import PARETO_FILE
from darts.config.objectives import OBJECTIVES
from darts.config.ranges import is_number
from darts.errors import UserError
from genotypes import parted
from supernet.cost.limits import parse_limits, shown


def within_limits(source: str) -> str:
    """Return ``pareto.json@N`` for the point that is best by the first objective within limits; other sources as they
    are.

    One search so gives a network for each of several limits, and a looser limit never a worse one.

    Args:
        source: of a genotype, such as ``runs/NAME/pareto.json@latency=5ms``.

    Raises:
        UserError: naming the file, and the cost that its points lack, or the least that they have of it.
    """
    path, text = parted(source)
    if "=" not in text or Path(path).name != PARETO_FILE:
        return source
    limits = parse_limits(text, "genotype")
    points = read_object(Path(path)).get("points")
    known = [
        (point.get("point"), point["values"])
        for point in (points if isinstance(points, list) else [])
        if isinstance(point, dict) and isinstance(point.get("values"), dict)
    ]
    if not known:
        raise UserError(f"{path}: no points of a Pareto set; take the file of a search for several `objectives`")
    figures = {name: OBJECTIVES[name].figure for name in limits}
    for name, figure in figures.items():
        if not all(is_number(values.get(figure)) for _, values in known):
            raise UserError(f"{path}: its points have no {name}; search with it among `objectives` or `limits`")
    for number, values in known:
        if all(values[figure] <= limits[name] for name, figure in figures.items()):
            return f"{path}@{number}"
    least = (f"{name} {shown(name, min(values[figure] for _, values in known))}" for name, figure in figures.items())
    raise UserError(f"{path}: no point is within {text}; the least of its points: {', '.join(least)}")
