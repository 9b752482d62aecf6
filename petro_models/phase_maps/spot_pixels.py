"""Where spots and seeds fall on a map, and the counts found there."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from petro_models.errors import ConfigurationError, DataError, nearest

Array = NDArray[np.float64]


def centroids_from_spots(maps: xr.Dataset, spots: xr.Dataset, size: int = 1) -> xr.DataArray:
    """Counts of each labelled phase: the median over its spots of the counts around them.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    spots
        Dataset with `column`, `row` and `phase` (spot); spots labelled "" are left out.
    size
        Side of the window of pixels around a spot whose median is taken; odd.

    Returns
    -------
    xr.DataArray
        (phase, element), in the order of the phases' names.

    Raises
    ------
    DataError
        No spot with a label falls on the map.
    """
    if "phase" not in spots:
        raise DataError(
            "the spots carry no phase labels: take the centroids from seeds with "
            "centroids_from_seeds, or add spots['phase']."
        )
    found = counts_at(maps, spots, size)
    phase = spots["phase"].to_numpy().astype(str)
    usable = (phase != "") & ~np.isnan(found.to_numpy()).any(axis=1)
    if not usable.any():
        raise DataError("no spot with a phase label falls on the map.")
    names = sorted(set(phase[usable]))
    medians = [np.median(found.to_numpy()[usable & (phase == name)], axis=0) for name in names]
    return _centroids(medians, names, maps)


def centroids_from_seeds(maps: xr.Dataset, seeds: xr.Dataset, size: int = 5) -> xr.DataArray:
    """Counts of each phase: the median over the window of pixels around its seeds.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    seeds
        Dataset with `column`, `row` (phase): a pixel inside a grain of each phase.
    size
        Side of the window in pixels; odd.

    Returns
    -------
    xr.DataArray
        (phase, element), in the order of the seeds.

    Raises
    ------
    DataError
        A seed that lies outside the map.
    """
    found = counts_at(maps, seeds.rename(phase="spot"), size).to_numpy()
    names = [str(name) for name in seeds["phase"].to_numpy()]
    outside = [name for name, row in zip(names, found, strict=True) if np.isnan(row).any()]
    if outside:
        raise DataError(f"the seeds of {', '.join(outside)} lie outside the map.")
    return _centroids(list(found), names, maps)


def counts_at(
    maps: xr.Dataset,
    positions: xr.Dataset,
    size: int = 1,
    shift: Sequence[float] | Array = (0.0, 0.0),
) -> xr.DataArray:
    """Counts at spots: the median over a window of pixels around each.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    positions
        Dataset with `column`, `row` (spot): fractional pixels, whole numbers at pixel centres.
    size
        Side of the window; 1 is the pixel alone. At the map's edge the window is cut.
    shift
        Pixels (columns, rows) added to the positions first.

    Returns
    -------
    xr.DataArray
        (spot, element); NaN where the position is not known or outside the map.
    """
    if size < 1 or size % 2 == 0:
        raise ConfigurationError(f"a window of {size} pixels has no centre: use 1, 3, 5, ...")
    counts = maps["counts"].transpose("element", "y", "x")
    row, column, inside = nearest_pixel(maps, positions, shift)
    values = counts.to_numpy()
    found = np.full((len(row), counts.sizes["element"]), np.nan)
    reach = size // 2
    for spot in np.flatnonzero(inside):
        window = values[
            :,
            max(row[spot] - reach, 0) : row[spot] + reach + 1,
            max(column[spot] - reach, 0) : column[spot] + reach + 1,
        ]
        found[spot] = np.median(window, axis=(1, 2))
    return xr.DataArray(
        found,
        dims=("spot", "element"),
        coords={"element": counts["element"].to_numpy()},
        attrs={"units": "counts", "long_name": "counts at the spot"},
    )


def nearest_pixel(
    maps: xr.Dataset, positions: xr.Dataset, shift: Sequence[float] | Array = (0.0, 0.0)
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Row and column of the pixel nearest to each spot, and whether it lies on the map.

    Rows and columns of spots that are not on the map are 0.
    """
    where = []
    inside = np.ones(positions.sizes["spot"], dtype=bool)
    for name, dim, offset in (("row", "y", shift[1]), ("column", "x", shift[0])):
        position = positions[name].to_numpy().astype(float) + offset
        with np.errstate(invalid="ignore"):
            inside &= (position >= -0.5) & (position < maps.sizes[dim] - 0.5)
        # floor(x + 1/2), for rint would take every second half to the even pixel
        where.append(np.floor(np.nan_to_num(position, nan=0.0) + 0.5).astype(np.int64))
    return np.where(inside, where[0], 0), np.where(inside, where[1], 0), inside


def matching_centroids(maps: xr.Dataset, centroids: xr.DataArray) -> xr.DataArray:
    """Centroids (phase, element) in the order of the map's elements.

    Raises
    ------
    DataError
        An element of the map that the centroids lack, or numbers that are not counts.
    """
    known = [str(name) for name in centroids["element"].to_numpy()]
    for name in maps["element"].to_numpy():
        if str(name) not in known:
            raise DataError(f"the centroids lack the element {name}; {nearest(str(name), known)}.")
    centroids = centroids.sel(element=maps["element"].to_numpy()).transpose("phase", "element")
    if not (np.isfinite(centroids.to_numpy()).all() and (centroids.to_numpy() >= 0).all()):
        raise DataError("the centroids must be counts >= 0; give every phase a seed or a spot.")
    return centroids


def pixel_counts(maps: xr.Dataset) -> Array:
    """Counts as a table (pixel, element); pixels run along x first."""
    counts = maps["counts"].transpose("y", "x", "element")
    return counts.to_numpy().reshape(-1, counts.sizes["element"]).astype(float)


def _centroids(rows: list[Array], names: list[str], maps: xr.Dataset) -> xr.DataArray:
    """Label centroids."""
    return xr.DataArray(
        np.array(rows, dtype=float),
        dims=("phase", "element"),
        coords={"phase": names, "element": maps["element"].to_numpy()},
        attrs={"units": "counts", "long_name": "counts of a pure pixel"},
    )
