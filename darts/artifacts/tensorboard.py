"""What of a run goes to TensorBoard: curves, heat maps of the gates, pictures of the cells, configuration, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darts.artifacts.gate_heatmaps import gate_image
from darts.config import flat
from genotypes import GenotypeError, from_text
from genotypes.draw.png import image

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class Board:
    """The event files in a run's folder.

    Args:
        folder: of the run; its ``config.json``, where there is one, is shown as text.
        step: where the run goes on; events beyond are hidden.
    """

    def __init__(self, folder: Path, step: int):
        self._writer = _writer(folder, step)
        self._drawn = ""
        config = folder / "config.json"
        if not step and config.exists():
            text = "\n".join("    " + line for line in config.read_text(encoding="utf-8").splitlines())
            self._writer.add_text("configuration", text, 0)

    def write(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        """Numbers as curves; ``gates`` (see ``heatmap.listed``) and ``genotype`` as pictures."""
        for name, value in flat(figures).items():
            if isinstance(value, int | float) and not name.startswith("gates."):
                self._writer.add_scalar(f"{event}/{name.replace('.', '/')}", value, step)
        for label, table in figures.get("gates", {}).items():
            picture = gate_image(table["candidates"], table["rows"])
            self._writer.add_image(f"gates/{label}", picture, step, dataformats="HWC")
        self._draw(figures.get("genotype", ""), step)

    def close(self) -> None:
        self._writer.close()

    def _draw(self, text: str, step: int) -> None:
        """The cells, where they are others than before; a genotype without cells has no picture."""
        if text and text != self._drawn:
            self._drawn = text
            try:
                picture = image(from_text(text), scale=1.5)
            except GenotypeError:
                return
            self._writer.add_image("architecture", np.asarray(picture), step, dataformats="HWC")


def write_results(folder: Path) -> None:
    """A finished run's configuration and final figures, for TensorBoard's table of hyper-parameters."""
    from torch.utils.tensorboard.summary import hparams

    config, figures = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "metrics"))
    chosen = {name: value if _plain(value) else str(value) for name, value in flat(config["config"]).items()}
    results = {f"final/{name}": value for name, value in figures.items() if isinstance(value, int | float)}
    writer = _writer(folder, 0)
    for summary in hparams(chosen, results):
        writer.file_writer.add_summary(summary)
    for name, value in results.items():
        writer.add_scalar(name, value)
    writer.close()


def _writer(folder: Path, step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / FOLDER), purge_step=step or None)


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)
