"""Tests that run side by side share the cores: each process, and what it starts, computes with one thread."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config):
    """Where tests run side by side, a process that is done takes over tests that another has not begun."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "worksteal"
