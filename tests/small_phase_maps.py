"""Small simulated maps and the problems on them, shared by tests of phase maps."""

import numpy as np
import xarray as xr

from petro_models.phase_maps.data import phase_seeds
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.simulate import MINERALS, simulate_phase_maps


def compositions(truth: xr.Dataset) -> dict[str, dict[str, float]]:
    """Give the books' composition of every simulated phase."""
    return {str(name): MINERALS[str(name)] for name in truth["phase"].to_numpy()}


def seeds_of(truth: xr.Dataset, margin: int = 3) -> xr.Dataset:
    """Point at a pixel of each phase in the middle of its widest grain."""
    columns, rows = [], []
    for fraction in truth["phase_fraction"].to_numpy():
        pure = fraction > 0.999
        depth = np.zeros(pure.shape)
        core = pure.copy()
        while core.any():
            depth += core
            core[1:-1, 1:-1] &= core[:-2, 1:-1] & core[2:, 1:-1] & core[1:-1, :-2] & core[1:-1, 2:]
            core[[0, -1]] = False
            core[:, [0, -1]] = False
        depth[:margin] = depth[-margin:] = depth[:, :margin] = depth[:, -margin:] = 0
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        rows.append(float(row))
        columns.append(float(column))
    return phase_seeds([str(p) for p in truth["phase"].to_numpy()], columns, rows)


def seeded_problem(
    n_phases: int,
    zoned: tuple[str, ...],
    *,
    mixtures: str = "all",
    pixels: int = 200,
    size: int = 64,
    n_elements: int = 4,
    dead_time_ns: float = 0.0,
    counts_per_pixel: float = 1500.0,
    seed: int = 4,
) -> tuple[PhaseMaps, xr.Dataset]:
    """Give a problem whose phases come from seeds and known compositions, three spots, the truth.

    Of the spots, one each on the first phases, the second lacks its last oxide and the third
    carries the label of the first phase.
    """
    maps, spots, truth = simulate_phase_maps(
        size,
        size,
        n_phases,
        n_elements,
        counts_per_pixel,
        n_spots=30,
        zoned=zoned,
        registration_shift=(0.0, 0.0),
        registration_jitter=0.3,
        dead_time_ns=dead_time_ns,
        seed=seed,
    )
    names = [str(name) for name in truth["phase"].to_numpy()]
    chosen = [int(np.flatnonzero(spots["phase"].to_numpy() == name)[0]) for name in names]
    spots = spots.isel(spot=(chosen * 2)[:3] if n_phases > 2 else [*chosen, chosen[0] + n_phases])
    spots["phase"] = ("spot", np.array([names[0], names[1], names[0]]))
    spots["wt_percent"][1, -1] = np.nan
    problem = PhaseMaps(
        maps,
        spots,
        phases=compositions(truth),
        seeds=seeds_of(truth),
        mixtures=mixtures,
        pixels=pixels,
    )
    return problem, truth
