import pytest
import torch
from torch import nn

from genotypes import library_entry, library_names, load
from supernet.cost.network import Cost, count, count_unbuilt
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

MOBILE = DARTSSpace(ImageShape(3, 224, 1000), 48, 14)


@pytest.fixture(autouse=True)
def one_thread():
    """Convolutions as small as these take longer to hand out than to compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def counted_by_hooks(network, x):
    """Multiply-adds of the real network, from what enters and leaves each module as it computes."""
    found = []

    def conv(module, inputs, output):
        window = module.kernel_size[0] * module.kernel_size[1]
        found.append(output.shape[1:].numel() * window * inputs[0].shape[1] // module.groups)

    def linear(module, inputs, output):
        found.append(module.in_features * output.shape[1])

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(conv if isinstance(module, nn.Conv2d) else linear)
    network.eval()(x)
    return sum(found)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", library_names())
def test_a_count_is_what_the_real_network_does(name, stem):
    shape = ImageShape(3, 13 if stem == "cifar" else 40, 7)
    network = DARTSSpace(shape, 6, 4, stem=stem).network(load(name), auxiliary=True)
    expected = counted_by_hooks(network, torch.zeros(1, 3, shape.size, shape.size))
    assert count(network, shape) == Cost(count_parameters(network), expected)


@pytest.mark.parametrize(
    ("name", "millions"), [("DARTS_V2", 530), ("PC_DARTS_image", 582), ("PDARTS", 543), ("FairDARTS_b", 541)]
)
def test_published_cells_on_imagenet(name, millions):
    cost = count_unbuilt(lambda: MOBILE.network(load(name)), MOBILE.shape)
    assert round(cost.multiply_adds / 1e6) == millions
    assert cost.parameters == library_entry(name)["exact_parameters"]["imagenet_c48_l14_1000classes"]


def test_the_network_is_left_as_it_was():
    shape = ImageShape(3, 16, 5)
    network = DARTSSpace(shape, 4, 3).network(load("DARTS_V1"), auxiliary=True)
    network.cells[0].eval()
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count(network, shape)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in state.items())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
