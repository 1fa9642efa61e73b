"""Devices where a file is read: /dev/zero has no end, and would be read until the memory is full."""

import os
from pathlib import Path

import pytest

from darts.benchmarks.csv_table import CSVTable
from darts.benchmarks.tfrecord import records
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError
from darts.experiments.results_file import read_results
from genotypes.devices import refuse_device
from genotypes.errors import InputError
from supernet.cost.latency_table import read_table

ZERO = Path("/dev/zero")


def test_a_device_is_refused_and_files_and_pipes_are_not(tmp_path):
    with pytest.raises(OSError, match=r"it is a device, not a file.*/dev/zero"):
        refuse_device(ZERO)
    with pytest.raises(FileNotFoundError):
        refuse_device(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    refuse_device(tmp_path / "pipe")
    refuse_device(Path(__file__))


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_unicode(ZERO, "CSV file"),
        lambda: CSVTable(ZERO, "architecture"),
        lambda: list(records(ZERO)),
        lambda: read_table(ZERO),
    ],
    ids=["text", "csv", "tfrecord", "latency"],
)
def test_every_reader_names_it_in_one_line(read):
    with pytest.raises(InputError, match=r"/dev/zero.*a device") as error:
        read()
    assert "\n" not in str(error.value)


def test_results_may_be_written_to_a_device():
    """It holds no earlier ones."""
    assert read_results(Path("/dev/null"), {"a": 1}) == {"settings": {"a": 1}, "rows": [], "table": []}
    with pytest.raises(UserError, match="not a JSON file"):
        read_results(Path(__file__), {})
