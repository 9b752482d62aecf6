"""Regions of interest: boxes, polygons, mask images and phases as boolean maps, (y, x).

They combine as arrays do: ``box & ~polygon`` leaves a hole, ``a | b`` joins two.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import xarray as xr
from matplotlib.path import Path as Outline
from PIL import Image, UnidentifiedImageError

from petro_models.errors import DataError, FormatError
from petro_models.phase_maps.map_answers import Grid, answers_of, grid_of, position_of

Limits = tuple[float | None, float | None]
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".txt", ".csv")


def box(fit: xr.DataTree, x: Limits = (None, None), y: Limits = (None, None)) -> xr.DataArray:
    """Select the pixels whose centres lie in a rectangle, its edges included.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    x, y
        Lowest and highest position from the first pixel's centre, in the map's unit (um where the
        step is known, else pixels; y grows downwards). None: up to the map's edge.

    Returns
    -------
    xr.DataArray
        Boolean, (y, x).

    Raises
    ------
    DataError
        If a limit lies outside the map, or the rectangle holds no pixel centre.
    """
    grid = grid_of(answers_of(fit))
    left, right, bottom, top = grid.extent
    x_low, x_high = _limits("x", x, (left, right), grid)
    y_low, y_high = _limits("y", y, (top, bottom), grid)
    inside_x = (grid.x >= x_low) & (grid.x <= x_high)
    inside_y = (grid.y >= y_low) & (grid.y <= y_high)
    where = f"the box x {x_low:g} to {x_high:g}, y {y_low:g} to {y_high:g} {grid.printed_unit}"
    return _region(fit, inside_y[:, None] & inside_x, where)


def polygon(fit: xr.DataTree, corners: Sequence[tuple[float, float]]) -> xr.DataArray:
    """Select the pixels whose centres lie inside a polygon.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    corners
        Three or more (x, y) in the map's unit (as in `box`), in order around the polygon; it need
        not be closed.

    Returns
    -------
    xr.DataArray
        Boolean, (y, x).

    Raises
    ------
    DataError
        If there are fewer than three different corners, one lies outside the map, or no pixel
        centre lies inside.
    """
    grid = grid_of(answers_of(fit))
    points = np.asarray(corners, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(np.unique(points, axis=0)) < 3:
        raise DataError(
            f"a polygon needs three or more different corners (x, y); got {len(points)} values "
            f"of shape {points.shape}"
        )
    for number, point in enumerate(points, start=1):
        require_inside(grid, point, f"corner {number} of the polygon")
    closed = points if np.array_equal(points[0], points[-1]) else np.vstack([points, points[:1]])
    columns, rows = np.meshgrid(grid.x, grid.y)
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    inside = Outline(closed, closed=True).contains_points(centres)
    return _region(fit, inside.reshape(grid.shape), f"the polygon of {len(points)} corners")


def mask_image(fit: xr.DataTree, path: str | Path, inside: float | None = None) -> xr.DataArray:
    """Read a region from a mask: a picture painted over the map, or a matrix.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    path
        ``.png``, ``.tif``, ``.tiff``, ``.npy`` or a plain text matrix ``.txt``, ``.csv`` with one
        value per pixel of the map, first row on top.
    inside
        Value of the wanted pixels in an image of labels. By default: of two values the higher; in
        pictures of more values the brighter half of the range; in matrices all that is not 0.
        Transparent pixels are outside.

    Returns
    -------
    xr.DataArray
        Boolean, (y, x).

    Raises
    ------
    FormatError
        If the file cannot be read, has another suffix, or is not a matrix of finite numbers.
    DataError
        If it has another shape than the map, or selects no pixel.
    """
    source = Path(path)
    values, visible, picture = _read_mask(source)
    grid = grid_of(answers_of(fit))
    if values.shape != grid.shape:
        raise DataError(
            f"{source}: the mask has {_size(values.shape)}, the map {_size(grid.shape)}"
            f"{_transposed(values.shape, grid.shape)}; resample it to one value per pixel"
        )
    selected = _chosen(values, picture, inside) & visible
    return _region(fit, selected, f"{source}")


def pixels_of(
    fit: xr.DataTree,
    phase: str,
    min_pure_probability: float = 0.5,
    region: xr.DataArray | None = None,
) -> xr.DataArray:
    """Select the pixels that belong to a phase and are pure.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    phase
        Its label.
    min_pure_probability
        Lowest P(pure) of the phase in a pixel, 0 to 1.
    region
        Boolean (y, x) to stay within; by default the whole map.

    Returns
    -------
    xr.DataArray
        Boolean, (y, x).

    Raises
    ------
    DataError
        If there is no such phase, the probability is outside 0 to 1, or no pixel is left.
    """
    inside = phase_mask(answers_of(fit, "phase_map"), phase, min_pure_probability)
    if region is not None:
        inside = inside & checked_region(fit, region).to_numpy()
    where = f"phase {phase} with P(pure) of {min_pure_probability:g} or more"
    return _region(fit, inside, where)


def phase_mask(answers: xr.Dataset, phase: str, min_pure_probability: float) -> np.ndarray:
    """Give the pure pixels of a phase as an array, (y, x); there may be none."""
    if not 0 <= min_pure_probability <= 1:
        raise DataError(f"min_pure_probability = {min_pure_probability}: a probability is 0 to 1")
    index = position_of(answers, "phase", phase)
    mask = answers["phase_map"].transpose("y", "x").to_numpy() == index
    if min_pure_probability > 0:
        pure = answers["pure_probability"].isel(phase=index).transpose("y", "x").to_numpy()
        mask = mask & (pure >= min_pure_probability)
    return mask


def checked_region(fit: xr.DataTree, region: xr.DataArray | None = None) -> xr.DataArray:
    """Check a boolean map against the map of a fit; None is the whole map.

    Raises
    ------
    DataError
        If it is not boolean, has other dims, another shape or other positions than the map, or is
        empty.
    """
    grid = grid_of(answers_of(fit))
    if region is None:
        return _region(fit, np.ones(grid.shape, dtype=bool), "the whole map")
    if not isinstance(region, xr.DataArray):
        raise DataError(
            f"a region is a boolean DataArray (y, x), as box(), polygon() and mask_image() give "
            f"it; got {type(region).__name__}"
        )
    if set(region.dims) != {"y", "x"}:
        raise DataError(f"a region has the dims y and x; got {', '.join(map(str, region.dims))}")
    values = region.transpose("y", "x").to_numpy()
    if values.dtype != bool:
        raise DataError(
            f"a region is boolean; got {values.dtype}: compare it with a threshold first"
        )
    if values.shape != grid.shape:
        raise DataError(
            f"the region has {_size(values.shape)}, the map {_size(grid.shape)}"
            f"{_transposed(values.shape, grid.shape)}: select it on this fit"
        )
    near = min(grid.steps) / 100
    for name, places in (("x", grid.x), ("y", grid.y)):
        if name in region.coords and not np.allclose(region[name], places, atol=near):
            raise DataError(f"the region's positions {name} are not the map's: select it anew")
    return _region(fit, values, "the region")


def require_inside(grid: Grid, point: np.ndarray, what: str) -> None:
    """Refuse a place outside the map.

    Raises
    ------
    DataError
        If it is; names the map's limits.
    """
    left, right, bottom, top = grid.extent
    if not (left <= point[0] <= right and top <= point[1] <= bottom):
        raise DataError(
            f"{what} ({point[0]:g}, {point[1]:g}) lies outside the map: x {left:g} to {right:g}, "
            f"y {top:g} to {bottom:g} {grid.printed_unit}"
        )


def _region(fit: xr.DataTree, values: np.ndarray, where: str) -> xr.DataArray:
    if not values.any():
        raise DataError(f"{where} holds no pixel of the map")
    answers = answers_of(fit)
    coords = {"y": answers["y"], "x": answers["x"]}
    return xr.DataArray(
        values, dims=("y", "x"), coords=coords, name="region", attrs={"long_name": where}
    )


def _limits(
    name: str, limits: Limits, edges: tuple[float, float], grid: Grid
) -> tuple[float, float]:
    low, high = (
        edge if limit is None else float(limit) for limit, edge in zip(limits, edges, strict=True)
    )
    if not edges[0] <= low <= high <= edges[1]:
        problem = "run backwards" if low > high else "reach outside the map"
        raise DataError(
            f"the limits of {name}, {low:g} to {high:g} {grid.printed_unit}, {problem}: the map "
            f"runs from {edges[0]:g} to {edges[1]:g}; None stands for the map's edge"
        )
    return low, high


def _read_mask(source: Path) -> tuple[np.ndarray, np.ndarray | bool, bool]:
    """Read values (y, x), which of them are opaque, and whether they are a picture's greys."""
    suffix = source.suffix.lower()
    if suffix not in MASK_SUFFIXES:
        raise FormatError(
            f"{source}: a mask is one of {', '.join(MASK_SUFFIXES)}; got '{source.suffix}'"
        )
    try:
        if suffix == ".npy":
            values = np.load(source, allow_pickle=False)
        elif suffix in (".txt", ".csv"):
            values = np.loadtxt(source, delimiter="," if suffix == ".csv" else None, ndmin=2)
        elif suffix == ".png":
            with Image.open(source) as image:
                values = np.asarray(image.convert("RGBA") if image.mode == "P" else image)
        else:
            values = tifffile.imread(source)
    except (OSError, ValueError, UnidentifiedImageError, tifffile.TiffFileError) as error:
        raise FormatError(f"{source}: cannot be read as a mask: {error}") from error
    values, visible = _grey(values, source)
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise FormatError(f"{source}: a mask holds numbers; this one is {values.dtype}")
    if not np.isfinite(values).all():
        raise FormatError(f"{source}: a mask holds no empty values; this one has some")
    return values, visible, suffix in (".png", ".tif", ".tiff") and values.dtype.kind == "u"


def _grey(values: np.ndarray, source: Path) -> tuple[np.ndarray, np.ndarray | bool]:
    """Reduce colours to the brightest of red, green and blue; take transparency apart."""
    if values.ndim == 2:
        return values, True
    if values.ndim == 3 and values.shape[2] in (2, 4):
        return values[..., :-1].max(axis=2), values[..., -1] > 0
    if values.ndim == 3 and values.shape[2] == 3:
        return values.max(axis=2), True
    raise FormatError(f"{source}: a mask is one picture or one matrix; got shape {values.shape}")


def _chosen(values: np.ndarray, picture: bool, inside: float | None) -> np.ndarray:
    if inside is not None:
        return values == inside
    levels = np.unique(values)
    if len(levels) == 2:
        return values == levels[1]
    if picture and len(levels) > 2:
        return values >= (np.iinfo(values.dtype).max + 1) // 2
    return values != 0


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} rows x {shape[1]} columns"


def _transposed(shape: tuple[int, ...], wanted: tuple[int, int]) -> str:
    return " (it may be turned by 90 degrees)" if shape == wanted[::-1] else ""
