"""NAS-Bench-101's official format, in a file that the tests write: TFRecord, JSON, protocol buffers in base64."""

import base64
import json
import struct

import pytest
import torch
from rich.console import Console

from darts.benchmarks.nasbench101 import NASBench101, Run, architecture
from darts.benchmarks.tfrecord import fields, masked_crc, records
from darts.blackbox.evaluators.benchmark import lookup_problem
from darts.blackbox.run import run_replays
from darts.config import SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.errors import UserError
from genotypes import load
from supernet import architectures
from supernet.shapes import ImageShape
from supernet.spaces.nasbench101 import NASBench101Space

SPACE = NASBench101Space(ImageShape(3, 32, 10))


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def metrics(valid, test, seconds, parameters):
    """Three evaluations, of which the last is that of the end; the first fields are the epoch and an accuracy."""
    evaluations = [
        b"".join([field(1, 54.0 * place), field(2, seconds * place / 2), field(3, 0.99), field(4, valid * place / 2),
                  field(5, test * place / 2), field(6, b"/checkpoint")])
        for place in range(3)
    ]  # fmt: skip
    message = b"".join(field(1, evaluation) for evaluation in evaluations) + field(2, parameters) + field(3, 3.5)
    return base64.b64encode(message).decode()


def row(genotype, epochs, valid, test):
    pruned = genotype.pruned()
    matrix = "".join(str(entry) for line in pruned.matrix for entry in line)
    operations = ",".join(["input", *pruned.ops, "output"])
    packed = metrics(valid, test, 10.0 * epochs, SPACE.parameters(genotype))
    return json.dumps([pruned.module_hash, epochs, matrix, operations, packed]).encode()


def record(data):
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def accuracy(genotype):
    """More 3x3 convolutions are better."""
    return 0.8 + 0.02 * genotype.pruned().ops.count("conv3x3-bn-relu")


@pytest.fixture(scope="module")
def cells():
    generator = torch.Generator().manual_seed(0)
    return [SPACE.derive(architectures.sample(SPACE, generator)) for _ in range(12)]


@pytest.fixture(scope="module")
def file(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("nasbench101") / "nasbench.tfrecord"
    rows = [
        row(genotype, epochs, accuracy(genotype) + shift, accuracy(genotype) - 0.01)
        for genotype in {g.module_hash: g for g in cells}.values()
        for epochs in (12, 108)
        for shift in (-0.001, 0.0, 0.001)
    ]
    path.write_bytes(b"".join(map(record, rows)))
    return path


def test_the_checksum_is_that_of_tfrecords():
    """CRC-32C of nine digits is e3069283 (RFC 3720's polynomial); masked as TFRecord files have it."""
    crc = 0xE3069283
    assert masked_crc(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_fields_of_protocol_buffers():
    message = field(1, 2.5) + field(2, 300) + field(3, b"ab") + varint(4 << 3 | 5) + struct.pack("<f", 0.5)
    assert list(fields(message)) == [(1, 2.5), (2, 300), (3, b"ab"), (4, 0.5)]
    for damaged in (b"\x0a\x05ab", b"\x80", b"\x0b"):
        with pytest.raises(ValueError, match="not a protocol buffer"):
            list(fields(damaged))


def test_queries(file, cells):
    benchmark = NASBench101(file)
    score = benchmark.query(cells[0], "cifar10", 12)
    assert score.values["valid_accuracy"] == pytest.approx(accuracy(cells[0]))
    assert score.values["test_accuracy"] == pytest.approx(accuracy(cells[0]) - 0.01)
    assert score.values["parameters"] == SPACE.parameters(cells[0]) and score.seconds == pytest.approx(120)
    best = max(cells, key=accuracy)
    assert benchmark.figures(best, "cifar10")["true_rank"] == 1 and "regret 0.00 %" in benchmark.summary(
        best, "cifar10"
    )
    with pytest.raises(UserError, match="epochs 50: NAS-Bench-101 has data cifar10, epochs 108, 36, 12, 4"):
        benchmark.query(cells[0], "cifar10", 50)
    with pytest.raises(UserError, match="has no training of .* for 36 epochs"):
        benchmark.query(cells[0], "cifar10", 36)
    with pytest.raises(UserError, match="not an architecture of NAS-Bench-101"):
        benchmark.query(load("DARTS_V2"), "cifar10")


def test_cells_of_rows():
    genotype = architecture("0110" + "0001" + "0001" + "0000", "input,conv3x3-bn-relu,maxpool3x3,output")
    assert str(genotype) == "conv3x3-bn-relu~0|maxpool3x3~0|output~1,2"
    with pytest.raises(ValueError, match="not square"):
        architecture("011", "input,output")


def changed(data, place, byte=0xFF):
    return data[:place] + bytes([data[place] ^ byte]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-3], "record 72 is cut short|record \\d+ is cut short"),
        (lambda data: data[: len(data) // 2 + 5], "cut short"),
        (lambda data: changed(data, 3), r"not a TFRecord file \(record 1, byte 0\)"),
        (lambda data: b"arch,test\n" + data, "not a TFRecord file"),
        (lambda data: b"", "holds no record"),
        (lambda data: record(b"[1, 2]"), "record 1 is no row of NAS-Bench-101"),
        (lambda data: record(b"\xff\xfe"), "record 1 is no row of NAS-Bench-101"),
        (lambda data: data.replace(b'["', b'["0', 1), "record 1 is no row|not a TFRecord|damaged"),
    ],
)
def test_other_files_are_no_tables(change, message, file, tmp_path):
    path = tmp_path / "other.tfrecord"
    path.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=message) as raised:
        NASBench101(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_foreign_hash_and_numbers_that_are_none(cells, tmp_path):
    path = tmp_path / "other.tfrecord"
    right = json.loads(row(cells[0], 12, 0.9, 0.9))
    for wrong in (["0" * 32, *right[1:]], [*right[:4], metrics(float("nan"), 0.9, 1.0, 5)], [*right[:4], "AA!"]):
        path.write_bytes(record(json.dumps(wrong).encode()))
        with pytest.raises(UserError, match="record 1 is no row of NAS-Bench-101"):
            NASBench101(path)
    with pytest.raises(UserError, match="cannot be read"):
        list(records(tmp_path / "missing"))


@pytest.mark.parametrize("strategy", ["random", "evolution:population=4,sample=2", "local_search", "reinforce"])
def test_strategies_search_it(strategy, file, monkeypatch):
    """Each cell that a strategy asks for is answered as the file would answer if it had all of them."""
    monkeypatch.setattr(NASBench101, "_runs", lambda self, genotype, data, epochs: answers(genotype))
    first = next(iter(NASBench101(file).parameters))
    monkeypatch.setattr("darts.benchmarks.nasbench101._key", lambda genotype: first)
    config = BlackboxConfig(
        evaluator="benchmark",
        space=SearchSpaceConfig(name="nasbench101", channels=128, layers=3),
        strategy=strategy,
        benchmark=LookupConfig(file=file),
        budget=BudgetConfig(trials=12, epochs=108),
    )
    replays = run_replays(config, lookup_problem(config), Console(quiet=True))
    assert replays.queries == [12] and 0.79 <= replays.test["cifar10"][0] <= 0.9


def answers(genotype):
    return [Run(accuracy(genotype), accuracy(genotype) - 0.01, 10.0)]
