"""The schema of a mass-transfer table, and the check that a table follows it."""

import numpy as np
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.io import species as chemistry

PARTS = {
    "concentration": "see coordinate unit",
    "relative_error": "ln units (1 sd)",
    "detection_limit": "see coordinate unit",
}
"""The variables of each group of rocks, and their units."""

SHARED = ("shared_error", "protolith_shared_error")
"""Errors that analyses share, of the altered rocks and of the protolith."""
_SIDES = (("", "sample"), ("protolith_", "protolith"))
DENSITY_RANGE_G_CM3 = (0.05, 25.0)


def validate_mass_table(table: xr.Dataset) -> None:
    """Check that a table follows the schema of mass transfer.

    The schema: dims `sample`, `protolith`, `element`; coordinates of the same names (text) and
    `unit` (element; wt%, ppm or ppb); variables `concentration`, `relative_error` (standard
    deviation of the log concentration), `detection_limit` (finite exactly where a cell is below
    detection) over (sample, element), and the same with the prefix `protolith_` over
    (protolith, element). Optional: `density`, `distance` and the coordinate `profile` (sample),
    `protolith_density` (protolith); `shared_error` (shared_shape, sample, element) and
    `protolith_shared_error` (shared_shape, protolith, element), what one standard deviation of
    every error that analyses share adds to the log concentrations.

    Raises
    ------
    DataError
        On the first violation, naming the variable and the cell, and the remedy.
    """
    _check_layout(table)
    _check_labels(table)
    _check_iron_and_repeats(table)
    for prefix, dim in (("", "sample"), ("protolith_", "protolith")):
        _check_values(table, prefix, dim)
    for name in ("density", "protolith_density"):
        if name in table:
            _check_density(table[name])
    _check_shared(table)


def _check_layout(table: xr.Dataset) -> None:
    """Check dims, coordinates and variables by name."""
    wanted = {prefix + name: dim for prefix, dim in _SIDES for name in PARTS}
    for name, dim in wanted.items():
        if name not in table.data_vars:
            present = [str(key) for key in table.data_vars]
            raise DataError(
                f"variable {name!r} is missing; {nearest(name, present)}. Build the table with "
                "mass_table or read_mass_table."
            )
        if table[name].dims != (dim, "element"):
            raise DataError(
                f"variable {name!r} has dims {table[name].dims}, not {(dim, 'element')}."
            )
        if table[name].dtype.kind not in "fiu":
            raise DataError(f"variable {name!r} does not hold numbers ({table[name].dtype}).")
    for coord in ("sample", "protolith", "element", "unit"):
        if coord not in table.coords:
            raise DataError(f"coordinate {coord!r} is missing; it labels the table.")
    for name, dim in (
        ("density", "sample"),
        ("protolith_density", "protolith"),
        ("distance", "sample"),
        ("profile", "sample"),
        ("unit", "element"),
    ):
        if name in table.variables and table[name].dims != (dim,):
            raise DataError(f"{name!r} has dims {table[name].dims}, not {(dim,)}.")


def _check_labels(table: xr.Dataset) -> None:
    """Check sizes, unique labels and units."""
    for dim, fewest in (("sample", 1), ("protolith", 1), ("element", 3)):
        if table.sizes[dim] < fewest:
            raise DataError(
                f"dim {dim!r} has {table.sizes[dim]} entries; at least {fewest} needed."
            )
        labels = [str(label) for label in table[dim].values]
        twice = [label for label in labels if labels.count(label) > 1]
        if twice:
            raise DataError(f"{dim} label {twice[0]!r} stands more than once; keep one of them.")
    for name, unit in zip(table["element"].values, table["unit"].values, strict=True):
        if unit not in chemistry.UNITS:
            raise DataError(
                f"unit {str(unit)!r} of element {str(name)!r} is not known; "
                f"{nearest(str(unit), chemistry.UNITS)}."
            )


def _check_iron_and_repeats(table: xr.Dataset) -> None:
    """Refuse an element that is given twice; mass balance would count it twice."""
    for element, names in chemistry.repeated_elements(table["element"].values.tolist()).items():
        listed = ", ".join(repr(name) for name in names)
        drop = f"read_mass_table(..., ignore=[{names[1]!r}])"
        if element == "Fe":
            raise DataError(
                f"iron is given more than once: {listed}. Mass balance needs one column of total "
                "iron (Fe2O3T = Fe2O3 + 1.1113 FeO; FeOT = FeO + 0.8998 Fe2O3): keep total iron "
                f"and leave the others out, with {drop}."
            )
        raise DataError(
            f"{element} is given more than once: {listed}. Keep the better measured one and leave "
            f"the other out, with {drop}."
        )


def _check_values(table: xr.Dataset, prefix: str, dim: str) -> None:
    """Check signs of concentrations, errors and limits, and that limits mark censored cells."""
    value = table[f"{prefix}concentration"]
    limit = table[f"{prefix}detection_limit"]
    error = table[f"{prefix}relative_error"]
    _refuse(value, (value <= 0) | np.isinf(value), dim, "a concentration is positive and finite")
    _refuse(limit, (limit <= 0) | np.isinf(limit), dim, "a detection limit is positive and finite")
    _refuse(error, (error <= 0) | np.isinf(error), dim, "a relative error is positive and finite")
    both = np.isfinite(value) & np.isfinite(limit)
    _refuse(value, both, dim, "a measured cell has no detection limit: make one of the two NaN")


def _check_shared(table: xr.Dataset) -> None:
    """Check that errors which analyses share are given for both sides, and are numbers."""
    present = [name for name in SHARED if name in table]
    if len(present) == 1:
        raise DataError(f"{' and '.join(SHARED)} go together; only {present[0]!r} is there.")
    for name, (_, dim) in zip(present, _SIDES, strict=False):
        if table[name].dims != ("shared_shape", dim, "element"):
            raise DataError(
                f"variable {name!r} has dims {table[name].dims}, not "
                f"{('shared_shape', dim, 'element')}."
            )
        if not np.isfinite(table[name].to_numpy()).all():
            raise DataError(f"{name} has missing values: put 0 where nothing is shared.")


def _refuse(variable: xr.DataArray, wrong: xr.DataArray | np.ndarray, dim: str, rule: str) -> None:
    """Raise for the first wrong cell, naming it."""
    for row, column in np.argwhere(np.asarray(wrong)):
        cell = variable[row, column]
        raise DataError(
            f"{variable.name} of element {cell['element'].item()!r} in {dim} "
            f"{cell[dim].item()!r} is {cell.item():g}; {rule}."
        )


def _check_density(density: xr.DataArray) -> None:
    """Check that densities are plausible in g/cm3."""
    low, high = DENSITY_RANGE_G_CM3
    values = density.values
    for index in np.flatnonzero(np.isfinite(values) & ((values < low) | (values > high))):
        label = density[density.dims[0]].values[index]
        raise DataError(
            f"{density.name} of {str(label)!r} is {values[index]:g}; densities are in g/cm3, "
            f"between {low:g} and {high:g}."
        )
