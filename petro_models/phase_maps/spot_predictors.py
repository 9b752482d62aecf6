"""Simple predictions of analyses at given places of a map, the bar for any model of the map.

Each function calibrates on training spots and predicts at other positions, of which it reads
`column` and `row` alone; a held-out spot's own analysis cannot leak into its prediction. The phase
of a spot is that of its pixel on a map of labels (nearest centroid, k-means, ...).
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from petro_models.phase_maps.spot_pixels import Array, counts_at, nearest_pixel

Shift = Sequence[float] | Array

_FEWEST_SPOTS = 3  # below this a phase has no calibration of its own


def predict_single_pixel(
    maps: xr.Dataset,
    labels: xr.DataArray,
    training: xr.Dataset,
    positions: xr.Dataset,
    shift: Shift = (0.0, 0.0),
    intercept: bool = False,
) -> xr.DataArray:
    """Predict wt% from the counts of the nearest pixel.

    For each phase and oxide, wt% is regressed on the counts of the oxide's element at the training
    spots; an oxide without a map, or a phase with fewer than three training spots, takes the
    median of its spots (of all spots, if it has none).

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    labels
        (y, x) index of the phase of each pixel.
    training
        Spots with `wt_percent` (spot, oxide; coordinate `cation`), `column`, `row`.
    positions
        Dataset with `column`, `row` (spot) at which to predict.
    shift
        Pixels (columns, rows) added to all positions, as
        :func:`petro_models.phase_maps.registration.coarse_shift` finds them.
    intercept
        Whether the regression line may miss the origin. Lines through the origin are fitted as
        the median of wt%/counts, which spots of the wrong phase do not pull; lines with an
        intercept by Theil and Sen's medians.

    Returns
    -------
    xr.DataArray
        (spot, oxide) in wt%; NaN outside the map.
    """
    return _predict_from_counts(maps, labels, training, positions, shift, 1, intercept)


def predict_window_median(
    maps: xr.Dataset,
    labels: xr.DataArray,
    training: xr.Dataset,
    positions: xr.Dataset,
    shift: Shift = (0.0, 0.0),
    intercept: bool = False,
    size: int = 3,
) -> xr.DataArray:
    """Predict wt% from the median counts of a window of pixels, 3 x 3 by default.

    Otherwise as :func:`predict_single_pixel`; the phase is the commonest of the window.
    """
    return _predict_from_counts(maps, labels, training, positions, shift, size, intercept)


def predict_phase_median(
    maps: xr.Dataset,
    labels: xr.DataArray,
    training: xr.Dataset,
    positions: xr.Dataset,
    shift: Shift = (0.0, 0.0),
    size: int = 1,
) -> xr.DataArray:
    """Predict the median analysis of the training spots of the same phase, whatever the counts.

    Parameters as in :func:`predict_window_median`.
    """
    of_training = _phase_at(maps, labels, training, shift, size)
    of_positions = _phase_at(maps, labels, positions, shift, size)
    return _with_spots(_median_of_phase(training, of_training, of_positions), positions)


def _predict_from_counts(
    maps: xr.Dataset,
    labels: xr.DataArray,
    training: xr.Dataset,
    positions: xr.Dataset,
    shift: Shift,
    size: int,
    intercept: bool,
) -> xr.DataArray:
    """Calibrate on the training spots phase by phase and predict at the positions."""
    of_training = _phase_at(maps, labels, training, shift, size)
    of_positions = _phase_at(maps, labels, positions, shift, size)
    prediction = _median_of_phase(training, of_training, of_positions)
    prediction = _with_spots(prediction, positions)
    known, wanted = (counts_at(maps, spots, size, shift) for spots in (training, positions))
    for oxide, element in _mapped(maps, training).items():
        x = known.sel(element=element).to_numpy()
        y = training["wt_percent"].sel(oxide=oxide).to_numpy()
        new = wanted.sel(element=element).to_numpy()
        for phase in np.unique(of_positions[of_positions >= 0]):
            own = (of_training == phase) & np.isfinite(y) & (x > 0)
            if own.sum() < _FEWEST_SPOTS:
                continue
            there = of_positions == phase
            line = _line(x[own], y[own], intercept)
            prediction.loc[{"oxide": oxide}][there] = line[0] + line[1] * new[there]
    return prediction


def _line(x: Array, y: Array, intercept: bool) -> tuple[float, float]:
    """Intercept and slope of a robust line."""
    if not intercept:
        return 0.0, float(np.median(y / x))
    if np.ptp(x) == 0:
        return float(np.median(y)), 0.0
    fit = stats.theilslopes(y, x)
    return float(fit.intercept), float(fit.slope)


def _median_of_phase(
    training: xr.Dataset, of_training: NDArray[np.int64], of_positions: NDArray[np.int64]
) -> xr.DataArray:
    """Median analysis of the training spots of each position's phase (spot, oxide)."""
    analyses = training["wt_percent"].transpose("spot", "oxide")
    everything = analyses.median("spot").to_numpy()
    rows = np.full((len(of_positions), analyses.sizes["oxide"]), np.nan)
    for phase in np.unique(of_positions[of_positions >= 0]):
        own = analyses.isel(spot=of_training == phase)
        median = own.median("spot").to_numpy() if own.sizes["spot"] else everything
        rows[of_positions == phase] = np.where(np.isnan(median), everything, median)
    return xr.DataArray(
        rows,
        dims=("spot", "oxide"),
        coords={"oxide": training["oxide"].to_numpy()},
        attrs={"units": "wt%", "long_name": "predicted analysis"},
    )


def _with_spots(prediction: xr.DataArray, positions: xr.Dataset) -> xr.DataArray:
    """Label predictions as the positions are."""
    if "spot" in positions.coords:
        return prediction.assign_coords(spot=positions["spot"].to_numpy())
    return prediction


def _phase_at(
    maps: xr.Dataset, labels: xr.DataArray, positions: xr.Dataset, shift: Shift, size: int
) -> NDArray[np.int64]:
    """Index of the commonest phase in the window around each position; -1 off the map."""
    row, column, inside = nearest_pixel(maps, positions, shift)
    values = labels.transpose("y", "x").to_numpy()
    reach = size // 2
    found = np.full(len(row), -1)
    for spot in np.flatnonzero(inside):
        window = values[
            max(row[spot] - reach, 0) : row[spot] + reach + 1,
            max(column[spot] - reach, 0) : column[spot] + reach + 1,
        ]
        found[spot] = np.bincount(window.ravel()).argmax()
    return found


def _mapped(maps: xr.Dataset, spots: xr.Dataset) -> dict[str, str]:
    """Element of the map that each analysed oxide belongs to, oxides without one left out."""
    elements = set(maps["element"].to_numpy().astype(str))
    oxides = spots["oxide"].to_numpy().astype(str)
    cations = spots["cation"].to_numpy().astype(str)
    return {oxide: name for oxide, name in zip(oxides, cations, strict=True) if name in elements}
