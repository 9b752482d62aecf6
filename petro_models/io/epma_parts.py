"""What the reader of one format finds: maps and conditions, before they become a dataset."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from petro_models.errors import DataError, FormatError
from petro_models.io import cells
from petro_models.io import species as chemistry

ELECTRON_SIGNALS = ("AUX", "BEI", "BSE", "CL", "COMP", "COMPO", "CP", "REF", "SE", "SEI", "TOPO")
"""Names of images that are no X-ray counts, in these capitals: "Cl" is chlorine, "CL" is light."""


@dataclass
class MapParts:
    """Maps of one area as a file format gives them.

    Dwell and dead time by element; NaN and None where the format says nothing. `places` names the
    file of each element in messages. `wt_percent` holds compositions where the format has no
    counts.
    """

    format: str
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    dwell_s: dict[str, float] = field(default_factory=dict)
    dead_time_ns: dict[str, float] = field(default_factory=dict)
    probe_current_nA: float = math.nan
    step_um: tuple[float, float] = (math.nan, math.nan)
    stage_to_pixel: np.ndarray | None = None
    stage_unit: str = "mm"
    notes: list[str] = field(default_factory=list)
    wt_percent: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, element: str, counts: np.ndarray, place: str) -> None:
        """Add the map of one element.

        Raises
        ------
        DataError
            If the element is there already.
        """
        if element in self.counts:
            raise DataError(
                f"{place}: a second map of {element}, besides {self.places[element]}. Keep the "
                f"better one, and leave the other out with ignore=[{place.rpartition('/')[2]!r}]."
            )
        self.counts[element] = counts
        self.places[element] = place


def element_symbol(text: str) -> str | None:
    """Give the element symbol that a text is, in any capitals ('si', 'SI'), or None."""
    symbol = text.strip().capitalize()
    return symbol if chemistry.element_of(symbol) == symbol else None


def is_electron_signal(name: str) -> bool:
    """Whether a map is an electron image (COMPO, SEI, ...), not X-rays."""
    return name.strip() in ELECTRON_SIGNALS


def number(text: str, what: str, place: str) -> float:
    """Read one number of a condition file.

    Raises
    ------
    FormatError
        If the text is no number.
    """
    value = cells.parse_number(text)
    if value is None:
        raise FormatError(f"{place}: {what} is {text!r}, not a number.")
    return value


def whole_number(text: str, what: str, place: str, most: int = 100_000) -> int:
    """Read a number of pixels, from 1 to `most`.

    Raises
    ------
    FormatError
        If the text is no such number.
    """
    value = number(text, what, place)
    if not value.is_integer() or not 1 <= value <= most:
        raise FormatError(f"{place}: {what} is {text!r}; it is a whole number, 1 to {most}.")
    return int(value)


def one_value(values: Iterable[float], what: str, unit: str) -> tuple[float, list[str]]:
    """Give the mean of values that should be alike, with a note if they differ by over 1 %."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return math.nan, []
    mean = sum(known) / len(known)
    if max(known) - min(known) > 0.01 * abs(mean):
        return mean, [
            f"{what} differs between maps ({min(known):g} to {max(known):g} {unit}); mean taken"
        ]
    return mean, []


def stage_affine(
    first_pixel: tuple[float, float], step_um: tuple[float, float], columns: int, mirrored: bool
) -> np.ndarray:
    """Give the affine from stage millimetres to (column, row), whole numbers = pixel centres.

    Parameters
    ----------
    first_pixel
        Stage x and y (mm) of the centre of the pixel of smallest x and y.
    step_um
        Distance of pixels along columns and rows.
    columns
        Number of columns.
    mirrored
        Whether columns run towards smaller x, as on JEOL's images.
    """
    per_mm = (1000 / step_um[0], 1000 / step_um[1])
    column = [per_mm[0], 0.0, 0.0 - first_pixel[0] * per_mm[0]]
    if mirrored:
        column = [-per_mm[0], 0.0, columns - 1 + first_pixel[0] * per_mm[0]]
    return np.array([column, [0.0, per_mm[1], 0.0 - first_pixel[1] * per_mm[1]]])
