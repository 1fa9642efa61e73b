"""The mark of tests that take minutes: they run where the environment variable ``LONG_TESTS`` is set."""

import os

import pytest

LONG_TESTS = bool(os.environ.get("LONG_TESTS"))

LONG = pytest.mark.skipif(not LONG_TESTS, reason="LONG_TESTS is not set")
