"""Train a genotype from scratch, to runs/<name>/metrics.json with its test accuracy.

python train_final.py                                                      the newest search, on its data set
python train_final.py --genotype runs/NAME/genotype.json                   any genotype file, or a library name
python train_final.py darts_cifar10 --genotype DARTS_V2 --data.root DIR    a paper's protocol
python train_final.py --help                                               all recipes and their published numbers
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_folder import newest_search, run_folder
from darts.artifacts.tensorboard import write_results
from darts.cli import names_recipe, parse, train_script, write_config
from darts.config.schema import identity
from darts.data.registry import open_data
from darts.processes import Ranks
from darts.recipes.registry import FINAL_RECIPES, final_for
from darts.report.figures import headline
from darts.report.page import write_report
from darts.retraining.task import RetrainTask
from darts.training.device import choose_device
from darts.training.loop import train
from darts.training.memory_planner import prepare
from darts.training.progress import pluralize
from genotypes.formats.registry import find


def main(arguments: Sequence[str], console: Console, ranks: Ranks) -> None:
    """Parse, build, run, write."""
    config = parse("train_final.py", FINAL_RECIPES, arguments, default="digits")
    source = config.genotype or str(newest_search(config.run.runs))
    search = load_search_config(Path(source) if Path(source).is_dir() else Path(source).parent)
    if search and not names_recipe(arguments):
        recipe = final_for(search.space.name, search.data.name)
        config = parse("train_final.py", FINAL_RECIPES, arguments, default=recipe)
        config = replace(config, data=replace(config.data, root=config.data.root or search.data.root))
    genotype = find(source)
    config = replace(config, genotype=source)
    name = re.sub(r"[^\w.-]+", "_", genotype.name or genotype.hash)
    folder = run_folder(config.run, f"final-{config.recipe}-{name}-seed{config.seed}", ranks)
    device = choose_device(config.run)
    data = open_data(config.data, device, config.seed, config.run.channels_last, ranks, config.language)
    task = RetrainTask(config, genotype, data, device, ranks)
    size = f"{pluralize(task.epochs, 'epoch')}, {task.parameters:,} parameters"
    console.print(f"retrain {source} by {config.recipe} on {device}: {size}")
    prepare(task, config, device, console)
    begun = partial(write_config, folder, task.kind, config, device, ranks)
    train(task, config.run, folder, {**identity(config), "genotype": genotype.hash}, console, ranks, begun)
    if ranks.rank > 0:
        return
    figures = task.write(folder)
    write_results(folder)
    write_report(folder)
    console.print(headline(figures), highlight=False)
    console.print(
        f"in {folder}: report.html, metrics.json, weights.pt, genotype.json, cells.svg, log.jsonl, tensorboard/"
    )


if __name__ == "__main__":
    train_script(main)
