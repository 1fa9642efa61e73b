"""The space of NAS-Bench-Macro: eight blocks, each one of three, 6,561 architectures (Su et al. 2021).

All have been trained, so the result of a search can be looked up (``darts.benchmarks``): with 32 channels and 8 layers.
"""

from functools import partial

from genotypes.types.choices import ChoicesGenotype
from supernet.spaces.mobile.network import Candidate, identity, inverted, make
from supernet.spaces.space import SpaceEntry

CANDIDATES: dict[str, Candidate] = {
    "identity": identity,
    "mb3_3x3": inverted(kernel=3, expansion=3),
    "mb6_5x5": inverted(kernel=5, expansion=6),
}
"""The candidates in the order of the benchmark's digits 0, 1, 2."""

ENTRY = SpaceEntry(partial(make, candidates=CANDIDATES), ChoicesGenotype)
