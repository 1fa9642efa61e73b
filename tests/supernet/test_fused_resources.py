"""Every fused kernel compiles for data-centre GPUs without one at hand, and spills nothing."""

import pytest

pytest.importorskip("triton")
resources = pytest.importorskip("supernet.fused.resources")


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("channels", resources.WIDTHS)
def test_nothing_spills(channels, arch):
    found = resources.usages(channels, arch)
    assert len({usage.kernel for usage in found}) >= 13
    assert not [usage for usage in found if usage.spilled]
    assert max(usage.shared for usage in found) <= 99 * 1024, "of shared memory on the smaller GPUs of these kinds"
