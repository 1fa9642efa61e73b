"""Rows of NAS-Bench-201's tables as the terminal shows them."""

import pytest

from darts.experiments.tables.nasbench201 import in_words

ABOUT = {"data": "cifar10", "seeds": 3, "queries": 500}
CURVE = {"strategy": "random", "test": {"100": [93.8, 0.3], "150": [93.9, 0.2]}}
FRONT = {"kind": "front", "points": 14}
TARGETS = {
    "kind": "limits",
    "strategy": "nsga2",
    "targets_ms": [9.8, 12.0],
    "shares": [{"share": 0.9}, {"share": 0.951}],
    "monotone": 2,
}


@pytest.mark.parametrize(
    "row, words",
    [
        (ABOUT | CURVE, "cifar10, random, 3 searches: test 93.80 after 100, 93.90 after 150"),
        (
            ABOUT | CURVE | {"queries_until_found": [84.2, 50.0]},
            "cifar10, random, 3 searches: test 93.80 after 100, 93.90 after 150; 84 queries until the best is found",
        ),
        (
            ABOUT | FRONT | {"strategy": "nsga2", "share": 0.9962, "least": 0.99, "share_by_validation": 0.9989},
            "cifar10, nsga2, 3 searches: 99.6 (least 99.0) of the hypervolume of 14 points; 99.9 by validation",
        ),
        (
            {"data": "cifar10", **FRONT, "strategy": "every architecture", "share": 0.99},
            "cifar10, every architecture: 99.0 of the hypervolume of 14 points",
        ),
        (
            ABOUT | TARGETS,
            "cifar10, nsga2 within limits, 3 searches: 90.0 within 9.8 ms, 95.1 within 12.0 ms; "
            "latencies in order in 2",
        ),
    ],
)
def test_a_row_is_one_line(row, words):
    assert in_words(row) == words
