"""Signs that a search collapses: skip connections fill the normal cell, or the loss becomes sharp.

DARTS run for long keeps more and more skip connections, which train fastest and are worth least (Zela et al. 2020;
Liang et al. 2019). Two thresholds, both from a fifth of the search on: a larger share of the normal cell's edges than
``collapse_skips`` are skips; or the largest Hessian eigenvalue, averaged over five readings, is more than
``collapse_growth`` times what it was four readings ago (``darts.curvature``; it is read on request).
"""

from __future__ import annotations

from collections import Counter

from darts.config import SearchConfig
from genotypes import CellGenotype

FIRST = 0.2
"""Share of the search that must be done before its cells are judged."""

WINDOW = 5
"""Readings of the eigenvalue in its local average."""


def skips(genotype: CellGenotype) -> dict[str, int]:
    """Skip connections in each derived cell."""
    cells = {"normal": genotype.normal, "reduce": genotype.reduce}
    counts = {label: Counter(edge.op for node in cell.nodes for edge in node) for label, cell in cells.items()}
    return {f"skips_{label}": count["skip_connect"] for label, count in counts.items()}


def signs(config: SearchConfig, genotype: CellGenotype, eigenvalues: list[float], progress: float) -> str | None:
    """Why the search counts as collapsed, or ``None`` where it does not.

    Args:
        eigenvalues: all readings so far.
        progress: share of the search that is done.
    """
    if config.collapse == "off" or progress < FIRST:
        return None
    edges = sum(len(node) for node in genotype.normal.nodes)
    count = skips(genotype)["skips_normal"]
    if count > config.collapse_skips * edges:
        return f"{count} of the normal cell's {edges} edges are skip connections"
    if len(eigenvalues) >= 2 * WINDOW - 1:
        now, before = (sum(part) / WINDOW for part in (eigenvalues[-WINDOW:], eigenvalues[1 - 2 * WINDOW : 1 - WINDOW]))
        if now > config.collapse_growth * before:
            return f"the largest Hessian eigenvalue has grown from {before:.3g} to {now:.3g} in {WINDOW - 1} readings"
    return None
