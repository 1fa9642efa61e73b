"""Pictures of cells as PNG, drawn by Pillow with the layout and colours of the SVG."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genotypes.draw.layout import Box, Layout
from genotypes.draw.svg import COLOURS, TITLE, curve, size_of, subscript, titled_layouts
from genotypes.faults import Fault, GenotypeError
from genotypes.types.cell import CellGenotype

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

OVERSAMPLING = 2
"""Lines are drawn this many times larger, then reduced: Pillow's own lines are not anti-aliased."""

MOST_PIXELS = 20_000_000
"""A picture that would be larger, of a cell of hundreds of nodes, is scaled down."""

Point = tuple[float, float]


def png(genotype: CellGenotype, theme: str = "light", scale: float = 2.0) -> bytes:
    """Draw both cells, one above the other.

    Args:
        genotype: to draw.
        theme: ``light`` or ``dark``; a PNG cannot follow its viewer, so ``auto`` is light.
        scale: pixels for each pixel of the SVG.

    Raises:
        GenotypeError: where Pillow is not installed.
    """
    buffer = io.BytesIO()
    image(genotype, theme, scale).save(buffer, format="png")
    return buffer.getvalue()


def image(genotype: CellGenotype, theme: str = "light", scale: float = 2.0) -> Image:
    """Return the picture of ``png`` as an RGB image."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        allowed = "an installed Pillow, or .svg or .dot, which need none"
        raise GenotypeError([Fault("--output", "a .png", allowed)], "draw") from None
    colours: dict[str, Any] = {**COLOURS["light" if theme == "auto" else theme]}
    cells = titled_layouts(genotype)
    width, height = size_of(cells)
    scale = min(scale, math.sqrt(MOST_PIXELS / (width * height)) / OVERSAMPLING)
    fine = OVERSAMPLING * scale
    picture = Image.new("RGB", (math.ceil(width * fine), math.ceil(height * fine)), colours["ground"])
    pencil, top = ImageDraw.Draw(picture), 0.0
    for _, layout in cells:
        _shapes(pencil, layout, top + TITLE, fine, colours)
        top += layout.height + TITLE
    picture = picture.resize((math.ceil(width * scale), math.ceil(height * scale)), Image.Resampling.LANCZOS)
    pencil, top = ImageDraw.Draw(picture), 0.0
    title, plain, small = (ImageFont.load_default(size * scale) for size in (15, 12.5, 9.5))
    for text, layout in cells:
        pencil.text((20 * scale, (top + 22) * scale), text, colours["text"], title, anchor="lm", stroke_width=scale / 5)
        for box in layout.boxes:
            x, y = box.x * scale, (top + TITLE + box.y) * scale
            base, index = subscript(box.text)
            shift = pencil.textlength(index, small) / 2
            pencil.text((x - shift, y), base, colours["text"], plain, anchor="mm")
            left = x - shift + pencil.textlength(base, plain) / 2
            pencil.text((left, y + 4 * scale), index, colours["text"], small, anchor="lm")
        top += layout.height + TITLE
    return picture


def _shapes(pencil: ImageDraw, layout: Layout, top: float, scale: float, colours: dict[str, Any]) -> None:
    for kind, line in layout.lines:
        points = _points([layout.boxes[index] for index in line])
        points = [(x * scale, (y + top) * scale) for x, y in points]
        _stroke(pencil, points, colours[kind], 1.4 * scale, kind == "unbuilt")
        if kind == "edge":
            x, y = points[-1]
            pencil.polygon([(x, y), (x - 8 * scale, y - 4 * scale), (x - 8 * scale, y + 4 * scale)], colours[kind])
    for box in layout.boxes:
        if box.kind == "pass":
            continue
        fill, border = colours[box.kind]
        left, right = (box.x + side * box.width / 2 for side in (-1, 1))
        high, low = (box.y + top + side * box.height / 2 for side in (-1, 1))
        corners = (left * scale, high * scale, right * scale, low * scale)
        if box.kind == "empty":
            border_line = [(left, high), (right, high), (right, low), (left, low), (left, high)]
            pencil.rectangle(corners, fill)
            _stroke(pencil, _fine([(x * scale, y * scale) for x, y in border_line], scale), border, scale, True)
        else:
            pencil.rounded_rectangle(corners, 6 * scale, fill, border, round(scale))


def _points(boxes: list[Box]) -> list[Point]:
    """Return points along the line through boxes."""
    (x, y), *segments = curve(boxes)
    points = [(x, y)]
    for segment in segments:
        if len(segment) == 6:
            x0, y0 = points[-1]
            x1, y1, x2, y2, x3, y3 = segment
            for step in range(1, 25):
                t = step / 24
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
                points.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
        else:
            points.append((segment[0], segment[1]))
    return points


def _fine(corners: Sequence[Point], step: float) -> list[Point]:
    """Return points on a polygon's sides, about ``step`` apart."""
    points = [corners[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        count = max(1, round(math.dist((x0, y0), (x1, y1)) / step))
        points += [(x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count) for k in range(1, count + 1)]
    return points


def _stroke(pencil: ImageDraw, points: Sequence[Point], colour: str, width: float, dashed: bool) -> None:
    if not dashed:
        pencil.line(points, colour, round(width), joint="curve")
        return
    far = 0.0
    for before, after in itertools.pairwise(points):
        if far % (8 * width) < 4 * width:
            pencil.line([before, after], colour, round(width))
        far += math.dist(before, after)
