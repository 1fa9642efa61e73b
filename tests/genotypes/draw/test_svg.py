import io
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from hypothesis import given, settings
from PIL import Image

from genotypes import Cell, CellGenotype, Edge, GenotypeError, library_names, load
from genotypes.draw.layout import lay_out
from genotypes.draw.png import png
from genotypes.draw.svg import COLOURS, THEMES, dot, outline, svg
from tests.strategies import cells, genotypes

SVG = "{http://www.w3.org/2000/svg}"
HALF_EMPTY = load("FairDARTS_g")


@pytest.mark.parametrize("name", library_names())
def test_every_operation_is_written(name):
    genotype = load(name)
    texts = [text.text for text in ElementTree.fromstring(svg(genotype)).iter(f"{SVG}text")]
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


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_colours_everything_that_is_drawn(theme):
    root = ElementTree.fromstring(svg(HALF_EMPTY, theme))
    style = root.find(f"{SVG}style").text
    used = {colour for colour in re.findall("#[0-9a-f]{6}", style)}
    colours = {name: set(re.findall("#[0-9a-f]{6}", str(table))) for name, table in COLOURS.items()}
    assert used == (colours["light"] | colours["dark"] if theme == "auto" else colours[theme])
    assert ("prefers-color-scheme" in style) == (theme == "auto")
    for element in root.iter():
        for kind in filter(None, (element.get("class"),)):
            assert f".{kind} {{" in style or f".{kind}," in style or element is root, kind
    rules = [rule for line in style.split("}") for rule in line.partition("{")[0].split(",") if "@" not in rule]
    assert all(rule.strip().startswith(".genotype ") for rule in rules if rule.strip())


def test_an_edge_without_a_value_looks_another_way():
    root = ElementTree.fromstring(svg(HALF_EMPTY))
    kinds = [path.get("class") for path in root.iter(f"{SVG}path")]
    assert kinds.count("unbuilt") == 1 and kinds.count("edge") == 13
    assert dot(HALF_EMPTY).count("style=dashed") == 1 and dot(HALF_EMPTY).count("rounded,dashed") == 1


def test_a_long_title_is_not_cut():
    narrow = CellGenotype(*[Cell(((Edge("none", 0),),), (2,))] * 2, name="x" * 200)
    assert float(ElementTree.fromstring(svg(narrow)).get("width")) > 200 * 8


@settings(max_examples=50)
@given(genotypes())
def test_dot_has_every_state_and_edge(genotype):
    lines = [line.strip() for line in dot(genotype.named('a "quoted" \\ name')).splitlines()]
    assert lines[0] == 'digraph "a \\"quoted\\" \\\\ name" {'
    statement = re.compile(
        r'\w+ \[label=(<c<sub>[\w-]+</sub>>|"\w+")(, style="rounded,dashed")?\];'
        r'|\w+ -> \w+ \[(label="\w+"(, style=dashed)?|color=gray, arrowhead=none)\];'
        r'|label=".+";|subgraph \w+ \{|\}|rankdir=LR; node \[.*\];'
    )
    assert all(statement.fullmatch(line) for line in lines[1:]), lines
    for label, cell in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        for target, edges in enumerate(cell.nodes, 2):
            for edge in edges:
                assert any(
                    line.startswith(f'{label}_{edge.source} -> {label}_{target} [label="{edge.op}"') for line in lines
                )


@settings(max_examples=50)
@given(genotypes())
def test_the_outline_has_a_line_for_every_edge(genotype):
    normal, reduce = outline(genotype).split("reduction cell\n")
    for text, cell in ((normal, genotype.normal), (reduce, genotype.reduce)):
        rows = [line for line in text.splitlines() if "──" in line]
        wanted = [edge for edges in cell.nodes for edge in edges]
        assert len(rows) == len(wanted)
        for row, edge in zip(rows, wanted):
            name = cell.names[edge.source] if edge.source < 2 else f"node {edge.source - 2}"
            assert row.split(" ── ")[0].strip() == name and edge.op in row.split(" ── ")[1]
        assert len({row.index("▶") for row in text.splitlines()[:-1] if "▶" in row and "concatenated" not in row}) == 1


def test_the_outline_of_a_cell_with_an_empty_node():
    assert outline(HALF_EMPTY).splitlines()[2:13] == [
        "  c_{k-2} ── sep_conv_3x3 ──────────────┬─▶ node 0",
        "  c_{k-1} ── sep_conv_3x3 ──────────────┘",
        "",
        "  no input                               ─▶ node 1 (left out)",
        "",
        "  node 1  ── skip_connect (not built) ──┬─▶ node 2",
        "  c_{k-1} ── sep_conv_5x5 ──────────────┘",
        "",
        "  c_{k-2} ── dil_conv_3x3 ──────────────┬─▶ node 3",
        "  c_{k-1} ── sep_conv_3x3 ──────────────┘",
        "",
    ]


def test_png_has_the_size_and_colours_of_the_svg():
    for theme in ("light", "dark"):
        picture = Image.open(io.BytesIO(png(HALF_EMPTY, theme, scale=1)))
        root = ElementTree.fromstring(svg(HALF_EMPTY, theme))
        assert picture.size == tuple(math.ceil(float(root.get(side))) for side in ("width", "height"))
        found = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in picture.getcolors(100_000)}
        fillings = [COLOURS[theme][kind][0] for kind in ("input", "node", "empty", "output", "label")]
        assert {COLOURS[theme]["ground"], *fillings} <= found


def test_a_png_of_a_huge_cell_stays_small():
    rows = tuple((Edge("none", index), Edge("none", index + 1)) for index in range(200))
    huge = CellGenotype(*[Cell(rows, (201,))] * 2)
    width, height = Image.open(io.BytesIO(png(huge))).size
    assert width * height < 20_000_000


def test_png_without_pillow_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(GenotypeError, match="an installed Pillow, or .svg or .dot"):
        png(HALF_EMPTY)
