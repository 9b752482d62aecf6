"""Maps of a fit: phases, fractions, compositions with their errors, what is unexplained."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from petro_models.errors import DataError, nearest
from petro_models.phase_maps import plot_parts as parts
from petro_models.phase_maps.map_answers import (
    Grid,
    answers_of,
    data_of,
    grid_of,
    labels_of,
    position_of,
)
from petro_models.phase_maps.regions import checked_region, phase_mask
from petro_models.report import style
from petro_models.report.chemistry import pretty

CHANNELS = {"red": "#ff0000", "green": "#00ff00", "blue": "#0000ff"}


@style.styled
def plot_phase_map(
    fit: xr.DataTree,
    regions: Mapping[str, xr.DataArray] | None = None,
    transects: Mapping[str, xr.Dataset] | None = None,
) -> Figure:
    """Draw the most probable phase of every pixel, with the modes in the legend.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    regions
        Name -> boolean (y, x): outlined on the map.
    transects
        Name -> answer of `transects.transect`: their strips are outlined.

    Returns
    -------
    Figure
        Modes: area fractions with 90 % equal-tailed intervals.
    """
    answers = answers_of(fit, "phase_map", "mode", "mode_low", "mode_high")
    grid = grid_of(answers)
    phases = labels_of(answers, "phase")
    index = parts.phase_index_map(answers)
    rows = int(np.ceil((len(phases) + 1) / 2))
    figure, (axes,) = parts.map_figure(grid, 1, 0.24 * rows + 0.2)
    parts.draw_map(axes, parts.painted(index, len(phases)), grid, interpolation_stage="rgba")
    for name, region in (regions or {}).items():
        _outline(axes, grid, name, checked_region(fit, region).to_numpy())
    for name, strip in (transects or {}).items():
        _strip(axes, name, strip)
    axes.set_title("Most probable phase")
    figure.legend(
        loc="outside lower left", handles=_phase_handles(answers, index), ncols=2, fontsize=9
    )
    return figure


@style.styled
def plot_fraction(fit: xr.DataTree, phase: str) -> Figure:
    """Draw the fraction of one phase and its standard deviation side by side.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    phase
        Its label.

    Raises
    ------
    DataError
        If there is no such phase.
    """
    answers = answers_of(fit, "phase_fraction", "phase_fraction_sd")
    position_of(answers, "phase", phase)
    grid = grid_of(answers)
    figure, (left, right) = parts.map_figure(grid, 2)
    fraction = parts.plane(answers["phase_fraction"], phase=phase)
    parts.draw_values(left, fraction, grid, "fraction of the pixel", limits=(0.0, 1.0))
    sd = parts.plane(answers["phase_fraction_sd"], phase=phase)
    limits = (0.0, max(parts.spread(sd)[1], 1e-3))
    parts.draw_values(right, sd, grid, "standard deviation", cmap=parts.ERROR_MAP, limits=limits)
    left.set_title(f"Fraction of {phase}, mean")
    right.set_title("standard deviation")
    return figure


@style.styled
def plot_composition(
    fit: xr.DataTree,
    oxide: str,
    phase: str | None = None,
    min_pure_probability: float = 0.5,
    smoothed: bool = False,
) -> Figure:
    """Draw the map of an oxide in wt% and its standard deviation side by side.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    oxide
        Its label.
    phase
        Show only pixels of this phase: the colours then spread over its zoning.
    min_pure_probability
        With `phase`: the lowest P(pure) of a pixel.
    smoothed
        Draw the map smoothed within phases, which a fit with that option holds.

    Returns
    -------
    Figure
        Grey pixels are unknown or not of the phase. Colours span the 1st to 99th percentile.

    Raises
    ------
    DataError
        If there is no such oxide or phase, or no pixel is left.
    """
    name = "composition_smoothed" if smoothed else "composition"
    answers = answers_of(fit, name, f"{name}_sd", "phase_map")
    position_of(answers, "oxide", oxide)
    grid = grid_of(answers)
    shown = parts.phase_index_map(answers) >= 0
    if phase is not None:
        shown &= phase_mask(answers, phase, min_pure_probability)
    if not shown.any():
        raise DataError(f"no pixel to show: none is pure {phase or 'or explained'}")
    figure, (left, right) = parts.map_figure(grid, 2)
    mean = np.where(shown, parts.plane(answers[name], oxide=oxide), np.nan)
    sd = np.where(shown, parts.plane(answers[f"{name}_sd"], oxide=oxide), np.nan)
    parts.draw_values(left, mean, grid, f"{pretty(oxide)} (wt%)")
    label = f"sd of {pretty(oxide)} (wt%)"
    parts.draw_values(right, sd, grid, label, cmap=parts.ERROR_MAP)
    words = ", smoothed" if smoothed else ""
    left.set_title(f"{pretty(oxide)}{f' in {phase}' if phase else ''}, mean{words}")
    right.set_title("standard deviation")
    return figure


@style.styled
def plot_rgb(fit: xr.DataTree, channels: Sequence[str]) -> Figure:
    """Draw three quantities as red, green and blue.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    channels
        Three oxides (wt%, from the fit) or elements (counts, from the data), in the order red,
        green, blue.

    Returns
    -------
    Figure
        Every colour runs from the 1st to the 99th percentile; the legend names their values.

    Raises
    ------
    DataError
        If there are not three, or one is neither an oxide of the fit nor an element of the data.
    """
    if isinstance(channels, str) or len(channels) != 3:
        raise DataError(f"three quantities make red, green and blue; got {channels!r}")
    answers = answers_of(fit, "composition")
    grid = grid_of(answers)
    figure, (axes,) = parts.map_figure(grid, 1, 0.4)
    layers, handles = [], []
    for name, colour in zip(channels, CHANNELS, strict=True):
        values, unit = _channel(fit, answers, name)
        low, high = parts.spread(values)
        layers.append(np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1))
        text = f"{colour}: {pretty(name)}, {_number(low, high)} to {_number(high, high)} {unit}"
        handles.append(Patch(color=CHANNELS[colour], label=text))
    parts.draw_map(axes, np.stack(layers, axis=-1), grid, interpolation_stage="rgba")
    axes.set_title(" · ".join(pretty(name) for name in channels))
    figure.legend(loc="outside lower left", handles=handles, ncols=3, columnspacing=1.2)
    return figure


@style.styled
def plot_residual(fit: xr.DataTree) -> Figure:
    """Draw what the phases do not explain: the evidence of every pixel and P(unknown).

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.

    Returns
    -------
    Figure
        Evidence: log density of a pixel's counts under the model relative to what its class
        expects; near 0 is explained, the darker the less. The colours reach six times as far below
        the median as the 16th percentile does.
    """
    answers = answers_of(fit, "evidence", "unknown_probability")
    grid = grid_of(answers)
    figure, (left, right) = parts.map_figure(grid, 2)
    evidence = parts.plane(answers["evidence"])
    limits = _tail(evidence)
    parts.draw_values(left, evidence, grid, "evidence (nat)", limits=limits, cmap="magma")
    unknown = parts.plane(answers["unknown_probability"])
    parts.draw_values(right, unknown, grid, "P(unknown)", limits=(0.0, 1.0), cmap="magma_r")
    left.set_title("Evidence, dark: not explained")
    share = 100 * float(np.nanmean(unknown))
    right.set_title(f"P(unknown), {share:.2g} % of the area")
    return figure


def _tail(evidence: np.ndarray) -> tuple[float, float]:
    """Give limits that leave the scatter of explained pixels pale."""
    finite = evidence[np.isfinite(evidence)]
    if not finite.size:
        return -1.0, 0.0
    low, middle = np.percentile(finite, [16, 50])
    return float(middle - max(6 * (middle - low), 1e-6)), float(middle)


def _phase_handles(answers: xr.Dataset, index: np.ndarray) -> list[Patch]:
    phases = labels_of(answers, "phase")
    handles = []
    for colour, name in zip(parts.phase_colours(len(phases)), phases, strict=True):
        mode, low, high = (
            100 * float(answers[variable].sel(phase=name))
            for variable in ("mode", "mode_low", "mode_high")
        )
        text = f"{name} {mode:.1f} % ({max(low, 0):.1f} to {high:.1f})"
        handles.append(Patch(color=colour, label=text))
    unknown = 100 * float((index < 0).mean())
    text = f"unknown, {unknown:.1f} % of pixels" if unknown else "unknown: no pixel"
    return [*handles, Patch(color=parts.UNKNOWN_COLOUR, label=text)]


def _outline(axes: Axes, grid: Grid, name: str, region: np.ndarray) -> None:
    """Draw the edge of a region along its pixels' edges, and its name."""
    fine = np.kron(np.pad(region, 1), np.ones((4, 4)))
    rows, columns = ((np.arange(n) + 0.5) / 4 - 1.5 for n in fine.shape)
    x, y = grid.x[0] + columns * grid.steps[0], grid.y[0] + rows * grid.steps[1]
    limits = axes.get_xlim(), axes.get_ylim()
    for colour, width in (("white", 2.6), (style.INK, 1.2)):
        axes.contour(x, y, fine, levels=[0.5], colors=colour, linewidths=width)
    axes.set(xlim=limits[0], ylim=limits[1])
    row = int(np.flatnonzero(region.any(axis=1))[0])
    column = int(np.flatnonzero(region[row])[0])
    _name_on_map(axes, name, float(grid.x[column]), float(grid.y[row]))


def _strip(axes: Axes, name: str, strip: xr.Dataset) -> None:
    start, end = (np.array(strip.attrs[key], dtype=float) for key in ("start", "end"))
    along = (end - start) / np.hypot(*(end - start))
    side = np.array([-along[1], along[0]]) * strip.attrs["width"] / 2
    corners = np.array([start + side, end + side, end - side, start - side, start + side])
    for colour, width in (("white", 2.6), (style.INK, 1.2)):
        axes.add_line(Line2D(corners[:, 0], corners[:, 1], color=colour, lw=width))
    _name_on_map(axes, name, *map(float, start))


def _name_on_map(axes: Axes, name: str, x: float, y: float) -> None:
    box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5}
    axes.annotate(
        name, (x, y), xytext=(2, 4), textcoords="offset points", fontsize=8.5, bbox=box, va="bottom"
    )


def _channel(fit: xr.DataTree, answers: xr.Dataset, name: str) -> tuple[np.ndarray, str]:
    """Give a map of an oxide in wt% or an element in counts."""
    oxides = labels_of(answers, "oxide")
    if name in oxides:
        return parts.plane(answers["composition"], oxide=name), "wt%"
    data = data_of(fit)
    elements = labels_of(data, "element") if "counts" in data else []
    if name in elements:
        return parts.plane(data["counts"], element=name), "counts"
    raise DataError(
        f"'{name}' is no oxide or element of this fit: {nearest(name, [*oxides, *elements])}"
    )


def _number(value: float, largest: float) -> str:
    """Write a limit of a colour; what is below a thousandth of the largest value is 0."""
    if abs(value) < 1e-3 * abs(largest):
        return "0"
    return f"{value:,.0f}" if abs(largest) >= 1000 else f"{value:.3g}".replace("-", "−")
