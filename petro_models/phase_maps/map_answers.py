"""What later steps read of a phase-map fit: its labelled answers and the grid of its pixels."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.errors import DataError, FitError, nearest

NORMAL_95 = 1.6448536269514722
"""A 90 % equal-tailed interval of a normal quantity reaches this many sd to either side."""
UNKNOWN = -1
"""Index of pixels in `phase_map` that no phase explains."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a map are.

    Attributes
    ----------
    x, y
        Pixel centres from the first pixel's centre, in `unit`; y grows downwards.
    unit
        ``"um"``, or ``"pixel"`` where the step is not known.
    """

    x: np.ndarray
    y: np.ndarray
    unit: str

    @property
    def shape(self) -> tuple[int, int]:
        """Give rows and columns."""
        return len(self.y), len(self.x)

    @property
    def steps(self) -> tuple[float, float]:
        """Give the distances of neighbouring pixels along x and y, in `unit`."""
        along = [float(axis[1] - axis[0]) if len(axis) > 1 else 0.0 for axis in (self.x, self.y)]
        across, down = (step or max(along) or 1.0 for step in along)
        return across, down

    @property
    def in_micrometres(self) -> bool:
        """Whether the step is known."""
        return self.unit == "um"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Give left, right, bottom and top edges of the map, as `imshow` takes them."""
        across, down = (step / 2 for step in self.steps)
        return (self.x[0] - across, self.x[-1] + across, self.y[-1] + down, self.y[0] - down)

    @property
    def printed_unit(self) -> str:
        """Give the unit as readers know it."""
        return "µm" if self.in_micrometres else self.unit


def answers_of(fit: xr.DataTree, *names: str) -> xr.Dataset:
    """Give the answers of a fit, sure to hold the named variables.

    Raises
    ------
    FitError
        If the fit has no answers, or one of the names is not among them.
    """
    if "derived" not in fit.children:
        raise FitError("this fit holds no group 'derived': fit the problem before using its maps")
    answers = fit["derived"].to_dataset()
    missing = [name for name in names if name not in answers]
    if missing:
        raise FitError(
            f"the answers of this fit lack {', '.join(missing)}: this is no fit of PhaseMaps, "
            "or one of an older version; fit it again"
        )
    return answers


def data_of(fit: xr.DataTree) -> xr.Dataset:
    """Give the data a fit was made from; empty where the fit does not keep them."""
    if "constant_data" not in fit.children:
        return xr.Dataset()
    return fit["constant_data"].to_dataset()


def registration_shift(fit: xr.DataTree) -> np.ndarray:
    """Give what is to be added to the spots' nominal column and row, pixels (2,).

    The posterior mean; where the shift was not fitted, the one the fit started from, or none.
    """
    if "posterior" in fit.children and "registration_shift" in fit["posterior"]:
        shift = fit["posterior"]["registration_shift"].mean(("chain", "draw"))
        return shift.sel(direction=["column", "row"]).to_numpy()
    first = data_of(fit).get("first_shift")
    return np.zeros(2) if first is None else first.to_numpy()


def labels_of(answers: xr.Dataset, dim: str) -> list[str]:
    """Give the labels along a dim."""
    return [str(label) for label in answers[dim].values.tolist()]


def position_of(answers: xr.Dataset, dim: str, label: str) -> int:
    """Give the position of a label along a dim.

    Raises
    ------
    DataError
        If there is no such label; names the nearest.
    """
    labels = labels_of(answers, dim)
    if label not in labels:
        raise DataError(f"no {dim} is named '{label}': {nearest(str(label), labels)}")
    return labels.index(label)


def grid_of(answers: xr.Dataset) -> Grid:
    """Give the grid of the maps' pixels.

    Raises
    ------
    FitError
        If the answers hold no maps.
    """
    if not {"x", "y"} <= set(answers.coords):
        raise FitError("the answers of this fit hold no maps: the coordinates x and y are missing")
    unit = str(answers["x"].attrs.get("units", "pixel"))
    return Grid(answers["x"].to_numpy().astype(float), answers["y"].to_numpy().astype(float), unit)
