"""A sheet as a picture: every pixel of a panel stays what it is, marks and letters lie over it."""

import io
import warnings
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text

from hmtl.errors import ConfigError
from hmtl.show.marks import Arrow, Badge, Mark, Outline
from hmtl.show.sheet import Panel, Sheet, SheetRow

DPI = 100
# In px.
MARGIN, GAP, NAMES = 20, 12, 204
_TITLE, _LINE = 92, 13
# Width of a letter, of a bold one.
_LETTER, _BOLD = 5.7, 6.7
_SHORTEST_ARROW = 14.0
_OVER_LETTERS = 4
# matplotlib's renderer has no more.
_WIDEST = 2**16 - 1
_MOST_ROWS, _MOST_PIXELS, _USUAL_LINES = 64, 80_000_000, 6
_INK, _PALE, _WRONG = "#22262b", "#6b7280", "#b42318"
_BODY, _SMALL = 7.5, 7.0


def sheet_width(columns: int, cell: int) -> int:
    """Return the width in px of a sheet of so many columns of panels."""
    return 2 * MARGIN + NAMES + columns * (cell + GAP)


def most_rows(columns: int, cell: int) -> int:
    """Return how many samples a sheet may have; raise ConfigError where it would be too wide."""
    width = sheet_width(columns, cell)
    _check_side("wide", width)
    fitting = _MOST_PIXELS // (width * row_height(cell, _USUAL_LINES))
    return max(1, min(_MOST_ROWS, fitting))


def _check_side(what: str, side: int) -> None:
    if side > _WIDEST:
        raise ConfigError(
            f"a sheet may be {_WIDEST:,} px {what}, got {side:,}: ask for fewer or smaller images"
        )


def row_height(cell: int, lines: int) -> int:
    """Return the height in px of a row whose panels have so many lines below."""
    return cell + lines * _LINE + 2 * GAP


def panel_place(sheet: Sheet, row: int, column: int) -> tuple[int, int]:
    """Return x and y of a panel's upper left pixel on the sheet."""
    above = sum(row_height(sheet.cell, _lines(sheet, other)) for other in sheet.rows[:row])
    return MARGIN + NAMES + column * (sheet.cell + GAP), _TITLE + above


def sheet_png(sheet: Sheet, *, labels: bool = True) -> bytes:
    """Return a sheet as the bytes of a PNG file; without `labels` nothing lies over the panels.

    Raises ConfigError where it would be too wide.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The name of a file may have letters that the font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        sheet_figure(sheet, labels=labels).savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def sheet_figure(sheet: Sheet, *, labels: bool = True) -> Figure:
    """Draw a sheet; one unit of its only axes is a pixel, counted from the upper left corner."""
    width = sheet_width(len(sheet.headings), sheet.cell)
    height = panel_place(sheet, len(sheet.rows), 0)[1] + MARGIN
    _check_side("wide", width)
    _check_side("high", height)
    # A little more, so that no pixel is lost to rounding.
    figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), zorder=1)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    _draw_head(axes, sheet)
    for number, row in enumerate(sheet.rows):
        _draw_row(figure, axes, sheet, number, row, labels=labels)
    return figure


def _lines(sheet: Sheet, row: SheetRow) -> int:
    """Return how many lines of text stand below the highest column of a row."""
    below = max(len(_wrapped(panel.lines, sheet.cell)) for panel in row.panels)
    name, known = wrap(row.name, int((NAMES - GAP) / _BOLD)), _wrapped(row.lines, NAMES - GAP)
    return max(below, len(name) + len(known) - sheet.cell // _LINE)


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    letters = int(width / _LETTER)
    return [part for line in lines for part in wrap(line, letters, subsequent_indent="  ")]


def _write(
    axes: Axes, x: float, y: float, text: str, *, size: float = _SMALL, **other: Any
) -> Text:
    style = {"color": _INK, "va": "top", "ha": "left", **other}
    # A name that is not UTF-8 holds surrogates.
    letters = text.encode(errors="backslashreplace").decode()
    return axes.text(x, y, letters, fontsize=size, parse_math=False, **style)


def _draw_head(axes: Axes, sheet: Sheet) -> None:
    """Write title, legend and what the columns are."""
    _write(axes, MARGIN, 14, sheet.title, size=12, weight="bold")
    _write(axes, MARGIN, 36, sheet.subtitle, size=_BODY, color=_PALE)
    x = float(MARGIN)
    for color, name in sheet.legend:
        axes.add_patch(Rectangle((x, 56), 14, 8, facecolor=color, edgecolor=_PALE, linewidth=0.5))
        written = _write(axes, x + 19, 55, name, color=_PALE)
        x = written.get_window_extent().x1 + 16
    for column, heading in enumerate(sheet.headings):
        left = panel_place(sheet, 0, column)[0]
        _write(axes, left, _TITLE - 5, heading, size=8, weight="bold", va="bottom")


def _draw_row(
    figure: Figure, axes: Axes, sheet: Sheet, number: int, row: SheetRow, *, labels: bool
) -> None:
    _, top = panel_place(sheet, number, 0)
    name = wrap(row.name, int((NAMES - GAP) / _BOLD))
    for place, line in enumerate(name):
        _write(axes, MARGIN, top + place * _LINE, line, size=_SMALL, weight="bold")
    color = _WRONG if row.is_bad else _PALE
    for place, line in enumerate(_wrapped(row.lines, NAMES - GAP), start=len(name)):
        _write(axes, MARGIN, top + place * _LINE, line, color=color)
    for column, panel in enumerate(row.panels):
        left, _ = panel_place(sheet, number, column)
        _draw_panel(figure, axes, panel, left, top, labels=labels)
        below = top + (sheet.cell if panel.kind != "original" else _height(panel)) + 4
        for place, line in enumerate(_wrapped(panel.lines, sheet.cell)):
            _write(axes, left, below + place * _LINE, line)


def _height(panel: Panel) -> int:
    return 0 if panel.pixels is None else panel.scale * panel.pixels.shape[0]


def _draw_panel(
    figure: Figure, axes: Axes, panel: Panel, left: int, top: int, *, labels: bool
) -> None:
    if panel.pixels is None:
        return
    pixels = panel.pixels.repeat(panel.scale, axis=0).repeat(panel.scale, axis=1)
    bottom = int(axes.get_ylim()[0]) - top - pixels.shape[0]
    figure.figimage(pixels, left, bottom, origin="upper")
    if labels:
        for mark in panel.marks:
            _draw_mark(axes, mark, left, top, panel.scale)


def _draw_mark(axes: Axes, mark: Mark, left: int, top: int, scale: int) -> None:
    """Draw a mark of the panel at (left, top), on an edge of its own so that it stands out."""
    if isinstance(mark, Badge):
        x, y = left + scale * mark.place[0], top + scale * mark.place[1]
        is_wide = _LETTER * len(mark.text) > scale * mark.room
        text = mark.text.split()[0] if is_wide else mark.text
        box = {"boxstyle": "round,pad=0.22", "facecolor": mark.color, "edgecolor": "none"}
        _write(axes, x + 2, y + 2, text, color="white", weight="bold", bbox=box)
    elif isinstance(mark, Outline):
        x0, y0, x1, y1 = (scale * value for value in mark.box)
        style: dict[str, Any] = {"linestyle": (0, (4, 3)) if mark.dashed else "-"}
        style |= {"edgecolor": mark.color, "linewidth": mark.width, "fill": False}
        patch = Rectangle((left + x0, top + y0), x1 - x0, y1 - y0, **style)
        if mark.width > 1.0:
            edge = Stroke(linewidth=mark.width + 1.2, foreground="black", alpha=0.45)
            patch.set_path_effects([edge, Normal()])
        axes.add_patch(patch)
    else:
        _draw_arrow(axes, mark, left, top, scale)


def _draw_arrow(axes: Axes, mark: Arrow, left: int, top: int, scale: int) -> None:
    start = (left + scale * mark.start[0], top + scale * mark.start[1])
    end = (left + scale * mark.end[0], top + scale * mark.end[1])
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    patch: FancyArrowPatch | Circle
    if length < _SHORTEST_ARROW:
        # It points to the viewer.
        patch = Circle(end, 3.5, facecolor=mark.color, edgecolor="none")
    else:
        patch = FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, shrinkA=0, shrinkB=0,
            color=mark.color, linewidth=1.8,
        )  # fmt: skip
    patch.set_zorder(_OVER_LETTERS)
    patch.set_path_effects([Stroke(linewidth=3.0, foreground="white", alpha=0.75), Normal()])
    axes.add_patch(patch)
