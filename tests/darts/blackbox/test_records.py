"""The records of a study that something else than a search has written are refused in one line; nothing is changed."""

import json
import logging
import re
import sqlite3

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from darts.blackbox.points import Decision, Decisions
from darts.blackbox.records import SEARCH, TIME, Records, fault_of
from darts.blackbox.samplers import StrategySampler
from darts.blackbox.storage import open_storage, sqlite
from darts.blackbox.strategies.random_search import RandomSearch
from darts.blackbox.study import open_study
from darts.errors import UserError


class Letters(Decisions):
    """One decision."""

    def following(self, made):
        return None if "letter" in made else Decision("letter", ("a", "b"))

    def encoding(self, point, paths):
        return [float(point["letter"] == "b")]


ATTRIBUTES = {
    "bracket": 0,
    "epochs": [1, 3],
    "genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "hash": "0" * 16,
    "values": {"valid_accuracy": 0.5},
    "objectives": {"1": [0.4], "3": [0.5]},
    "seconds": 1.5,
    "cpu_seconds": 1.0,
}


def trial(params=("a",), choices=("a", "b"), value=0.5, **changed):
    kept = {name: value for name, value in (ATTRIBUTES | changed).items() if value is not None}
    return create_trial(
        state=TrialState.COMPLETE,
        values=[value],
        params={"letter": params[0]},
        distributions={"letter": CategoricalDistribution(choices)},
        user_attrs=kept,
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bracket": -1}, "'bracket' '-1', which is not a whole number from 0"),
        ({"bracket": True}, "which is not a whole number"),
        ({"bracket": None}, "lacks 'bracket'"),
        ({"epochs": None}, "lacks 'epochs'"),
        ({"epochs": []}, "not a list of rising numbers"),
        ({"epochs": [3, 1]}, "not a list of rising numbers"),
        ({"epochs": "12"}, "not a list of rising numbers"),
        ({"genotype": "|x~0|"}, "not a genotype"),
        ({"genotype": 3}, "not a genotype"),
        ({"values": [0.5]}, "not an object of numbers"),
        ({"values": {"valid_accuracy": "x"}}, "not an object of numbers"),
        ({"objectives": {"x": [0.5]}}, "numbers of epochs and the values after them"),
        ({"objectives": {"3": ["0.5"]}}, "numbers of epochs and the values after them"),
        ({"objectives": {"3": [0.5, 0.5]}}, r"has the values \[0.5, 0.5\]; it must be 1"),
        ({"seconds": float("nan")}, "not a number of seconds"),
        ({"cpu_seconds": -1}, "not a number of seconds"),
        ({"reason": {}}, "not text"),
        ({"seconds": 10**400}, "not a number of seconds"),
        ({"values": {"valid_accuracy": 10**400}}, "not an object of numbers"),
        ({"constraints": [0.1]}, "`?constraints.* which is not an object of numbers"),
        ({"constraints": {"parameters": "x"}}, "which is not an object of numbers"),
        ({"genotype": None}, "lacks 'genotype'"),
        ({"objectives": None}, "lacks 'objectives'"),
        ({"params": ("c",), "choices": ("a", "b", "c")}, "has 'letter' 'c', which this search does not offer"),
        ({"choices": ("a", "b", "c")}, "has 'letter' 'a', which this search does not offer"),
    ],
)
def test_a_foreign_record_is_named(changed, message):
    study = optuna.create_study(direction="maximize")
    study.add_trials([trial(), trial(**changed)])
    fault = fault_of(study.get_trials(), SEARCH, Letters(), objectives=1)
    assert re.match(f"trial 2 .*{message}", str(fault)), fault


def test_records_of_searches_and_of_other_programs_are_accepted():
    study = optuna.create_study(direction="maximize")
    study.add_trials([trial(), create_trial(value=0.3), trial(epochs=[3], infeasible="too large", value=float("-inf"))])
    assert fault_of(study.get_trials(), SEARCH, Letters(), objectives=1) is None
    known = Records({"seconds": TIME}, complete=("seconds", "folds"))
    assert fault_of(study.get_trials(), known, None, objectives=1) == "trial 1 lacks 'folds'"
    assert fault_of(study.get_trials()[1:2], SEARCH, None, objectives=1) == "trial 1 is missing"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("update trial_values set value_type = 'x'", "damaged study"),
        ("update trial_values set value = 'x'", r"trial 1 has the values \['x'\]"),
        ("update trials set state = 'x'", "damaged study"),
        ("insert into trials (number, study_id, state) values (0, 1, 'RUNNING')", "trial 2 is missing"),
        ("update trial_params set distribution_json = '{'", "damaged study"),
        ("update trial_user_attributes set value_json = '{' where key = 'epochs'", "damaged study"),
        ("update trial_params set distribution_json = cast(x'7b227bff' as text)", "damaged study"),
        ("update trial_user_attributes set value_json = '3' where key = 'epochs'", "trial 1 has 'epochs' '3'"),
        ("update study_user_attributes set value_json = '3'", "'settings' is '3'"),
        ("insert into trial_system_attributes (trial_id, key, value_json) values (1, 'constraints', '[\"x\"]')",
         "trial 1 has 'constraints' .* not of numbers"),
        ("insert into trial_system_attributes (trial_id, key, value_json) values (1, 'constraints:a', 'null')",
         "trial 1 has 'constraints:a' 'None', which is not of numbers"),
        ("insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
         "values (1, 1, 'x', 'FINITE')", "trial 1 has the intermediate value 'x'"),
        ("update trial_params set param_value = 'x', distribution_json = '{\"name\": \"FloatDistribution\", "
         "\"attributes\": {\"low\": 0, \"high\": 1, \"log\": false}}'",
         "trial 1 has 'letter' 'x', which is none of the values"),
        ("update study_directions set direction = 'MINIMIZE'", "other directions"),
        ("delete from trials", None),
    ],
)  # fmt: skip
def test_a_damaged_database_is_one_line(damage, message, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [caplog.handler])
    path, sampler = tmp_path / "study.db", StrategySampler(RandomSearch(), Letters(), 0)
    study = open_study(open_storage(sqlite(path)), "search", sampler, {"seed": 0}, decisions=Letters())
    study.add_trial(trial())
    with sqlite3.connect(path) as database:
        database.execute(damage)
    before = path.read_bytes()
    storage = open_storage(sqlite(path))
    if message is None:
        assert open_study(storage, "search", sampler, {"seed": 0}, decisions=Letters()).trials == []
        return
    with pytest.raises(UserError, match=f"study.db: .*{message}.*; choose another `run.name`") as error:
        open_study(storage, "search", sampler, {"seed": 0}, decisions=Letters())
    assert "\n" not in str(error.value) and path.read_bytes() == before
    assert not caplog.messages, "warnings of Optuna's"


def test_a_journal_that_a_killed_process_has_torn_is_continued(tmp_path):
    path, sampler = tmp_path / "j.log", StrategySampler(RandomSearch(), Letters(), 0)
    open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0}).add_trial(trial())
    whole = path.read_bytes()
    end = whole.rindex(b"\n", 0, -1) + 1
    for torn in (whole[:-1], whole[: end + 1], whole[: end + 20], b'{"op', b""):
        path.write_bytes(torn)
        study = open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0})
        study.add_trial(trial())
        found = open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0})
        assert len(found.trials) == len(study.trials) > 0 and all(map(json.loads, path.read_text().splitlines()))


def test_a_parameter_without_a_name_is_refused(tmp_path):
    path, sampler = tmp_path / "study.journal", StrategySampler(RandomSearch(), Letters(), 0)
    study = open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0})
    study.tell(study.ask({"letter": CategoricalDistribution(("a", "b"))}), 0.5)
    content = path.read_text()
    assert '"letter"' in content
    path.write_text(content.replace('"letter"', "7"))
    with pytest.raises(UserError, match="trial 1 has '7' '[ab]', which is none of the values"):
        open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0})


@pytest.mark.parametrize("content", ["words\n", "words", "{}\n", '{"op_code": 0}\n{}\n', '{"op_code": 0}\n[1', "\0\n"])
def test_a_file_that_is_no_journal_is_left_as_it_is(content, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UserError, match="notes.txt: no journal of Optuna"):
        open_storage(f"journal:{path}")
    assert path.read_text() == content


def test_a_search_of_other_settings_leaves_no_trace(tmp_path):
    path, sampler = tmp_path / "j.log", StrategySampler(RandomSearch(), Letters(), 0)
    open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 0})
    before = path.read_bytes()
    with pytest.raises(UserError, match="made with `seed` 0, not 1"):
        open_study(open_storage(f"journal:{path}"), "search", sampler, {"seed": 1})
    assert path.read_bytes() == before
