"""Initial logits of methods that do not begin with small random ones."""

import torch
from torch import Tensor

from supernet.choice import ChoiceTable


def zeros(table: ChoiceTable, draw: Tensor) -> Tensor:
    """Return logits of 0, of the shape of ``draw``: every gate begins undecided."""
    return torch.zeros_like(draw)
