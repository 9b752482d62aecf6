"""Read whole-rock tables (CSV, TSV, Excel) into the schema of mass transfer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

# Imported as a module: petro_models.io may be imported while mass_transfer is being imported.
import petro_models.mass_transfer.data as mass_data
from petro_models.errors import DataError, nearest
from petro_models.io import cells
from petro_models.io import species as chemistry
from petro_models.io.mass_layout import (
    Body,
    Columns,
    Protolith,
    label_columns,
    read_columns,
    read_rows,
    used_columns,
)
from petro_models.io.sheets import Row, Sheet, orient


def read_mass_table(
    path: str | Path,
    protolith: Protolith,
    *,
    sample_column: str | Sequence[str] | None = None,
    units: str | Mapping[str, str] | None = None,
    errors: float | Mapping[str, float] | None = None,
    detection_limits: Mapping[str, float] | None = None,
    zeros: str = "error",
    density: str | None = None,
    distance: str | None = None,
    distance_unit: str | None = None,
    profile: str | None = None,
    ignore: str | Sequence[str] = (),
    elements_in: str | None = None,
    sheet: str | None = None,
    totals: str = "check",
) -> xr.Dataset:
    """Read a table of whole-rock analyses of a protolith and of altered rocks.

    Nothing is guessed silently: every decision stands in ``attrs["notes"]`` of the result, and
    what cannot be decided (a species without a unit, a zero, a text) is an error that names file,
    line, column and sample.

    Parameters
    ----------
    path
        CSV, TSV or semicolon-separated text (decimal commas too), or .xlsx.
    protolith
        Label or labels of the unaltered rock, or {column: value} that marks its rows.
    sample_column
        Column of the sample labels, or several whose texts together are unique. By default a
        column called "sample" or the like, else the first column if it is no species.
    units
        Unit ("wt%", "ppm", "ppb") of columns that state none, or a mapping species -> unit.
        Units are read from headers ("SiO2 (wt%)", "Zr_ppm"), from a row of units below the
        header, or from a column "unit" where elements are in rows.
    errors
        One-sigma relative error (0.02 = 2 %), one for all or per species. Columns beside the
        species are read as well: "Zr_1s", "Zr_2s", "Zr_err" (absolute), "Zr_rsd%" (percent).
    detection_limits
        Species -> limit in its unit, for cells "bdl" (and zeros, if they mean that). A row
        labelled "detection limit" does the same.
    zeros
        What a zero means: "error", "below_detection" or "missing".
    density, distance, profile
        Columns of density (g/cm3), of position along a traverse and of the traverse's name.
    distance_unit
        Unit of `distance`, such as "cm".
    ignore
        Headers, species or sample labels to leave out.
    elements_in
        "columns" or "rows"; found from the names if None.
    sheet
        Excel sheet; the first one if None.
    totals
        "check" that major elements add up to 85-110 wt%, or "ignore".

    Returns
    -------
    xr.Dataset
        Dims `sample`, `protolith`, `element`; see
        `petro_models.mass_transfer.data.validate_mass_table`.

    Raises
    ------
    FormatError
        If the file cannot be read as a table.
    DataError
        If its content cannot be used as it stands.
    """
    cells.check_zeros(zeros)
    table = orient(cells.read_grid(path, sheet), elements_in)
    used = used_columns(table, protolith, sample_column, (density, distance, profile))
    ignored = [ignore] if isinstance(ignore, str) else list(ignore)
    labelling = label_columns(table, sample_column, used)
    columns = read_columns(table, labelling, used, ignored)
    body = read_rows(table, columns, labelling, ignored)
    settled = _settle_units(table, columns, body.unit_row, units)
    limits = _limits(table, columns, body, detection_limits)
    is_parent = _is_protolith(table, body, protolith)
    reading = _CellReading(table, columns, body, limits, zeros)
    relative = _errors(reading, errors, settled)
    frame = _raw_frame(columns, body, settled)
    parents = [label for label, chosen in zip(body.labels, is_parent, strict=True) if chosen]
    altered = [label for label in body.labels if label not in set(parents)]
    by_table = isinstance(relative, pd.DataFrame)
    densities = _numbers(table, body, density)
    distances = _numbers(table, body, distance)
    return mass_data.mass_table(
        frame.loc[altered],
        frame.loc[parents],
        {},
        relative_errors=relative.loc[altered] if by_table else relative,  # type: ignore[union-attr]
        protolith_relative_errors=relative.loc[parents] if by_table else relative,  # type: ignore[union-attr]
        detection_limits=limits,
        zeros=zeros,
        totals=totals,
        density=densities,
        protolith_density=densities,
        distance=distances,
        distance_unit=distance_unit,
        profile=_texts(table, body, profile),
        source=table.source,
        notes=table.notes,
        where=reading.where,
    )


@dataclass(frozen=True)
class _CellReading:
    """Reads single cells and names their place in messages."""

    table: Sheet
    columns: Columns
    body: Body
    limits: Mapping[str, float]
    zeros: str

    def where(self, label: str, species: str) -> str:
        """Name the place of one cell, or of the whole row for species ''."""
        row = self.body.rows[self.body.labels.index(label)]
        return f"{self.table.place(row, self.columns.values.get(species))}, sample {label!r}"

    def value(self, label: str, species: str) -> float:
        """Read one concentration."""
        text = self.body.rows[self.body.labels.index(label)].cells[self.columns.values[species]]
        try:
            return cells.read_cell(text, self.limits.get(species), self.zeros)[0]
        except DataError as error:
            raise DataError(f"{self.where(label, species)}: {error}") from None


def _settle_units(
    table: Sheet,
    columns: Columns,
    unit_row: Row | None,
    stated: str | Mapping[str, str] | None,
) -> dict[str, str]:
    """Find the unit of every species: header, row of units, argument."""
    below = _units_below(table, columns, unit_row)
    own = {name: columns.headers[name].unit or below.get(name) for name in columns.values}
    in_header = [name for name in columns.values if columns.headers[name].unit]
    sources = {"headers": in_header, "the row of units": [n for n in below if n not in in_header]}
    if "LOI" in own:
        own["LOI"] = "wt%"
    units, notes = chemistry.settle_units(own, stated, table.source)
    for source, names in sources.items():
        if names:
            table.notes.append(f"units of {', '.join(names)} taken from {source}")
    table.notes.extend(note.replace("the caller", "the argument units") for note in notes)
    return units


def _units_below(table: Sheet, columns: Columns, unit_row: Row | None) -> dict[str, str]:
    """Read the row of units; a header that says otherwise is an error."""
    if unit_row is None:
        return {}
    units = {}
    for name, number in columns.values.items():
        text = unit_row.cells[number]
        if cells.is_missing(text):
            continue
        units[name] = chemistry.canonical_unit(text, table.place(unit_row, number))
        if columns.headers[name].unit not in (None, units[name]):
            raise DataError(
                f"{table.place(unit_row, number)}: the header says {columns.headers[name].unit}, "
                f"the row of units {units[name]}; correct one of them."
            )
    return units


def _limits(
    table: Sheet, columns: Columns, body: Body, stated: Mapping[str, float] | None
) -> dict[str, float]:
    """Join the limits of a row 'detection limit' with those the caller states, which win."""
    place = f"{table.source}, argument detection_limits"
    given = {
        chemistry.canonical_species(name, columns.values, place): limit
        for name, limit in (stated or {}).items()
    }
    limits = _limits_in_row(table, columns, body.limit_row)
    over = [name for name in given if name in limits and given[name] != limits[name]]
    if over:
        table.notes.append(f"detection limits of {', '.join(over)} by argument, not by the row")
    return limits | given


def _limits_in_row(table: Sheet, columns: Columns, row: Row | None) -> dict[str, float]:
    """Read a row of detection limits."""
    if row is None:
        return {}
    limits = {}
    for name, number in columns.values.items():
        text = row.cells[number].lstrip("<≤ ")
        limit = cells.parse_number(text)
        if not cells.is_missing(text) and (limit is None or limit <= 0):
            raise DataError(
                f"{table.place(row, number)}: {text!r} is not a detection limit; give a positive "
                "number or leave the cell blank."
            )
        if limit is not None:
            limits[name] = limit
    table.notes.append(f"{table.place(row)}: detection limits taken from this row")
    return limits


def _is_protolith(table: Sheet, body: Body, protolith: Protolith) -> list[bool]:
    """Mark the rows of the protolith."""
    if isinstance(protolith, Mapping):
        chosen = [
            all(_same(row.cells[table.column(str(c))], value) for c, value in protolith.items())
            for row in body.rows
        ]
        if not any(chosen):
            column, value = next(iter(protolith.items()), ("", ""))
            found = dict.fromkeys(row.cells[table.column(str(column))] for row in body.rows)
            raise DataError(
                f"{table.source}: no row has {dict(protolith)!r} to mark the protolith; "
                f"column {column!r} holds {nearest(str(value), found)}."
            )
    else:
        wanted = [protolith] if isinstance(protolith, str | int) else list(protolith)
        for label in wanted:
            if str(label) not in body.labels:
                raise DataError(
                    f"{table.source}: no sample {str(label)!r} to be the protolith; "
                    f"{nearest(str(label), body.labels)}."
                )
        names = {str(label) for label in wanted}
        chosen = [label in names for label in body.labels]
    if not any(chosen):
        raise DataError(f"{table.source}: no protolith is named; Allowed: {', '.join(body.labels)}")
    if all(chosen):
        raise DataError(f"{table.source}: every row is protolith; no altered rock is left.")
    return chosen


def _same(text: str, value: object) -> bool:
    """Whether a cell holds a value; numbers are compared as numbers, True as 1 or 'true'."""
    if isinstance(value, bool):
        return text.casefold() in (("true", "1", "yes") if value else ("false", "0", "no"))
    number, wanted = cells.parse_number(text), cells.parse_number(str(value))
    if number is not None and wanted is not None:
        return number == wanted
    return text == str(value).strip()


def _errors(
    reading: _CellReading, stated: float | Mapping[str, float] | None, units: Mapping[str, str]
) -> float | Mapping[str, float] | pd.DataFrame | None:
    """Join error columns with stated errors; both for one species is an error."""
    table, columns = reading.table, reading.columns
    found = {name: entry for name, entry in columns.errors.items() if name in columns.values}
    for name in columns.errors.keys() - found.keys():
        header = table.headers[columns.errors[name][0]]
        table.notes.append(f"column {header!r} ignored: {name} is not in the table")
    if not found:
        return stated
    given: dict[str, float] = {}
    if isinstance(stated, Mapping):
        place = f"{table.source}, argument errors"
        given = {
            chemistry.canonical_species(name, columns.values, place): mass_data.check_fraction(
                error, f"{place}[{name!r}]"
            )
            for name, error in stated.items()
        }
    both = list(found) if stated is not None and not given else [n for n in found if n in given]
    if both:
        header = table.headers[found[both[0]][0]]
        raise DataError(
            f"{table.source}: errors of {both[0]} are given twice, by column {header!r} and by the "
            f"argument errors. Take one away, for example with ignore=[{header!r}]."
        )
    table.notes.append(f"errors of {', '.join(found)} taken from columns beside them")
    frame = pd.DataFrame(math.nan, index=reading.body.labels, columns=[*given, *found])
    for name, error in given.items():
        frame[name] = error
    for name, (number, header_) in found.items():
        frame[name] = [
            _relative_error(reading, label, name, number, header_, units[name])
            for label in reading.body.labels
        ]
    return frame


def _relative_error(
    reading: _CellReading,
    label: str,
    species: str,
    number: int,
    header: chemistry.Header,
    unit: str,
) -> float:
    """Turn one error cell into a one-sigma relative error; NaN where there is none."""
    row = reading.body.rows[reading.body.labels.index(label)]
    text = row.cells[number].lstrip("±").strip()
    value = reading.value(label, species)
    if cells.is_missing(text) or math.isnan(value):
        return math.nan
    error = cells.parse_number(text.removesuffix("%").strip())
    if error is None or error <= 0:
        raise DataError(
            f"{reading.table.place(row, number)}, sample {label!r}: {text!r} is not an error of "
            "measurement; give a positive number, or leave the cell blank."
        )
    if header.role == "relative error":
        return error / 100 / header.sigmas
    scale = chemistry.PARTS_PER_BILLION
    return error * scale[header.unit or unit] / scale[unit] / header.sigmas / value


def _raw_frame(columns: Columns, body: Body, units: Mapping[str, str]) -> pd.DataFrame:
    """Give the cells of all samples as texts, with species and unit as column names."""
    # The builder reads the unit back from the name, so that no unit travels apart from its column.
    names = [name if name == "LOI" else f"{name} {units[name]}" for name in columns.values]
    texts = [[row.cells[number] for number in columns.values.values()] for row in body.rows]
    return pd.DataFrame(texts, index=body.labels, columns=names, dtype=object)


def _numbers(table: Sheet, body: Body, column: str | None) -> pd.Series | None:
    """Read a numeric column (density, distance) by sample label; NaN where it is blank."""
    if column is None:
        return None
    number = table.column(column)
    values = []
    for row, label in zip(body.rows, body.labels, strict=True):
        value = cells.parse_number(row.cells[number])
        if value is None and not cells.is_missing(row.cells[number]):
            raise DataError(
                f"{table.place(row, number)}, sample {label!r}: {row.cells[number]!r} is not a "
                "number; correct it, or leave the cell blank if it is not known."
            )
        values.append(math.nan if value is None else value)
    return pd.Series(values, index=body.labels, name=column)


def _texts(table: Sheet, body: Body, column: str | None) -> pd.Series | None:
    """Read a column of labels (profile) by sample label."""
    if column is None:
        return None
    number = table.column(column)
    return pd.Series([row.cells[number] for row in body.rows], index=body.labels, name=column)
