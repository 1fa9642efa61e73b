import ctypes

import pytest
import torch

from darts.artifacts.resource_usage import usage


class Driver:
    """NVIDIA's management library, for one card."""

    def __init__(self, uuid, failing=""):
        self.uuid, self.failing = uuid, failing

    def nvmlInit_v2(self):
        return 9 if self.failing == "init" else 0

    def nvmlDeviceGetHandleByUUID(self, uuid, card):
        card._obj.value = 77
        return 0 if uuid == self.uuid else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, card, millijoules):
        assert card.value == 77
        millijoules._obj.value = 123_456
        return 3 if self.failing == "energy" else 0


@pytest.fixture
def card(monkeypatch):
    """A machine with two cards, of which this process uses the second."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: (0, 3 * 2**20)[index])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: type("Card", (), {"uuid": f"id-{index}"}))

    def install(driver):
        monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)

    return install


def test_memory_and_energy_are_those_of_the_card_that_is_used(card):
    card(Driver(b"GPU-id-1"))
    assert usage() == {"peak_memory_mib": 3.0, "energy_j": 123.456}


@pytest.mark.parametrize(
    "driver", [Driver(b"GPU-id-0"), Driver(b"GPU-id-1", "init"), Driver(b"GPU-id-1", "energy"), object()]
)
def test_a_driver_that_tells_no_energy_is_passed_over(card, driver):
    card(driver)
    assert usage() == {"peak_memory_mib": 3.0}


def test_without_a_card_the_memory_is_the_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert usage()["peak_memory_mib"] > 50 and "energy_j" not in usage()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_real_card():
    before = usage().get("energy_j")
    x = torch.randn(4096, 4096, device="cuda")
    for _ in range(50):
        x = x @ x / 64
    torch.cuda.synchronize()
    assert usage()["peak_memory_mib"] > 64
    if before is not None:
        assert 0 <= usage()["energy_j"] - before < 1e5
