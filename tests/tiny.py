"""Searches small enough to run whole: a few images of three classes, a supernet of three cells."""

from contextlib import nullcontext

import numpy as np
import torch

from darts.augment import Augmentation
from darts.bilevel import SearchProblem
from darts.checkpoint import load, save
from darts.config import MethodConfig, SearchConfig, SearchSpaceConfig
from darts.data import Arrays, resident
from darts.relax import Softmax
from darts.search import SearchTask
from supernet.choice import ChoiceTable
from supernet.network import ImageShape
from supernet.spaces.darts import DARTSSpace

CPU = torch.device("cpu")
TABLE = ChoiceTable("t", ("none", "a", "b", "c"), (2, 3))
SPACE = DARTSSpace(
    ImageShape(3, 8, 4), channels=2, layers=3, nodes=1, candidates=("none", "skip_connect", "dil_conv_3x3")
)


def data(count=32):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = (rng.integers(0, 80, (count, 1, 8, 8)) + labels[:, None, None, None] * 60).astype(np.uint8)
    arrays = Arrays(images, labels, images[:12], labels[:12])
    return resident("tiny", arrays, Augmentation(1), torch.Generator().manual_seed(0))


def config(method="darts", channels=4, nodes=1, epochs=3, **options):
    space = SearchSpaceConfig(channels=channels, layers=3, nodes=nodes)
    pieces = {key: options.pop(key) for key in list(options) if key in MethodConfig.__dataclass_fields__}
    return SearchConfig(space=space, method=MethodConfig(method, **pieces), epochs=epochs, batch_size=8, **options)


def search(settings):
    return SearchTask(settings, data(), CPU)


def run(task, epoch=0, step=0, stop=None):
    """Go on from an epoch and step, to the end or until before ``stop``, a pair of both."""
    while epoch < task.epochs:
        task.begin_epoch(epoch, step)
        for within in range(step, task.steps_per_epoch):
            if (epoch, within) == stop:
                return task
            task.step()
        task.end_epoch(epoch, lambda done, examples: None)
        epoch, step = epoch + 1, 0
    return task


def interrupted(settings, stop, path):
    """The same search, saved before a step, and gone on with by another task."""
    save(path, {"task": run(search(settings), stop=stop).state()})
    task = search(settings)
    task.load_state(load(path)["task"])
    return run(task, *stop)


def problem(space=SPACE, backend="reference", **options):
    """A problem in float64 after one step of its weights, a training and a validation batch."""
    torch.manual_seed(0)
    supernet = space.supernet(backend).double()
    logits = {t.label: torch.randn(t.rows, len(t.candidates)).double().requires_grad_() for t in space.tables}
    optimizer = torch.optim.SGD(supernet.parameters(), 0.05, momentum=0.9, weight_decay=3e-4)
    generator = torch.Generator().manual_seed(0)
    options = {"relax": Softmax(), **options}
    relax = options.pop("relax")
    made = SearchProblem(supernet, space.tables, logits, relax, optimizer, generator, nullcontext(), **options)
    train, valid = ((torch.randn(6, 3, 8, 8).double(), torch.arange(6) % 4) for _ in range(2))
    made.train_weights(train, 5.0)
    return made, train, valid


class Smooth:
    """A bilevel problem without kinks: the lower loss couples weights and logits, the upper one pulls elsewhere."""

    learning_rate = 0.1

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.a, self.b = (torch.randn(5, 3, generator=generator).double() for _ in range(2))
        self.weights = {"w": torch.randn(3, generator=generator).double().requires_grad_()}
        self.logits = {"t": torch.randn(5, generator=generator).double().requires_grad_()}

    def lower(self, weights, logits, batch):
        return (torch.tanh(self.a @ weights["w"]) * logits["t"].softmax(0)).sum() * batch

    def upper(self, weights, logits, batch):
        return (self.b @ weights["w"] - logits["t"]).square().mean() * batch

    def virtual_step(self, weights, grads):
        return {"w": weights["w"] - self.learning_rate * (grads["w"] + 0.01 * weights["w"])}


def numeric(function, x, delta=1e-6):
    """The gradient of a scalar function by central differences."""
    grad = torch.zeros_like(x)
    for index in range(x.numel()):
        sides = []
        for step in (delta, -delta):
            moved = x.detach().clone()
            moved.view(-1)[index] += step
            sides.append(float(torch.as_tensor(function(moved)).detach()))
        grad.view(-1)[index] = (sides[0] - sides[1]) / (2 * delta)
    return grad
