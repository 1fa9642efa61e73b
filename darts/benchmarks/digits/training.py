"""The training of the digits benchmark's architectures, several side by side.

The network is that of NAS-Bench-201 with one stage and few channels; SGD with Nesterov's momentum and a cosine
schedule, as in the benchmark. Training images carry noise (``darts.data.readers``), which stands for augmentation.
Validation and test images are evaluated after every epoch.

Axes: ``m`` network, ``b`` image.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from darts.benchmarks.digits.stack import Stack
from darts.data.readers import DIGITS201_TRAIN, DIGITS201_VALID, digits201
from genotypes.types.nasbench201 import from_string
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.nasbench201 import NASBench201Space
from supernet.spaces.space import SpaceOptions

CPU = torch.device("cpu")
TEST_IMAGES = 1797 - DIGITS201_TRAIN - DIGITS201_VALID
"""Images that are neither trained on nor for validation."""

STAGES: Final = 1
STEM: Final = "strided"
"""Of the networks: one width, few pixels."""

EVALUATED_AT_ONCE = 50
"""Images of a forward pass in evaluation, so that activations stay in the processor's cache."""

Row = tuple[str, int]
"""Architecture string and seed."""


@dataclass(frozen=True)
class Protocol:
    """How every architecture is trained."""

    channels: int = 16
    """Width of the only stage."""
    layers: int = 1
    """Cells of the stage."""
    epochs: int = 5
    """Passes over the training images."""
    batch_size: int = 50
    """Images of a step."""
    lr: float = 0.1
    """First learning rate; it falls to 0 along a cosine, step by step."""
    momentum: float = 0.9
    """Of Nesterov's kind."""
    weight_decay: float = 5e-4
    """On all parameters."""
    norm_momentum: float = 0.3
    """Of BatchNorm's running statistics, which lag behind a short training at PyTorch's 0.1."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the initial weights and of the order of images: one training each."""

    @property
    def space(self) -> NASBench201Space:
        """The space, of this width and depth, on the digits."""
        own = SPACES["nasbench201"].own_options({"stages": STAGES, "stem": STEM})
        options = SpaceOptions(ImageShape(1, 8, 10), channels=self.channels, layers=self.layers, own=own)
        return cast(NASBench201Space, SPACES["nasbench201"].make(options))


PROTOCOL = Protocol()
"""The benchmark's."""


@dataclass(frozen=True)
class Images:
    """The data set, as the benchmark divides it.

    Attributes:
        train, train_labels: ``(b, 1, 8, 8)`` and ``(b,)``; mean 0 and standard deviation 1 over all pixels.
        tested, tested_labels: normalized with the same numbers; validation images, then test images.
    """

    train: Tensor
    train_labels: Tensor
    tested: Tensor
    tested_labels: Tensor


@dataclass(frozen=True)
class Training:
    """What is recorded of a training.

    Attributes:
        seconds: that the process computed for all epochs, without evaluation, divided by the networks of its stack.
        evaluation_seconds: the same for all evaluations.
        valid_correct, test_correct: number of correctly classified images after each epoch.
        valid_loss, test_loss: mean cross-entropy after each epoch.
    """

    seconds: float
    evaluation_seconds: float
    valid_correct: tuple[int, ...]
    valid_loss: tuple[float, ...]
    test_correct: tuple[int, ...]
    test_loss: tuple[float, ...]


def read_images() -> Images:
    """Return the data set in memory."""
    arrays = digits201(Path(), False)
    train, tested = (torch.from_numpy(part).float() for part in (arrays.train_images, arrays.test_images))
    std, mean = torch.std_mean(train, correction=0)
    labels = torch.from_numpy(arrays.train_labels), torch.from_numpy(arrays.test_labels)
    return Images((train - mean) / std, labels[0], (tested - mean) / std, labels[1])


def trainer(protocol: Protocol) -> Callable[[Sequence[Row]], list[Training]]:
    """Return what trains a stack of architectures, given by their strings and seeds, on one thread of this process."""
    torch.set_num_threads(1)
    images = read_images()

    def do(rows: Sequence[Row]) -> list[Training]:
        return train(rows, images, protocol)

    return do


def train(rows: Sequence[Row], images: Images, protocol: Protocol = PROTOCOL) -> list[Training]:
    """Train networks of architectures side by side, each with the weights and the order of images of its seed.

    On one machine the same rows give the same bits, with one thread.
    """
    stack = stack_of(rows, protocol)
    orders = [torch.Generator().manual_seed(seed) for _, seed in rows]
    optimizer = torch.optim.SGD(
        stack.parameters(),
        protocol.lr,
        protocol.momentum,
        weight_decay=protocol.weight_decay,
        nesterov=True,
        fused=True,
    )
    (group,) = optimizer.param_groups
    steps, step = protocol.epochs * -(-len(images.train) // protocol.batch_size), 0
    seconds = evaluation_seconds = 0.0
    figures = []
    for _ in range(protocol.epochs):
        began = time.thread_time()
        stack.train()
        order = torch.stack([torch.randperm(len(images.train), generator=generator) for generator in orders])
        for chosen in order.split(protocol.batch_size, 1):
            group["lr"] = protocol.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            logits = stack(images.train[chosen].squeeze(2).transpose(0, 1).contiguous())
            labels = images.train_labels[chosen]
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        trained = time.thread_time()
        figures.append(_evaluate(stack, images))
        seconds += trained - began
        evaluation_seconds += time.thread_time() - trained
    each = round(seconds / len(rows), 4), round(evaluation_seconds / len(rows), 4)
    series: list[list[list[float]]] = torch.stack(figures).permute(2, 1, 0).tolist()
    return [
        Training(
            *each,
            valid_correct=tuple(map(int, valid_correct)),
            valid_loss=tuple(round(loss, 4) for loss in valid_loss),
            test_correct=tuple(map(int, test_correct)),
            test_loss=tuple(round(loss, 4) for loss in test_loss),
        )
        for valid_correct, valid_loss, test_correct, test_loss in series
    ]


def stack_of(rows: Sequence[Row], protocol: Protocol) -> Stack:
    """Return the networks of architectures, each with the initial weights of its seed."""
    genotypes = [from_string(architecture) for architecture, _ in rows]
    networks = []
    for genotype, (_, seed) in zip(genotypes, rows):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks.append(protocol.space.network(genotype))
    return Stack(genotypes, networks, protocol.norm_momentum)


def _evaluate(stack: Stack, images: Images) -> Tensor:
    """Return correct images and mean loss, of the validation and of the test images, of each network, ``(4, m)``."""
    stack.eval()
    with torch.inference_mode():
        parts = images.tested.split(EVALUATED_AT_ONCE)
        logits = torch.cat([stack(part.expand(-1, stack.count, -1, -1).contiguous()) for part in parts], 1)
        labels = images.tested_labels.expand(stack.count, -1)
        losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").double()
        correct = (logits.argmax(2) == labels).double()
    divided = [part.split([DIGITS201_VALID, len(images.tested) - DIGITS201_VALID], 1) for part in (correct, losses)]
    return torch.stack([divided[0][0].sum(1), divided[1][0].mean(1), divided[0][1].sum(1), divided[1][1].mean(1)])
