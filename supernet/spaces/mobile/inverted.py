"""A space of mobile networks: kernel and expansion of each block, and whether it is there (after Cai et al. 2019).

The candidates are those of ProxylessNAS: inverted residuals of kernel 3, 5 or 7 and expansion 3 or 6, and the identity,
by which stages become less deep. The network is that of NAS-Bench-Macro.
"""

from genotypes.types.choices import ChoicesGenotype
from supernet.shapes import ImageShape
from supernet.spaces.mobile.network import Candidate, MobileNet, identity, inverted
from supernet.spaces.modules import ModuleSpace, space_of_model
from supernet.spaces.space import SpaceEntry, SpaceOptions

CANDIDATES: dict[str, Candidate] = {
    "identity": identity,
    **{f"mb{e}_{k}x{k}": inverted(kernel=k, expansion=e) for e in (3, 6) for k in (3, 5, 7)},
}


def _build(options: SpaceOptions) -> MobileNet:
    return MobileNet(options.shape, options.channels, options.layers, CANDIDATES)


def make(options: SpaceOptions) -> ModuleSpace:
    """Return the space of a run.

    Raises:
        SpaceError: where the data set holds no images, or the options do not apply.
    """
    return space_of_model(_build, options, ImageShape, "images")


ENTRY = SpaceEntry(make, ChoicesGenotype)
