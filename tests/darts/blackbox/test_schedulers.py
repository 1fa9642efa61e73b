"""Schedules decide on records alone: rungs and brackets by the papers' numbers, and what others get wrong."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts.blackbox.schedulers import ASHA, BOHB, SCHEDULERS, Hyperband, SuccessiveHalving
from darts.blackbox.schedulers.scheduler import Promote, Record, Start, State, rungs_to

ALGORITHM = [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
TABLE = [[81, 27, 9, 3, 1], [27, 9, 3, 1], [9, 3, 1], [6, 2], [5]]


class Run:
    """A study of records alone: trials are begun and ended by hand, or run by one worker."""

    def __init__(self, schedule, value=lambda number, epochs: number + epochs / 1000, fails=()):
        self.schedule, self.value, self.fails = schedule, value, set(fails)
        self.records = []
        self.jobs = []

    def begin(self, limit):
        """Begin the next job, and return its trial's number; None where there is none."""
        decision = self.schedule.following(self.records, len(self.records) < limit)
        for number in decision.lost:
            self._set(number, state=State.OVER)
        job = decision.job
        if job is None:
            return None
        if isinstance(job, Start):
            number = len(self.records)
            self.records.append(Record(number, job.bracket, job.epochs, {}, State.RUNNING))
        else:
            number = job.number
            assert self.records[number].state is State.PAUSED and isinstance(job, Promote)
            self._set(number, epochs=job.epochs, state=State.RUNNING)
        self.jobs.append((number, job.epochs))
        return number

    def end(self, number):
        """End the training of a trial at its rung."""
        record = self.records[number]
        if number in self.fails:
            self._set(number, state=State.OVER)
            return
        results = {**record.results, record.epochs: self.value(number, record.epochs)}
        over = record.epochs == max(self.schedule.rungs)
        self._set(number, results=results, state=State.OVER if over else State.PAUSED)

    def to_the_end(self, limit):
        while (number := self.begin(limit)) is not None:
            self.end(number)
        return self

    def at(self, rung):
        """Numbers of the trials that have a value at a rung."""
        return [record.number for record in self.records if rung in record.results]

    def _set(self, number, **changes):
        self.records[number] = Record(**{**vars(self.records[number]), **changes})


@pytest.mark.parametrize(("sizes", "expected"), [("algorithm", ALGORITHM), ("table", TABLE)])
def test_hyperband_has_the_brackets_of_the_paper(sizes, expected):
    for scheduler in (Hyperband(sizes=sizes), BOHB(sizes=sizes)):
        schedule = scheduler.start(81)
        assert [list(bracket.sizes) for bracket in schedule.brackets] == expected
        assert [bracket.rungs for bracket in schedule.brackets] == [(1, 3, 9, 27, 81)[s:] for s in range(5)]


@pytest.mark.parametrize(("eta", "power"), [(eta, power) for eta in (2, 3, 4, 5, 10) for power in range(1, 9)])
def test_rungs_are_counted_in_whole_numbers(eta, power):
    assert rungs_to(eta**power, eta, 1) == tuple(eta**k for k in range(power + 1))
    assert len(rungs_to(eta**power - 1, eta, 1)) == power


def test_a_floating_logarithm_loses_a_rung():
    assert math.floor(math.log(243, 3)) == 4, "the reason for whole numbers"
    assert len(rungs_to(243, 3, 1)) == 6


@given(st.integers(1, 10**6), st.integers(2, 9), st.integers(1, 50))
def test_rungs_grow_to_the_whole_training(epochs, eta, least):
    rungs = rungs_to(epochs, eta, least)
    assert rungs[-1] == epochs and all(short < long for short, long in itertools.pairwise(rungs))
    assert len(rungs) == 1 or rungs[0] >= least


@pytest.mark.parametrize("sizes", ["algorithm", "table"])
def test_every_rung_of_hyperband_is_filled_by_one_worker(sizes):
    expected = ALGORITHM if sizes == "algorithm" else TABLE
    run = Run(Hyperband(sizes=sizes).start(81)).to_the_end(sum(bracket[0] for bracket in expected))
    for bracket, counts in enumerate(expected):
        members = [record for record in run.records if record.bracket == bracket]
        assert [sum(rung in each.results for each in members) for rung in (1, 3, 9, 27, 81)[bracket:]] == counts
        assert max(each.number for each in members if 81 in each.results) == max(each.number for each in members)
    assert all(record.state is State.OVER for record in run.records)
    assert Run(Hyperband(sizes=sizes).start(81)).to_the_end(200).records[len(run.records)].bracket == 5, "a new round"


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 8])
def test_a_bracket_that_is_never_filled_is_decided(trials):
    run = Run(SuccessiveHalving().start(9)).to_the_end(trials)
    assert len(run.at(9)) == 1 and all(record.state is State.OVER for record in run.records)
    assert run.at(9) == [trials - 1], "the best one"


def test_a_failed_trial_takes_a_place_and_is_not_promoted():
    run = Run(SuccessiveHalving().start(9), fails={8, 7, 5}).to_the_end(9)
    assert run.at(3) == [3, 4, 6] and run.at(9) == [6]
    assert Run(SuccessiveHalving().start(9), fails=range(9)).to_the_end(9).jobs == [(n, 1) for n in range(9)]


def test_a_trial_that_fails_after_a_promotion_is_not_replaced():
    run = Run(SuccessiveHalving().start(9))
    for _ in range(9):
        run.end(run.begin(9))
    run.fails = {8}
    assert run.to_the_end(9).at(3) == [6, 7] and run.at(9) == [7]


def test_a_rung_waits_for_its_running_trials_while_others_fill_the_next_bracket():
    run = Run(SuccessiveHalving().start(3))
    first = [run.begin(9) for _ in range(3)]
    assert run.begin(9) == 3 and run.records[3].bracket == 1
    for number in first[:2]:
        run.end(number)
    assert run.begin(9) == 4, "the third of the first bracket is still running"
    run.end(2)
    assert run.begin(9) == 2 and run.jobs[-1] == (2, 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_trials_of_a_rung_are_compared(workers):
    """Optuna's pruner lets the first trials of a rung pass uncompared, all of them where workers are parallel."""
    run = Run(ASHA().start(9), value=lambda number, epochs: -number)
    for number in [run.begin(9) for _ in range(workers)]:
        run.end(number)
    assert run.begin(9) == workers and run.jobs[-1] == (workers, 1), "fewer than three values promote none"
    assert Run(ASHA().start(9), value=run.value).to_the_end(2).jobs == [(0, 1), (1, 1)]
    assert Run(ASHA().start(9), value=run.value).to_the_end(3).jobs[3:] == [(0, 3)]


def test_asha_never_waits():
    run = Run(ASHA().start(9))
    assert [run.begin(50) for _ in range(20)] == list(range(20))
    for number in range(20):
        run.end(number)
    begun = [run.begin(20) for _ in range(7)]
    assert begun == [19, 18, 17, 16, 15, 14, None], "the best 6 of 20"


def test_asha_promotes_from_the_longest_rung_first():
    run = Run(ASHA().start(9), value=lambda number, epochs: -number)
    for number in [run.begin(20) for _ in range(20)]:
        run.end(number)
    for number in [run.begin(20) for _ in range(3)]:
        run.end(number)
    assert run.begin(20) == 0 and run.jobs[-1] == (0, 9), "though others could be promoted to 3 epochs"


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("limit", [1, 7, 30])
def test_a_schedule_ends_and_trains_each_trial_rung_by_rung(name, limit):
    run = Run(SCHEDULERS[name].start(9), value=lambda number, epochs: (number * 7) % 11).to_the_end(limit)
    assert len(run.records) == limit
    for record in run.records:
        rungs = [epochs for number, epochs in run.jobs if number == record.number]
        assert rungs == sorted(set(rungs)) and list(record.results) == rungs


@pytest.mark.parametrize("name", ["asha", "none"])
@pytest.mark.parametrize("first", [1, 4, 10])
def test_a_larger_budget_continues_as_if_it_had_been_given_at_once(name, first):
    def value(number, epochs):
        return (number * 5) % 13

    whole = Run(SCHEDULERS[name].start(9), value).to_the_end(24)
    parts = Run(SCHEDULERS[name].start(9), value).to_the_end(first).to_the_end(24)
    assert parts.jobs == whole.jobs


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ASHA(eta=1), "eta is 1; it must be 2 or more"),
        (lambda: Hyperband(min_epochs=0), "min_epochs is 0; it must be 1 or more"),
        (lambda: Hyperband(sizes="book"), "sizes is 'book'; it must be one of algorithm, table"),
        (lambda: SuccessiveHalving(trials=0), "trials is 0; it must be 1 or more"),
        (lambda: BOHB(random_share=2.0), r"random_share is 2.0; it must be in \[0, 1\]"),
    ],
)
def test_options_out_of_range_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
