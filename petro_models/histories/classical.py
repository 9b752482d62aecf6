"""Point by point: the pressure and temperature whose garnet fits each analysis best (isopleths).

What is done today: isopleths of the table are intersected at each point of the profile on its
own, without smoothness, time or fractionation beyond a given removed volume.
"""

import numpy as np
import xarray as xr
from scipy.ndimage import minimum_filter

from petro_models.thermodynamics.tables import EquilibriumTable

STEPS_PER_CELL = 2
REFINEMENTS = 12
ABSENCE_COST = 25.0
CANDIDATES = 4
JUMP_C, JUMP_KBAR = 12.0, 0.4
"""Jumps between neighbouring analyses that are as unlikely as one standard deviation of misfit."""


def fit_points(
    table: EquilibriumTable,
    composition: np.ndarray,
    sd: np.ndarray,
    removed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the best pressure and temperature of each analysis on its own.

    The misfit ``sum ((y - x) / sd)^2`` over the measured components is minimised on a grid of half
    cells and then, from its lowest minima, by damped Gauss-Newton steps.

    Parameters
    ----------
    table
        The equilibrium table.
    composition, sd
        (position, endmember); NaN where not measured.
    removed
        Garnet removed before each position, (position).

    Returns
    -------
    pressure_kbar, temperature_C, misfit
        Each (position).
    """
    pressure, temperature, cost = find_candidates(table, composition, sd, removed)
    best = cost.argmin(axis=1)
    rows = np.arange(len(best))
    return pressure[rows, best], temperature[rows, best], cost[rows, best]


def fit_along(
    table: EquilibriumTable,
    composition: np.ndarray,
    sd: np.ndarray,
    removed: np.ndarray,
    coordinate: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `fit_points`, but among minima of one analysis take that which suits its neighbours.

    Misfits and squared jumps between neighbours along the growth coordinate are minimised together
    (dynamic programming): isopleths often cross twice.

    Parameters
    ----------
    table, composition, sd, removed
        As in `fit_points`.
    coordinate
        Order of the analyses, (position).
    """
    pressure, temperature, cost = find_candidates(table, composition, sd, removed)
    order = np.argsort(coordinate, kind="stable")
    p, t, c = pressure[order], temperature[order], cost[order]
    total = c[0]
    back = np.zeros(c.shape, dtype=int)
    for row in range(1, len(c)):
        jump = ((p[row][:, None] - p[row - 1]) / JUMP_KBAR) ** 2
        jump = jump + ((t[row][:, None] - t[row - 1]) / JUMP_C) ** 2
        reach = total[None, :] + jump
        back[row] = reach.argmin(axis=1)
        total = reach.min(axis=1) + c[row]
    chosen = np.empty(len(c), dtype=int)
    chosen[-1] = total.argmin()
    for row in range(len(c) - 1, 0, -1):
        chosen[row - 1] = back[row, chosen[row]]
    rows = np.empty(len(c), dtype=int)
    rows[order] = chosen
    at = np.arange(len(c))
    return pressure[at, rows], temperature[at, rows], cost[at, rows]


def find_candidates(
    table: EquilibriumTable, composition: np.ndarray, sd: np.ndarray, removed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the lowest minima of each misfit: pressure, temperature, cost (position, candidate)."""
    pressures = _refined(table.pressure_kbar)
    temperatures = _refined(table.temperature_C)
    grid_p, grid_t = np.meshgrid(pressures, temperatures, indexing="ij")
    start_p, start_t = (np.empty((len(composition), CANDIDATES)) for _ in range(2))
    levels = np.unique(np.round(removed, 4))
    if levels.size > 12:
        levels = np.linspace(removed.min(), removed.max(), 12)
    nearest_level = np.abs(removed[:, None] - levels).argmin(axis=1)
    for index in np.unique(nearest_level):
        predicted, absence = table.look_up(grid_p, grid_t, levels[index])
        absent = np.clip(absence - 1, 0, None)
        for row in np.flatnonzero(nearest_level == index):
            difference = (composition[row] - predicted) / sd[row]
            cost = np.nansum(difference**2, axis=-1) + ABSENCE_COST * absent**2
            minima = np.flatnonzero(cost == minimum_filter(cost, size=5, mode="nearest"))
            lowest = minima[np.argsort(cost.ravel()[minima])][:CANDIDATES]
            lowest = np.resize(lowest, CANDIDATES)
            start_p[row], start_t[row] = grid_p.ravel()[lowest], grid_t.ravel()[lowest]
    repeated = [np.repeat(values, CANDIDATES, axis=0) for values in (composition, sd, removed)]
    found = _descend(table, repeated[0], repeated[1], repeated[2], start_p.ravel(), start_t.ravel())
    pressure, temperature, cost = (values.reshape(-1, CANDIDATES) for values in found)
    return pressure, temperature, cost


def bootstrap_points(
    table: EquilibriumTable,
    composition: np.ndarray,
    sd: np.ndarray,
    removed: np.ndarray,
    draws: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Repeat `fit_points` with noise added to the analyses.

    Returns
    -------
    xr.Dataset
        ``pressure_kbar`` and ``temperature_C`` with dims (draw, position).
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        noisy = composition + sd * generator.normal(size=composition.shape)
        found.append(fit_points(table, noisy, sd, removed)[:2])
    values = np.array(found)
    return xr.Dataset(
        {
            "pressure_kbar": (("draw", "position"), values[:, 0], {"units": "kbar"}),
            "temperature_C": (("draw", "position"), values[:, 1], {"units": "degree_Celsius"}),
        }
    )


def _refined(axis: np.ndarray) -> np.ndarray:
    places = np.arange((axis.size - 1) * STEPS_PER_CELL + 1) / STEPS_PER_CELL
    return np.interp(places, np.arange(axis.size), axis)


def _misfit(
    table: EquilibriumTable,
    composition: np.ndarray,
    sd: np.ndarray,
    removed: np.ndarray,
    pressure: np.ndarray,
    temperature: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Give standardised residuals (position, endmember) and their cost (position)."""
    predicted, absence = table.look_up(pressure, temperature, removed)
    residual = np.nan_to_num((predicted - composition) / sd)
    absent = np.clip(absence - 1, 0, None)
    return residual, (residual**2).sum(axis=-1) + ABSENCE_COST * absent**2


def _descend(
    table: EquilibriumTable,
    composition: np.ndarray,
    sd: np.ndarray,
    removed: np.ndarray,
    pressure: np.ndarray,
    temperature: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Improve all points at once by damped Gauss-Newton steps."""
    step_p, step_t = 1e-3, 1e-2
    damping = np.full(pressure.shape, 1e-3)
    args = (table, composition, sd, removed)
    residual, cost = _misfit(*args, pressure, temperature)
    for _ in range(REFINEMENTS):
        slope_p = (_misfit(*args, pressure + step_p, temperature)[0] - residual) / step_p
        slope_t = (_misfit(*args, pressure, temperature + step_t)[0] - residual) / step_t
        a, b, c = ((u * v).sum(-1) for u, v in ((slope_p,) * 2, (slope_p, slope_t), (slope_t,) * 2))
        g, h = (slope_p * residual).sum(-1), (slope_t * residual).sum(-1)
        a, c = a * (1 + damping) + 1e-9, c * (1 + damping) + 1e-9
        determinant = a * c - b * b
        move_p, move_t = (c * g - b * h) / determinant, (a * h - b * g) / determinant
        trial_p = np.clip(pressure - move_p, table.pressure_kbar[0], table.pressure_kbar[-1])
        trial_t = np.clip(temperature - move_t, table.temperature_C[0], table.temperature_C[-1])
        trial_residual, trial_cost = _misfit(*args, trial_p, trial_t)
        better = trial_cost < cost
        pressure, temperature = (
            np.where(better, new, old) for new, old in ((trial_p, pressure), (trial_t, temperature))
        )
        residual = np.where(better[:, None], trial_residual, residual)
        cost = np.where(better, trial_cost, cost)
        damping = np.where(better, damping / 3, damping * 10)
    return pressure, temperature, cost
