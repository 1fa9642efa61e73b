"""The watch for collapse, and the ranking of candidates."""

import json

import pytest
import torch
from rich.console import Console

from darts.config import RunConfig
from darts.data.split import SplitSubset
from darts.oneshot.collapse import signs
from darts.oneshot.rerank import best_epochs, rerank
from genotypes import Cell, CellGenotype, Edge, NASBench201Genotype, from_text, load, to_text
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBench201Space
from tests import tiny


def genotype(count):
    ops = ["skip_connect"] * count + ["sep_conv_3x3"] * (4 - count)
    edges = [Edge(op, source) for op, source in zip(ops, (0, 1, 0, 1))]
    other = Cell(((Edge("skip_connect", 0),),), (2,))
    return CellGenotype(Cell((tuple(edges[:2]), tuple(edges[2:])), (2, 3)), other)


def test_skips_are_counted_in_each_cell():
    space = DARTSSpace(ImageShape(3, 8, 2))
    assert space.skipped(genotype(3)) == (3, 4)
    assert space.figures(genotype(3)) == {"skips_normal": 3, "skips_reduce": 1}


@pytest.mark.parametrize(
    ("count", "progress", "options", "collapsed"),
    [
        (2, 0.5, {}, False),
        (3, 0.5, {}, True),
        (3, 0.1, {}, False),
        (3, 0.5, {"collapse": "off"}, False),
        (3, 0.5, {"collapse_skips": 0.8}, False),
    ],
)
def test_too_many_skips(count, progress, options, collapsed):
    reason = signs(tiny.config(**options), (count, 4), True, [], progress)
    assert (reason == "3 of 4 edges are skip connections") is collapsed


@pytest.mark.parametrize(("progress", "collapsed"), [(0.1, False), (0.3, True)])
def test_a_cell_without_a_path(progress, collapsed):
    space = NASBench201Space(ImageShape(3, 8, 2))
    ops = ["none", "none", "nor_conv_3x3", "none", "none", "nor_conv_3x3"]
    dead, sound = NASBench201Genotype(tuple(ops)), NASBench201Genotype(("nor_conv_1x1", *ops[1:]))
    reasons = [signs(tiny.config(), (0, 6), space.connected(each), [], progress) for each in (dead, sound)]
    wanted = "no path leads from the input of the genotype to its output" if collapsed else None
    assert reasons == [wanted, None]


def test_a_sharp_minimum():
    readings = [1.0] * 8
    assert signs(tiny.config(), (0, 4), True, readings, 0.5) is None
    reason = signs(tiny.config(), (0, 4), True, [*readings, 3.0], 0.5)
    assert reason == "the largest Hessian eigenvalue has grown from 1 to 1.4 in 4 readings"
    assert signs(tiny.config(collapse_growth=1.5), (0, 4), True, [*readings, 3.0], 0.5) is None


def test_a_collapsing_search_stops_with_the_genotype_from_before(tmp_path, monkeypatch):
    task = tiny.search(tiny.config(collapse="stop", epochs=5, eigenvalue_every=2))
    found = iter([genotype(1), genotype(2), genotype(4)])
    monkeypatch.setattr(type(task.space), "derive", lambda space, picks: next(found))
    figures = []
    end = task.end_epoch
    monkeypatch.setattr(task, "end_epoch", lambda *arguments: figures.append(end(*arguments)))
    tiny.run(task)
    assert len(figures) == 3 and "warning" in figures[2] and "warning" not in figures[1]
    assert [("eigenvalue" in each) for each in figures] == [False, True, False]
    assert task.write(tmp_path, "x") == genotype(2)
    kept = json.loads((tmp_path / "genotypes.json").read_text())
    assert [from_text(row["genotype"]) for row in kept] == [genotype(1), genotype(2), genotype(4)]


def test_candidates_are_ranked_on_the_validation_half(tmp_path):
    settings = tiny.config(rerank=2, rerank_epochs=1, run=RunConfig(runs=tmp_path))
    task = tiny.run(tiny.search(settings))
    task.genotypes = [to_text(genotype(count)) for count in (1, 1, 0)]
    task.context.accuracies = [0.9, 0.2, 0.5]
    assert best_epochs(task, 3) == [(0, genotype(1)), (2, genotype(0))]
    task.write(tmp_path, "x")
    best = rerank(task, tmp_path, Console(quiet=True))
    rows = json.loads((tmp_path / "candidates.json").read_text())
    assert {row["epoch"] for row in rows} == {1, 3}
    assert rows[0]["valid_accuracy"] >= rows[1]["valid_accuracy"]
    assert load(tmp_path) == best == from_text(rows[0]["genotype"])


def test_a_part_is_the_examples_of_its_indices():
    split = tiny.data().train
    part = SplitSubset(split, torch.tensor([5, 7, 9, 11]))
    ((images, labels),) = part.batches(torch.tensor([3, 0]), 4, training=False)
    ((expected, wanted),) = split.batches(torch.tensor([11, 5]), 4, training=False)
    assert torch.equal(images, expected) and torch.equal(labels, wanted) and len(part) == 4
