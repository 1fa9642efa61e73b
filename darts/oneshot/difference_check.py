"""A check of hypergradients by central differences, at the start of a search and every few epochs.

Where the supernet can be differentiated twice, by its ``reference`` backend or as a user's own network, differences are
compared with the exact hypergradient; elsewhere with a shorter difference (``darts.bilevel.radius``). Until the next
check the search takes the method's radius where these agree, else a shorter one for which they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from darts.bilevel.hypergradients import Batch, Bilevel, FiniteDifference, Hypergradient
from darts.bilevel.problem import SearchProblem
from darts.bilevel.radius import ChosenRadius, choose_radius
from darts.oneshot.context import SearchContext
from darts.training.out_of_memory import out_of_memory
from supernet.mixed.graph import mixed_graphs
from supernet.ops import fusable_layers

EVERY = 5
"""Epochs between two checks."""

ONCE_DIFFERENTIABLE = (
    "differentiate twice a function that was marked with @once_differentiable",
    "is not implemented",
)
"""Texts of PyTorch's errors where an operation has no second derivative."""

TOLERANCE = 0.5
"""Error, relative to what the hypergradient adds to the first order, above which the search warns."""

NAME = "difference_check"


def check_differences(step: Hypergradient, context: SearchContext, done: int) -> dict[str, Any]:
    """Return the error of the step's differences and their radius, and the first time that none agrees a warning.

    Steps without differences and runs of several processes are not checked, and nothing is returned. The batches are
    the first of each part, without augmentation; but for the radius, nothing of the search changes.

    Args:
        step: the logits' gradient, of the method.
        context: of the search; it keeps the radius that was chosen.
        done: finished epochs, 0 at the start.
    """
    due = done == 0 or (done - 1) % EVERY == 0 or done == context.epochs
    single = context.partition.ranks.count == 1
    if not (isinstance(step, FiniteDifference) and single and due) or step.without_differences() == step:
        return {}
    state = context.state(NAME)
    chosen, why = _choose(step, context)
    state["radius"] = chosen.radius
    figures: dict[str, Any] = {"difference_error": chosen.error, "difference_radius": chosen.radius}
    if why:
        figures["difference_compared"] = f"with shorter differences: {why}"
    if done and chosen.error > TOLERANCE and not state.get("warned"):
        state["warned"] = True
        figures["warning"] = (
            f"finite differences of radius {chosen.radius:g} are off by {100 * chosen.error:.0f} % of what they add to "
            f"the first order: {_remedy(step)}"
        )
    return figures


def checked_step(step: Hypergradient, context: SearchContext) -> Hypergradient:
    """Return the method's step with the radius that the last check chose."""
    radius = checked_radius(context)
    return step.at(radius) if radius and isinstance(step, FiniteDifference) else step


def checked_radius(context: SearchContext) -> float | None:
    """Return the radius that the last check chose; None where there was no check."""
    return context.states.get(NAME, {}).get("radius")


def _remedy(step: FiniteDifference) -> str:
    if not step.choose:
        return f"set a smaller radius in `method.step`, such as radius={step.radius / 10:g}, or leave out choose=false"
    return "no shorter radius agrees; set `method.step` to first_order, unrolled_exact or neumann:exact=true"


def _choose(step: FiniteDifference, context: SearchContext) -> tuple[ChosenRadius, str]:
    """Return the radius, and why differences are compared with shorter ones; empty where they are with the exact one.

    The exact hypergradient holds the graph of the whole batch, so a batch that is divided to fit is not tried.
    """
    problem, (train, valid) = context.problem, context.first_batches()
    exact, why = step.without_differences(), "there is no exact one"
    if exact is not None and problem.partition.micro_batches > 1:
        why = "batches are divided into micro-batches to fit into memory"
    elif exact is not None:
        try:
            return choose_radius(step, problem, train, valid, _by_reference(exact)), ""
        except (RuntimeError, MemoryError) as error:
            if not (out_of_memory(error) or _once_differentiable(error)):
                raise
            why = str(error).partition("\n")[0][:100]
    return choose_radius(step, problem, train, valid), why


def _once_differentiable(error: BaseException) -> bool:
    """Return whether an error says that a network, such as a user's own, cannot be differentiated twice."""
    return any(words in str(error) for words in ONCE_DIFFERENTIABLE)


def _by_reference(exact: Hypergradient) -> Hypergradient:
    """Return the hypergradient with the network's backend set to ``reference``, as a graph of the whole batch."""

    def hypergradient(problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        assert isinstance(problem, SearchProblem)
        with _reference_backend(problem.supernet):
            return exact(replace(problem, partition=replace(problem.partition, guarded=False)), train, valid)

    return hypergradient


@contextmanager
def _reference_backend(supernet: nn.Module) -> Iterator[None]:
    """Compute the mixed graphs by ``reference``, and all layers by PyTorch's operations."""
    graphs = mixed_graphs(supernet)
    layers = fusable_layers(supernet)
    backends, kernels = [graph.backend for graph in graphs], [layer.kernels for layer in layers]
    try:
        for graph in graphs:
            graph.backend = "reference"
        for layer in layers:
            layer.kernels = None
        yield
    finally:
        for graph, backend in zip(graphs, backends):
            graph.backend = backend
        for layer, own in zip(layers, kernels):
            layer.kernels = own
