"""A grid of cells turned so that samples are rows and species columns, whatever the file does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from petro_models.errors import DataError, FormatError, nearest
from petro_models.io import species as chemistry
from petro_models.io.cells import Grid

_HEADER_SEARCH_ROWS = 15


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its cells, and the line of the file (or 0 if it was a column there)."""

    cells: list[str]
    line: int = 0


@dataclass(frozen=True)
class Sheet:
    """Samples in rows, species in columns; `transposed` if the file has them the other way."""

    headers: list[str]
    rows: list[Row]
    source: str
    transposed: bool
    header_lines: list[int]
    notes: list[str] = field(default_factory=list)

    def column(self, name: str) -> int:
        """Give the number of the column with this header.

        Raises
        ------
        DataError
            If there is none, with the nearest header.
        """
        if name not in self.headers:
            what = "row" if self.transposed else "column"
            known = [header for header in self.headers if header]
            raise DataError(f"{self.source}: no {what} {name!r}; {nearest(str(name), known)}.")
        return self.headers.index(name)

    def place(self, row: Row, column: int | None = None) -> str:
        """Name a cell (or, without a column, a row) in terms of the file."""
        if not self.transposed:
            return f"{self.source}:{row.line}" + (
                f", column {self.headers[column]!r}" if column is not None else ""
            )
        name = f"column {row.cells[0]!r}"
        if column is None:
            return f"{self.source}, {name}"
        line = self.header_lines[column]
        return f"{self.source}:{line}, row {self.headers[column]!r}, {name}"


def orient(grid: Grid, elements_in: str | None) -> Sheet:
    """Find the header and turn the table if its elements stand in rows.

    Parameters
    ----------
    grid
        The cells of the file.
    elements_in
        "columns", "rows", or None to find out by counting species names.

    Raises
    ------
    DataError
        If a header stands twice, or `elements_in` is unknown.
    FormatError
        If there is a header only.
    """
    if elements_in not in (None, "columns", "rows"):
        raise DataError(
            f"elements_in={elements_in!r} is not known; "
            f"{nearest(str(elements_in), ['columns', 'rows'])}."
        )
    header = _header_row(grid)
    in_header = _count_species(grid.rows[header])
    in_first_column = _count_species([row[0] for row in grid.rows])
    if elements_in is None:
        elements_in = "rows" if in_first_column > in_header else "columns"
    sheet = _by_rows(grid) if elements_in == "rows" else _by_columns(grid, header)
    _check_headers(sheet)
    return sheet


def _by_columns(grid: Grid, header: int) -> Sheet:
    """Take the table as it stands, from the header on."""
    rows = [
        Row(cells, line)
        for cells, line in zip(grid.rows[header + 1 :], grid.lines[header + 1 :], strict=True)
    ]
    if not rows:
        raise FormatError(f"{grid.source}: a header only; no row of analyses below it.")
    headers = grid.rows[header]
    lines = [grid.lines[header]] * len(headers)
    return Sheet(headers, rows, grid.source, False, lines, [*grid.notes, *_skipped(grid, header)])


def _by_rows(grid: Grid) -> Sheet:
    """Turn a table whose first column holds the species."""
    header = next((i for i, row in enumerate(grid.rows) if sum(map(bool, row)) > 1), 0)
    body = grid.rows[header:]
    if len(body) < 2 or len(body[0]) < 2:
        raise FormatError(f"{grid.source}: a header only; no row of analyses below it.")
    kept = [(row, line) for row, line in zip(body, grid.lines[header:], strict=True)]
    headers = [row[0] for row, _ in kept]
    columns = [Row([headers_row[j] for headers_row, _ in kept]) for j in range(1, len(body[0]))]
    filled = [column for column in columns if any(column.cells)]
    notes = [*grid.notes, "elements stand in rows", *_skipped(grid, header)]
    return Sheet(headers, filled, grid.source, True, [line for _, line in kept], notes)


def _header_row(grid: Grid) -> int:
    """Find the header among the first rows: titles may stand above it."""
    counts = [_count_species(row) for row in grid.rows[:_HEADER_SEARCH_ROWS]]
    best = max(counts)
    return counts.index(best) if best >= 2 else 0


def _skipped(grid: Grid, header: int) -> list[str]:
    """Note the rows above the header."""
    return [
        f"line {line} above the header ignored: {' '.join(filter(None, row))}"
        for row, line in zip(grid.rows[:header], grid.lines[:header], strict=True)
    ]


def _count_species(texts: Sequence[str]) -> float:
    """Count species names; single letters and misspellings, which may be labels, count little."""
    count = 0.0
    for text in texts:
        try:
            header = chemistry.read_header(text)
        except DataError:
            count += 0.1
            continue
        if header.role == "species":
            count += 1.0 if len(header.species) > 1 or header.unit else 0.1
    return count


def _check_headers(sheet: Sheet) -> None:
    """Refuse headers that stand twice; drop columns without header and content from view."""
    first: dict[str, int] = {}
    what = "row" if sheet.transposed else "column"
    for number, header in enumerate(sheet.headers):
        if header and header in first:
            raise DataError(
                f"{sheet.source}:{sheet.header_lines[number]}: {what} name {header!r} stands "
                f"twice ({what}s {first[header] + 1} and {number + 1}); rename or remove one."
            )
        first.setdefault(header, number)
        if not header and number > 0 and any(row.cells[number] for row in sheet.rows):
            sheet.notes.append(f"{what} {number + 1} has no name: ignored")
