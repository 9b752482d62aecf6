"""Read garnet from Theriak-Domino: Theriak's loop tables, Domino's pixel maps, collected CSV."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, FormatError
from petro_models.io.equilibrium_grid import (
    COMPONENTS,
    Points,
    read_text,
    table_from_points,
)

# Theriak names a garnet by its most abundant end-member, which changes over a table.
_NAMES = ("alm", "py", "gr", "spss", "kho", "andr")
_SITE = {"alm": "Fe(X)", "prp": "Mg(X)", "grs": "Ca(X)", "sps": "Mn(X)"}
_MEMBERS = {"alm": ("alm",), "prp": ("py", "kho"), "grs": ("gr", "andr"), "sps": ("spss",)}
_CSV_COLUMNS = ("P_kbar", "T_C", *(f"X_{name}" for name in COMPONENTS))
_FLUIDS = ("H2O", "STEAM")


def read_theriak(path: str | Path) -> xr.Dataset:
    """Read a table made by Theriak.

    Parameters
    ----------
    path
        ``thktab.tab``, the comma-separated table that Theriak writes for a loop of points (columns
        ``:Temperature`` degC, ``:Pressure`` bar, ``x_Mg(X)_[alm]`` or ``x_py_[alm]`` and so on,
        ``V_[alm]``, ``V_solids``); or a CSV collected from its output, with the columns ``P_kbar,
        T_C, X_alm, X_prp, X_grs, X_sps`` and optionally ``vol``, garnet's volume fraction.

    Raises
    ------
    FormatError
        If the columns or numbers are not those of such a table (file and line).
    DataError
        If the points do not fill a grid, or have no garnet.
    """
    source, lines = read_text(path)
    headers = [cell.strip().strip(":") for cell in lines[0].split(",")]
    if {"Temperature", "Pressure"} <= set(headers):
        points = _loop_points(_frame(lines, headers, source), source)
    elif {"P_kbar", "T_C"} <= set(headers):
        points = _csv_points(_frame(lines, headers, source, text=("assem",)), source)
    else:
        raise FormatError(
            f"{source}, line 1: neither a loop table of Theriak (:Temperature, :Pressure, ...) nor "
            f"a CSV with {', '.join(_CSV_COLUMNS)}."
        )
    return table_from_points(points, source, "Theriak-Domino")


def read_domino_maps(
    folder: str | Path,
    temperature_C: tuple[float, float, int],
    pressure_kbar: tuple[float, float, int],
) -> xr.Dataset:
    """Read the pixel maps that Domino writes into a folder (``_dommap``).

    Parameters
    ----------
    folder
        Files ``x_py_[alm]``, ``x_Mg(X)_[alm]``, ``vol_[alm]`` ..., each with lines ``pixel value``;
        pixels count from 1, temperature running fastest.
    temperature_C, pressure_kbar
        First value, last value and number of pixels along each axis: the maps do not tell.

    Raises
    ------
    FormatError
        If there are no maps of garnet, or a line is not ``pixel value``.
    DataError
        If a pixel lies outside the grid, or garnet is nowhere.
    """
    directory = Path(folder)
    if not directory.is_dir():
        raise FormatError(f"{directory}: is not a folder of pixel maps.")
    heat, load = np.linspace(*temperature_C), np.linspace(*pressure_kbar)
    maps = {
        file.name: _pixel_map(file, heat.size * load.size)
        for file in sorted(directory.iterdir())
        if file.is_file() and re.match(r"(x_|vol_|n_\[)", file.name)
    }
    values = {name.replace("vol_", "V_"): column for name, column in maps.items()}
    frame = pd.DataFrame(values)
    solids = [
        name for name in values if name.startswith("V_") and name.removeprefix("V_") not in _FLUIDS
    ]
    if not solids:
        raise FormatError(f"{directory}: has no maps of volume (vol_[alm], vol_q, ...).")
    columns = {
        "Temperature": np.tile(heat, load.size),
        "Pressure": 1000.0 * np.repeat(load, heat.size),
        "V_solids": frame[solids].fillna(0.0).sum(axis=1),
    }
    table = pd.concat([frame, pd.DataFrame(columns)], axis=1).fillna(0.0)
    return table_from_points(_loop_points(table, directory.name), directory.name, "Theriak-Domino")


def _loop_points(frame: pd.DataFrame, source: str) -> Points:
    """Give garnet of each point from columns named as Theriak names them."""
    garnets = [name for name in _NAMES if f"V_[{name}]" in frame]
    if not garnets or "V_solids" not in frame:
        raise FormatError(
            f"{source}: has no columns of garnet (V_[alm] or the like) and of V_solids; let "
            "Theriak write volumes and compositions of all phases."
        )
    volumes = np.stack([frame[f"V_[{name}]"].to_numpy() for name in garnets], axis=1)
    compositions = np.stack([_composition(frame, name, source) for name in garnets], axis=1)
    most = volumes.argmax(axis=1)
    rows = np.arange(len(frame))
    volume = volumes[rows, most]
    with np.errstate(invalid="ignore", divide="ignore"):
        mode = np.where(volume > 0, volume / frame["V_solids"].to_numpy(), 0.0)
    fractions = np.where((volume > 0)[:, None], compositions[rows, most], np.nan)
    doubled = int(((volumes > 0).sum(axis=1) > 1).sum())
    notes = (f"{doubled} point(s) have two garnets; the more abundant one is taken",)
    return Points(
        pressure_kbar=frame["Pressure"].to_numpy() / 1000.0,
        temperature_C=frame["Temperature"].to_numpy(),
        fractions=fractions,
        garnet_mode=mode,
        places=[f"line {k + 2}" for k in rows],
        notes=notes if doubled else (),
    )


def _composition(frame: pd.DataFrame, garnet: str, source: str) -> np.ndarray:
    """Give (point, 4) fractions from the X site, or from end-members where it is not written."""
    site = {name: f"x_{text}_[{garnet}]" for name, text in _SITE.items()}
    if all(column in frame for column in site.values()):
        parts = np.stack([frame[site[name]].to_numpy() for name in COMPONENTS], axis=1)
    else:
        members = {
            name: [c for c in (f"x_{m}_[{garnet}]" for m in _MEMBERS[name]) if c in frame]
            for name in COMPONENTS
        }
        lacking = [name for name in ("alm", "prp", "grs") if not members[name]]
        if lacking:
            raise FormatError(
                f"{source}: garnet [{garnet}] lacks {', '.join(lacking)} "
                f"(columns such as x_{_MEMBERS[lacking[0]][0]}_[{garnet}])."
            )
        parts = np.stack([frame[members[name]].sum(axis=1) for name in COMPONENTS], axis=1)
    total = parts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, parts / total, np.nan)


def _csv_points(frame: pd.DataFrame, source: str) -> Points:
    missing = [name for name in _CSV_COLUMNS if name not in frame]
    if missing:
        raise FormatError(f"{source}, line 1: has no column {', '.join(missing)}.")
    fractions = frame[[f"X_{name}" for name in COMPONENTS]].to_numpy()
    absent = np.isnan(fractions).all(axis=1)
    notes: tuple[str, ...] = ()
    if "vol" in frame:
        mode = frame["vol"].fillna(0.0).to_numpy()
    else:
        mode = np.where(absent, 0.0, np.nan)
        notes = ("the table has no garnet mode",)
    return Points(
        pressure_kbar=frame["P_kbar"].to_numpy(),
        temperature_C=frame["T_C"].to_numpy(),
        fractions=fractions,
        garnet_mode=mode,
        places=[f"line {k + 2}" for k in range(len(frame))],
        notes=notes,
    )


def _frame(
    lines: list[str], headers: list[str], source: str, text: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read comma-separated numbers; empty cells are missing, columns in `text` are left out."""
    rows: list[Mapping[str, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(headers):
            raise FormatError(
                f"{source}, line {number}: {len(cells)} cells where the header has {len(headers)}; "
                "the file may be cut off."
            )
        row = {}
        for header, cell in zip(headers, cells, strict=True):
            if header in text:
                continue
            try:
                row[header] = float(cell) if cell else np.nan
            except ValueError:
                raise FormatError(
                    f"{source}, line {number}: {header} is {cell!r}, not a number."
                ) from None
        rows.append(row)
    if not rows:
        raise DataError(f"{source}: has a header and no rows.")
    return pd.DataFrame(rows)


def _pixel_map(file: Path, pixels: int) -> np.ndarray:
    source, lines = read_text(file)
    values = np.full(pixels, np.nan)
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        try:
            pixel, value = int(words[0]), float(words[1])
        except (IndexError, ValueError):
            raise FormatError(f"{source}, line {number}: expected 'pixel value'.") from None
        if not 1 <= pixel <= pixels:
            raise DataError(
                f"{source}, line {number}: pixel {pixel} lies outside a grid of {pixels}; check "
                "the numbers of pixels given for temperature and pressure."
            )
        values[pixel - 1] = value
    return values
