"""Search an architecture: a recipe and what you override, to runs/<name>/genotype.json.

python train_search.py                                        on embedded data, about a minute
python train_search.py darts_v1_cifar10 --data.root DIR       a paper's protocol
torchrun --nproc-per-node 4 train_search.py darts_v1_cifar10 --data.root DIR    on four GPUs
python train_search.py --help                                 all recipes and their published numbers
"""

import signal

if __name__ == "__main__":
    from darts.environment import report_failed_imports

    report_failed_imports()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below ends the process silently

import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from textwrap import fill

from rich.console import Console

from darts.artifacts.fingerprint import of_data_set
from darts.artifacts.run_folder import run_folder, shared_folder
from darts.artifacts.tensorboard import write_results
from darts.artifacts.tuned import PARETO_FILE, flags, tuned_with
from darts.cli import parse, say, train_script, with_resumed, write_config, writing_results
from darts.config import BlackboxConfig, SearchConfig, identity
from darts.data.registry import open_data
from darts.data.summary import summary
from darts.errors import UserError
from darts.methods import METHODS
from darts.methods.compose import COMPONENTS, compose
from darts.oneshot.builder import make_search
from darts.oneshot.preflight import prepare_retraining
from darts.oneshot.rerank import rerank
from darts.oneshot.task import SearchTask
from darts.processes import Ranks
from darts.recipes import BLACKBOX_RECIPES, FINAL_RECIPES, SEARCH_RECIPES, final_for
from darts.recipes.help import components_help
from darts.report.page import write_report
from darts.training.device import choose_device
from darts.training.loop import Interrupted, train
from darts.training.memory_planner import prepare
from darts.training.progress import SEARCHING, pluralize, stopped_message
from genotypes import describe
from supernet.bench.machine import machine

INTRODUCTION = f"""
usage: python train_search.py [RECIPE] [OPTIONS]

Search an architecture. A recipe is a method by its published protocol on a data set; without one it is digits.

  I have ...                    so I type
  nothing yet                   python train_search.py                (bundled digits, a minute on a CPU)
  a folder of images            python train_search.py darts_folder --data.root FOLDER
  arrays, in an .npz file       python train_search.py darts_npz --data.root FILE.npz
  sentences with labels, .csv   python train_search.py darts_textnet_csv --data.root FILE.csv
  a text                        python train_search.py darts_recurrent_text --data.root FILE.txt
  data, and want a model        python train_search.py auto --data.root DATA --budget 10m   (images, tables, texts)
  a model of my own             in Python: darts.search(model, data), see help(darts.search)

  all options of a recipe       python train_search.py RECIPE --help
  another search method         --method.name NAME, see below
  search without gradients      python train_search.py evolution_digits     (random, genetic, local_search, ...)
  memory, time, resuming        --memory 8GB, --max-hours 2, --resume

{fill("search methods: " + ", ".join(METHODS) + "; or a Python file that defines METHOD", 100)}
"""


def main(arguments: Sequence[str], console: Console, ranks: Ranks) -> None:
    """Parse, build, run, write."""
    if arguments and arguments[0] == "auto":
        from darts.automatic.command import fit_command  # imports Optuna and scikit-learn

        fit_command(arguments[1:], console)
        return
    every: dict[str, Callable[[], SearchConfig | BlackboxConfig]] = {**SEARCH_RECIPES, **BLACKBOX_RECIPES}
    recipes, resumed = with_resumed("search", every, arguments)
    config = parse(
        "train_search.py",
        recipes,
        arguments,
        default=resumed or "digits",
        introduction=INTRODUCTION,
        components=components_help(METHODS, COMPONENTS),
    )
    if isinstance(config, BlackboxConfig):
        search_without_gradients(config, console, ranks)
        return
    method = compose(config)
    device = choose_device(config.run)
    data = open_data(config.data, device, config.seed, config.run.channels_last, ranks, config.language)
    say(console, summary(data))
    task = make_search(config, data, device, method=method, ranks=ranks)
    folder = run_folder(config.run, f"search-{config.recipe}-seed{config.seed}", ranks)
    length = f"{pluralize(task.epochs, 'epoch')} of {pluralize(task.steps_per_epoch, 'step')}"
    say(console, f"search {config.recipe} on {device}: {length}, {folder}")
    for line in task.started.lines():
        say(console, line)
    if prepare(task, config, device, console):
        prepare_retraining(task, FINAL_RECIPES[final_for(config.space.name, config.data.name)](), console)
    begun = partial(write_config, folder, task.kind, config, device, ranks, task.started)
    made_with = {**identity(config), "data": of_data_set(data)}
    train(task, config.run, folder, made_with, console, ranks, begun)
    if ranks.rank > 0:
        return
    with writing_results():
        finish(task, config, folder, console)


def finish(task: SearchTask, config: SearchConfig, folder: Path, console: Console) -> None:
    """Write the files of a search whose training is done, and print its genotype and what to type next."""
    genotype = task.write(folder, folder.name)
    if task.context.stop_reason:
        say(console, f"stopped after {pluralize(task.epochs, 'epoch')}: {task.context.stop_reason}")
    if config.rerank and task.genotypes:
        genotype = rerank(task, folder, console)
    write_results(folder)
    write_report(folder)
    say(console, describe(genotype))
    if task.benchmark:
        say(console, task.benchmark.summary(genotype, config.data.name))
    files = "report.html, genotype.json, genotypes.json, cells.svg, gates.svg, metrics.json, log.jsonl, tensorboard/"
    say(console, f"in {folder}: {files}")
    say(console, next_command(config, folder, config.data.name))


def search_without_gradients(config: BlackboxConfig, console: Console, ranks: Ranks) -> None:
    """Search by trials: trained from scratch, or looked up in a benchmark; several seeds are replays of its table."""
    from darts.blackbox import run  # imports Optuna, which no other search needs
    from darts.blackbox.evaluators import Setting, problem_of
    from darts.blackbox.locks import alone_in

    if ranks.count > 1:
        raise UserError("a search without gradients runs in one process: leave out torchrun")
    start = time.monotonic()
    run.require_options(config)
    device = choose_device(config.run)
    default = f"search-{config.recipe}-seed{config.seed}"
    shared = config.study.shared
    folder = shared_folder(config.run, config.study.name or default) if shared else run_folder(config.run, default)
    say(console, f"search {config.recipe} by {config.strategy}: {folder}")

    def setting() -> Setting:
        data = open_data(config.data, device, config.seed, config.run.channels_last)
        say(console, summary(data))
        return Setting(config, data, device, folder, console)

    alone = partial(alone_in, folder) if shared else nullcontext  # workers of one study write in one folder
    with alone():
        problem = problem_of(config, setting)
    if config.seeds > 1:
        replays = run.run_replays(config, problem, console)
        run.write_replays(config, replays, machine(device), folder)
        say(console, "\n".join(replays.lines()))
        say(console, f"in {folder}: replays.json")
        return
    begun = partial(write_config, folder, "search", config, device)
    try:
        study = run.run_study(config, problem, folder, console, device, begun, start)
    except KeyboardInterrupt:
        raise Interrupted(stopped_message(SEARCHING), 128 + signal.SIGINT) from None
    with alone():
        genotype = run.write_study(config, study, folder, problem.truth)
        write_report(folder)
    say(console, describe(genotype))
    if (standing := problem.truth(genotype)) is not None:
        say(console, str(standing))
    tuned = tuned_with(str(folder))
    if tuned:
        say(console, "tuned: " + ", ".join(f"{name} {value}" for name, value in tuned.items()))
    several = ", pareto.json, pareto.svg" if (folder / PARETO_FILE).exists() else ""
    say(console, f"in {folder}: report.html, genotype.json, cells.svg, trials.json, metrics.json{several}")
    say(console, next_command(config, folder, config.data.name, flags(tuned)))
    if several:
        point = quoted(f"{folder / PARETO_FILE}@2")
        say(console, f"or, for another point of the Pareto set:  python {script('train_final.py')} --genotype {point}")


def next_command(
    config: SearchConfig | BlackboxConfig, folder: Path, data_name: str, options: Sequence[str] = ()
) -> str:
    """Return the line that says how to retrain the result.

    Args:
        options: that the search has chosen for it.
    """
    root = ["--data.root", str(config.data.root)] if config.data.root else []
    recipe = final_for(config.space.name, data_name)
    command = ["python", script("train_final.py"), recipe, "--genotype", str(folder / "genotype.json")]
    return "now type:  " + " ".join(map(quoted, [*command, *options, *root]))


def quoted(word: str) -> str:
    """Return a word as a shell reads it; bytes that are not UTF-8 as escapes."""
    escaped = os.fsencode(word).decode(errors="backslashreplace")
    return shlex.quote(word) if escaped == word else "$'" + escaped.replace("'", "\\'") + "'"


def script(name: str) -> str:
    """Return the path of a script beside this one, as it is typed in the current folder."""
    folder = Path(__file__).resolve().parent
    return name if folder == Path.cwd() else str(folder / name)


def run() -> None:
    """Run the script, as the installed command ``darts-search`` does."""
    train_script(main)


if __name__ == "__main__":
    run()
