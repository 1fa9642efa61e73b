"""Search an architecture: a recipe and what you override, to runs/<name>/genotype.json.

python train_search.py                                        on embedded data, about a minute
python train_search.py darts_v1_cifar10 --data.root DIR       a paper's protocol
torchrun --nproc-per-node 4 train_search.py darts_v1_cifar10 --data.root DIR    on four GPUs
python train_search.py --help                                 all recipes and their published numbers
"""

import shlex
from collections.abc import Sequence
from functools import partial
from textwrap import fill

from rich.console import Console

from darts.artifacts.run_folder import run_folder
from darts.artifacts.tensorboard import write_results
from darts.benchmarks.nasbench201 import NASBench201
from darts.cli import parse, train_script, write_config
from darts.config import identity
from darts.data.registry import open_data
from darts.methods import METHODS
from darts.methods.compose import COMPONENTS, compose
from darts.oneshot.builder import make_search
from darts.oneshot.preflight import prepare_retraining
from darts.oneshot.rerank import rerank
from darts.processes import Ranks
from darts.recipes import FINAL_RECIPES, SEARCH_RECIPES, final_for
from darts.recipes.help import components_help
from darts.report.page import write_report
from darts.training.device import choose_device
from darts.training.loop import train
from darts.training.memory_planner import prepare
from darts.training.progress import pluralize
from genotypes import describe

INTRODUCTION = f"""
usage: python train_search.py [RECIPE] [OPTIONS]

Search an architecture. A recipe is a method by its published protocol on a data set; without one it is digits.

  I have ...                    so I type
  nothing yet                   python train_search.py                (bundled digits, a minute on a CPU)
  a folder of images            python train_search.py darts_folder --data.root FOLDER
  arrays, in an .npz file       python train_search.py darts_npz --data.root FILE.npz
  sentences with labels, .csv   python train_search.py darts_textnet_csv --data.root FILE.csv
  a text                        python train_search.py darts_recurrent_text --data.root FILE.txt
  a model of my own             in Python: darts.search(model, data), see help(darts.search)

  all options of a recipe       python train_search.py RECIPE --help
  another search method         --method.name NAME, see below
  memory, time, resuming        --memory 8GB, --max-hours 2, --resume

{fill("search methods: " + ", ".join(METHODS) + "; or a Python file that defines METHOD", 100)}
"""


def main(arguments: Sequence[str], console: Console, ranks: Ranks) -> None:
    """Parse, build, run, write."""
    config = parse(
        "train_search.py",
        SEARCH_RECIPES,
        arguments,
        default="digits",
        introduction=INTRODUCTION,
        components=components_help(METHODS, COMPONENTS),
    )
    method = compose(config)
    folder = run_folder(config.run, f"search-{config.recipe}-seed{config.seed}", ranks)
    device = choose_device(config.run)
    data = open_data(config.data, device, config.seed, config.run.channels_last, ranks, config.language)
    task = make_search(config, data, device, method=method, ranks=ranks)
    length = f"{pluralize(task.epochs, 'epoch')} of {pluralize(task.steps_per_epoch, 'step')}"
    console.print(f"search {config.recipe} on {device}: {length}, {folder}")
    if prepare(task, config, device, console):
        prepare_retraining(task, FINAL_RECIPES[final_for(config.space.name, config.data.name)](), console)
    begun = partial(write_config, folder, task.kind, config, device, ranks)
    train(task, config.run, folder, identity(config), console, ranks, begun)
    if ranks.rank > 0:
        return
    genotype = task.write(folder, folder.name)
    if task.context.stop_reason:
        stopped = f"stopped after {pluralize(task.epochs, 'epoch')}: {task.context.stop_reason}"
        console.print(stopped, highlight=False)
    if config.rerank and task.genotypes:
        genotype = rerank(task, folder, console)
    write_results(folder)
    write_report(folder)
    console.print(describe(genotype), highlight=False, markup=False)
    if isinstance(task.benchmark, NASBench201):
        console.print(str(task.benchmark.standing(genotype, config.data.name)), highlight=False)
    console.print(
        f"in {folder}: report.html, genotype.json, genotypes.json, cells.svg, gates.svg, metrics.json, log.jsonl, "
        "tensorboard/"
    )
    root = ["--data.root", str(config.data.root)] if config.data.root else []
    recipe = final_for(config.space.name, config.data.name)
    command = ["python", "train_final.py", recipe, "--genotype", str(folder / "genotype.json")]
    console.print("now type:  " + shlex.join([*command, *root]), highlight=False)


if __name__ == "__main__":
    train_script(main)
