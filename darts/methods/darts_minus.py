"""DARTS-: stepping out of performance collapse (Chu et al. 2021).

Every edge gets an auxiliary skip connection beside its mixed operation (equation 5), so that the skip among the
candidates does not have to carry the gradient as well. Its weight falls from 1 to 0 while the search runs, and it takes
no part in what is derived. At stride 2 it is a factorized reduction of its own.
"""

import math
from dataclasses import dataclass

from darts.method import Method


@dataclass(frozen=True)
class Falling:
    """From ``first`` to 0, linearly or, with ``cosine``, along half a cosine.

    With ``convolution``, an option of the authors' code, the skip of stride 1 is a 1x1 convolution that begins as the
    identity.
    """

    first: float = 1.0
    cosine: bool = False
    convolution: bool = False

    def __call__(self, progress: float) -> float:
        return self.first * ((1 + math.cos(math.pi * progress)) / 2 if self.cosine else 1 - progress)


METHOD = Method(skip=Falling())
