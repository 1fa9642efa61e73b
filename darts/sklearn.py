"""``darts.fit`` as estimators of scikit-learn, for its pipelines, cross-validation and searches.

    cross_val_score(make_pipeline(StandardScaler(), ArchitectureClassifier(budget="2m")), X, y)

Axes: ``n`` example, ``f`` feature, ``k`` class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from darts.automatic.fit import fit
from darts.errors import UserError


class _Architecture(BaseEstimator):
    """The base of both estimators: a search over dense networks, and training, within a budget.

    Args:
        budget: time for a fit, as ``darts.fit`` takes it; None for no limit but ``trials``.
        trials: architectures to try at most. A fit that ends by it, not by the budget, depends on the seed alone.
        folds, epochs: of the trainings, as of ``darts.fit``.
        metric: by which architectures are compared.
        strategy: how they are chosen.
        random_state: a seed, a generator of NumPy's, or None.
        device: cpu, cuda, ...
        verbose: whether to print a line for each architecture.

    Attributes:
        model_: the fitted model, as ``darts.fit`` returns it.
    """

    def __init__(
        self,
        budget: str | float | None = "1m",
        trials: int | None = 10,
        folds: int | None = None,
        epochs: int | None = None,
        metric: str | None = None,
        strategy: str = "evolution:population=8,sample=3",
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool = False,
    ):
        self.budget = budget
        self.trials = trials
        self.folds = folds
        self.epochs = epochs
        self.metric = metric
        self.strategy = strategy
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit(self, X: np.ndarray, y: np.ndarray, task: str, class_weight: str | None = None) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        try:
            self.model_ = fit(
                X,
                y,
                budget=self.budget,
                trials=self.trials,
                task=task,
                metric=self.metric,
                class_weight=class_weight,
                folds=self.folds,
                epochs=self.epochs,
                strategy=self.strategy,
                seed=seed,
                device=self.device,
                verbose=self.verbose,
            )
        except UserError as error:
            raise ValueError(str(error)) from None

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype="numeric")
        return self.model_.outputs(X)


class ArchitectureClassifier(ClassifierMixin, _Architecture):
    """A classifier whose architecture is searched; missing values (NaN) are allowed.

    Args:
        balanced: whether classes count alike in the loss, however many examples they have; the others as of the base.

    Attributes:
        classes_: the classes, sorted.
    """

    def __init__(
        self,
        budget: str | float | None = "1m",
        trials: int | None = 10,
        folds: int | None = None,
        epochs: int | None = None,
        metric: str | None = None,
        balanced: bool = False,
        strategy: str = "evolution:population=8,sample=3",
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool = False,
    ):
        super().__init__(budget, trials, folds, epochs, metric, strategy, random_state, device, verbose)
        self.balanced = balanced

    def fit(self, X: Any, y: Any) -> ArchitectureClassifier:
        """Search and train on rows ``(n, f)`` and their classes ``(n,)``."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype="numeric", ensure_min_samples=2)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y has one class only; a classifier needs two or more")
        self._fit(X, codes, "classification", "balanced" if self.balanced else None)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, ``(n, k)``."""
        return self._outputs(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, ``(n,)``."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(1)]


class ArchitectureRegressor(RegressorMixin, _Architecture):
    """A regressor whose architecture is searched; missing values (NaN) are allowed in rows."""

    def fit(self, X: Any, y: Any) -> ArchitectureRegressor:
        """Search and train on rows ``(n, f)`` and their numbers ``(n,)``."""
        X, y = validate_data(
            self, X, y, ensure_all_finite="allow-nan", dtype="numeric", y_numeric=True, ensure_min_samples=2
        )
        y = column_or_1d(y, warn=True)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        self._fit(X, y, "regression")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted number of each row, ``(n,)``."""
        return self._outputs(X)[:, 0]
