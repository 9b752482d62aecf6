"""Read garnet from a two-dimensional table of Perple_X (WERAMI, ``.tab``).

Layout (perplex.ethz.ch, "Perple_X Tab File Format"): version line ``|6.6.6``, title, number of
independent variables, then name, first value, increment and number of nodes of each, the number of
columns, their names, and the rows, the first independent variable running fastest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from petro_models.errors import DataError, FormatError, nearest
from petro_models.io.equilibrium_grid import (
    COMPONENTS,
    Points,
    read_text,
    table_from_points,
)

# Oxide -> component and molar mass; the columns of WERAMI's "composition of a solution phase".
_OXIDES = {
    "FEO": ("alm", 71.844),
    "MGO": ("prp", 40.304),
    "CAO": ("grs", 56.077),
    "MNO": ("sps", 70.937),
}
_MODE_UNITS = ("vol,%", "vol%", "vol_%")
TARGETS = (*(f"X_{name}" for name in COMPONENTS), "garnet_mode")


@dataclass(frozen=True)
class _Tab:
    source: str
    axes: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]
    columns: list[str]
    values: np.ndarray
    first_line: int


def read_perplex(path: str | Path, columns: Mapping[str, str] | None = None) -> xr.Dataset:
    """Read a table that WERAMI wrote over pressure and temperature.

    Parameters
    ----------
    path
        ``.tab`` file over T(K) and P(bar).
    columns
        ``{"X_prp": header, ..., "garnet_mode": header}`` for tables whose headers do not speak for
        themselves. Understood without: ``X_alm`` and so on; oxides of garnet (``FeO,wt%`` or
        ``FeO,mol%``, all four, iron as Fe2+); one mode in ``vol,%``. One fraction may be left out:
        it is what the other three lack to 1. Headers with ``%`` are taken as percent.

    Raises
    ------
    FormatError
        If the file is not such a table, or is cut off.
    DataError
        If columns are missing or are no fractions.
    """
    tab = _read_tab(path)
    chosen = _choose(tab, columns)
    fractions, notes = _fractions(tab, chosen)
    if "garnet_mode" in chosen:
        header = chosen["garnet_mode"]
        mode = tab.values[:, tab.columns.index(header)] / (100.0 if "%" in header else 1.0)
        mode = np.where(np.isnan(mode), 0.0, mode)
    else:
        mode = np.where(np.isnan(fractions).any(axis=1), 0.0, np.nan)
        notes.append("the table has no garnet mode")
    points = Points(
        *_conditions(tab),
        fractions=fractions,
        garnet_mode=mode,
        places=[f"line {tab.first_line + k}" for k in range(len(mode))],
        notes=tuple(notes),
    )
    return table_from_points(points, tab.source, "Perple_X (WERAMI)")


def _read_tab(path: str | Path) -> _Tab:
    source, lines = read_text(path)
    if not lines[0].startswith("|6."):
        raise FormatError(f"{source}: line 1 is {lines[0][:20]!r}, not the version of a .tab file.")
    number = _integer(lines, 2, source)
    if number != 2:
        raise FormatError(
            f"{source}, line 3: the table has {number} independent variable(s); two are needed, "
            "T(K) and P(bar) (WERAMI mode 2)."
        )
    axes = tuple(_axis(lines, 3 + 4 * k, source) for k in range(2))
    if {name for name, _ in axes} != {"T(K)", "P(bar)"}:
        raise FormatError(
            f"{source}: the independent variables are {axes[0][0]} and {axes[1][0]}; T(K) and "
            "P(bar) are needed."
        )
    width = _integer(lines, 11, source)
    columns = lines[12].split() if len(lines) > 12 else []
    if len(columns) != width:
        raise FormatError(
            f"{source}, line 13: {len(columns)} column names where {width} are announced."
        )
    expected = axes[0][1].size * axes[1][1].size
    rows = [
        _numbers(line, width, source, k)
        for k, line in enumerate(lines[13:], start=14)
        if line.strip()
    ]
    if len(rows) != expected:
        raise FormatError(
            f"{source}: {len(rows)} rows where {axes[0][1].size} x {axes[1][1].size} = {expected} "
            "are announced; the file may be cut off."
        )
    return _Tab(source, (axes[0], axes[1]), columns, np.array(rows), 14)


def _axis(lines: list[str], line: int, source: str) -> tuple[str, np.ndarray]:
    name = lines[line].strip() if len(lines) > line else ""
    try:
        first, step = (float(lines[line + k].split()[0]) for k in (1, 2))
    except (IndexError, ValueError):
        raise FormatError(
            f"{source}, line {line + 2}: the first value and increment of {name!r} are not numbers."
        ) from None
    count = _integer(lines, line + 3, source)
    if count < 2:
        raise FormatError(f"{source}, line {line + 4}: {name} has {count} node(s); two are needed.")
    return name, first + step * np.arange(count)


def _integer(lines: list[str], line: int, source: str) -> int:
    text = lines[line].split()[0] if len(lines) > line and lines[line].split() else ""
    if not text.isdigit():
        raise FormatError(f"{source}, line {line + 1}: expected a whole number, found {text!r}.")
    return int(text)


def _numbers(line: str, width: int, source: str, number: int) -> list[float]:
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise FormatError(f"{source}, line {number}: not all entries are numbers.") from None
    if len(values) != width:
        raise FormatError(
            f"{source}, line {number}: {len(values)} numbers where {width} columns are announced."
        )
    return values


def _conditions(tab: _Tab) -> tuple[np.ndarray, np.ndarray]:
    """Give pressure and temperature of each row; the first variable runs fastest."""
    (fast_name, fast), (slow_name, slow) = tab.axes
    grid = {fast_name: np.tile(fast, slow.size), slow_name: np.repeat(slow, fast.size)}
    return grid["P(bar)"] / 1000.0, grid["T(K)"] - 273.15


def _choose(tab: _Tab, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Give target -> header."""
    if columns is not None:
        for target, header in columns.items():
            if target not in TARGETS:
                raise DataError(f"columns: {target!r} is no target; {nearest(target, TARGETS)}")
            if header not in tab.columns:
                raise DataError(
                    f"{tab.source}: has no column {header!r}; {nearest(header, tab.columns)}"
                )
        return dict(columns)
    folded = {header.casefold(): header for header in tab.columns}
    chosen = {name: folded[name.casefold()] for name in TARGETS if name.casefold() in folded}
    modes = [header for header in tab.columns if header.casefold().endswith(_MODE_UNITS)]
    if "garnet_mode" not in chosen and len(modes) == 1:
        chosen["garnet_mode"] = modes[0]
    return chosen


def _fractions(tab: _Tab, chosen: Mapping[str, str]) -> tuple[np.ndarray, list[str]]:
    """Give (row, 4) fractions, NaN where garnet is absent."""
    given = [name for name in COMPONENTS if f"X_{name}" in chosen]
    if len(given) >= 3:
        fractions = np.full((len(tab.values), 4), np.nan)
        for name in given:
            header = chosen[f"X_{name}"]
            scale = 100.0 if "%" in header else 1.0
            fractions[:, COMPONENTS.index(name)] = tab.values[:, tab.columns.index(header)] / scale
        notes = []
        for name in set(COMPONENTS) - set(given):
            others = [COMPONENTS.index(other) for other in given]
            rest = 1.0 - fractions[:, others].sum(axis=1)
            absent = (fractions[:, others] == 0).all(axis=1)
            fractions[:, COMPONENTS.index(name)] = np.where(absent, 0.0, rest)
            notes.append(f"X_{name} is what the others lack to 1")
        return _blank_absent(fractions), notes
    oxides = _oxide_columns(tab)
    if oxides is None:
        raise DataError(
            f"{tab.source}: its columns ({', '.join(tab.columns)}) do not tell garnet's "
            "composition; give columns={'X_prp': header, ...} for three of X_alm, X_prp, X_grs, "
            "X_sps, or let WERAMI write FeO, MgO, CaO and MnO of garnet."
        )
    moles = np.stack([tab.values[:, column] / mass for column, mass in oxides], axis=1)
    moles = np.where(np.isnan(moles), 0.0, moles)
    total = moles.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        fractions = moles / total
    return _blank_absent(fractions), ["all iron of garnet is taken as Fe2+"]


def _oxide_columns(tab: _Tab) -> list[tuple[int, float]] | None:
    """Give column and molar mass (1 for mol%) of the four oxides, in the order of components."""
    found: dict[str, tuple[int, float]] = {}
    for index, header in enumerate(tab.columns):
        oxide, _, unit = header.upper().partition(",")
        if oxide in _OXIDES and unit.startswith(("WT", "MOL")):
            component, mass = _OXIDES[oxide]
            found[component] = (index, mass if unit.startswith("WT") else 1.0)
    return [found[name] for name in COMPONENTS] if len(found) == len(COMPONENTS) else None


def _blank_absent(fractions: np.ndarray) -> np.ndarray:
    absent = (fractions == 0).all(axis=1) | np.isnan(fractions).any(axis=1)
    return np.where(absent[:, None], np.nan, fractions)
