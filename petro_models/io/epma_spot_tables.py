"""Spot analyses in tables (CSV, TSV, Excel): oxides, errors, positions and labels in columns."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

# Imported as a module: petro_models.io may be imported while phase_maps is being imported.
import petro_models.phase_maps.data as map_data
from petro_models.errors import DataError, FormatError
from petro_models.io import cells
from petro_models.io import species as chemistry
from petro_models.io.epma_parts import number

FORMAT = "table of spot analyses"

_POSITIONS = {
    "column": "column",
    "row": "row",
    "stage_x": "stage_x",
    "stage_y": "stage_y",
    "x": "stage_x",
    "y": "stage_y",
    "x-pos": "stage_x",
    "y-pos": "stage_y",
    "order": "order",
}
_PHASES = ("phase", "mineral", "label", "comment")
_SPOTS = ("spot", "point", "no", "no.", "id", "analysis", "sample", "line")


@dataclass
class _Columns:
    """What each column of the table is, by its number."""

    oxides: dict[str, int] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    errors: dict[str, tuple[int, chemistry.Header]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    phase: int | None = None
    spot: int | None = None
    notes: list[str] = field(default_factory=list)


def read_spot_table(path: Path, maps: xr.Dataset | None, outside: str, label: str) -> xr.Dataset:
    """Read a table with a row per spot.

    Columns are oxides ("SiO2", "SiO2 wt%", "Zr ppm"), their errors ("SiO2_1s", "SiO2_rsd%"),
    positions on the map ("column", "row", from 0, whole = pixel centre) or of the stage
    ("stage_x", "stage_y", or "X", "Y"), the place in the order of measurement ("order"; that of
    the rows if there is none), a label ("phase", "mineral", "label" or "comment") and a number of
    the spot ("spot", "no", "id", ...).

    Raises
    ------
    FormatError
        If the file is not a table.
    DataError
        If a column looks like a misspelt oxide, an analysis is impossible, or a spot lies outside
        the map.
    """
    grid = cells.read_grid(path)
    columns = _read_headers(grid)
    rows = list(zip(grid.rows[1:], grid.lines[1:], strict=True))
    if not rows:
        raise FormatError(f"{grid.source}: a line of headers, but no analyses.")
    spots = _spot_labels(columns, [row for row, _ in rows], grid.source)
    table = pd.DataFrame(
        {
            name: [_analysis(row, at, line, grid, columns.units[name]) for row, line in rows]
            for name, at in columns.oxides.items()
        },
        index=spots,
    )
    positions = {
        name: np.array([_number(row[at], name, line, grid) for row, line in rows])
        for name, at in columns.positions.items()
    }
    phase = None if columns.phase is None else [row[columns.phase] for row, _ in rows]
    return map_data.epma_spots(
        table,
        wt_percent_sd=_errors(columns, rows, table, grid),
        column=positions.get("column"),
        row=positions.get("row"),
        stage_x=positions.get("stage_x"),
        stage_y=positions.get("stage_y"),
        stage_unit="unit of the table",
        order=positions.get("order"),
        phase=phase,
        maps=maps,
        outside=outside,
        source=label,
        format=FORMAT,
        notes=[*grid.notes, *columns.notes],
    )


def _read_headers(grid: cells.Grid) -> _Columns:
    """Sort the columns by what their headers say."""
    columns = _Columns()
    phases: dict[str, int] = {}
    for at, header in enumerate(grid.rows[0]):
        name = header.strip().casefold()
        if name in _POSITIONS and _POSITIONS[name] not in columns.positions:
            columns.positions[_POSITIONS[name]] = at
        elif name in _PHASES:
            phases[name] = at
        elif name in _SPOTS and columns.spot is None:
            columns.spot = at
        elif name:
            _add_species(columns, header, at, grid)
    columns.phase = next((phases[name] for name in _PHASES if name in phases), None)
    if not columns.oxides:
        raise DataError(f"{grid.source}: no column is an oxide such as 'SiO2'.")
    return columns


def _add_species(columns: _Columns, header: str, at: int, grid: cells.Grid) -> None:
    """Add a column of analyses or of errors."""
    try:
        read = chemistry.read_header(header)
    except DataError as error:
        raise DataError(f"{grid.source}:{grid.lines[0]}: {error}") from None
    # A microprobe measures iron as a whole, whatever the column says.
    oxide = read.species.removesuffix("T") if read.species.startswith("Fe") else read.species
    if read.role == "species":
        if oxide in columns.oxides:
            raise DataError(f"{grid.source}: {oxide} stands in two columns; keep one.")
        columns.oxides[oxide], columns.units[oxide] = at, read.unit or "wt%"
        columns.notes += [read.note] if read.note else []
    elif read.role in ("absolute error", "relative error"):
        columns.errors[oxide] = (at, read)
    else:
        columns.notes.append(f"column {header!r} not read")


def _spot_labels(columns: _Columns, rows: Sequence[list[str]], source: str) -> list[str]:
    """Give every spot a label: its number in the table, or its place in it."""
    if columns.spot is None:
        return [str(n) for n in range(1, len(rows) + 1)]
    labels = [row[columns.spot] for row in rows]
    if "" in labels or max(Counter(labels).values()) > 1:
        columns.notes.append(f"{source}: spots numbered by row, as their labels repeat")
        return [str(n) for n in range(1, len(rows) + 1)]
    return labels


def _number(text: str, what: str, line: int, grid: cells.Grid) -> float:
    """Read a number that may be missing."""
    if cells.is_missing(text):
        return math.nan
    return number(text, what, f"{grid.source}:{line}")


def _analysis(row: list[str], at: int, line: int, grid: cells.Grid, unit: str) -> float:
    """Read one analysis in wt%; below detection is 0, as microprobes report it."""
    text = row[at]
    if text.startswith("<") or text.casefold() in ("bdl", "b.d.l.", "<dl", "<lod"):
        return 0.0
    scale = chemistry.PARTS_PER_BILLION[unit] / chemistry.PARTS_PER_BILLION["wt%"]
    return _number(text, grid.rows[0][at], line, grid) * scale


def _errors(
    columns: _Columns,
    rows: Sequence[tuple[list[str], int]],
    table: pd.DataFrame,
    grid: cells.Grid,
) -> pd.DataFrame | None:
    """Turn columns of errors into one-sigma errors in wt%."""
    found = {}
    for oxide, (at, header) in columns.errors.items():
        if oxide not in table:
            raise DataError(f"{grid.source}: column {grid.rows[0][at]!r}, but no {oxide} itself.")
        raw = np.array([_number(row[at], grid.rows[0][at], line, grid) for row, line in rows])
        if header.role == "relative error":
            values = raw / 100 * table[oxide].to_numpy()
        else:
            unit = header.unit or columns.units[oxide]
            values = raw * chemistry.PARTS_PER_BILLION[unit] / chemistry.PARTS_PER_BILLION["wt%"]
        values = values / header.sigmas
        # An error of zero stands for none stated: a measurement always has one.
        found[oxide] = np.where(values == 0, math.nan, values)
    return pd.DataFrame(found, index=table.index) if found else None
