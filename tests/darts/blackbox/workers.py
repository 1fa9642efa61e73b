"""Workers of one study, each a process of its own that may be killed at any moment."""

import multiprocessing
import os
import random
import time

import optuna

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluation import Plan
from darts.blackbox.locks import Claims
from darts.blackbox.points import Decision, Decisions
from darts.blackbox.samplers import StrategySampler
from darts.blackbox.schedulers import ASHA
from darts.blackbox.storage import open_storage
from darts.blackbox.strategies import RandomSearch
from darts.blackbox.study import open_study, search
from darts.config.blackbox import BudgetConfig
from genotypes import load

FORK = multiprocessing.get_context("fork")
GENOTYPE = load("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")


class Numbers(Decisions):
    """A space of 1,000 points."""

    def following(self, made):
        return next((Decision(name, tuple("0123456789")) for name in "abc" if name not in made), None)

    def genotype(self, point):
        return GENOTYPE

    def encoding(self, point, paths):
        return [float(point[name]) for name in "abc"]


def work(address, folder, trials, seconds):
    """Work on a study to its end; the evaluation of an epoch takes ``seconds``, and leaves a file that says who did it.

    Like a training, an evaluation continues where the trial's last one has ended.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def evaluate(genotype, budget, trial):
        trial.folder.mkdir(parents=True, exist_ok=True)
        busy = trial.folder / f"busy-{os.getpid()}"
        busy.touch()
        others = [int(path.name.partition("-")[2]) for path in trial.folder.glob("busy-*")]
        assert not [pid for pid in others if pid != os.getpid() and _alive(pid)], "two workers have one trial"
        for epoch in range(1, budget.epochs + 1):
            done = trial.folder / f"epoch{epoch}"
            if not done.exists():
                time.sleep(seconds)
                done.write_text(str(os.getpid()))
        busy.unlink()
        return Score({"valid_accuracy": int(trial.folder.name) * 7 % 11 / 11}, seconds=float(budget.epochs))

    storage = open_storage(address)
    study = open_study(storage, "s", StrategySampler(RandomSearch(), Numbers(), 0), {})
    plan = Plan(BudgetConfig(trials=trials, epochs=9), ASHA().start(9))
    search(study, Numbers(), evaluate, plan, folder, Claims(storage.locks, study._study_id))


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def run_and_kill(address, folder, *, workers, trials, kills, seconds=0.005):
    """Let workers finish a study while some of them, at work or not, are killed and replaced; return the kills."""
    rng = random.Random(workers)
    arguments = address, folder, trials, seconds
    processes = [_start(arguments) for _ in range(workers)]
    killed, due = 0, 2
    while killed < kills and any(process.is_alive() for process in processes):
        if len(list(folder.glob("trials/*/epoch*"))) < due:
            time.sleep(0.002)
            continue
        at_work = [int(path.name.partition("-")[2]) for path in folder.glob("trials/*/busy-*")]
        victims = [process for process in processes if process.pid in at_work and killed % 2] or processes
        victim = rng.choice(victims)
        victim.kill()
        victim.join()
        processes[processes.index(victim)] = _start(arguments)
        killed, due = killed + 1, due + rng.randint(2, 5)
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * workers
    return killed


def _start(arguments):
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process
