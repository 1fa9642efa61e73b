"""Cells that are equal by construction: with the same weights they have the same outputs."""

from random import Random

import pytest
import torch

from darts.benchmarks.digits.classes import CLASSES, classes, function
from genotypes.types.nasbench201 import from_string
from supernet.spaces.nasbench201 import DerivedCell

CHANNELS = 3


def cell_with(genotype, weights):
    """The cell of a genotype, in float64, with the i-th weights in its i-th convolution."""
    cell = DerivedCell(genotype, CHANNELS).double()
    for edge, (kernels, scale, shift) in zip(function(genotype).convolutions, weights):
        _, conv, norm = cell.ops[edge].op
        with torch.no_grad():
            conv.weight.copy_(kernels if conv.kernel_size[0] == 3 else kernels[:, :, 1:2, 1:2])
            norm.weight.copy_(scale)
            norm.bias.copy_(shift)
    return cell


def outputs(genotype, seed, training):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    weights = [(draw(CHANNELS, CHANNELS, 3, 3), draw(CHANNELS), draw(CHANNELS)) for _ in range(6)]
    cell = cell_with(genotype, weights).train(training)
    return cell(draw(4, CHANNELS, 5, 5), None, None)


def test_all_cells_stand_in_one_class():
    found = classes()
    members = [genotype for each in found.values() for genotype in each]
    assert len(members) == len(set(members)) == 15_625
    assert len(found) == CLASSES == 5_234
    assert all(first in each for first, each in found.items())


@pytest.mark.parametrize("training", [True, False])
def test_members_of_a_class_compute_the_same_and_other_classes_do_not(training):
    rng = Random(0)
    several = [each for each in classes().values() if len(each) > 1]
    seen = []
    for members in rng.sample(several, 60):
        one, other = (outputs(genotype, 0, training) for genotype in rng.sample(members, 2))
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        assert not any(one.shape == each.shape and torch.allclose(one, each) for each in seen)
        seen.append(one)


def test_a_convolution_used_twice_is_not_two_convolutions():
    shared = from_string("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|")
    separate = from_string("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|")
    assert function(shared).key != function(separate).key


def test_pooling_a_sum_is_summing_what_is_pooled():
    summed = from_string("|nor_conv_3x3~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|")
    pooled = from_string("|nor_conv_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|avg_pool_3x3~1|none~2|")
    assert function(summed) == function(pooled)


def nested(genotype):
    """The string by which the benchmark's authors recognize equal cells."""
    nodes = ["0"]
    for node in range(1, 4):
        terms = []
        for op, source in [(genotype.ops[node * (node - 1) // 2 + k], k) for k in range(node)]:
            if op == "none" or nodes[source] == "#":
                terms.append("#")
            else:
                terms.append(nodes[source] if op == "skip_connect" else f"({nodes[source]})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def test_the_strings_of_the_literature_count_6466():
    strings = {nested(genotype) for members in classes().values() for genotype in members}
    assert len(strings) == 6_466
