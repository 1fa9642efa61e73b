"""The training of one architecture for the digits benchmark, and how it is done for all of them.

The network is that of NAS-Bench-201 with few channels and one cell in each stage; SGD with Nesterov's momentum and a
cosine schedule, as in the benchmark. No augmentation. Validation and test images are evaluated after every epoch, in
one pass.

Axes: ``b`` image.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.data.readers import DIGITS201_TRAIN, DIGITS201_VALID, divided_digits
from genotypes.types.nasbench201 import NASBench201Genotype, from_string
from supernet.ops import BatchNorm
from supernet.shapes import ImageShape
from supernet.spaces import SPACES
from supernet.spaces.space import SearchSpace, SpaceOptions

DIGITS = 1797
"""Images of scikit-learn's digits."""

CPU = torch.device("cpu")
EVALUATED_AT_ONCE = 500
"""Images of a forward pass in evaluation, so that activations stay in the processor's cache."""


@dataclass(frozen=True)
class Protocol:
    """How every architecture is trained."""

    train_images: int = DIGITS201_TRAIN
    """Images that are trained on; of the others, ``DIGITS201_VALID`` are for validation, the rest for testing."""
    channels: int = 8
    """Width of the first stage."""
    layers: int = 1
    """Cells in each stage."""
    epochs: int = 8
    """Passes over the training images."""
    batch_size: int = 50
    """Images of a step; the last images of an epoch that fill no batch are left out."""
    lr: float = 0.1
    """First learning rate; it falls to 0 along a cosine, step by step."""
    momentum: float = 0.9
    """Of Nesterov's kind."""
    weight_decay: float = 5e-4
    """On all parameters."""
    norm_momentum: float = 0.1
    """Of BatchNorm's running statistics; a short training needs a larger one than PyTorch's 0.1, or they lag behind."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the initial weights and of the order of images: one training each."""

    @property
    def test_images(self) -> int:
        """Number of test images."""
        return DIGITS - self.train_images - DIGITS201_VALID

    @property
    def space(self) -> SearchSpace:
        """The space, of this width and depth, on the digits."""
        options = SpaceOptions(ImageShape(1, 8, 10), channels=self.channels, layers=self.layers)
        return SPACES["nasbench201"].make(options)


PROTOCOL = Protocol()
"""The benchmark's."""


@dataclass(frozen=True)
class Images:
    """The digits, as the benchmark divides them.

    Attributes:
        train, train_labels: ``(b, 1, 8, 8)`` and ``(b,)``; mean 0 and standard deviation 1 over all pixels.
        tested, tested_labels: normalized with the same numbers; validation images, then test images.
        valid: number of validation images.
    """

    train: Tensor
    train_labels: Tensor
    tested: Tensor
    tested_labels: Tensor
    valid: int


@dataclass(frozen=True)
class Training:
    """What is recorded of a training.

    Attributes:
        seconds: that the process computed for all epochs, without evaluation.
        evaluation_seconds: that it computed for all evaluations.
        valid_correct, test_correct: number of correctly classified images after each epoch.
        valid_loss, test_loss: mean cross-entropy after each epoch.
    """

    seconds: float
    evaluation_seconds: float
    valid_correct: tuple[int, ...]
    valid_loss: tuple[float, ...]
    test_correct: tuple[int, ...]
    test_loss: tuple[float, ...]


def read_images(protocol: Protocol = PROTOCOL) -> Images:
    """Return the digits in memory."""
    arrays = divided_digits(protocol.train_images)
    train, tested = (torch.from_numpy(part).float() for part in (arrays.train_images, arrays.test_images))
    std, mean = torch.std_mean(train, correction=0)
    return Images(
        train=(train - mean) / std,
        train_labels=torch.from_numpy(arrays.train_labels),
        tested=(tested - mean) / std,
        tested_labels=torch.from_numpy(arrays.test_labels),
        valid=DIGITS201_VALID,
    )


def trainer(protocol: Protocol) -> Callable[[tuple[str, int]], Training]:
    """Return what trains an architecture, given as its string, with a seed, on one thread of this process."""
    torch.set_num_threads(1)
    images = read_images(protocol)

    def do(row: tuple[str, int]) -> Training:
        architecture, seed = row
        return train(from_string(architecture), seed, images, protocol)

    return do


def train(genotype: NASBench201Genotype, seed: int, images: Images, protocol: Protocol = PROTOCOL) -> Training:
    """Train the network of an architecture; on one machine the same seed gives the same bits, with one thread."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = protocol.space.network(genotype)
    for weight in network.parameters():
        if weight.ndim == 4:  # activations follow; a third faster than PyTorch's default on a CPU
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.momentum = protocol.norm_momentum
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        protocol.lr,
        protocol.momentum,
        weight_decay=protocol.weight_decay,
        nesterov=True,
        fused=True,
    )
    (group,) = optimizer.param_groups
    batches = len(images.train) // protocol.batch_size
    steps, step = batches * protocol.epochs, 0
    seconds = evaluation_seconds = 0.0
    figures = []
    for _ in range(protocol.epochs):
        began = time.thread_time()
        network.train()
        order = torch.randperm(len(images.train), generator=generator)
        for chosen in order[: batches * protocol.batch_size].split(protocol.batch_size):
            group["lr"] = protocol.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = F.cross_entropy(network(images.train[chosen]), images.train_labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        trained = time.thread_time()
        figures.append(_evaluate(network, images))
        seconds += trained - began
        evaluation_seconds += time.thread_time() - trained
    valid_correct, valid_loss, test_correct, test_loss = zip(*figures)
    return Training(round(seconds, 4), round(evaluation_seconds, 4), valid_correct, valid_loss, test_correct, test_loss)


def _evaluate(network: nn.Module, images: Images) -> tuple[int, float, int, float]:
    """Return correct images and mean loss, of the validation and of the test images."""
    network.eval()
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in images.tested.split(EVALUATED_AT_ONCE)])
        losses = F.cross_entropy(logits, images.tested_labels, reduction="none")
        correct = logits.argmax(1) == images.tested_labels
    figures: list[float] = []
    for part in (slice(0, images.valid), slice(images.valid, None)):
        figures += [int(correct[part].sum()), round(float(losses[part].mean()), 4)]
    return figures[0], figures[1], figures[2], figures[3]  # type: ignore[return-value]
