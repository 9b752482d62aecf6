"""Read the forward grids of LinaForma: any mineral variables over temperature and pressure."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, FormatError, nearest
from petro_models.io.equilibrium_grid import AXIS_DECIMALS, label_axes, read_text

_AXES = {"Temperature": "temperature_C", "Pressure": "pressure_kbar"}
_ELEMENTS = ("Si", "Al", "Ti", "Fe", "Mg", "Mn", "Ca", "Na", "K")


def read_linaforma(path: str | Path, units: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a CSV with the columns Temperature (degC), Pressure (bar) and mineral variables.

    Parameters
    ----------
    path
        File.
    units
        Unit of variables whose name does not tell: ``X...`` is a fraction ("1"), ``Si...`` and
        other elements are cations per formula ("apfu").

    Returns
    -------
    xr.Dataset
        Dims ``pressure_kbar``, ``temperature_C``; the table's own variables, each with units.

    Raises
    ------
    FormatError
        If the columns or numbers are not those of such a table.
    DataError
        If the points do not fill a grid, or the unit of a variable is unknown.
    """
    source, lines = read_text(path)
    headers = [cell.strip() for cell in lines[0].split(",")]
    for name in _AXES:
        if name not in headers:
            raise FormatError(f"{source}, line 1: has no column {name}; {nearest(name, headers)}")
    frame = _numbers(lines, headers, source)
    frame["pressure_kbar"] = (frame.pop("Pressure") / 1000.0).round(AXIS_DECIMALS)
    frame["temperature_C"] = frame.pop("Temperature").round(AXIS_DECIMALS)
    indexed = frame.set_index(["pressure_kbar", "temperature_C"])
    if indexed.index.has_duplicates:
        pressure, temperature = indexed.index[indexed.index.duplicated()][0]
        raise DataError(
            f"{source}: {pressure:g} kbar, {temperature:g} degC stands in two rows; keep one."
        )
    table = indexed.to_xarray()
    holes = table.sizes["pressure_kbar"] * table.sizes["temperature_C"] - len(frame)
    if holes or min(table.sizes.values()) < 2:
        raise DataError(
            f"{source}: its {len(frame)} rows do not fill a grid of {table.sizes['pressure_kbar']} "
            f"pressures x {table.sizes['temperature_C']} temperatures; the file may be cut off."
        )
    known = dict(units or {})
    variables = [str(variable) for variable in table.data_vars]
    for name in known:
        if name not in variables:
            raise DataError(f"units: {source} has no variable {name!r}; {nearest(name, variables)}")
    for name in variables:
        table[name].attrs["units"] = known.get(name) or _unit(name, source)
    table.attrs = {"source": source, "engine": "LinaForma", "notes": ""}
    return label_axes(table)


def _unit(name: str, source: str) -> str:
    if name[:1] in "Xx":
        return "1"
    if name.startswith(_ELEMENTS):
        return "apfu"
    raise DataError(
        f"{source}: the unit of {name!r} cannot be told from its name; give it, as in "
        f"units={{{name!r}: '1'}}."
    )


def _numbers(lines: list[str], headers: list[str], source: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != len(headers):
            raise FormatError(
                f"{source}, line {number}: {len(cells)} cells where the header has {len(headers)}; "
                "the file may be cut off."
            )
        try:
            rows.append([float(cell) if cell.strip() else np.nan for cell in cells])
        except ValueError:
            raise FormatError(f"{source}, line {number}: not all cells are numbers.") from None
    if not rows:
        raise DataError(f"{source}: has a header and no rows.")
    return pd.DataFrame(rows, columns=headers)
