"""Parts that figures of phase maps share: colours, map panels, colour bars, scale bars."""

from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from mpl_toolkits.axes_grid1.anchored_artists import (  # type: ignore[import-untyped]
    AnchoredSizeBar,
)

from petro_models.phase_maps.map_answers import UNKNOWN, Grid
from petro_models.report import style

QUANTITY_MAP = "viridis"
ERROR_MAP = "magma"
UNKNOWN_COLOUR = style.INK
HIDDEN_COLOUR = "#e3e6ea"
"""Of pixels that are not asked for."""
IMAGE_DOTS_PER_INCH = 120
"""Finer than the page's own, so that a map keeps its small grains; images stay images in SVG."""
PERCENTILES = (1.0, 99.0)
EXTENSIONS: dict[tuple[bool, bool], Literal["neither", "min", "max", "both"]] = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}
"""Arrows of a colour bar, by whether values lie below and above it."""
WIDE_BELOW = 0.4
"""Height over width of maps that are wide."""
BAR_SHARE = 0.22
"""Part of a map's width that its scale bar may take."""


def phase_colours(number: int) -> list[str]:
    """Give a colour for each phase: the categories, and from the ninth their paler and darker kin.

    Up to 24 phases differ.
    """
    first = list(style.CATEGORIES)
    pale = [_mixed(colour, 0.5, 0.5) for colour in first]
    dark = [_mixed(colour, 0.55, 0.0) for colour in first]
    every = first + pale + dark
    return [every[index % len(every)] for index in range(number)]


def _mixed(colour: str, share: float, white: float) -> str:
    red, green, blue = (share * part + white for part in to_rgb(colour))
    return to_hex((red, green, blue))


def map_figure(grid: Grid, panels: int, legend_inches: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Make a figure with map panels, as high as the map's shape asks for.

    Two panels stand side by side, those of wide maps one above the other.

    Parameters
    ----------
    grid
        The map's.
    panels
        One or two.
    legend_inches
        Height to keep free below the panels.
    """
    left, right, bottom, top = grid.extent
    aspect = (bottom - top) / (right - left)
    rows = panels if aspect < WIDE_BELOW else 1
    width = 9.6 if panels == 2 else 7.0
    beside = 0.75 if panels == 1 else 1.55
    panel = float(np.clip((width * rows / panels - beside) * aspect, 0.9, 7.5))
    figure = style.new_figure(width, rows * (panel + 0.85) + legend_inches)
    figure.set_dpi(IMAGE_DOTS_PER_INCH)
    axes = figure.subplots(rows, panels // rows, squeeze=False).ravel()
    return figure, list(axes)


def draw_map(axes: Axes, image: np.ndarray, grid: Grid, **options: object) -> ScalarMappable:
    """Draw an image in the map's coordinates, with a scale bar where the step is known."""
    shown = axes.imshow(image, extent=grid.extent, origin="upper", **options)  # type: ignore[arg-type]
    axes.set_xlabel(f"x ({grid.printed_unit})")
    axes.set_ylabel(f"y ({grid.printed_unit})")
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.FAINT)
    if grid.in_micrometres:
        add_scale_bar(axes, grid)
    return shown


def draw_values(
    axes: Axes,
    values: np.ndarray,
    grid: Grid,
    label: str,
    *,
    cmap: str = QUANTITY_MAP,
    limits: tuple[float, float] | None = None,
) -> ScalarMappable:
    """Draw a quantity (y, x), NaN in grey, with its colour bar beside it.

    Parameters
    ----------
    axes
        To draw on.
    values
        The map.
    grid
        Where the pixels are.
    label
        Of the colour bar, with the unit.
    cmap
        Name of a perceptually uniform colour map.
    limits
        Values at the ends of the colours; by default the 1st and 99th percentile. An arrow on the
        bar tells that values lie beyond.
    """
    low, high = limits or spread(values)
    axes.set_facecolor(HIDDEN_COLOUR)
    finite = values[np.isfinite(values)]
    image = draw_map(axes, np.ma.masked_invalid(values), grid, cmap=cmap, norm=Normalize(low, high))
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes always belong to one
    beyond = (bool((finite < low).any()), bool((finite > high).any()))
    bar = figure.colorbar(
        image, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)), label=label, extend=EXTENSIONS[beyond]
    )
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=6)
    return image


def spread(
    values: np.ndarray, percentiles: tuple[float, float] = PERCENTILES
) -> tuple[float, float]:
    """Give percentiles of a map as limits that differ."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, percentiles))
    return (low, high) if high > low else (low, low + (abs(low) * 0.01 or 1.0))


def add_scale_bar(axes: Axes, grid: Grid) -> None:
    """Draw a bar of a round length in the lower left corner."""
    length = bar_length(grid)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    left, right, bottom, top = grid.extent
    height = 0.01 * min(right - left, bottom - top)
    bar = AnchoredSizeBar(
        axes.transData,
        length,
        text,
        "lower left",
        pad=0.35,
        borderpad=0.5,
        sep=3,
        size_vertical=height,
        color=style.INK,
        fontproperties=FontProperties(size=8.5),
    )
    bar.patch.set(facecolor="white", alpha=0.85, edgecolor="none")
    axes.add_artist(bar)


def bar_length(grid: Grid) -> float:
    """Give the greatest 1, 2 or 5 times a power of ten that a scale bar may have, in um."""
    longest = BAR_SHARE * grid.shape[1] * grid.steps[0]
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= longest))


def phase_index_map(answers: xr.Dataset) -> np.ndarray:
    """Give the index of the most probable phase of every pixel, -1 unknown, (y, x)."""
    return answers["phase_map"].transpose("y", "x").to_numpy().astype(int)


def painted(index: np.ndarray, phases: int) -> np.ndarray:
    """Paint phase indices with their colours: (y, x) to (y, x, 3), unknown in its own."""
    palette = np.array([to_rgb(colour) for colour in [*phase_colours(phases), UNKNOWN_COLOUR]])
    return palette[np.where(index == UNKNOWN, phases, index)]


def plane(maps: xr.DataArray, **labels: str) -> np.ndarray:
    """Take one map out of a stack as floats, (y, x)."""
    return maps.sel(labels).transpose("y", "x").to_numpy().astype(float)
