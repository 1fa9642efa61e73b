"""Mobile networks with a choice for each block: three stages of inverted residuals, as in NAS-Bench-Macro (Su et al.
2021).

Axes: ``b`` batch, ``c`` channel, ``h w`` space.
"""

from collections.abc import Callable, Mapping
from itertools import accumulate

from torch import Tensor, nn

from supernet.errors import SpaceError
from supernet.heads import HEADS, Level, head
from supernet.layer_choice import LayerChoice
from supernet.shapes import ImageShape
from supernet.spaces.mobile.blocks import ConvBN, Inverted, InvertedResidual
from supernet.spaces.modules import ModuleSpace, space_of_model
from supernet.spaces.space import SpaceOptions

Candidate = Callable[[int, int, int], nn.Module]
"""``(c_in, c_out, stride) -> block``."""

HEAD = 1280
"""Channels of the last convolution."""


def identity(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Return no block: a 1x1 convolution with BatchNorm where the shape changes."""
    return nn.Identity() if stride == 1 and c_in == c_out else ConvBN(c_in, c_out, stride=stride)


def inverted(kernel: int, expansion: int) -> Candidate:
    """Return the builder of an inverted residual of ReLU."""
    return lambda c_in, c_out, stride: InvertedResidual(c_in, c_out, stride, Inverted(kernel, expansion * c_in))


def stage_sizes(layers: int) -> tuple[int, int, int]:
    """Return the blocks of each stage, the later ones having more; the benchmark's 8 are 2, 3 and 3."""
    least, more = divmod(layers, 3)
    return least, least + (more == 2), least + (more > 0)


class MobileNet(nn.Module):
    """A network of stem, three stages of chosen blocks, and head.

    The first block of each stage has stride 2 and doubles the channels.

    Args:
        shape: of the images and the number of classes.
        channels: of the stem.
        layers: number of blocks in all stages.
        candidates: name -> builder of each block's candidates.

    Raises:
        SpaceError: where there are fewer blocks than stages.
    """

    def __init__(self, shape: ImageShape, channels: int, layers: int, candidates: Mapping[str, Candidate]):
        super().__init__()
        if layers < 3:
            raise SpaceError(f"`space.layers` is {layers}; three stages need 3 or more blocks")
        self.stem = ConvBN(shape.channels, channels, kernel=3, activation="relu")
        blocks: list[nn.Module] = []
        levels: list[Level] = []
        self.ends = tuple(accumulate(stage_sizes(layers)))
        for size in stage_sizes(layers):
            for index in range(size):
                before, stride = channels, 1 if index else 2
                channels *= stride
                made = {name: make(before, channels, stride) for name, make in candidates.items()}
                blocks.append(LayerChoice(made, f"block{len(blocks)}"))
            levels.append(Level(channels, 2 ** (len(levels) + 1)))
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvBN(channels, HEAD, activation="relu")
        self.classifier = head(shape, [*levels[:-1], levels[-1]._replace(channels=HEAD)])

    def forward(self, x: Tensor) -> Tensor:
        """Return what the head predicts of images ``(b, c, h, w)``, such as logits of classes, ``(b, classes)``."""
        x, levels = self.stem(x), []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if self.classifier.reads_all_levels and number in self.ends[:-1]:
                levels.append(x)
        return self.classifier([*levels, self.last(x)])


def make(options: SpaceOptions, candidates: Mapping[str, Candidate]) -> ModuleSpace:
    """Return the space of a run whose blocks have these candidates.

    Raises:
        SpaceError: where the data set holds no images, or the options do not apply.
    """

    def build(options: SpaceOptions) -> MobileNet:
        assert isinstance(options.shape, ImageShape)
        return MobileNet(options.shape, options.channels, options.layers, candidates)

    return space_of_model(build, options, ImageShape, "images", HEADS)
