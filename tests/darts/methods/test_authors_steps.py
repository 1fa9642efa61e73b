"""Whole steps of methods against numbers that the authors' public code computed; each fixture names the code.

Weights, logits and batches are drawn by name (``tests.fixture_data``). A case holds what two steps of the logits and of
the weights give, the weights as the sum of their fingerprints.
"""

from contextlib import nullcontext

import pytest
import torch

from darts.bilevel.arch_optimizers import adam, sgd
from darts.bilevel.hessian import largest_eigenvalue
from darts.bilevel.hypergradients import first_order
from darts.bilevel.modifiers import GateModifiers
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import DirichletGates, Softmax
from darts.config import LogitsConfig
from darts.methods import METHODS
from darts.methods.darts_minus import Falling
from darts.methods.drnas import TowardsUniform
from darts.methods.fair_darts import Sigmoid, ZeroOne
from darts.methods.gaea import Entropic, ExponentiatedGradient, Simplex, SimplexEdges
from darts.methods.idarts import Neumann
from darts.methods.milenas import MixedLevel
from darts.methods.oles import OperationStopping, _candidates
from darts.methods.snas import Concrete, SingleLevel
from supernet.choice import ChoiceTable, edges_of
from supernet.mixed.source import MixedSource, add_auxiliary_skips
from supernet.shapes import ImageShape
from supernet.spaces.darts.quark0 import load_quark0, quark0_names
from supernet.spaces.darts.space import DARTSSpace
from tests import fixture_data as fixture

MILENAS, FAIR_DARTS, DARTS_MINUS, DRNAS, SNAS = (
    next(iter(fixture.cases(kind).values())) for kind in ("milenas", "fair_darts", "darts_minus", "drnas", "snas")
)
GAEA, PDARTS, IDARTS, OLES, ROBUST_DARTS = (
    next(iter(fixture.cases(kind).values())) for kind in ("gaea", "pdarts", "idarts", "oles", "robust_darts")
)
EIGHT = tuple(SNAS["candidates"])
LABELS = ("normal", "reduce")


def problem_of(case, relax=None, candidates=EIGHT, *, skip=None, edges=None, allowed=None, partial=1, **options):
    """The problem with the fixture's weights and logits."""
    config, allowed = case["config"], allowed or {}
    shape, size = ImageShape(3, config["size"], config["classes"]), (config["C"], config["layers"], config["nodes"])
    space = DARTSSpace(shape, *size, tuple(candidates), partial=partial, allowed=allowed)
    supernet = space.supernet().double()
    if skip is not None:
        add_auxiliary_skips(supernet, skip.convolution)
        load_skips(case, supernet.double())
    shapes = {name: list(tensor.shape) for name, tensor, _ in published(supernet)}
    load_quark0(supernet, {name: torch.from_numpy(fixture.tensor(case, name, s)) for name, s in shapes.items()})
    columns = len(allowed["normal"][0]) if allowed else len(candidates)
    logits = options.pop("logits", None) or fixture.logits(case, space.tables[0].rows, columns)
    if allowed:
        logits = {t.label: spread(logits[t.label], t) for t in space.tables}
    group = dict(momentum=config["momentum"], weight_decay=config["weight_decay"])
    optimizer = torch.optim.SGD(supernet.parameters(), config["lr"], **group)
    settings = relax or Softmax(), optimizer, torch.Generator(), nullcontext()
    return SearchProblem(supernet, space.tables, logits, *settings, modifiers=GateModifiers(edges, skip), **options)


def published(supernet):
    """The authors' name of each tensor, the tensor, and its name here."""
    state = supernet.state_dict()
    for name, (ours, part) in quark0_names(supernet).items():
        yield name, state[ours] if part is None else state[ours][part], ours


def spread(logits, table):
    """Logits of the kept candidates, in the columns of all; the others are not looked at."""
    wide = torch.zeros(table.rows, len(table.candidates), dtype=torch.float64)
    wide[table.mask] = logits.detach().flatten()
    return wide.requires_grad_()


def load_skips(case, supernet):
    with torch.no_grad():
        for index, cell in enumerate(supernet.cells):
            for source in cell.inside.graph.sources:
                for name, tensor in source.skips.state_dict().items() if source.skips else ():
                    for part, row in enumerate(source.rows):
                        published = f"cells.{index}._ops.{row}.auxiliary_op.{name.removeprefix('op.')}"
                        tensor[part].copy_(torch.from_numpy(fixture.tensor(case, published, list(tensor[part].shape))))


def settings(case):
    config = case["config"]
    return LogitsConfig(config["arch_lr"], tuple(config["arch_betas"]), config["arch_weight_decay"])


def total(problem):
    """The sum of the fingerprints of all weights of the authors' network."""
    parameters = {name for name, _ in problem.supernet.named_parameters()}
    found = [tensor for _, tensor, ours in published(problem.supernet) if ours in parameters]
    if problem.modifiers.skip is not None:
        for source in (m for m in problem.supernet.modules() if isinstance(m, MixedSource) and m.skips):
            found += [p[part] for p in source.skips.parameters() for part in range(len(source.rows))]
    return sum(fixture.fingerprint(tensor) for tensor in found)


def check_steps(case, problem, step, optimizer, clip=None, tolerance=1e-9):
    pairs = zip(fixture.batches(case, "train"), fixture.batches(case, "valid"))
    for expected, (train, valid) in zip(case["steps"], pairs):
        grads = step(problem, train, valid)
        for label, grad in zip(LABELS, expected["arch_grads"]):
            fixture.close(kept(problem, label, grads[label]), grad, tolerance)
        for label, logit in problem.logits.items():
            logit.grad = grads[label]
        if clip:
            torch.nn.utils.clip_grad_norm_(problem.logits.values(), clip)
        optimizer.step()
        for label, alphas in zip(LABELS, expected["alphas"]):
            fixture.close(kept(problem, label, problem.logits[label]), alphas, tolerance)
        loss, _ = problem.train_weights(train, case["config"]["grad_clip"])
        fixture.close(loss, expected["train_loss"], tolerance)
    fixture.close(total(problem), case["weights"], tolerance)


def kept(problem, label, values):
    """Values of the candidates that a table allows, ``(e, o)``."""
    (table,) = (table for table in problem.tables if table.label == label)
    return values if table.allowed is None else values[table.mask].view(table.rows, -1)


def test_milenas_adds_both_gradients_as_the_authors():
    problem = problem_of(MILENAS)
    optimizer = adam(problem.logits, problem.tables, settings(MILENAS))
    check_steps(MILENAS, problem, MixedLevel(1.0, training=MILENAS["training"]), optimizer)


@pytest.mark.parametrize("case", FAIR_DARTS["cases"], ids=["squared", "absolute"])
def test_fair_darts_steps_as_the_authors(case):
    penalty = ZeroOne(10.0, absolute=case["absolute"])
    problem = problem_of(case, Sigmoid(), FAIR_DARTS["candidates"], penalties=(penalty,))
    check_steps(case, problem, first_order, adam(problem.logits, problem.tables, settings(case)))


@pytest.mark.parametrize("case", DARTS_MINUS["cases"], ids=["identity", "convolution"])
def test_darts_minus_steps_as_the_authors(case):
    class Constant(Falling):
        def __call__(self, progress):
            return torch.full_like(progress, DARTS_MINUS["gate"])

    skip = Constant(convolution=case["convolution"])
    problem = problem_of(case, candidates=DARTS_MINUS["candidates"], skip=skip)
    check_steps(case, problem, first_order, adam(problem.logits, problem.tables, settings(case)))


@pytest.mark.parametrize("decay", DARTS_MINUS["decay"])
def test_the_skips_of_darts_minus_fall_as_the_authors(decay):
    found = [Falling(decay=decay)(torch.tensor(epoch / 50, dtype=torch.float64)).item() for epoch in range(50)]
    assert found == pytest.approx(DARTS_MINUS["decay"][decay], rel=1e-12, abs=1e-14)


def drawn(monkeypatch, samples):
    """Make the Dirichlet distribution return the fixture's samples, row by row."""
    rows = iter(samples)

    def sample(concentration, generator=None):
        return torch.tensor([next(rows) for _ in concentration], dtype=torch.float64)

    monkeypatch.setattr(torch, "_sample_dirichlet", sample)


@pytest.mark.parametrize("case", DRNAS["cases"], ids=["l2", "kl"])
def test_drnas_steps_as_the_authors(case, monkeypatch):
    """The same gradients through the same samples; with the divergence, without weight decay of the logits."""
    drawn(monkeypatch, case["samples"])
    kl = case["regularization"] == "kl"
    decay = case["config"]["arch_weight_decay"]
    penalties = (TowardsUniform(decay),) if kl else ()
    problem = problem_of(case, DirichletGates(), DRNAS["candidates"], penalties=penalties)
    config = LogitsConfig(case["config"]["arch_lr"], tuple(case["config"]["arch_betas"]), 0.0 if kl else decay)
    check_steps(case, problem, first_order, adam(problem.logits, problem.tables, config))


def test_drnas_samples_what_is_left_of_an_edge_as_the_authors(monkeypatch):
    case, names = DRNAS["masked"], DRNAS["candidates"]
    left = tuple(name for name, left in zip(names, case["mask"][0]) if left)
    table = ChoiceTable("t", tuple(names), (1,), (left,))
    drawn(monkeypatch, [case["sample"]])
    logits = torch.tensor(case["alphas"], dtype=torch.float64, requires_grad=True)
    gates = DirichletGates().gates(logits, table, torch.tensor(0.0), torch.Generator())
    torch.testing.assert_close(gates, torch.tensor(case["gates"], dtype=torch.float64), rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad((gates * torch.sin(torch.arange(7.0)).double()).sum(), logits)
    torch.testing.assert_close(grad, torch.tensor(case["gradient"], dtype=torch.float64), rtol=1e-6, atol=1e-8)


def test_snas_steps_as_the_authors(monkeypatch):
    """One sample gives both gradients; the logits move by SGD, as on one GPU."""
    drawn = iter([k for step in range(2) for _ in range(2) for k in (2 * step, 2 * step + 1)])

    def exponential(self, generator):
        """The draws of each step's two tables, the same in its two passes."""
        uniform = fixture.random_state(SNAS, f"uniform_{next(drawn)}").uniform(size=tuple(self.shape))
        return self.copy_(-torch.from_numpy(uniform).log())

    monkeypatch.setattr(torch.Tensor, "exponential_", exponential)
    temperature = SNAS["temperature"]
    problem = problem_of(SNAS, Concrete(temperature, temperature))
    optimizer = sgd(problem.logits, problem.tables, settings(SNAS))
    for expected, batch in zip(SNAS["steps"], fixture.batches(SNAS, "train")):
        grads = SingleLevel()(problem, batch, None)
        fixture.close(problem.differentiate_weights(batch)[0], expected["train_loss"], 1e-9)
        problem.move_weights(SNAS["config"]["grad_clip"])
        for label, grad in zip(LABELS, expected["arch_grads"]):
            fixture.close(grads[label], grad, 1e-9)
            problem.logits[label].grad = grads[label]
        torch.nn.utils.clip_grad_norm_(problem.logits.values(), 10.0)
        optimizer.step()
        for label, alphas in zip(LABELS, expected["alphas"]):
            fixture.close(problem.logits[label], alphas, 1e-9)
    fixture.close(total(problem), SNAS["weights"], 1e-9)


@pytest.mark.parametrize("case", GAEA["cases"], ids=["darts", "pc_darts"])
def test_gaea_steps_as_the_authors(case):
    gates = {label: a.detach().softmax(1).requires_grad_() for label, a in fixture.logits(case, 5, 8).items()}
    edges = None
    if case["partial"]:
        edges = SimplexEdges()
        for label, b in fixture.logits(case, 5, None, "betas").items():
            b = b.detach()
            gates[edges_of(label)] = torch.cat([b[:2].softmax(0), b[2:].softmax(0)]).requires_grad_()
    penalties = (Entropic(case["penalty"]),) if case["penalty"] else ()
    partial = 4 if case["partial"] else 1
    problem = problem_of(
        case, Simplex(), case["candidates"], edges=edges, logits=gates, partial=partial, penalties=penalties
    )
    optimizer = ExponentiatedGradient(0.1)(problem.logits, problem.tables, None)
    pairs = zip(fixture.batches(case, "train"), fixture.batches(case, "valid"))
    for expected, (train, valid) in zip(case["steps"], pairs):
        grads = first_order(problem, train, valid)
        for label, logit in problem.logits.items():
            logit.grad = grads[label]
        optimizer.step()
        for k, label in enumerate(LABELS):
            fixture.close(grads[label], expected["arch_grads"][k], 1e-9)
            fixture.close(problem.logits[label], expected["alphas"][k], 1e-9)
            if case["partial"]:
                fixture.close(grads[edges_of(label)], expected["edge_grads"][k], 1e-9)
                fixture.close(problem.logits[edges_of(label)], expected["edges"][k], 1e-9)
        loss, _ = problem.train_weights(train, case["config"]["grad_clip"])
        fixture.close(loss, expected["train_loss"], 1e-9)
    fixture.close(total(problem), case["weights"], 1e-9)
    scores = problem.edge_scores()
    for label in LABELS:
        (table,) = (table for table in problem.tables if table.label == label)
        picks = METHODS["gaea"].discretize(scores[label], table)
        found = [[op, row - span.start] for span in table.spans for row, op in picks if row in span]
        assert found == case["genotype"][label]


def test_pdarts_steps_as_the_authors_in_its_second_stage():
    allowed = {label: tuple(map(tuple, rows)) for label, rows in zip(LABELS, PDARTS["kept"])}
    problem = problem_of(PDARTS, candidates=PDARTS["candidates"], allowed=allowed)
    optimizer = adam(problem.logits, problem.tables, settings(PDARTS))
    check_steps(PDARTS, problem, first_order, optimizer, clip=PDARTS["config"]["grad_clip"])


def test_idarts_is_the_series_of_the_authors():
    """Five steps of the weights, then the gradient with their stand-in of the Hessian."""
    problem = problem_of(IDARTS)
    train, valid = (fixture.batches(IDARTS, split)[0] for split in ("train", "valid"))
    for _ in range(5):
        problem.train_weights(train, 5.0)
    fixture.close(total(problem), IDARTS["weights"], 1e-9)
    for graph in (cell.inside.graph for cell in problem.supernet.cells):
        graph.backend = "reference"
    grads = Neumann(3, diagonal=True, exact=True)(problem, train, valid)
    for label, grad in zip(LABELS, IDARTS["arch_grads"]):
        fixture.close(grads[label], grad, 1e-4)


def test_oles_compares_the_gradients_of_the_authors():
    """The cosine of each candidate in the second and third step, along output channels, with what is left over."""
    problem = problem_of(OLES)
    optimizer = adam(problem.logits, problem.tables, settings(OLES))
    groups, found = _candidates(problem.supernet), []

    class Compared(OperationStopping):
        def _compare(self, context, groups, grads):
            found.append({k: self._cosine([[g[n] for n in names] for g in grads]) for k, names in groups.items()})

    class Context:
        weight_clip, states = OLES["config"]["grad_clip"], {}

        def state(self, name):
            return self.states.setdefault(name, {})

    Context.problem, stopping = problem, Compared(by_channel=True, left_over=True)
    problem.kept.names = stopping.compared_weights(problem)
    for train, valid in zip(fixture.batches(OLES, "train"), fixture.batches(OLES, "valid")):
        for label, grad in first_order(problem, train, valid).items():
            problem.logits[label].grad = grad
        optimizer.step()
        problem.differentiate_weights(train)
        stopping.with_gradients(Context(), train, valid)
        problem.move_weights(OLES["config"]["grad_clip"])
    fixture.close(total(problem), OLES["weights"], 1e-9)
    assert len(found) == len(OLES["cosines"]) == 2 and len(groups) > 20
    compared = 0
    for ours, theirs in zip(found, OLES["cosines"]):
        for key, cosines in ours.items():
            prefix, _, name = key.rpartition(".")
            source = problem.supernet.get_submodule(prefix)
            for part, edge in enumerate(source.edges[name]):
                cell = prefix.split(".")[1]
                published = f"cells.{cell}._ops.{source.rows[edge]}._ops.{source.columns[name]}"
                assert cosines[part].item() == pytest.approx(theirs[published], rel=1e-6, abs=1e-9)
                compared += 1
    assert compared == sum(len(each) for each in OLES["cosines"])


def test_the_eigenvalue_of_robust_darts_is_that_of_the_authors_hessian():
    """Theirs is of the loss with the penalty of the logits' weight decay."""
    problem = problem_of(ROBUST_DARTS, candidates=ROBUST_DARTS["candidates"])
    valid, decay = fixture.batches(ROBUST_DARTS, "valid")[0], ROBUST_DARTS["config"]["arch_weight_decay"]
    found = largest_eigenvalue(problem, valid, decay, radius=1e-4)
    assert found == pytest.approx(ROBUST_DARTS["eigenvalue"], rel=2e-2)
