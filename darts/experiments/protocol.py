"""The protocol: several searches, several retrainings of each result, beside random architectures trained alike.

    python -m darts.experiments protocol digits --searches 4 --retrains 3 --random 8
    python -m darts.experiments protocol digits ... --baseline DARTS_V2                        a fixed one beside them
    python -m darts.experiments protocol digits ... -- --method.name pc_darts --epochs 20      options of the search

The same command again continues where it ended; in a second terminal, or with --storage on a second machine, it works
beside the first. A larger number of searches, retrainings or random architectures adds to what is there. Architectures
are judged by the task's own figure: accuracy, mean IoU, average precision at .5, exact sentences. The report has the
mean and spread of the architectures, the relative improvement over random ones (Yang et al. 2020), the gap to the best
of as many random architectures as cost what a search costs, and the checklist of Lindauer and Hutter 2020.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console

from darts.blackbox.run import require_options
from darts.cli import parse, require_recipe, say
from darts.config import BlackboxConfig, LanguageSearchConfig, RetrainConfig, SearchConfig, flat, identity, to_dict
from darts.config.command_line import parse_command
from darts.config.ranges import FROM_2, POSITIVE
from darts.errors import UserError
from darts.experiments.checklist import checklist
from darts.experiments.jobs import Experiment, Figures, Job, carry_out, open_experiment
from darts.experiments.judgement import ARCHITECTURES, BASELINE, RANDOM, SEARCHED, judgement, lines
from darts.experiments.published import differences, published_errors
from darts.experiments.runs import SEARCHES, named, random_genotype, retrain, retraining_of, search, space_of
from darts.methods.compose import compose
from darts.recipes import FINAL_RECIPES
from darts.report.figures import headline_keys
from darts.report.protocol_page import protocol_page
from darts.training.device import choose_device
from genotypes import Genotype, describe, load
from genotypes.atomic_write import write_atomically

PROGRAM = "python -m darts.experiments protocol"
SEARCH_OPTIONS = "--"
"""What stands behind it on the command line are options of the recipe's search."""

SEARCH, DRAW, RETRAIN = "search", "draw", "retrain"
"""Kinds of jobs."""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    recipe: tyro.conf.Positional[str]
    """Recipe of the searches, with or without gradients; its data set has a recipe for retraining."""
    searches: Annotated[int, FROM_2] = 4
    """Searches, with the seeds 0, 1, ..."""
    retrains: Annotated[int, POSITIVE] = 3
    """Retrainings of each architecture, with the seeds 0, 1, ..."""
    random: Annotated[int, FROM_2] = 8
    """Random architectures of the space, drawn with the seeds 0, 1, ..., each retrained as often."""
    baseline: str | None = None
    """A fixed architecture that is trained beside them, with as many seeds as there are searches: a name of the
    library, a file, or an architecture string."""
    final: str | None = None
    """Recipe of the retrainings; by default the one that fits the search."""
    final_epochs: Annotated[int | None, POSITIVE] = None
    """Epochs of the retrainings; the recipe's where not given."""
    runs: Path = Path("runs")
    """Folder of all experiments."""
    name: str | None = None
    """Folder of this experiment within --runs; by default protocol-RECIPE."""
    storage: str | None = None
    """Storage of the jobs, for workers on several machines: postgresql://USER@HOST/DATABASE; --runs must then be a
    folder that they share. By default study.db in the folder."""
    json: Path | None = None
    """File to write the results to as well; protocol.json in the folder has them in any case."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Parse, do what is not done, write results and report, print them."""
    place = list(arguments).index(SEARCH_OPTIONS) if SEARCH_OPTIONS in arguments else len(arguments)
    options = parse_command(Options, arguments[:place], prog=PROGRAM, description=__doc__)
    command = ["python", "-m", "darts.experiments", "protocol", *arguments]
    results = run_protocol(options, search_config(options.recipe, arguments[place + 1 :]), command, console)
    for line in lines(results):
        say(console, line)


def search_config(recipe: str, arguments: Sequence[str]) -> SearchConfig | BlackboxConfig:
    """Return the search of the protocol; its seed, its folder and its retraining are the protocol's.

    Args:
        arguments: options of the recipe, as ``train_search.py`` takes them.

    Raises:
        UserError: where there is no such recipe or option, or the result of the search is a language model, whose
            perplexity is no share.
    """
    config = parse("train_search.py", SEARCHES, [recipe, *arguments], default=recipe)
    if isinstance(config, LanguageSearchConfig):
        raise UserError(
            f"{recipe} searches a language model, whose perplexity is not judged; name a recipe of another task"
        )
    if isinstance(config, BlackboxConfig):
        require_options(config)
        if config.tune or config.seeds > 1 or config.study.shared:
            raise UserError(
                "leave out `tune`, `seeds` and `study`: all architectures are trained alike, by one worker each"
            )
    else:
        compose(config)
    return config


def run_protocol(
    options: Options, config: SearchConfig | BlackboxConfig, command: Sequence[str], console: Console
) -> dict[str, Any]:
    """Do every run that is not done, beside other workers; write results and report; return the results.

    Raises:
        UserError: where there is no such recipe for retraining, or a run fails.
    """
    folder = options.runs / (options.name or f"protocol-{options.recipe}")
    if options.final is not None:
        require_recipe(options.final, FINAL_RECIPES, "train_final.py")
    device = choose_device(config.run)
    baseline = load(options.baseline) if options.baseline else None
    plan = Plan(options, config, folder, device, console, baseline)
    final = plan.retraining("", 0)
    settings = {"search": _of_protocol(config), "retraining": _of_protocol(final)}
    experiment = open_experiment(folder, options.storage, settings, device)
    say(console, f"protocol {options.recipe} on {device}: {folder}")
    jobs = plan.jobs()
    results = results_of(plan, experiment, carry_out(experiment, jobs, console)) | {"command": list(command)}
    text = json.dumps(results, indent=2) + "\n"
    for path in (folder / "protocol.json", *([options.json] if options.json else [])):
        write_atomically(path, text.encode())
    write_atomically(folder / "report.html", protocol_page(results, list(lines(results))).encode(errors="replace"))
    say(console, f"in {folder}: report.html, protocol.json, and a folder for each run")
    return results


@dataclass(frozen=True)
class Plan:
    """The jobs of a protocol, and the configuration of each.

    Attributes:
        options: of the protocol.
        config: of the searches.
        folder: of the experiment, which holds a folder for each run.
        device: that computes.
        console: shows the progress of each run.
        baseline: architecture that is trained beside the others; None for none.
    """

    options: Options
    config: SearchConfig | BlackboxConfig
    folder: Path
    device: torch.device
    console: Console
    baseline: Genotype | None = None

    def groups(self) -> dict[str, tuple[list[str], int]]:
        """Return group -> the names of its architectures, and how often each is trained."""
        options, found = self.options, dict[str, tuple[list[str], int]]()
        if self.baseline:
            found[BASELINE] = [f"{BASELINE}-{self.baseline.hash[:8]}"], max(options.searches, options.retrains)
        for group, count in ((SEARCHED, options.searches), (RANDOM, options.random)):
            found[group] = [f"{group}-{number}" for number in range(count)], options.retrains
        return found

    def jobs(self) -> list[Job]:
        """Return all jobs: the baseline's, then each search, each draw, and every retraining of what they give, seed
        after seed."""
        make = {SEARCHED: (SEARCH, self.search), RANDOM: (DRAW, self.draw), BASELINE: (DRAW, self.fixed)}
        trainings: list[tuple[int, Job]] = []
        found: list[Job] = []
        for group, (names, count) in self.groups().items():
            kind, do = make[group]
            found += [Job(name, kind, partial(do, name, number)) for number, name in enumerate(names)]
            own = [(seed, self._training(name, seed)) for seed in range(count) for name in names]
            if group == BASELINE:  # first of all: an architecture that does not fit the task is refused at once
                found += [job for _, job in own]
            else:
                trainings += own
        return found + [job for _, job in sorted(trainings, key=lambda pair: pair[0])]

    def _training(self, name: str, seed: int) -> Job:
        return Job(retraining_name(name, seed), RETRAIN, partial(self.retrain, name, seed), needs=(name,))

    def search(self, name: str, number: int, done: Mapping[str, Figures]) -> Figures:
        """Search with one of the seeds."""
        config = replace(self.config, seed=number)
        found = search(named(config, name, self.folder, self.config.run.device), self.device, self.console)
        return {"seed": number, "genotype": describe(found.genotype), "search_seconds": round(found.seconds, 2)}

    def draw(self, name: str, number: int, done: Mapping[str, Figures]) -> Figures:
        """Draw an architecture of the space."""
        genotype = random_genotype(space_of(self.config, self.device), number)
        return {"seed": number, "genotype": describe(genotype), "search_seconds": 0.0}

    def fixed(self, name: str, number: int, done: Mapping[str, Figures]) -> Figures:
        """Return the baseline."""
        assert self.baseline is not None, "its job is there"
        return {"genotype": describe(self.baseline), "search_seconds": 0.0}

    def retraining(self, name: str, seed: int) -> RetrainConfig:
        """Return the configuration of an architecture's retraining."""
        placed = named(self.config, "", self.folder, self.config.run.device)
        options, own = self.options, retraining_name(name, seed)
        return retraining_of(placed, name=own, seed=seed, recipe=options.final, epochs=options.final_epochs)

    def retrain(self, name: str, seed: int, done: Mapping[str, Figures]) -> Figures:
        """Train an architecture from scratch with one of the seeds."""
        genotype = load(done[name]["genotype"]).named(name)
        trained = retrain(self.retraining(name, seed), genotype, self.device, self.console)
        figure = headline_keys(trained.figures)[0]
        return {
            figure: trained.figures[figure],
            "parameters": trained.figures["parameters"],
            "seconds": round(trained.seconds, 2),
        }


def retraining_name(architecture: str, seed: int) -> str:
    """Return the name of a retraining: that of its job and its folder.

    Args:
        architecture: its name, which is that of its job, of its search's folder, and of its genotype.
        seed: of the retraining.
    """
    return f"{architecture}-retrain-{seed}"


def results_of(plan: Plan, experiment: Experiment, done: Mapping[str, Figures]) -> dict[str, Any]:
    """Return the results of a protocol whose jobs are done, as JSON can hold them."""
    options = plan.options
    found: dict[str, Any] = {}
    for group, (names, trainings) in plan.groups().items():
        found[group] = []
        for name in names:
            trained = [done[retraining_name(name, seed)] for seed in range(trainings)]
            figure = headline_keys(trained[0])[0]
            found[group].append(
                {
                    "name": name,
                    **done[name],
                    "parameters": trained[0]["parameters"],
                    figure: [each[figure] for each in trained],
                    "retrain_seconds": [each["seconds"] for each in trained],
                }
            )
    final = plan.retraining("", 0)
    settings: dict[str, Any] = {
        "recipe": options.recipe,
        "searches": options.searches,
        "retrains": options.retrains,
        "random": options.random,
        "baseline": options.baseline,
        "search": _of_protocol(plan.config),
        "retraining": _of_protocol(final),
    }
    recipe = SEARCHES[options.recipe]()
    changed = {
        "search": differences(settings["search"], _of_protocol(recipe)),
        "retraining": differences(settings["retraining"], _of_protocol(FINAL_RECIPES[final.recipe]())),
    }
    results = {
        "machines": experiment.machines(),
        "settings": settings,
        "changed": changed,
        "published": published_errors().get(options.recipe),
        ARCHITECTURES: found,
    }
    results["judgement"] = judgement(found)
    results["checklist"] = checklist(results, plan.config)
    return results


def _of_protocol(config: SearchConfig | BlackboxConfig | RetrainConfig) -> dict[str, Any]:
    """Return the fields that determine a run's results, without its seed, which the protocol gives.

    The budget of a search without gradients, which may grow while it is resumed, is one of them here.
    """
    kept = {"recipe": config.recipe, **identity(config)}
    budget = {name: value for name, value in flat(to_dict(config)).items() if name.startswith("budget.")}
    return {name: value for name, value in (kept | budget).items() if name != "seed"}
