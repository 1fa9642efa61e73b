"""Values of a configuration: ranges, finite numbers, seeds; and which fields may differ when a run is resumed."""

from dataclasses import replace
from pathlib import Path

import pytest

from darts.config import (
    LanguageRetrainConfig,
    LanguageSearchConfig,
    LogitsConfig,
    RetrainConfig,
    SearchConfig,
    check,
    flat,
    identity,
    to_dict,
)
from darts.config.fields import fields_of
from darts.config.ranges import Range
from darts.errors import UserError

INF, NAN = float("inf"), float("nan")


def changed(config, path, value):
    """The configuration with another value of one field."""
    name, _, rest = path.partition(".")
    return replace(config, **{name: changed(getattr(config, name), rest, value) if rest else value})


KINDS = [SearchConfig(), RetrainConfig(), LanguageSearchConfig(), LanguageRetrainConfig()]
NUMBERS = {
    (type(config).__name__, field.path): (config, field)
    for config in KINDS
    for field in fields_of(config)
    if any(isinstance(each, Range) for each in field.metadata)
}


@pytest.mark.parametrize("key", NUMBERS, ids=".".join)
def test_every_number_has_a_range(key):
    config, field = NUMBERS[key]
    for value in (NAN, INF, -INF, 1e308, -1, 2**70, 10**4000):
        values = (0.5, value) if isinstance(field.value, tuple) else value
        with pytest.raises(UserError, match=rf"^`{field.path}` is .*; it must be ") as error:
            check(changed(config, field.path, values))
        assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("logits.betas", (1.0, 1.0), "in [0, 1)"),
        ("logits.betas", (INF, 0.5), "in [0, 1)"),
        ("method.stages", (), "give one stage or more"),
        ("logits.weight_decay", 1e308, "between -1e30 and 1e30"),
        ("data.crop_padding", 2**63, "at most 16384"),
        ("batch_size", 2**63 - 1, "at most 2147483647"),
        ("seed", 2**64, "from 0 to 18446744069414584319"),
        ("deployment.latencies", Path("x.json"), "which nothing reads: set latency in `limits`, or leave it out"),
        ("valid_share", 0.6, "at most 1 together with `train_share`"),
    ],
)
def test_values_that_cannot_be(path, value, allowed):
    with pytest.raises(UserError) as error:
        check(changed(SearchConfig(), path, value))
    assert str(error.value).startswith(f"`{path}` is ") and allowed in str(error.value)


@pytest.mark.parametrize("seed", [0, 2**31, 2**63, 2**64 - 2**32 - 1])
def test_seeds_are_64_bits(seed):
    check(SearchConfig(seed=seed))


def test_what_a_resumed_run_must_agree_on():
    config = SearchConfig()
    for path, value in flat(to_dict(config)).items():
        assert isinstance(value, list) or path in identity(config) or path.startswith("run.") or path in (
            "recipe", "data.root", "data.download", "data.workers", "space.backend", "benchmark.name", "benchmark.file",
            "rerank", "rerank_epochs",
        )  # fmt: skip
    kept = {path for path in identity(config) if path.startswith("run.")}
    assert kept == {"run.device", "run.precision", "run.channels_last", "run.deterministic", "run.sync_batchnorm"}
    assert identity(config) != identity(replace(config, logits=LogitsConfig(lr=1.0)))
    assert identity(config) == identity(replace(config, rerank=3))
    assert {path for path in identity(LanguageSearchConfig()) if path not in identity(config)} == {
        path for path in flat(to_dict(LanguageSearchConfig())) if path.startswith("language.")
    }
