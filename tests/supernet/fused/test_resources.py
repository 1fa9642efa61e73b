"""Every fused kernel compiles for data-centre GPUs without one at hand, and spills nothing."""

import pytest

from supernet.fused.cuda import library
from supernet.spaces.darts import DARTS_PRIMITIVES
from tests.long import LONG

pytest.importorskip("triton")
resources = pytest.importorskip("supernet.fused.resources")


def check(found):
    assert len({usage.kernel for usage in found}) >= 13
    assert not [usage for usage in found if usage.spilled]
    assert max(usage.shared for usage in found) <= 99 * 1024, "of shared memory on the smaller GPUs of these kinds"


@pytest.mark.parametrize(("channels", "arch", "stride"), [(16, 90, 1), (36, 80, 2)])
def test_nothing_spills(channels, arch, stride):
    """A normal cell of a search, a reduction cell of a retraining, whose states are those of a smaller normal one."""
    launches = resources.record(DARTS_PRIMITIVES, channels, stride, nodes=2)
    check([resources.usage(launch, arch) for launch in resources.distinct(launches)])


@LONG
@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("channels", resources.WIDTHS)
def test_nothing_spills_at_any_width(channels, arch):
    check(resources.usages(channels, arch))


@pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")
@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("channels, stride", [(16, 1), (32, 2), (64, 1), (64, 2)])
def test_the_cuda_kernels_too(arch, channels, stride):
    most = resources.shared_bytes_of(arch)
    launches = resources.record(DARTS_PRIMITIVES, channels, stride, size=512 * stride // channels, shared_bytes=most)
    found = [resources.usage(launch, arch) for launch in resources.distinct(launches) if hasattr(launch, "file")]
    names = {"dense_weights", "convs_forward", "half_gradient", "state_gradient", "weight_gradients"}
    names |= {"combine", "combine_sums", "pools_and_skips"}
    assert {usage.kernel for usage in found} == names
    assert all(0 < usage.registers <= 255 and usage.shared <= most for usage in found)
    assert not any(usage.spilled for usage in found if usage.kernel == "pools_and_skips")
    assert max(usage.spilled for usage in found) <= 72, "what is spilled once a tile, so that more blocks fit"


def test_the_table_shows_the_launches_of_the_gpu(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(resources, "usages", lambda *given, shared_bytes: asked.append(shared_bytes) or [])
    assert resources.run(["--channels", "16", "--archs", "90", "75"]) == 0
    assert asked == [232_448 if library.can_compile() else 0, 0]
    assert "registers" in capsys.readouterr().out


def test_first_bound_that_spills_nothing(monkeypatch):
    """As it is chosen where kernels run, here with a kernel that needs 120 registers."""
    from types import SimpleNamespace

    import torch

    from supernet.fused import launch

    class Kernel:
        def __init__(self):
            self.tried = []

        def warmup(self, pointer, nested, number, *, grid, C, enable_fp_fusion, num_warps, maxnreg=100):
            assert (pointer.dtype, nested[0].dtype, number, C) == (torch.float32, torch.float16, 7, 16)
            self.tried.append(maxnreg)
            return SimpleNamespace(n_regs=maxnreg, n_spills=max(0, 120 - maxnreg), _init_handles=lambda: None)

    monkeypatch.setattr(launch.triton.runtime, "JITFunction", Kernel)
    kernel = Kernel()
    for _ in range(2):
        types = launch.argument_types((torch.zeros(3), (torch.zeros(2, dtype=torch.float16),), 7))
        assert launch.options_of(kernel, types, (("C", 16),)) == {
            "enable_fp_fusion": True,
            "num_warps": 4,
            "maxnreg": 128,
        }
    assert kernel.tried == [100, 112, 128]


def test_two_large_programs_fit_on_a_multiprocessor_if_they_spill_nothing():
    """Of a program of 8 warps, which may have 128 registers then; the first number is that of no bound."""
    from supernet.fused.launch import without_spills

    def used(needed, least):
        return lambda bound: (needed, 0) if bound is None or bound >= needed else (bound, max(0, least - bound))

    assert [without_spills(used(140, least), warps) for least, warps in ((120, 8), (130, 8), (120, 4))] == [
        128, None, None,
    ]  # fmt: skip
    assert without_spills(used(110, 110), 8) is None


@pytest.mark.parametrize("options", ["build", "--channels 0", "--archs 3"])
def test_a_mistake_is_one_line(options, capsys):
    assert resources.run(options.split()) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
