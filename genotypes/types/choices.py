"""Choices kept in a user's own network: for each labelled choice, the names of the candidates that were kept."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genotypes.faults import MAX_FAULTS, Fault, GenotypeError, quote, within
from genotypes.formats.json_reader import read_json
from genotypes.types.genotype import architecture_hash


@dataclass(frozen=True)
class ChoicesGenotype:
    """Label -> names of the kept candidates, in the order of the network's labels.

    Attributes:
        picks: (label, names) pairs; a mapping is accepted as well.

    Raises:
        GenotypeError: where a label is given twice, or without a name.
    """

    picks: tuple[tuple[str, tuple[str, ...]], ...]
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        pairs: Iterable[tuple[str, Iterable[str]]] = self.picks
        if isinstance(self.picks, Mapping):
            pairs = self.picks.items()
        object.__setattr__(self, "picks", tuple((label, tuple(names)) for label, names in pairs))
        labels = Counter(label for label, _ in self.picks)
        again = [label for label, times in labels.items() if times > 1]
        empty = [label for label, names in self.picks if not names]
        faults = [Fault(within("choices", label), "this label again", "each label once") for label in again]
        faults += [Fault(within("choices", label), "no name", "at least one") for label in empty]
        if not labels:
            faults.append(Fault("choices", "none", "at least one label"))
        if faults:
            raise GenotypeError(faults[:MAX_FAULTS], self.name or "genotype")

    def __getitem__(self, label: str) -> tuple[str, ...]:
        return dict(self.picks)[label]

    def __str__(self) -> str:
        return ", ".join(f"{label}: {' + '.join(names)}" for label, names in self.picks)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that depend on the choices alone, not on the name."""
        return architecture_hash(json.dumps(self.picks))

    def named(self, name: str | None) -> "ChoicesGenotype":
        """Return the same choices under another name."""
        return replace(self, name=name)

    def fields(self) -> dict[str, Any]:
        """Return the fields of its JSON file."""
        return {"choices": {label: list(names) for label, names in self.picks}}

    def entries(self) -> dict[str, str]:
        """Return label -> names, separated by commas."""
        return {label: ", ".join(names) for label, names in self.picks}

    def describe(self) -> str:
        """Return label -> names as JSON on one line."""
        return json.dumps(self.fields()["choices"], ensure_ascii=False)


def from_fields(document: Mapping[str, Any]) -> ChoicesGenotype:
    """Read the fields of a JSON file.

    Raises:
        GenotypeError: with every fault at once.
    """
    choices = document.get("choices")
    if not isinstance(choices, dict):
        raise GenotypeError([Fault("choices", quote(choices), "an object: label -> list of names")])
    faults = [
        Fault(within("choices", label), quote(names), "a list of names")
        for label, names in choices.items()
        if not isinstance(names, list) or any(not isinstance(name, str) for name in names)
    ]
    if faults:
        raise GenotypeError(faults[:MAX_FAULTS])
    return ChoicesGenotype(tuple((label, tuple(names)) for label, names in choices.items()))


def is_choices_text(text: str) -> bool:
    """Return whether a text is label -> names as JSON, without the format and version of a file."""
    string = r'"(?:[^"\\]|\\.)*+"'
    entry = rf'\s*{string}\s*:\s*\[(?:[^\[\]{{}}"]|{string})*+\]\s*,?'
    return re.fullmatch(rf"\s*\{{(?:{entry})++\s*\}}\s*", text) is not None


def from_choices_text(text: str, source: str = "genotype") -> ChoicesGenotype:
    """Read what ``ChoicesGenotype.describe`` returns.

    Raises:
        GenotypeError: with every fault at once.
    """
    located = read_json(text)
    if located.faults:
        raise GenotypeError(located.faults, source)
    try:
        return from_fields({"choices": located.value})
    except GenotypeError as error:
        raise error.within(source) from None
