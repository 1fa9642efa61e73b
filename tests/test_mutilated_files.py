"""Whatever a file of a run has become, a command that reads it works, or says in one line what is wrong with it."""

import csv
import io
import json
import shutil
from contextlib import chdir, redirect_stderr, redirect_stdout

import pytest
import torch
from rich.console import Console

import genotypes
import train_final
import train_search
from darts.artifacts.log import RunLog
from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_record import read_record
from darts.benchmarks.csv_table import CSVTable
from darts.experiments.compare import table
from darts.experiments.results_file import read_results, summary
from darts.recipes import final_for
from darts.report.__main__ import main as report
from darts.results import load_run
from darts.retraining.export import rebuilt
from genotypes.__main__ import main as genotypes_command
from genotypes.errors import InputError
from tests import mutilation, scripts, tiny

QUIET = Console(file=io.StringIO(), quiet=True)
SETTINGS = {"recipe": "digits", "epochs": None, "final_epochs": None, "channels": None}
SMALL = ["--data.limit", 60, "--epochs", 1, "--batch-size", 8, "--space.channels", 2, "--space.layers", 3]
COUNT = 15
"""Mutilated files of each kind."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a search, a retraining, a search in a model of one's own, a table and a file of results."""
    folder = tmp_path_factory.mktemp("runs")
    with chdir(folder):
        small = [*SMALL, "--max-steps", 2]
        scripts.said(train_search, *small, "--space.nodes", 1, "--report-every", 1, "--name", "search")
        scripts.said(train_final, *small, "--genotype", "runs/search", "--name", "final")
    row = {"method": "darts", "seed": 0, "test_accuracy": 0.5, "parameters": 3, "search_seconds": 1.0}
    row |= {"retrain_seconds": 1.0, "skips_normal": 1, "genotype": "x"}
    rows = [row, {**row, "seed": 1}, {**row, "method": "gdas"}]
    (folder / "compare.json").write_text(json.dumps({"settings": SETTINGS, "rows": rows, "table": summary(rows)}))
    with open(folder / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([["arch", "acc"], *([f"a{k}", f"{k}.5"] for k in range(20))])
    return folder


def search_config(folder):
    """Read the configuration of a search, as its retraining does."""
    config = load_search_config(folder)
    return config and final_for(config.space.name, config.data.name)


def show(folder):
    """Report on a run."""
    report([str(folder)], QUIET)


def resume_log(folder):
    """Open the log of a run as one does that is resumed in its first epoch."""
    RunLog(folder, 0, 1).close()


def check_genotype(path):
    """Check and show a file of a genotype."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for command in ("check", "show"):
            try:
                genotypes_command([command, str(path)])
            except SystemExit as end:
                assert end.code in (0, 2, None)


def read_genotypes(path):
    """Read a list of epochs' genotypes."""
    for name in (path, f"{path.parent}@1"):
        try:
            genotypes.load(name)
        except InputError as error:
            assert "\n" not in str(error)


def resume(path):
    """Resume a search from a checkpoint."""
    name = path.parents[1].name
    with chdir(path.parents[3]):
        scripts.said(train_search, *SMALL, "--space.nodes", 1, "--max-steps", 3, "--name", name, "--resume")


def export(folder):
    """Rebuild the network that is exported."""
    network, shape = rebuilt(read_record(folder))
    network(torch.zeros(2, shape.channels, shape.size, shape.size))


def continue_comparison(path):
    """Read the results of a comparison and print its table."""
    Console(file=io.StringIO()).print(table(summary(read_results(path, SETTINGS)["rows"])))


def look_up(path):
    """Look up in a table."""
    found = CSVTable(path, "arch")
    assert found.value("a3", "acc") is not None and found.descending("acc") and found.best("acc", 2)


def load_own(path):
    """Load the weights of a training as ``darts.load`` does."""
    load_run(path.parent, tiny.Model())


KINDS = {
    "search configuration": (
        "runs/search/config.json",
        mutilation.json_of,
        lambda path: search_config(path.parent),
    ),
    "reported configuration": ("runs/search/config.json", mutilation.json_of, lambda path: show(path.parent)),
    "retraining's configuration": ("runs/final/config.json", mutilation.json_of, lambda path: export(path.parent)),
    "log": ("runs/search/log.jsonl", mutilation.lines_of, lambda path: show(path.parent)),
    "resumed log": ("runs/search/log.jsonl", mutilation.lines_of, lambda path: resume_log(path.parent)),
    "figures": ("runs/final/metrics.json", mutilation.json_of, lambda path: show(path.parent)),
    "genotype": ("runs/search/genotype.json", mutilation.json_of, check_genotype),
    "retraining's genotype": ("runs/final/genotype.json", mutilation.json_of, lambda path: export(path.parent)),
    "epochs' genotypes": ("runs/search/genotypes.json", mutilation.json_of, read_genotypes),
    "weights": ("runs/final/weights.pt", mutilation.checkpoint_of, lambda path: export(path.parent)),
    "loaded weights": ("runs/final/weights.pt", mutilation.checkpoint_of, load_own),
    "checkpoint": ("runs/search/checkpoints/step_000000002.pt", mutilation.checkpoint_of, resume),
    "results": ("compare.json", mutilation.json_of, continue_comparison),
    "table": ("table.csv", mutilation.table_of, look_up),
}
"""Kind of file -> its place, what mutilates it, and the command that reads it."""


@pytest.mark.parametrize("kind", KINDS)
def test_one_line_or_a_valid_result(kind, runs, tmp_path):
    found = [outcome(runs, tmp_path, kind, KINDS[kind], seed) for seed in range(COUNT if kind != "checkpoint" else 2)]
    assert len(found) > 0


def outcome(runs, place, kind, row, seed):
    """Read one mutilated file; return the message of the error, ``""`` for none."""
    file, mutilate, read = row
    copied = place / "copy"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(runs, copied)
    path = copied / file
    path.write_bytes(mutilate((runs / file).read_bytes(), mutilation.seeded(f"{kind}/{seed}")))
    try:
        read(path)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000, (kind, seed)
        return str(error)
    except Exception as error:
        raise AssertionError(f"{kind}, seed {seed}") from error
    return ""
