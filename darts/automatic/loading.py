"""``darts.load``: what ``darts.fit``, ``darts.search`` and ``darts.retrain`` found, from the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from darts.arguments import public
from darts.artifacts.run_config import OWN
from darts.artifacts.run_folder import MODEL, read_config
from darts.automatic.predictor import Predictor, load_predictor
from darts.automatic.retrained import Retrained, load_retrained
from darts.errors import UserError
from darts.results import SearchResult, load_run


@public
def load(run: str | Path, model: nn.Module | None = None) -> Predictor | Retrained | SearchResult | nn.Module:
    """Load a result.

    Args:
        run: folder of ``model.save(folder)``, or of a run of these functions or of ``train_final.py``.
        model: of a run of ``darts.search`` or ``darts.retrain``, the model that was searched or trained; it is copied,
            not changed. After a training of ``result.network()`` it may also be the model with choices.

    Returns:
        Of ``darts.fit``, the model; of ``train_final.py``, the network, which predicts likewise; of ``darts.search``,
        its result; of ``darts.retrain``, the network with the trained weights, in evaluation mode.

    Raises:
        UserError: where the folder holds no such result, the run is not finished, or the model is another.
        SpaceError: where the genotype is of another model.
    """
    path = Path(run)
    if model is not None:
        return load_run(path, model)
    if path.is_dir() and not (path / MODEL).exists() and (path / "config.json").exists():
        config = read_config(path).get("config")
        if isinstance(config, Mapping) and config.get("recipe") == OWN:
            raise UserError(f"{path}: a run with a model of your own; give it too: darts.load(run, model)")
        return load_retrained(path)
    return load_predictor(path)
