"""PC-DARTS: partial channel connections (Xu et al. 2020).

A mixed operation sees one in ``K`` channels, the others pass by (equation 1; ``supernet.mixed.graph``): a quarter of the
memory, so larger batches. As sampled channels make the choice of edges unstable, every edge has a weight of its own,
normalized over the edges that enter its node (equation 3); what is derived goes by the product of both. In the first
15 of 50 epochs the weights train alone.
"""

import torch
from torch import Tensor

from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable


def per_node(logits: Tensor, table: ChoiceTable) -> Tensor:
    """Softmax over the edges that enter each node, ``(e,) -> (e,)`` (equation 3)."""
    return torch.cat([part.softmax(0) for part in logits.split(list(table.groups))])


METHOD = Method(edges=per_node, stages=(Stage(warmup=0.3, partial=4),))
