import os
import pickle
import zipfile

import pytest
import torch

from darts.artifacts.checkpoint import CheckpointError, differing, load, newest_first, path_of, save, write_atomically

STATE = {"kind": "search", "tensors": {"a": torch.arange(6.0).reshape(2, 3)[:, 1:]}, "numbers": [1, 2.5, None, True]}


def test_round_trip(tmp_path):
    save(tmp_path / "x.pt", STATE)
    back = load(tmp_path / "x.pt")
    assert torch.equal(back["tensors"]["a"], STATE["tensors"]["a"]) and back["numbers"] == STATE["numbers"]
    assert os.listdir(tmp_path) == ["x.pt"]


def test_equal_states_give_equal_bytes(tmp_path):
    save(tmp_path / "a.pt", STATE)
    save(tmp_path / "b.pt", load(tmp_path / "a.pt"))
    again = {"".join(["ki", "nd"]): "sear" + "ch"[:2], **{k: v for k, v in STATE.items() if k != "kind"}}
    save(tmp_path / "c.pt", again)
    contents = {(tmp_path / name).read_bytes() for name in ("a.pt", "b.pt", "c.pt")}
    assert len(contents) == 1


def test_a_view_is_saved_without_its_base(tmp_path):
    save(tmp_path / "x.pt", {"view": torch.zeros(1_000_000)[:3]})
    assert (tmp_path / "x.pt").stat().st_size < 10_000


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_torn_files_are_refused(tmp_path, keep):
    path = tmp_path / "x.pt"
    save(path, STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match="x.pt: torn"):
        load(path)


def test_every_damaged_byte_of_the_tensors_is_noticed(tmp_path):
    path = tmp_path / "x.pt"
    save(path, {"a": torch.ones(4)})
    content = path.read_bytes()
    at = content.index(torch.ones(4).numpy().tobytes())
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(CheckpointError, match="checksum"):
        load(path)


def test_foreign_files_are_refused(tmp_path):
    torch.save({"model": 1}, tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    for name in ("other.pt", "list.pt"):
        with pytest.raises(CheckpointError, match="not a checkpoint of this project"):
            load(tmp_path / name)
    save(tmp_path / "later.pt", {"version": 99})
    with pytest.raises(CheckpointError, match="version 99"):
        load(tmp_path / "later.pt")


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"x": Trap()}, tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Trap()))
    for name, message in (("x.pt", "contains pickled objects, refused"), ("y.pt", "torn or no checkpoint")):
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_another_runs_checkpoint_is_told_apart():
    state = {"kind": "search", "identity": {"seed": 1, "epochs": 5}}
    assert differing(state, "search", {"seed": 1, "epochs": 5}) is None
    assert "retrain" in differing(state, "retrain", {})
    assert differing(state, "search", {"seed": 2, "epochs": 5}) == "it was made with seed 1, not 2"
    assert "new" in differing(state, "search", {"seed": 1, "epochs": 5, "new": 3})
    for odd in (None, 3, {"seed": torch.zeros(2, 2), "epochs": 5}):
        reason = differing({"kind": "search", "identity": odd}, "search", {"seed": 1, "epochs": 5})
        assert reason.isprintable() and ("seed" in reason or "does not say" in reason)


def test_newest_first(tmp_path):
    for step in (5, 40, 1000):
        save(path_of(tmp_path, step), {})
    assert [path.name for path in newest_first(tmp_path)] == [
        "step_000001000.pt",
        "step_000000040.pt",
        "step_000000005.pt",
    ]
    assert newest_first(tmp_path / "absent") == []


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("version", [True, 1.0, "1", None, 10**30, [1], torch.ones(())])
def test_an_odd_version_is_refused(version, tmp_path):
    save(tmp_path / "x.pt", {"version": version})
    with pytest.raises(CheckpointError, match="checkpoint version"):
        load(tmp_path / "x.pt")


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_data_are_refused_before_they_are_unpacked(kind, tmp_path, monkeypatch):
    path = tmp_path / "step_000000001.pt"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("step/data.pkl", bytes(2**20))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda archive: pytest.fail("unpacked"))
    with pytest.raises(CheckpointError, match="compressed data, refused"):
        load(path)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """A member that the archive's directory lists many times unpacks to more than the file has."""
    path = tmp_path / "step_000000001.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("step/data.pkl", bytes(2**16))
        archive.filelist.extend(archive.filelist * 50)
    with pytest.raises(CheckpointError, match="refused"):
        load(path)
