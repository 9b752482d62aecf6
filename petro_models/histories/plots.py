"""Figures of a history: each takes the fit and returns a Figure, unknown to pyplot."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from petro_models.errors import FitError
from petro_models.histories.plot_inclusions import draw_equilibria
from petro_models.report import style
from petro_models.report.ticks import plain_log_ticks
from petro_models.thermodynamics.isopleths import draw_isopleths, quiet_garnet_out
from petro_models.thermodynamics.tables import COMPONENTS, VARIABLES, EquilibriumTable

NAMES = {"alm": "almandine", "prp": "pyrope", "grs": "grossular", "sps": "spessartine"}
SMOOTHED_SHARE = 0.15
FAINTEST = 0.12
"""Density over the highest one, as a root, from which on a path is shaded."""
N_COMMON = 120


@style.styled
def plot_path(fit: xr.DataTree, component: str | None = "grs") -> Figure:
    """Draw the pressure-temperature path as a density with its direction.

    Behind it: isopleths of the table, or where inclusions were in equilibrium.

    Parameters
    ----------
    fit
        A fit of `Histories`.
    component
        Whose isopleths are drawn, for the bulk before growth (profiles only); None for none.

    Returns
    -------
    Figure
        Shading: posterior density of the path; line: medians; bars: 90 %, equal-tailed; thin
        lines: equilibria of inclusions, coloured by their radius.
    """
    derived, data = fit["derived"].to_dataset(), fit["constant_data"].to_dataset()
    temperature = derived["axis_temperature_C_draws"].to_numpy()
    pressure = derived["axis_pressure_kbar_draws"].to_numpy()
    figure = style.new_figure(6.6, 5.4)
    axes = figure.subplots()
    _path_window(axes, temperature, pressure)
    if component is not None and "composition" in data:
        table = EquilibriumTable.from_dataset(data[list(VARIABLES)])
        draw_isopleths(axes, table, component)
        quiet_garnet_out(axes, table)
    if "inclusion" in data.dims:
        draw_equilibria(figure, axes, data)
    _density(axes, temperature, pressure)
    middle = [np.median(values, axis=0) for values in (temperature, pressure)]
    colour = style.CATEGORIES[1]
    axes.plot(*middle, color=colour, lw=1.8)
    for share in (0.25, 0.55, 0.85):
        place = int(share * (middle[0].size - 1))
        ahead = min(place + 4, middle[0].size - 1)
        axes.annotate(
            "",
            (middle[0][ahead], middle[1][ahead]),
            (middle[0][place], middle[1][place]),
            arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8, "mutation_scale": 20},
            zorder=5,
        )
    for place in (0, middle[0].size - 1):
        _cross(axes, temperature[:, place], pressure[:, place], colour)
    axes.set(xlabel="temperature (°C)", ylabel="pressure (kbar)")
    axes.set_title("Pressure-temperature path")
    return figure


@style.styled
def plot_time(fit: xr.DataTree) -> Figure:
    """Draw temperature and pressure against time (age, where something was dated).

    Returns
    -------
    Figure
        Lines: medians at a time; bands: 90 %, equal-tailed; bars above: dated zones.

    Raises
    ------
    FitError
        If the fit holds no time.
    """
    derived = fit["derived"].to_dataset()
    _require_time(derived)
    dated = "axis_age_Ma_draws" in derived
    time = derived["axis_age_Ma_draws" if dated else "axis_time_Myr_draws"].to_numpy()
    common = _common_time(time)
    figure = style.new_figure(7.4, 5.6)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, name, label, colour in zip(
        panels,
        ("temperature_C", "pressure_kbar"),
        ("temperature (°C)", "pressure (kbar)"),
        style.CATEGORIES[1::-1],
        strict=True,
    ):
        values = derived[f"axis_{name}_draws"].to_numpy()
        _band(axes, common, at_times(time, values, common), colour)
        axes.set_ylabel(label)
    if dated:
        _ages(panels[0], fit)
        panels[1].set_xlabel("age (Ma)")
        panels[1].invert_xaxis()
    else:
        panels[1].set_xlabel("time since the first analysis (Myr)")
    panels[0].set_title("Temperature and pressure through time")
    return figure


@style.styled
def plot_profiles(fit: xr.DataTree) -> Figure:
    """Draw analyses of every grain and what the model expects of them, component by component.

    Returns
    -------
    Figure
        Points: analyses; bands: 90 %, equal-tailed, of replicated analyses.
    """
    data = fit["constant_data"].to_dataset()
    grains = [str(name) for name in data["grain"].values]
    replicated = fit["posterior_predictive"]["composition"].stack(
        kept=("chain", "draw"), create_index=False
    )
    values = replicated.transpose("kept", "position", "endmember").to_numpy()
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    index, radius = data["grain_index"].to_numpy(), data["radius_um"].to_numpy()
    columns = min(len(grains), 3)
    rows = -(-len(grains) // columns)
    figure = style.new_figure(1.2 + 3.1 * columns, 0.8 + 2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for number, (axes, grain) in enumerate(zip(panels, grains, strict=False)):
        own = index == number
        for k, name in enumerate(COMPONENTS):
            colour = style.category(k)
            measured = data["composition"].to_numpy()[own, k]
            axes.fill_between(
                radius[own], low[own, k], high[own, k], color=colour, alpha=0.25, lw=0
            )
            label = NAMES[name] if number == 0 else None
            axes.plot(radius[own], measured, "o", ms=2.6, color=colour, label=label)
        axes.set_title(f"grain {grain}")
        axes.set_xlabel("radius (µm)")
    for axes in panels[len(grains) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("fraction of the X site")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@style.styled
def plot_rates(fit: xr.DataTree) -> Figure:
    """Draw growth and heating rates against the radius of the largest grain.

    Returns
    -------
    Figure
        Lines: medians; bands: 90 %, equal-tailed.

    Raises
    ------
    FitError
        If the fit holds no time.
    """
    derived = fit["derived"].to_dataset()
    _require_time(derived)
    radius = derived["axis_radius_um"].to_numpy()
    figure = style.new_figure(7.4, 5.2)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, name, label, colour in zip(
        panels,
        ("axis_growth_um_per_Myr", "axis_heating_C_per_Myr"),
        ("growth rate (µm/Myr)", "heating rate (°C/Myr)"),
        style.CATEGORIES[2:4],
        strict=True,
    ):
        _band(axes, radius, derived[f"{name}_draws"].to_numpy(), colour)
        axes.set_ylabel(label)
    panels[0].set_yscale("log")
    plain_log_ticks(panels[0].yaxis, panels[0].get_ylim())
    panels[1].axhline(0, color=style.MUTED, lw=0.8)
    panels[1].set_xlabel("radius of the largest grain (µm)")
    panels[0].set_title("Rates")
    return figure


@style.styled
def plot_duration(fit: xr.DataTree) -> Figure:
    """Draw prior and posterior of the duration, and the duration at fixed activation energies.

    Raises
    ------
    FitError
        If the fit holds no time.
    """
    derived = fit["derived"].to_dataset()
    _require_time(derived)
    posterior = derived["duration_Myr_draws"].to_numpy()
    figure = style.new_figure(6.4, 3.4)
    axes = figure.subplots()
    groups = [("posterior", posterior, style.POSTERIOR)]
    if "prior" in fit.children and "duration_Myr" in fit["prior"]:
        prior = fit["prior"]["duration_Myr"].to_numpy().ravel()
        groups.insert(0, ("prior", prior, style.PRIOR))
    logs = np.concatenate([np.log10(values) for _, values, _ in groups])
    low, high = (float(value) for value in np.quantile(logs, [0.002, 0.998]))
    grid = np.linspace(low, high, 400)
    for label, values, colour in groups:
        curve = style.density(np.log10(values), grid)
        axes.fill_between(10**grid, curve / curve.max(), color=colour, alpha=0.3, lw=0)
        axes.plot(10**grid, curve / curve.max(), color=colour, label=label)
    if "duration_by_energy_Myr" in derived:
        for row, energy in enumerate(derived["energy"].to_numpy()):
            low, middle, high = (
                float(derived["duration_by_energy_Myr"].sel(statistic=key, energy=energy))
                for key in ("q05", "q50", "q95")
            )
            height = -0.1 - 0.11 * row
            axes.plot([low, high], [height, height], color=style.MUTED, lw=2)
            axes.plot(middle, height, "o", color=style.MUTED, ms=4)
            axes.annotate(
                f"E = {energy:.0f} kJ/mol", (high, height), (6, -3), textcoords="offset points",
                fontsize=8, color=style.MUTED,
            )  # fmt: skip
    axes.set_xscale("log")
    plain_log_ticks(axes.xaxis, axes.get_xlim())
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("duration of growth (Myr, log scale)")
    axes.set_title("Where the duration comes from")
    axes.legend(loc="upper right")
    return figure


def at_times(time: np.ndarray, values: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Read curves (kept, step) off at common times; NaN where a draw does not reach.

    Parameters
    ----------
    time
        Time or age of each draw, monotone along steps.
    values
        What is read.
    common
        Times.
    """
    out = np.full((len(time), common.size), np.nan)
    for row, (own, curve) in enumerate(zip(time, values, strict=True)):
        order = np.argsort(own, kind="stable")
        out[row] = np.interp(common, own[order], curve[order], left=np.nan, right=np.nan)
    return out


def _common_time(time: np.ndarray) -> np.ndarray:
    ends = np.sort(np.median(time[:, [0, -1]], axis=0))
    return np.linspace(ends[0], ends[1], N_COMMON)


def _band(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str) -> None:
    """Draw median and 90 % band where at least half of the draws have a value."""
    known = np.isfinite(values).mean(axis=0) >= 0.5
    low, middle, high = np.nanquantile(values[:, known], [0.05, 0.5, 0.95], axis=0)
    axes.fill_between(x[known], low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(x[known], middle, color=colour)


def _ages(axes: Axes, fit: xr.DataTree) -> None:
    data = fit["constant_data"].to_dataset()
    top = axes.get_ylim()[1]
    for age, sd in zip(
        data["zone_age_Ma"].to_numpy(), data["zone_age_sd_Ma"].to_numpy(), strict=True
    ):
        half = 1.645 * sd
        axes.plot([age - half, age + half], [top, top], color=style.INK, lw=1.4)
        axes.plot(age, top, "D", color=style.INK, ms=4)
    axes.plot([], [], "D-", color=style.INK, ms=4, lw=1.4, label="dated zones (90 %)")
    axes.legend(loc="lower right")


def _path_window(axes: Axes, temperature: np.ndarray, pressure: np.ndarray) -> None:
    limits = []
    for values, least in ((temperature, 30.0), (pressure, 1.5)):
        low, high = np.quantile(values, [0.003, 0.997])
        room = 0.12 * max(high - low, least)
        limits.append((low - room, high + room))
    axes.set(xlim=limits[0], ylim=limits[1])


def _density(axes: Axes, temperature: np.ndarray, pressure: np.ndarray) -> None:
    """Shade how often paths pass: every draw is a curve, counted along its length."""
    fine = np.linspace(0, temperature.shape[1] - 1, 8 * temperature.shape[1])
    index = np.floor(fine).astype(int).clip(max=temperature.shape[1] - 2)
    share = fine - index
    t, p = (
        (values[:, index] * (1 - share) + values[:, index + 1] * share).ravel()
        for values in (temperature, pressure)
    )
    counts, t_edges, p_edges = np.histogram2d(
        t, p, bins=(130, 110), range=(axes.get_xlim(), axes.get_ylim())
    )
    widths = [
        float(np.median(np.subtract(*np.quantile(values, [0.75, 0.25], axis=0))))
        / float(edges[1] - edges[0])
        for values, edges in ((temperature, t_edges), (pressure, p_edges))
    ]
    # A wide band is thinly sampled: counts are smoothed over a part of its width.
    smooth = gaussian_filter(counts, np.clip(SMOOTHED_SHARE * np.array(widths), 0.5, 5.0))
    shown = np.ma.masked_less(np.sqrt(smooth.T), FAINTEST * np.sqrt(smooth.max()))
    axes.pcolormesh(t_edges, p_edges, shown, cmap="Blues", alpha=0.85, rasterized=True, zorder=2)


def _cross(axes: Axes, temperature: np.ndarray, pressure: np.ndarray, colour: str) -> None:
    t, p = (np.quantile(values, [0.05, 0.5, 0.95]) for values in (temperature, pressure))
    axes.plot(t[[0, 2]], p[[1, 1]], color=colour, lw=1.2)
    axes.plot(t[[1, 1]], p[[0, 2]], color=colour, lw=1.2)


def _require_time(derived: xr.Dataset) -> None:
    if "duration_Myr" not in derived:
        raise FitError(
            "this fit holds no time: its growth law has no clock. Take growth_law='arrhenius'"
        )
