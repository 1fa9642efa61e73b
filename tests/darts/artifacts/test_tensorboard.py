"""What TensorBoard finds in a run's folder."""

import json

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from darts.artifacts.gate_heatmaps import colours, gate_image, gates_to_json
from darts.artifacts.log import RunLog, read_log
from darts.artifacts.tensorboard import write_results
from genotypes import load, to_text
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace


def written_run(folder):
    """A run of three epochs whose genotype changes once."""
    folder.mkdir(exist_ok=True)
    config = {"epochs": 3, "weights": {"lr": 0.5}, "genotype": None, "betas": [0.5, 0.9]}
    (folder / "config.json").write_text(json.dumps({"config": config}))
    space = DARTSSpace(ImageShape(3, 32, 10))
    log = RunLog(folder, 0, 0)
    for epoch, name in enumerate(("DARTS_V1", "DARTS_V1", "FairDARTS_g")):
        gates = {t.label: torch.rand(t.rows, 8) for t in space.tables}
        listing = gates_to_json(gates, space.tables, space.titles)
        figures = {"valid_accuracy": 0.5 + 0.1 * epoch, "genotype": to_text(load(name)), "gates": listing}
        log.write("epoch", figures, epoch, 10 * (epoch + 1), 1.0 + epoch)
    log.close()
    (folder / "metrics.json").write_text(json.dumps({"valid_accuracy": 0.7, "genotype": "..."}))
    write_results(folder)


def test_curves_pictures_configuration_and_results(tmp_path):
    written_run(tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), {"images": 0, "tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert {"epoch/valid_accuracy", "epoch/usage/peak_memory_mib", "final/valid_accuracy"} <= set(tags["scalars"])
    assert not any("gates" in tag for tag in tags["scalars"])
    assert [round(event.value, 2) for event in events.Scalars("epoch/valid_accuracy")] == [0.5, 0.6, 0.7]
    assert {tag: len(events.Images(tag)) for tag in tags["images"]} == {
        "gates/normal": 3,
        "gates/reduce": 3,
        "architecture": 2,
    }, "cells are drawn where they are new"
    for tag in tags["images"]:
        image = events.Images(tag)[0]
        assert image.width > 200 and image.height > 200 and image.encoded_image_string.startswith(b"\x89PNG")
    (text,) = [tag for tag in tags["tensors"] if tag.startswith("configuration")]
    assert b'"lr": 0.5' in events.Tensors(text)[0].tensor_proto.string_val[0]
    given = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"weights.lr" in given and b"[0.5, 0.9]" in given


def test_an_epochs_line_has_its_usage(tmp_path, monkeypatch):
    joules = iter((100.0, 130.0, 131.0, 180.0))
    monkeypatch.setattr("darts.artifacts.log.usage", lambda: {"peak_memory_mib": 5.0, "energy_j": next(joules)})
    written_run(tmp_path / "run")
    assert [line["usage"] for line in read_log(tmp_path / "run")] == [
        {"peak_memory_mib": 5.0, "energy_j": spent} for spent in (30.0, 1.0, 49.0)
    ]


def test_gates_of_a_moment():
    rows = {"0 \u2192 1": [0.0, 1.0], "c\u2096\u208b\u2081 \u2192 1": [0.5, 0.25]}
    picture = gate_image(["sep_conv_3x3", "none"], rows)
    assert picture.dtype == np.uint8 and picture.shape == (110 + 2 * 26, 90 + 2 * 26, 3)
    cells = picture[110 + 13 :: 26, 90 + 13 :: 26]
    assert np.array_equal(cells, colours(np.array(list(rows.values()))))
    assert (picture[:110, 90:116] != 255).any(), "a candidate's name above its column"
    assert (picture[110:136, :90] != 255).any(), "an edge's name before its row"


def test_gates_in_the_log():
    space = DARTSSpace(ImageShape(3, 32, 10), nodes=1)
    gates = {"normal": torch.full((2, 8), 0.125), "reduce": torch.tensor([0.25, 0.75])}
    found = gates_to_json(gates, space.tables, space.titles)
    assert list(found["normal"]["rows"]) == space.titles["normal"]
    assert found["normal"]["candidates"] == list(space.candidates)
    assert list(found["reduce"]["rows"].values()) == [[0.25], [0.75]]
