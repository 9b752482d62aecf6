"""CalcImage (Probe for EPMA) ``.DAT`` files: one line per pixel, quantified or as counts."""

import csv
import io
import math
import re

import numpy as np

from petro_models.errors import DataError, FormatError
from petro_models.io.epma_matrix import text_matrix, whole_counts
from petro_models.io.epma_parts import MapParts, element_symbol, whole_number
from petro_models.io.epma_source import Source
from petro_models.io.epma_xmaptools import canonical_oxide

FORMAT = "CalcImage .DAT"

_FIRST_LINE = re.compile(rb"\s*\d+\s+\d+\s+\d+\s+\d+\s*[\r\n]")
_POSITIONS = ("NX", "NY", "X", "Y")
_LEFT_OUT = ("NK", "X", "Y", "NX", "NY", "NXY", "TOTAL", "CALC. O", "O WT%", "O")
_COUNTS = re.compile(r"([A-Za-z]{1,2})[ _]*(?:CNTS|COUNTS|CTS)", re.IGNORECASE)
_LARGEST_UM_STEP_IN_MM = 0.2


def is_calcimage(source: Source) -> bool:
    """Whether the chosen file begins with four whole numbers, as CalcImage's grids do."""
    return bool(source.chosen and _FIRST_LINE.match(source.head(source.chosen)))


def read_calcimage(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read a grid: ``columns rows pixels fields``, quoted headers, then a line per pixel.

    Columns and rows of the image are NX and NY. Fields ``SiO2 WT%`` are compositions that
    CalcImage quantified; fields ``Si CNTS`` are counts.

    Raises
    ------
    FormatError
        If the file does not hold as many pixels as it says.
    DataError
        If a column is no oxide.
    """
    place = source.place(source.chosen)
    lines = source.text(source.chosen).split("\n")
    first = lines[0].split()
    columns, rows, pixels, fields = (
        whole_number(word, what, f"{place}:1", most=10**9)
        for word, what in zip(first, ("columns", "rows", "pixels", "fields"), strict=True)
    )
    headers = _headers(lines[1] if len(lines) > 1 else "", place)
    values = text_matrix("\n".join(lines[2:]), place, first_line=3)
    if columns * rows != pixels or len(values) != pixels:
        raise FormatError(
            f"{place}: {len(values)} pixels, but the first line says {columns} x {rows} = "
            f"{columns * rows} ({pixels} in all). The file seems to be cut short."
        )
    if not values.shape[1] == len(headers) == fields:
        raise FormatError(
            f"{place}: {values.shape[1]} numbers a line and {len(headers)} headers, but the first "
            f"line says {fields}."
        )
    field = dict(zip(headers, values.T, strict=True))
    index = _pixel_index(field, columns, rows, place)
    parts = MapParts(FORMAT)
    for header in headers:
        _add_field(parts, header, field[header], index, (rows, columns), ignore, place)
    if not parts.counts and not parts.wt_percent:
        raise FormatError(f"{place}: no field is in WT% or counts: {', '.join(headers)}.")
    if parts.counts and parts.wt_percent:
        left_out = ", ".join(parts.wt_percent)
        parts.notes.append(f"compositions beside the counts left out: {left_out}")
        parts.wt_percent = {}
    _add_stage(parts, field)
    return parts


def _headers(line: str, place: str) -> list[str]:
    """Read the quoted names of the fields."""
    try:
        headers = next(csv.reader(io.StringIO(line), delimiter="\t"), [])
    except csv.Error as error:
        raise FormatError(f"{place}:2: not a line of headers ({error}).") from None
    headers = [header.strip() for header in headers if header.strip()]
    lacking = [name for name in _POSITIONS if name not in headers]
    if lacking or len(set(headers)) != len(headers):
        raise FormatError(
            f"{place}:2: the headers must hold {', '.join(_POSITIONS)}, each once; found "
            f"{', '.join(headers) or 'none'}."
        )
    return headers


def _pixel_index(field: dict[str, np.ndarray], columns: int, rows: int, place: str) -> np.ndarray:
    """Give the place of every line in the image, row by row."""
    with np.errstate(invalid="ignore"):
        column, row = field["NX"] - 1, field["NY"] - 1
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        whole = (column == np.rint(column)) & (row == np.rint(row))
    if not (inside & whole).all():
        line = int(np.argmin(inside & whole)) + 3
        raise FormatError(f"{place}:{line}: NX and NY name no pixel of {columns} x {rows}.")
    index = (row * columns + column).astype(np.int64)
    if len(np.unique(index)) != len(index):
        raise FormatError(f"{place}: a pixel (NX, NY) stands on two lines.")
    return index


def _add_field(
    parts: MapParts,
    header: str,
    values: np.ndarray,
    index: np.ndarray,
    shape: tuple[int, int],
    ignore: frozenset[str],
    place: str,
) -> None:
    """Add one field as an image of counts or of wt%."""
    if header.upper() in _LEFT_OUT or header in ignore:
        return
    image = np.empty(shape)
    image.flat[index] = values
    counted = _COUNTS.fullmatch(header)
    element = element_symbol(counted[1]) if counted else None
    if element:
        if element not in ignore:
            where = f"{place}, {header}"
            checked = whole_counts(image, lambda r, c: f"{where}, NY {r + 1}, NX {c + 1}")
            parts.add(element, checked, where)
        return
    if not header.upper().endswith("WT%"):
        parts.notes.append(f"field {header!r} left out: neither counts nor WT%")
        return
    oxide, note = canonical_oxide(header, place)
    if oxide in ignore:
        return
    if oxide in parts.wt_percent:
        raise DataError(f"{place}: {oxide} stands in two fields; keep one.")
    parts.wt_percent[oxide] = image
    parts.notes += [note] if note and oxide != header.removesuffix(" WT%") else []


def _add_stage(parts: MapParts, field: dict[str, np.ndarray]) -> None:
    """Fit the affine from stage to pixel, and the step, to the coordinates of the pixels."""
    stage = np.stack([field["X"], field["Y"], np.ones(len(field["X"]))], axis=1)
    if not np.isfinite(stage).all() or np.abs(stage).max() > 1e9:
        parts.notes.append("stage coordinates are not usable")
        return
    centre = stage.mean(axis=0) * [1, 1, 0]
    pixel = np.stack([field["NX"] - 1, field["NY"] - 1], axis=1)
    solution, _, rank, _ = np.linalg.lstsq(stage - centre, pixel, rcond=None)
    residual = np.abs((stage - centre) @ solution - pixel).max()
    if rank < 3 or residual > 0.5:
        parts.notes.append("stage coordinates do not follow columns and rows; they are not used")
        return
    affine = solution.T.copy()
    affine[:, 2] -= affine[:, :2] @ centre[:2]
    per_pixel = 1 / np.linalg.norm(affine[:, :2], axis=1)
    # JEOL's stages count in mm, Cameca's in um; no map has steps of 0.2 mm.
    unit = 1000.0 if per_pixel.max() < _LARGEST_UM_STEP_IN_MM else 1.0
    parts.stage_unit = "mm" if unit > 1 else "um"
    step = (round(float(per_pixel[0]) * unit, 3), round(float(per_pixel[1]) * unit, 3))
    parts.step_um = step if min(step) > 0 else (math.nan, math.nan)
    parts.stage_to_pixel = affine
    parts.notes.append(f"stage taken to be in {parts.stage_unit}, by the size of its steps")
