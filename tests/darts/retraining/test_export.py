"""Each format is written, read back and run; what does not compute the same is refused."""

import importlib.util
import json
import os
import sys

import pytest
import torch
from rich.console import Console

from darts.artifacts.checkpoint import save
from darts.artifacts.run_record import read_record
from darts.errors import UserError
from darts.retraining import export
from darts.retraining.exchange import compared
from genotypes import load, to_json
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

SHAPE = ImageShape(3, 12, 5)
MEAN, STD = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]
ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript"))


@pytest.fixture
def trained(tmp_path):
    """A finished retraining of a cell with an empty node, with an auxiliary head, and its network."""
    torch.manual_seed(0)
    genotype = load("FairDARTS_g")
    network = DARTSSpace(SHAPE, 4, 3).network(genotype, auxiliary=True)
    network(torch.randn(8, 3, 12, 12))  # moves BatchNorm's statistics
    config = {"space": {"name": None, "channels": 4, "layers": 3, "stem": "auto"}, "auxiliary": 0.4}
    (tmp_path / "config.json").write_text(json.dumps({"kind": "retrain", "config": config}))
    (tmp_path / "genotype.json").write_text(to_json(genotype))
    state = {"kind": "weights", "network": network.state_dict(), "shape": (3, 12, 5), "mean": MEAN, "std": STD}
    state |= {"classes": ["a", "b", "c", "d", "[e]"], "preprocessing": {"resize_shorter_side": 12, "centre_crop": 12}}
    save(tmp_path / "weights.pt", state)
    return tmp_path, network.eval()


def run(capsys, *arguments):
    export.main([str(argument) for argument in arguments], Console(width=200))
    return capsys.readouterr().out


def test_state_dict(trained, capsys):
    folder, network = trained
    out = run(capsys, folder, "--format", "state_dict")
    assert "the same scores" in out
    description = json.loads((folder / "state_dict.pt.json").read_text())
    assert description["classes"][4] == "[e]" and description["std"] == STD and description["shape"]["size"] == 12
    fresh = DARTSSpace(SHAPE, 4, 3).network(load("FairDARTS_g"))
    fresh.load_state_dict(torch.load(folder / "state_dict.pt", weights_only=True))
    images = torch.randn(2, 3, 12, 12)
    assert torch.equal(fresh.eval()(images), network(images))


def test_what_a_killed_export_has_left_is_cleared(trained, capsys):
    folder, _ = trained
    gone, alive = folder / f".{2**22 + 7}-state_dict.pt", folder / f".{os.getppid()}-state_dict.pt"
    for path in (gone, alive, folder / ".x-state_dict.pt", folder / ".1-other.pt"):
        path.touch()
    run(capsys, folder, "--format", "state_dict")
    assert not gone.exists() and alive.exists() and len(list(folder.glob(".*"))) == 3


def test_a_program_takes_raw_images_any_number_at_once(trained, capsys):
    folder, network = trained
    path = folder / "elsewhere" / "cell.pt2"
    out = run(capsys, folder, "--format", "torch.export", "--output", path)
    assert "images: (b, 3, 12, 12), float32" in out and "scores: (b, 5)" in out
    assert "classes: a, b, c, d, [e]" in out
    files = {"classes.json": "", "preprocessing.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    assert json.loads(files["classes.json"])[4] == "[e]"
    assert json.loads(files["preprocessing.json"])["centre_crop"] == 12
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for count in (1, 5):
        images = 255 * torch.rand(count, 3, 12, 12)
        torch.testing.assert_close(program(images), network((images - mean) / std))
    assert [file.name for file in path.parent.iterdir()] == ["cell.pt2"]


@pytest.mark.skipif(not ONNX, reason="no onnx, onnxscript")
def test_onnx(trained, capsys):
    folder, _ = trained
    out = run(capsys, folder, "--format", "onnx")
    import onnx

    model = onnx.load(folder / "model.onnx")
    graph = model.graph
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["classes"])[4] == "[e]"
    assert [given.name for given in graph.input] == ["images"] and [made.name for made in graph.output] == ["scores"]
    runs = importlib.util.find_spec("onnxruntime") is not None
    assert ("read back and run" in out) == runs and ("for want of onnxruntime" in out) != runs


def test_onnx_without_its_packages_is_one_line(trained, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name))
    with pytest.raises(
        UserError, match=r"^export to ONNX: onnx, onnxscript not installed; python -m pip install onnx "
    ):
        run(capsys, trained[0], "--format", "onnx")
    assert not list(trained[0].glob("*onnx*"))


def test_what_computes_something_else_is_not_kept(trained, capsys, monkeypatch):
    folder, _ = trained
    (folder / "state_dict.pt").write_text("mine")
    read = torch.load

    def bent(path, **options):
        state = read(path, **options)
        return {name: tensor + 0.1 for name, tensor in state.items()} if "state_dict" in str(path) else state

    monkeypatch.setattr(torch, "load", bent)
    with pytest.raises(UserError, match="does not compute what the network does"):
        run(capsys, folder, "--format", "state_dict")
    assert (folder / "state_dict.pt").read_text() == "mine" and not list(folder.glob(".*"))


def test_nan_is_not_what_a_network_computes():
    with pytest.raises(UserError, match="outputs differ by nan"):
        compared(lambda x: x * float("nan"), torch.nn.Identity(), [torch.ones(2)])


def test_runs_without_a_trained_network(trained):
    folder, _ = trained
    state = torch.load(folder / "weights.pt", weights_only=True)
    save(folder / "weights.pt", {"kind": "weights", "network": state["network"]})
    with pytest.raises(UserError, match="does not say what images"):
        export.rebuilt(read_record(folder))
    (folder / "weights.pt").unlink()
    with pytest.raises(UserError, match=r"not finished, weights.pt is missing"):
        export.rebuilt(read_record(folder))
    (folder / "config.json").write_text(json.dumps({"kind": "search", "config": {}}))
    with pytest.raises(UserError, match="python train_final.py --genotype"):
        export.rebuilt(read_record(folder))


def test_a_model_of_fit_is_exported_in_python(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(UserError, match="a model of darts.fit, not a run; use it in Python: darts.load"):
        export.main([str(tmp_path), "--format", "onnx"], Console(quiet=True))


def test_a_device_or_a_pipe_stays_what_it_is(trained, capsys):
    pipe = trained[0] / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="--output .*/pipe: it is a device or a pipe; give a file"):
        run(capsys, trained[0], "--format", "state_dict", "--output", pipe)
    assert pipe.is_fifo() and not (trained[0] / "pipe.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/null is a file there")
def test_a_place_that_cannot_be_written_to(trained, capsys):
    with pytest.raises(UserError, match="--output /dev/null/x"):
        run(capsys, trained[0], "--format", "state_dict", "--output", "/dev/null/x")


def edit(path, *keys, value):
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("config", "space", "channels"), 8, "describe another network than that of weights.pt"),
        (("config", "space", "layers"), 5, "describe another network than that of weights.pt"),
        (("config", "space", "channels"), "x", "config.json: config.space.channels is 'x'; it must be"),
        (("config", "space", "layers"), -1, "config.json: config.space: `layers` is -1; it must be more than 0"),
        (("config", "space"), 3, "config.json: config.space is '3'; it must be an object"),
    ],
)
def test_an_edited_configuration_is_refused(keys, value, message, trained):
    folder, _ = trained
    edit(folder / "config.json", *keys, value=value)
    with pytest.raises(UserError, match=message) as error:
        export.rebuilt(read_record(folder))
    assert "\n" not in str(error.value)


def test_another_genotype_is_refused(trained):
    folder, _ = trained
    (folder / "genotype.json").write_text(to_json(load("DARTS_V2")))
    with pytest.raises(UserError, match=r"genotype.json and config.json describe another network .* restore it"):
        export.rebuilt(read_record(folder))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": [3, 12]},
        {"shape": [3, 12.0, 5]},
        {"shape": [10**30, 12, 5]},
        {"mean": [1.0]},
        {"std": [1.0, 0.0, 1.0]},
        {"std": [1.0, float("nan"), 1.0]},
        {"network": 3},
        {"network": {"x": 1}},
        {"network": {}},
        {"classes": ["a"]},
        {"classes": 3},
        {"preprocessing": {"x": torch.zeros(1)}},
    ],
)
def test_edited_weights_are_refused(wrong, trained):
    folder, _ = trained
    state = torch.load(folder / "weights.pt", weights_only=True)
    save(folder / "weights.pt", {**state, **wrong})
    with pytest.raises(UserError, match="weights.pt") as error:
        export.rebuilt(read_record(folder))
    assert "\n" not in str(error.value)


def test_without_docstrings(trained, monkeypatch):
    """``python -OO`` leaves them out."""
    monkeypatch.setattr(export, "__doc__", None)
    with pytest.raises(UserError, match="no config.json of a run"):
        export.main([str(trained[0] / "absent"), "--format", "onnx"], Console(quiet=True))
