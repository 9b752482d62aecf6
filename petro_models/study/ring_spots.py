"""Analyses that lie in the rings of grains, with the counts of the map there."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.phase_maps.map_answers import answers_of, grid_of, registration_shift
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.summed_counts import FEWEST_SPOTS, GroupCounts, SpotCounts
from petro_models.study.outlines import Outline

SURE = 0.9
"""Lowest P(pure) of a spot that calibrates."""


def spots_in_rings(
    problem: PhaseMaps,
    fit: xr.DataTree,
    grains: Sequence[Outline],
    rings: pd.DataFrame,
    counts: GroupCounts,
    phase: str,
) -> SpotCounts | None:
    """Find the analyses of a phase that lie in the rings of its grains.

    Counts are interpolated between the rings' mean radii; to their error comes that of the spot's
    place, the steeper the zoning the more.

    Parameters
    ----------
    problem, fit
        The problem and its fit.
    grains
        In the order of their labels, "1", "2", ....
    rings
        Columns ``grain``, ``r_um`` of each group.
    counts
        Of the rings.
    phase
        Label of the phase.

    Returns
    -------
    SpotCounts or None
        None where they are too few to calibrate with.
    """
    if not problem.observations.has_spots:
        return None
    answers = answers_of(fit, "spot_pure_probability")
    sure = answers["spot_pure_probability"].sel(phase=phase).to_numpy() >= SURE
    row, column = _places(problem, fit)
    steps = grid_of(answers).steps
    misplaced = _misplaced_pixels(problem, fit) * max(steps)
    chosen, at, error = [], [], []
    for number, grain in enumerate(grains, start=1):
        own = np.flatnonzero((rings["grain"] == str(number)).to_numpy())
        radii = rings["r_um"].to_numpy()[own]
        if radii.size < 2:
            continue
        mean = counts.mean[:, own]
        curves = np.stack([mean, np.gradient(mean, radii, axis=1)])
        for spot in np.flatnonzero(sure & grain.holds(np.rint(row), np.rint(column))):
            place = column[spot] * steps[0], row[spot] * steps[1]
            radius = grain.radius_of(*place)
            if not radii[0] - misplaced <= radius <= radii[-1] + misplaced:
                continue
            read, slope, noise = (
                np.array([np.interp(radius, radii, values) for values in part])
                for part in (*curves, counts.variance[:, own])
            )
            chosen.append(spot)
            at.append(read)
            error.append(np.sqrt(noise + (slope * misplaced) ** 2))
    if len(chosen) < FEWEST_SPOTS:
        return None
    return SpotCounts(np.array(chosen), np.array(at), np.array(error))


def _places(problem: PhaseMaps, fit: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Give row and column of every spot after registration, pixels."""
    shift = registration_shift(fit)
    named = (("spot_row", shift[1]), ("spot_column", shift[0]))
    row, column = (np.nan_to_num(problem.data[name].to_numpy() + by, nan=-1) for name, by in named)
    return row, column


def _misplaced_pixels(problem: PhaseMaps, fit: xr.DataTree) -> float:
    """Give how far a spot may lie from where it was set, after registration, pixels."""
    parts = [
        fit["posterior"][name].to_numpy()
        if name in fit["posterior"]
        else np.asarray(problem.priors.known(name))
        for name in ("registration_jitter", "registration_drift")
    ]
    return float(np.hypot(*parts).mean())
