"""Command lines: what is mistyped is one line that names it and the nearest that there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from rich.console import Console

from darts.benchmarks.digits.command import main as digits_command
from darts.cli import parse
from darts.config.command_line import parse_command, parse_options, value_of
from darts.config.ranges import POSITIVE
from darts.errors import UserError
from darts.recipes import FINAL_RECIPES, SEARCH_RECIPES


def parsed(*arguments, recipes=SEARCH_RECIPES):
    return parse("train_search.py", recipes, [str(argument) for argument in arguments], default="digits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["darts_v3_cifar10"], "no recipe 'darts_v3_cifar10'; the nearest: darts_v2_cifar10, darts_v1_cifar10"),
        (["zzz"], "no recipe 'zzz'; python train_search.py --help lists all"),
        (["--epoch", 3], "unknown option --epoch; the nearest: --epochs"),
        (["--lr", 3], "unknown option --lr; the nearest: --weights.lr, --logits.lr"),
        (["--language.length", 3], "unknown option --language.length; see --help"),
        (["--recipe", "digits"], "unknown option --recipe; "),
        (["--epochs"], "--epochs lacks its value: a whole number"),
        (["--epochs", "x"], "--epochs is 'x'; it must be a whole number"),
        (["--epochs", "1e3"], "--epochs is '1e3'; it must be a whole number"),
        (["--weights.lr=x"], "--weights.lr is 'x'; it must be a number"),
        (["--space.nodes", "x"], "--space.nodes is 'x'; it must be a whole number or None"),
        (["--space.stem", "cifer"], "--space.stem is 'cifer'; it must be one of auto, cifar, strided, imagenet, "),
        (["--logits.betas", 0.5], "--logits.betas lacks its value: a list of 2, each a number"),
        (["--resume", "False"], "unexpected argument False; a recipe comes first"),
        (["--epochs", 3, "darts_svhn"], "unexpected argument darts_svhn; a recipe comes first"),
        (["--epochs", "9" * 5000], "--epochs is '999"),
        (["-e", 3], "unexpected argument -e"),
        (["--tyro-print-completion", "x"], "unknown option --tyro-print-completion"),
    ],
)
def test_what_is_mistyped_is_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        parsed(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 300


def test_other_spellings_of_an_option():
    config = parsed("--candidates", 3, "--candidate-epochs=2", "--table", "t.csv", "--weights.lr_min", 0, "--no-resume")
    assert (config.rerank, config.rerank_epochs, config.benchmark.file) == (3, 2, Path("t.csv"))
    assert config.weights.lr_min == 0 and config.run.resume is False
    assert parsed("--rerank", 3).rerank == 3 and parsed("--benchmark.file", "x").benchmark.file == Path("x")


def test_language_options_belong_to_language_recipes(capsys):
    assert parsed("darts_recurrent_text", "--language.length", 9).language.length == 9
    for recipes, names in (
        (SEARCH_RECIPES, ("digits", "darts_recurrent_text")),
        (FINAL_RECIPES, ("digits", "recurrent_text")),
    ):
        for name in names:
            with pytest.raises(SystemExit) as ended:
                parsed(name, "--help", recipes=recipes)
            assert ended.value.code == 0
            assert ("--language." in capsys.readouterr().out) is (name != "digits")


def test_the_value_of_an_option():
    arguments = ["digits", "--runs", "a", "--genotype=x=y", "--runs", "b", "--name"]
    assert value_of(arguments, "--runs") == "b" and value_of(arguments, "--genotype") == "x=y"
    assert value_of(arguments, "--name") is None and value_of(arguments, "--seed") is None


@dataclass(frozen=True)
class Options:
    """Options of a command."""

    count: Annotated[int, POSITIVE] = 1
    """A number."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coumt", "3"], "Unrecognized options: --coumt, 3; the nearest: --count; see --help"),
        (["--count", "x"], "Error parsing --count: invalid literal for int() with base 10: 'x'; see --help"),
        (["--count", "0"], "`count` is 0; it must be more than 0"),
    ],
)
def test_commands_without_recipes(arguments, message):
    assert parse_command(Options, ["--count", "3"], prog="x") == Options(3)
    with pytest.raises(UserError) as error:
        parse_command(Options, arguments, prog="x")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["merge", "--out", "x", "--count=3"], "--out is no option of merge; see --help"),
        (["check", "--part", "1/2"], "--part is no option of check; see --help"),
        (["check", "--" + "x" * 5000], f"Unrecognized options: --{'x' * 50}"),
    ],
)
def test_options_of_another_subcommand(arguments, message):
    with pytest.raises(UserError) as error:
        digits_command(arguments, Console(quiet=True))
    assert str(error.value).startswith(message) and len(str(error.value)) < 330


def test_a_configuration_keeps_what_is_not_overridden():
    config = SEARCH_RECIPES["darts_svhn"]()
    assert parse_options(config, [], "train_search.py", "") == config
