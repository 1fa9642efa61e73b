"""Measured latency: by a clock of the tests' own, so that spreads are known; and tables of a small space."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from supernet import architectures
from supernet.cost import latency, latency_table
from supernet.cost.additive import parts_of
from supernet.cost.architecture import Deployment, costs_of
from supernet.cost.latency_table import LatencyTable, measure_table, read_table
from supernet.cost.space_costs import SpaceCosts
from supernet.cost.timing import NoisyMachine, Protocol, Timing, measure
from supernet.errors import SpaceError
from supernet.parts import kept_parts, keys_of
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

CPU = torch.device("cpu")
SHAPE = ImageShape(3, 8, 4)


class Machine:
    """A clock, and calls that advance it by given milliseconds."""

    def __init__(self):
        self.seconds, self.called = 0.0, []

    def clock(self):
        return self.seconds

    def call(self, name, times):
        def run():
            self.called.append(name)
            self.seconds += next(times) / 1e3

        return run


def forever(value):
    while True:
        yield value


def noisy(calm_after=None):
    rng, count = Random(0), 0
    while True:
        count += 1
        yield 4.0 if calm_after is not None and count > calm_after else rng.choice([2.0, 4.0, 9.0])


def test_medians_of_interleaved_rounds():
    machine = Machine()
    calls = {"a": machine.call("a", forever(3.0)), "b": machine.call("b", forever(0.5))}
    found = measure(calls, CPU, Protocol(rounds=5, clock=machine.clock))
    assert found["a"].ms == pytest.approx(3.0) and found["b"].ms == pytest.approx(0.5)
    assert max(timing.spread for timing in found.values()) == pytest.approx(0, abs=1e-9)
    rounds = machine.called[6:]  # after three warm-ups of each
    assert len(rounds) == 5 * (1 + 4)  # the short one four times in each round
    assert all(set(rounds[start : start + 5]) == {"a", "b"} for start in range(0, 25, 5))


def test_noisy_calls_are_measured_again():
    machine, said = Machine(), []
    calls = {"calm": machine.call("calm", forever(3.0)), "noisy": machine.call("noisy", noisy(calm_after=14))}
    found = measure(calls, CPU, Protocol(rounds=9, clock=machine.clock), lambda *done: said.append(done[0]))
    assert found["noisy"].ms == pytest.approx(4.0) and machine.called.count("calm") == 3 + 9
    assert any("noisy ones again" in each for each in said)


def test_calls_that_stay_noisy_are_refused():
    machine = Machine()
    calls = {"calm": machine.call("calm", forever(3.0)), "noisy": machine.call("noisy", noisy())}
    with pytest.raises(NoisyMachine, match=r"too busy .* 1 of 2 times .* after 3 attempts, 'noisy' by \d+ %"):
        measure(calls, CPU, Protocol(rounds=9, clock=machine.clock))


def disturbed(share, seed):
    """Times of 2 ms, but for a share of them, which other programs lengthen."""
    rng = Random(seed)
    while True:
        yield 2.0 + (rng.random() < share) * rng.uniform(0.5, 9)


def test_a_low_quantile_is_the_time_without_the_disturbances():
    """Of calls that are disturbed in three rounds of four; in 19 of 20, no quantile says what the call takes."""
    machine = Machine()
    low = Protocol(rounds=101, quantile=0.1, clock=machine.clock)
    found = measure({"a": machine.call("a", disturbed(0.75, 1))}, CPU, low)["a"]
    assert found.ms == pytest.approx(2.0) and found.spread == pytest.approx(0, abs=1e-9)
    for protocol, share in ((replace(low, quantile=0.5), 0.75), (low, 0.95)):
        with pytest.raises(NoisyMachine):
            measure({"a": machine.call("a", disturbed(share, 1))}, CPU, protocol)


def tiny(name="nasbench201"):
    return SPACES[name].make(SpaceOptions(SHAPE, channels=4, layers=3))


@pytest.fixture(scope="module")
def table():
    about = {"space": "nasbench201", "channels": 4, "layers": 3, "image": [3, 8, 4]}
    protocol = Protocol(rounds=3, shortest=0.01, spread=1e9)
    return measure_table(tiny(), SHAPE, device=CPU, protocol=protocol, networks=6, about=about)


def test_every_candidate_is_timed_at_every_shape(table):
    """Four operations at three sizes; the operation ``none`` is in no network."""
    assert len(table.parts) == 12 and all(timing.ms > 0 for timing in table.parts.values())
    assert {key.split()[1] for key in table.parts} == {"1x4x8x8", "1x8x4x4", "1x16x2x2"}
    assert table.check.networks == len(table.check.measured) == 6 and -1 <= table.check.tau <= 1


def test_the_prediction_is_the_calibrated_sum(table):
    space = tiny()
    known = replace(table, offset=2.0, factors={key.split(" ")[0]: len(key.split(" ")[0]) for key in table.parts})
    cost = known.cost(parts_of(space, SHAPE))
    picks = architectures.sample(space, torch.Generator().manual_seed(0))
    kept = kept_parts(parts_of(space, SHAPE), picks)
    expected = 2 + sum(table.parts[key].ms * len(part.name) for key, part in zip(keys_of(kept), kept))
    assert cost.of(picks) == pytest.approx(expected)
    deployment = Deployment(SHAPE, latency=cost)
    assert costs_of(space, space.derive(picks), ("latency",), deployment)["latency"] == pytest.approx(expected)
    gates = architectures.one_hot(space.tables, picks)
    assert cost.expected(gates, space.tables).item() == pytest.approx(expected, rel=1e-5)


def test_a_good_table_predicts_well():
    """Networks whose times are sums of their parts' times, and an offset: tau 1, error 0."""
    added = np.random.default_rng(0).uniform(1, 5, (20, 2))
    check = latency_table._check(added, 3 + added @ [2, 2])
    assert check.tau == pytest.approx(1) and check.error == pytest.approx(0, abs=1e-9)
    offset, factors = latency_table._calibrated(added, 3 + added @ [2, 2])
    assert offset == pytest.approx(3) and factors == pytest.approx([2, 2])


def test_a_candidate_that_takes_longer_in_networks_than_by_itself_has_a_factor_of_its_own(monkeypatch):
    rng = np.random.default_rng(1)
    added = rng.multinomial(8, [0.25] * 4, size=50) * [1.0, 1.1, 0.9, 0.1]
    measured = 5 + added @ [1.0, 1.4, 1.0, 1.0] + rng.normal(0, 0.05, 50)
    own = latency_table._check(added, measured)
    monkeypatch.setattr(latency_table, "SHRINKAGES", (1e6,))
    common = latency_table._check(added, measured)
    assert own.tau > 0.95 > common.tau and own.error < common.error / 2
    assert np.ptp(latency_table._calibrated(added, measured)[1]) < 1e-3


def test_networks_that_all_have_the_same_parts_have_no_factors():
    assert latency_table._calibrated(np.ones((4, 2)), np.array([1.0, 2.0, 3.0, 2.0])) == (2.0, [0.0, 0.0])


def test_a_table_is_written_and_read(table, tmp_path):
    path = tmp_path / "latency.json"
    table.write(path)
    found = read_table(path)
    assert found == replace(table, about=found.about) and found.about["batch"] == 1
    with pytest.raises(SpaceError, match="the table of latencies has no 'skip_connect"):
        replace(found, factors={}).cost(parts_of(tiny(), SHAPE))
    wide = SPACES["nasbench201"].make(SpaceOptions(SHAPE, channels=8))
    with pytest.raises(SpaceError, match=r"no '.*'; it was measured for space nasbench201, channels 4, layers 3"):
        SpaceCosts(wide, SHAPE).cost("latency", table=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: {}, "not a table of latencies"),
        (lambda content: {**content, "version": 9}, "of another version"),
        (lambda content: {**content, "parts": {"a": 1}}, "a damaged table of latencies"),
        (lambda content: {**content, "offset": float("nan")}, "a damaged table of latencies"),
        (lambda content: {**content, "factors": None}, "a damaged table of latencies"),
        (lambda content: {k: v for k, v in content.items() if k != "check"}, "a damaged table .*KeyError"),
    ],
)
def test_other_files_are_no_tables(change, message, table, tmp_path):
    path = tmp_path / "latency.json"
    table.write(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(SpaceError, match=message) as raised:
        read_table(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    path.write_text("{")
    with pytest.raises(SpaceError, match="damaged"):
        read_table(path)
    with pytest.raises(SpaceError, match="cannot be read"):
        read_table(tmp_path / "missing.json")


def command(*options):
    return ["--space", "nasbench201", "--channels", "4", "--layers", "1", "--image", "3", "8", "4", *options]


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(latency, "measure_table", lambda *args, about, **options: made(about))
    path = tmp_path / "latency.json"
    assert latency.run(command("--out", str(path))) == 0
    said = capsys.readouterr().out
    assert "Kendall's tau 0.900 (goal 0.85), mean error 4.0 % (goal 10 %); 1 to 2 ms" in said
    about = read_table(path).about
    assert about["space"] == "nasbench201" and {"device", "threads", "torch", "commit"} <= set(about["machine"])


def made(about):
    check = latency_table.Check(2, 0.9, 0.04, (1.0, 2.0), (1.1, 2.1))
    return LatencyTable({"a": Timing(1.0, 0.1)}, 0.0, {"a": 1.0}, check, about)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "darts201"], "--space is 'darts201'; it must be one of darts"),
        (["--networks", "3"], "--networks is 3"),
        (["--quantile", "0.6"], "--quantile is 0.6; it must be more than 0 and at most 0.5"),
        (["--clock", "cpu", "--threads", "2"], "set --threads 1"),
        (["--device", "tpu"], "--device is 'tpu'; this machine has no such device"),
        (["--layers", "0"], "--layers is 0; it must be 1 to 10000"),
        (["--channels", str(10**30)], "it must be 1 to 65536"),
        (["--image", "3", "0", "4"], "--image is (3, 0, 4); it must be 1 to 16384"),
        (["--spread", "nan"], "--spread is nan"),
        (["--out", "."], "--out is .; it must be a file in a folder that exists"),
        (["--out", "/proc/x"], "/proc/x: No such file or directory"),
        (["--batch", "x"], "--batch"),
        (["--batches", "1"], "--batches"),
        (["--text", "1"], "--text"),
    ],
)
def test_mistakes_are_one_line(options, message, tmp_path, capsys):
    path = tmp_path / "latency.json"
    assert latency.run(command("--out", str(path), *options)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not path.exists()


def test_a_busy_machine_writes_nothing(tmp_path, capsys, monkeypatch):
    def busy(*args, **options):
        raise NoisyMachine("the machine is too busy to measure latency")

    monkeypatch.setattr(latency, "measure_table", busy)
    path = tmp_path / "latency.json"
    assert latency.run(command("--out", str(path))) == 2
    assert "too busy" in capsys.readouterr().err and not path.exists()


def test_spaces_without_sums_are_refused():
    with pytest.raises(SpaceError, match="the costs of candidates do not add up in this space"):
        parts_of(tiny("nasbench101"), SHAPE)
