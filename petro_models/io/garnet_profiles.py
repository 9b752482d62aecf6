"""Read garnet profiles and ages from CSV files, with columns and units checked."""

from pathlib import Path

import pandas as pd
import xarray as xr

from petro_models.errors import DataError, FormatError, nearest
from petro_models.histories.data import garnet_profiles, zone_ages
from petro_models.histories.sections import BINS, garnet_section
from petro_models.thermodynamics.tables import COMPONENTS

RADIUS_UNITS = {"um": 1.0, "mm": 1000.0, "cm": 10000.0}
_PROFILE_COLUMNS = (
    "grain",
    *(f"r_{unit}" for unit in RADIUS_UNITS),
    *(f"X_{name}" for name in COMPONENTS),
    *(f"sd_{name}" for name in COMPONENTS),
)
_AGE_COLUMNS = ("grain", "r_um", "r_inner_um", "r_outer_um", "spot_um", "age_Ma", "sd_Ma")


def read_garnet_profiles(
    path: str | Path,
    *,
    columns: dict[str, str] | None = None,
    sd: float | dict[str, float] | None = None,
    rim_radius_um: dict[str, float] | None = None,
    number_density: dict[str, float] | None = None,
    ignore: list[str] | None = None,
) -> xr.Dataset:
    """Read profiles of one or several grains.

    Parameters
    ----------
    path
        Table (comma, semicolon or tab) with the columns ``r_um`` (or ``r_mm``, ``r_cm``; distance
        from the centre), ``X_alm X_prp X_grs X_sps`` (fractions, any of them), optionally
        ``grain`` and ``sd_alm`` ....
    columns
        Header in the file -> one of these names, for other headers.
    sd, rim_radius_um, number_density
        As in `petro_models.histories.data.garnet_profiles`.
    ignore
        Headers to leave out.

    Raises
    ------
    FormatError
        If the file is no CSV, or a column is unknown or does not hold numbers (file and line).
    DataError
        If the values cannot be a garnet profile.
    """
    file = Path(path)
    frame = read_columns(file, _PROFILE_COLUMNS, columns or {}, ignore or [])
    frame = take_radius(frame, file.name)
    return garnet_profiles(
        frame,
        sd=sd,
        rim_radius_um=rim_radius_um,
        number_density=number_density,
        source=file.name,
    )


def read_zone_ages(path: str | Path, profiles: xr.Dataset) -> xr.Dataset:
    """Read ages of points (``r_um``) or zones (``r_inner_um r_outer_um``) of the profiled grains.

    Parameters
    ----------
    path
        CSV with the columns ``age_Ma sd_Ma``, radii, ``spot_um`` (diameters of points) where they
        are known, and ``grain`` where there are several.
    profiles
        As `read_garnet_profiles` gives them.

    Raises
    ------
    FormatError
        As `read_garnet_profiles` does.
    DataError
        If an age lies outside its grain or is no age.
    """
    file = Path(path)
    frame = read_columns(file, _AGE_COLUMNS, {}, [])
    return zone_ages(frame, profiles, source=file.name)


def read_garnet_section(
    path: str | Path,
    *,
    columns: dict[str, str] | None = None,
    ignore: list[str] | None = None,
    bins: int = BINS,
    sd: float | dict[str, float] | None = None,
    section_radius_um: dict[str, float] | None = None,
    number_density: dict[str, float] | None = None,
) -> xr.Dataset:
    """Read pixels of garnet sections that may miss the centres, as profiles of rings.

    Parameters
    ----------
    path
        CSV with the columns ``rim_distance_um``, ``X_alm X_prp X_grs X_sps`` (any of them),
        optionally ``grain`` and ``sd_alm`` ...; one row a pixel.
    columns, ignore
        As in `read_garnet_profiles`.
    bins, sd, section_radius_um, number_density
        As in `petro_models.histories.sections.garnet_section`.

    Raises
    ------
    FormatError
        As `read_garnet_profiles` does.
    DataError
        If the values cannot be a section.
    """
    file = Path(path)
    known = ("rim_distance_um", *_PROFILE_COLUMNS)
    frame = read_columns(file, known, columns or {}, ignore or [])
    return garnet_section(
        frame,
        bins=bins,
        sd=sd,
        section_radius_um=section_radius_um,
        number_density=number_density,
        source=file.name,
    )


def _separator(file: Path) -> str:
    """Tell tabs and semicolons from commas by the first line that is no comment."""
    with file.open(encoding="utf-8-sig") as lines:
        first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return max(",\t;", key=first.count)


def take_radius(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Turn the one column of radii, in whatever unit, into ``r_um``.

    Raises
    ------
    FormatError
        If there is none or more than one.
    """
    given = [unit for unit in RADIUS_UNITS if f"r_{unit}" in frame]
    if len(given) != 1:
        found = "none" if not given else ", ".join(f"r_{unit}" for unit in given)
        raise FormatError(
            f"{source}: one column of radii is needed, r_um, r_mm or r_cm; found {found}"
        )
    (unit,) = given
    radius = frame[f"r_{unit}"].astype(float) * RADIUS_UNITS[unit]
    return frame.drop(columns=f"r_{unit}").assign(r_um=radius)


def read_columns(
    file: Path,
    known: tuple[str, ...] | None,
    columns: dict[str, str],
    ignore: list[str],
    words: tuple[str, ...] = ("grain",),
) -> pd.DataFrame:
    """Read a CSV whose columns are all known, numbers as numbers.

    Parameters
    ----------
    file
        Comma, semicolon or tab separated.
    known
        Names that columns may have; None: whoever reads on knows.
    columns, ignore
        Headers to rename, and to leave out.
    words
        Columns that hold text.

    Raises
    ------
    DataError
        If there is no such file.
    FormatError
        If it is no CSV, a column is unknown or does not hold numbers.
    """
    if not file.is_file():
        raise DataError(f"there is no file {file}")
    headers = {header for header, name in columns.items() if name in words} | set(words)
    try:
        frame = pd.read_csv(
            file,
            sep=_separator(file),
            comment="#",
            dtype=dict.fromkeys(headers, str),
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{file.name}: cannot be read as CSV: {error}") from error
    for header in columns:
        if header not in frame:
            raise FormatError(
                f"{file.name}: no column {header!r}; {nearest(header, map(str, frame.columns))}"
            )
    frame = frame.drop(columns=ignore, errors="ignore").rename(columns=columns)
    for header in map(str, frame.columns):
        if known is not None and header not in known:
            raise FormatError(
                f"{file.name}: column {header!r} is not known; {nearest(header, known)}. "
                "Name it with columns={...} or leave it out with ignore=[...]"
            )
        if header in words:
            continue
        numbers = pd.to_numeric(frame[header], errors="coerce")
        wrong = numbers.isna() & frame[header].notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise FormatError(
                f"{file.name}, row {row + 1} of the data, column {header!r}: "
                f"{frame[header].iloc[row]!r} is not a number"
            )
        frame[header] = numbers
    return frame
