"""Arguments of a wrong type or out of range are one line from every public function, before anything is done."""

import numpy as np
import pytest
import torch
from torch import nn

import darts
from darts.config import LogitsConfig, WeightsConfig
from darts.errors import UserError
from tests import tiny

DATA = torch.zeros(12, 1, 8, 8), torch.arange(12) % 3
ROWS, ANSWERS = np.arange(24.0).reshape(12, 2), np.arange(12) % 2

FUNCTIONS = {
    "search": lambda **given: darts.search(tiny.Model(), DATA, **{"epochs": 1, "verbose": False, **given}),
    "strategy": lambda **given: darts.search(
        tiny.Model(), DATA, method="random", **{"epochs": 1, "trials": 1, "verbose": False, **given}
    ),
    "retrain": lambda **given: darts.retrain(nn.Linear(2, 2), DATA, **{"epochs": 1, "verbose": False, **given}),
    "tune": lambda build=print, **given: darts.tune(build, DATA, **{"epochs": 1, "verbose": False, **given}),
    "fit": lambda x=ROWS, y=ANSWERS, **given: darts.fit(x, y, **{"trials": 1, "verbose": False, **given}),
    "load": lambda run: darts.load(run),
}

ANY_FUNCTION = [
    ("epochs", "x", "`epochs` is 'x'; it must be a whole number"),
    ("epochs", 1.5, "`epochs` is 1.5; it must be a whole number"),
    ("epochs", True, "`epochs` is True; it must be a whole number"),
    ("epochs", 0, "`epochs` is 0; it must be"),
    ("seed", -1, "`seed` is -1; it must be from 0"),
    ("seed", 2**64, "`seed` is 18446744073709551616; it must be from 0"),
    ("seed", 10**400, "`seed` is a number of more than 100 digits; it must be"),
    ("epochs", 10**4000, "`epochs` is a number of more than 100 digits; it must be"),
    ("device", 3, "`device` is 3; it must be text"),
    ("run", 3, "`run` is 3; it must be text or a path or None"),
    ("run", "a\0b", "no name holds a null character"),
    ("run", "x" * 300, "File name too long; give a shorter path"),
    ("verbose", "no", "`verbose` is 'no'; it must be true or false"),
]
OWN = {
    "search": [
        ("batch_size", "8", "`batch_size` is '8'; it must be a whole number"),
        ("batch_size", -1, "`batch_size` is -1; it must be more than 0"),
        ("train_share", float("nan"), "`train_share` is nan; it must be a finite number"),
        ("weights", "x", "`weights` is 'x'; it must be a WeightsConfig or None"),
        ("weights", WeightsConfig(lr="x"), "`weights.lr` is 'x'; it must be a number"),
        ("weights", WeightsConfig(lr=True), "`weights.lr` is 'True'; it must be a number"),
        ("logits", LogitsConfig(betas=(0.5,)), "`logits.betas` is .*; it must be a list of 2, each a number"),
        ("loss", "x", "`loss` is 'x'; it must be a function or None"),
    ],
    "strategy": [
        ("patience", -1, "`patience` is -1; it must be more than 0"),
        ("trials", "x", "`trials` is 'x'; it must be a whole number or None"),
    ],
    "retrain": [("batch_size", 10**30, "`batch_size` is 10*; it must be at most 2147483647")],
    "tune": [
        ("build", 3, "`build` is 3; it must be a function"),
        ("batch_size", 2**63, "it must be at most 2147483647"),
        ("validation_split", 1.0, "`validation_split` is 1.0; it must be more than 0 and less than 1"),
        ("validation_split", "x", "`validation_split` is 'x'; it must be a number or None"),
        ("trials", 0, "`trials` is 0"),
    ],
    "fit": [
        ("y", 3, "`y` is one int; it must hold an answer for each example"),
        ("metric", 3, "`metric` is 3; it must be"),
        ("folds", 13, "`folds` is 13; `x` has 12 examples"),
        ("folds", 10**30, "`folds` is 10*; it must be at most"),
        ("budget", float("nan"), "`budget` is nan; it must be"),
        ("budget", "9" * 400, "`budget` is '9*...; it must be a time"),
        ("budget", -3, "`budget` is -3; it must be a time"),
        ("strategy", 3, "`strategy` is 3; it must be text"),
    ],
}
CASES = [
    (name, *case)
    for name in FUNCTIONS
    for case in [*(case for case in ANY_FUNCTION if name != "load" or case[0] == "run"), *OWN.get(name, [])]
    if not (name == "load" and case[1] == 3)
]


@pytest.mark.parametrize(("function", "argument", "value", "message"), CASES)
def test_a_wrong_argument_is_one_line(function, argument, value, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        FUNCTIONS[function](**{argument: value})
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers():
    figures = darts.retrain(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), DATA, epochs=np.int64(1), batch_size=np.int32(6), verbose=False
    )
    assert figures["train_loss"] > 0 and darts.Genetic(population=np.int64(4)).population == 4


@pytest.mark.parametrize("population", [1, 2.5j, "4", None, float("inf"), float("nan"), True, [4]])
def test_options_of_strategies(population):
    with pytest.raises(ValueError, match="^population is .*; it must be 2 or more$"):
        darts.Genetic(population=population)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (darts.Dense("8"), "`units` is '8'"),
        (darts.Dense(2**63), "`units` is '9223372036854775808'"),
        (darts.Conv2d(4, kernel=0), "`kernel` is '0'"),
        (darts.MaxPool2d(1.5), "`size` is '1.5'"),
        (darts.Dropout(1.0), "`p` is '1.0'"),
    ],
)
def test_options_of_layers(layer, message):
    with pytest.raises(UserError, match=message):
        darts.Sequence([layer])
    with pytest.raises(UserError, match="`depth` is"):
        darts.Sequence([darts.Dense(8)], depth=("1", 2))
    with pytest.raises(UserError, match="`layers` is a Dense"):
        darts.Sequence(darts.Dense(8))
