"""The largest eigenvalue of the validation loss's Hessian with respect to the logits (Zela et al. 2020, section 4).

It grows when a search runs into a sharp minimum, from which discretization leads away: it grows before DARTS's cells
collapse. Products with the Hessian are central differences of the gradient, so that every backend can compute them; the
eigenvalue is found by the Lanczos method.
"""

import math

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from darts.bilevel.hypergradients import Batch, Bilevel, frozen, gradient, same_draws

RADIUS = 1e-2
"""Length of the step of the finite difference, over all logits."""


def largest_eigenvalue(problem: Bilevel, batch: Batch, decay: float = 0.0, radius: float = RADIUS) -> float:
    """Return the largest eigenvalue of the Hessian of ``L_val + decay / 2 * |a|^2``, with the current weights.

    Args:
        problem: whose logits and weights are taken as they are.
        batch: of the validation split.
        decay: the logits' weight decay.
        radius: length of the finite difference's step, over all logits.
    """
    weights, logits = frozen(problem.weights), problem.logits
    sizes = [logit.numel() for logit in logits.values()]
    like = next(iter(logits.values()))

    def product(v: np.ndarray) -> np.ndarray:
        length = float(np.linalg.norm(v))
        direction = torch.from_numpy(v / length).to(like.device, like.dtype).split(sizes)
        sides = []
        for step in (radius, -radius):
            parts = zip(logits.items(), direction)
            moved = {name: (a.detach() + step * d.view(a.shape)).requires_grad_() for (name, a), d in parts}
            with same_draws(problem):
                grads = gradient(problem.upper(weights, moved, batch), moved)
            sides.append(torch.cat([grads[name].flatten() for name in logits]))
        slope = (sides[0] - sides[1]).double().cpu().numpy() / (2 * radius)
        return slope * length + decay * v

    count = sum(sizes)
    operator = LinearOperator((count, count), product, dtype=np.float64)
    start = np.full(count, 1 / math.sqrt(count)) + np.linspace(0, 1e-2, count)
    basis = min(count, 12)
    (value,) = eigsh(operator, k=1, which="LA", v0=start, ncv=basis, tol=1e-2, return_eigenvectors=False)
    return float(value)
