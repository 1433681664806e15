"""Render the pictures of docs/conventions.md: `python docs/figures/make.py [FOLDER]`.

The same pixels come out wherever the renderer and matplotlib are the same; a test compares.
"""

import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hmtl import pose as poses
from hmtl.plots import AXIS_COLORS
from hmtl.synth import draw_identity, render_head
from hmtl.synth.framing import Framing

ANGLES = ("yaw", "pitch", "roll")
SEEN = {
    "yaw": ("the nose to the right", "the nose to the left"),
    "pitch": ("the nose down", "the nose up"),
    "roll": ("counter-clockwise", "clockwise"),
}
TURN_DEG = 30.0
# A direction that is far from both axes: yaw and pitch.
FAR_DEG = (60.0, 40.0)
HEAD_PX = 160
# In half head widths: a drawn axis, and what is shown around the centre of the head.
AXIS_LENGTH, REACH = 1.6, 2.1
COLORS = 192
_PERSON, _PICTURE = 11, 572
_DPI = 100


def signs() -> Figure:
    """Draw a head turned by -30, 0 and +30 degrees about each angle, with its axes."""
    figure = Figure(figsize=(4.8, 5.7), dpi=_DPI)
    spec = {"left": 0.01, "right": 0.99, "bottom": 0.01, "top": 0.94, "hspace": 0.24}
    grid = figure.subplots(3, 3, gridspec_kw=spec)
    for row, angle in enumerate(ANGLES):
        for axes, degrees in zip(grid[row], (-TURN_DEG, 0.0, TURN_DEG), strict=True):
            pose = np.where([name == angle for name in ANGLES], degrees, 0.0)
            draw_head(axes, pose)
            seen = SEEN[angle][int(degrees > 0)] if degrees else "facing the camera"
            turned = f"{angle} {degrees:+.0f}°" if degrees else "0°"
            axes.set_title(f"{turned}\n{seen}", fontsize=8, pad=3)
    return figure


def directions() -> Figure:
    """Draw what (60, 40) means as Euler angles and as a direction, and how far apart they are."""
    figure = Figure(figsize=(7.2, 2.6), dpi=_DPI)
    spec = {"width_ratios": (1, 1, 1.25), "left": 0.01, "right": 0.985, "bottom": 0.17, "top": 0.86}
    first, second, curves = figure.subplots(1, 3, gridspec_kw=spec)
    yaw, pitch = FAR_DEG
    draw_head(first, np.array([yaw, pitch, 0.0]))
    first.set_title(f"Euler: yaw {yaw:.0f}°, pitch {pitch:.0f}°, roll 0°", fontsize=7, pad=3)
    euler = poses.from_level_direction(FAR_DEG)
    draw_head(second, euler)
    named = ", ".join(f"{n} {v:.1f}°" for n, v in zip(ANGLES, euler, strict=True))
    second.set_title(f"direction: yaw {yaw:.0f}°, pitch {pitch:.0f}°, level", fontsize=7, pad=3)
    second.set_xlabel(f"Euler: {named}", fontsize=7)
    _draw_curves(curves)
    return figure


def draw_head(axes: Axes, pose: npt.NDArray[np.float64]) -> None:
    """Show a person at a pose with the head's axes: to its side, downwards and facing."""
    person = draw_identity(np.random.default_rng(_PERSON))
    head = render_head(person, pose, np.random.default_rng(_PICTURE), framer=_portrait)
    axes.imshow(head.image)
    for axis, color in enumerate(AXIS_COLORS):
        tip = head.place + AXIS_LENGTH * head.scale * poses.to_matrix(pose)[:2, axis]
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tip, head.place, arrowprops=arrow)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _portrait(
    _head: npt.NDArray[np.float64], _points: npt.NDArray[np.float64], _rng: np.random.Generator
) -> Framing:
    """Put every head in the same place, at the same scale."""
    center = np.full(2, HEAD_PX / 2)
    return Framing(height=HEAD_PX, width=HEAD_PX, scale=HEAD_PX / (2 * REACH), place=center)


def _draw_curves(axes: Axes) -> None:
    """Draw the Euler yaw over the direction's yaw, a line for each pitch of the direction."""
    yaw = np.linspace(-90.0, 90.0, 181)
    for pitch, color in ((0.0, "0.75"), (20.0, "0.6"), (40.0, "black"), (60.0, "0.4")):
        euler = poses.from_direction(np.stack([yaw, np.full_like(yaw, pitch)], axis=-1))
        axes.plot(yaw, euler[:, 0], color=color, linewidth=1.2)
        axes.annotate(
            f"{pitch:.0f}°",
            (90.0, euler[-1, 0]),
            (2, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
    far = poses.from_direction(FAR_DEG)[0]
    axes.plot(FAR_DEG[0], far, "o", color=AXIS_COLORS[2], markersize=4)
    axes.annotate(
        f"({FAR_DEG[0]:.0f}°, {far:.1f}°)",
        (FAR_DEG[0], far),
        (-4, 6),
        textcoords="offset points",
        ha="right",
        fontsize=7,
    )
    axes.set_title("Euler yaw by the direction's yaw and pitch", fontsize=7, pad=3)
    axes.set_xlabel("yaw of the direction", fontsize=7)
    axes.set_xlim(-90, 105)
    axes.set_xticks([-90, -45, 0, 45, 90])
    axes.set_yticks([-90, -45, 0, 45, 90])
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)


FIGURES = {"signs.png": signs, "directions.png": directions}


def write(folder: Path) -> None:
    """Write every figure as a PNG of few colours, so that it is small."""
    for name, draw in FIGURES.items():
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png")
        picture = Image.open(buffer).convert("RGB")
        small = picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(folder / name, optimize=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
