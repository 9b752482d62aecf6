"""From draws to answers: pressure, temperature, time and rates along every grain and in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from petro_models.histories import forward, grains
from petro_models.histories.axis import N_GRID
from petro_models.histories.growth import clock_names
from petro_models.histories.smoothing import PathParts, path_curves
from petro_models.inference.predictive import thin

if TYPE_CHECKING:
    from petro_models.histories.problem import Histories

STATISTICS = ["mean", "sd", "q05", "q50", "q95"]
KEPT = 800
"""Draws for which curves are kept."""
STEPS = 81
MISSED_CORE = 0.05
"""Time is also told from this share of the largest radius: before it, little garnet tells much."""
ENERGIES_KJ_PER_MOL = (150.0, 200.0, 250.0)
TIME_ZERO = (
    "times count from the first analysis, inclusion or dated spot; the duration ends with the last"
)
INTERVAL = "90 %, equal-tailed (q05 to q95)"


def derive(problem: "Histories", posterior: xr.Dataset) -> xr.Dataset:
    """Compute every answer of a fit.

    Parameters
    ----------
    problem
        The problem that was fitted.
    posterior
        Draws of its free variables, (chain, draw, ...).

    Returns
    -------
    xr.Dataset
        Statistics (statistic, ...) and, for at most 800 draws, curves (kept, ...): per position
        ``pressure_kbar temperature_C``, per inclusion ``inclusion_pressure_kbar
        inclusion_temperature_C``, along the common axis (step) ``axis_pressure_kbar
        axis_temperature_C``; with a clock ``time_Myr``, ``axis_time_Myr``, rates, durations,
        nucleation times, and with ages ``age_Ma``.
    """
    draws = thin(posterior, KEPT).stack(kept=("chain", "draw"), create_index=False)
    draws = draws.transpose("kept", ...)
    curves = Curves(problem, draws)
    step = np.linspace(0, N_GRID - 1, STEPS).round().astype(int)
    axis = curves.axis
    named: dict[str, tuple[str, np.ndarray, str]] = {}
    for place, prefix in problem.arrays.places:
        at = curves.at[place]
        named[f"{prefix}pressure_kbar"] = (place, at["pressure"], "kbar")
        named[f"{prefix}temperature_C"] = (place, at["temperature"], "degree_Celsius")
    named |= {
        "axis_pressure_kbar": ("step", curves.grid_pressure[:, step], "kbar"),
        "axis_temperature_C": ("step", curves.grid_temperature[:, step], "degree_Celsius"),
    }
    peak = curves.grid_temperature.argmax(axis=1)
    rows = np.arange(len(peak))
    scalars = {
        "peak_temperature_C": (curves.grid_temperature.max(axis=1), "degree_Celsius"),
        "pressure_at_peak_temperature_kbar": (curves.grid_pressure[rows, peak], "kbar"),
        "peak_pressure_kbar": (curves.grid_pressure.max(axis=1), "kbar"),
    }
    if problem.law.has_clock:
        _add_time(problem, curves, step, named, scalars)
    variables: dict[str, Any] = {}
    for name, (dim, values, units) in named.items():
        variables[name] = (("statistic", dim), _statistics(values), {"units": units})
        variables[f"{name}_draws"] = (("kept", dim), values.astype("float32"), {"units": units})
    for name, (values, units) in scalars.items():
        variables[name] = (("statistic",), _statistics(values), {"units": units})
        variables[f"{name}_draws"] = (("kept",), values, {"units": units})
    radius = np.maximum(axis.grid_coordinate[step], 0) ** (1 / problem.law.exponent)
    variables["axis_radius_um"] = ("step", radius, {"units": "um, radius of the largest grain"})
    if problem.law.has_clock and "activation_energy_kJ_per_mol" in draws:
        energy = draws["activation_energy_kJ_per_mol"].to_numpy()
        variables["duration_by_energy_Myr"] = (
            ("statistic", "energy"),
            _given_energy(energy, scalars["duration_Myr"][0]),
            {"units": "Myr"},
        )
    coords: dict[str, Any] = {
        **problem.arrays.coords,
        "statistic": STATISTICS,
        "energy": ("energy", list(ENERGIES_KJ_PER_MOL), {"units": "kJ/mol"}),
    }
    used = {dim for entry in variables.values() for dim in np.atleast_1d(entry[0])}
    return xr.Dataset(
        variables,
        {name: value for name, value in coords.items() if name in used},
        attrs={"interval": INTERVAL, "time": TIME_ZERO},
    )


class Curves:
    """Path and clock of every draw, for known geometry at once, else draw by draw.

    Attributes
    ----------
    at
        ``position`` and ``inclusion`` -> ``temperature``, ``pressure`` and ``share`` of time, each
        (draw, place).
    grid_temperature, grid_pressure, share
        Along the grid of the axis, (draw, grid).
    nucleation_share, zone_share
        Share of time of each grain's nucleation and each zone's mean.
    grown_share
        Share of the final garnet volume that had grown at each position, (draw, position).
    grid_coordinate
        Growth coordinate along the grid, (draw, grid).
    duration, rate
        Of the axis (Myr) and of growth, (draw). These, the coordinate and all shares of time exist
        with a clock only.
    """

    def __init__(self, problem: "Histories", draws: xr.Dataset) -> None:
        self.problem, self.draws = problem, draws
        self.axis, self.resolved = problem._axis(), problem.resolved
        self.count = draws.sizes["kept"]
        known = "path_length" in problem.priors
        length = self.get("path_length") if known else np.ones(self.count)
        offset = self._offsets()
        cuts = self._cuts()
        if "nucleation_offset_um" in draws or "cut_offset_um" in draws:
            parts = [
                self._along(
                    self._layout(offset[row], length[row : row + 1], cuts[row]),
                    slice(row, row + 1),
                )
                for row in range(self.count)
            ]
            found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        else:
            whole = length if "path_length" in draws else length[0]
            found = self._along(self._layout(offset[0], whole, cuts[0]), slice(None))
        names = [*forward.PATH_UNITS, *(["share"] if problem.law.has_clock else [])]
        self.at = {
            place: {name: found[f"{place} {name}"] for name in names}
            for place in ("position", "inclusion")
        }
        self.grid_temperature, self.grid_pressure = (
            found["grid temperature"],
            found["grid pressure"],
        )
        self.grown_share = found["grown"]
        if problem.law.has_clock:
            self.share, self.nucleation_share, self.zone_share = (
                found[f"{place} share"] for place in ("grid", "nucleation", "zone")
            )
            self.duration, self.rate = found["duration"], found["rate"]
            self.grid_coordinate = found["grid coordinate"]

    def get(self, name: str) -> np.ndarray:
        """Give draws of a quantity, or its known number for every draw."""
        if name in self.draws:
            return self.draws[name].to_numpy()
        return np.broadcast_to(self.problem.priors.known(name), self.count)

    def _offsets(self) -> np.ndarray:
        if "nucleation_offset_um" in self.draws:
            return self.draws["nucleation_offset_um"].to_numpy()
        offset = self.problem._known_offsets()
        return np.broadcast_to(offset, (self.count, offset.size))

    def _cuts(self) -> Sequence[np.ndarray | None]:
        """Give how far sections miss the centres, draw by draw; None without sections."""
        if "cut_offset_um" in self.draws:
            return list(self.draws["cut_offset_um"].transpose("kept", "section").to_numpy())
        return [self.problem.known_cuts()] * self.count

    def _layout(
        self, offset: np.ndarray, length: np.ndarray, cut: np.ndarray | None
    ) -> grains.Layout:
        problem = self.problem
        return grains.Layout.of(
            problem.arrays,
            self.axis,
            problem.law,
            offset,
            np.asarray(length),
            spectral=not problem.is_length_known,
            cut_um=cut,
        )

    def _along(self, layout: grains.Layout, rows: slice) -> dict[str, np.ndarray]:
        """Give path and, with a clock, times for some draws on one layout."""
        law = self.problem.law
        names = clock_names(law, self.problem.priors) if law.has_clock else []
        parameters = {name: self.get(name)[rows] for name in names}
        heat, load = (
            PathParts(
                self.get(f"{name}_mean_{unit}")[rows],
                self.get(f"{name}_amplitude_{unit}")[rows],
                self.draws[f"{name}_path"].to_numpy()[rows],
                layout.in_units(self.resolved[name]),
            )
            for name, unit in forward.PATH_UNITS.items()
        )
        smoothing = self.problem.options["smoothing"]
        curves = path_curves(smoothing, layout, heat, load, parameters, layout.wanted(np), np)
        found = {
            f"{place} {name}": values
            for name, along in curves.items()
            for place, values in along.items()
        }
        rows_here = found["grid temperature"].shape[0]
        grown = np.broadcast_to(layout.grown_share, (rows_here, np.size(layout.grown_share)))
        found["grown"] = grown
        if not law.has_clock:
            return found
        parameters |= {name: parameters[name][:, None] for name in law.parameters}
        share, duration, rate = layout.clock(found["grid temperature"], parameters, np)
        zone = layout.zone_share(share, np) if self.problem.arrays.has_ages else share[:, :0]
        places = {
            "nucleation": layout.nucleation_place,
            "position": layout.position_place,
            "inclusion": layout.inclusion_place,
        }
        for name, place in places.items():
            found[f"{name} share"] = forward.even_interpolation(share, place, np)
        coordinate = np.broadcast_to(layout.grid_coordinate, (rows_here, share.shape[1]))
        return found | {
            "grid coordinate": coordinate,
            "grid share": share,
            "zone share": zone,
            "duration": duration,
            "rate": rate,
        }


def _add_time(
    problem: "Histories",
    curves: Curves,
    step: np.ndarray,
    named: dict[str, tuple[str, np.ndarray, str]],
    scalars: dict[str, tuple[np.ndarray, str]],
) -> None:
    """Add times, ages, rates and durations; time 0 is the first analysis."""
    duration = curves.duration[:, None]
    grid_time = duration * curves.share
    times = {place: duration * curves.at[place]["share"] for place, _ in problem.arrays.places}
    for place, prefix in problem.arrays.places:
        named[f"{prefix}time_Myr"] = (place, times[place], "Myr")
    named["axis_time_Myr"] = ("step", grid_time[:, step], "Myr")
    heating = np.gradient(curves.grid_temperature, axis=1) / np.gradient(grid_time, axis=1)
    burial = np.gradient(curves.grid_pressure, axis=1) / np.gradient(grid_time, axis=1)
    growth = np.gradient(curves.grid_coordinate, axis=1) / np.gradient(grid_time, axis=1)
    exponent = problem.law.exponent
    if exponent > 1:
        radius = np.maximum(curves.grid_coordinate, 1e-9) ** (1 / exponent)
        growth = growth / (exponent * radius ** (exponent - 1))
    named["axis_heating_C_per_Myr"] = ("step", heating[:, step], "degree_Celsius/Myr")
    named["axis_burial_kbar_per_Myr"] = ("step", burial[:, step], "kbar/Myr")
    named["axis_growth_um_per_Myr"] = ("step", growth[:, step], "um/Myr")
    named["nucleation_Myr"] = ("grain", duration * curves.nucleation_share, "Myr")
    last = np.concatenate(list(times.values()), axis=1).max(axis=1)
    scalars["duration_Myr"] = (last, "Myr")
    reached = MISSED_CORE * float(problem.arrays.rim_radius_um.max())
    place = curves.axis.place(np.array([reached**exponent]), np)
    early = duration * forward.even_interpolation(curves.share, place, np)
    scalars["duration_past_core_Myr"] = (last - early[:, 0], "Myr")
    peak = curves.grid_temperature.argmax(axis=1)
    scalars["time_of_peak_temperature_Myr"] = (grid_time[np.arange(len(peak)), peak], "Myr")
    scalars["growth_before_first_analysis_Myr"] = (
        _unseen(problem, curves),
        "Myr",
    )
    if problem.arrays.has_ages:
        start = curves.get("age_at_start_Ma")
        for place, prefix in problem.arrays.places:
            named[f"{prefix}age_Ma"] = (place, start[:, None] - times[place], "Ma")
        named["axis_age_Ma"] = ("step", start[:, None] - grid_time[:, step], "Ma")
        named["zone_age_expected_Ma"] = (
            "zone",
            start[:, None] - duration * curves.zone_share,
            "Ma",
        )


def _unseen(problem: "Histories", curves: Curves) -> np.ndarray:
    """Give the time that growth up to the first analysis took at the first temperature.

    Where time follows from how the temperature changes: as long as the next stretch of that length.
    """
    before = np.maximum(curves.grid_coordinate[:, 0], 0.0)
    if problem.law.along is not None:
        rows = zip(2 * before, curves.grid_coordinate, curves.share, strict=True)
        return curves.duration * np.array([np.interp(*row) for row in rows])
    names = problem.law.parameters
    parameters = {name: curves.get(name) for name in names}
    slowness = problem.law.slowness(curves.grid_temperature[:, 0], parameters, np)
    return before * slowness / curves.rate


def _given_energy(energy: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Give the duration's statistics at fixed activation energies, by regression of its log."""
    log, centred = np.log(duration), energy - energy.mean()
    variance = float((centred**2).mean())
    slope = float((centred * log).mean()) / variance if variance > 0 else 0.0
    rest = log - slope * centred
    return np.stack(
        [
            _statistics(np.exp(rest + slope * (value - energy.mean())))
            for value in ENERGIES_KJ_PER_MOL
        ],
        axis=1,
    )


def _statistics(values: np.ndarray) -> np.ndarray:
    """Give mean, sd and quantiles over the leading axis: (statistic, ...)."""
    quantiles = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    return np.stack([values.mean(axis=0), values.std(axis=0), *quantiles])
