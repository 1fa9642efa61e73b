"""The values that the authors' original code computes, in float64; inputs are rebuilt from their names and a seed.

Every ``*.json`` of ``tests/fixtures``, and of the folder that the environment variable ``FIXTURES`` names, is a case.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDERS = [Path(__file__).parent / "fixtures", *map(Path, filter(None, [os.environ.get("FIXTURES")]))]


def cases(kind: str) -> dict[str, dict[str, Any]]:
    """File name -> content of every fixture of one kind."""
    found = {path.name: json.loads(path.read_text()) for folder in FOLDERS for path in sorted(folder.glob("*.json"))}
    return {name: case for name, case in found.items() if case["kind"] == kind}


def random_state(case: dict[str, Any], name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(f"{case['seed']}/{name}".encode()))


def state(case: dict[str, Any]) -> dict[str, Tensor]:
    """The network's tensors, by the original's names."""
    return {name: torch.from_numpy(tensor(case, name, shape)) for name, shape in case["state"]}


def tensor(case: dict[str, Any], name: str, shape: list[int]) -> np.ndarray:
    z = random_state(case, name).standard_normal(shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(z)
    if name.endswith("running_mean"):
        return 0.1 * z
    if len(shape) == 1:
        return 1 + 0.1 * z if name.endswith("weight") else 0.1 * z
    return z / np.sqrt(np.prod(shape[1:]))


def batches(case: dict[str, Any], split: str) -> list[tuple[Tensor, Tensor]]:
    """The (images, labels) of each step; ``split`` is ``train`` or ``valid``."""
    config = case["config"]
    shape = config.get("steps", 1), config["batch"]
    images = random_state(case, f"{split}_x").standard_normal((*shape, 3, config["size"], config["size"]))
    labels = random_state(case, f"{split}_y").randint(0, config["classes"], shape)
    return list(zip(torch.from_numpy(images), torch.from_numpy(labels).long()))


def logits(case: dict[str, Any], rows: int, columns: int | None, kind: str = "alphas") -> dict[str, Tensor]:
    """Table label -> ``(rows, columns)``; without columns, as for the ``betas`` of edges, ``(rows,)``."""
    drawn = {}
    for label in ("normal", "reduce"):
        z = random_state(case, f"{kind}_{label}").standard_normal((rows, columns) if columns else rows)
        drawn[label] = torch.from_numpy(0.5 * z).requires_grad_()
    return drawn


def fingerprint(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    wave = torch.cos(torch.arange(flat.numel(), dtype=flat.dtype))
    return torch.stack([flat.sum(), flat.norm(), (flat * wave).sum()])


def close(actual: Tensor, expected: Any, tolerance: float, scale: float = 0.0) -> None:
    """Assert a relative error, measured against the largest expected value (or ``scale``, where that is larger)."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    largest = max(expected.abs().max().item(), scale)
    error = (actual.detach().double() - expected).abs().max().item() / max(largest, 1e-300)
    assert actual.shape == expected.shape and error <= tolerance, f"relative error {error:.1e} > {tolerance:.0e}"
