"""Where the analyses, labels, units and limits stand in a whole-rock table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petro_models.errors import DataError, nearest
from petro_models.io import cells
from petro_models.io import species as chemistry
from petro_models.io.sheets import Row, Sheet

Protolith = str | int | Sequence[str | int] | Mapping[str, object]
"""Labels of the unaltered rock, or {column: value}."""


@dataclass(frozen=True)
class Columns:
    """The columns that hold analyses: species -> column number, and what error columns say."""

    values: dict[str, int]
    headers: dict[str, chemistry.Header]
    errors: dict[str, tuple[int, chemistry.Header]]


@dataclass(frozen=True)
class Body:
    """The rows that hold analyses, their labels, and the rows of units and limits."""

    rows: list[Row]
    labels: list[str]
    unit_row: Row | None
    limit_row: Row | None


def used_columns(
    table: Sheet,
    protolith: Protolith,
    sample_column: str | Sequence[str] | None,
    others: Sequence[str | None],
) -> list[str]:
    """List the columns that arguments name, after checking that they exist."""
    by_label = as_list(sample_column)
    if table.transposed and by_label:
        raise DataError(
            f"{table.source}: elements are in rows, so the samples are the column names; leave "
            "sample_column out."
        )
    marking = list(protolith) if isinstance(protolith, Mapping) else []
    used = [*by_label, *marking, *(name for name in others if name is not None)]
    for name in used:
        table.column(name)
    return used


def as_list(names: str | Sequence[str] | None) -> list[str]:
    """Give one name, several or none as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def read_columns(
    table: Sheet, labelling: Sequence[int], used: Sequence[str], ignored: Sequence[str]
) -> Columns:
    """Sort the columns into species, errors and others; note what is left out."""
    columns = Columns({}, {}, {})
    others: list[str] = []
    for number, text in enumerate(table.headers):
        if not text or number in labelling or text in used or text in ignored:
            continue
        try:
            header = chemistry.read_header(text)
        except DataError as error:
            raise DataError(f"{table.source}: {error}") from None
        if header.species in ignored and header.role != "other":
            continue
        if header.role == "total":
            table.notes.append(f"column {text!r} ignored (a sum)")
        elif header.role == "other":
            others.append(text)
        else:
            _file_column(table, columns, number, header)
            table.notes.extend([header.note] if header.note else [])
    if not any(header.role == "species" for header in columns.headers.values()):
        raise DataError(
            f"{table.source}: no column is a species; headers like 'SiO2 wt%' or 'Zr ppm' are "
            f"needed. Found: {', '.join(table.headers[:12])}"
        )
    if ignored:
        table.notes.append(f"left out by the argument ignore: {', '.join(ignored)}")
    if others:
        table.notes.append(f"columns ignored (no species): {', '.join(others)}")
    return columns


def _file_column(table: Sheet, columns: Columns, number: int, header: chemistry.Header) -> None:
    """Put one column in its place, refusing a second one for the same species."""
    name = header.species
    is_error = header.role in ("absolute error", "relative error")
    taken = columns.errors[name][0] if is_error and name in columns.errors else None
    if not is_error:
        taken = columns.values.get(name)
    if taken is not None:
        pair = (table.headers[taken], table.headers[number])
        raise DataError(
            f"{table.source}: columns {pair[0]!r} and {pair[1]!r} both give {name}; leave one out "
            f"with ignore=[{pair[1]!r}]."
        )
    if is_error:
        columns.errors[name] = (number, header)
    else:
        columns.values[name] = number
        columns.headers[name] = header


def read_rows(
    table: Sheet, columns: Columns, labelling: Sequence[int], ignored: Sequence[str]
) -> Body:
    """Sort the rows into samples, units, limits and texts, and label the samples."""
    rows, labels = [], []
    unit_row = limit_row = None
    for number, row in enumerate(table.rows):
        label = " ".join(row.cells[column] for column in labelling).strip()
        if label and label in ignored:
            continue
        if unit_row is None and _is_unit_row(table, columns, row, label, number):
            unit_row = row
        elif labelling and re.sub(r"[^a-z]", "", label.casefold()) in _LIMIT_LABELS:
            limit_row = row
        elif not any(row.cells[column] for column in columns.values.values()):
            table.notes.append(f"{table.place(row)} ignored (no analysis): {label}")
        else:
            rows.append(row)
            labels.append(label)
    if not labelling:
        labels = [str(number) for number in range(1, len(rows) + 1)]
        table.notes.append("no column of sample labels: rows numbered from 1")
    _check_ignored(table, columns, ignored, labelling)
    if not rows:
        raise DataError(f"{table.source}: no row holds an analysis (a header only).")
    _check_labels(table, rows, labels)
    return Body(rows, labels, unit_row, limit_row)


_LABEL_HEADERS = (
    *("sample", "samples", "sampleid", "samplename", "sampleno", "samplenumber", "samplelabel"),
    *("specimen", "label", "name", "id"),
)
_LIMIT_LABELS = (
    *("detectionlimit", "detectionlimits", "limitofdetection", "detlimit"),
    *("dl", "lod", "lld", "mdl"),
)


def label_columns(
    table: Sheet, sample_column: str | Sequence[str] | None, used: Sequence[str]
) -> list[int]:
    """Find the columns whose texts label the samples; none: the rows get numbers."""
    if sample_column is not None:
        return [table.column(name) for name in as_list(sample_column)]
    if table.transposed:
        return [0]
    folded = [re.sub(r"[^a-z]", "", header.casefold()) for header in table.headers]
    for name in _LABEL_HEADERS:
        if name in folded:
            return [folded.index(name)]
    if not chemistry.looks_like_species(table.headers[0]) and table.headers[0] not in used:
        table.notes.append(f"sample labels taken from the first column, {table.headers[0]!r}")
        return [0]
    return []


def _is_unit_row(table: Sheet, columns: Columns, row: Row, label: str, number: int) -> bool:
    """Whether a row states units: called 'unit...', or of unit spellings right below the header."""
    texts = [row.cells[column] for column in columns.values.values() if row.cells[column]]
    if not texts or any(cells.parse_number(text) is not None for text in texts):
        return False
    if re.match(r"units?($|[\s_(\[])", label.casefold()):
        return True
    known = sum(chemistry.unit_of(text) is not None for text in texts)
    return number == 0 and not table.transposed and 2 * known >= len(texts)


def _check_ignored(
    table: Sheet, columns: Columns, ignored: Sequence[str], labelling: Sequence[int]
) -> None:
    """Raise if something to be ignored is not there: it is probably misspelt."""
    labels = [" ".join(row.cells[column] for column in labelling) for row in table.rows]
    species = []
    for header in table.headers:
        try:
            species.append(chemistry.read_header(header).species)
        except DataError:
            continue  # a misspelt header that is itself ignored
    known = [name for name in [*table.headers, *species, *labels] if name]
    for name in ignored:
        if name not in known:
            choices = list(dict.fromkeys([*filter(None, table.headers), *filter(None, labels)]))
            raise DataError(
                f"{table.source}: ignore={name!r} is neither a column nor a sample; "
                f"{nearest(str(name), choices)}."
            )


def _check_labels(table: Sheet, rows: Sequence[Row], labels: Sequence[str]) -> None:
    """Refuse blank and repeated sample labels."""
    first_use: dict[str, Row] = {}
    for row, label in zip(rows, labels, strict=True):
        if not label:
            raise DataError(f"{table.place(row)}: the row has analyses but no sample label.")
        if label in first_use:
            raise DataError(
                f"{table.place(row)}: sample label {label!r} stands there already at "
                f"{table.place(first_use[label])}. Give every sample its own label, or join "
                "columns that are unique together, such as sample_column=['Site', 'Depth']."
            )
        first_use[label] = row
