"""Text tables as grids of cells (CSV, TSV, semicolons, Excel), and what one cell says."""

import csv
import io
import math
import re
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import openpyxl

from petro_models.errors import DataError, FormatError, nearest

ZEROS = ("error", "below_detection", "missing")
"""What a zero concentration may mean."""

ACCEPTED = (
    "a number (no thousands separators), '<0.5' (below that limit), 'bdl' (below the limit given "
    "by detection_limits), blank, 'n.d.', 'n.a.' or '-' (missing)"
)


@dataclass(frozen=True)
class Grid:
    """A rectangle of stripped cell texts with the line of the file each row stands on."""

    rows: list[list[str]]
    lines: list[int]
    source: str
    notes: tuple[str, ...] = ()


def read_grid(path: str | Path, sheet: str | None = None) -> Grid:
    """Read a delimited text file or an Excel sheet into a grid of texts.

    Parameters
    ----------
    path
        File: comma, semicolon, tab or bar separated text, or .xlsx.
    sheet
        Excel sheet; the first one if None.

    Raises
    ------
    FormatError
        If there is no such file, or it is not a table.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{file}: cannot be read ({reason}). Give the path of a table.") from None
    if content.startswith(b"PK\x03\x04") or file.suffix.lower() in (".xlsx", ".xlsm"):
        grid = _read_excel(content, file.name, sheet)
    elif content.startswith(b"\xd0\xcf\x11\xe0") or file.suffix.lower() == ".xls":
        raise FormatError(f"{file.name}: an old Excel file (.xls); save it as .xlsx or CSV.")
    elif sheet is not None:
        raise FormatError(f"{file.name}: sheet={sheet!r} is given, but a text file has no sheets.")
    else:
        grid = _read_text(content, file.name)
    if not any(any(row) for row in grid.rows):
        raise FormatError(f"{grid.source}: the table is empty.")
    return _with_decimal_points(grid)


def read_cell(
    cell: object, limit: float | None = None, zeros: str = "error"
) -> tuple[float, float]:
    """Read one concentration.

    Parameters
    ----------
    cell
        Number or text, such as 45.6, "45.6", "<0.5", "bdl", "n.d.", "" or NaN.
    limit
        Detection limit of the species for cells that state none.
    zeros
        What a zero means: "error", "below_detection" or "missing".

    Returns
    -------
    Concentration and detection limit; the limit is finite exactly where the cell is below
    detection, the concentration exactly where it is measured; both are NaN for a missing cell.

    Raises
    ------
    DataError
        If the cell is none of the accepted things; the message has no place in it.
    """
    text = _tidy(cell)
    if is_missing(text):
        return math.nan, math.nan
    if _letters(text) in _BELOW_DETECTION:
        return math.nan, _limit_for(repr(text), limit)
    if text[0] in "<≤":
        bound = parse_number(text[1:].lstrip("= "))
        if bound is None or bound <= 0:
            raise DataError(f"{text!r} states no positive detection limit. Accepted: {ACCEPTED}.")
        return math.nan, bound
    value = parse_number(text)
    if value is None:
        raise DataError(f"{text!r} is not a number. Accepted: {ACCEPTED}.")
    if value < 0:
        raise DataError(
            f"{text!r} is negative, which no concentration can be. If it marks a value below "
            "detection, write '<limit'; if it marks a missing one, leave the cell blank."
        )
    return (value, math.nan) if value > 0 else _read_zero(limit, zeros)


def parse_number(text: str) -> float | None:
    """Read a finite decimal number, or give None."""
    clean = text.strip().replace("\u2212", "-")
    if not _NUMBER.fullmatch(clean):
        return None
    value = float(clean)
    return value if math.isfinite(value) else None


def is_missing(text: str) -> bool:
    """Whether a text stands for a value that is not there."""
    return _letters(text) in _MISSING


def check_zeros(zeros: str) -> None:
    """Raise DataError unless `zeros` is one of the allowed policies."""
    if zeros not in ZEROS:
        raise DataError(f"zeros={zeros!r} is not known; {nearest(str(zeros), ZEROS)}.")


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[<≤]?\s*[+\-\u2212]?\d+,\d+([eE][+-]?\d{1,3})?", re.ASCII)
_POINT_NUMBER = re.compile(r"[<≤]?\s*[+\-\u2212]?\d*\.\d+([eE][+-]?\d{1,3})?", re.ASCII)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MISSING = {
    "",
    "nan",
    "<na>",
    "nd",
    "n/d",
    "na",
    "n/a",
    "#n/a",
    "none",
    "null",
    "-",
    "--",
    "—",
    "–",
}
_BELOW_DETECTION = {
    *("bdl", "bd", "bld", "belowdetection", "belowdetectionlimit"),
    *("<dl", "<lod", "<lld", "<mdl", "<bdl", "<ld", "<detection", "<detectionlimit"),
}


def _letters(text: str) -> str:
    """Fold 'b. d. l.' and 'BDL' together."""
    return re.sub(r"[\s.]+", "", text.casefold()) if text != "." else "-"


def _tidy(cell: object) -> str:
    """Give a cell as text; None, NaN and NA become blank."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return unicodedata.normalize("NFKC", str(cell)).strip()


def _limit_for(what: str, limit: float | None) -> float:
    """Give the detection limit, or say how to state one."""
    if limit is None:
        raise DataError(
            f"{what} says the value is below detection, but not below which limit. State it with "
            "detection_limits={species: value}, in a row labelled 'detection limit', or in the "
            "cell as '<0.5'."
        )
    return limit


def _read_zero(limit: float | None, zeros: str) -> tuple[float, float]:
    """Read a zero by the chosen policy."""
    if zeros == "missing":
        return math.nan, math.nan
    if zeros == "below_detection":
        return math.nan, _limit_for("a zero, read as zeros='below_detection',", limit)
    raise DataError(
        "zero is not a possible concentration. If zeros stand for values below detection, pass "
        "zeros='below_detection' with detection_limits={species: value}; if they stand for "
        "missing ones, zeros='missing'."
    )


def _read_text(content: bytes, name: str) -> Grid:
    """Decode and split a delimited text file."""
    text, notes = _decode(content, name)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    best: list[tuple[int, list[str]]] = []
    best_score = (0.0, 0)
    for delimiter in "\t;,|":
        rows = _split(text, delimiter, name)
        score = _regularity(rows)
        if score > best_score:
            best, best_score = rows, score
    if not text.strip():
        raise FormatError(f"{name}: the file is empty.")
    if not best:
        raise FormatError(
            f"{name}: no columns found; a table has cells separated by commas, semicolons, tabs "
            "or bars."
        )
    return _rectangular(best, name, notes)


def _decode(content: bytes, name: str) -> tuple[str, list[str]]:
    """Turn bytes into text, trying the encodings that spreadsheets write."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if "\0" in text:
            break
        notes = [] if encoding == "utf-8-sig" else [f"file is not UTF-8; read as {encoding}"]
        return text, notes
    raise FormatError(f"{name}: not a text table (binary content); give a CSV, TSV or .xlsx file.")


def _split(text: str, delimiter: str, name: str) -> list[tuple[int, list[str]]]:
    """Split text into rows of stripped cells, each with its line number; blank rows left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    first_line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((first_line, cells))
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(f"{name}:{reader.line_num}: not a readable table ({error}).") from None
    return rows


def _regularity(rows: list[tuple[int, list[str]]]) -> tuple[float, int]:
    """Score a way of splitting: the share of rows with the usual number of cells (at least 2)."""
    widths = Counter(len(cells) for _, cells in rows if len(cells) > 1)
    if not widths:
        return (0.0, 0)
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    return (count / len(rows), width)


def _rectangular(rows: list[tuple[int, list[str]]], name: str, notes: list[str]) -> Grid:
    """Refuse rows cut short or too long; a row of one filled cell (title, footnote) is padded."""
    widths = Counter(len(cells) for _, cells in rows if len(cells) > 1)
    width = max(widths.items(), key=lambda item: (item[1], item[0]))[0]
    filled: list[list[str]] = []
    lines: list[int] = []
    for line, cells in rows:
        if not filled and cells[0].startswith("#") and len(cells) != width:
            continue  # a comment above the table
        while len(cells) > width and not cells[-1]:
            cells = cells[:-1]
        is_text_only = not any(cells[1:])
        if len(cells) != width and not is_text_only:
            raise FormatError(
                f"{name}:{line}: {len(cells)} cells, but the table has {width} columns. Correct "
                "the line (a missing or extra separator, or a comma inside a cell)."
            )
        filled.append((cells + [""] * width)[:width])
        lines.append(line)
    return Grid(filled, lines, name, tuple(notes))


def _read_excel(content: bytes, name: str, sheet: str | None) -> Grid:
    """Read one sheet of an Excel workbook."""
    values, formulas = (_open_workbook(content, name, stored) for stored in (True, False))
    sheets = [title for title in values.sheetnames if hasattr(values[title], "iter_rows")]
    if not sheets:
        raise FormatError(f"{name}: the workbook has no sheet with cells.")
    if sheet is not None and sheet not in sheets:
        raise FormatError(f"{name}: no sheet {sheet!r}; {nearest(str(sheet), sheets)}.")
    title = sheet if sheet is not None else sheets[0]
    others = [other for other in sheets if other != title]
    notes = [f"sheet {title!r} read, not {', '.join(map(repr, others))}"] if others else []
    source = f"{name}[{title}]"
    rows, lines = [], []
    for value_row, formula_row in zip(
        values[title].iter_rows(), formulas[title].iter_rows(), strict=False
    ):
        cells = [
            _excel_text(
                value.value, formula.value, f"{source}:{value.row}, cell {value.coordinate}"
            )
            for value, formula in zip(value_row, formula_row, strict=False)
        ]
        if any(cells):
            rows.append(cells)
            lines.append(value_row[0].row)
    width = max((max(i + 1 for i, cell in enumerate(row) if cell) for row in rows), default=0)
    return Grid([row[:width] for row in rows], lines, source, tuple(notes))


def _open_workbook(content: bytes, name: str, stored_values: bool) -> openpyxl.Workbook:
    """Open a workbook; whatever openpyxl trips over is a damaged file to us."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(io.BytesIO(content), data_only=stored_values)
    except Exception as error:
        raise FormatError(
            f"{name}: not a readable Excel workbook ({type(error).__name__}). Save it again as "
            ".xlsx or CSV."
        ) from error


def _excel_text(value: object, formula: object, where: str) -> str:
    """Give an Excel cell as text; a formula that was never calculated is an error, not a gap."""
    if value is None:
        if isinstance(formula, str) and formula.startswith("="):
            raise FormatError(
                f"{where}: a formula without a stored result. Open and save the file in a "
                "spreadsheet program, or paste values."
            )
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def _with_decimal_points(grid: Grid) -> Grid:
    """Read decimal commas, if the table has them and no decimal point."""
    cells = [cell for row in grid.rows for cell in row]
    commas = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    if not commas or any(_POINT_NUMBER.fullmatch(cell) for cell in cells):
        return grid
    if all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise FormatError(
            f"{grid.source}: {commas[0]!r} may be a decimal comma or a thousands separator. Write "
            "the numbers with decimal points and without separators."
        )
    rows = [
        [cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell for cell in row]
        for row in grid.rows
    ]
    return replace(grid, rows=rows, notes=(*grid.notes, "decimal commas read as decimal points"))
