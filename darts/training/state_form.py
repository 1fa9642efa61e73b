"""The form of a checkpoint's state: one that was edited is refused when it is loaded, not some steps later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

NUMBERS = (bool, int, float)


def check_form(ours: Any, theirs: Any, place: str) -> None:
    """Refuse a state whose entries are of other kinds than those of a state of this run.

    Entries that one of both lacks are not looked at, nor shapes of tensors: they may be of a later stage of the run.

    Args:
        ours: the state of the run before it is resumed.
        theirs: that of the checkpoint.
        place: what it is, for the message.

    Raises:
        ValueError: naming the first entry that differs.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in ours.keys() & theirs.keys():
            check_form(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if ours and len({_kind(item) for item in ours}) == 1:
            for item in theirs:
                check_form(ours[0], item, place)
    elif isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        if ours.is_floating_point() is not theirs.is_floating_point() and ours.ndim:
            raise ValueError(f"{place} is of {theirs.dtype}, not {ours.dtype}")
    elif not _alike(ours, theirs):
        raise ValueError(f"{place} is {str(theirs)[:40]!r}, not of the kind of {str(ours)[:40]!r}")


def _alike(ours: Any, theirs: Any) -> bool:
    """Return whether a value can stand for another: anything for None; a number, or on a GPU a tensor, for a number."""
    if ours is None or theirs is None:
        return True
    kinds = [_kind(value) for value in (ours, theirs)]
    return kinds[0] == kinds[1]


def _kind(value: Any) -> type | str:
    if isinstance(value, NUMBERS) or (isinstance(value, Tensor) and value.ndim == 0):
        return "number"
    return "text" if isinstance(value, str) else type(value)


class Stateful(Protocol):
    """An optimizer: PyTorch's, or one of a method's own."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Return to that state."""


def load_optimizer(optimizer: Stateful, state: Mapping[str, Any]) -> None:
    """Load the state of an optimizer, as ``state_dict`` returned it; the form is checked of PyTorch's.

    Raises:
        ValueError: where it is not that of an optimizer of these parameters.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        _check_optimizer(optimizer, state)
    optimizer.load_state_dict(dict(state))


def _check_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    check_form(optimizer.state_dict()["param_groups"], state["param_groups"], "param_groups")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    names = {frozenset(entry) if isinstance(entry, Mapping) else None for entry in state["state"].values()}
    if len(names) > 1 or None in names:
        raise ValueError("the optimizer's entries are not of one kind")
    for index, entry in state["state"].items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError(f"the optimizer has no parameter {str(index)[:40]}")
        for name, value in entry.items():
            shape = torch.Size() if name == "step" else parameters[index].shape
            fits = isinstance(value, Tensor) and value.shape == shape and value.dtype.is_floating_point
            if not fits and value is not None and not isinstance(value, NUMBERS):
                raise ValueError(f"the optimizer's {str(name)[:40]} is not of the shape of parameter {index}")
