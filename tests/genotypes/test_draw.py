import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from hypothesis import given, settings

from genotypes import library_names, load
from genotypes.draw import svg
from genotypes.layout import lay_out
from tests.strategies import cells, genotypes


@pytest.mark.parametrize("name", library_names())
def test_every_operation_is_written(name):
    genotype = load(name)
    texts = [text.text for text in ElementTree.fromstring(svg(genotype)).iter("{http://www.w3.org/2000/svg}text")]
    wanted = [edge.op for cell in (genotype.normal, genotype.reduce) for edges in cell.nodes for edge in edges]
    assert sorted(text for text in texts if text in set(wanted)) == sorted(wanted)


@settings(max_examples=60, deadline=None)
@given(cells())
def test_nothing_overlaps_or_leaves_the_picture(cell):
    layout = lay_out(cell)
    for box in layout.boxes:
        assert box.x - box.width / 2 >= 0 and box.x + box.width / 2 <= layout.width
        assert box.y - box.height / 2 >= 0 and box.y + box.height / 2 <= layout.height
    for a, b in combinations(layout.boxes, 2):
        apart = abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= (a.height + b.height) / 2
        assert apart, (a, b)


@settings(max_examples=30, deadline=None)
@given(genotypes())
def test_svg_is_well_formed(genotype):
    root = ElementTree.fromstring(svg(genotype))
    assert float(root.get("width")) > 100 and float(root.get("height")) > 100
