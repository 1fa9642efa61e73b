"""States that were edited are refused when they are loaded."""

import copy

import pytest
import torch

from darts.training.state_form import check_form, load_optimizer

OURS = {"step": 3, "weight": torch.zeros(2, 3), "history": [torch.zeros(2)], "chosen": None, "rate": torch.tensor(0.1)}


@pytest.mark.parametrize(
    "theirs",
    [
        OURS,
        {**OURS, "weight": torch.zeros(5)},
        {**OURS, "history": [torch.ones(2)] * 3},
        {**OURS, "history": []},
        {**OURS, "chosen": 4},
        {**OURS, "chosen": [["a", "b"]]},
        {**OURS, "rate": 0.2},
        {**OURS, "more": 1},
        {},
    ],
)
def test_states_of_the_same_form_pass(theirs):
    check_form(OURS, theirs, "state")


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "x"},
        {"step": [1]},
        {"weight": 3.0},
        {"weight": torch.zeros(2, 3).long()},
        {"weight": {"a": 1}},
        {"history": {"a": 1}},
        {"history": [torch.zeros(2), 5]},
        {"rate": "x"},
    ],
)
def test_other_kinds_are_refused(wrong):
    with pytest.raises(ValueError, match=r"state\."):
        check_form(OURS, {**OURS, **wrong}, "state")


@pytest.fixture(params=["sgd", "adam"])
def stepped(request):
    """An optimizer after a step, and a fresh one of the same parameters."""

    def make():
        network = torch.nn.Linear(3, 2)
        if request.param == "sgd":
            return network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        return network, torch.optim.Adam(network.parameters(), 0.1)

    network, optimizer = make()
    network(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return optimizer, make()[1]


def test_an_optimizer_is_restored(stepped):
    optimizer, fresh = stepped
    load_optimizer(fresh, optimizer.state_dict())
    ours, theirs = (each.state_dict()["state"] for each in stepped)
    assert all(torch.equal(ours[k][name], theirs[k][name]) for k in ours for name in ours[k])


def edited(state, kind):
    state = copy.deepcopy(state)
    name = next(name for name, value in state["state"][0].items() if value.ndim)
    if kind == "number":
        state["state"][0] = 5
    elif kind == "shape":
        state["state"][0][name] = torch.zeros(7)
    elif kind == "scalar":
        state["state"][0][name] = torch.zeros(())
    elif kind == "integers":
        state["state"][1][name] = torch.zeros(2, dtype=torch.int64)
    elif kind == "text":
        state["state"][1][name] = "x"
    elif kind == "absent":
        del state["state"][0][name]
    elif kind == "index":
        state["state"][9] = state["state"].pop(0)
    elif kind == "rate":
        state["param_groups"][0]["lr"] = "x"
    elif kind == "groups":
        state["param_groups"] = 3
    return state


@pytest.mark.parametrize("kind", ["number", "shape", "scalar", "integers", "text", "absent", "index", "rate", "groups"])
def test_an_edited_optimizer_is_refused(kind, stepped):
    optimizer, fresh = stepped
    with pytest.raises(ValueError, match="optimizer|param_groups"):
        load_optimizer(fresh, edited(optimizer.state_dict(), kind))
    assert not fresh.state_dict()["state"]
