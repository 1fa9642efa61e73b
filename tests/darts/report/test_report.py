"""Reports of runs that are made up of a log's lines, in a real browser where one is installed."""

import contextlib
import itertools
import json
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from rich.console import Console

from darts.artifacts.gate_heatmaps import gates_to_json
from darts.artifacts.run_record import read_record, retrainings_of, search_of
from darts.errors import UserError
from darts.report.__main__ import main
from darts.report.charts import chart, heat_maps
from darts.report.compare import comparison_page, comparison_tables, groups
from darts.report.figures import duration, formatted, mean_and_spread, ordered
from darts.report.page import run_page, write_report
from genotypes import load, to_json, to_text, write
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from tests import browser

NAME = '<b onload="alert(1)">&'
"""A data set's name that would be markup, were it not escaped."""


def made(runs, name, kind="search", cell="DARTS_V2", seed=0, epochs=3, finished=True, own_name=None, **config):
    """A run's folder as the scripts leave it."""
    folder = runs / name
    folder.mkdir(parents=True)
    genotype = load(cell).named(own_name or name)
    config = {"recipe": "made_up", "seed": seed, "epochs": epochs, "batch_size": 10, "data": {"name": NAME}, **config}
    content = {"kind": kind, "command": ["python", f"train_{kind}.py", "--seed", str(seed)], "config": config}
    content["machine"] = {"device": "a card", "torch": "9.9"}
    (folder / "config.json").write_text(json.dumps(content))
    space = DARTSSpace(ImageShape(3, 32, 10))
    generator, lines = torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        for step in (1, 2):
            at = {"epoch": epoch, "step": 2 * epoch + step, "seconds": 10.0 * epoch + 2 * step}
            lines.append({"event": "step", "train_loss": 1.0, **at})
        split = "valid" if kind == "search" else "test"
        figures = {"train_loss": 2 / (epoch + 1), f"{split}_loss": 1.0, f"{split}_accuracy": 0.5 + 0.1 * (epoch + seed)}
        if kind == "search":
            gates = {t.label: torch.rand(t.rows, 8, generator=generator) for t in space.tables}
            figures |= {"gate_entropy_normal": 0.9, "gate_entropy_reduce": 0.8, "skips_normal": epoch}
            figures |= {"genotype": to_text(genotype), "gates": gates_to_json(gates, space.tables, space.titles)}
        usage = {"peak_memory_mib": 100.0 + epoch, "energy_j": 1000.0}
        at = {"epoch": epoch, "step": 2 * epoch + 2, "seconds": 10.0 * (epoch + 1)}
        lines.append({"event": "epoch", **figures, "usage": usage, **at})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        (folder / "genotype.json").write_text(to_json(genotype))
        parameters = {} if kind == "search" else {"parameters": 3_000_000 + seed}
        (folder / "metrics.json").write_text(json.dumps({f"{split}_accuracy": 0.5 + 0.1 * seed, **parameters}))
    return folder


def test_a_run_is_read_back(tmp_path):
    run = read_record(made(tmp_path, "a", seed=1))
    assert run.finished and run.kind == "search" and run.genotype == load("DARTS_V2")
    assert run.seconds == 30 and run.figures["peak_memory_mib"] == 102 and run.figures["energy_j"] == 3000
    assert run.figures["valid_accuracy"] == 0.6, "the final figures, not the last epoch's"
    assert run.images_per_second == pytest.approx(1 / 2 * 10 * 2), "two batches of 10 in 2 seconds"
    part = read_record(made(tmp_path, "part", "retrain", finished=False))
    assert not part.finished and part.figures["test_accuracy"] == 0.7 and part.images_per_second == pytest.approx(5)


def test_without_lines_of_steps_whole_epochs_are_timed(tmp_path):
    folder = made(tmp_path, "a")
    lines = [line for line in (folder / "log.jsonl").read_text().splitlines() if '"epoch", ' in line]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"torn', "[1]"]))
    assert read_record(folder).images_per_second == pytest.approx(2 / 10 * 10 * 2)


@pytest.mark.parametrize("content", [None, "", "[]", '{"kind": "search"}', '{"kind": "lunch", "config": {}}'])
def test_what_is_no_run_is_one_clear_line(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="no config.json of a run"):
        read_record(tmp_path)


def test_a_run_that_has_just_begun_has_a_report(tmp_path):
    folder = made(tmp_path, "a", epochs=0, finished=False)
    assert "not finished: 0 of 0 epochs" in run_page(read_record(folder))
    (folder / "log.jsonl").unlink()
    assert "No epoch yet" in run_page(read_record(folder))


def test_a_search_and_its_retrainings_show_each_other(tmp_path):
    search = made(tmp_path, "s")
    for seed in (0, 1):
        made(tmp_path, f"f{seed}", "retrain", seed=seed, own_name="s")
    made(tmp_path, "other", "retrain", "DARTS_V1", own_name="s")
    assert [run.name for run in retrainings_of(read_record(search))] == ["f0", "f1"]
    assert search_of(read_record(tmp_path / "f1")).folder == search
    assert search_of(read_record(tmp_path / "other")) is None, "another architecture under the search's name"
    write_report(tmp_path / "f1")
    own, searched = ((tmp_path / name / "report.html").read_text() for name in ("f1", "s"))
    assert "The search that found it" in own and "Entropy of the gates" in own and 'class="map"' in own
    assert "Retraining: f0" in searched and 'href="../f1/report.html"' in searched
    for text in (own, searched):
        assert text.index("python train_search.py") < text.index("python train_retrain.py")


def test_a_page_asks_for_nothing_and_runs_nothing(tmp_path):
    first, second = (made(tmp_path, name, seed=seed) for seed, name in enumerate("ab"))
    for text in (run_page(read_record(first)), comparison_page([read_record(first), read_record(second)])):
        assert NAME not in text and "<script" not in text and "onload=" not in re.sub("&lt;.*?&gt;", "", text)
        links = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^"\s>]*)', text)
        assert links and all(link.startswith(("data:", "../", "#")) for link in links)
        assert "default-src 'none'" in text


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("cell", ["DARTS_V2", "NASNet_A", "FairDARTS_g"])
def test_in_a_browser(tmp_path, cell, width):
    search = made(tmp_path, "s", cell=cell)
    made(tmp_path, "f", "retrain", cell, own_name="s")
    write_report(search)
    dark = width == 390
    found, console = browser.look(search / "report.html", tmp_path, width, dark)
    assert not console
    assert found["width"] <= found["shown"] <= width, "nothing sticks out sideways"
    assert found["ground"] == ("rgb(20, 25, 31)" if dark else "rgb(255, 255, 255)")
    assert len(found["pictures"]) == 1 + 4 + 2 + 1 + 28, "cells, curves of search and retraining, scale, heat maps"
    for picture in found["pictures"]:
        left, top, right, bottom = picture["box"]
        assert picture["loaded"] and right - left > 50 and bottom - top > 10
        assert left >= 0 and right <= found["shown"]
        for text, place in picture["texts"]:
            assert inside(place, picture["box"]), text
        for (a, first), (b, second) in itertools.combinations(picture["texts"], 2):
            assert apart(first, second), (a, b)
        assert all(inside(text, label) for label, text in picture["labels"])
    assert "node 0" in found["text"] if width == 390 else "node 0" not in found["text"]


def inside(inner, outer, slack=1):
    return all(a >= b - slack for a, b in zip(inner[:2], outer[:2])) and all(
        a <= b + slack for a, b in zip(inner[2:], outer[2:])
    )


def apart(a, b):
    return a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium")
def test_an_architecture_of_nasbench201_in_a_browser(tmp_path):
    folder = made(tmp_path, "s")
    string = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    (folder / "genotype.json").write_text(write(load(string)))
    found, console = browser.look(write_report(folder), tmp_path, 390, dark=True)
    assert not console and string in found["text"] and found["width"] <= found["shown"]
    left, top, right, bottom = found["pictures"][0]["box"]
    assert found["pictures"][0]["loaded"] and right - left > 300 and bottom - top > 80


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium")
def test_a_comparison_in_a_browser_and_a_console_that_is_not_silent(tmp_path):
    records = [read_record(made(tmp_path, f"a_rather_long_name_of_run_{seed}", seed=seed)) for seed in range(5)]
    page = tmp_path / "comparison.html"
    page.write_text(comparison_page(records))
    found, console = browser.look(page, tmp_path, 390)
    assert not console and found["width"] <= found["shown"] and "mean ± standard deviation of 5" in found["text"]
    page.write_text(page.read_text().replace("<h1>", '<img src="http://127.0.0.1:9/x.png"><h1>'))
    assert browser.look(page, tmp_path, 390)[1], "the page's own policy forbids it, and the console says so"


def test_runs_of_several_seeds_are_averaged(tmp_path):
    records = [read_record(made(tmp_path, f"s{seed}", seed=seed)) for seed in (0, 1, 2)]
    records.append(read_record(made(tmp_path, "other", seed=0, method={"step": "unrolled"})))
    records += [read_record(made(tmp_path, f"f{seed}", "retrain", own_name=f"s{seed}")) for seed in (0, 1)]
    finals = {f"v{seed}": dict(cell="DARTS_V1", seed=seed, own_name="DARTS_V1") for seed in (0, 1)}
    records += [read_record(made(tmp_path, name, "retrain", **given)) for name, given in finals.items()]
    found = {name: [run.name for run in runs] for name, runs in groups(records).items()}
    assert list(found.values()) == [["s0", "s1", "s2"], ["other"], ["f0", "f1"], ["v0", "v1"]]
    assert "search made_up, method.step" in " ".join(found) and "architecture of search made_up" in " ".join(found)
    console = Console(width=110, record=True, file=open("/dev/null", "w"))
    for shown in comparison_tables(records):
        console.print(shown)
    text = console.export_text()
    assert "60.00 ± 10.00 %" in text and "mean ± sd, n = 3" in text
    page = comparison_page(records)
    assert "60.00 ± 10.00 %" in page and "unrolled" in page and "Different settings" in page


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("test_accuracy", 0.97361, "97.36 %"),
        ("parameters", 3349342, "3.349 M"),
        ("peak_memory_mib", 901.4, "901 MiB"),
        ("peak_memory_mib", 20480, "20.0 GiB"),
        ("energy_j", 900, "900 J"),
        ("energy_j", 3.6e6, "1.000 kWh"),
        ("seconds", 93784, "1 d 2 h"),
        ("skips_normal", 3, "3"),
        ("valid_loss", 0.123456, "0.1235"),
    ],
)
def test_figures_are_written_with_their_units(key, value, text):
    assert formatted(key, value) == text


def test_means_durations_and_order():
    assert mean_and_spread("test_accuracy", [0.9]) == "90.00 %"
    assert mean_and_spread("test_accuracy", [0.9, 0.92]) == "91.00 ± 1.41 %"
    assert mean_and_spread("valid_loss", [1.0, 2.0]) == "1.5 ± 0.71"
    assert [duration(s) for s in (0.44, 59.6, 61, 3600)] == ["0.4 s", "1 min 0 s", "1 min 1 s", "1 h 0 min"]
    assert ordered({"seconds", "zeta", "test_accuracy", "alpha"}) == ["test_accuracy", "alpha", "zeta", "seconds"]


def test_a_chart_holds_its_curves(tmp_path):
    curves = {"a & b": [(1, 0.5), (2, float("nan")), (3, 0.75)], "flat": [(1, 0.6)] * 2, "none": []}
    found = chart("T", curves, percent=True)
    root = ElementTree.fromstring(found[found.index("<svg") : found.index("</svg>") + 6])
    places = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("circle")]
    assert len(places) == 4 and all(0 <= x <= 360 and 0 <= y <= 200 for x, y in places)
    assert places[0][1] > places[1][1], "higher values stand higher"
    assert "75.00 %" in found and "a &amp; b" in found and "none" not in found
    assert chart("T", {"a": []}) == ""


def test_costs_stand_beside_the_accuracy(tmp_path):
    """Of a cost, the expected one and that of the derived network share a chart."""
    folder = made(tmp_path, "search")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    costs = [line | {"expected_latency": 4.0, "derived_latency": 5.0 - line["epoch"]} for line in lines]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in costs))
    page = run_page(read_record(folder))
    assert page.count('aria-label="Cost: latency"') == 1 and 'aria-label="Accuracy"' in page
    assert "expected latency" in page and "derived latency" in page


def test_heat_maps_follow_candidates_that_leave_and_edges_that_are_weighed():
    first = {"gates": {"normal": {"candidates": ["x", "y"], "rows": {"0 to 1": [0.25, 0.75]}}}}
    later = {"gates": {"normal": {"candidates": ["y"], "rows": {"0 to 1": [1.0]}}}}
    (found,) = heat_maps([first, later]).values()
    assert found.count("<figure") == 1 and "1.000" in found and "x<br>" not in found
    weights = {"gates": {"edges": {"candidates": ["x", "y"], "rows": {"0 to 1": [0.5], "0 to 2": [0.5]}}}}
    assert heat_maps([weights, weights])["edges"].count("weight") == 2


def report(*arguments):
    """Run the command and return what it printed."""
    console = Console(width=110, record=True, file=open("/dev/null", "w"))
    main([str(argument) for argument in arguments], console)
    return console.export_text()


def test_a_comparison_of_everything_works_twice(tmp_path):
    for seed in (0, 1):
        made(tmp_path, f"s{seed}", seed=seed)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"kind": "lunch"}')
    for _ in range(2):
        out = report(*sorted(tmp_path.iterdir()))
        assert "s0" in out and "mean ± sd, n = 2" in out and (tmp_path / "comparison.html").exists()
    out = report(tmp_path / "notes.txt", tmp_path / "s0")
    assert "report.html" in out, "of one run there is a report, not a comparison"
    with pytest.raises(UserError, match="none of these is the folder of a run"):
        report(tmp_path / "notes.txt", tmp_path / "empty")
    with pytest.raises(UserError, match="no config.json of a run"):
        report(tmp_path / "empty")


@pytest.mark.parametrize("count", [1, 2])
def test_where_a_report_cannot_be_written_an_option_that_exists_is_advised(tmp_path, monkeypatch, count):
    runs = [made(tmp_path, f"s{seed}", seed=seed) for seed in range(count)]

    def fails(path, content):
        raise OSError(30, "Read-only file system", str(path))

    for module in ("darts.report.__main__", "darts.report.page"):
        monkeypatch.setattr(f"{module}.write_atomically", fails)
    with pytest.raises(UserError, match=r"Read-only file system\); give --output a file elsewhere"):
        report(*runs)


WEIRD = [
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "/",
    "[",
    [],
    {},
    [1],
    {"a": {"b": []}},
]


def places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def test_no_content_of_a_run_ends_a_report_in_a_traceback(tmp_path):
    runs = [made(tmp_path, "s", epochs=1), made(tmp_path, "f", "retrain", own_name="s", epochs=1)]
    files = [path for run in runs for path in run.iterdir() if path.is_file()]
    rng = random.Random(0)
    for _ in range(60):
        path = rng.choice(files)
        whole = path.read_text()
        lines = whole.splitlines() if path.suffix == ".jsonl" else [whole]
        number = rng.randrange(len(lines))
        content = json.loads(lines[number])
        *inner, last = rng.choice([place for place in places(content) if place])
        target = content
        for key in inner:
            target = target[key]
        target[last] = rng.choice(WEIRD)
        lines[number] = json.dumps(content)
        path.write_text("\n".join(lines))
        records = []
        for run in runs:
            with contextlib.suppress(UserError):
                records.append(read_record(run))
                run_page(records[-1]).encode(errors="replace")
        comparison_tables(records), comparison_page(records)
        path.write_text(whole)


@pytest.mark.parametrize(
    "line", ["{}", "[]", "1", "null", '"x"', '{"event": "epoch"}', '{"event": 1, "epoch": [], "step": {}}']
)
def test_foreign_lines_of_a_log_are_left_out(tmp_path, line):
    folder = made(tmp_path, "s")
    whole = read_record(folder)
    with open(folder / "log.jsonl", "a") as file:
        file.write(line + "\n")
    assert read_record(folder).epochs == whole.epochs and read_record(folder).steps == whole.steps
