"""Several workers on one study, killed at random: the exact number of trials, none lost, none done twice."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest
import sqlalchemy

from darts.blackbox.locks import Claims, FileLocks, holding
from darts.blackbox.records import epochs_of, is_paused, is_unfinished
from darts.blackbox.samplers import StrategySampler
from darts.blackbox.storage import DRIVERS, open_storage, sqlite
from darts.blackbox.strategies import RandomSearch
from darts.blackbox.study import open_study
from darts.errors import UserError
from tests.darts.blackbox.workers import Numbers, run_and_kill, work

TRIALS = 12


def check(address, folder):
    """Every trial was trained to its rung, epoch by epoch, and those that ASHA promotes were promoted."""
    study = open_study(open_storage(address), "s", StrategySampler(RandomSearch(), Numbers(), 0), {})
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(TRIALS)) and not any(map(is_unfinished, trials))
    for trial in trials:
        reached = epochs_of(trial)[-1]
        assert is_paused(trial) or (reached == 9 and trial.value is not None)
        assert {path.name for path in (folder / "trials" / str(trial.number)).glob("epoch*")} == {
            f"epoch{epoch}" for epoch in range(1, reached + 1)
        }
    at = {rung: sum(rung in trial.intermediate_values for trial in trials) for rung in (1, 3, 9)}
    assert at[1] == TRIALS and at[3] >= TRIALS // 3 and at[9] >= at[3] // 3


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_workers_that_are_killed(tmp_path, workers, kind):
    address = sqlite(tmp_path / "study.db") if kind == "sqlite" else f"journal:{tmp_path / 'study.journal'}"
    assert run_and_kill(address, tmp_path, workers=workers, trials=TRIALS, kills=4) >= 2
    check(address, tmp_path)


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server of its own, on a socket in a new folder; Debian's package postgresql."""
    programs = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.environ.get("PATH", "").split(":"))]
    place = next((each for each in programs if (each / "initdb").exists()), None)
    if place is None or not any(map(find_spec, DRIVERS)):
        pytest.skip("PostgreSQL or a driver for it is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "nobody")
    data = folder / "data"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run([place / "initdb", "-D", data, "-U", "u", "-A", "trust", "--no-sync"], **quiet)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    subprocess.run([place / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"], **quiet)
    yield f"postgresql://u:secret@/postgres?host={folder}"
    subprocess.run([place / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_on_a_server_that_are_killed(tmp_path, server, workers):
    name = f"n{workers}"
    engine = sqlalchemy.create_engine(open_storage(server).records.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    address = server.replace("/postgres?", f"/{name}?")
    assert run_and_kill(address, tmp_path, workers=workers, trials=TRIALS, kills=4) >= 2
    check(address, tmp_path)


def test_messages_hold_no_password(server):
    assert "secret" not in open_storage(server).name


def test_a_worker_waits_for_others_and_takes_over_from_the_dead(tmp_path):
    """A trial that is claimed is left alone; as soon as its claim is gone, it is continued."""
    address = sqlite(tmp_path / "study.db")
    work(address, tmp_path, 2, 0.0)
    claims = Claims(FileLocks(tmp_path / "study.db.locks"), 1)
    assert claims.claim(0)
    with get_context("fork").Pool(1) as other:
        assert not other.apply(claims.claim, (0,)) and other.apply(claims.claim, (1,)) and not claims.claim(1)
        claims.release(0)
        assert other.apply(claims.claim, (0,)) and not claims.claim(0)
    other.join()
    assert claims.claim(0) and claims.claim(1)


def test_a_lock_that_is_given_back_leaves_no_file(tmp_path):
    locks = FileLocks(tmp_path / "locks")
    with holding(locks, (1, 0)):
        assert len(list(locks.folder.iterdir())) == 1
    assert not list(locks.folder.iterdir())


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("study.db", "`study.storage` is 'study.db'; it must be sqlite:///FILE, postgresql://"),
        ("mongodb://host/x", "`study.storage` is 'mongodb://host/x'; it must be"),
        ("postgresql+nothing://u:secret@h/d", r"`study.storage` postgresql\+nothing://u:\*\*\*@h/d: "),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address, reason):
    with pytest.raises(UserError, match=reason):
        open_storage(address)


def test_a_missing_driver_is_one_line(monkeypatch):
    monkeypatch.setattr("darts.blackbox.storage.find_spec", lambda name: None)
    with pytest.raises(UserError, match="no driver for PostgreSQL is installed: pip install psycopg"):
        open_storage("postgresql://u:secret@h/d")


@pytest.mark.parametrize("kind", ["sqlite:///", "journal:"])
def test_a_file_that_is_no_storage_is_one_line(tmp_path, kind):
    path = tmp_path / "notes.txt"
    path.write_text("nothing of that kind\n" * 100)
    with pytest.raises(UserError, match=r"notes.txt: no"):
        open_storage(f"{kind}{path}")
    assert path.read_text() == "nothing of that kind\n" * 100
