"""Some steps of weights and logits of a whole supernet, by which backends are compared at last."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.spaces.darts.space import DARTSSpace


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
        network = space.supernet(backend).to(dtype).to(device)
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
