"""Every method searches to the end, resumes bit for bit after an interruption, and its genotype retrains."""

from dataclasses import replace

import pytest
import torch

from darts.config import RetrainConfig, SpaceConfig, WeightsConfig
from darts.data.user_data import user_split
from darts.errors import UserError
from darts.methods import METHODS
from darts.methods.compose import COMPONENTS, compose
from darts.recipes.help import components_help
from darts.retraining.network_task import NetworkTask
from darts.retraining.task import RetrainTask
from darts.training.objective import classification
from genotypes import read
from supernet.choice import edges_of
from supernet.errors import SpaceError
from tests import tiny
from tests.long import LONG

CHANNELS = {"drnas_progressive": 12, "pc_darts": 4, "gaea_pc_darts": 4}
CHEAPER = {
    "zarts": dict(step="monte_carlo:samples=2,inner=1", every=1),
    "idarts": dict(every=1),
    "sdarts_adv": dict(perturb="adversarial:steps=2"),
    "oles": dict(callbacks=("operation_stopping:window=2",)),
}
"""The same methods by smaller numbers; where the logits move seldom, they move in every step here."""

SPACES = {"darts": tiny.few_candidates, "nasbench201": None, "vit": None, "modules": tiny.modules}

REFUSED = {
    "pc_darts": "partial channels",
    "gaea_pc_darts": "partial channels",
    "drnas_progressive": "partial channels",
    "pdarts": "dropout of skips",
    "pdarts_cifar100": "dropout of skips",
    "darts_minus": "auxiliary skips",
    "oles": "stopping of operations",
}
"""Methods that need operations between states, which neither a network of a user's nor a transformer has."""


def settings(name, space="darts"):
    epochs = max(2, len(METHODS[name].stages))
    made = tiny.config(name, channels=CHANNELS.get(name, 2), epochs=epochs, **CHEAPER.get(name, {}))
    if space == "darts":
        return made
    size = replace(made.space, nodes=None, layers=1, name=None if space == "modules" else space)
    return replace(made, space=size)


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree, key=str) for leaf in (key, *leaves(tree[key]))]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


def assert_same(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, (a, b)


def is_refused(name, space):
    return space in ("modules", "vit") and name in REFUSED


def searched():
    """Every method on cells and, by turns, on one other space, and all that is refused; the rest as long tests."""
    _, *others = SPACES
    for turn, name in enumerate(METHODS):
        for space in SPACES:
            by_default = space in ("darts", others[turn % len(others)]) or is_refused(name, space)
            yield pytest.param(name, space, marks=() if by_default else LONG, id=f"{name}-{space}")


@pytest.mark.parametrize(("name", "space"), searched())
def test_search_resume_retrain(name, space, tmp_path):
    """Searches to the end; resumes bit for bit in the middle of the last epoch, and as the loop saves at an epoch's
    end, before another network takes over; what is found is read, built and trained."""

    def task():
        return tiny.search(settings(name, space), make=SPACES[space])

    if is_refused(name, space):
        with pytest.raises((UserError, SpaceError), match=REFUSED[name]):
            task()
        return
    last = settings(name, space).epochs - 1
    places = [(last, 1), (last - 1, None)] if len(METHODS[name].stages) > 1 else [(last, 1)]
    files = {place: tmp_path / f"{index}.pt" for index, place in enumerate(places)}
    whole = tiny.run(task(), saving=files.items())
    assert not [leaf for leaf in leaves(whole.state()) if isinstance(leaf, torch.Tensor) and leaf.isnan().any()]
    for (_, step), path in files.items():
        assert_same(whole.state(), tiny.resumed(task(), path, last, step or 0).state())
    genotype = whole.write(tmp_path / "run", "found")
    assert read((tmp_path / "run" / "genotype.json").read_text()) == genotype
    assert torch.isfinite(one_step_from_scratch(whole, genotype, space))


def one_step_from_scratch(task, genotype, space):
    """The loss of a genotype's own network in its first step of training."""
    if space == "modules":
        images = user_split(next(tiny.data().train.batches(torch.arange(32), 32, False)), tiny.CPU)
        training = NetworkTask(
            task.space.network(genotype),
            images,
            test=None,
            objective=classification,
            weights=WeightsConfig(),
            epochs=1,
            batch_size=16,
            seed=0,
        )
    else:
        size = SpaceConfig(2, 3) if space == "darts" else SpaceConfig(2, 1, name=space)
        paths = 0.0 if space == "vit" else 0.2  # which its network does not have
        small = RetrainConfig(space=size, epochs=1, batch_size=16, auxiliary=0.0, drop_path=paths)
        training = RetrainTask(small, genotype, tiny.data(), tiny.CPU)
    training.begin_epoch(0, 0)
    return training.step()["loss"]


@pytest.mark.parametrize("name", METHODS)
def test_logits_learn(name):
    """Those of DARTS-PT's fixed form are the only ones that do not."""
    task = tiny.search(replace(settings(name), seed=1), make=tiny.few_candidates)
    before = {label: logit.detach().clone() for label, logit in task.problem.logits.items()}
    task.begin_epoch(0, 0)
    task._warming_up = name == "darts_pt_fixed"
    task.step()
    moved = [not torch.equal(before[label], logit) for label, logit in task.problem.logits.items()]
    assert all(moved) if name != "darts_pt_fixed" else not any(moved)


CROSSED = [
    dict(name="drnas_progressive", channels=12, discretize="greedy:first=0.0"),
    dict(name="pdarts", relax="dirichlet", perturb="adversarial:steps=2", penalties=("towards_uniform", "beta_decay")),
    dict(relax="gumbel:first=5,last=0.5", stages=("stage:warmup=0.5,partial=2", "stage:restart=true,lr=0.5,keep=3")),
]


@pytest.mark.parametrize("components", CROSSED, ids=lambda components: "-".join(map(str, components.values()))[:60])
def test_components_combine_over_stages(components):
    components = dict(components)
    task = tiny.run(tiny.search(tiny.config(components.pop("name", "darts"), **components), make=tiny.few_candidates))
    assert len(task.genotypes) == 3 and task.stage == len(task.method.stages) - 1


@pytest.mark.parametrize("name", ["gaea", "gaea_pc_darts"])
def test_gaea_searches_on_the_simplex(name):
    task = tiny.search(tiny.config(name, nodes=2, epochs=1), make=tiny.few_candidates)
    for _ in range(2):
        for table in task.space.tables:
            torch.testing.assert_close(task.problem.logits[table.label].sum(1), torch.ones(5))
            edges = task.problem.logits.get(edges_of(table.label), torch.tensor([0.5, 0.5, 0.2, 0.3, 0.5]))
            torch.testing.assert_close(torch.stack([edges[:2].sum(), edges[2:].sum()]), torch.ones(2))
        tiny.run(task)


@pytest.mark.parametrize(
    ("components", "reason"),
    [
        (dict(method="dartz"), "`method.name` is 'dartz'; it must be one of darts, pc_darts"),
        (dict(relax="gumble"), "`method.relax` is 'gumble'; it must be one of softmax, gumbel"),
        (dict(relax="gumbel:low=1"), "`method.relax` gumbel:low=1: gumbel has no option 'low'; it has first, last"),
        (dict(relax="gumbel:last=cold"), "`method.relax` gumbel:last=cold: last is 'cold'; it must be a number"),
        (dict(penalties=("zero_one",)), "the penalty zero_one drives independent gates"),
        (dict(penalties=("towards_uniform",)), "set `method.relax` dirichlet, or set `method.penalties` none"),
        (dict(relax="simplex"), "set `method.arch_optimizer` exponentiated, or take another `method.relax`"),
        (
            dict(method="gaea", edges="per_node"),
            "and per_node's by a softmax: set `method.edges` none",
        ),
        (
            dict(step="monte_carlo"),
            "no gradient: set `method.arch_optimizer` identity",
        ),
        (dict(relax="sigmoid", perturb="random"), "sigmoid gates are not on it"),
        (dict(method="zarts", relax="simplex", arch_optimizer="exponentiated"), "take another `method.step`"),
        (dict(penalties=("entropic",)), "set `method.relax` simplex, or set `method.penalties` none"),
        (
            dict(penalties=("resource:estimate=policy_gradient",)),
            "samples of a known density: set `method.relax` concrete",
        ),
        (dict(penalties=("resource:cost=time",)), "cost is 'time'; it must be one of parameters, multiply_adds"),
        (dict(skip="falling:decay=fast"), "decay is 'fast'; it must be one of linear, cosine, slow_cosine"),
        (dict(step="monte_carlo:samples=0"), "`method.step` monte_carlo:samples=0: samples is 0; it must be 1 or more"),
        (dict(relax="gumbel:last=0"), "last is 0.0; it must be more than 0"),
        (dict(relax="gumbel:last=inf"), "last is 'inf'; it must be a number"),
        (dict(discretize="greedy:criterion=3"), "criterion is 3; it must be 1 or 2"),
        (dict(stages=("stage:keep=some",)), "keep is 'some'; it must be a whole number"),
        (dict(stages=("stage:warmup=2",)), "`method.stages` stage:warmup=2: warmup is 2.0; it must be in [0, 1]"),
        (dict(perturb="adversarial:revert=yes"), "revert is 'yes'; it must be true or false"),
        (dict(method="pc_darts", channels=6), "`space.channels` 6 cannot be split into 4 equal parts"),
        (dict(method="pdarts", epochs=2), "`epochs` 2 is too short: the method has 3 stages"),
        (dict(method="pdarts", discretize="greedy"), "are lost when a stage begins anew"),
        (dict(method="drnas_progressive", channels=12, callbacks=("operation_stopping",)), "one network's candidates"),
        (dict(train_share=1.0), "set `method.step` single_level"),
        (dict(method="absent.py"), "absent.py: no such file"),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_reason(components, reason):
    with pytest.raises(UserError) as refused:
        compose(tiny.config(**components))
    assert reason in str(refused.value)


def test_a_single_level_needs_no_other_half():
    task = tiny.search(tiny.config("snas", train_share=1.0, epochs=1), make=tiny.few_candidates)
    assert len(task.context.train_indices) == len(task.context.valid_indices) == 32
    tiny.run(task)


def test_both_parts_are_shares_of_each_class():
    """Of 32 images 11, 11 and 10 are of the three classes: 3 of each train the weights, 2 of each the logits."""
    task = tiny.search(tiny.config(train_share=0.25, valid_share=0.2, epochs=1), make=tiny.few_candidates)
    labels = task.data.train.labels
    assert labels[task.context.train_indices].bincount().tolist() == [3, 3, 2]
    assert labels[task.context.valid_indices].bincount().tolist() == [2, 2, 2]
    assert not set(task.context.train_indices.tolist()) & set(task.context.valid_indices.tolist())
    tiny.run(task)


def test_help_names_every_method_and_component():
    text = components_help(METHODS, COMPONENTS)
    for table in (METHODS, *COMPONENTS.values()):
        assert all(name in text for name in table)


def kind_of(name):
    """Methods of one kind read the tables of candidates by the same code."""
    method = METHODS[name]
    return type(method.discretize), type(method.edges), len(method.stages) > 1


FIRST_OF_KIND = {kind_of(name): name for name in reversed(METHODS)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FIRST_OF_KIND.values() else LONG) for n in METHODS])
def test_every_method_searches_a_reduced_space(name):
    """One of the four for each method, by its place among them; each edge keeps to its own candidates."""
    candidates = ("s1", "s2", "s3", "s4")[list(METHODS).index(name) % 4]
    made = settings(name)
    made = replace(made, space=replace(made.space, nodes=4, candidates=candidates), batch_size=4)
    task = tiny.run(tiny.search(replace(made, epochs=len(METHODS[name].stages)), count=8))
    assert len(task.genotypes) == len(METHODS[name].stages)
    for table in task.space.tables:
        for row, op in task.method.discretize(task.problem.edge_scores()[table.label], table):
            assert table.permits(row, op)
    assert torch.isfinite(one_step_from_scratch(task, task.genotype(), "darts"))


@pytest.mark.parametrize("candidates", ["s1", "s2", "s3", "s4"])
def test_reduced_spaces_are_searched_and_resumed(candidates, tmp_path):
    whole = tiny.config(nodes=4, epochs=1)
    whole = replace(whole, space=replace(whole.space, candidates=candidates))
    first = tiny.run(tiny.search(whole), saving=[((0, 1), tmp_path / "state.pt")])
    assert_same(first.state(), tiny.resumed(tiny.search(whole), tmp_path / "state.pt", 0, 1).state())
    with pytest.raises(SpaceError, match="s1 is made for cells of 4 nodes; `space.nodes` is 1"):
        tiny.search(replace(whole, space=replace(whole.space, candidates="s1", nodes=1)))
