"""Where spots lie on the map: the shift that makes their analyses agree with the counts."""

import numpy as np
import xarray as xr

REACH = 8
"""Largest shift that is looked for, pixels."""
FEWEST_SPOTS = 8


def coarse_shift(maps: xr.Dataset, spots: xr.Dataset) -> np.ndarray:
    """Find the whole-pixel shift (column, row) under which wt% and counts correlate best.

    Parameters
    ----------
    maps, spots
        As the readers give them.

    Returns
    -------
    np.ndarray
        Column and row to add to nominal positions; zero where there are too few spots to tell.
    """
    pairs = _common(maps, spots)
    if spots.sizes["spot"] < FEWEST_SPOTS or not pairs:
        return np.zeros(2)
    counts = maps["counts"].to_numpy()
    column, row = spots["column"].to_numpy(), spots["row"].to_numpy()
    measured = spots["wt_percent"].to_numpy()
    steps = range(-REACH, REACH + 1)
    score = np.zeros((len(steps), len(steps)))
    for i, dx in enumerate(steps):
        for j, dy in enumerate(steps):
            for e, o in pairs:
                seen = _mean_around(counts[e], row + dy, column + dx)
                ok = np.isfinite(measured[:, o])
                # Log of the unexplained share: what a normal error would lose.
                correlation = _correlation(seen[ok], measured[ok, o])
                score[i, j] -= np.log(1 - min(correlation**2, 0.9999) + 1e-4)
    best = np.unravel_index(np.argmax(score), score.shape)
    return np.array([steps[int(index)] for index in best], dtype=float)


def local_counts(maps: xr.Dataset, spots: xr.Dataset, shift: np.ndarray) -> np.ndarray:
    """Give the mean counts of 3 x 3 pixels around every spot, (spot, element)."""
    counts = maps["counts"].to_numpy()
    row, column = spots["row"].to_numpy() + shift[1], spots["column"].to_numpy() + shift[0]
    return np.stack([_mean_around(one, row, column) for one in counts], axis=1)


def _mean_around(counts: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Give means of 3 x 3 pixels, linear between pixel centres; the map's edge goes on outside.

    Only pixels around the places are read: a map may be larger than memory.
    """
    last = np.array(counts.shape) - 1
    place = np.clip(np.stack([row, column], axis=-1), 0, last)
    corner = np.floor(place).astype(int)
    total = np.zeros(len(place))
    for step in np.ndindex(2, 2):
        weight = np.prod(1 - np.abs(place - corner - step), axis=-1)
        for shift in np.ndindex(3, 3):
            near = np.clip(np.minimum(corner + step, last) + shift - 1, 0, last)
            total += weight * counts[near[:, 0], near[:, 1]]
    return total / 9


def _common(maps: xr.Dataset, spots: xr.Dataset) -> list[tuple[int, int]]:
    """Give pairs (element, oxide) of indices that belong together and vary."""
    elements = [str(e) for e in maps["element"].to_numpy()]
    measured = spots["wt_percent"].to_numpy()
    return [
        (elements.index(str(cation)), o)
        for o, cation in enumerate(spots["cation"].to_numpy())
        if str(cation) in elements and np.nanstd(measured[:, o]) > 0
    ]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if first.size < FEWEST_SPOTS or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
