"""The published JSON schema of genotypes' files, which editors use for completion and checks.

``genotype.schema.json`` is written by hand but for its list of the operations of cells, which ``OPERATIONS`` fills.
"""

import json
import re
from collections.abc import Sequence
from textwrap import indent

from genotypes.formats.json_document import SCHEMA
from genotypes.types.cell import OPERATIONS

_LISTS = re.compile(r'(?<="op": \{\n      "description": "The operation on an edge.",\n).*?(?=\n    \},)', re.DOTALL)


def schema() -> str:
    """Return the schema with the operations as they are now."""
    lists = {
        "enum": list(OPERATIONS),
        "enumDescriptions": [operation.description for operation in OPERATIONS.values()],
    }
    text = ",\n".join(_field(name, values) for name, values in lists.items())
    return _LISTS.sub(lambda match: text, SCHEMA.read_text(encoding="utf-8"))


def _field(name: str, values: Sequence[str]) -> str:
    return indent(f'"{name}": {json.dumps(values, indent=2)}', " " * 6)
