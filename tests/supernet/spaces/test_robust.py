import pytest
import torch

from supernet.ops import Noise, draw_noise_from
from supernet.shapes import ImageShape
from supernet.spaces.darts.robust import ALLOWED, CANDIDATES
from supernet.spaces.darts.space import DARTSSpace


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_reduced_space_has_a_supernet(name):
    space = DARTSSpace(ImageShape(3, 8, 4), 2, 3, candidates=CANDIDATES[name], allowed=ALLOWED.get(name, {}))
    supernet = space.supernet()
    draw_noise_from(torch.Generator().manual_seed(0), supernet)
    gates = {table.label: table.mask.float() for table in space.tables}
    assert torch.isfinite(supernet(torch.randn(2, 3, 8, 8), gates)).all()
    for cell, table in zip(supernet.cells, [space.tables[i] for i in (0, 1, 1)]):
        built = sum(len(edges) for source in cell.inside.graph.sources for edges in source.edges.values())
        assert built == table.mask.sum() == (28 if name == "s1" else 14 * len(CANDIDATES[name]))


def test_noise_ignores_its_input_and_repeats_with_its_generator():
    noise, x = Noise(2), torch.full((2, 3, 5, 5), torch.inf)
    drawn = []
    for _ in range(2):
        noise.generator = torch.Generator().manual_seed(3)
        drawn.append(noise(x))
    assert torch.equal(*drawn) and drawn[0].shape == (2, 3, 3, 3) and torch.isfinite(drawn[0]).all()
