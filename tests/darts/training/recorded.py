"""CUDA graphs as they act, on a CPU: a step is recorded once, operation by operation on fixed tensors, and repeated.

As in a capture, whatever Python decides or reads from outside of tensors stays as it was when the step was recorded;
numbers are drawn anew. Where a step asks for a value, recording fails as a capture does.
"""

from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from darts.training.cuda_graph import StepGraph

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")
"""Operations that wait for a value."""


class Recorder(TorchDispatchMode):
    """Notes all that is computed."""

    active = False

    def __init__(self):
        super().__init__()
        self.calls = []

    def __enter__(self):
        Recorder.active = True
        return super().__enter__()

    def __exit__(self, *error):
        Recorder.active = False
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITING:
            raise RuntimeError(f"{name} waits for a value")
        out = func(*args, **(kwargs or {}))
        aliases = [value.alias_info for value in func._schema.returns]
        written = any(value.alias_info and value.alias_info.is_write for value in func._schema.arguments)
        if written or not any(aliases):  # what only looks at a tensor in another way still sees it
            self.calls.append((func, args, kwargs or {}, None if written else out))
        return out

    def repeat(self):
        """Compute all of it again, into the same tensors."""
        with torch.no_grad():
            for func, args, kwargs, out in self.calls:
                again = func(*args, **kwargs)
                for place, value in zip(tree_leaves(out), tree_leaves(again)) if out is not None else ():
                    if isinstance(place, torch.Tensor):
                        place.copy_(value)


@dataclass
class Recorded:
    """A recorded step. Recording has computed it once already, other than a capture: its first replay does nothing."""

    recorder: Recorder
    inputs: tuple
    outputs: dict
    fresh: bool = True

    def replay(self, inputs):
        """The step on these inputs."""
        if not self.fresh:
            for fixed, given in zip(self.inputs, inputs):
                fixed.copy_(given)
            self.recorder.repeat()
        self.fresh = False
        return {name: value.clone() for name, value in self.outputs.items()}


@dataclass
class RecordedGraph(StepGraph):
    """Records steps where ``StepGraph`` captures them."""

    captures: int = field(default=0, init=False)

    @property
    def capturing(self):
        """Always, unless a step was refused."""
        return not self.refused

    def _warm_up(self, step, inputs):
        return step(*inputs)

    def _capture(self, step, inputs, key):
        fixed = tuple(tensor.clone() for tensor in inputs)
        try:
            with Recorder() as recorder:
                outputs = step(*fixed)
        except RuntimeError as error:
            return str(error)
        self._graphs[key] = Recorded(recorder, fixed, outputs)
        self.captures += 1
        return ""
