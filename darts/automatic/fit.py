"""``darts.fit``: data in, trained model out, within a budget of time.

Architectures are proposed by a strategy of ``darts.blackbox`` through a study of Optuna; each is trained on a part of
the examples and judged on the rest: by cross-validation where there is time for it, else on a fifth that is held out.
One that falls behind in the first folds is given up. The model is the networks of the best architecture, one a fold.

What is found depends on the clock, as the budget does; with ``trials`` and no budget it depends on the seed alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darts.automatic.predictor import Predictor


def fit(
    x: Any,
    y: Any = None,
    *,
    budget: str | float | None = "10m",
    trials: int | None = None,
    task: str | None = None,
    metric: str | list[str] | None = None,
    class_weight: str | dict | None = None,
    folds: int | None = None,
    epochs: int | None = None,
    strategy: str = "evolution:population=8,sample=3",
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
) -> Predictor:
    """Find and train a model for data.

    Args:
        x: examples: rows of numbers and categories (an array, a tensor, a data frame, a mapping of columns), images
            (an array ``(n, h, w)``, ``(n, c, h, w)`` or ``(n, h, w, c)``), a list of texts; or a path: a folder of
            images with one sub-folder a class, a CSV file, an ``.npz`` file.
        y: answers: classes, lists of labels or rows of 0 and 1, or numbers. Of a CSV file or data frame, the name of
            their column; of a folder, none. A test split that a folder or file has is never used.
        budget: time for everything, as ``"90s"``, ``"10m"`` or ``"2h"``, or seconds; None for no limit but ``trials``.
        trials: number of architectures to try at most.
        task: classification, multilabel or regression, where it is not to be inferred from ``y``.
        metric: by which architectures are compared, by name (``darts.automatic.metrics.METRICS``); further ones in a
            list are computed too. Accuracy or R2 by default.
        class_weight: ``"balanced"``, or class -> weight in the loss.
        folds: of the cross-validation, 1 for a fifth that is held out; by default as many as there is time for.
        epochs: of each training at most; by default as many as there is time for.
        strategy: how architectures are chosen, with its options: random, local_search, evolution, genetic, reinforce.
        seed: of everything random.
        device: cpu, cuda, ...; auto takes a GPU where there is one.
        run: a folder; a search that was ended there, however, is continued with what is left of the budget, and
            ``darts.load(run)`` loads the best model so far.
        verbose: whether to print a line for each architecture.

    Raises:
        UserError: in one line, before anything is trained, where the data or an argument cannot be used.
        KeyboardInterrupt: after Ctrl-C.
    """
    began = time.monotonic()  # the imports below count as a part of the budget
    from darts.automatic.fit_data import fit_data

    return fit_data(
        x,
        y,
        budget=budget,
        trials=trials,
        task=task,
        metric=metric,
        class_weight=class_weight,
        folds=folds,
        epochs=epochs,
        strategy=strategy,
        seed=seed,
        device=device,
        run=run,
        verbose=verbose,
        began=began,
    )
