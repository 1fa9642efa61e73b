"""Pictures of genotypes as PNG, by matplotlib where it is installed. The same layout and colours as the SVG."""

import io

from genotypes.draw import COLOURS, TITLE, curve, size_of, subscript, titled_layouts
from genotypes.genotype import CellGenotype, Fault, GenotypeError
from genotypes.layout import Layout

PIXELS_AN_INCH = 96


def png(genotype: CellGenotype, theme: str = "light", scale: float = 2.0) -> bytes:
    """Both cells, one above the other.

    Args:
        genotype: to draw.
        theme: ``light`` or ``dark``; a PNG cannot follow its viewer, so ``auto`` is light.
        scale: of the picture to the SVG's pixels.

    Raises:
        GenotypeError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        allowed = "an installed matplotlib, or .svg or .dot, which need none"
        raise GenotypeError([Fault("--output", "a .png", allowed)], "draw") from None
    colours = COLOURS["light" if theme == "auto" else theme]
    cells = titled_layouts(genotype)
    width, height = size_of(cells)
    figure = Figure((width / PIXELS_AN_INCH, height / PIXELS_AN_INCH), facecolor=colours["ground"])
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), frame_on=False, xticks=(), yticks=())
    top = 0.0
    for title, layout in cells:
        axes.text(20, top + 22, _plain(title), color=colours["text"], size=_points(14), weight="bold", va="center")
        _draw(axes, layout, top + TITLE, colours)
        top += layout.height + TITLE
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_AN_INCH * scale)
    return buffer.getvalue()


def _draw(axes, layout: Layout, top: float, colours: dict) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    for kind, line in layout.lines:
        points, codes = [], []
        for piece in curve([layout.boxes[index] for index in line]):
            points += [(x, y + top) for x, y in zip(piece[::2], piece[1::2])]
            codes += [Path.CURVE4] * 3 if len(piece) == 6 else [Path.LINETO if codes else Path.MOVETO]
        arrow = FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>" if kind == "edge" else "-", mutation_scale=9)
        arrow.set(color=colours[kind], fill=kind == "edge", linewidth=_points(1.4 if kind == "edge" else 1.2))
        arrow.set_linestyle("--" if kind == "unbuilt" else "-")
        axes.add_patch(arrow)
    for box in layout.boxes:
        if box.kind == "pass":
            continue
        fill, border = colours[box.kind]
        corner = (box.x - box.width / 2 + 6, top + box.y - box.height / 2 + 6)
        shape = FancyBboxPatch(corner, box.width - 12, box.height - 12, boxstyle="round,pad=6", fc=fill, ec=border)
        shape.set(linewidth=_points(1), linestyle="--" if box.kind == "empty" else "-")
        axes.add_patch(shape)
        base, index = subscript(box.text)
        text = f"${base}_{{{index}}}$" if index else box.text
        axes.text(box.x, top + box.y, text, color=colours["text"], size=_points(12), ha="center", va="center")


def _points(pixels: float) -> float:
    return pixels * 72 / PIXELS_AN_INCH


def _plain(text: str) -> str:
    """A dollar sign as itself, not as the begin of a formula."""
    return text.replace("$", r"\$")
