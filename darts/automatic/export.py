"""A model of ``darts.fit`` for other programs: ONNX or torch.export, read back and compared before it gets its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts.automatic.examples.images import ImageEncoder
from darts.automatic.examples.inputs import Encoder
from darts.automatic.examples.tables import TableEncoder
from darts.errors import UserError
from darts.retraining.exchange import Run, compared, replacing, write_onnx, write_program

EXAMPLES = 100
"""Examples on which the file is compared with the model."""


def export(network: nn.Module, encoder: Encoder, known: Mapping[str, Any], path: Path) -> float:
    """Write a model; see ``Predictor.export``.

    Args:
        network: takes encoded examples; on the CPU.
        known: what an application must know beside the network, plain values; kept in the file as JSON.
    """
    if path.suffix not in (".onnx", ".pt2"):
        raise UserError(f"`path` is {path}; it must end in .onnx or .pt2")
    inputs, metadata = examples(encoder), {name: json.dumps(value) for name, value in known.items()}
    with replacing(path, "`path`") as temporary:
        run: Run | None
        if path.suffix == ".pt2":
            run = write_program(network, inputs[:2], temporary, name="x", metadata=metadata)
        else:
            run = write_onnx(network, inputs[:2], temporary, names=("x", "outputs"), metadata=metadata)
        if run is None:
            raise UserError("export to ONNX: onnxruntime not installed; python -m pip install onnxruntime")
        return compared(run, network, [inputs])


def examples(encoder: Encoder) -> Tensor:
    """Return encoded examples of arbitrary content, with missing values and every category."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(encoder, ImageEncoder):
        noise = torch.randn(EXAMPLES, encoder.channels, encoder.height, encoder.width, generator=generator)
        return noise * torch.tensor(encoder.std)[:, None, None] + torch.tensor(encoder.mean)[:, None, None]
    if isinstance(encoder, TableEncoder):
        columns = []
        for column in encoder.columns:
            if column.categories is None:
                values = column.mean + column.std * torch.randn(EXAMPLES, dtype=torch.float64, generator=generator)
            else:
                values = torch.randint(len(column.categories), (EXAMPLES,), generator=generator).double()
            columns.append(torch.where(torch.rand(EXAMPLES, generator=generator) < 0.1, torch.nan, values))
        return torch.stack(columns, 1)
    return torch.randint(1, encoder.words, (EXAMPLES, encoder.length), generator=generator)
