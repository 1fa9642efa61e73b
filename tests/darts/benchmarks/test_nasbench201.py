"""Looking up architectures in a table, made up here; the real one where ``DATA_ROOT`` has it."""

import csv
import itertools
import os
from pathlib import Path

import pytest
from rich.console import Console

import genotypes
from darts.benchmarks.command import main
from darts.benchmarks.nasbench201 import ARCHITECTURES, DATA, EPOCHS, NASBench201
from darts.errors import UserError
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype

BEST = NASBench201Genotype(("avg_pool_3x3",) * 6)
WORST = NASBench201Genotype(("none",) * 6)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Every architecture's accuracy follows from its place in the order of operations."""
    columns = [f"{d}_{split}_acc{end}" for d in DATA for split in ("valid", "test") for end in EPOCHS.values()]
    columns += [f"{kind}_{d}" for kind in ("params", "mflops") for d in DATA]
    lines = [",".join(["index", "arch_str", *columns])]
    for index, ops in enumerate(itertools.product(NASBENCH201_OPS, repeat=len(EDGES))):
        accuracy = f"{90 * index / (ARCHITECTURES - 1):.4f}"
        lines.append(",".join([str(index), str(NASBench201Genotype(ops)), *[accuracy] * 12, *["1000"] * 6]))
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def printed(*arguments):
    console = Console(record=True, width=300, file=open(os.devnull, "w"))
    main([str(argument) for argument in arguments], console)
    return console.export_text()


def test_standings(table):
    benchmark = NASBench201(table)
    best, worst = (benchmark.standing(genotype, "cifar100") for genotype in (BEST, WORST))
    assert (best.rank, best.regret, best.test_accuracy) == (1, 0, 0.9)
    assert (worst.rank, worst.regret, worst.test_accuracy) == (ARCHITECTURES, 0.9, 0)
    second = NASBench201Genotype((*BEST.ops[:-1], "nor_conv_3x3"))
    assert benchmark.standing(second, "cifar10", 12).rank == 2


def test_a_query_scores_an_architecture(table):
    values = NASBench201(table).query(BEST, "cifar100", 12).values
    assert values == {"valid_accuracy": 0.9, "test_accuracy": 0.9, "parameters": 1000.0, "multiply_adds": 1e9}
    for data, epochs in (("mnist", 200), ("cifar10", 50)):
        with pytest.raises(UserError, match="must be one of"):
            NASBench201(table).query(BEST, data, epochs)
    with pytest.raises(UserError, match="not an architecture of NAS-Bench-201"):
        NASBench201(table).query(genotypes.load("DARTS_V2"), "cifar10")


@pytest.mark.parametrize("kind", ["quoted", "byte order mark"])
def test_every_kind_of_csv_is_read(kind, table, tmp_path):
    path = tmp_path / "table.csv"
    with (
        open(table, newline="") as source,
        open(path, "w", newline="", encoding="utf-8-sig" if "order" in kind else "utf-8") as file,
    ):
        csv.writer(file, quoting=csv.QUOTE_ALL if kind == "quoted" else csv.QUOTE_MINIMAL).writerows(csv.reader(source))
    assert NASBench201(path).standing(BEST, "cifar10").rank == 1


def test_commands(table, tmp_path):
    assert "90.0000" in printed("show", BEST, "--table", table)
    lines = printed("best", "--table", table, "--count", 2).splitlines()
    assert len(lines) == 4 and lines[2].endswith(str(BEST))
    lines = printed("rank", WORST, BEST, "--table", table, "--data", "imagenet16").splitlines()
    assert lines[2].split()[-3:] == [str(ARCHITECTURES), "90.000", str(WORST)] and "imagenet16" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "DARTS_V2"], "not an architecture of NAS-Bench-201"),
        (["best", "--epochs", 100], "--epochs 200 or 12"),
        (["best", "--data", "mnist"], "--data must be one of cifar10"),
    ],
)
def test_mistakes(arguments, message, table):
    with pytest.raises(UserError, match=message):
        printed(*arguments, "--table", table)


def test_other_files_are_no_tables(table, tmp_path):
    path = tmp_path / "other.csv"
    for content, message in (
        ("a,b\n1,2\n", "no column arch_str"),
        ("index,arch_str\n0,|none~0|\n", "1 architectures"),
        (table.read_text().replace("acc,", "accuracy,"), "no column cifar10_test_acc"),
        (table.read_text().replace("90.0000", "none"), "no finite number in column"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=message):
            printed("best", "--table", path)
    with pytest.raises(UserError, match="not a readable CSV file"):
        NASBench201(tmp_path)


def test_the_real_table():
    path = Path(os.environ.get("DATA_ROOT", "-")) / "nasbench201" / "nb201.csv"
    if not path.is_file():
        pytest.skip("needs NAS-Bench-201's table: set DATA_ROOT")
    benchmark = NASBench201(path)
    skips = NASBench201Genotype(("skip_connect",) * 6)
    figures = [round(100 * benchmark.standing(skips, data).test_accuracy, 2) for data in DATA]
    assert figures == [54.3, 15.61, 16.32]
    best = [benchmark.table.descending(f"{data}_test_acc")[0] for data in DATA]
    assert best == pytest.approx([94.373, 73.513, 47.311], abs=1e-3)


def test_recorded_seconds_and_latency_are_shown(table, tmp_path):
    header, *lines = table.read_text().splitlines()
    path = tmp_path / "table.csv"
    columns = "cifar10_train_seconds,cifar10_latency_seconds"
    path.write_text("\n".join([f"{header},{columns}", *(f"{line},1444.219,0.013936" for line in lines)]) + "\n")
    for arguments in (("show", BEST), ("best", "--count", 1)):
        said = printed(*arguments, "--table", path)
        assert "latency ms" in said and "1,444" in said and "13.94" in said
