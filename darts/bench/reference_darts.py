"""Steps of the authors' code (github.com/quark0/darts, its ``cnn/`` folder) from a checkout, measured beside ours.

Nothing of it is part of this project. Its modules are loaded from the folder that the user names; only calls that no
longer run are changed, in memory: argument orders that PyTorch has dropped, and ``.cuda()`` where there is no GPU.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import nn

from darts.errors import UserError

PACKAGE = "quark0_cnn"
MODULES = ("genotypes", "operations", "utils", "model_search", "model", "architect")
"""Their modules that are loaded."""

CHANGED = (
    ("theta.sub(eta, moment+dtheta)", "theta.sub(moment+dtheta, alpha=eta)"),
    ("p.data.add_(R, v)", "p.data.add_(v, alpha=R)"),
    ("p.data.sub_(2*R, v)", "p.data.sub_(v, alpha=2*R)"),
    ("g.data.sub_(eta, ig.data)", "g.data.sub_(ig.data, alpha=eta)"),
)
"""Calls that no longer run, and their replacements."""


class _Source(SourceLoader):
    """Loads one of their modules, with the replacements made in memory."""

    def __init__(self, path: Path, device: torch.device):
        self.path, self.device = path, device

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str) -> bytes:
        text = self.path.read_text()
        for old, new in CHANGED:
            text = text.replace(old, new)
        if self.device.type == "cpu":
            text = text.replace(".cuda()", "").replace("torch.cuda.FloatTensor", "torch.FloatTensor")
        return re.sub(rf"^(\s*)(from|import) ({'|'.join(MODULES)})\b", rf"\1\2 {PACKAGE}.\3", text, flags=re.M).encode()


class _Finder(MetaPathFinder):
    """Finds their modules, as parts of the package ``PACKAGE``."""

    def __init__(self, folder: Path, device: torch.device):
        self.folder, self.device = folder, device

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == PACKAGE:
            return ModuleSpec(PACKAGE, None, is_package=True)
        head, _, name = fullname.partition(".")
        if head != PACKAGE or name not in MODULES:
            return None
        return importlib.util.spec_from_loader(fullname, _Source(self.folder / f"{name}.py", self.device))


def load_authors(checkout: Path, device: torch.device) -> SimpleNamespace:
    """Return their modules ``model_search``, ``model``, ``architect`` and ``genotypes``.

    Raises:
        UserError: where the folder is not a checkout of theirs.
    """
    folder = checkout / "cnn" if (checkout / "cnn").is_dir() else checkout
    missing = [name for name in MODULES if not (folder / f"{name}.py").is_file()]
    if missing:
        file = folder / f"{missing[0]}.py"
        raise UserError(f"--authors {checkout}: not a checkout of github.com/quark0/darts, {file} is missing")
    finder = _Finder(folder, device)
    sys.meta_path.insert(0, finder)
    try:
        names = ("model_search", "model", "architect", "genotypes")
        return SimpleNamespace(**{name: importlib.import_module(f"{PACKAGE}.{name}") for name in names})
    finally:
        sys.meta_path.remove(finder)


def authors_search_step(checkout: Path, device: torch.device, batch_size: int, unrolled: bool) -> Callable[[], None]:
    """Return one step of their search at paper settings, as in their ``train_search.py``: alphas, then weights.

    All steps use one random batch; drawing and augmenting batches is not part of them.
    """
    authors = load_authors(checkout, device)
    criterion = nn.CrossEntropyLoss().to(device)
    with redirect_stdout(StringIO()):  # it prints its channels
        model = authors.model_search.Network(16, 10, 8, criterion).to(device)
    sgd = torch.optim.SGD(model.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    settings = SimpleNamespace(momentum=0.9, weight_decay=3e-4, arch_learning_rate=3e-4, arch_weight_decay=1e-3)
    architect = authors.architect.Architect(model, settings)
    images = torch.randn(batch_size, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (batch_size,), device=device)

    def step() -> None:
        architect.step(images, labels, images, labels, 0.025, sgd, unrolled=unrolled)
        sgd.zero_grad()
        criterion(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        sgd.step()

    return step


def authors_retrain_step(checkout: Path, device: torch.device, batch_size: int) -> Callable[[], None]:
    """Return one step of their retraining of DARTS_V2 at paper settings: 20 cells, 36 channels, an auxiliary head.

    The drop-path probability is that of mid-training. All steps use one random batch; drawing and augmenting batches is
    not part of them.
    """
    authors = load_authors(checkout, device)
    criterion = nn.CrossEntropyLoss().to(device)
    with redirect_stdout(StringIO()):
        model = authors.model.NetworkCIFAR(36, 10, 20, True, authors.genotypes.DARTS_V2).to(device)
    model.drop_path_prob = 0.1
    sgd = torch.optim.SGD(model.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    images = torch.randn(batch_size, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (batch_size,), device=device)

    def step() -> None:
        sgd.zero_grad()
        scores, auxiliary = model(images)
        (criterion(scores, labels) + 0.4 * criterion(auxiliary, labels)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        sgd.step()

    return step
