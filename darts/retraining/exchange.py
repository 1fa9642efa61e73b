"""Networks in files for other programs: ONNX and torch.export, written, read back, run and compared.

A file gets its name only when it has been read and computes what the network does.

Axes: ``b`` example.
"""

from __future__ import annotations

import importlib.util
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import torch
from torch import Tensor, nn

from darts.artifacts.run_folder import is_alive
from darts.errors import UserError

TOLERANCE = 1e-4
"""Largest allowed difference of an output, as a share of the largest output: another order of float32 sums."""

Run = Callable[[Tensor], Tensor]
"""A written file as a function of the network's input."""


def write_onnx(
    network: nn.Module, example: Tensor, path: Path, *, names: tuple[str, str], metadata: Mapping[str, str]
) -> Run | None:
    """Write ONNX for any number of examples, and check its structure.

    Args:
        network: takes one tensor, ``(b, ...)``.
        example: an input of two examples.
        names: of the input, which is also the network's own name of it, and of the output.
        metadata: texts that the file holds.

    Returns:
        The file as a function; None where onnxruntime is not installed.

    Raises:
        UserError: where a package is missing.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export to ONNX: {', '.join(missing)} not installed; python -m pip install onnx onnxscript onnxruntime"
        )
    import onnx

    torch.onnx.export(
        network,
        (example,),
        path,
        input_names=[names[0]],
        output_names=[names[1]],
        dynamic_shapes={names[0]: {0: torch.export.Dim("b")}},
        external_data=False,
        verbose=False,
    )
    written = onnx.load(path)
    onnx.helper.set_model_props(written, dict(metadata))
    onnx.save(written, path)
    onnx.checker.check_model(str(path), full_check=True)
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run([names[1]], {names[0]: x.numpy()})[0])


def write_program(network: nn.Module, example: Tensor, path: Path, *, name: str, metadata: Mapping[str, str]) -> Run:
    """Write a program for ``torch.export.load``, and return it as a function; arguments as of ``write_onnx``."""
    program = torch.export.export(network, (example,), dynamic_shapes={name: {0: torch.export.Dim("b")}})
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={f"{key}.json": value for key, value in metadata.items()})
    path.write_bytes(content.getvalue())  # PyTorch's own writer raises no OSError
    return torch.export.load(path).module()


def compared(run: Run, network: nn.Module, inputs: Iterable[Tensor]) -> float:
    """Return the largest difference of an output between file and network, as a share of the largest output.

    Raises:
        UserError: where it is above the tolerance.
    """
    worst = 0.0
    for x in inputs:
        with torch.no_grad():
            expected, found = network(x), run(x)
        scale = expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
        share = ((found - expected).abs().max() / scale).item()
        if not share <= TOLERANCE:  # NaN is not
            raise UserError(f"the exported file does not compute what the network does: outputs differ by {share:.1e}")
        worst = max(worst, share)
    return worst


def _clear_temporary_files(path: Path) -> None:
    """Delete what processes left that were killed while they wrote this file."""
    for left in path.parent.glob(f".*-{escape(path.name)}"):
        process = left.name[1:].removesuffix(f"-{path.name}")
        if process.isascii() and process.isdigit() and not is_alive(int(process)):
            left.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, field: str) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; the file there gets its own name at the end, or is removed.

    Args:
        field: that names the place, for messages.

    Raises:
        UserError: where nothing can be written there.
    """
    if not path.name:  # "." and "/"
        raise UserError(f"{field} {path}: it is a folder; give a file")
    if path.exists() and not path.is_file() and not path.is_dir():  # a file would take its place in /dev
        raise UserError(f"{field} {path}: it is a device or a pipe; give a file")
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_temporary_files(path)
        temporary.touch()  # finds out now, rather than after the work, whether the place can be written
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{field} {path}: {error.strerror or error}") from None
