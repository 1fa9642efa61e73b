"""Searches small enough to run whole: a few images of three classes, a supernet of three cells."""

from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from darts.artifacts.checkpoint import load, save
from darts.bilevel.hypergradients import KeptGradients
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Softmax
from darts.config import MethodConfig, SearchConfig, SearchSpaceConfig
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from darts.oneshot.builder import make_search
from darts.oneshot.stages import Setting
from supernet.choice import ChoiceTable
from supernet.layer_choice import InputChoice, LayerChoice
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.modules import ModuleSpace, refuse

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
    components = {key: options.pop(key) for key in list(options) if key in MethodConfig.__dataclass_fields__}
    method = method if isinstance(method, MethodConfig) else MethodConfig(method, **components)
    return SearchConfig(space=space, method=method, epochs=epochs, batch_size=8, **options)


def search(settings, count=32, make=None):
    images = data(count)
    return make_search(settings, images, CPU, setting=Setting(images.shape, make))


def few_candidates(options):
    """The DARTS space with four candidates, one of each kind."""
    names = options.kept(("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"))
    size = options.channels, options.layers, options.own.nodes
    return DARTSSpace(options.shape, *size, names, partial=options.partial, allowed=options.allowed)


class Model(nn.Module):
    """A network of a user's: three choices, one inside another, one of two inputs of three."""

    def __init__(self):
        super().__init__()
        inner = LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, "activation")
        blocks = {"plain": nn.Linear(64, 8), "deep": nn.Sequential(nn.Linear(64, 8), inner, nn.Linear(8, 8))}
        self.block = LayerChoice(blocks, "block")
        self.stem, self.join = nn.Linear(64, 8), InputChoice(["stem", "block", "both"], "join", keep=2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        stem, block = self.stem(x.flatten(1)), self.block(x.flatten(1))
        return self.head(self.join(stem, block, stem * block))


def modules(options):
    refuse(options)
    return ModuleSpace(Model(), options.allowed)


def run(task, epoch=0, step=0, stop=None, saving=()):
    """Go on from an epoch and step, to the end or until before ``stop``, a pair of both.

    ``saving`` are such pairs, each with a file that the state before that step is saved to in passing; a step of
    ``None`` stands for the epoch's end.
    """
    files = dict(saving)
    while epoch < task.epochs:
        task.begin_epoch(epoch, step)
        for within in range(step, task.steps_per_epoch):
            if (epoch, within) == stop:
                return task
            if (epoch, within) in files:
                save(files[epoch, within], {"task": task.state()})
            task.step()
        task.end_epoch(epoch, lambda done, examples: None)
        if (epoch, None) in files:
            save(files[epoch, None], {"task": task.state()})
        epoch, step = epoch + 1, 0
    return task


def resumed(task, path, epoch, step=0):
    """A new task at the state of a file, and on from there to its end."""
    task.load_state(load(path)["task"])
    return run(task, epoch, step)


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
    generator, redraws, kept = None, False, KeptGradients()

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
            sides.append(float(torch.as_tensor(function(moved), dtype=torch.float64).detach()))
        grad.view(-1)[index] = (sides[0] - sides[1]) / (2 * delta)
    return grad
