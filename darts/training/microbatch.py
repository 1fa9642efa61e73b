"""Gradients of a batch that is divided: over ranks, and on each rank into micro-batches.

A loss is a mean over the batch, so its gradient is the mean of the parts' gradients. Micro-batches need the memory of
one part only; what they change is BatchNorm, which normalizes each part by the part's own statistics.

One function serves every method: a loss that is divided enters autograd as one operation, which computes its gradients
part by part, averages them over the ranks in one all-reduce, and has them ready when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from darts.errors import UserError
from darts.processes import SINGLE_PROCESS, Ranks
from darts.training.cuda_graph import capturing

T = TypeVar("T")

Batch = Any
"""Tensors ``(b, ...)``: images, labels, and what else belongs to each image. A batch of any other form is whole."""

Sums = Mapping[str, Tensor]
"""Figures summed over the images of a batch."""


@dataclass
class BatchPartition:
    """How a batch is divided.

    Attributes:
        ranks: who computes a share of it; a batch is this rank's share already.
        parts: micro-batches in which the share is computed; an out-of-memory error doubles their number.
        synchronized: whether BatchNorm waits for the other ranks, so that all need the same number of parts.
        guarded: whether an out-of-memory error may come, so that nothing is left for autograd to compute later.
        sample: compute the first so many images alone, to rehearse.
        tell: is told when the number of parts changes.
        release: frees memory that is not needed for the next step, before a batch is computed once more.
    """

    ranks: Ranks = SINGLE_PROCESS
    parts: int = 1
    synchronized: bool = False
    guarded: bool = False
    sample: int | None = None
    tell: Callable[[str], None] = lambda message: None
    release: Callable[[], None] = lambda: None

    def say(self, message: str) -> None:
        """Tell who listens now."""
        self.tell(message)

    @property
    def way(self) -> tuple[int, int | None]:
        """What Python decides of how a batch is computed."""
        return self.parts, self.sample

    @property
    def whole(self) -> bool:
        """Whether nothing is divided."""
        return self.ranks.count == 1 and self.parts == 1 and not self.guarded

    def loss(self, loss: Callable[[Sequence[Tensor], Batch], Tensor], inputs: Sequence[Tensor], batch: Batch) -> Tensor:
        """The loss on a batch and its gradients: those of the whole batch, on every rank the same.

        Args:
            loss: the mean over a batch, as a function of the inputs and the batch.
            inputs: what it may be differentiated with respect to; once, where the batch is divided.
        """
        if self.whole:
            return loss(inputs, batch)
        return _Divided.apply(self, loss, batch, *inputs)

    def backward(
        self, network: nn.Module, loss: Callable[[Batch], tuple[Tensor, Tensor, Sums]], batch: Batch
    ) -> tuple[Tensor, Sums]:
        """Set the gradients of a network's parameters; its running statistics follow.

        Args:
            loss: what is differentiated, a mean over the batch; a loss to show; sums over the batch.

        Returns:
            The loss to show and the sums on this rank's share, without a graph.
        """
        parameters = list(network.parameters())
        value, sums, grads = self._gradients(loss, parameters, batch, _running_statistics(network))
        for parameter, grad in zip(parameters, self.ranks.average(grads)):
            parameter.grad = grad
        return value, sums

    def outcome(self, loss: Callable[[Batch], tuple[Tensor, Sums]], batch: Batch) -> tuple[Tensor, Sums]:
        """Mean loss and sums on this rank's share, part by part, without gradients."""
        batch = self._sampled(batch)

        def attempt() -> tuple[Tensor, Sums]:
            value, sums, _ = self._in_parts(lambda part: (None, *loss(part)), (), batch, (), [])
            return value, sums

        return self._until_it_fits(attempt, _images(batch))

    def _sampled(self, batch: Batch) -> Batch:
        whole = self.sample is None or _images(batch) <= self.sample
        return batch if whole else tuple(tensor[: self.sample] for tensor in batch)

    def _gradients(
        self, loss: Callable, wrt: Sequence[Tensor], batch: Batch, statistics: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Sums, list[Tensor]]:
        """Value, sums and gradients on this rank's share."""
        batch = self._sampled(batch)

        def attempt() -> tuple[Tensor, Sums, list[Tensor]]:
            before = [s.clone() for s in statistics] if self.parts > 1 else []
            try:
                return self._in_parts(loss, wrt, batch, statistics, before)
            except (RuntimeError, MemoryError):
                if before:
                    torch._foreach_copy_(list(statistics), before)
                raise

        return self._until_it_fits(attempt, _images(batch))

    def _until_it_fits(self, attempt: Callable[[], T], size: int) -> T:
        """Once more in smaller parts where memory runs out."""
        while True:
            try:
                return attempt()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or capturing():  # a captured step would hold what was tried in vain
                    raise
                reason = str(error).splitlines()[0][:100]
            # Outside the except clause: the error's frames hold the tensors that are to be freed.
            self._smaller(size, reason)

    def _in_parts(self, loss, wrt, batch, statistics, before):
        values, sums, total = [], {}, []
        moves = [torch.zeros_like(s) for s in before]
        for share, part in self._split(batch):
            value, shown, counted = loss(part)
            grads = _gradient(value, wrt)
            if share < 1 and wrt:
                grads = torch._foreach_mul(grads, share)
            if total:
                torch._foreach_add_(total, grads)
            total = total or list(grads)
            if before:  # BatchNorm's momentum is linear: one step moves by the mean of the parts' moves
                torch._foreach_add_(moves, torch._foreach_sub(statistics, before), alpha=share)
                torch._foreach_copy_(list(statistics), before)
            values.append(shown.detach() * share)
            sums = {name: sums[name] + value if sums else value for name, value in counted.items()}
        if before:
            torch._foreach_add_(list(statistics), moves)
        return torch.stack(values).sum() if len(values) > 1 else values[0], sums, total

    def _split(self, batch: Batch) -> Iterator[tuple[float, Batch]]:
        """The parts of a batch and their shares of it."""
        if self.parts == 1:
            yield 1.0, batch
            return
        size = _images(batch)
        parts = zip(*(tensor.tensor_split(min(self.parts, size)) for tensor in batch)) if size > 1 else [batch]
        yield from ((_images(part) / size, part) for part in parts)

    def _smaller(self, size: int, reason: str) -> None:
        if self.parts >= size:
            raise UserError(f"out of memory with one image at a time ({reason}); lower --space.channels")
        if self.synchronized and self.ranks.count > 1:
            raise UserError(f"out of memory ({reason}); with --sync-batchnorm set --memory or lower --batch-size")
        self.parts = min(2 * self.parts, size)
        self.release()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.tell(f"out of memory: from now on micro-batches of {-(-size // self.parts)} images")


class _Divided(torch.autograd.Function):
    """A loss whose gradients are computed with it, part by part."""

    @staticmethod
    def forward(ctx, partition, loss, batch, *inputs):
        _, _, _, *wanted = ctx.needs_input_grad
        leaves = [x.detach().requires_grad_(needed) for x, needed in zip(inputs, wanted)]
        wrt = [leaf for leaf, needed in zip(leaves, wanted) if needed]

        def value_of(part: Batch) -> tuple[Tensor, Tensor, Tensor]:
            value = loss(leaves, part)
            return value, value, {}

        with torch.set_grad_enabled(bool(wrt)):
            value, _, grads = partition._gradients(value_of, wrt, batch)
        value, *grads = partition.ranks.average([value, *grads])
        ready = iter(grads)
        ctx.grads = [next(ready) if needed else None for needed in wanted]
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return None, None, None, *(None if g is None else g * grad for g in ctx.grads)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    said = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in text for words in said)


def _images(batch: Batch) -> int:
    """Into how many parts a batch can be divided: one, where it is no tuple or list of tensors of one length."""
    parts = batch if type(batch) in (tuple, list) else ()
    lengths = {len(part) if isinstance(part, Tensor) and part.ndim else None for part in parts}
    return lengths.pop() or 1 if len(lengths) == 1 else 1


def _gradient(value: Tensor, wrt: Sequence[Tensor]) -> Sequence[Tensor]:
    """0 where the value does not depend on them."""
    if not wrt or not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in wrt]
    return torch.autograd.grad(value, wrt, allow_unused=True, materialize_grads=True)


def _running_statistics(network: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in network.named_buffers() if name.rpartition(".")[2].startswith("running_")]
