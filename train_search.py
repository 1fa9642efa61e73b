"""Search an architecture: a recipe and what you override, to runs/<name>/genotype.json.

python train_search.py                                        on embedded data, about a minute
python train_search.py darts_v1_cifar10 --data.root DIR       a paper's protocol
torchrun --nproc-per-node 4 train_search.py darts_v1_cifar10 --data.root DIR    on four GPUs
python train_search.py --help                                 all recipes and their published numbers
"""

import shlex
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from darts.artifacts.run_folder import run_folder
from darts.artifacts.tensorboard import write_results
from darts.cli import parse, train_script, write_config
from darts.config import identity
from darts.data.registry import open_data
from darts.methods import METHODS
from darts.methods.compose import compose
from darts.oneshot.preflight import prepare_retraining
from darts.oneshot.rerank import rank
from darts.oneshot.task import SearchTask
from darts.processes import Ranks
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES, final_for
from darts.report.page import write_report
from darts.training.device import choose_device
from darts.training.loop import train
from darts.training.memory_planner import prepare
from darts.training.progress import pluralize
from genotypes import describe

ABOUT = (
    "Recipes, each a method by its published protocol on a data set; RECIPE --help has all options of one. Without a "
    f"recipe: digits. --method.name takes one of: {', '.join(METHODS)}; or a Python file that defines METHOD."
)


def main(arguments: Sequence[str], console: Console, ranks: Ranks) -> None:
    """Parse, build, run, write."""
    config = parse("train_search.py", SEARCH_RECIPES, arguments, default="digits", about=ABOUT)
    method = compose(config)
    folder = run_folder(config.run, f"search-{config.recipe}-seed{config.seed}", ranks)
    device = choose_device(config.run)
    data = open_data(config.data, device, config.seed, config.run.channels_last, ranks, config.language)
    task = SearchTask(config, data, device, method, ranks=ranks)
    length = f"{pluralize(task.epochs, 'epoch')} of {pluralize(task.steps_per_epoch, 'step')}"
    console.print(f"search {config.recipe} on {device}: {length}, {folder}")
    if prepare(task, config, device, console):
        prepare_retraining(task, FINAL_RECIPES[final_for(config.space.name, config.data.name)](), console)
    begun = partial(write_config, folder, task.kind, config, device, ranks)
    train(task, config.run, folder, identity(config), console, ranks, begun)
    if ranks.rank > 0:
        return
    genotype = task.write(folder, folder.name)
    if "stopped" in task.memory:
        console.print(f"stopped after {pluralize(task.epochs, 'epoch')}: {task.memory['stopped']}", highlight=False)
    if config.candidates and task.genotypes:
        genotype = rank(task, folder, console)
    write_results(folder)
    write_report(folder)
    console.print(describe(genotype), highlight=False, markup=False)
    if task.table:
        console.print(task.table.standing(genotype, config.data.name).told, highlight=False)
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
