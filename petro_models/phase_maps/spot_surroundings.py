"""The spots' analyses, and the counts around each: places where it may really lie."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.phase_maps.anchors import Anchors, class_probabilities
from petro_models.phase_maps.cells import Cells
from petro_models.phase_maps.observations import dead_share_of, flat_counts

AVERAGING_RADIUS = 1.5
"""Pixels around a place that are averaged where all are surely the same phase."""
ALIKE = 0.3
"""Least share of counting noise left for an average to count as one."""
WINDOW_RADIUS = 2.3
"""Places around a spot that are considered, pixels."""
SURE = 0.6
ASTRAY = "spot_astray"


def spots_of(data: xr.Dataset, n_oxides: int, cells: Cells, anchors: Anchors) -> dict[str, Any]:
    """Gather the spots' analyses and cut their surroundings out of the map."""
    if "spot" not in data.coords:
        return {
            "spot_composition": np.zeros((0, n_oxides)),
            "spot_error": np.zeros((0, n_oxides)),
            "spot_label": np.zeros(0, dtype=int),
            "spot_order": np.zeros(0),
            "first_shift": np.zeros(2),
            **cut_places(data, np.zeros((0, 2)), np.zeros(2), [], cells, anchors),
        }
    measured = data["wt_percent"].to_numpy()
    if ASTRAY in data:
        measured = np.where(data[ASTRAY].to_numpy(), np.nan, measured)
    nominal = np.stack([data["spot_column"].to_numpy(), data["spot_row"].to_numpy()], axis=1)
    shift = data["first_shift"].to_numpy()
    names = [str(name) for name in data["spot"].to_numpy()]
    phases = [str(p) for p in data["phase"].to_numpy()]
    return {
        "spot_composition": measured,
        "spot_error": data["wt_percent_sd"].to_numpy(),
        "spot_label": np.array(
            [phases.index(str(x)) if str(x) else -1 for x in data["spot_label"].to_numpy()]
        ),
        "spot_order": data["spot_order"].to_numpy(),
        "first_shift": shift,
        **cut_places(data, nominal, shift, names, cells, anchors),
    }


def cut_places(
    data: xr.Dataset,
    nominal: np.ndarray,
    shift: np.ndarray,
    names: Sequence[str],
    cells: Cells,
    anchors: Anchors,
) -> dict[str, Any]:
    """Cut the surroundings of positions out of the map.

    Where a place and its neighbours are surely the same phase their counts are averaged: the
    composition inside a grain is smooth over a pixel or two, counting noise is not.

    Parameters
    ----------
    data
        With `counts` (element, y, x).
    nominal
        Column and row of each spot (s, 2).
    shift
        Where the places are centred, from the nominal positions.
    names
        Of the spots, for messages.
    cells, anchors
        Tell which neighbours are alike.

    Returns
    -------
    dict
        `place_counts`, `place_offset`, `place_averaged`, `noise_share` of `Observations`.

    Raises
    ------
    DataError
        If all places of a spot lie outside the map.
    """
    grid = _disc(WINDOW_RADIUS)
    place = (np.rint(nominal + shift)[:, None, :] + grid).astype(int)
    height, columns = data["counts"].shape[1:]
    inside = (place >= 0).all(-1) & (place[..., 0] < columns) & (place[..., 1] < height)
    if not inside.any(axis=1).all():
        lost = [str(name) for name in np.array(names)[~inside.any(axis=1)]]
        raise DataError(
            f"spots {', '.join(lost[:8])} lie outside the map of {columns} columns and "
            f"{height} rows: correct their positions or leave them out"
        )
    around = np.clip(place[:, :, None, :] + _disc(AVERAGING_RADIUS), 0, [columns - 1, height - 1])
    flat = flat_counts(data)
    index = around[..., 1] * columns + around[..., 0]
    pixels, where = np.unique(index, return_inverse=True)
    dead = dead_share_of(data)
    sure = (
        class_probabilities(anchors, cells, dead, flat[pixels]) if len(pixels) else np.zeros((0, 1))
    )
    pure = sure[:, : len(cells.phases)][where.reshape(index.shape)]
    middle = _disc(AVERAGING_RADIUS).any(axis=1).argmin()
    alike = (pure * pure[:, :, middle : middle + 1]).sum(axis=-1)
    alike[:, :, middle] = 1.0
    weight = np.where(alike > SURE, alike, 0.0)
    weight[:, :, middle] = 1.0
    weight /= weight.sum(axis=-1, keepdims=True)
    left = (weight**2).sum(axis=-1)
    averaged = left < ALIKE
    mean = np.einsum("swp,swpe->swe", weight, flat[index])
    own = flat[index[:, :, middle]]
    return {
        "place_counts": np.where(averaged[..., None], mean, own).astype(float),
        "place_offset": np.where(inside[..., None], place - nominal[:, None, :], np.nan),
        "place_averaged": averaged,
        "noise_share": float(left[averaged].mean()) if averaged.any() else 1.0,
    }


def _disc(radius: float) -> np.ndarray:
    """Give the whole-pixel offsets (column, row) inside a circle."""
    reach = np.arange(-int(radius), int(radius) + 1)
    return np.array([(x, y) for y in reach for x in reach if np.hypot(x, y) <= radius])
