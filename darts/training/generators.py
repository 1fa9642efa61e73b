"""The global random generators of PyTorch, NumPy and Python, and a context that restores their states."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_generators_kept(device: torch.device) -> Iterator[None]:
    """Give the global generators back the states that they had before, however they are seeded meanwhile."""
    arrays, plain = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            np.random.set_state(arrays)
            random.setstate(plain)
