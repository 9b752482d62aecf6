"""Read inclusions in garnet from CSV or TOML files, with columns, numbers and units checked."""

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from petro_models.errors import DataError, FormatError
from petro_models.histories.inclusions import garnet_inclusions
from petro_models.io.garnet_profiles import read_columns, take_radius

WORDS = ("grain", "inclusion", "barometer")
"""Columns that hold text."""


def read_inclusions(
    path: str | Path,
    *,
    columns: dict[str, str] | None = None,
    rim_radius_um: dict[str, float] | None = None,
    ignore: list[str] | None = None,
) -> xr.Dataset:
    """Read inclusions in garnet, one equilibrium a row.

    Parameters
    ----------
    path
        CSV (comma, semicolon or tab) with the columns ``r_um`` (or ``r_mm``, ``r_cm``; distance
        from the grain's centre), ``barometer`` and the inputs it needs with their errors, as in
        `petro_models.histories.inclusions.garnet_inclusions`; cells that a barometer does not need
        stay empty. Or TOML with one table ``[[inclusion]]`` per row and the same names as keys.
    columns
        Header in the file -> one of these names, for other headers.
    rim_radius_um
        Grain -> radius of its rim, where there are no profiles.
    ignore
        Headers to leave out.

    Returns
    -------
    xr.Dataset
        As `petro_models.histories.inclusions.validate_inclusions` wants it.

    Raises
    ------
    FormatError
        If the file is neither, or a column does not hold numbers (file and row).
    DataError
        If a column, barometer or value cannot be used.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no file {file}")
    if file.suffix == ".toml":
        frame = (
            _rows(file).drop(columns=ignore or [], errors="ignore").rename(columns=columns or {})
        )
    else:
        frame = read_columns(file, None, columns or {}, ignore or [], WORDS)
    frame = take_radius(frame, file.name)
    return garnet_inclusions(frame, rim_radius_um=rim_radius_um, source=file.name)


def _rows(file: Path) -> pd.DataFrame:
    """Read the tables ``[[inclusion]]`` of a TOML file."""
    try:
        document: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{file.name}: not valid TOML: {error}") from error
    rows = document.get("inclusion")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise FormatError(f"{file.name}: no inclusions: write one table [[inclusion]] for each")
    for number, row in enumerate(rows, start=1):
        for key, value in row.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if key not in WORDS and not is_number:
                raise FormatError(
                    f"{file.name}, inclusion {number}, {key}: {value!r} is not a number"
                )
    # A label of inclusions is the key `inclusion` of its own table.
    return pd.DataFrame(rows)
