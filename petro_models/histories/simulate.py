"""Garnets with a known history: grains that grow along a P-T-t path over an equilibrium table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.blurring import at_radii, blur, shell_edges_um, shell_places
from petro_models.histories.data import GROWN_BULK, garnet_profiles, table_bulk, zone_ages
from petro_models.histories.growth import arrhenius_slowness
from petro_models.histories.sections import off_centre
from petro_models.thermodynamics.tables import COMPONENTS, EquilibriumTable, Method

N_TIMES = 4001
FINE_SHELLS, FINE_STEPS = 200, 400
"""Of the diffusion in simulated grains: far finer than those of the model."""
_SHELL_PLACES = shell_places(FINE_SHELLS)


@dataclass(frozen=True)
class Path:
    """One P-T path over a scaled time of 0 to 1.

    Attributes
    ----------
    meaning
        What happens.
    pressure_kbar, temperature_C
        Functions of scaled time.
    """

    meaning: str
    pressure_kbar: Callable[[np.ndarray], np.ndarray]
    temperature_C: Callable[[np.ndarray], np.ndarray]


def _smooth_step(s: np.ndarray, start: float, end: float) -> np.ndarray:
    x = np.clip((s - start) / (end - start), 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))


PATHS: dict[str, Path] = {
    "heating": Path(
        "steady heating and burial",
        lambda s: 5.0 + 3.0 * s,
        lambda s: 520 + 95 * s,
    ),
    "pulse": Path(
        "slow heating, then a short thermal pulse",
        lambda s: 5.0 + 2.0 * s,
        lambda s: 522 + 35 * s + 55 * _smooth_step(s, 0.55, 0.75),
    ),
    "loop": Path(
        "burial first, then heating while pressure falls",
        lambda s: 5.0 + 3.4 * np.sin(np.pi * np.clip(1.25 * s, 0, 1) ** 0.9) ** 1.0 * 0.9 + 0.8 * s,
        lambda s: 518 + 92 * s**1.2,
    ),
    "pause": Path(
        "heating with an isothermal pause",
        lambda s: 5.0 + 2.8 * s,
        lambda s: 520 + 45 * _smooth_step(s, 0.0, 0.4) + 45 * _smooth_step(s, 0.6, 1.0),
    ),
    "hot": Path(
        "heating to where small garnets diffuse",
        lambda s: 5.0 + 3.0 * s,
        lambda s: 520 + 115 * s,
    ),
    "clockwise": Path(
        "pressure rises before temperature",
        lambda s: 4.5 + 4.5 * np.sin(np.pi / 2 * s),
        lambda s: 515 + 115 * s**1.8,
    ),
}
"""Histories that are no draws of the model's own prior."""


def simulate_history(
    equilibrium: xr.Dataset,
    path: str | Path = "clockwise",
    *,
    n_grains: int = 3,
    n_positions: int = 40,
    n_ages: int = 3,
    duration_Myr: float = 10.0,
    age_at_end_Ma: float = 80.0,
    largest_radius_um: float = 1000.0,
    activation_energy_kJ_per_mol: float = 200.0,
    removed_final: float = 0.02,
    noise: float = 0.004,
    age_sd_Ma: float = 0.3,
    nucleation: Sequence[float] | None = None,
    diffusion: bool = False,
    interpolation: Method = "linear",
    seed: int = 0,
) -> tuple[xr.Dataset, xr.Dataset | None, xr.Dataset]:
    """Grow garnets along a path and analyse them.

    All faces advance at ``v0 exp{-(E/R)(1/T - 1/T0)}``; v0 is such that the first grain ends at
    the given radius. Compositions are those of the table at the garnet grown so far; independent
    errors are added to the four fractions and the sum is brought back to 1.

    Parameters
    ----------
    equilibrium
        The garnet table.
    path
        A name of `PATHS` or a `Path`.
    n_grains, n_positions, n_ages
        Grains (they nucleate one after another), analyses of each, dated zones in all.
    duration_Myr, age_at_end_Ma
        Of the whole path.
    largest_radius_um
        Radius of the first grain in the end.
    activation_energy_kJ_per_mol
        Of growth.
    removed_final
        Garnet volume in the end / volume of the original solids; 0 for a table of one bulk.
    noise, age_sd_Ma
        Standard deviations of a fraction and of an age.
    nucleation
        Scaled times of nucleation, by default evenly over the first 60 % of the path.
    diffusion
        Whether the zoning is blurred on the way to the end of the path.
    interpolation
        How the table is read between its nodes.
    seed
        Same seed, same rock.

    Returns
    -------
    profiles, ages, truth
        ``truth`` holds ``pressure_kbar temperature_C time_Myr removed`` of growth and the
        ``composition`` before noise by position,
        ``nucleation_Myr`` by grain, ``zone_time_Myr`` by zone (where there are ages).

    Raises
    ------
    DataError
        If the path is unknown or a number is out of range.

    Examples
    --------
    >>> profiles, ages, truth = simulate_history(table, "pulse", seed=1)  # doctest: +SKIP
    """
    chosen = _path(path)
    for name, value in (("n_grains", n_grains), ("n_positions", n_positions)):
        if value < 1:
            raise DataError(f"{name} must be at least 1; got {value}")
    generator = np.random.default_rng(seed)
    table = EquilibriumTable.from_dataset(equilibrium)
    scaled = np.linspace(0.0, 1.0, N_TIMES)
    time = duration_Myr * scaled
    temperature, pressure = chosen.temperature_C(scaled), chosen.pressure_kbar(scaled)
    speed = 1 / arrhenius_slowness(temperature, activation_energy_kJ_per_mol, np)
    grown = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(time))])
    starts = _nucleation(nucleation, n_grains)
    grown -= np.interp(starts[0], scaled, grown)
    factor = largest_radius_um / grown[-1]
    coordinate = grown * factor
    offset = np.interp(starts, scaled, coordinate)
    density = generator.uniform(0.7, 1.3, n_grains)
    volume = (np.clip(coordinate[:, None] - offset, 0, None) ** 3 * density).sum(axis=1)
    removed = removed_final * volume / volume[-1]

    rows, truth_rows = [], []
    for grain in range(n_grains):
        rim = coordinate[-1] - offset[grain]
        radius = rim * np.linspace(0.06, 0.985, n_positions) ** 1.3
        at = np.interp(offset[grain] + radius, coordinate, scaled)
        values = [np.interp(at, scaled, curve) for curve in (pressure, temperature, time, removed)]
        exact = table.read(values[0], values[1], values[3], method=interpolation)
        if diffusion:
            history = (scaled, time, temperature, pressure, removed)
            growth = np.interp(offset[grain] + rim * _SHELL_PLACES, coordinate, scaled)
            exact = exact + _change_by_diffusion(table, history, growth, rim, radius)
        error = noise * generator.normal(size=exact.shape)
        noisy = exact + error - exact * error.sum(axis=1, keepdims=True)
        columns = {f"X_{n}": noisy[:, k] for k, n in enumerate(COMPONENTS)}
        rows.append(pd.DataFrame({"grain": str(grain + 1), "r_um": radius, **columns}))
        truth_rows.append((*values, exact))
    rims = {str(g + 1): float(coordinate[-1] - offset[g]) for g in range(n_grains)}
    profiles = garnet_profiles(
        pd.concat(rows, ignore_index=True),
        sd=noise,
        rim_radius_um=rims,
        number_density={str(g + 1): float(density[g]) for g in range(n_grains)},
        source=f"simulated ({chosen.meaning}, seed {seed})",
    )
    profiles.attrs[GROWN_BULK] = table_bulk(equilibrium.attrs)
    joined = [np.concatenate(parts) for parts in zip(*truth_rows, strict=True)]
    truth = xr.Dataset(
        {
            "pressure_kbar": ("position", joined[0], {"units": "kbar"}),
            "temperature_C": ("position", joined[1], {"units": "degree_Celsius"}),
            "time_Myr": ("position", joined[2], {"units": "Myr"}),
            "removed": ("position", joined[3], {"units": "1"}),
            "composition": (("position", "endmember"), joined[4], {"units": "1"}),
            "nucleation_Myr": ("grain", starts * duration_Myr, {"units": "Myr"}),
        },
        {name: profiles[name] for name in ("position", "endmember", "grain")},
        {"growth_rate_um_per_Myr": factor, "path": chosen.meaning},
    )
    if n_ages == 0:
        return profiles, None, truth
    ages, zone_time = _date(
        profiles, coordinate, offset, time, n_ages, age_sd_Ma, age_at_end_Ma, generator
    )
    truth["zone_time_Myr"] = ("zone", zone_time, {"units": "Myr"})
    return profiles, ages, truth.assign_coords(zone=ages["zone"])


def simulate_section(
    profiles: xr.Dataset,
    truth: xr.Dataset,
    grain: str,
    cut_offset_um: float,
    *,
    n_pixels: int = 2000,
    noise: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Map a section of a simulated grain that misses its centre.

    Parameters
    ----------
    profiles, truth
        As `simulate_history` gives them.
    grain
        Which grain is cut.
    cut_offset_um
        Distance of the cut from the centre.
    n_pixels
        Pixels, spread evenly over the section.
    noise
        Standard deviation of a fraction in one pixel.
    seed
        Same seed, same map.

    Returns
    -------
    pd.DataFrame
        Columns ``grain rim_distance_um X_alm X_prp X_grs X_sps``, as `garnet_section` takes them.

    Raises
    ------
    DataError
        If the grain is unknown, or the cut misses it.
    """
    grains = [str(name) for name in profiles["grain"].values]
    if grain not in grains:
        raise DataError(f"no grain is named {grain!r}: {nearest(grain, grains)}")
    rim = float(profiles["rim_radius_um"].to_numpy()[grains.index(grain)])
    if not 0 <= cut_offset_um < rim:
        raise DataError(
            f"cut_offset_um must be 0 to below the grain's radius of {rim:g} um; got "
            f"{cut_offset_um:g}"
        )
    generator = np.random.default_rng(seed)
    own = np.flatnonzero(profiles["grain_index"].to_numpy() == grains.index(grain))
    section = float(np.sqrt(rim**2 - cut_offset_um**2))
    middle = section * np.sqrt(generator.uniform(0, 0.98, n_pixels))
    radius = off_centre(middle, cut_offset_um)
    known = profiles["radius_um"].to_numpy()[own], truth["composition"].to_numpy()[own]
    exact = np.stack([np.interp(radius, known[0], column) for column in known[1].T], axis=-1)
    error = noise * generator.normal(size=exact.shape)
    noisy = exact + error - exact * error.sum(axis=1, keepdims=True)
    columns = {f"X_{name}": noisy[:, k] for k, name in enumerate(COMPONENTS)}
    return pd.DataFrame({"grain": grain, "rim_distance_um": section - middle, **columns})


def _change_by_diffusion(
    table: EquilibriumTable,
    history: tuple[np.ndarray, ...],
    growth: np.ndarray,
    rim_um: float,
    radius_um: np.ndarray,
) -> np.ndarray:
    """Give what diffusion changes at some radii of one grain, (position, component).

    Parameters
    ----------
    table
        The garnet table.
    history
        Scaled time, time (Myr), temperature (C), pressure (kbar) and removed garnet of the path.
    growth
        Scaled times at which the shells and the rim grew.
    rim_um, radius_um
        Of the grain and of the analyses.
    """
    scaled, time, temperature, pressure, removed = history
    at = [np.interp(growth, scaled, curve) for curve in (pressure, temperature, removed)]
    grown = table.read(*at)
    edges = shell_edges_um(np.array([rim_um]), FINE_SHELLS)
    formation = np.interp(growth[:-1], scaled, time)
    path = time, temperature, pressure
    change = blur(grown[None], edges, formation[None], *path, steps=FINE_STEPS)
    one_grain = np.zeros(radius_um.size, dtype=int)
    return at_radii(np.asarray(change), radius_um / rim_um, one_grain, np)


def _path(path: str | Path) -> Path:
    if isinstance(path, Path):
        return path
    if path not in PATHS:
        raise DataError(f"no path is named '{path}': {nearest(path, PATHS)}")
    return PATHS[path]


def _nucleation(given: Sequence[float] | None, n_grains: int) -> np.ndarray:
    if given is None:
        return np.linspace(0.02, 0.6, n_grains) if n_grains > 1 else np.array([0.02])
    starts = np.asarray(given, float)
    if starts.size != n_grains or (starts < 0).any() or (starts >= 1).any():
        raise DataError(f"nucleation needs {n_grains} scaled times from 0 to below 1; got {given}")
    return np.sort(starts)


def _date(
    profiles: xr.Dataset,
    coordinate: np.ndarray,
    offset: np.ndarray,
    time: np.ndarray,
    n_ages: int,
    age_sd_Ma: float,
    age_at_end_Ma: float,
    generator: np.random.Generator,
) -> tuple[xr.Dataset, np.ndarray]:
    """Date the core and the rim of the first grain, then zones of the others in turn."""
    rims = profiles["rim_radius_um"].to_numpy()
    n_grains = rims.size
    wanted = [(0, 0.0, 0.25), (0, 0.8, 1.0)]
    wanted += [
        (g, low, high) for low, high in ((0.0, 0.35), (0.4, 0.65)) for g in range(1, n_grains)
    ]
    wanted += [(0, 0.4, 0.6), (0, 0.25, 0.4), (0, 0.6, 0.8)]
    if n_ages > len(wanted):
        raise DataError(f"n_ages must be at most {len(wanted)} here; got {n_ages}")
    rows, times = [], []
    for grain, low, high in wanted[:n_ages]:
        inner, outer = low * rims[grain], high * rims[grain]
        radius = np.linspace(inner, outer, 400)
        weight = radius**2
        at = np.interp(offset[grain] + radius, coordinate, time)
        mean = float((at * weight).sum() / weight.sum())
        age = age_at_end_Ma + time[-1] - mean + age_sd_Ma * generator.normal()
        rows.append((str(grain + 1), inner, outer, age, age_sd_Ma))
        times.append(mean)
    frame = pd.DataFrame(rows, columns=["grain", "r_inner_um", "r_outer_um", "age_Ma", "sd_Ma"])
    order = np.argsort(frame["grain"].to_numpy(), kind="stable")
    frame, ordered = frame.iloc[order].reset_index(drop=True), np.array(times)[order]
    return zone_ages(frame, profiles), ordered
