"""Jacobian covariance: how differently a network answers to changes of different images (Mellor et al. 2020).

This is the first version of the score; the published one of 2021 is ``nwot``.
"""

from __future__ import annotations

import torch
from torch import nn

from darts.blackbox.proxies.batch import Batch

SMALL = 1e-5
"""Added to eigenvalues."""


def jacob_cov(network: nn.Module, batch: Batch) -> float:
    """Return ``-sum(log(v + k) + 1 / (v + k))`` over the eigenvalues ``v`` of the correlations of Jacobians.

    The Jacobian of an image is the gradient of the sum of its class scores with respect to its pixels, ``(c h w,)``.
    The matrix ``(b, b)`` of their correlations is symmetric: ``eigvalsh`` keeps its eigenvalues real and from 0 up,
    where a general solver returns complex numbers and small negative ones.
    """
    images = batch.images.detach().requires_grad_()
    (jacobian,) = torch.autograd.grad(network(images).sum(), images)
    rows = jacobian.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        return -len(rows) / SMALL  # a network that does not see its input: all correlations are undefined
    rows = rows / norms
    values = torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0) + SMALL
    return -float((values.log() + 1 / values).sum())
