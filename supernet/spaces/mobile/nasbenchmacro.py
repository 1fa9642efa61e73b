"""The space of NAS-Bench-Macro: eight blocks, each one of three, 6,561 architectures (Su et al. 2021).

All have been trained, so the result of a search can be looked up (``darts.benchmarks``).
"""

from genotypes.types.choices import ChoicesGenotype
from supernet.shapes import ImageShape
from supernet.spaces.mobile.network import Candidate, MobileNet, identity, inverted
from supernet.spaces.modules import ModuleSpace, space_of_model
from supernet.spaces.space import SpaceEntry, SpaceOptions

CANDIDATES: dict[str, Candidate] = {
    "identity": identity,
    "mb3_3x3": inverted(kernel=3, expansion=3),
    "mb6_5x5": inverted(kernel=5, expansion=6),
}
"""The candidates in the order of the benchmark's digits 0, 1, 2."""


def _build(options: SpaceOptions) -> MobileNet:
    return MobileNet(options.shape, options.channels, options.layers, CANDIDATES)


def make(options: SpaceOptions) -> ModuleSpace:
    """Return the space of a run; the benchmark's networks have 32 channels and 8 layers.

    Raises:
        SpaceError: where the data set holds no images, or the options do not apply.
    """
    return space_of_model(_build, options, ImageShape, "images")


ENTRY = SpaceEntry(make, ChoicesGenotype)
