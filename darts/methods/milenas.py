"""MiLeNAS: mixed-level reformulation (He et al. 2020).

The logits descend the training loss and the validation loss together, with the current weights (equation 6):
``d_a L_train(w, a) + weight * d_a L_val(w, a)``.
"""

from dataclasses import dataclass

from torch import Tensor

from darts.bilevel.hypergradients import Batch, Bilevel, frozen, gradient
from darts.methods.method import Method


@dataclass(frozen=True)
class MixedLevel:
    """The weighted sum of both gradients.

    The authors' code has its factor at the training loss. It also clips the logits' gradients where it means the
    weights', which then move unclipped (``weights.clip`` 1e9).

    Attributes:
        weight: factor of the validation loss.
        training: factor of the training loss.
    """

    weight: float = 1.0
    training: float = 1.0

    def __call__(self, problem: Bilevel, train: Batch, valid: Batch) -> dict[str, Tensor]:
        weights = frozen(problem.weights)
        lower = gradient(problem.lower(weights, problem.logits, train), problem.logits)
        upper = gradient(problem.upper(weights, problem.logits, valid), problem.logits)
        return {name: self.training * lower[name] + self.weight * upper[name] for name in lower}


METHOD = Method(step=MixedLevel())
