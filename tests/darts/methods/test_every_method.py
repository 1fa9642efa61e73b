"""Every method searches to the end, goes on bit for bit after an interruption, and what it finds retrains."""

import inspect
from dataclasses import replace

import pytest
import torch

from darts.checkpoint import load as load_state
from darts.checkpoint import save
from darts.config import MethodConfig, RetrainConfig, SpaceConfig
from darts.errors import UserError
from darts.methods import METHODS
from darts.pieces import PIECES, compose
from darts.retrain import RetrainTask
from genotypes import load
from supernet.choice import edges_of
from supernet.errors import SpaceError
from tests import tiny

CHANNELS = {"drnas_progressive": 12}


def settings(name):
    return tiny.config(name, channels=CHANNELS.get(name, 4), epochs=max(2, len(METHODS[name].stages)))


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree, key=str) for leaf in (key, *leaves(tree[key]))]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


def assert_same(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, (a, b)


@pytest.mark.parametrize("name", METHODS)
def test_search_resume_retrain(name, tmp_path):
    whole = tiny.run(tiny.search(settings(name)))
    again = tiny.interrupted(settings(name), (len(whole.genotypes) - 1, 1), tmp_path / "state.pt")
    assert_same(whole.state(), again.state())
    genotype = whole.write(tmp_path / "run", "found")
    assert load(tmp_path / "run") == genotype
    small = RetrainConfig(space=SpaceConfig(2, 3), epochs=1, batch_size=16, auxiliary=0.0)
    retraining = RetrainTask(small, genotype, tiny.data(), tiny.CPU)
    retraining.begin_epoch(0, 0)
    assert torch.isfinite(retraining.step()["loss"])


@pytest.mark.parametrize("name", [name for name in METHODS if len(METHODS[name].stages) > 1])
def test_resume_between_stages(name, tmp_path):
    """As the loop saves: at an epoch's end, before the next begins and another network takes over."""
    last = len(METHODS[name].stages) - 1
    whole = tiny.run(tiny.search(settings(name)))
    cut = tiny.search(settings(name))
    for epoch in range(last):
        cut.begin_epoch(epoch, 0)
        for _ in range(cut.steps_per_epoch):
            cut.step()
        cut.end_epoch(epoch, lambda done, examples: None)
    save(tmp_path / "state.pt", {"task": cut.state()})
    again = tiny.search(settings(name))
    again.load_state(load_state(tmp_path / "state.pt")["task"])
    assert_same(whole.state(), tiny.run(again, last).state())


@pytest.mark.parametrize("name", METHODS)
def test_logits_learn(name):
    """Those of DARTS-PT's fixed form are the only ones that do not."""
    task = tiny.search(replace(settings(name), seed=1))
    before = {label: logit.detach().clone() for label, logit in task.problem.logits.items()}
    task.begin_epoch(0, 0)
    task._warm = name == "darts_pt_fixed"
    task.step()
    moved = [not torch.equal(before[label], logit) for label, logit in task.problem.logits.items()]
    assert all(moved) if name != "darts_pt_fixed" else not any(moved)


PAIRS = [
    dict(relax="dirichlet", step="unrolled", discretize="perturbation"),
    dict(relax="gumbel:first=5,last=0.5", step="mixed_level:weight=2", perturb="random", edges="per_node"),
    dict(relax="sigmoid", penalties=("zero_one:absolute=true", "resource"), skip="falling", discretize="threshold"),
    dict(relax="concrete", step="neumann:terms=1", discretize="greedy:criterion=2", companions=("operation_stopping",)),
    dict(relax="simplex", update="exponentiated:lr=0.5", edges="simplex"),
    dict(name="drnas_progressive", channels=12, discretize="greedy:first=0.0"),
    dict(name="gaea", step="unrolled", penalties=("resource:multiply_adds=true",), discretize="limited_skips"),
    dict(name="pdarts", relax="dirichlet", perturb="adversarial:steps=2", penalties=("towards_uniform", "beta_decay")),
]


@pytest.mark.parametrize("pieces", PAIRS, ids=lambda pieces: "-".join(map(str, pieces.values()))[:60])
def test_pieces_cross(pieces):
    pieces = dict(pieces)
    task = tiny.run(tiny.search(tiny.config(pieces.pop("name", "darts"), **pieces)))
    assert len(task.genotypes) == 3


@pytest.mark.parametrize("name", ["gaea", "gaea_pc_darts"])
def test_gaea_searches_on_the_simplex(name):
    task = tiny.search(tiny.config(name, nodes=2))
    for _ in range(2):
        for table in task.space.tables:
            torch.testing.assert_close(task.problem.logits[table.label].sum(1), torch.ones(5))
            edges = task.problem.logits.get(edges_of(table.label), torch.tensor([0.5, 0.5, 0.2, 0.3, 0.5]))
            torch.testing.assert_close(torch.stack([edges[:2].sum(), edges[2:].sum()]), torch.ones(2))
        tiny.run(task)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (dict(method="dartz"), "--method.name is 'dartz'; it must be one of darts, pc_darts"),
        (dict(relax="gumble"), "--method.relax is 'gumble'; it must be one of softmax, gumbel"),
        (dict(relax="gumbel:low=1"), "--method.relax gumbel:low=1: gumbel has no option 'low'; it has first, last"),
        (dict(relax="gumbel:last=cold"), "--method.relax gumbel:last=cold: last is 'cold'; it must be a float"),
        (dict(penalties=("zero_one",)), "the penalty zero_one drives independent gates"),
        (dict(penalties=("towards_uniform",)), "set --method.relax dirichlet, or --method.penalties none"),
        (dict(relax="simplex"), "set --method.relax simplex and --method.update exponentiated together"),
        (dict(method="gaea", edges="per_node"), "set --method.edges simplex"),
        (dict(step="monte_carlo"), "monte_carlo returns a move"),
        (dict(relax="sigmoid", perturb="random"), "sigmoid gates are not on it"),
        (dict(method="pc_darts", channels=6), "--space.channels 6 cannot be split into 4 equal parts"),
        (dict(method="pdarts", epochs=2), "--epochs 2 is too short: the method has 3 stages"),
        (dict(method="pdarts", discretize="greedy"), "are lost when a stage begins anew"),
        (dict(method="drnas_progressive", channels=12, companions=("operation_stopping",)), "one network's candidates"),
        (dict(train_share=1.0), "only --method.step single_level needs none"),
        (dict(method="absent.py"), "absent.py: no such file"),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_reason(pieces, reason):
    with pytest.raises(UserError) as refused:
        compose(tiny.config(**pieces))
    assert reason in str(refused.value)


def test_a_single_level_needs_no_other_half():
    task = tiny.search(tiny.config("snas", train_share=1.0))
    assert len(task.train_half) == len(task.valid_half) == 32
    tiny.run(task)


def test_help_names_every_method_and_piece():
    text = inspect.getsource(MethodConfig)
    for table in (METHODS, *PIECES.values()):
        assert all(name in text for name in table)


@pytest.mark.parametrize("candidates", ["s1", "s2", "s3", "s4"])
def test_reduced_spaces_are_searched_and_resumed(candidates, tmp_path):
    whole = tiny.config(nodes=4, epochs=1)
    whole = replace(whole, space=replace(whole.space, candidates=candidates))
    first = tiny.run(tiny.search(whole))
    assert_same(first.state(), tiny.interrupted(whole, (0, 1), tmp_path / "state.pt").state())
    with pytest.raises(SpaceError, match="s1 is made for cells of 4 nodes; --space.nodes is 1"):
        tiny.search(replace(whole, space=replace(whole.space, candidates="s1", nodes=1)))
