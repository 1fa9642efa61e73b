"""What a network hands on from one batch to the next, where batches go on with each other: a hidden state.

A network that does so has a function ``start``: sequences -> the state before the first word, ``(b, ...)``. The last
part of each of its batches says which sequences go on, ``(b,)``: 1, or 0 where one begins anew.
"""

from typing import Any

from torch import Tensor, nn


class HiddenState:
    """The states in which a network left its streams of batches; nothing for a network that hands nothing on.

    Attributes:
        states: stream -> ``(b, ...)``.
    """

    def __init__(self, network: nn.Module):
        self.states: dict[str, Tensor] = {}
        self._start = getattr(network, "start", None)

    @property
    def is_stateful(self) -> bool:
        """Whether the network hands something on."""
        return self._start is not None

    def attach(self, stream: str, batch: Any) -> Any:
        """A batch with two more parts: the state it begins with, and the place for the state that it ends with.

        Every pass over the batch begins with the same state and writes to the same place; the last one is gone on from.
        """
        if not self.is_stateful:
            return batch
        goes_on = batch[-1]
        state = self.states.get(stream)
        if state is None or len(state) != len(goes_on):
            state = self.states[stream] = self._start(len(goes_on))
        return *batch, state * goes_on[:, None], state
