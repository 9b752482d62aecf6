"""The schemas of EPMA maps, spot analyses and phase seeds, and checks that data follow them."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.io import species as chemistry

AXES = ("column", "row")
TERMS = ("stage_x", "stage_y", "one")
"""Rows and columns of the affine `stage_to_pixel`."""

WT_PERCENT_RANGE = (-2.0, 110.0)
"""Analyses outside are wrong: counting noise makes small ones negative, but not by so much."""

LARGEST_TOTAL = 115.0
"""Analyses that add up to more (wt%) are in another unit, or count an element twice."""

_BUILD = "build maps with epma_maps or read_epma"


def validate_maps(maps: xr.Dataset) -> None:
    """Check that a dataset follows the schema of EPMA maps.

    The schema: `counts` (element, y, x) whole numbers >= 0, element labels are symbols; index
    coordinates `y`, `x` are positions of pixel centres from the first one, in "um" or "pixel";
    `dwell_s`, `dead_time_ns` (element), `probe_current_nA`, `step_um` (scalars) are NaN where not
    known; `stage_to_pixel` (axis, term) maps stage coordinates to fractional (column, row), where
    whole numbers are pixel centres, all NaN if not known.

    Raises
    ------
    DataError
        On the first violation, naming the variable and the cell, and the remedy.
    """
    if "counts" not in maps and "wt_percent" in maps:
        raise DataError(
            "the maps hold wt%, not counts: they were quantified already, and how well is lost. "
            "Give the raw count maps of the same area."
        )
    _check_variables(
        maps,
        {
            "counts": ("element", "y", "x"),
            "dwell_s": ("element",),
            "dead_time_ns": ("element",),
            "probe_current_nA": (),
            "step_um": (),
            "stage_to_pixel": ("axis", "term"),
        },
        _BUILD,
    )
    check_elements([str(name) for name in maps["element"].values], "maps")
    _check_counts(maps["counts"])
    for name in ("x", "y"):
        _check_positions(maps, name)
    for name in ("dwell_s", "probe_current_nA", "step_um"):
        _check_positive(maps[name])
    dead = maps["dead_time_ns"].values
    if (dead < 0).any() or np.isinf(dead).any():
        raise DataError(f"dead_time_ns is {dead.tolist()}; a dead time is >= 0, NaN if not known.")
    check_affine(maps["stage_to_pixel"].values)


def validate_spots(spots: xr.Dataset, maps: xr.Dataset | None = None) -> None:
    """Check that a dataset follows the schema of spot analyses.

    The schema: `wt_percent` (spot, oxide), NaN where not measured; `wt_percent_sd` (spot, oxide),
    one sigma, NaN where not stated; coordinates `oxide` ("SiO2") and `cation` (oxide; "Si");
    `column`, `row` (spot), fractional pixel position where whole numbers are pixel centres, NaN
    if not known; `phase` (spot), "" where none. Optional: `order` (spot), place in the order of
    measurement, NaN where not known (the list's, if it is left out); `stage_x`, `stage_y` (spot);
    intensities such as `net_counts_per_s_uA` (spot, element).

    Parameters
    ----------
    spots
        The analyses.
    maps
        Maps on which they must lie (those with a position).

    Raises
    ------
    DataError
        On the first violation, naming the variable, the spot and the remedy.
    """
    pair = ("spot", "oxide")
    wanted: dict[str, tuple[str, ...]] = {"wt_percent": pair, "wt_percent_sd": pair}
    wanted |= dict.fromkeys(("column", "row", "phase"), ("spot",))
    _check_variables(spots, wanted, "build spots with epma_spots or read_spots")
    if "cation" not in spots.coords or spots["cation"].dims != ("oxide",):
        raise DataError("coordinate 'cation' (oxide) is missing; it names what an oxide measures.")
    if "order" in spots:
        _check_variables(spots, {"order": ("spot",)}, "leave it out where it is not known")
    _check_unique(spots, "spot")
    check_oxides([str(name) for name in spots["oxide"].values], "spots")
    _check_analyses(spots)
    if spots["phase"].dtype.kind not in "UO":
        raise DataError(f"phase holds {spots['phase'].dtype}; it is a text label, '' where none.")
    placed = np.isfinite(spots["column"].values)
    if (placed != np.isfinite(spots["row"].values)).any():
        raise DataError("a spot has a column but no row (or the other way round); give both.")
    if maps is not None:
        outside = np.flatnonzero(outside_map(spots, maps))
        if outside.size:
            raise DataError(describe_outside(spots, maps, outside))


def validate_seeds(seeds: xr.Dataset, maps: xr.Dataset | None = None) -> None:
    """Check that a dataset follows the schema of phase seeds.

    The schema: `column`, `row` (phase) are a pixel of each phase, `density_kg_m3` (phase) its
    density, NaN where not known.

    Raises
    ------
    DataError
        On the first violation.
    """
    _check_variables(
        seeds,
        dict.fromkeys(("column", "row", "density_kg_m3"), ("phase",)),
        "build seeds with phase_seeds or read_phase_seeds",
    )
    _check_unique(seeds, "phase")
    for name in ("column", "row"):
        if not np.isfinite(seeds[name].values).all():
            raise DataError(f"{name} of a seed is not a number; every seed names a pixel.")
    density = seeds["density_kg_m3"].values
    for index in np.flatnonzero(~np.isnan(density) & ~((density > 500) & (density < 25_000))):
        raise DataError(
            f"density_kg_m3 of {seeds['phase'].values[index].item()!r} is {density[index]:g}; "
            "minerals have 500-25000 kg/m3 (1000 times their g/cm3)."
        )
    if maps is not None:
        for index in np.flatnonzero(outside_map(seeds, maps)):
            raise DataError(
                f"the seed of {seeds['phase'].values[index].item()!r} lies outside the map: column "
                f"{seeds['column'].values[index]:g}, row {seeds['row'].values[index]:g}, but the "
                f"map has {map_size(maps)}."
            )


def outside_map(points: xr.Dataset, maps: xr.Dataset) -> np.ndarray:
    """Mark the points that lie outside the outer edge of the pixels; unknown positions do not."""
    column, row = points["column"].values, points["row"].values
    return (
        (column < -0.5)
        | (column > maps.sizes["x"] - 0.5)
        | (row < -0.5)
        | (row > maps.sizes["y"] - 0.5)
    )


def describe_outside(spots: xr.Dataset, maps: xr.Dataset, outside: np.ndarray) -> str:
    """Say which spots lie outside the map, and what can be done."""
    first = outside[0]
    return (
        f"{outside.size} of {spots.sizes['spot']} spots lie outside the map, first spot "
        f"{str(spots['spot'].values[first])!r} at column {spots['column'].values[first]:.1f}, row "
        f"{spots['row'].values[first]:.1f}; the map has {map_size(maps)}. Do map and spots belong "
        "together? If so, outside='drop' leaves such spots out and outside='unplace' keeps their "
        "analyses without a position."
    )


def map_size(maps: xr.Dataset) -> str:
    """Say how large a map is."""
    return f"{maps.sizes['x']} columns and {maps.sizes['y']} rows"


def check_elements(names: list[str], where: str) -> None:
    """Raise DataError unless labels are different element symbols, at least one."""
    if not names:
        raise DataError(f"{where}: no element; at least one map is needed.")
    for name in names:
        symbol = chemistry.element_of(name)
        if symbol != name:
            hint = (
                f"give the element, {symbol!r}" if symbol else "symbols are 'Si', 'Al', 'Fe', ..."
            )
            raise DataError(f"{where}: {name!r} is not an element symbol; {hint}.")
        if names.count(name) > 1:
            raise DataError(
                f"{where}: element {name} is there twice; keep the better map of the two."
            )


def check_oxides(names: list[str], where: str) -> None:
    """Raise DataError unless labels are known oxides (or elements), each cation once."""
    for name in names:
        if chemistry.element_of(name) is None:
            raise DataError(f"{where}: {name!r} is not an oxide such as 'SiO2' or 'Al2O3'.")
        if names.count(name) > 1:
            raise DataError(f"{where}: oxide {name} stands more than once; keep one.")
    for element, twice in chemistry.repeated_elements(names).items():
        iron = " (FeO = 0.8998 Fe2O3)" if element == "Fe" else ""
        raise DataError(
            f"{where}: {element} is given by {' and '.join(twice)}. A microprobe measures an "
            f"element once: give one column with all of it{iron}."
        )


def check_affine(matrix: np.ndarray) -> None:
    """Raise DataError unless an affine (axis, term) is all NaN, or finite and of full rank."""
    if matrix.shape != (2, 3):
        raise DataError(
            f"stage_to_pixel has shape {matrix.shape}; it has two rows, {' and '.join(AXES)}, of "
            f"three terms, {', '.join(TERMS)}."
        )
    if np.isnan(matrix).all():
        return
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix[:, :2]) < 2:
        raise DataError(
            f"stage_to_pixel is {matrix.tolist()}; it must turn stage coordinates into columns "
            "and rows one to one, or be NaN altogether."
        )


def _check_variables(data: xr.Dataset, wanted: Mapping[str, tuple[str, ...]], remedy: str) -> None:
    """Check that variables are there, with their dims and coordinates."""
    if not isinstance(data, xr.Dataset):
        raise DataError(f"{type(data).__name__} is no xarray Dataset; {remedy}.")
    for name, dims in wanted.items():
        if name not in data.data_vars:
            present = [str(key) for key in data.data_vars]
            raise DataError(f"variable {name!r} is missing; {nearest(name, present)}; {remedy}.")
        if set(data[name].dims) != set(dims) or len(data[name].dims) != len(dims):
            raise DataError(f"variable {name!r} has dims {data[name].dims}, not {dims}; {remedy}.")
        if name != "phase" and data[name].dtype.kind not in "fiu":
            raise DataError(f"variable {name!r} does not hold numbers ({data[name].dtype}).")
        for dim in dims:
            if dim not in data.coords:
                raise DataError(f"coordinate {dim!r} is missing; {remedy}.")


def _check_counts(counts: xr.DataArray) -> None:
    """Check that counts are whole numbers, not negative."""
    if counts.dtype.kind not in "iu":
        raise DataError(f"counts are {counts.dtype}, not whole numbers; {_BUILD}.")
    if counts.size == 0:
        raise DataError(f"the maps have no pixels: {dict(counts.sizes)}.")
    if counts.dtype.kind == "i" and int(counts.min()) < 0:
        element, row, column = np.argwhere(counts.transpose("element", "y", "x").values < 0)[0]
        raise DataError(
            f"counts of {counts['element'].values[element].item()!r} are negative at row {row}, "
            f"column {column}; give raw counts."
        )


def _check_positions(maps: xr.Dataset, name: str) -> None:
    """Check that pixel positions grow, and are in a unit that is known."""
    steps = np.diff(maps[name].values.astype(float))
    if not np.isfinite(maps[name].values.astype(float)).all() or (steps <= 0).any():
        raise DataError(f"coordinate {name!r} must grow from pixel to pixel.")
    unit = maps[name].attrs.get("units")
    if unit not in ("um", "pixel"):
        raise DataError(f"coordinate {name!r} has units {unit!r}; allowed: um, pixel.")


def _check_positive(variable: xr.DataArray) -> None:
    """Check that what is known is positive."""
    wrong = ~(np.isnan(variable.values) | ((variable.values > 0) & np.isfinite(variable.values)))
    if wrong.any():
        value = float(np.atleast_1d(variable.values)[np.atleast_1d(wrong)][0])
        raise DataError(f"{variable.name} is {value:g}; it is positive, or NaN if not known.")


def _check_unique(data: xr.Dataset, dim: str) -> None:
    """Check that labels are there, once each."""
    labels = [str(label) for label in data[dim].values]
    if not labels:
        raise DataError(f"there is no {dim}; at least one is needed.")
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            raise DataError(f"{dim} label {label!r} stands more than once; labels are unique.")
        seen.add(label)


def _check_analyses(spots: xr.Dataset) -> None:
    """Check analyses and their errors cell by cell, and the totals."""
    value = spots["wt_percent"].transpose("spot", "oxide")
    low, high = WT_PERCENT_RANGE
    _refuse(value, (value < low) | (value > high) | np.isinf(value), f"in wt%, {low:g} to {high:g}")
    error = spots["wt_percent_sd"].transpose("spot", "oxide")
    _refuse(error, (error <= 0) | np.isinf(error), "positive, or NaN where not stated")
    labels = spots["spot"].values
    for index in np.flatnonzero(np.isnan(value.values).all(axis=1)):
        raise DataError(f"spot {str(labels[index])!r} has no analysis; leave the spot out.")
    totals = np.nansum(value.values, axis=1)
    for index in np.flatnonzero(totals > LARGEST_TOTAL):
        raise DataError(
            f"spot {str(labels[index])!r} adds up to {totals[index]:.1f} wt%, more than "
            f"{LARGEST_TOTAL:g}. Are all columns in wt%, and is no element there twice?"
        )


def _refuse(variable: xr.DataArray, wrong: xr.DataArray, rule: str) -> None:
    """Raise for the first wrong cell, naming it."""
    for row, column in np.argwhere(wrong.values):
        cell = variable[row, column]
        raise DataError(
            f"{variable.name} of {cell['oxide'].item()} in spot {str(cell['spot'].item())!r} is "
            f"{cell.item():g}; it must be {rule}."
        )
