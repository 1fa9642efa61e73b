"""Heads for classes, masks and boxes, on every backbone that has them, in the supernet and in derived networks."""

import pytest
import torch
import torch.nn.functional as F

from supernet import architectures
from supernet.cost.network import count
from supernet.errors import SpaceError
from supernet.heads import BoxHead, Level, MaskHead
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.darts.space import DARTSOptions
from supernet.spaces.space import SpaceOptions

SIDE = 13
OUTPUTS = {"class": (2, 3), "mask": (2, 3, SIDE, SIDE)}
BACKBONES = ("darts", "nasbench201", "nasbenchmacro")


def shape_of(target):
    return ImageShape(1, SIDE, 3, target)


def space_of(name, target, **options):
    own = DARTSOptions(nodes=2, stem="strided") if name == "darts" else None
    return SPACES[name].make(SpaceOptions(shape_of(target), 2, 3, own=own, **options))


@pytest.mark.parametrize("target", ["class", "mask", "boxes"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_derived_network_equals_the_supernet(name, target):
    torch.manual_seed(0)
    space = space_of(name, target)
    picks = architectures.sample(space, torch.Generator().manual_seed(1))
    genotype = space.derive(picks)
    supernet, network = space.supernet(), space.network(genotype, searched=True)
    space.inherit(network, supernet, genotype)
    images = torch.randn(2, 1, SIDE, SIDE)
    with torch.no_grad():
        found = network.eval()(images)
        expected = supernet.eval()(images, architectures.one_hot(space.tables, picks))
    assert torch.allclose(found, expected, atol=1e-5)
    sides = {"darts": (7, 4, 2), "nasbench201": (7, 4), "nasbenchmacro": (7, 4, 2)}[name]
    locations = (2, sum(side**2 for side in sides), 3 + 4 + 3)
    assert found.shape == OUTPUTS.get(target, locations) and count(network, shape_of(target)).multiply_adds > 0


def test_the_other_spaces_say_so():
    for name in ("convnet", "nasbench101", "mobilenet"):
        with pytest.raises(SpaceError, match="no head that predicts boxes of images: set `space.name` to darts"):
            space_of(name, "boxes")
    space = space_of("darts", "mask")
    genotype = space.derive(architectures.sample(space, torch.Generator().manual_seed(1)))
    with pytest.raises(SpaceError, match="set `auxiliary` 0"):
        space.network(genotype, auxiliary=True)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_masks_are_as_large_as_images(stride):
    levels = [Level(4, stride), Level(6, 2 * stride)]
    maps = [torch.randn(1, level.channels, *(-(-SIDE // level.stride),) * 2) for level in levels]
    assert MaskHead(ImageShape(1, SIDE, 5, "mask"), levels)(maps).shape == (1, 5, SIDE, SIDE)


def test_boxes_around_their_locations():
    torch.manual_seed(0)
    levels = [Level(4, 1), Level(4, 2), Level(6, 4)]
    head = BoxHead(ImageShape(1, 8, 5, "boxes"), levels)
    output = head([torch.randn(2, level.channels, 8 // level.stride, 8 // level.stride) for level in levels])
    location, box, scores = output.split([3, 4, 5], dim=2)
    assert location[0, :, 2].tolist() == [2.0] * 16 + [4.0] * 4
    assert location[0, :5, :2].tolist() == [[1, 1], [3, 1], [5, 1], [7, 1], [1, 3]]
    assert location[1, 16:, :2].tolist() == [[2, 2], [6, 2], [2, 6], [6, 6]]
    centre = location[..., :2]
    assert (box[..., :2] < centre).all() and (box[..., 2:] > centre).all()
    assert scores.sigmoid().mean() < 0.05
    low = head.bfloat16()(
        [map.bfloat16() for map in (torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4), torch.randn(1, 6, 2, 2))]
    )
    assert low.dtype == torch.float32


def test_the_scores_of_masks_are_those_of_the_sum_of_the_levels():
    """As defined, though each level's scores are computed before they are interpolated."""
    torch.manual_seed(0)
    head = MaskHead(ImageShape(1, 12, 5, "mask"), [Level(4, 2), Level(6, 4)]).double().eval()
    maps = [torch.randn(2, 4, 6, 6).double(), torch.randn(2, 6, 3, 3).double()]
    finest, coarse = head.pyramid(maps)
    total = finest + F.interpolate(coarse, size=(6, 6), mode="bilinear")
    assert torch.allclose(head(maps), F.pixel_shuffle(head.scores(total), 2), atol=1e-12)
