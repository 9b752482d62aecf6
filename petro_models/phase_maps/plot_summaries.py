"""Summaries of phase maps: histograms of compositions, modes, transects."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from petro_models.errors import DataError, nearest
from petro_models.phase_maps.averages import usable_pixels
from petro_models.phase_maps.local_bulk import region_modes
from petro_models.phase_maps.map_answers import NORMAL_95, answers_of, labels_of, position_of
from petro_models.phase_maps.plot_parts import phase_colours
from petro_models.phase_maps.regions import phase_mask
from petro_models.phase_maps.transects import formula_names
from petro_models.report import style
from petro_models.report.chemistry import pretty

BINS = 80
MOST_PANELS = 6
SHOWN_FRACTION = 0.02
"""Phases that nowhere on a transect hold more than this are not drawn."""
ABSENT = 1e-3
"""Curves that nowhere on a transect exceed this are not drawn unless asked for."""
SHOWN_OXIDE = 0.3
"""Oxides of less wt% than this everywhere on a transect are not drawn unless asked for."""


@style.styled
def plot_histogram(fit: xr.DataTree, oxide: str, min_pure_probability: float = 0.5) -> Figure:
    """Draw the distribution of an oxide over the pixels of each phase.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    oxide
        Its label.
    min_pure_probability
        Pixels that are less surely pure are shown together as mixed.

    Returns
    -------
    Figure
        One row per phase. Bar below: the 90 % interval of a single pixel with the phase's median
        error; what is much wider than it is real variation.

    Raises
    ------
    DataError
        If there is no such oxide.
    """
    answers = answers_of(fit, "composition", "composition_sd", "phase_map", "pure_probability")
    position_of(answers, "oxide", oxide)
    usable = usable_pixels(answers)
    values = answers["composition"].sel(oxide=oxide).transpose("y", "x").to_numpy()
    errors = answers["composition_sd"].sel(oxide=oxide).transpose("y", "x").to_numpy()
    names = labels_of(answers, "phase")
    masks = {name: usable & phase_mask(answers, name, min_pure_probability) for name in names}
    mixed = usable & ~np.any(list(masks.values()), axis=0)
    colours = dict(zip(names, phase_colours(len(names)), strict=True)) | {"mixed": style.MUTED}
    rows = {name: mask for name, mask in (masks | {"mixed": mixed}).items() if mask.any()}
    low, high = np.percentile(values[usable], [0.05, 99.95])
    room = 0.04 * (high - low or 1.0)
    edges = np.linspace(low - room, high + room, BINS + 1)
    figure = style.new_figure(7.2, 0.8 + 0.95 * len(rows))
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False).ravel()
    for axes, (name, mask) in zip(panels, rows.items(), strict=True):
        own = values[mask]
        axes.hist(own, edges, color=colours[name], alpha=0.75, lw=0)
        _error_bar(axes, own, errors[mask], colours[name])
        axes.set_title(f"{name}, {mask.sum():,} pixels", fontsize=9.5, color=colours[name])
        axes.locator_params(axis="y", nbins=3)
    panels[0].figure.supylabel("number of pixels", fontsize=10)
    panels[-1].set_xlabel(f"{pretty(oxide)} (wt%); bar: 90 % interval of one pixel")
    return figure


@style.styled
def plot_modes(fit: xr.DataTree, regions: Mapping[str, xr.DataArray] | None = None) -> Figure:
    """Draw the area fractions of the phases with their 90 % intervals.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    regions
        Name -> boolean (y, x): drawn beside the whole map.
    """
    answers = answers_of(fit, "mode", "mode_low", "mode_high")
    tables = {"whole map": answers[["mode", "mode_low", "mode_high"]]}
    tables |= {name: region_modes(fit, region) for name, region in (regions or {}).items()}
    phases = labels_of(answers, "phase")
    order = np.argsort(-answers["mode"].to_numpy(), kind="stable")
    figure = style.new_figure(7.2, 0.9 + len(phases) * (0.16 + 0.2 * len(tables)))
    axes = figure.subplots()
    thick = 0.8 / len(tables)
    tops = []
    for place, (name, table) in enumerate(tables.items()):
        mode, low, high = (
            100 * table[key].to_numpy()[order] for key in ("mode", "mode_low", "mode_high")
        )
        at = np.arange(len(phases)) + (place - (len(tables) - 1) / 2) * thick
        colour = style.category(place)
        axes.barh(at, mode, 0.86 * thick, color=colour, alpha=0.45, label=name)
        axes.hlines(at, np.maximum(low, 0), high, color=colour, lw=2.2)
        for row, (middle, bottom, top) in zip(at, zip(mode, low, high, strict=True), strict=True):
            text = f"{middle:.1f} ({max(bottom, 0):.1f} to {top:.1f})"
            axes.annotate(
                text,
                (top, row),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
        tops.append(high.max())
    axes.set_xlim(0, 1.28 * max(tops))
    axes.set_yticks(np.arange(len(phases)), [phases[index] for index in order])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("mode (area %); line: 90 % interval")
    axes.set_title("Modes")
    if len(tables) > 1:
        figure.legend(loc="outside lower left", ncols=3)
    return figure


@style.styled
def plot_transect(strip: xr.Dataset, names: Sequence[str] | None = None) -> Figure:
    """Draw quantities along a transect, each with the two parts of its error.

    Parameters
    ----------
    strip
        From `transects.transect`.
    names
        Oxides, or what a formula added; by default its end members, else whatever it added, else
        the oxides that vary most for their error; by default at most six curves.

    Returns
    -------
    Figure
        Dark band: 90 % interval from the pixels' own errors. Pale band: with the calibration's
        error, which moves the whole curve together. Below, where there are several: mean fractions
        of the phases.

    Raises
    ------
    DataError
        If a name is neither an oxide nor a quantity of the transect.
    """
    curves = _curves(strip, names)
    phases = labels_of(strip, "phase")
    fractions = np.nan_to_num(strip["phase_fraction"].transpose("phase", "position").to_numpy())
    seen = fractions.max(axis=1) > SHOWN_FRACTION
    mixture = int(seen.sum() > 1)
    figure = style.new_figure(7.6, 0.9 + 1.25 * (len(curves) + mixture))
    panels = figure.subplots(len(curves) + mixture, 1, sharex=True, squeeze=False).ravel()
    distance = strip["position"].to_numpy()
    unit = "µm" if strip["position"].attrs["units"] == "um" else "pixel"
    for axes, (label, curve) in zip(panels, curves.items(), strict=False):
        _draw_curve(axes, distance, curve)
        axes.set_ylabel(label.replace(" (", "\n("))
        axes.locator_params(axis="y", nbins=4)
        axes.grid()
    colours = phase_colours(len(phases))
    if mixture:
        panels[-1].stackplot(distance, fractions, colors=colours, alpha=0.75, lw=0)
        panels[-1].set(ylim=(0, 1), ylabel="fraction")
    panels[-1].set_xlim(distance[0], distance[-1])
    panels[-1].set_xlabel(f"distance along the transect ({unit})")
    figure.align_ylabels(panels)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.POSTERIOR, label="mean"),
        Patch(color=style.POSTERIOR, alpha=0.45, lw=0, label="90 %, pixels' own errors"),
        Patch(color=style.POSTERIOR, alpha=0.18, lw=0, label="90 %, with calibration"),
    ]
    if mixture:
        handles += [
            Patch(color=colours[index], alpha=0.75, lw=0, label=phases[index])
            for index in np.flatnonzero(seen)
        ]
    figure.legend(loc="outside lower left", handles=handles, ncols=4)
    return figure


def _error_bar(axes: Axes, values: np.ndarray, errors: np.ndarray, colour: str) -> None:
    """Draw the 90 % interval of a typical pixel below a histogram."""
    middle, half = float(np.median(values)), NORMAL_95 * float(np.median(errors))
    top = axes.get_ylim()[1]
    axes.plot(
        [middle - half, middle + half], [-0.1 * top] * 2, color=colour, lw=3, solid_capstyle="butt"
    )
    axes.plot(middle, -0.1 * top, "o", ms=4, color="white", mec=colour)
    axes.set_ylim(-0.2 * top, top)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])


Curve = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Mean, the sd from the pixels' own errors, the whole sd; each (position)."""


def _curves(strip: xr.Dataset, names: Sequence[str] | None) -> dict[str, Curve]:
    """Give what to draw: label -> curve."""
    oxides, added = labels_of(strip, "oxide"), formula_names(strip)
    if names is None:
        chosen = ["end_member_fraction"] if "end_member_fraction" in added else added
        curves = _curves(strip, chosen or _telling_oxides(strip))
        some = {label: c for label, c in curves.items() if np.nanmax(np.abs(c[0])) > ABSENT}
        curves = some or curves
        return dict(list(curves.items())[:MOST_PANELS])
    curves = {}
    for name in names:
        if name in oxides:
            one = strip.sel(oxide=name)
            sds = (one[f"composition_{part}"].to_numpy() for part in ("independent_sd", "sd"))
            own, whole = sds
            curves[f"{pretty(name)} (wt%)"] = (one["composition"].to_numpy(), own, whole)
        elif name in added:
            curves |= _added_curves(strip, name)
        else:
            raise DataError(f"'{name}' is not in this transect: {nearest(name, [*oxides, *added])}")
    return curves


def _added_curves(strip: xr.Dataset, name: str) -> dict[str, Curve]:
    """Give the curves of what a formula added: one, or one for each label of its other dim."""
    units = "fraction" if "fraction" in name else str(strip[name].attrs.get("units", ""))
    ending = f" ({units})" if units not in ("", "1") else ""
    mean = strip[name]
    none = xr.zeros_like(mean)
    whole = strip.get(f"{name}_sd", none)
    own = strip.get(f"{name}_independent_sd", whole)
    others = [dim for dim in mean.dims if dim != "position"]
    if not others:
        return {f"{name}{ending}": (mean.to_numpy(), own.to_numpy(), whole.to_numpy())}
    stacked = [values.stack(curve=others).transpose("curve", ...) for values in (mean, own, whole)]
    labels = [" ".join(map(str, label)) for label in stacked[0]["curve"].values.tolist()]
    return {
        f"{label}{ending}": (one.to_numpy(), two.to_numpy(), three.to_numpy())
        for label, one, two, three in zip(labels, *stacked, strict=True)
    }


def _telling_oxides(strip: xr.Dataset) -> list[str]:
    """Name the oxides that vary most along the transect for their independent error."""
    values = strip["composition"].transpose("position", "oxide").to_numpy()
    error = strip["composition_independent_sd"].transpose("position", "oxide").to_numpy()
    present = np.nanmax(values, axis=0) >= SHOWN_OXIDE
    variation = np.nanstd(values, axis=0) / np.maximum(np.nanmedian(error, axis=0), 1e-9)
    order = [j for j in np.argsort(-variation, kind="stable") if present[j]][:MOST_PANELS]
    labels = labels_of(strip, "oxide")
    return [labels[j] for j in sorted(order)]


def _draw_curve(axes: Axes, distance: np.ndarray, curve: Curve) -> None:
    mean, own, whole = curve
    colour = style.POSTERIOR
    for sd, alpha in ((whole, 0.18), (own, 0.45)):
        low, high = mean - NORMAL_95 * sd, mean + NORMAL_95 * sd
        axes.fill_between(distance, low, high, color=colour, alpha=alpha, lw=0)
    axes.plot(distance, mean, color=colour, lw=1.2)
