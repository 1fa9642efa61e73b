"""Zero-cost proxies: figures of an untrained network that shall rank architectures as their trained accuracy does.

Each is a function ``(network, batch) -> float``, the larger the better, of a network for classification with
its initial weights in training mode. None leaves the network changed, but for BatchNorm's running statistics. Signs are
those of the definitions: a correlation with accuracy is reported with its sign.

Axes: ``b`` example of the batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable

from torch import nn

from darts.blackbox.proxies.activations import nwot, zen
from darts.blackbox.proxies.batch import Batch
from darts.blackbox.proxies.gradients import fisher, grad_norm, grasp, snip
from darts.blackbox.proxies.jacobian import jacob_cov
from darts.blackbox.proxies.size import multiply_adds, parameters
from darts.blackbox.proxies.synflow import synflow

Proxy = Callable[[nn.Module, Batch], float]
"""(network, batch) -> figure."""

PROXIES: dict[str, Proxy] = {
    "grad_norm": grad_norm,
    "snip": snip,
    "grasp": grasp,
    "fisher": fisher,
    "synflow": synflow,
    "jacob_cov": jacob_cov,
    "nwot": nwot,
    "zen": zen,
    "parameters": parameters,
    "multiply_adds": multiply_adds,
}
"""Name -> proxy."""

__all__ = ["PROXIES", "Batch", "Proxy"]
