"""The estimators: scikit-learn's own checks, pipelines, cross-validation."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from darts.sklearn import ArchitectureClassifier, ArchitectureRegressor
from tests.long import LONG_TESTS

SHORT = dict(budget=None, trials=1, folds=1, epochs=30)

SLOW = ("train", "classes", "fit_score_takes_y", "data_not_an_array", "estimators_dtypes", "fit_idempotent",
        "dtype_object", "sample_weight", "pipeline_consistency", "estimators_overwrite_params", "dict_unchanged",
        "methods_subset_invariance", "methods_sample_order_invariance", "fit2d_1sample", "n_features_in")  # fmt: skip
"""Beginnings or ends of the names of checks that take seconds: they train well, or often."""


def is_slow(check):
    return any(name in str(check) for name in SLOW)


@parametrize_with_checks([ArchitectureClassifier(**SHORT), ArchitectureRegressor(**SHORT)])
def test_estimator(estimator, check):
    """All of scikit-learn's checks where ``LONG_TESTS`` is set, else those that are fast."""
    if is_slow(check) and not LONG_TESTS:
        pytest.skip("LONG_TESTS is not set")
    check(estimator)


def test_a_pipeline_is_cross_validated():
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), ArchitectureClassifier(random_state=0, **SHORT))
    assert cross_val_score(pipeline, x, y, cv=2).mean() > 0.8


def test_classes_by_name_balance_and_missing_values():
    x, y = load_iris(return_X_y=True)
    x[::7, 0] = np.nan
    names = np.array(["c", "a", "b"])[y]
    model = ArchitectureClassifier(balanced=True, random_state=0, **SHORT).fit(x, names)
    assert model.classes_.tolist() == ["a", "b", "c"] and model.score(x, names) > 0.8
    assert np.allclose(model.predict_proba(x).sum(1), 1)


def test_mistakes_are_value_errors():
    with pytest.raises(ValueError, match="`metric` is 'r2'"):
        ArchitectureClassifier(metric="r2", **SHORT).fit(np.eye(8), list("abababab"))
