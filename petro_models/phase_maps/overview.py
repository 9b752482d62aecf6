"""A large map as a page can show it: every so-and-so-many-th pixel of the answers."""

import math

import xarray as xr

MOST_PIXELS = 4_000_000
"""That figures and tables of a report are made from."""


def thinning(answers: xr.Dataset) -> int:
    """Give the step along rows and columns in which a page shows a map; 1 shows all of it."""
    return math.ceil(math.sqrt(answers.sizes["y"] * answers.sizes["x"] / MOST_PIXELS))


def overview(fit: xr.DataTree) -> xr.DataTree:
    """Give a fit whose maps a page can show; sums, modes and spots are those of the whole map."""
    answers = fit["derived"].to_dataset()
    step = thinning(answers)
    if step == 1:
        return fit
    shown = fit.copy(deep=False)
    every = slice(None, None, step)
    shown["derived"] = xr.DataTree(answers.isel(y=every, x=every).load())
    return shown
