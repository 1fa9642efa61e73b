"""The original's numbers, reproduced: supernets, bilevel steps, derived networks, genotypes; by both backends."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from darts.bilevel.discretization import top_edges
from darts.bilevel.modifiers import GateModifiers
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Softmax
from darts.methods import METHODS, STEPS
from genotypes import Cell, CellGenotype, Edge
from supernet.choice import edges_of
from supernet.shapes import ImageShape
from supernet.spaces.darts.quark0 import load_quark0, quark0_names
from supernet.spaces.darts.space import DARTSSpace
from tests import fixture_data as fixture

SUPERNETS = fixture.cases("supernet")
PARTIAL = fixture.cases("pc_darts_supernet")
FINALS = fixture.cases("final")
GENOTYPES = {f"{file}-{k}": c for file, d in fixture.cases("discretize").items() for k, c in enumerate(d["cases"])}
BACKENDS = ("reference", "batched")


def space_of(case):
    config = case["config"]
    shape = ImageShape(3, config["size"], config["classes"])
    options = dict(stem=config.get("stem", "cifar"), partial=config.get("partial", 1))
    return DARTSSpace(shape, config["C"], config["layers"], config.get("nodes", 4), **options)


def problem_of(case, backend):
    config, space = case["config"], space_of(case)
    supernet = space.supernet(backend).double()
    load_quark0(supernet, fixture.state(case))
    decay = dict(momentum=config["momentum"], weight_decay=config["weight_decay"])
    optimizer = torch.optim.SGD(supernet.parameters(), config["lr"], **decay)
    logits = fixture.logits(case, space.tables[0].rows, len(space.candidates))
    return SearchProblem(supernet, space.tables, logits, Softmax(), optimizer, torch.Generator(), nullcontext())


def check_fingerprints(network, expected, tensors, tolerance):
    """``tensors`` by our names against fingerprints by theirs."""
    ours = quark0_names(network)
    for theirs, print_ in expected.items():
        name, part = ours[theirs]
        tensor = tensors[name] if part is None else tensors[name][part]
        fixture.close(fixture.fingerprint(tensor), print_, tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SUPERNETS)
def test_one_pass(name, backend):
    case = SUPERNETS[name]
    problem, expected = problem_of(case, backend), case["one_pass"]
    images, labels = fixture.batches(case, "train")[0]
    scores = problem.supernet(images, problem.gates(problem.logits))
    loss = F.cross_entropy(scores, labels)
    fixture.close(scores, expected["logits"], 1e-9)
    fixture.close(loss, expected["loss"], 1e-9)
    wanted = [*problem.weights.values(), *problem.logits.values()]
    *grads, normal, reduce = torch.autograd.grad(loss, wanted)
    fixture.close(normal, expected["grad_alphas_normal"], 1e-9)
    fixture.close(reduce, expected["grad_alphas_reduce"], 1e-9)
    assert len(expected["grad_fingerprints"]) > 100
    check_fingerprints(problem.supernet, expected["grad_fingerprints"], dict(zip(problem.weights, grads)), 1e-9)
    problem.supernet.eval()
    fixture.close(problem.supernet(images, problem.expected_gates()), expected["logits_eval_after"], 1e-9)


@pytest.mark.parametrize("order", ["first_order", "second_order"])
@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "batched") for name in SUPERNETS), (min(SUPERNETS), "reference")]
)
def test_bilevel_steps(name, order, backend):
    """By the reference for one supernet: of every other, ``test_one_pass`` compares both backends."""
    case = SUPERNETS[name]
    config, problem = case["config"], problem_of(case, backend)
    step, tolerance = {"first_order": (STEPS["first_order"], 1e-9), "second_order": (STEPS["unrolled"], 1e-6)}[order]
    adam = torch.optim.Adam(
        problem.logits.values(), config["arch_lr"], config["arch_betas"], weight_decay=config["arch_weight_decay"]
    )
    pairs = zip(fixture.batches(case, "train"), fixture.batches(case, "valid"))
    for expected, (train, valid) in zip(case[order]["trajectory"], pairs):
        grads = step(problem, train, valid)
        for label, logit in problem.logits.items():
            fixture.close(grads[label], expected[f"arch_grad_{label}"], tolerance)
            logit.grad = grads[label]
        adam.step()
        loss, _ = problem.train_weights(train, config["grad_clip"])
        fixture.close(loss, expected["train_loss"], tolerance)
        for label, logit in problem.logits.items():
            fixture.close(logit, expected[f"alphas_{label}"], tolerance)
    check_fingerprints(problem.supernet, case[order]["final_state_fingerprints"], problem.weights, tolerance)


@pytest.mark.parametrize("name", SUPERNETS)
def test_genotype_of_supernet(name):
    case = SUPERNETS[name]
    space = space_of(case)
    logits = fixture.logits(case, space.tables[0].rows, len(space.candidates))
    check_genotype(derive(space, logits), case["genotype"])


@pytest.mark.parametrize("name", GENOTYPES)
def test_discretize(name):
    case = GENOTYPES[name]
    space = DARTSSpace(ImageShape(3, 32, 10), nodes=case["nodes"])
    logits = {label: torch.tensor(case[f"alphas_{label}"], dtype=torch.float64) for label in ("normal", "reduce")}
    check_genotype(derive(space, logits), case["genotype"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PARTIAL)
def test_partial_channels(name, backend):
    case = PARTIAL[name]
    space = space_of(case)
    supernet = space.supernet(backend).double()
    load_quark0(supernet, fixture.state(case))
    rows = space.tables[0].rows
    logits = fixture.logits(case, rows, len(space.candidates)) | {
        edges_of(label): betas for label, betas in fixture.logits(case, rows, None, "betas").items()
    }
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    settings = space.tables, logits, Softmax(), optimizer, torch.Generator(), nullcontext()
    problem = SearchProblem(supernet, *settings, modifiers=GateModifiers(METHODS["pc_darts"].edges))
    images, labels = fixture.batches(case, "train")[0]
    scores = supernet(images, problem.gates(logits))
    loss = F.cross_entropy(scores, labels)
    fixture.close(scores, case["logits"], 1e-9)
    fixture.close(loss, case["loss"], 1e-9)
    weights = problem.weights
    grads = dict(zip([*weights, *logits], torch.autograd.grad(loss, [*weights.values(), *logits.values()])))
    for label in ("normal", "reduce"):
        fixture.close(grads[label], case[f"grad_alphas_{label}"], 1e-9)
        fixture.close(grads[edges_of(label)], case[f"grad_betas_{label}"], 1e-9)
    assert len(case["grad_fingerprints"]) > 100
    check_fingerprints(supernet, case["grad_fingerprints"], grads, 1e-9)
    ranked = problem.edge_scores()
    check_genotype(space.derive({t.label: top_edges(ranked[t.label], t) for t in space.tables}), case["genotype"])
    supernet.eval()
    fixture.close(supernet(images, problem.expected_gates()), case["logits_eval_after"], 1e-9)


def derive(space, logits):
    return space.derive({t.label: top_edges(Softmax().expected_gates(logits[t.label], t), t) for t in space.tables})


def check_genotype(genotype, expected):
    assert genotype == genotype_of(expected)


def genotype_of(content):
    def cell(label):
        edges = [Edge(op, source) for op, source in content[label]]
        nodes = tuple(tuple(edges[i : i + 2]) for i in range(0, len(edges), 2))
        return Cell(nodes, tuple(content[f"{label}_concat"]))

    return CellGenotype(cell("normal"), cell("reduce"))


@pytest.mark.parametrize("name", FINALS)
def test_derived_network(name):
    case = FINALS[name]
    config = case["config"]
    network = space_of(case).network(genotype_of(case["genotype"]), auxiliary=config["auxiliary"]).double()
    load_quark0(network, fixture.state(case))
    images, labels = fixture.batches(case, "train")[0]
    scores, auxiliary = network(images)
    loss = F.cross_entropy(scores, labels) + config["auxiliary_weight"] * F.cross_entropy(auxiliary, labels)
    fixture.close(scores, case["logits"], 1e-9)
    fixture.close(auxiliary, case["logits_aux"], 1e-9)
    fixture.close(loss, case["loss"], 1e-9)
    loss.backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    check_fingerprints(network, case["grad_fingerprints"], grads, 1e-9)
    network.eval()
    fixture.close(network(images), case["logits_eval_after"], 1e-9)
