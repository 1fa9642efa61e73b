"""Train a genotype from scratch, to runs/<name>/metrics.json with its test accuracy.

python train_final.py                                                      the newest search, on its data set
python train_final.py --genotype runs/NAME/genotype.json                   any genotype file, or a library name
python train_final.py darts_cifar10 --genotype DARTS_V2 --data.root DIR    a paper's protocol
python train_final.py --help                                               all recipes and their published numbers
"""

import signal

if __name__ == "__main__":
    from darts.environment import report_failed_imports

    report_failed_imports()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below ends the process silently

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from darts.artifacts.fingerprint import of_data_set
from darts.artifacts.pareto_points import within_limits
from darts.artifacts.run_config import load_config, load_search_config
from darts.artifacts.run_folder import newest_search, run_folder
from darts.artifacts.tensorboard import write_results
from darts.artifacts.tuned import tuned_with
from darts.cli import names_recipe, parse, say, train_script, with_resumed, write_config, writing_results
from darts.config import RetrainConfig, RunConfig, identity
from darts.config.command_line import asks_help, value_of
from darts.config.fields import fields_of, replaced
from darts.data.registry import open_data
from darts.data.summary import summary
from darts.processes import Ranks
from darts.recipes import FINAL_RECIPES, final_for
from darts.report.figures import headline
from darts.report.page import write_report
from darts.retraining.task import RetrainTask
from darts.training.device import choose_device
from darts.training.loop import train
from darts.training.memory_planner import prepare
from darts.training.progress import pluralize
from genotypes import folder_of, load, parted

INTRODUCTION = """
usage: python train_final.py [RECIPE] [OPTIONS]

Train a genotype from scratch. A recipe is a published protocol on a data set; without one it is the one that fits the
search that the genotype is from.

  I have ...                    so I type
  a finished search             python train_final.py                 (the newest under runs/, on its own data)
  the folder of a search        python train_final.py --genotype runs/NAME
  a genotype in a file          python train_final.py RECIPE --genotype FILE.json --data.root DATA
  a published architecture      python train_final.py darts_cifar10 --genotype DARTS_V2 --data.root FOLDER
  a folder of images            python train_final.py darts_folder --genotype DARTS_V2 --data.root FOLDER
  arrays, in an .npz file       python train_final.py darts_npz --genotype DARTS_V2 --data.root FILE.npz
  images or rows to classify    python train_final.py predict runs/NAME FILE ...
  a trained network to adapt    python train_final.py RECIPE --genotype RUN --start RUN --freeze started
  a model of my own             in Python: darts.retrain(network, data), see help(darts.retrain)

  all options of a recipe       python train_final.py RECIPE --help
  memory, time, resuming        --memory 8GB, --max-hours 2, --resume
"""


def main(arguments: Sequence[str], console: Console, ranks: Ranks) -> None:
    """Parse, build, run, write."""
    if arguments and arguments[0] == "predict":
        from darts.automatic.command import predict_command

        predict_command(arguments[1:], console)
        return
    config, source = parse_retraining(arguments)
    genotype = load(source)
    config = replace(config, genotype=absolute(source))
    name = re.sub(r"[^\w.-]+", "_", genotype.name or genotype.hash)[:60]
    device = choose_device(config.run)
    data = open_data(config.data, device, config.seed, config.run.channels_last, ranks, config.language)
    say(console, summary(data))
    task = RetrainTask(config, genotype, data, device, ranks)
    folder = run_folder(config.run, f"final-{config.recipe}-{name}-seed{config.seed}", ranks)
    size = f"{pluralize(task.epochs, 'epoch')}, {task.parameters:,} parameters"
    say(console, f"retrain {source} by {config.recipe} on {device}: {size}")
    for line in task.started.lines():
        say(console, line)
    if not task.space.connected(genotype):
        say(
            console,
            "warning: no path leads from the input of this architecture to its output: its network cannot learn",
        )
    values = {field.path: field.value for field in fields_of(config)}
    if tuned := [f"{path} {value}" for path, value in tuned_with(source).items() if values.get(path) == value]:
        say(console, f"as the search has tuned: {', '.join(tuned)}")
    prepare(task, config, device, console)
    begun = partial(write_config, folder, task.kind, config, device, ranks, task.started)
    made_with = {**identity(config), "data": of_data_set(data), "genotype": genotype.hash}
    train(task, config.run, folder, made_with, console, ranks, begun)
    if ranks.rank > 0:
        return
    with writing_results():
        figures = task.write(folder)
        write_results(folder)
        write_report(folder)
        if task.epochs < config.epochs:
            best = task.selection.kept["epoch"]
            say(console, f"stopped after epoch {task.epochs} of {config.epochs}: none was better than epoch {best}")
        say(console, headline(figures))
        files = "report.html, metrics.json, weights.pt, genotype.json, cells.svg, log.jsonl, tensorboard/"
        say(console, f"in {folder}: {files}")


def absolute(source: str) -> str:
    """Return a genotype's source with the path of its file or folder absolute, so that it is found from anywhere."""
    path, choice = parted(source)
    return os.path.abspath(path) + (choice and f"@{choice}") if os.path.exists(path) else source


def parse_retraining(arguments: Sequence[str]) -> tuple[RetrainConfig, str]:
    """Return the configuration, and the genotype as ``genotypes.load`` takes it.

    Where the command line names no recipe, it is the one that fits the search that the genotype is from, and the data
    are the search's; the fields that the search has tuned have its values. A run that is resumed by its name has its
    own configuration and genotype.
    """
    recipes, resumed = with_resumed("retrain", FINAL_RECIPES, arguments)
    if resumed or names_recipe(arguments) or asks_help(arguments):
        config = parse("train_final.py", recipes, arguments, default=resumed or "digits", introduction=INTRODUCTION)
        return config, within_limits(config.genotype or genotype_of(config.run))
    runs = Path(value_of(arguments, "--runs") or RunConfig.runs)
    source = within_limits(value_of(arguments, "--genotype") or str(newest_search(runs)))
    search = load_search_config(folder_of(source))
    if search is None:
        return parse("train_final.py", FINAL_RECIPES, arguments, default="digits"), source
    recipe = final_for(search.space.name, search.data.name)
    tuned = tuned_with(source)
    recipes = {**FINAL_RECIPES, recipe: lambda: replaced(FINAL_RECIPES[recipe](), tuned)}
    config = parse("train_final.py", recipes, arguments, default=recipe)
    return replace(config, data=replace(config.data, root=config.data.root or search.data.root)), source


def genotype_of(run: RunConfig) -> str:
    """Return the genotype of the run that is resumed by its name; the newest search's for a new run."""
    resumed = load_config(run.runs / run.name, "retrain") if run.resume and run.name is not None else None
    return (isinstance(resumed, RetrainConfig) and resumed.genotype) or str(newest_search(run.runs))


def run() -> None:
    """Run the script, as the installed command ``darts-retrain`` does."""
    train_script(main)


if __name__ == "__main__":
    run()
