"""What was chosen in a network of anyone's own: for each labelled decision, the names of the candidates kept."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from genotypes.formats.json_reader import within
from genotypes.types.cell import Fault, GenotypeError


@dataclass(frozen=True)
class ChoicesGenotype:
    """Label -> names of the kept candidates, in the order of the network's labels.

    Attributes:
        picks: (label, names) pairs; a mapping is taken as well.

    Raises:
        GenotypeError: where a label is given twice, or without a name.
    """

    picks: tuple[tuple[str, tuple[str, ...]], ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        pairs = self.picks.items() if isinstance(self.picks, Mapping) else self.picks
        object.__setattr__(self, "picks", tuple((label, tuple(names)) for label, names in pairs))
        labels = Counter(label for label, _ in self.picks)
        again = [label for label, times in labels.items() if times > 1]
        empty = [label for label, names in self.picks if not names]
        faults = [Fault(within("choices", label), "this label again", "each label once") for label in again]
        faults += [Fault(within("choices", label), "no name", "at least one") for label in empty]
        if not labels:
            faults.append(Fault("choices", "none", "at least one label"))
        if faults:
            raise GenotypeError(faults, self.name or "genotype")

    def __getitem__(self, label: str) -> tuple[str, ...]:
        return dict(self.picks)[label]

    def __str__(self) -> str:
        return ", ".join(f"{label}: {' + '.join(names)}" for label, names in self.picks)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on what was chosen alone, not on its name."""
        return hashlib.sha256(json.dumps(self.picks).encode()).hexdigest()[:12]

    def named(self, name: str | None) -> "ChoicesGenotype":
        return replace(self, name=name)
