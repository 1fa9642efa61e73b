import xml.etree.ElementTree as ElementTree

import torch

from darts.artifacts.gate_heatmaps import colour, gates_svg
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace


def test_every_gate_of_every_epoch_is_drawn():
    space = DARTSSpace(ImageShape(3, 32, 10), nodes=2)
    history = {t.label: torch.rand(4, t.rows, len(t.candidates)).softmax(-1) for t in space.tables}
    root = ElementTree.fromstring(gates_svg(history, space.tables, space.titles))
    svg = "{http://www.w3.org/2000/svg}"
    cells = [rect for rect in root.iter(f"{svg}rect") if rect.get("class") == "gate"]
    assert len(cells) == 2 * 4 * 5 * 8
    texts = {text.text for text in root.iter(f"{svg}text")}
    assert {"sep_conv_3x3", "c\u2096\u208b\u2081 \u2192 1", "0 \u2192 1"} <= texts
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in cells:
        assert 0 <= float(rect.get("x")) <= width and 0 <= float(rect.get("y")) <= height


def test_colours_run_from_light_to_dark():
    shades = [sum(int(colour(gate)[i : i + 2], 16) for i in (1, 3, 5)) for gate in (-1, 0, 0.1, 0.5, 1, 2)]
    assert shades == sorted(shades, reverse=True) and shades[0] == shades[1] and shades[-1] == shades[-2]
