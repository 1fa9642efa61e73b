"""A model of ``darts.fit`` for other programs: ONNX or torch.export, read back and compared before it gets its name."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts.automatic.examples.images import ImageEncoder
from darts.automatic.examples.inputs import Encoder
from darts.automatic.examples.tables import TableEncoder
from darts.errors import UserError

EXAMPLES = 100
"""Examples on which the file is compared with the model."""

TOLERANCE = 1e-4
"""Largest allowed difference of an output, as a share of the largest output: another order of float32 sums."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export(network: nn.Module, encoder: Encoder, known: Mapping[str, Any], path: Path) -> float:
    """Write a model; see ``Predictor.export``.

    Args:
        network: takes encoded examples; on the CPU.
        known: what an application must know beside the network, plain values; kept in the file as JSON.
    """
    writers = {".onnx": _write_onnx, ".pt2": _write_program}
    if path.suffix not in writers:
        raise UserError(f"`path` is {path}; it must end in .onnx or .pt2")
    inputs, metadata = examples(encoder), {name: json.dumps(value) for name, value in known.items()}
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run = writers[path.suffix](network, inputs[:2], metadata, temporary)
            with torch.no_grad():
                expected, found = network(inputs), run(inputs)
            difference = (found - expected).abs().max().item()
            if not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
                raise UserError(
                    f"the exported file does not compute what the model does: outputs differ by {difference:.1e}"
                )
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"`path` {path}: {error.strerror or error}") from None
    return difference


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


def _write_onnx(
    network: nn.Module, inputs: Tensor, metadata: Mapping[str, str], path: Path
) -> Callable[[Tensor], Tensor]:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export to ONNX: {', '.join(missing)} not installed; python -m pip install {' '.join(PACKAGES)}"
        )
    import onnx
    import onnxruntime

    torch.onnx.export(
        network,
        (inputs,),
        path,
        input_names=["x"],
        output_names=["outputs"],
        dynamic_shapes={"x": {0: torch.export.Dim("b")}},
        external_data=False,
        verbose=False,
    )
    written = onnx.load(path)
    onnx.helper.set_model_props(written, dict(metadata))
    onnx.save(written, path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["outputs"], {"x": x.numpy()})[0])


def _write_program(
    network: nn.Module, inputs: Tensor, metadata: Mapping[str, str], path: Path
) -> Callable[[Tensor], Tensor]:
    program = torch.export.export(network, (inputs,), dynamic_shapes={"x": {0: torch.export.Dim("b")}})
    content = io.BytesIO()
    files = {f"{name}.json": value for name, value in metadata.items()}
    torch.export.save(program, content, extra_files=files)
    path.write_bytes(content.getvalue())
    return torch.export.load(path).module()
