"""How figures are called and written, wherever a report shows them."""

from __future__ import annotations

from collections.abc import Mapping

TITLES = {
    "test_accuracy": "test accuracy",
    "test_error": "test error",
    "test_perplexity": "test perplexity",
    "test_loss": "test loss",
    "valid_accuracy": "validation accuracy",
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
"""In the order in which they are shown; others follow under their own names."""

COST = ("seconds", "images_per_second", "peak_memory_mib", "energy_j")


def title(key: str) -> str:
    """A figure's name for people."""
    return TITLES.get(key, key.replace("_", " "))


def ordered(keys: set[str]) -> list[str]:
    """Figures in the order of ``TITLES``, then by name, then the cost."""
    known = [key for key in TITLES if key in keys and key not in COST]
    others = sorted(keys - set(TITLES))
    return [*known, *others, *(key for key in COST if key in keys)]


def is_share(key: str) -> bool:
    """Whether a figure is a share that is shown in percent."""
    return key.endswith(("accuracy", "_error"))


def written(key: str, value: float) -> str:
    """A figure with its unit."""
    if is_share(key):
        return f"{100 * value:.2f} %"
    if key.endswith("perplexity"):
        return f"{value:,.2f}"
    if key in ("parameters", "multiply_adds"):
        return f"{value / 1e6:.3f} M"
    if key == "seconds":
        return duration(value)
    if key == "peak_memory_mib":
        return f"{value:,.0f} MiB" if value < 10_240 else f"{value / 1024:.1f} GiB"
    if key == "energy_j":
        return f"{value / 3.6e6:.3f} kWh" if value >= 3.6e4 else f"{value:,.0f} J"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def headline(figures: Mapping[str, float]) -> str:
    """What a retraining came to."""
    keys = ("test_accuracy",) if "test_accuracy" in figures else ("valid_perplexity", "test_perplexity")
    return ", ".join(f"{title(key)} {written(key, figures[key])}" for key in keys if key in figures)


def mean_and_spread(key: str, values: list[float]) -> str:
    """The mean of several runs and, from two on, their sample standard deviation."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return written(key, mean)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    centre, width = written(key, mean), written(key, spread)
    if key not in TITLES or key.endswith("loss") or key == "images_per_second":
        return f"{centre} ± {spread:.2g}"
    unit = " " + centre.rpartition(" ")[2] if " " in centre else ""
    return f"{centre.removesuffix(unit)} ± {width}" if unit and width.endswith(unit) else f"{centre} ± {width}"


def duration(seconds: float) -> str:
    """Days, hours, minutes and seconds, the two largest."""
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def differing(runs: list[Mapping[str, object]]) -> list[str]:
    """The keys under which several mappings do not all hold the same value."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if len({str(run.get(key)) for run in runs}) > 1]
