"""Equilibrium tables of garnet from files: netCDF, MAGEMin, Perple_X, Theriak-Domino, LinaForma.

All come out in one schema: dims ``removed`` (where there is such an axis), ``pressure_kbar``,
``temperature_C``; variables ``X_alm X_prp X_grs X_sps`` (fractions that add to 1, NaN where garnet
is absent) and ``garnet_mode`` (volume fraction of the fluid-free assemblage; 0 where absent, NaN
where the engine found no answer). LinaForma's tables keep their own variables instead.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from petro_models.errors import DataError, FormatError, nearest
from petro_models.io.equilibrium_grid import COMPONENTS, finish_table, read_text
from petro_models.io.linaforma_table import read_linaforma
from petro_models.io.magemin_output import read_magemin
from petro_models.io.perplex_tab import read_perplex
from petro_models.io.staging import replacing
from petro_models.io.theriak_output import read_domino_maps, read_theriak

__all__ = [
    "read_domino_maps",
    "read_equilibrium_table",
    "read_linaforma",
    "read_magemin",
    "read_netcdf",
    "read_perplex",
    "read_theriak",
    "write_equilibrium_table",
]

_DIM_NAMES = {"P_kbar": "pressure_kbar", "T_C": "temperature_C"}
_MODE_NAMES = ("garnet_mode", "mode_vol_solids")
_TO_AXIS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "pressure_kbar": {
        "kbar": lambda value: value,
        "bar": lambda value: value / 1000.0,
        "GPa": lambda value: value * 10.0,
    },
    "temperature_C": {
        "degree_Celsius": lambda value: value,
        "degC": lambda value: value,
        "C": lambda value: value,
        "K": lambda value: value - 273.15,
    },
}


def read_equilibrium_table(
    path: str | Path, format: str | None = None, **options: Any
) -> xr.Dataset:
    """Read an equilibrium table, whatever program made it.

    Parameters
    ----------
    path
        File.
    format
        "netcdf", "magemin", "perplex", "theriak" or "linaforma"; found from the content if None.
    options
        Handed to the reader of that format: `read_netcdf`, `read_magemin`, `read_perplex`,
        `read_theriak`, `read_linaforma`.

    Returns
    -------
    xr.Dataset
        See the module's docstring; ``attrs["source"]`` and ``attrs["units"]`` tell where it is
        from and in what units.

    Raises
    ------
    FormatError
        If the file cannot be read in its format, or the format cannot be told.
    DataError
        If its numbers cannot be a table.

    Examples
    --------
    >>> from petro_models.io.equilibrium_tables import read_equilibrium_table
    >>> read_equilibrium_table("white2014.nc")  # doctest: +SKIP
    """
    kind = detect_format(path) if format is None else format
    if kind not in _READERS:
        raise FormatError(f"no table format is called {kind!r}: {nearest(kind, _READERS)}")
    return _READERS[kind](path, **options)


def detect_format(path: str | Path) -> str:
    """Tell the format of a table from its first bytes and lines.

    Raises
    ------
    FormatError
        If it is none that is known.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            magic = stream.read(8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FormatError(f"{file}: cannot be read ({reason}). Give the path of a table.") from None
    if magic.startswith((b"\x89HDF", b"CDF")) or file.suffix.lower() in (".nc", ".nc4"):
        return "netcdf"
    name, lines = read_text(file)
    head = next(line for line in lines if line.strip())
    if head.startswith("|6."):
        return "perplex"
    if head.startswith(("//", "=====")) or "kbar/" in "".join(lines[:4]):
        return "magemin"
    columns = [cell.strip().strip(":") for cell in head.split(",")]
    if {"G_system", "Temperature"} <= set(columns) or {"P_kbar", "T_C"} <= set(columns):
        return "theriak"
    if {"Temperature", "Pressure"} <= set(columns):
        return "linaforma"
    first = head.split()
    if len(first) > 6 and first[0].isdigit() and first[1].isdigit():
        return "magemin"
    raise FormatError(
        f"{name}: line 1 belongs to no known table format; give format=. Known: netcdf, magemin "
        "(pseudosection, THERMOCALC-like or Matlab output), perplex (.tab), theriak (thktab, or "
        "CSV with P_kbar and T_C), linaforma (CSV with Temperature and Pressure)."
    )


def read_netcdf(path: str | Path, select: Mapping[str, float] | None = None) -> xr.Dataset:
    """Read a table in netCDF.

    Parameters
    ----------
    path
        File with dims ``([removed,] P_kbar, T_C)`` or ``([removed,] pressure_kbar,
        temperature_C)``, variables ``X_alm X_prp X_grs X_sps`` and ``mode_vol_solids`` or
        ``garnet_mode``; axes in bar, GPa or K are converted where their units say so. Nodes whose
        ``status`` is not 0 are taken as failed.
    select
        Value of any further axis, such as ``{"MnO_mol": 0.15}``.

    Raises
    ------
    FormatError
        If it is no netCDF file, or variables or axes are missing.
    DataError
        If its numbers cannot be a table.
    """
    file = Path(path)
    try:
        raw = xr.load_dataset(file, engine="netcdf4")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise FormatError(
            f"{file}: cannot be read as netCDF ({error}). The file may be cut off."
        ) from None
    raw = raw.rename({old: new for old, new in _DIM_NAMES.items() if old in raw.variables})
    wanted = [*(f"X_{name}" for name in COMPONENTS), _mode_name(raw, file.name)]
    for name in wanted:
        if name not in raw:
            known = [str(variable) for variable in raw.data_vars]
            raise FormatError(f"{file.name}: has no variable {name!r}; {nearest(name, known)}")
    table = raw[wanted].rename({wanted[-1]: "garnet_mode"})
    failed = raw["status"] != 0 if "status" in raw else None
    table, failed = _select(table, failed, dict(select or {}), file.name)
    notes = str(raw.attrs.get("notes", ""))
    if failed is not None and bool(failed.any()):
        table = table.where(~failed)
        notes = "; ".join(filter(None, [notes, f"{int(failed.sum())} node(s) did not converge"]))
    table = _convert_axes(table, file.name)
    attributes = {key: value for key, value in raw.attrs.items() if key != "units"}
    table.attrs = attributes | {"source": raw.attrs.get("source", file.name), "notes": notes}
    return finish_table(table, file.name)


def write_equilibrium_table(table: xr.Dataset, path: str | Path) -> None:
    """Write a table as netCDF, which `read_netcdf` gives back unchanged.

    Raises
    ------
    FitError
        If the file cannot be written.
    """
    with replacing(path) as part:
        table.to_netcdf(part, engine="netcdf4")


def _mode_name(raw: xr.Dataset, source: str) -> str:
    for name in _MODE_NAMES:
        if name in raw:
            return name
    raise FormatError(f"{source}: has neither of the variables {' or '.join(_MODE_NAMES)}.")


def _select(
    table: xr.Dataset, failed: xr.DataArray | None, select: dict[str, float], source: str
) -> tuple[xr.Dataset, xr.DataArray | None]:
    """Fix the further axes of a table at the values asked for."""
    known = ("removed", "pressure_kbar", "temperature_C")
    for dim in ("pressure_kbar", "temperature_C"):
        if dim not in table.dims or dim not in table.coords:
            raise FormatError(
                f"{source}: has no axis {dim!r} with values; its dims are "
                f"{', '.join(map(str, table.dims))}."
            )
    further = [str(dim) for dim in table.dims if dim not in known]
    for dim in further:
        values = table[dim].to_numpy() if dim in table.coords else np.arange(table.sizes[dim])
        if dim not in select:
            raise FormatError(
                f"{source}: has a further axis {dim!r}; choose one of its values "
                f"({', '.join(f'{value:g}' for value in values)}), as in select={{{dim!r}: "
                f"{values[0]:g}}}."
            )
        if not np.isclose(values, select[dim]).any():
            raise DataError(
                f"{source}: {dim} has no value {select[dim]:g}; it has "
                f"{', '.join(f'{value:g}' for value in values)}."
            )
        index = int(np.argmin(np.abs(values - select[dim])))
        table = table.isel({dim: index}, drop=True)
        failed = None if failed is None else failed.isel({dim: index}, drop=True)
    for dim in select:
        if dim not in further:
            raise DataError(f"{source}: has no further axis {dim!r} to select from.")
    return table, failed


def _convert_axes(table: xr.Dataset, source: str) -> xr.Dataset:
    for dim, converters in _TO_AXIS.items():
        unit = str(table[dim].attrs.get("units", next(iter(converters))))
        if unit not in converters:
            raise DataError(f"{source}: {dim} is in {unit!r}; {nearest(unit, converters)}")
        table = table.assign_coords({dim: (dim, converters[unit](table[dim].to_numpy()))})
    return table


_READERS: dict[str, Callable[..., xr.Dataset]] = {
    "netcdf": read_netcdf,
    "magemin": read_magemin,
    "perplex": read_perplex,
    "theriak": read_theriak,
    "linaforma": read_linaforma,
}
