"""Fingerprints: equal for networks of one structure, and a network of another genotype is found out."""

import pytest
import torch
from torch import nn

import genotypes
from darts.retraining.fingerprint import checked_fingerprint, fingerprint
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

SPACE = DARTSSpace(ImageShape(3, 32, 10), channels=4, layers=3)


def test_weights_do_not_count_and_operations_of_as_many_weights_do():
    torch.manual_seed(0)
    first, again = (SPACE.network(genotypes.load("DARTS_V2")) for _ in range(2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(SPACE.network(genotypes.load("DARTS_V1")))
    near, far = (nn.Sequential(nn.Conv2d(4, 4, 3, padding=pad, dilation=pad)) for pad in (1, 2))
    assert fingerprint(near) != fingerprint(far)


@pytest.mark.parametrize("options", [{}, {"searched": True}])
def test_a_network_of_another_genotype_is_found_out(options):
    wanted, other = genotypes.load("DARTS_V2"), genotypes.load("DARTS_V1")
    network = SPACE.network(wanted, **options)
    assert checked_fingerprint(network, SPACE, wanted, **options) == fingerprint(network)
    with pytest.raises(RuntimeError, match="is not that of its genotype"):
        checked_fingerprint(network, SPACE, other, **options)
