"""Cameca maps exported as text: a header of keys, then a matrix of counts."""

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from petro_models.errors import DataError, FormatError
from petro_models.io.epma_matrix import check_shape, in_file, text_matrix, whole_counts
from petro_models.io.epma_parts import (
    MapParts,
    element_symbol,
    is_electron_signal,
    one_value,
    whole_number,
)
from petro_models.io.epma_source import Source, decode

FORMAT = "Cameca text maps"

_KEYS = (
    "start x",
    "start y",
    "step number",
    "line number",
    "step size",
    "dwell time",
    "image",
    "y unit",
    "beam current",
)
_FEWEST_KEYS = 4
_SUFFIXES = (".txt", ".asc", ".csv", ".dat")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SECONDS = {"ms": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_COUNT_UNITS = ("", "counts", "count", "cts", "c", "cnts")
_RATE_UNITS = ("cps", "cts/s", "c/s", "counts/s")


@dataclass(frozen=True)
class _Header:
    """What the header says, as texts, and the line on which the matrix begins."""

    keys: dict[str, str]
    lines: list[str]
    first_line: int


def is_cameca(source: Source) -> bool:
    """Whether a folder holds at least one text file with Cameca's header."""
    return any(_has_header(source.head(name)) for name in _candidates(source)[:8])


def read_cameca(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read Cameca's text maps, one element a file.

    The matrix may have column numbers as first row and row numbers as first column. Stage
    coordinates are taken to grow by one step a column and a row from the start position, which is
    the centre of the first pixel.

    Raises
    ------
    FormatError
        If a header lacks the size of the map, or the matrix does not have it.
    DataError
        If a map holds something else than counts.
    """
    parts = MapParts(FORMAT, stage_unit="um")
    found: list[dict[str, str]] = []
    for name in _candidates(source):
        place = source.place(name)
        content = source.read(name)
        if not _has_header(content[:8192]):
            parts.notes.append(f"{place} left out: no header of a Cameca map")
            continue
        header = _split(decode(content, place), place)
        label = _label(header.keys, name)
        if label in ignore:
            continue
        if is_electron_signal(label):
            parts.notes.append(f"{place} ({label}) left out: an electron image")
            continue
        element = element_symbol(label)
        if element is None:
            raise FormatError(
                f"{place}: the header names image {label!r}, which is no element. Name the file "
                "after its element, or leave it out with "
                f"ignore=[{PurePosixPath(name).name!r}]."
            )
        parts.dwell_s[element] = _dwell(header.keys, place, parts.notes)
        parts.add(element, _counts(header, place, parts.dwell_s[element], parts.notes), place)
        found.append(header.keys)
    _add_shared_conditions(parts, found)
    return parts


def _candidates(source: Source) -> list[str]:
    """List the text files of the folder, or the chosen one."""
    if source.chosen:
        return [source.chosen]
    return [name for name in source.files() if name.lower().endswith(_SUFFIXES)]


def _has_header(head: bytes) -> bool:
    """Whether the first lines hold enough of Cameca's keys."""
    text = head.decode("latin-1").casefold().replace("\r", "\n")
    starts = {key for line in text.split("\n") for key in _KEYS if line.strip(' "').startswith(key)}
    return len(starts) >= _FEWEST_KEYS


def _split(text: str, place: str) -> _Header:
    """Split a file into header keys and the lines of the matrix."""
    lines = text.split("\n")
    keys: dict[str, str] = {}
    for number, line in enumerate(lines):
        key = _key(line)
        if key:
            keys.setdefault(key, line.strip(' "')[len(key) :].strip(' \t:="'))
        elif _is_matrix_line(line) and {"step number", "line number"} <= keys.keys():
            return _Header(keys, lines[number:], number + 1)
    lacking = [key.title() for key in ("step number", "line number") if key not in keys]
    what = f"lacks {' and '.join(lacking)}" if lacking else "is followed by no matrix"
    raise FormatError(f"{place}: the header {what}. The file seems to be cut short.")


def _key(line: str) -> str:
    folded = line.strip(' "').casefold()
    return next((key for key in _KEYS if folded.startswith(key)), "")


def _is_matrix_line(line: str) -> bool:
    """Whether a line holds at least two numbers and nothing else (but a label in the corner)."""
    cells = [cell for cell in re.split(r"[\s,;]+", line.strip()) if cell]
    numeric = [bool(_NUMBER.fullmatch(cell)) for cell in cells[:6]]
    return sum(numeric) >= 2 and all(numeric[1:])


def _label(keys: dict[str, str], name: str) -> str:
    """Give what the file is a map of: the key Image ("Si Ka, TAP"), else the file name."""
    words = [word for word in re.split(r"[^A-Za-z]+", keys.get("image", "")) if word]
    if words:
        return words[0]
    stem = re.match(r"[A-Za-z]{1,2}(?![a-z])", PurePosixPath(name).stem)
    return stem[0] if stem else PurePosixPath(name).stem


def _counts(header: _Header, place: str, dwell_s: float, notes: list[str]) -> np.ndarray:
    """Read the matrix, without the numbers of rows and columns, as counts."""
    columns = whole_number(_first_number(header.keys["step number"]), "Step Number", place)
    rows = whole_number(_first_number(header.keys["line number"]), "Line Number", place)
    lines, first = header.lines, header.first_line
    filled = sum(bool(line.strip()) for line in lines)
    has_column_numbers = filled == rows + 1
    if has_column_numbers:
        lines, first = lines[1:], first + 1
    matrix = text_matrix("\n".join(lines), place, first)
    if matrix.shape[1] == columns + 1:
        if (np.diff(matrix[:, 0], axis=0) == 0).any():
            raise FormatError(f"{place}: the first column does not number the rows.")
        matrix = matrix[:, 1:]
    check_shape(matrix, (rows, columns), place, "the header")
    unit = header.keys.get("y unit", "").strip().casefold()
    if unit in _RATE_UNITS:
        matrix = _rate_to_counts(matrix, dwell_s, place)
        notes.append(f"{place}: counts per second times dwell time")
    elif unit not in _COUNT_UNITS:
        raise DataError(
            f"{place}: the map is in {unit!r}, not in counts. Export the raw counts (allowed: "
            f"{', '.join((*_COUNT_UNITS[1:], *_RATE_UNITS))})."
        )
    return whole_counts(matrix, in_file(place))


def _rate_to_counts(matrix: np.ndarray, dwell_s: float, place: str) -> np.ndarray:
    """Turn counts per second back into counts; only whole numbers can have been counted."""
    if not math.isfinite(dwell_s):
        raise DataError(f"{place}: counts per second, but no dwell time to turn them into counts.")
    counts = matrix * dwell_s
    whole = np.rint(counts)
    if (np.abs(counts - whole) > 0.02).any():
        raise DataError(
            f"{place}: counts per second times the dwell time of {dwell_s:g} s are no whole "
            "numbers, so that they were corrected or rounded. Export the raw counts."
        )
    return whole


def _first_number(text: str) -> str:
    found = _NUMBER.search(text)
    return found[0] if found else text


def _dwell(keys: dict[str, str], place: str, notes: list[str]) -> float:
    """Read the dwell time in seconds; NaN, with a note, if its unit is not stated."""
    text = keys.get("dwell time", "")
    found = _NUMBER.search(text)
    if found is None:
        return math.nan
    words = re.findall(r"[a-zµμ]+", text.casefold())
    unit = next((word for word in words if word in _SECONDS), None)
    if unit is None:
        notes.append(f"{place}: dwell time {text!r} has no unit and is not used; pass dwell_s")
        return math.nan
    return float(found[0]) * _SECONDS[unit]


def _add_shared_conditions(parts: MapParts, found: list[dict[str, str]]) -> None:
    """Add step, current and registration, which all maps of a folder share."""
    if not found:
        return
    currents = (_value(keys, "beam current") for keys in found if "na" in _unit_text(keys))
    parts.probe_current_nA, remarks = one_value(currents, "beam current", "nA")
    parts.notes += remarks
    sizes = [float(text) for text in _NUMBER.findall(found[0].get("step size", ""))[:2]]
    if not sizes or not all(0 < size < math.inf for size in sizes):
        return
    step = (sizes[0], sizes[-1])
    if "mm" in found[0]["step size"].casefold():
        step = (step[0] * 1000, step[1] * 1000)
    parts.step_um = step
    x, y = _value(found[0], "start x"), _value(found[0], "start y")
    if math.isfinite(x) and math.isfinite(y):
        parts.stage_to_pixel = np.array(
            [[1 / step[0], 0, -x / step[0]], [0, 1 / step[1], -y / step[1]]]
        )
        parts.notes.append(
            "stage taken to grow by one step a column and a row from Start X, Y (um)"
        )


def _value(keys: dict[str, str], key: str) -> float:
    found = _NUMBER.search(keys.get(key, ""))
    return float(found[0]) if found else math.nan


def _unit_text(keys: dict[str, str]) -> str:
    return keys.get("beam current", "").casefold()
