"""Matrices of X-ray counts: read from text, checked to be whole and not negative."""

import re
from collections.abc import Callable

import numpy as np

from petro_models.errors import DataError, FormatError
from petro_models.io.epma_source import decode

Locate = Callable[[int, int], str]
"""Names a cell of a matrix in messages, from its row and column (counted from 0)."""

MOST_COUNTS = 2**31 - 1
"""More counts than this cannot be real: a detector counts at most some 1e6 in a second."""

_ROUNDING = 1e-4
_NOT_A_NUMBER = re.compile(r"could not convert string '(.*)' to .* at row (\d+), column (\d+)")
_RAGGED = re.compile(r"number of columns changed from (\d+) to (\d+) at row (\d+)")


def text_matrix(content: bytes | str, place: str, first_line: int = 1) -> np.ndarray:
    """Read a matrix of numbers without a header, one row a line.

    Parameters
    ----------
    content
        Numbers separated by blanks, tabs, commas or semicolons.
    place
        File name that opens the messages.
    first_line
        Line of the file on which `content` begins.

    Returns
    -------
    Array (line, number).

    Raises
    ------
    FormatError
        If there is no number, a cell that is none, or a line of another length.
    """
    text = content if isinstance(content, str) else decode(content, place)
    numbered = [
        (number, line.rstrip(" \t,;"))
        for number, line in enumerate(text.split("\n"), start=first_line)
    ]
    numbered = [(number, line) for number, line in numbered if line]
    if not numbered:
        raise FormatError(f"{place}: no numbers; the map is empty.")
    first = numbered[0][1]
    delimiter = next((mark for mark in ",;" if mark in first), None)
    lines = [line for _, line in numbered]
    try:
        return np.loadtxt(lines, comments=None, ndmin=2, delimiter=delimiter)
    except ValueError as error:
        raise FormatError(_explain(str(error), place, [n for n, _ in numbered])) from None


def whole_counts(values: np.ndarray, locate: Locate) -> np.ndarray:
    """Turn a matrix of numbers into counts.

    Parameters
    ----------
    values
        Numbers (row, column); floats must be whole.
    locate
        Names a cell in the messages.

    Returns
    -------
    Array of int32 (row, column).

    Raises
    ------
    DataError
        At the first value that cannot be a number of counts, with its place.
    """
    if values.ndim != 2 or values.size == 0:
        raise DataError(
            f"{locate(0, 0)}: the map has shape {values.shape}; a map is a matrix of rows and "
            "columns."
        )
    if values.dtype.kind not in "iuf":
        raise DataError(f"{locate(0, 0)}: the map holds {values.dtype}, not numbers of counts.")
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & (values <= MOST_COUNTS))
        if values.dtype.kind == "f":
            wrong |= np.abs(values - np.rint(values)) > _ROUNDING
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), values.shape)
        value = values[row, column]
        number = int(wrong.sum())
        others = f" ({number} such pixels)" if number > 1 else ""
        raise DataError(f"{locate(int(row), int(column))}: {_complaint(float(value))}{others}.")
    return np.rint(values).astype(np.int32)


def file_counts(content: bytes | str, place: str, first_line: int = 1) -> np.ndarray:
    """Read a text file that is one map of counts, and check it."""
    return whole_counts(text_matrix(content, place, first_line), in_file(place))


def in_file(place: str) -> Locate:
    """Name cells by their place in a file."""
    return lambda row, column: f"{place}, row {row + 1}, column {column + 1}"


def image_pixel(place: str) -> Locate:
    """Name cells by their place in the image."""
    return lambda row, column: f"{place}, image row {row}, column {column} (from 0)"


def check_shape(matrix: np.ndarray, expected: tuple[int, int], place: str, stated_by: str) -> None:
    """Raise FormatError unless a matrix has the shape that its conditions state."""
    if matrix.shape != expected:
        short = matrix.shape[0] < expected[0] and matrix.shape[1] == expected[1]
        raise FormatError(
            f"{place}: {matrix.shape[0]} rows of {matrix.shape[1]} numbers, but {stated_by} says "
            f"{expected[0]} rows of {expected[1]}."
            + (" The file seems to be cut short." if short else " Do the two belong together?")
        )


def _complaint(value: float) -> str:
    """Say what is wrong with a value as a number of counts, and what to do."""
    if not np.isfinite(value):
        return f"{value:g} is no measurement; crop the map to the pixels that were measured"
    if value < 0:
        return (
            f"{value:g} is negative, which counts cannot be; export the raw counts, not "
            "background-corrected ones"
        )
    if value > MOST_COUNTS:
        return f"{value:g} is more than a detector can count"
    return (
        f"{value:g} is not a whole number of counts; export raw counts, neither counts per second "
        "nor corrected, normalised or smoothed ones"
    )


def _explain(message: str, place: str, lines: list[int]) -> str:
    """Say in terms of the file what numpy could not read."""
    bad = _NOT_A_NUMBER.search(message)
    if bad is not None:
        line, number = lines[int(bad[2])], int(bad[3])
        what = repr(bad[1][:40]) if bad[1] else "an empty cell"
        return f"{place}:{line}: number {number}: {what} is not a number."
    ragged = _RAGGED.search(message)
    if ragged is not None:
        return (
            f"{place}:{lines[int(ragged[3]) - 1]}: {ragged[2]} numbers, but the lines before have "
            f"{ragged[1]}. The file seems to be cut short or damaged."
        )
    return f"{place}: not a matrix of numbers ({message})."
