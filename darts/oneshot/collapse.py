"""Signs that a search collapses: skip connections dominate the derived cell, no path leads through it, or the loss
becomes sharp.

DARTS run for long keeps more and more skip connections, which train fastest and are worth least (Zela et al. 2020;
Liang et al. 2019). Three signs are looked for, from a fifth of the search on: a larger share of the edges than
``collapse_skips`` are skip connections; the input of the derived cell does not reach its output, where ``none`` is a
candidate; or the largest Hessian eigenvalue, averaged over five readings, is more than ``collapse_growth``
times what it was four readings ago (``darts.bilevel.hessian``; computed on request).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from darts.config import SearchConfig
from darts.methods.context import MethodContext

FIRST = 0.2
"""Share of the search that must be done before its results are judged."""

WINDOW = 5
"""Readings of the eigenvalue in its local average."""


class CollapseWatch:
    """Looks for signs of collapse after each epoch; warns, and stops the search where the configuration says so.

    Attributes:
        eigenvalues: all readings so far.
        last_sound_epoch: the last epoch without a sign.
    """

    def __init__(self, config: SearchConfig):
        self.config = config
        self.eigenvalues: list[float] = []
        self.last_sound_epoch: int | None = None

    def after_epoch(
        self, context: MethodContext, epoch: int, skipped: tuple[int, int], connected: bool
    ) -> dict[str, Any]:
        """Return the eigenvalue, where it is computed after this epoch, and a warning, where there is a sign.

        Args:
            context: of the search, which is stopped with the last sound epoch's genotype if so configured.
            epoch: counted from 0.
            skipped: how many edges are skip connections, of how many, among those in which a collapse shows.
            connected: whether the input of the derived network reaches its output.
        """
        config, figures = self.config, dict[str, Any]()
        if config.eigenvalue_every and (epoch + 1) % config.eigenvalue_every == 0:
            figures["eigenvalue"] = context.largest_eigenvalue(epoch)
            self.eigenvalues.append(figures["eigenvalue"])
        reason = signs(config, skipped, connected, self.eigenvalues, (epoch + 1) / config.epochs)
        if reason is None:
            self.last_sound_epoch = epoch
            return figures
        figures["warning"] = f"the search collapses: {reason}"
        if config.collapse == "stop":
            context.choose_epoch(epoch if self.last_sound_epoch is None else self.last_sound_epoch)
            context.stop(epoch, figures["warning"])
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"eigenvalues": self.eigenvalues, "last_sound_epoch": self.last_sound_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.eigenvalues, self.last_sound_epoch = list(state["eigenvalues"]), state["last_sound_epoch"]


def signs(
    config: SearchConfig, skipped: tuple[int, int], connected: bool, eigenvalues: list[float], progress: float
) -> str | None:
    """Return why the search counts as collapsed; None where it does not.

    Args:
        config: has the thresholds.
        skipped: how many edges are skip connections, of how many, among those in which a collapse shows.
        connected: whether the input of the derived network reaches its output.
        eigenvalues: all readings so far.
        progress: share of the search that is done.
    """
    if config.collapse == "off" or progress < FIRST:
        return None
    if not connected:
        return "no path leads from the input of the genotype to its output"
    count, edges = skipped
    if count > config.collapse_skips * edges:
        return f"{count} of {edges} edges are skip connections"
    if len(eigenvalues) >= 2 * WINDOW - 1:
        now, before = (sum(part) / WINDOW for part in (eigenvalues[-WINDOW:], eigenvalues[1 - 2 * WINDOW : 1 - WINDOW]))
        if now > config.collapse_growth * before:
            return f"the largest Hessian eigenvalue has grown from {before:.3g} to {now:.3g} in {WINDOW - 1} readings"
    return None
