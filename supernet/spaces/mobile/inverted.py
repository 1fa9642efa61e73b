"""A space of mobile networks: kernel and expansion of each block, and whether it is there (after Cai et al. 2019).

The candidates are those of ProxylessNAS: inverted residuals of kernel 3, 5 or 7 and expansion 3 or 6, and the identity,
by which stages become less deep. The network is that of NAS-Bench-Macro.
"""

from functools import partial

from genotypes.types.choices import ChoicesGenotype
from supernet.spaces.mobile.network import Candidate, identity, inverted, make
from supernet.spaces.space import SpaceEntry

CANDIDATES: dict[str, Candidate] = {
    "identity": identity,
    **{f"mb{e}_{k}x{k}": inverted(kernel=k, expansion=e) for e in (3, 6) for k in (3, 5, 7)},
}

ENTRY = SpaceEntry(partial(make, candidates=CANDIDATES), ChoicesGenotype)
