"""Figures of inclusions: equilibria over P and T, and P and T along the grain."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from petro_models.errors import FitError
from petro_models.histories.equilibria import InclusionArrays
from petro_models.report import style

FINE = 160
COLOURS = mpl.colormaps["viridis"]
MARKERS = (style.INK, style.CATEGORIES[1], style.CATEGORIES[3], style.CATEGORIES[6], style.MUTED)
"""Colours of calibrations, apart from those of grains."""
MOST_LINES = 60
"""Beyond these only every other equilibrium (third ...) is drawn behind a path."""
PANELS = (
    ("temperature", "C", "temperature (°C)"),
    ("pressure", "kbar", "pressure (kbar)"),
)


@style.styled
def plot_inclusions(fit: xr.DataTree) -> Figure:
    """Draw P and T of the path at the inclusions, and what each inclusion says on its own.

    Parameters
    ----------
    fit
        A fit of `Histories` with inclusions.

    Returns
    -------
    Figure
        Bands: 90 %, equal-tailed, of the path; points: one equilibrium alone, thermometers at the
        path's pressure and barometers at its temperature, with bars of 90 % from the stated errors.

    Raises
    ------
    FitError
        If the fit has no inclusions.
    """
    data, derived = fit["constant_data"].to_dataset(), fit["derived"].to_dataset()
    if "inclusion" not in data.dims:
        raise FitError("this fit has no inclusions: look at plot_profiles instead")
    inclusions = InclusionArrays.of(data)
    medians = derived.sel(statistic="q50")
    at = [medians[f"inclusion_{name}_{unit}"].to_numpy() for name, unit, _ in PANELS]
    errors = inclusions.single_errors(*at)
    figure = style.new_figure(7.4, 5.6)
    panels = figure.subplots(2, 1, sharex=True)
    grains = [str(name) for name in data["grain"].values]
    for axes, (name, unit, label), alone in zip(
        panels, PANELS, inclusions.single_estimates(*at), strict=True
    ):
        values = derived[f"inclusion_{name}_{unit}"]
        if len(grains) == 1:
            along = derived["axis_radius_um"].to_numpy()
            _band(axes, along, derived[f"axis_{name}_{unit}"], style.category(0), None)
        for number, grain in enumerate(grains if len(grains) > 1 else []):
            inside = np.flatnonzero(inclusions.grain == number)
            order = inside[np.argsort(inclusions.radius_um[inside], kind="stable")]
            title = f"grain {grain}" if len(grains) > 1 and name == "temperature" else None
            if order.size:
                radius = inclusions.radius_um[order]
                _band(axes, radius, values.isel(inclusion=order), style.category(number), title)
        own = inclusions.measures_temperature == (name == "temperature")
        for index, calibration in enumerate(inclusions.calibration_names):
            rows = np.flatnonzero(own & (inclusions.calibration_index == index))
            if rows.size:
                axes.errorbar(
                    inclusions.radius_um[rows], alone[rows], 1.645 * errors[name][rows], fmt="o",
                    ms=4, lw=1, color=MARKERS[index % len(MARKERS)],
                    label=calibration.replace("_", " "),
                )  # fmt: skip
        axes.set_ylabel(label)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize=8)
    panels[0].set_title("Inclusions along the grain")
    panels[1].set_xlabel("radius (µm)")
    return figure


def draw_equilibria(figure: Figure, axes: Axes, data: xr.Dataset) -> None:
    """Draw where each inclusion is in equilibrium, over the window of the axes.

    Parameters
    ----------
    figure
        Takes the scale of colours.
    axes
        Temperature (C) against pressure (kbar), with its limits set.
    data
        With inclusions.
    """
    inclusions = InclusionArrays.of(data)
    temperature = np.linspace(*axes.get_xlim(), FINE)
    pressure = np.linspace(*axes.get_ylim(), FINE)
    radius = inclusions.radius_um
    low, high = float(radius.min()), float(radius.max())
    scale = Normalize(low, high if high > low else low + 1)
    shape = (FINE, FINE, inclusions.count)
    mesh = [
        np.broadcast_to(values[..., None], shape) for values in np.meshgrid(temperature, pressure)
    ]
    residual = inclusions.residuals(mesh[0], mesh[1], np)
    every = -(-inclusions.count // MOST_LINES)
    for row in range(0, inclusions.count, every):
        axes.contour(
            temperature, pressure, residual[..., row], levels=[0.0], linewidths=0.8,
            colors=[COLOURS(scale(radius[row]))], alpha=0.8, zorder=3,
            linestyles="solid" if inclusions.measures_temperature[row] else "dashed",
        )  # fmt: skip
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("radius of the inclusion (µm)")


def _band(
    axes: Axes, radius: np.ndarray, values: xr.DataArray, colour: str, label: str | None
) -> None:
    low, middle, high = (values.sel(statistic=key).to_numpy() for key in ("q05", "q50", "q95"))
    if radius.size > 1 and np.ptp(radius) > 0:
        axes.fill_between(radius, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(radius, middle, color=colour, label=label)
        return
    axes.errorbar(
        radius, middle, [middle - low, high - middle], fmt="s", ms=5, color=colour, label=label
    )
