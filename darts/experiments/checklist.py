"""The checklist for research on architecture search (Lindauer and Hutter 2020), answered from configuration and runs.

The questions are theirs, in our words. An answer is what the record of an experiment shows; where it shows nothing, the
answer says so and leaves the rest to the author.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from darts.config import BlackboxConfig, SearchConfig
from darts.experiments.judgement import ARCHITECTURES, RANDOM, SEARCHED
from darts.report.figures import duration, title

VERSIONS = ("python", "torch", "torchvision", "numpy", "cuda")
"""Entries of a machine's record that are versions."""


@dataclass(frozen=True)
class Item:
    """A question of the checklist.

    Attributes:
        part: of the checklist.
        question: in our words.
        answer: yes, no, or in part.
        evidence: what the answer follows from.
    """

    part: str
    question: str
    answer: Literal["yes", "no", "in part"]
    evidence: str


def checklist(results: Mapping[str, Any], config: SearchConfig | BlackboxConfig) -> list[dict[str, str]]:
    """Return the checklist of a protocol as JSON holds it.

    Args:
        results: of the protocol: ``machines``, ``settings``, ``architectures``.
        config: of its searches.
    """
    parts = {
        "code": _code(results),
        "comparison": _comparison(results, config),
        "report": _report(results),
    }
    return [asdict(Item(part, *item)) for part, items in parts.items() for item in items]


Answered = tuple[str, Literal["yes", "no", "in part"], str]
"""Question, answer, evidence."""


def _code(results: Mapping[str, Any]) -> Iterator[Answered]:
    settings = results["settings"]
    commits = {str(machine["commit"]) for machine in results["machines"]}
    clean = len(commits) == 1 and not any(commit == "None" or commit.endswith("-dirty") for commit in commits)
    known = f"commit {', '.join(sorted(commits))}"
    state: Literal["yes", "in part"] = "yes" if clean else "in part"
    note = known if clean else f"{known}: not one commit without changes"
    yield "Is the code of the training of final architectures known?", state, note
    yield "Is the code of the search space known?", state, note
    yield "Is the code of the search method known?", state, note
    seeds = f"seeds 0 to {settings['retrains'] - 1}"
    yield (
        "Are hyper-parameters and seeds of the final training known?",
        "yes",
        f"recipe {settings['retraining']['recipe']}, {seeds}; all fields are in protocol.json",
    )
    yield (
        "Are hyper-parameters and seeds of the search known?",
        "yes",
        f"recipe {settings['recipe']}, seeds 0 to {settings['searches'] - 1}; all fields are in protocol.json",
    )


def _comparison(results: Mapping[str, Any], config: SearchConfig | BlackboxConfig) -> Iterator[Answered]:
    settings, machines = results["settings"], results["machines"]
    data = settings["retraining"]["data.name"]
    yield (
        "Are all architectures of one space, data set and split, and trained by the same code and hyper-parameters?",
        "yes",
        f"searched and random ones: space {config.space.name or 'darts'}, {data}, recipe "
        f"{settings['retraining']['recipe']}, the same seeds",
    )
    devices = {str(machine["device"]) for machine in machines}
    versions = {tuple(machine.get(name) for name in VERSIONS) for machine in machines}
    same = len(devices) == 1 and len(versions) == 1
    yield (
        "Are machine and versions the same for all runs?",
        "yes" if same else "no",
        f"{', '.join(sorted(devices))}; {len(versions)} set{'s' if len(versions) > 1 else ''} of versions",
    )
    yield "Is it measured what each part of the method contributes?", "no", "one method was run, without ablations"
    yield (
        "Are all architectures evaluated by one protocol?",
        "yes",
        f"{title(results['judgement']['figure'])}, by which nothing is selected",
    )
    yield (
        "Is performance compared over time?",
        "in part",
        "each search logs every epoch or trial; against random search, at equal budget alone",
    )
    yield "Is the method compared with random search?", "yes", f"{settings['random']} random architectures"
    yield (
        "Was everything run several times?",
        "yes" if settings["retrains"] > 1 else "in part",
        f"{settings['searches']} searches, {settings['retrains']} trainings of each architecture",
    )
    table = config.benchmark.file is not None
    yield (
        "Was a tabular benchmark used for a closer look?",
        "yes" if table else "no",
        "every epoch's genotype is looked up" if table else "no table was given (benchmark.file)",
    )


def _report(results: Mapping[str, Any]) -> Iterator[Answered]:
    found = results[ARCHITECTURES]
    search = sum(each["search_seconds"] for each in found[SEARCHED])
    training = sum(sum(each["retrain_seconds"]) for group in (SEARCHED, RANDOM) for each in found[group])
    yield (
        "Is it reported how hyper-parameters were tuned, and at what cost?",
        "no",
        "nothing was tuned in this experiment; how the recipe's values were found is not recorded",
    )
    yield (
        "Is the time of the whole method reported, and not of the search alone?",
        "yes",
        f"searches {duration(search)}, trainings {duration(training)} in all",
    )
    yield (
        "Are all details of the experiment reported?",
        "yes",
        "configuration, command, machines and versions are in protocol.json",
    )
