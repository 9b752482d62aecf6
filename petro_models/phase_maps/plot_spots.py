"""Spots against the map: what the map predicts where the probe measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from petro_models.errors import DataError
from petro_models.phase_maps.map_answers import (
    NORMAL_95,
    answers_of,
    data_of,
    labels_of,
    registration_shift,
)
from petro_models.phase_maps.plot_parts import IMAGE_DOTS_PER_INCH, phase_colours, phase_index_map
from petro_models.report import style
from petro_models.report.chemistry import pretty

COLUMNS = 3
MIXED_BELOW = 0.5
"""A spot is mixed where no phase is pure in its pixel with this probability."""


@style.styled
def plot_calibration(fit: xr.DataTree) -> Figure:
    """Draw the composition predicted at every spot against the measured one, oxide by oxide.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.

    Returns
    -------
    Figure
        Bars: 90 % intervals of prediction and measurement, and below of their difference. Hollow:
        mixed spots. Above each panel: in how many spots the difference's interval holds 0.

    Raises
    ------
    DataError
        If the fit's data hold no spots.
    """
    answers = answers_of(fit, "spot_predicted", "spot_predicted_sd", "phase_map")
    pairs = _pairs(answers, data_of(fit), registration_shift(fit))
    shown = [o for o in labels_of(answers, "oxide") if np.isfinite(pairs.measured(o)).any()]
    if not shown:
        raise DataError("the spots of this fit measured none of its oxides")
    columns = min(COLUMNS, len(shown))
    rows = int(np.ceil(len(shown) / columns))
    figure = style.new_figure(3.2 * columns, 0.6 + 3.5 * rows)
    figure.set_dpi(IMAGE_DOTS_PER_INCH)
    cells = figure.add_gridspec(rows, columns)
    for place, oxide in enumerate(shown):
        cell = cells[divmod(place, columns)].subgridspec(2, 1, height_ratios=[2.6, 1], hspace=0.02)
        above = figure.add_subplot(cell[0])
        below = figure.add_subplot(cell[1], sharex=above)
        above.tick_params(labelbottom=False)
        _draw_pairs(above, below, oxide, pairs)
    figure.legend(loc="outside lower left", handles=_handles(answers, pairs), ncols=4)
    return figure


@dataclass(frozen=True)
class _Pairs:
    """Spots: their data and predictions, (spot, oxide), colour, and whether they are mixed."""

    values: xr.Dataset
    phase: np.ndarray
    colours: np.ndarray
    mixed: np.ndarray

    def measured(self, oxide: str) -> np.ndarray:
        return self.values["measured"].sel(oxide=oxide).to_numpy()

    def get(self, name: str, oxide: str) -> np.ndarray:
        return self.values[name].sel(oxide=oxide).to_numpy()


def _pairs(answers: xr.Dataset, data: xr.Dataset, shift: np.ndarray) -> _Pairs:
    if "wt_percent" not in data:
        raise DataError("the data of this fit hold no spots: nothing to compare the map with")
    oxides = labels_of(answers, "oxide")
    measured = data["wt_percent"].reindex(oxide=oxides).transpose("spot", "oxide").to_numpy()
    error = np.zeros_like(measured)
    if "wt_percent_sd" in data:
        stated = data["wt_percent_sd"].reindex(oxide=oxides).transpose("spot", "oxide").to_numpy()
        error = np.nan_to_num(stated, nan=0.0)
    arrays = {
        "measured": measured,
        "measured_sd": error,
        "predicted": answers["spot_predicted"].transpose("spot", "oxide").to_numpy(),
        "predicted_sd": answers["spot_predicted_sd"].transpose("spot", "oxide").to_numpy(),
    }
    values = xr.Dataset(
        {name: (("spot", "oxide"), array) for name, array in arrays.items()},
        coords={"oxide": oxides},
    )
    phase, mixed = _phases_at(answers, data, shift)
    palette = np.array([*phase_colours(answers.sizes["phase"]), style.MUTED])
    return _Pairs(values, phase, palette[phase], mixed)


def _phases_at(
    answers: xr.Dataset, data: xr.Dataset, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the most probable phase in every spot's pixel (-1: none) and whether it is mixed."""
    place = [
        np.round(data[name].to_numpy().astype(float) + move)
        for name, move in (("spot_row", shift[1]), ("spot_column", shift[0]))
    ]
    shape = answers.sizes["y"], answers.sizes["x"]
    known = np.isfinite(place[0]) & np.isfinite(place[1])
    for values, length in zip(place, shape, strict=True):
        known &= (values >= 0) & (values < length)
    rows, columns = (np.where(known, values, 0).astype(int) for values in place)
    index = np.where(known, phase_index_map(answers)[rows, columns], -1)
    if "spot_pure_probability" in answers:
        pure = answers["spot_pure_probability"].transpose("phase", "spot").to_numpy().max(axis=0)
    else:
        maps = answers["pure_probability"].transpose("phase", "y", "x").to_numpy()
        pure = np.where(known, maps[:, rows, columns].max(axis=0), 0.0)
    return index, pure < MIXED_BELOW


def _draw_pairs(above: Axes, below: Axes, oxide: str, pairs: _Pairs) -> None:
    """Draw predicted against measured, and below it their difference."""
    kinds = ("measured", "predicted", "measured_sd", "predicted_sd")
    every = {kind: pairs.get(kind, oxide) for kind in kinds}
    both = np.isfinite(every["measured"]) & np.isfinite(every["predicted"])
    x, y, x_sd, y_sd = (every[kind][both] for kind in kinds)
    colours, mixed = pairs.colours[both], pairs.mixed[both]
    difference, reach = y - x, NORMAL_95 * np.hypot(x_sd, y_sd)
    bars: dict[str, Any] = {"colors": colours, "lw": 0.9, "alpha": 0.7, "rasterized": True}
    above.hlines(y, x - NORMAL_95 * x_sd, x + NORMAL_95 * x_sd, **bars)
    above.vlines(x, y - NORMAL_95 * y_sd, y + NORMAL_95 * y_sd, **bars)
    below.vlines(x, difference - reach, difference + reach, **bars)
    for axes, height in ((above, y), (below, difference)):
        for which, faces in ((~mixed, colours[~mixed]), (mixed, "white")):
            axes.scatter(
                x[which],
                height[which],
                s=15,
                lw=1,
                zorder=3,
                edgecolors=colours[which],
                c=faces,
                rasterized=True,
            )
        axes.grid()
    ends = np.concatenate([x, y]) if len(x) else np.array([0.0, 1.0])
    room = 0.06 * (np.ptp(ends) or 1.0)
    limits = (float(ends.min() - room), float(ends.max() + room))
    equal: dict[str, Any] = {"color": style.MUTED, "lw": 1, "ls": (0, (4, 3)), "zorder": 1}
    above.plot(limits, limits, **equal)
    below.axhline(0.0, **equal)
    above.set(xlim=limits, ylim=limits, ylabel="predicted (wt%)")
    below.set_xlabel("measured (wt%)")
    below.set_ylabel("diff. (wt%)", fontsize=9)
    agree = int((np.abs(difference) <= reach).sum())
    above.set_title(f"{pretty(oxide)}: {agree} of {len(x)} agree", fontsize=9.5)
    above.locator_params(nbins=5)
    below.locator_params(axis="y", nbins=3)


def _handles(answers: xr.Dataset, pairs: _Pairs) -> list[Line2D]:
    def dot(colour: str, label: str, face: str | None = None) -> Line2D:
        return Line2D(
            [], [], marker="o", ls="", ms=5, color=colour, mfc=face or colour, label=label
        )

    names = labels_of(answers, "phase")
    colours = phase_colours(len(names))
    handles = [dot(colours[k], names[k]) for k in range(len(names)) if (pairs.phase == k).any()]
    if (pairs.phase < 0).any():
        handles.append(dot(style.MUTED, "no phase"))
    handles.append(dot(style.INK, "mixed spot", "white"))
    return [*handles, Line2D([], [], color=style.INK, lw=0.8, label="90 % interval")]
