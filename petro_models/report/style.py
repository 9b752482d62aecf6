"""One look for every figure: colours, fonts, and how a figure becomes part of a page."""

import base64
import functools
import io
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

CATEGORIES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#AA4499",
    "#B8860B",
    "#3E8FB8",
    "#6B4E2E",
    "#555555",
)
"""Colours for categories that colour-blind readers can tell apart (after Okabe & Ito 2008)."""
INK = "#1f2328"
MUTED = "#6a737d"
FAINT = "#d5d9de"
PRIOR = "#9aa1a9"
POSTERIOR = CATEGORIES[0]
SEQUENTIAL = LinearSegmentedColormap.from_list("ink", ["#f3f5f7", "#16202c"])
"""Even steps of lightness without a hue of its own, for use beside the colours of categories."""
DIVERGING = "RdBu_r"
"""For quantities with a meaningful zero."""
PIXELS_PER_INCH = 96
PNG_IN_SVG = re.compile(r"(data:image/png;base64,\s*)([A-Za-z0-9+/=\s]+)")
"""An image in an SVG, as matplotlib writes it."""

PARAMETERS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": PIXELS_PER_INCH,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "path",
    "svg.hashsalt": "petro_models",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
}


class ReportFigure(Figure):
    """A figure outside pyplot that a notebook still shows."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=2 * PIXELS_PER_INCH)
        return stream.getvalue()


def styled[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Draw under the project's style, and leave no setting behind."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(PARAMETERS):
            return function(*args, **kwargs)

    return wrapper


def new_figure(width_inches: float, height_inches: float) -> ReportFigure:
    """Make an empty figure that pyplot does not know; its labels find room by themselves."""
    figure = ReportFigure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@styled
def svg_data_address(figure: Figure) -> str:
    """Write a figure as a ``data:`` address: letters as paths, the same bytes every time."""
    stream = io.BytesIO()
    metadata = {"Date": None, "Creator": None}
    figure.savefig(stream, format="svg", metadata=metadata)
    svg = PNG_IN_SVG.sub(_with_palette, stream.getvalue().decode("utf-8"))
    # Images in an SVG are base64 already, and a second time would add another third.
    quoted = urllib.parse.quote(svg, safe="/+=:;,.()!*'-_~@$?")
    encoded = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    if len(quoted) < len(encoded):
        return f"data:image/svg+xml,{quoted}"
    return f"data:image/svg+xml;base64,{encoded}"


def _with_palette(found: re.Match[str]) -> str:
    """Write an opaque image of at most 256 colours with a palette: the same pixels, fewer bytes."""
    content = base64.b64decode(found[2])
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("RGBA"))
    packed = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return found[0]
    table = colours.astype(np.uint32).view(np.uint8).reshape(-1, 4)
    if (table[:, 3] < 255).any():
        return found[0]
    palette = Image.fromarray(index.reshape(packed.shape).astype(np.uint8), mode="P")
    palette.putpalette(table[:, :3].tobytes())
    stream = io.BytesIO()
    palette.save(stream, format="png", optimize=True)
    if stream.tell() >= len(content):
        return found[0]
    return found[1] + base64.b64encode(stream.getvalue()).decode("ascii")


def size_in_pixels(figure: Figure) -> tuple[int, int]:
    """Give width and height of a figure on a page, in CSS pixels."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    return round(width), round(height)


def category(index: int) -> str:
    """Give the colour of a category; they repeat after eight."""
    return CATEGORIES[index % len(CATEGORIES)]


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Estimate a density on an even grid by Gaussian smoothing of a fine histogram.

    The width follows Silverman with the interquartile range, so that two separate modes are not
    smoothed into one.

    Parameters
    ----------
    values
        Draws; those outside the grid count for the total.
    grid
        Even grid.

    Returns
    -------
    np.ndarray
        Density per unit of `grid`.
    """
    values = np.asarray(values, dtype=float).ravel()
    step = grid[1] - grid[0]
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(), (quartiles[1] - quartiles[0]) / 1.34) or values.std()
    width = max(0.9 * spread * values.size**-0.2, step)
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    counts = np.histogram(values, edges)[0] / (values.size * step)
    reach = int(np.ceil(4 * width / step))
    offsets = np.arange(-reach, reach + 1) * step
    kernel = np.exp(-0.5 * (offsets / width) ** 2)
    return np.convolve(counts, kernel / kernel.sum())[reach : reach + grid.size]
