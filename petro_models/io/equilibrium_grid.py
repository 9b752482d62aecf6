"""From scattered results of a thermodynamic engine to one table on a grid of P and T."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from petro_models.errors import DataError, FormatError

COMPONENTS = ("alm", "prp", "grs", "sps")
"""Fe2+, Mg, Ca and Mn over their sum on the X site of garnet."""
AXIS_UNITS = {"removed": "1", "pressure_kbar": "kbar", "temperature_C": "degree_Celsius"}
AXIS_DECIMALS = 6
"""Conditions that agree to so many decimals are one node: engines print rounded numbers."""
SUM_TOLERANCE = 0.01

_LONG_NAMES = {
    "X_alm": "Fe2+ / (Fe2+ + Mg + Ca + Mn) of garnet",
    "X_prp": "Mg / (Fe2+ + Mg + Ca + Mn) of garnet",
    "X_grs": "Ca / (Fe2+ + Mg + Ca + Mn) of garnet",
    "X_sps": "Mn / (Fe2+ + Mg + Ca + Mn) of garnet",
    "garnet_mode": "garnet volume fraction of the fluid-free assemblage",
}


@dataclass(frozen=True)
class Points:
    """Results of single calculations.

    Attributes
    ----------
    pressure_kbar, temperature_C
        (point,) conditions.
    fractions
        (point, 4) X_alm, X_prp, X_grs, X_sps; NaN where garnet is absent.
    garnet_mode
        (point,) volume fraction of the solids, 0 without garnet, NaN where there is no result.
    places
        (point,) where each result stands in its file, for messages.
    notes
        Remarks on the whole.
    """

    pressure_kbar: np.ndarray
    temperature_C: np.ndarray
    fractions: np.ndarray
    garnet_mode: np.ndarray
    places: Sequence[str]
    notes: tuple[str, ...] = ()


def table_from_points(points: Points, source: str, engine: str) -> xr.Dataset:
    """Lay scattered results out on the grid that their conditions span.

    Returns
    -------
    xr.Dataset
        Dims ``pressure_kbar``, ``temperature_C``; see `finish_table`.

    Raises
    ------
    DataError
        If the conditions do not fill a grid of two by two or more, or two results share a node.
    """
    pressure, temperature = (
        np.round(values, AXIS_DECIMALS) for values in (points.pressure_kbar, points.temperature_C)
    )
    axes = np.unique(pressure), np.unique(temperature)
    shape = tuple(axis.size for axis in axes)
    if min(shape, default=0) < 2:
        raise DataError(
            f"{source}: a table needs two pressures and two temperatures or more; found "
            f"{shape[0]} and {shape[1]}."
        )
    rows = np.searchsorted(axes[0], pressure), np.searchsorted(axes[1], temperature)
    taken = np.full(shape, -1)
    for index, node in enumerate(zip(*rows, strict=True)):
        if taken[node] >= 0:
            raise DataError(
                f"{source}: {points.places[taken[node]]} and {points.places[index]} are both at "
                f"{axes[0][node[0]]:g} kbar, {axes[1][node[1]]:g} degC; keep one."
            )
        taken[node] = index
    _refuse_holes(taken, axes, source)
    flat = taken.ravel()
    variables = {
        f"X_{name}": points.fractions[flat, k].reshape(shape) for k, name in enumerate(COMPONENTS)
    }
    variables["garnet_mode"] = points.garnet_mode[flat].reshape(shape)
    table = xr.Dataset(
        {name: (("pressure_kbar", "temperature_C"), values) for name, values in variables.items()},
        coords={"pressure_kbar": axes[0], "temperature_C": axes[1]},
        attrs={"source": source, "engine": engine, "notes": "; ".join(points.notes)},
    )
    return finish_table(table, source)


def finish_table(table: xr.Dataset, source: str) -> xr.Dataset:
    """Check the garnet of a table, make absence uniform, and label units.

    Where fractions are missing or all 0, or garnet is absent (mode 0) and they are no composition,
    they become NaN; the others are brought to a sum of exactly 1.

    Raises
    ------
    DataError
        If a fraction lies outside 0 to 1, the four do not add to 1, only some of them are given
        at a node, or garnet is nowhere.
    """
    names = [f"X_{name}" for name in COMPONENTS]
    order = [dim for dim in AXIS_UNITS if dim in table[names[0]].dims]
    table = table.transpose(*order, ...)
    fractions = np.stack([table[name].to_numpy().astype(float) for name in names])
    mode = table["garnet_mode"].to_numpy().astype(float)
    composed = np.abs(fractions.sum(axis=0) - 1) <= SUM_TOLERANCE
    absent = np.isnan(fractions).all(axis=0) | (fractions == 0).all(axis=0)
    absent |= (mode == 0) & ~composed
    fractions = np.where(absent, np.nan, fractions)
    partly = np.isnan(fractions).any(axis=0) & ~absent
    if partly.any():
        raise DataError(
            f"{source}: only some of {', '.join(names)} are given {_where(table, order, partly)}."
        )
    with np.errstate(invalid="ignore"):
        outside = ((fractions < -1e-9) | (fractions > 1 + 1e-9)).any(axis=0)
        total = fractions.sum(axis=0)
        unequal = np.abs(total - 1) > SUM_TOLERANCE
    for wrong, what in (
        (outside, "a garnet fraction lies outside 0 to 1"),
        (unequal, "X_alm + X_prp + X_grs + X_sps is not 1"),
    ):
        if wrong.any():
            raise DataError(
                f"{source}: {what} {_where(table, order, wrong)}; give Fe2+, Mg, Ca and Mn over "
                "their sum, as fractions."
            )
    if np.isnan(total).all():
        raise DataError(f"{source}: there is no garnet at any node.")
    known = mode[np.isfinite(mode)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise DataError(
            f"{source}: garnet_mode runs from {known.min():g} to {known.max():g}; give a volume "
            "fraction, 0 to 1."
        )
    fractions = fractions.clip(0.0)
    total = fractions.sum(axis=0)
    exact = np.abs(total - 1) < 1e-14  # so that a table read again is the same to the last bit
    values = dict(zip(names, fractions / np.where(exact, 1.0, total), strict=True))
    values["garnet_mode"] = mode
    finished = table.assign({name: (order, value) for name, value in values.items()})
    for name, text in _LONG_NAMES.items():
        finished[name].attrs = {"units": "1", "long_name": text}
    return label_axes(finished)


def label_axes(table: xr.Dataset) -> xr.Dataset:
    """Sort the axes upwards and write their units."""
    present = [dim for dim in AXIS_UNITS if dim in table.dims]
    table = table.sortby(present)
    for dim in present:
        table[dim].attrs["units"] = AXIS_UNITS[dim]
    table.attrs["units"] = "; ".join(f"{dim} {AXIS_UNITS[dim]}" for dim in present)
    return table


def read_text(path: str | Path) -> tuple[str, list[str]]:
    """Read the lines of a text file; gives its name and the lines.

    Raises
    ------
    FormatError
        If there is no such file, it is empty, or it is not text.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise FormatError(f"{file}: cannot be read ({reason}). Give the path of a table.") from None
    if b"\x00" in content:
        raise FormatError(f"{file.name}: is not a text file.")
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    if not any(line.strip() for line in lines):
        raise FormatError(f"{file.name}: is empty.")
    return file.name, lines


def _refuse_holes(taken: np.ndarray, axes: tuple[np.ndarray, ...], source: str) -> None:
    missing = np.argwhere(taken < 0)
    if missing.size:
        row, column = missing[0]
        raise DataError(
            f"{source}: {len(missing)} of {taken.size} nodes of the {taken.shape[0]} x "
            f"{taken.shape[1]} grid are missing, first {axes[0][row]:g} kbar, "
            f"{axes[1][column]:g} degC. The file may be cut off, or its points may form no grid."
        )


def _where(table: xr.Dataset, order: list[str], wrong: np.ndarray) -> str:
    node = np.argwhere(wrong)[0]
    places = (f"{dim} {float(table[dim][k]):g}" for dim, k in zip(order, node, strict=True))
    return f"at {int(wrong.sum())} node(s), first {', '.join(places)}"
