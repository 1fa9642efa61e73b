"""Names, units and rounding of figures (numbers that a run logs), wherever a report shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from darts.training.objective import SHARES

TITLES = {
    "test_accuracy": "test accuracy",
    "test_error": "test error",
    "test_mean_iou": "test mean IoU",
    "test_pixel_accuracy": "test pixel accuracy",
    "test_average_precision": "test average precision (.5:.95)",
    "test_average_precision_50": "test average precision (.5)",
    "test_sentence_accuracy": "test sentence accuracy",
    "test_perplexity": "test perplexity",
    "test_loss": "test loss",
    "valid_accuracy": "validation accuracy",
    "valid_mean_iou": "validation mean IoU",
    "valid_pixel_accuracy": "validation pixel accuracy",
    "valid_average_precision": "validation average precision (.5:.95)",
    "valid_average_precision_50": "validation average precision (.5)",
    "valid_perplexity": "validation perplexity",
    "valid_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "time",
    "images_per_second": "examples/s",
    "peak_memory_mib": "peak memory",
    "energy_j": "energy",
}
"""Figure -> its title, in the order in which figures are shown; others follow under their own names."""

HEADLINES = (
    ("test_sentence_accuracy", "test_accuracy"),
    ("test_accuracy",),
    ("test_mean_iou", "test_pixel_accuracy"),
    ("test_average_precision_50", "test_average_precision"),
    ("valid_perplexity", "test_perplexity"),
    ("test_perplexity",),
)
"""Figures that are the result of a retraining: the first of these whose first figure is there."""

COST = ("seconds", "images_per_second", "peak_memory_mib", "energy_j")


def title(key: str) -> str:
    """Return the title of a figure."""
    return TITLES.get(key, key.replace("_", " "))


def ordered(keys: set[str]) -> list[str]:
    """Sort figures: those of ``TITLES`` in its order, then others by name, then the cost."""
    known = [key for key in TITLES if key in keys and key not in COST]
    others = sorted(keys - set(TITLES))
    return [*known, *others, *(key for key in COST if key in keys)]


def is_share(key: str) -> bool:
    """Return whether a figure is a fraction that is shown in percent."""
    return key.endswith((*SHARES, "_error"))


def formatted(key: str, value: float) -> str:
    """Return a figure as text, rounded and with its unit."""
    if is_share(key):
        return f"{100 * value:.2f} %"
    if key.endswith("perplexity"):
        return f"{value:,.2f}"
    if key in ("parameters", "multiply_adds"):
        return f"{value / 1e6:.3f} M" if value >= 1e4 else f"{value:,.0f}"
    if key == "seconds":
        return duration(value)
    if key == "peak_memory_mib":
        return f"{value:,.0f} MiB" if value < 10_240 else f"{value / 1024:.1f} GiB"
    if key == "energy_j":
        return f"{value / 3.6e6:.3f} kWh" if value >= 3.6e4 else f"{value:,.0f} J"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def headline_keys(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures that are the result of a retraining, the one that it is judged by first."""
    return next((keys for keys in HEADLINES if keys[0] in figures), ())


def headline(figures: Mapping[str, float]) -> str:
    """Return the result of a retraining in a few words."""
    keys = headline_keys(figures)
    return ", ".join(f"{title(key)} {formatted(key, figures[key])}" for key in keys if key in figures)


def mean_and_spread(key: str, values: list[float]) -> str:
    """Return the mean of several runs and, from two runs on, their sample standard deviation, as text."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return formatted(key, mean)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    centre, width = formatted(key, mean), formatted(key, spread)
    if key not in TITLES or key.endswith("loss") or key == "images_per_second":
        return f"{centre} ± {spread:.2g}"
    unit = " " + centre.rpartition(" ")[2] if " " in centre else ""
    return f"{centre.removesuffix(unit)} ± {width}" if unit and width.endswith(unit) else f"{centre} ± {width}"


def duration(seconds: float) -> str:
    """Return a time in its two largest units of days, hours, minutes and seconds."""
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts: list[str] = []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def differing(runs: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the keys whose values are not the same in all mappings."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if len({str(run.get(key)) for run in runs}) > 1]
