import pytest
import torch
import torch.nn.functional as F

from supernet.mixed.depthwise import depthwise_conv

GEOMETRIES = [(3, 1, 1), (5, 1, 1), (7, 1, 1), (9, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 1, 2)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3), (2, 1), (2, 4)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
def test_gradients_are_the_librarys(kernel, stride, dilation, size, batch):
    x = torch.randn(batch, 4, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(4, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, 4)
    actual = depthwise_conv(x, weight, stride, dilation)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert not actual._is_view()  # what follows may change it in place
    grad = torch.randn_like(expected)
    for a, b in zip(torch.autograd.grad(actual, (x, weight), grad), torch.autograd.grad(expected, (x, weight), grad)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
