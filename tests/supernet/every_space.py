"""Spaces of every kind, large and small, for tests that treat all alike."""

import torch
from torch import nn

from supernet import architectures
from supernet.layer_choice import InputChoice, LayerChoice
from supernet.shapes import ImageShape, LanguageShape, TextShape, TranslationShape
from supernet.spaces.darts.robust import ALLOWED, CANDIDATES
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.examples.convnet import ConvNet
from supernet.spaces.examples.textnet import TextNet
from supernet.spaces.modules import ModuleSpace
from supernet.spaces.nasbench101 import NASBench101Space
from supernet.spaces.nasbench201 import NASBench201Space
from supernet.spaces.recurrent import RecurrentSpace
from supernet.spaces.space import SearchSpace, SpaceOptions
from supernet.spaces.transformer import translation, vision

IMAGES = ImageShape(3, 8, 4)
SHAPES = {
    "textnet": TextShape(9, 5, 3),
    "recurrent": LanguageShape(9),
    "translation": TranslationShape(9, 8, 6, 5),
}
"""Shapes of the data of spaces that read no images."""

FEW = vision.VisionTransformerOptions(widths=(4, 6), heads=(1,), ratios=(1, 2), kernels=(3,))


class Nested(nn.Module):
    """Choices three deep; a label that two candidates share; one that is also reached without a condition; inputs."""

    def __init__(self):
        super().__init__()
        self.activation = self.activate("outer")
        shared = LayerChoice({"a": nn.Linear(4, 4), "b": nn.Identity(), "c": nn.Linear(4, 4)}, "shared")
        again = LayerChoice({"a": nn.Linear(4, 4), "b": nn.Identity(), "c": nn.Linear(4, 4)}, "shared")
        inner = nn.Sequential(LayerChoice({"tanh": nn.Tanh(), "own": self.activate("inner")}, "middle"), shared)
        blocks = {"deep": inner, "other": nn.Sequential(again, self.activate("outer")), "plain": nn.Linear(4, 4)}
        self.block = LayerChoice(blocks, "block")
        self.join = InputChoice(["x", "block", "both"], "join", keep=2)

    @staticmethod
    def activate(label):
        return LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, label)

    def forward(self, x):
        block = self.block(x)
        return self.activation(self.join(x, block, x * block))


FEW_BLOCKS = {
    table.label: ((table.candidates[0],),)
    for table in translation.TranslationSpace(SHAPES["translation"], 4).tables
    if not table.label.startswith(("encoder0.left", "decoder4.post"))
}
"""Of the 81 decisions of the translation space, those that are made: few, since every test follows each."""

SPACES: dict[str, SearchSpace] = {
    "darts": DARTSSpace(IMAGES),
    "s1": DARTSSpace(IMAGES, candidates=CANDIDATES["s1"], allowed=ALLOWED["s1"]),
    "narrowed": DARTSSpace(
        IMAGES,
        nodes=2,
        candidates=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"),
        allowed={
            "normal": (("none", "skip_connect"), ("skip_connect", "sep_conv_3x3", "max_pool_3x3"), ("max_pool_3x3",),
                       ("none", "sep_conv_3x3"), ("skip_connect", "sep_conv_3x3")),
        },
    ),
    "nasbench201": NASBench201Space(IMAGES),
    "nasbench101": NASBench101Space(IMAGES),
    "recurrent": RecurrentSpace(9, nodes=4),
    "vit": vision.make(SpaceOptions(IMAGES, channels=12, layers=3)),
    "translation": translation.TranslationSpace(SHAPES["translation"], 4, allowed=FEW_BLOCKS),
    "convnet": ModuleSpace(ConvNet(IMAGES, 3, 1)),
    "textnet": ModuleSpace(TextNet(TextShape(9, 5, 3), 8, 1)),
    "nested": ModuleSpace(Nested()),
}  # fmt: skip

SMALL: dict[str, SearchSpace] = {
    "darts": DARTSSpace(IMAGES, nodes=2, candidates=("none", "skip_connect", "noise")),
    "narrowed": SPACES["narrowed"],
    "nasbench201": NASBench201Space(IMAGES, candidates=("none", "skip_connect")),
    "recurrent": RecurrentSpace(9, nodes=3, candidates=("none", "tanh", "relu")),
    "vit": vision.make(SpaceOptions(IMAGES, channels=6, layers=2, own=FEW)),
    "nested": SPACES["nested"],
}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def drawn(space, seed):
    return architectures.sample(space, generator(seed))
