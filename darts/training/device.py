"""The device that trains, its settings, and the precision."""

import ctypes
import os
import sys

import torch
from torch import nn

from darts.config import RetrainConfig, RunConfig
from darts.errors import UserError
from darts.training.distributed import launched, local_count, local_rank
from genotypes.errors import first_line
from supernet.fused.availability import by_triton, unavailable
from supernet.fused.verification import layers_usable
from supernet.ops import fusable_layers


def choose_device(run: RunConfig) -> torch.device:
    """Return the device of a run, with PyTorch's settings for it made.

    Raises:
        UserError: where the device is not available.
    """
    name = run.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if launched() and name.startswith("cuda"):
        if name != "cuda":
            raise UserError(
                f"`run.device` is {name}; under torchrun each process uses a GPU of its own: set it to cuda"
            )
        if local_count() > torch.cuda.device_count():
            few = f"{local_count()} processes, {torch.cuda.device_count()} GPUs"
            raise UserError(f"`run.device` is {name}: {few} on this machine; each needs one, lower --nproc-per-node")
        name = f"cuda:{local_rank()}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error, 100)
        raise UserError(f"`run.device` is {name}: not available ({reason}); set it to auto") from None
    if device.type == "meta":
        raise UserError("`run.device` is meta: it computes nothing; set it to auto")
    if device.type == "cuda":
        device = with_index(device)
        torch.cuda.set_device(device)
    if device.type == "cpu":
        _keep_freed_memory()
    if device.type == "cuda" and run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    return device


def with_index(device: torch.device) -> torch.device:
    """Return a GPU with its index, which some functions of ``torch.cuda`` require; the current one by default."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _keep_freed_memory() -> None:
    """Let the C library (glibc) keep freed memory, rather than return it and fault it in again every step.

    Measured on two cores of a Xeon, paper settings, batch 96: 5.6 s a retraining step with memory of more than 32 MB
    returned, which is the most that a threshold can say, 5.1 s without.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(top_pad, 256 * 2**20)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network is called: bfloat16 convolutions and matrix products, or no change."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def fused_layers(config: RetrainConfig, device: torch.device, network: nn.Module) -> bool:
    """Return whether a training uses fused kernels for the layers of its network.

    Raises:
        UserError: where they are asked for and cannot run.
    """
    if config.fused == "auto":
        plain = config.compile or config.run.sync_batchnorm or config.run.precision != "float32"
        return not (plain or by_triton(device)) and bool(fusable_layers(network)) and layers_usable(device)
    if config.fused:
        check_fused(device, "`fused`")
    return config.fused


def check_fused(device: torch.device, option: str = "`space.backend` fused") -> None:
    """Refuse the fused kernels where they cannot run.

    Args:
        option: the configuration field that requests them.

    Raises:
        UserError: on a GPU without Triton, on a CPU without a C++ compiler.
    """
    reason = unavailable(device)
    if reason is not None:
        instead = "batched gives the same numbers" if "backend" in option else "leave it out, the numbers are the same"
        raise UserError(f"{option} cannot be used: {reason}; {instead}")
