"""Signs that a search collapses: skip connections fill what was derived, or the loss becomes sharp.

DARTS run for long keeps more and more skip connections, which train fastest and are worth least (Zela et al. 2020;
Liang et al. 2019). Two thresholds, both from a fifth of the search on: a larger share of the edges than
``collapse_skips`` are skips; or the largest Hessian eigenvalue, averaged over five readings, is more than
``collapse_growth`` times what it was four readings ago (``darts.bilevel.hessian``; it is read on request).
"""

from __future__ import annotations

from darts.config.schema import SearchConfig

FIRST = 0.2
"""Share of the search that must be done before its results are judged."""

WINDOW = 5
"""Readings of the eigenvalue in its local average."""


def signs(config: SearchConfig, skipped: tuple[int, int], eigenvalues: list[float], progress: float) -> str | None:
    """Why the search counts as collapsed, or ``None`` where it does not.

    Args:
        skipped: how many edges are skip connections, of how many; of those by which the space judges.
        eigenvalues: all readings so far.
        progress: share of the search that is done.
    """
    if config.collapse == "off" or progress < FIRST:
        return None
    count, edges = skipped
    if count > config.collapse_skips * edges:
        return f"{count} of {edges} edges are skip connections"
    if len(eigenvalues) >= 2 * WINDOW - 1:
        now, before = (sum(part) / WINDOW for part in (eigenvalues[-WINDOW:], eigenvalues[1 - 2 * WINDOW : 1 - WINDOW]))
        if now > config.collapse_growth * before:
            return f"the largest Hessian eigenvalue has grown from {before:.3g} to {now:.3g} in {WINDOW - 1} readings"
    return None
