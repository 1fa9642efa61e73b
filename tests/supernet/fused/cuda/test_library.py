"""The CUDA kernels compile for every kind of GPU that runs them; their results are tested where there is one."""

from itertools import product

import pytest
import torch

from supernet.fused.cuda import convs, convs_backward, library, tiles
from supernet.fused.dense import Kinds
from supernet.spaces.darts import DARTS_PRIMITIVES

TILED = {"TAPS": 25, "KEEP": 16, "HALVES": 2, "SPLIT": 1, "SAME_DILATION": 0, "SLOTS": 6, "ROUNDS": 1}
KERNELS = [
    ("combine", {"FORWARD": 1, "PATCHES": 128, "GROUPS": 2}),
    ("combine_sums", {"FORWARD": 0, "PATCHES": 256}),
    *(
        ("pools_and_skips", {"STRIDE": stride, "RUN": 3 - stride, "EDGES": 3, "SKIPS": 2 - stride, "ADD": 2 - stride})
        for stride in (1, 2)
    ),
    *(("dense_weights", {"TRANSPOSED": transposed}) for transposed in (0, 1)),
    *(("convs_forward", {"SECOND": 0, "STRIDE": stride, "EDGES": 1} | TILED) for stride in (1, 2)),
    ("convs_forward", {"SECOND": 1, "STRIDE": 1, "EDGES": 1} | TILED),
    ("half_gradient", {"WEIGHTS": 0} | TILED),
    *(("state_gradient", {"STRIDE": stride} | TILED) for stride in (1, 2)),
    *(
        ("weight_gradients", {"SECOND": second, "STRIDE": 1, "UNITS": 2, "TILE": 256, "SLOTS": 7, "ROUNDS": 1})
        for second in (0, 1)
    ),
]

needs_nvrtc = pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed")


@needs_nvrtc
@pytest.mark.parametrize("name, constants", KERNELS)
@pytest.mark.parametrize("channels, float16", list(product(convs.CHANNELS, (0, 1))))
def test_compiles(name, constants, channels, float16):
    shape = tiles.shape_of((4, 16, 16), constants.get("STRIDE", 1), 4)
    definitions = {"C": channels, "FLOAT16": float16} | constants | shape.constants
    for target in ("compute_80", "sm_90"):
        assert name.encode() in library.compiled(convs.FILES[name], list(definitions.items()), target)


@needs_nvrtc
@pytest.mark.parametrize("channels", convs_backward.JOINED_CHANNELS)
def test_gradients_of_weights_beside_planes_compile(channels):
    constants = {"WEIGHTS": 1} | TILED | {"KEEP": channels, "SPLIT": channels // 16}
    test_compiles("half_gradient", constants, channels, 0)


@needs_nvrtc
def test_an_error_of_the_source_is_said():
    with pytest.raises(library.CudaError, match=r"NVRTC cannot compile convs.cuh: .*error"):
        library.compiled("convs.cuh", [("C", 16)], "compute_80")


class Driver:
    """A stand-in for CUDA's driver, for a kernel that declares 40 bytes of shared memory on a GPU that has 1,000."""

    def __init__(self):
        self.most = None

    def cuModuleLoadData(self, module, binary):
        return 0

    def cuModuleGetFunction(self, found, module, name):
        return 0

    def cuFuncGetAttribute(self, value, attribute, function):
        value._obj.value = {1: 40}[attribute]
        return 0

    def cuFuncSetAttribute(self, function, attribute, value):
        self.most = value
        return int(attribute != 8 or value + 40 > 1000)  # CUDA_ERROR_INVALID_VALUE


def test_shared_memory_that_a_kernel_declares_is_left_to_it(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(library, "_driver", lambda: driver)
    monkeypatch.setattr(library, "_kept", lambda *given: b"")
    monkeypatch.setattr(library, "_shared_bytes", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    library.kernel("one", "convs.cuh", (), 0)
    assert driver.most == 960
    assert library.shared_bytes(torch.device("cuda", 0)) <= 960


@needs_nvrtc
def test_kernels_declare_little_beside_what_launches_ask_for():
    resources = pytest.importorskip("supernet.fused.resources", reason="Triton is not installed")
    launches = resources.record(DARTS_PRIMITIVES, 64, 2, 8, 16, shared_bytes=232_448)
    ours = [one for one in resources.distinct(launches) if hasattr(one, "file")]
    assert {one.name for one in ours} == {*convs.FILES}
    for one in ours:
        declared = resources.usage(one, 90).shared - one.shared
        assert declared <= (library.DECLARED if one.shared else 48 * 1024), one.name


def kinds(side=5, dtype=torch.float32):
    weights = torch.empty(2, 16, 1, side, side, dtype=dtype), torch.empty(2, 16, 16, 1, 1)
    return [Kinds((side,), (2,), weights[:1], weights[1:])]


@pytest.mark.parametrize(
    "channels, storage, inputs, stride, given",
    [
        (20, torch.bfloat16, (32, 32), 1, kinds()),
        (16, torch.float32, (32, 32), 1, kinds()),
        (16, torch.bfloat16, (33, 32), 1, kinds()),
        (16, torch.bfloat16, (31, 31), 2, kinds()),
        (16, torch.bfloat16, (32, 32), 1, kinds(7)),
        (16, torch.bfloat16, (32, 32), 1, kinds(4)),
        (16, torch.bfloat16, (32, 32), 1, []),
        (16, torch.bfloat16, (32, 32), 1, kinds(dtype=torch.float64)),
    ],
)
def test_what_the_kernels_do_not_compute(channels, storage, inputs, stride, given):
    assert convs.fits(16, torch.bfloat16, (32, 32), 1, kinds(), 96 * 1024)
    assert not convs.fits(16, torch.bfloat16, (32, 32), 1, kinds(), 16 * 1024)
    assert not convs.fits(channels, storage, inputs, stride, given, 228 * 1024)


@pytest.mark.parametrize("size, stride", [((64, 32, 32), 1), ((64, 32, 32), 2), ((5, 8, 8), 1), ((3, 16, 4), 1)])
def test_tiles_cover_a_batch(size, stride):
    shape = tiles.shape_of(size, stride, 4)
    outputs = size[0] * (size[1] // stride) * (size[2] // stride)
    pixels = shape.images * shape.rows * shape.wo
    assert tiles.tiles_of(shape) * pixels >= outputs > (tiles.tiles_of(shape) - 1) * pixels
    assert pixels == tiles.PIXELS and "SIZE_BATCH" not in shape.constants
