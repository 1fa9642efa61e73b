import pytest
import torch

from genotypes import load
from supernet.shapes import ImageShape
from supernet.spaces.darts.quark0 import load_quark0, quark0_names
from supernet.spaces.darts.space import DARTSSpace

SPACES = {
    "cifar": DARTSSpace(ImageShape(3, 32, 10), 4, 3),
    "imagenet": DARTSSpace(ImageShape(3, 224, 10), 4, 3),
}


def networks(stem):
    space = SPACES[stem]
    return space.supernet(), space.network(load("DARTS_V2"), auxiliary=True)


@pytest.mark.parametrize("stem", SPACES)
@pytest.mark.parametrize("which", [0, 1])
def test_every_tensor_has_one_name(stem, which):
    network = networks(stem)[which]
    names = quark0_names(network).values()
    assert len(set(names)) == len(names)
    parts = {name for name, _ in names}
    assert parts == set(network.state_dict())
    for name in parts:
        slices = [part for other, part in names if other == name]
        assert slices == [None] or len(slices) == len(network.state_dict()[name])


def test_what_does_not_fit_is_named():
    network = SPACES["cifar"].network(load("DARTS_V2"))
    ours = network.state_dict()
    state = {theirs: torch.zeros_like(ours[name]) for theirs, (name, _) in quark0_names(network).items()}
    load_quark0(network, {**state, "stem.1.num_batches_tracked": torch.tensor(3)})
    with pytest.raises(ValueError, match="left over .*odd"):
        load_quark0(network, {**state, "odd": torch.zeros(1)})
    with pytest.raises(ValueError, match="missing .*stem.0.weight"):
        load_quark0(network, {name: tensor for name, tensor in state.items() if name != "stem.0.weight"})
    with pytest.raises(ValueError, match=r"classifier.bias: shape \(3,\), expected \(10,\)"):
        load_quark0(network, {**state, "classifier.bias": torch.zeros(3)})
