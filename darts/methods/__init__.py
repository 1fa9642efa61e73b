"""Every search method, and every component that one is composed of, by name.

Each registry is complete, and its rows are rows of the tests: each method searches every tiny space to the end.
"""

from darts.bilevel.arch_optimizers import ArchOptimizer, Identity, adam, sgd
from darts.bilevel.discretization import Discretize, top_edges
from darts.bilevel.expected_cost import ExpectedCost
from darts.bilevel.hypergradients import Hypergradient, Unrolled, UnrolledClipped, UnrolledExact, first_order
from darts.bilevel.modifiers import EdgeWeights, Schedule
from darts.bilevel.penalties import Resource
from darts.bilevel.problem import Penalty, Perturb
from darts.bilevel.relaxations import DirichletGates, Relaxation, Softmax
from darts.methods import (
    beta_darts,
    darts,
    darts_minus,
    darts_pt,
    drnas,
    fair_darts,
    gaea,
    gdas,
    idarts,
    milenas,
    oles,
    pc_darts,
    pdarts,
    robust_darts,
    sdarts,
    sgas,
    single_paths,
    snas,
    zarts,
)
from darts.methods.context import Callback
from darts.methods.method import Method, Stage

METHODS: dict[str, Method] = {
    "darts": darts.METHOD,
    "pc_darts": pc_darts.METHOD,
    "pdarts": pdarts.METHOD,
    "pdarts_cifar100": pdarts.CIFAR100,
    "gdas": gdas.METHOD,
    "snas": snas.METHOD,
    "fair_darts": fair_darts.METHOD,
    "darts_minus": darts_minus.METHOD,
    "sdarts_rs": sdarts.RS,
    "sdarts_adv": sdarts.ADV,
    "robust_darts": robust_darts.METHOD,
    "robust_darts_ada": robust_darts.ADAPTIVE,
    "drnas": drnas.METHOD,
    "drnas_progressive": drnas.PROGRESSIVE,
    "beta_darts": beta_darts.METHOD,
    "darts_pt": darts_pt.METHOD,
    "darts_pt_fixed": darts_pt.FIXED,
    "milenas": milenas.METHOD,
    "idarts": idarts.METHOD,
    "gaea": gaea.METHOD,
    "gaea_pc_darts": gaea.PC_METHOD,
    "zarts": zarts.METHOD,
    "oles": oles.METHOD,
    "sgas": sgas.CRITERION_1,
    "sgas_2": sgas.CRITERION_2,
}

RELAXATIONS: dict[str, Relaxation] = {
    "softmax": Softmax(),
    "gumbel": gdas.HardGumbel(),
    "concrete": snas.Concrete(),
    "sigmoid": fair_darts.Sigmoid(),
    "dirichlet": DirichletGates(),
    "simplex": gaea.Simplex(),
}

STEPS: dict[str, Hypergradient] = {
    "first_order": first_order,
    "unrolled": Unrolled(),
    "unrolled_clipped": UnrolledClipped(),
    "unrolled_exact": UnrolledExact(),
    "single_level": snas.SingleLevel(),
    "mixed_level": milenas.MixedLevel(),
    "neumann": idarts.Neumann(),
    "monte_carlo": zarts.MonteCarlo(),
}

ARCH_OPTIMIZERS: dict[str, ArchOptimizer] = {
    "adam": adam,
    "identity": Identity(),
    "sgd": sgd,
    "exponentiated": gaea.ExponentiatedGradient(),
}

DISCRETIZATIONS: dict[str, Discretize] = {
    "top_edges": top_edges,
    "limited_skips": pdarts.LimitedSkips(),
    "threshold": fair_darts.Threshold(),
    "top_edges_of_all": snas.TopEdgesOfAll(),
    "perturbation": darts_pt.Perturbation(),
    "greedy": sgas.Greedy(),
    "top_pairs": gdas.top_pairs,
}

EDGES: dict[str, EdgeWeights] = {"per_node": pc_darts.PerNode(), "simplex": gaea.SimplexEdges()}

PENALTIES: dict[str, Penalty] = {
    "zero_one": fair_darts.ZeroOne(),
    "beta_decay": beta_darts.BetaDecay(),
    "towards_uniform": drnas.TowardsUniform(),
    "entropic": gaea.Entropic(),
    "resource": Resource(),
    "parameters": ExpectedCost("parameters"),
    "multiply_adds": ExpectedCost("multiply_adds"),
    "memory_accesses": ExpectedCost("memory_accesses"),
    "memory": ExpectedCost("memory"),
    "latency": ExpectedCost("latency"),
}

PERTURBATIONS: dict[str, Perturb] = {"random": sdarts.RandomSmoothing(), "adversarial": sdarts.Adversarial()}

SKIPS: dict[str, Schedule] = {"falling": darts_minus.Falling()}

STAGES: dict[str, Stage] = {"stage": Stage()}

CALLBACKS: dict[str, Callback] = {
    "operation_stopping": oles.OperationStopping(),
    "eigenvalue_stop": robust_darts.EigenvalueStop(),
    "single_paths": single_paths.SinglePaths(),
    "best_epoch": gaea.BestEpoch(),
}
