"""How tests read the answers and the checks of a fit."""

import numpy as np
import xarray as xr

import petro_models as petro


def covered(values: xr.DataArray, truth: np.ndarray) -> float:
    """Give the share of the truth inside the 90 % intervals."""
    low, high = (values.sel(statistic=key).to_numpy() for key in ("q05", "q95"))
    return float(((low <= truth) & (truth <= high)).mean())


def verdict(fit: xr.DataTree, name: str) -> str:
    """Give the verdict of a named check."""
    return next(check.verdict for check in petro.check(fit) if check.name == name)
