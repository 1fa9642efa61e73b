"""Records, tables and data that an accident has changed: a command that reads them works, or is refused in one line."""

import io
import json
import struct
from contextlib import chdir
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import darts
import genotypes
import train_search
from darts.artifacts.checkpoint import save
from darts.artifacts.run_record import read_record
from darts.artifacts.tuned import tuned_with
from darts.automatic.examples.inputs import read_examples
from darts.automatic.predictor import load_predictor
from darts.benchmarks.digits.latency import read_latencies
from darts.benchmarks.digits.pilot import read_pilot, recommended
from darts.benchmarks.digits.rows import read_rows
from darts.benchmarks.digits.training import PROTOCOL
from darts.benchmarks.nasbench101 import NASBench101
from darts.benchmarks.tfrecord import records
from darts.blackbox.evaluators import Setting, problem_of
from darts.blackbox.run import run_study, write_study
from darts.cli import parse
from darts.config import DataConfig
from darts.data.registry import open_data
from darts.experiments import digits201, forests
from darts.oneshot.prior import results_in
from darts.recipes import BLACKBOX_RECIPES
from darts.report.__main__ import main as report
from darts.report.digits201_page import digits201_page
from darts.results import load_run
from darts.retraining import translate
from darts.retraining.start import begin_with
from genotypes import write
from supernet import architectures
from supernet.cost.additive import parts_of
from supernet.cost.latency_table import Check, LatencyTable, read_table
from supernet.cost.timing import Timing
from supernet.parts import keys_of
from supernet.shapes import ImageShape, TranslationShape
from supernet.spaces import SPACES
from supernet.spaces.modules import ModuleSpace
from supernet.spaces.space import SpaceOptions
from supernet.spaces.transformer.translation import EVOLVED_TRANSFORMER, TranslationSpace
from tests import mutilation, scripts, tiny
from tests.darts.benchmarks.digits.conftest import write_latencies, write_rows
from tests.darts.benchmarks.test_nasbench101 import SPACE as CELLS
from tests.darts.benchmarks.test_nasbench101 import record, row
from tests.test_mutilated_files import outcome

QUIET = Console(file=io.StringIO(), quiet=True)
CPU = torch.device("cpu")
COUNT = 6
"""Mutilated files of each kind."""

SHAPE = ImageShape(1, 8, 3)
SPACE = SPACES["darts"].make(SpaceOptions(SHAPE, channels=2, layers=3))
STUDY = ["nsga2_digits", "--budget.trials", 6, "--strategy", "random", "--objectives", "accuracy,parameters",
         "--data.limit", 60, "--space.channels", 2, "--space.layers", 3, "--budget.epochs", 1, "--batch-size", 16,
         "--device", "cpu", "--tune", "weights.lr=0.01,0.1"]  # fmt: skip
"""The command line of a search without gradients."""

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with each kind of file."""
    folder = tmp_path_factory.mktemp("records")
    with chdir(folder):
        searches(folder)
        tables(folder)
        examples(folder)
        networks(folder)
    return folder


def searches(folder):
    """Write runs: a search without gradients for two objectives, one in a model of one's own by trials, and a fit."""
    scripts.said(train_search, *STUDY, "--name", "study")
    data = torch.randn(24, 1, 8, 8), torch.arange(24) % 3
    options = dict(epochs=1, batch_size=8, device="cpu", verbose=False)
    darts.search(tiny.Model(), data, method="random", trials=2, run=folder / "trials", **options)
    darts.search(tiny.Model(), data, run=folder / "gradients", **options)
    rows = "".join(f"{k % 7},{'ab'[k % 2]},{'xyz'[k % 3]}\n" for k in range(24))
    (folder / "table.csv").write_text("number,letter,y\n" + rows)
    darts.fit(folder / "table.csv", trials=1, epochs=1, folds=1, run=folder / "fit", verbose=False)


def tables(folder):
    """Write tables of benchmarks and of latencies, and results of experiments."""
    parts = parts_of(SPACE, SHAPE)
    timings, factors = {key: Timing(1.0, 0.1) for key in keys_of(parts)}, {part.name: 1.5 for part in parts}
    check = Check(4, 0.9, 0.1, (1.0,) * 4, (1.0,) * 4)
    about = {"space": "darts", "channels": 2, "layers": 3, "image": [1, 8, 3], "batch": 1}
    LatencyTable(timings, 0.5, factors, check, about).write(folder / "latency.json")
    generator = torch.Generator().manual_seed(0)
    cells = [CELLS.derive(architectures.sample(CELLS, generator)) for _ in range(5)]
    (folder / "nasbench101.tfrecord").write_bytes(b"".join(record(row(cell, 108, 0.9, 0.8)) for cell in cells))
    write_rows(folder / "rows.jsonl", [(CELL, seed) for seed in PROTOCOL.seeds])
    write_latencies(folder / "latencies.jsonl", [CELL])
    protocols = [{"protocol": {"epochs": k}, "spread": 3.0 + k, "tau": {"all": 0.1 * k}} for k in (1, 2)]
    (folder / "pilot.json").write_text(json.dumps({"architectures": 3, "recommended": {}, "protocols": protocols}))
    found = {"accuracy": 90.5, "rank": 3, "regret": 0.5, "by_epoch": [1.0], "skips": 1, "seconds": 3.0}
    found |= {"collapsed": False, "ranking": {"1": 0.5, "2": 0.25}, "genotype": CELL, "epochs": 2}
    rows = [{"method": method, "seed": seed, **found} for method in ("darts", "gdas") for seed in (0, 1)]
    settings = {"epochs": None, "ranked_count": 500}
    (folder / "digits201.json").write_text(json.dumps({"settings": settings, "searches": rows}))
    model = {"score": 0.5, "seconds": 1.0}
    rows = [{"data": "wine", "seed": seed, "budget": 3.0, **dict.fromkeys(forests.MODELS, model)} for seed in (0, 1)]
    (folder / "forests.json").write_text(json.dumps({"rows": rows}))


def examples(folder):
    """Write data: images with boxes and with masks, pairs of sentences, labelled sentences, arrays."""
    draw = np.random.default_rng(0)
    content = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "owl"}]}
    for k in range(8):
        pixels = draw.integers(0, 256, (9, 9), np.uint8)
        for name, values in (("boxes", pixels), ("masks/images", pixels), ("masks/masks", pixels % 3)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / name / f"{k}.png")
        content["images"].append({"id": k, "file_name": f"{k}.png", "width": 9, "height": 9})
        content["annotations"].append({"image_id": k, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0})
    (folder / "boxes" / "instances.json").write_text(json.dumps(content))
    (folder / "masks" / "classes.txt").write_text("ground\ncat\nowl\n")
    (folder / "pairs.tsv").write_text("".join(f"one {k}\teins {k}\n" for k in range(12)))
    (folder / "sentences.csv").write_text("".join(f'"a word, {k}",{"ab"[k % 2]}\n' for k in range(12)))
    np.savez(folder / "arrays.npz", images=draw.integers(0, 256, (12, 8, 8), np.uint8), labels=np.arange(12) % 2)


def networks(folder):
    """Write a retrained network that translates."""
    run = folder / "translation"
    run.mkdir()
    space = TranslationSpace(TranslationShape(7, 6, 2, 2), channels=8)
    words = [{f"w{k}": 4 + k for k in range(count)} for count in (3, 2)]
    config = {"space": {"name": "translation", "channels": 8, "layers": 1, "stem": "auto"}, "data": {"name": "pairs"}}
    (run / "config.json").write_text(json.dumps({"kind": "retrain", "config": config}))
    (run / "genotype.json").write_text(write(EVOLVED_TRANSFORMER))
    network = space.network(EVOLVED_TRANSFORMER)
    state = {"kind": "weights", "network": network.state_dict()}
    save(run / "weights.pt", state | {"vocabulary": words[0], "target_vocabulary": words[1]})


def predict_latency(path):
    """Predict latencies by a table."""
    table = read_table(path)
    table.cost(parts_of(SPACE, SHAPE, min(table.batch, 4)))


def read_point(path):
    """Read the genotype of a point of a Pareto set, and what was tuned with it."""
    genotypes.load(f"{path}@1")
    tuned_with(f"{path}@1")


@cache
def studied():
    """Return the configuration of the search without gradients, and its problem."""
    config = parse("train_search.py", BLACKBOX_RECIPES, list(map(str, STUDY)), default="")
    data = open_data(config.data, CPU, config.seed)
    return config, problem_of(config, lambda: Setting(config, data, CPU, Path(), QUIET))


def continue_study(path):
    """Continue a search without gradients, and write its results."""
    config, problem = studied()
    write_study(config, run_study(config, problem, path.parent, QUIET), path.parent)


def show(path):
    """Report on a run."""
    report([str(path.parent)], QUIET)


def begin_with_trials(path):
    """Begin a search with the results of another."""
    results_in(ModuleSpace(tiny.Model()), [path.parent])


def use_model(path):
    """Load a model, predict, and report."""
    model = load_predictor(path.parent)
    model.predict({"number": [1, 2], "letter": ["a", "b"]})
    model.score(path.parents[1] / "table.csv")
    assert model.report() and model.leaderboard() is not None


def continue_fit(path):
    """Continue a fit."""
    darts.fit(path.parents[1] / "table.csv", trials=1, epochs=1, folds=1, run=path.parent, verbose=False)


def load_own(path):
    """Load a search in a model of one's own."""
    load_run(path.parent if path.parent.name != "checkpoints" else path.parents[1], tiny.Model())


def start_with(path):
    """Begin a training with the weights of another run."""
    begin_with(ModuleSpace(tiny.Model()).supernet(), path.parents[1])


def judge_methods(path):
    """Continue the methods' comparison: its table and its page."""
    content = digits201.read(digits201.Options(json=path))
    content["table"] = digits201.summary(content["searches"])
    digits201.shown(content["table"])
    content |= {"oracles": {"best_test": 1.0, "test_mean": 0.5}, "command": [], "strategies": []}
    digits201_page(content)


def translate_words(path):
    """Translate by a network."""
    network, words = translate.rebuilt(read_record(path.parent))
    translate.translated(network, words, [["w0", "w1"], ["x"]], 1, QUIET)


def opened(name):
    """Return what opens a data set and takes a batch of it."""

    def read(path):
        root = path.parent if name in ("detection_coco", "segmentation_folder") else path
        root = root.parent if root.name in ("images", "masks") and root.parent.name == "masks" else root
        data = open_data(DataConfig(name, root=root), CPU, 0)
        if name != "text":
            next(data.train.batches(torch.arange(4), 4, training=True))

    return read


def frames_of(content, rng):
    """Return a TFRecord file with values of a record exchanged, or its bytes mutilated."""
    if rng.random() < 0.3:
        return mutilation.bytes_of(content, rng)
    place, parts = 0, []
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8])
        parts.append(content[place + 12 : place + 12 + length])
        place += 16 + length
    changed = rng.randrange(len(parts))
    parts[changed] = json.dumps(mutilation.tree_of(json.loads(parts[changed]), rng)).encode()
    return b"".join(map(record, parts))


def look_up(path):
    """Look up the standing of the cells of a table."""
    table = NASBench101(path)
    assert len(list(records(path))) >= len(table.parameters)


KINDS = {
    "table of latencies": ("latency.json", mutilation.json_of, predict_latency),
    "Pareto set": ("runs/study/pareto.json", mutilation.json_of, read_point),
    "trials of a report": ("runs/study/trials.json", mutilation.json_of, show),
    "configuration of a study": ("runs/study/config.json", mutilation.json_of, show),
    "prior of trials": ("trials/trials.json", mutilation.json_of, begin_with_trials),
    "model": ("fit/model.pt", mutilation.checkpoint_of, use_model),
    "own search's configuration": ("gradients/config.json", mutilation.json_of, load_own),
    "own search's genotype": ("gradients/genotype.json", mutilation.json_of, load_own),
    "own search's checkpoint": ("gradients/checkpoints/step_000000002.pt", mutilation.checkpoint_of, load_own),
    "checkpoint to start with": ("gradients/checkpoints/step_000000002.pt", mutilation.checkpoint_of, start_with),
    "weights of trials": ("trials/weights.pt", mutilation.checkpoint_of, load_own),
    "NAS-Bench-101": ("nasbench101.tfrecord", frames_of, look_up),
    "rows of the digits benchmark": ("rows.jsonl", mutilation.lines_of, lambda path: read_rows(path, PROTOCOL)),
    "latencies of the digits benchmark": ("latencies.jsonl", mutilation.lines_of, read_latencies),
    "protocols": ("pilot.json", mutilation.json_of, lambda path: recommended(read_pilot(path, 3))),
    "judged methods": ("digits201.json", mutilation.json_of, judge_methods),
    "forests": ("forests.json", mutilation.json_of, lambda path: forests._table(forests._read(path)["rows"])),
    "boxes": ("boxes/instances.json", mutilation.json_of, opened("detection_coco")),
    "image with boxes": ("boxes/3.png", mutilation.bytes_of, opened("detection_coco")),
    "mask": ("masks/masks/3.png", mutilation.bytes_of, opened("segmentation_folder")),
    "names of classes": ("masks/classes.txt", mutilation.bytes_of, opened("segmentation_folder")),
    "pairs": ("pairs.tsv", mutilation.bytes_of, opened("pairs")),
    "sentences": ("sentences.csv", mutilation.table_of, opened("csv")),
    "text": ("pairs.tsv", mutilation.bytes_of, opened("text")),
    "arrays": ("arrays.npz", mutilation.bytes_of, opened("npz")),
    "table to fit": ("table.csv", mutilation.table_of, lambda path: read_examples(path).fitted()),
    "network that translates": ("translation/weights.pt", mutilation.checkpoint_of, translate_words),
}
"""Kind of file -> its place, what mutilates it, and the command that reads it."""

SLOW = {
    "study": ("runs/study/study.db", mutilation.database_of, continue_study),
    "journal": ("fit/study.journal", mutilation.lines_of, continue_fit),
}
"""The same, for those that take longer."""


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        ("Pareto set", 1123),
        ("own search's genotype", 1108),
        ("NAS-Bench-101", 1018),
        ("NAS-Bench-101", 1111),
        ("latencies of the digits benchmark", 1034),
        ("protocols", 1068),
        ("protocols", 1149),
    ],
)
def test_mutilations_that_were_a_traceback(kind, seed, files, tmp_path):
    assert outcome(files, tmp_path, kind, KINDS[kind], seed)


@pytest.mark.parametrize("kind", [*KINDS, *SLOW])
def test_one_line_or_a_valid_result(kind, files, tmp_path):
    rows = {**KINDS, **SLOW}
    found = [outcome(files, tmp_path, kind, rows[kind], seed) for seed in range(1 if kind in SLOW else COUNT)]
    assert len(found) > 0
