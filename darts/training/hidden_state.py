"""The hidden state that a recurrent network carries from one batch to the next, where batches continue each other.

Such a network has a method ``start(b)``, which returns the state before the first token, ``(b, ...)``. The last tensor
of each of its batches says which sequences continue, ``(b,)``: 1, or 0 where a sequence begins.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from darts.errors import UserError
from darts.processes import Ranks


class HiddenState:
    """The states in which a network left its streams of batches; empty for a network without a hidden state.

    Attributes:
        states: stream -> ``(b, ...)``.
    """

    def __init__(self, network: nn.Module):
        self.states: dict[str, Tensor] = {}
        self._start: Callable[[int], Tensor] | None = getattr(network, "start", None)

    @property
    def is_stateful(self) -> bool:
        """Whether the network has a hidden state."""
        return self._start is not None

    def require_single_process(self, ranks: Ranks) -> None:
        """Refuse to carry a state from batch to batch in several processes.

        Raises:
            UserError: where the network has a hidden state and there are several processes.
        """
        if ranks.count > 1 and self.is_stateful:
            raise UserError("a hidden state is carried from batch to batch, in one process only: run without torchrun")

    def attach(self, stream: str, batch: Any) -> Any:
        """Return a batch with two more tensors: the state that it begins with, and the one to write the last state to.

        Every pass over the batch begins with the same state and writes to the same tensor; the next batch begins with
        what the last pass wrote.
        """
        if self._start is None:
            return batch
        continues = batch[-1]
        state = self.states.get(stream)
        if state is None or len(state) != len(continues):
            state = self.states[stream] = self._start(len(continues))
        return *batch, state * continues[:, None], state
