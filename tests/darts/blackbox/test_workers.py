"""Several workers on one study, killed at random: the exact number of trials, none lost, none done twice."""

import gc
import os
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest
import sqlalchemy

from darts.blackbox.locks import Claims, FileLocks, holding
from darts.blackbox.records import epochs_of, is_paused, is_unfinished
from darts.blackbox.samplers import StrategySampler
from darts.blackbox.storage import SERVERS, open_storage, sqlite
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


def place_of(kind, program, *folders):
    """The folder of a server's program; skips where it, or a driver, is not installed."""
    places = [*folders, *map(Path, os.environ.get("PATH", "").split(":")), Path("/usr/sbin")]
    place = next((each for each in places if (each / program).exists()), None)
    if place is None or not any(map(find_spec, SERVERS[kind].drivers)):
        pytest.skip(f"{SERVERS[kind].title} or a driver for it is not installed")
    return place


def folder_of_server():
    """A new folder, and how programs are run in it: quietly, and not by root."""
    folder = Path(tempfile.mkdtemp(prefix="db"))
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "nobody")
    return folder, {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}


@pytest.fixture(scope="module")
def postgresql():
    """A PostgreSQL server of its own, on a socket in a new folder; Debian's package postgresql."""
    place = place_of("postgresql", "initdb", *Path("/usr/lib/postgresql").glob("*/bin"))
    folder, quiet = folder_of_server()
    data, quiet = folder / "data", {"check": True, **quiet}
    subprocess.run([place / "initdb", "-D", data, "-U", "u", "-A", "trust", "--no-sync"], **quiet)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    subprocess.run([place / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"], **quiet)
    yield f"postgresql://u:secret@/postgres?host={folder}"
    subprocess.run([place / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mysql():
    """A MariaDB server of its own, on a socket in a new folder; Debian's package mariadb-server."""
    place = place_of("mysql", "mariadbd")
    folder, quiet = folder_of_server()
    options = ["--no-defaults", f"--datadir={folder / 'data'}"]
    subprocess.run(["mariadb-install-db", *options, "--auth-root-authentication-method=normal"], check=True, **quiet)
    socket, first = folder / "socket", folder / "first.sql"
    first.write_text("CREATE USER u@localhost IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO u@localhost;\n")
    quick = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0", f"--init-file={first}"]
    server = subprocess.Popen([place / "mariadbd", *options, *quick, f"--socket={socket}"], **quiet)
    address = f"mysql://u:secret@localhost/information_schema?unix_socket={socket}"
    url = sqlalchemy.make_url(address).set(drivername="mysql+pymysql")
    for _ in range(300):
        try:
            sqlalchemy.create_engine(url).connect().close()
            break
        except sqlalchemy.exc.OperationalError:
            time.sleep(0.1)
    yield address
    gc.collect()  # connections are closed before their server
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_workers_on_a_server_that_are_killed(tmp_path, request, kind, workers):
    name, url = f"n{workers}", sqlalchemy.make_url(request.getfixturevalue(kind))
    driver = next(filter(find_spec, SERVERS[kind].drivers))
    engine = sqlalchemy.create_engine(url.set(drivername=f"{kind}+{driver}"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    address = url.set(database=name).render_as_string(hide_password=False)
    assert run_and_kill(address, tmp_path, workers=workers, trials=TRIALS, kills=4) >= 2
    check(address, tmp_path)


def test_messages_hold_no_password(postgresql):
    assert "secret" not in open_storage(postgresql).name


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
        ("study.db", "`study.storage` is 'study.db'; it must be sqlite:///FILE, journal:FILE, "),
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
    with pytest.raises(UserError, match="no driver for MySQL is installed: pip install pymysql"):
        open_storage("mysql://u:secret@h/d")


@pytest.mark.parametrize("kind", ["sqlite:///", "journal:"])
def test_a_file_that_is_no_storage_is_one_line(tmp_path, kind):
    path = tmp_path / "notes.txt"
    path.write_text("nothing of that kind\n" * 100)
    with pytest.raises(UserError, match=r"notes.txt: no"):
        open_storage(f"{kind}{path}")
    assert path.read_text() == "nothing of that kind\n" * 100
