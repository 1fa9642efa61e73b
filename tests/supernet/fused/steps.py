"""Some steps of weights and logits of a whole supernet, by which backends are compared at last."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.fused.availability import fuse_layers
from supernet.fused.verification import MEDIANS, median_error
from supernet.spaces.darts.space import DARTSSpace


def _supernet(space: DARTSSpace, backend: str, device: torch.device) -> nn.Module:
    """Return a supernet whose layers outside of its graphs are fused where these are, as in a search."""
    network = space.supernet(backend).to(device)
    if backend == "fused":
        fuse_layers(network, device)
    return network


def steps_of(
    space: DARTSSpace,
    backends: Iterable[str],
    batch: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    steps: int = 20,
) -> list[tuple[Tensor, Tensor]]:
    """Each backend's curve of losses, ``(step,)``, and the strongest candidate of every row in the end; on the CPU."""
    found = []
    for backend in backends:
        torch.manual_seed(3)
        network = _supernet(space, backend, torch.device(device)).to(dtype)
        logits = [1e-3 * torch.randn(table.rows, len(table.candidates), dtype=dtype) for table in space.tables]
        logits = {table.label: row.to(device).requires_grad_() for table, row in zip(space.tables, logits)}
        optimizer = torch.optim.SGD([*network.parameters(), *logits.values()], 0.025, momentum=0.9)
        generator = torch.Generator().manual_seed(1)
        losses = []
        for _ in range(steps):
            size = space.shape.size
            x = torch.randn(batch, 3, size, size, generator=generator).to(device, dtype)
            y = torch.randint(space.shape.classes, (batch,), generator=generator).to(device)
            loss = F.cross_entropy(network(x, {label: row.softmax(1) for label, row in logits.items()}), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        chosen = torch.cat([row.detach().argmax(1).cpu() for row in logits.values()])
        found.append((torch.stack(losses).cpu(), chosen))
    return found


def assert_close_along(
    space: DARTSSpace, backends: Sequence[str], batch: int, device: torch.device, steps: int = 20
) -> None:
    """Assert that at every step of a search in float64 a backend in float32 finds the same loss and gradients.

    The reference goes through the steps; each backend gets its parameters, which are rounded to float32 after every
    step. So errors do not grow from step to step, as those of curves of losses do: within four steps a difference of
    1e-6 becomes one of 1e-4. A value next to 0 whose ReLU is decided by rounding can still change a step's gradients by
    a hundredth, so they are judged by the step in the middle.
    """
    torch.manual_seed(3)
    exact, *others = (_supernet(space, backend, device) for backend in ("reference", *backends))
    exact.double()
    tables = {table.label: 1e-3 * torch.randn(table.rows, len(table.candidates)) for table in space.tables}
    logits = {label: table.to(device, torch.float64).requires_grad_() for label, table in tables.items()}
    learned = [*exact.parameters(), *logits.values()]
    optimizer = torch.optim.SGD(learned, 0.025, momentum=0.9)
    generator = torch.Generator().manual_seed(1)

    def differentiated(network: nn.Module, logits: dict[str, Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
        loss = F.cross_entropy(network(x, {label: row.softmax(1) for label, row in logits.items()}), y)
        return [loss.detach(), *torch.autograd.grad(loss, [*network.parameters(), *logits.values()])]

    medians: list[list[float]] = [[] for _ in others]
    for _ in range(steps):
        x = torch.randn(batch, 3, space.shape.size, space.shape.size, generator=generator).to(device)
        y = torch.randint(space.shape.classes, (batch,), generator=generator).to(device)
        loss, *grads = differentiated(exact, logits, x.double(), y)
        for network, found in zip(others, medians):
            network.load_state_dict(exact.state_dict())
            single = {label: row.detach().float().requires_grad_() for label, row in logits.items()}
            own, *own_grads = differentiated(network, single, x, y)
            torch.testing.assert_close(own.double(), loss, rtol=2e-6, atol=0)
            found.append(max(map(median_error, own_grads, grads)))
        for parameter, grad in zip(learned, grads):
            parameter.grad = grad
        optimizer.step()
        for parameter in learned:
            parameter.data = parameter.data.float().double()
    for backend, found in zip(backends, medians):
        assert 0 < sorted(found)[steps // 2] <= MEDIANS[torch.float32], backend
