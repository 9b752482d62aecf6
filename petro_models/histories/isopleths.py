"""One equilibrium point from many isopleths: the posterior of P and T over a table's window.

For a rim or a matrix assemblage, with any variables that a table holds (garnet, biotite, white
mica, plagioclase ...): what optimal thermobarometry by intersection of isopleths does, with the
errors of the analyses carried to pressure and temperature. Beside it the classical estimate, the
node of least misfit.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import truncnorm

from petro_models.errors import DataError, nearest

FINE = 400
AXES = ("pressure_kbar", "temperature_C")
STATISTICS = ["mean", "sd", "q05", "q50", "q95"]


def isopleth_posterior(
    table: xr.Dataset,
    measured: Mapping[str, float],
    sd: Mapping[str, float],
    model_error: float = 0.0,
) -> xr.Dataset:
    """Give the posterior of pressure and temperature under a flat prior over the window.

    Parameters
    ----------
    table
        Any variables over (pressure_kbar, temperature_C); NaN where a phase is absent.
    measured, sd
        Variable -> mean and standard deviation.
    model_error
        Relative error of each variable in the table, added in quadrature.

    Returns
    -------
    xr.Dataset
        ``density`` (pressure_kbar, temperature_C; adds to 1), ``misfit``, and per statistic
        (mean, sd, q05, q50, q95) ``pressure`` and ``temperature``.

    Raises
    ------
    DataError
        If a variable is not in the table, has a third dim or no error, or no point of the window
        holds all.

    References
    ----------
    Mackay-Champion, T., Cawood, I. P. (2024). LinaForma. EarthArXiv preprint.
    """
    _check_measured(table, measured, sd)
    axes = [table[dim].to_numpy().astype(float) for dim in AXES]
    pressure, temperature = (np.linspace(axis[0], axis[-1], FINE) for axis in axes)
    points = np.stack(np.meshgrid(pressure, temperature, indexing="ij"), axis=-1)
    misfit = np.zeros(points.shape[:2])
    for name, value in measured.items():
        values = table[name].transpose(*AXES).to_numpy()
        expected = RegularGridInterpolator(axes, values)(points)
        variance = sd[name] ** 2 + (model_error * value) ** 2
        misfit += (expected - value) ** 2 / variance
    if not np.isfinite(misfit).any():
        raise DataError("no point of the table holds all the variables that were measured")
    density = np.where(np.isfinite(misfit), np.exp(-0.5 * (misfit - np.nanmin(misfit))), 0.0)
    density /= density.sum()
    return xr.Dataset(
        {
            "density": (("pressure_kbar", "temperature_C"), density, {"units": "probability"}),
            "misfit": (("pressure_kbar", "temperature_C"), misfit, {"units": "1"}),
            "pressure": ("statistic", _moments(pressure, density.sum(axis=1)), {"units": "kbar"}),
            "temperature": (
                "statistic",
                _moments(temperature, density.sum(axis=0)),
                {"units": "degree_Celsius"},
            ),
        },
        {"pressure_kbar": pressure, "temperature_C": temperature, "statistic": STATISTICS},
    )


def isopleth_intersection(
    table: xr.Dataset,
    measured: Mapping[str, float],
    sd: Mapping[str, float],
    draws: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    """Give the nodes where isopleths come nearest to meeting, for analyses drawn anew.

    The misfit of a node is the sum of relative deviations, whatever the errors; the errors tell
    how the analyses scatter. Errors of the table are not counted.

    Parameters
    ----------
    table, measured, sd
        As in `isopleth_posterior`; what is measured is positive.
    draws
        How many times the analyses are drawn, from normals cut off at 0.
    seed
        Same seed, same draws.

    Returns
    -------
    xr.Dataset
        ``pressure_kbar`` and ``temperature_C`` (draw), and per statistic (mean, sd, q05, q50, q95)
        ``pressure`` and ``temperature``.

    Raises
    ------
    DataError
        As `isopleth_posterior` does, and if a measured value or `draws` is not positive.

    References
    ----------
    Mackay-Champion, T., Cawood, I. P. (2024). LinaForma. EarthArXiv preprint.
    """
    _check_measured(table, measured, sd)
    for name, value in measured.items():
        if not value > 0:
            raise DataError(f"{name!r} is {value:g}: relative deviations need a value above 0")
    if draws < 1:
        raise DataError(f"draws must be at least 1; got {draws}")
    expected = np.stack([table[name].transpose(*AXES).to_numpy() for name in measured], axis=-1)
    held = np.isfinite(expected).all(axis=-1)
    if not held.any():
        raise DataError("no point of the table holds all the variables that were measured")
    at_node = np.meshgrid(*(table[dim].to_numpy().astype(float) for dim in AXES), indexing="ij")
    centre, spread = (np.array([by_name[name] for name in measured]) for by_name in (measured, sd))
    drawn = truncnorm(-centre / spread, np.inf, centre, spread).rvs(
        (draws, centre.size), random_state=np.random.default_rng(seed)
    )
    nodes = expected[held]
    best = [np.abs((nodes - row) / row).sum(axis=1).argmin() for row in drawn]
    pressure, temperature = (axis[held][best] for axis in at_node)
    even = np.full(draws, 1 / draws)
    return xr.Dataset(
        {
            "pressure_kbar": ("draw", pressure, {"units": "kbar"}),
            "temperature_C": ("draw", temperature, {"units": "degree_Celsius"}),
            "pressure": ("statistic", _moments(np.sort(pressure), even), {"units": "kbar"}),
            "temperature": (
                "statistic",
                _moments(np.sort(temperature), even),
                {"units": "degree_Celsius"},
            ),
        },
        {"statistic": STATISTICS},
    )


def _check_measured(
    table: xr.Dataset, measured: Mapping[str, float], sd: Mapping[str, float]
) -> None:
    for name in measured:
        if name not in table:
            raise DataError(f"the table has no {name!r}: {nearest(name, map(str, table))}")
        if further := {str(dim) for dim in table[name].dims} - set(AXES):
            raise DataError(
                f"{name!r} of the table has the dim {min(further)!r} too: choose one level, such "
                f"as table.isel({min(further)}=0)"
            )
        if not sd.get(name, 0) > 0:
            raise DataError(f"{name!r} needs a standard deviation above 0; got {sd.get(name)}")


def _moments(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mean = float((values * weight).sum())
    spread = float(np.sqrt(((values - mean) ** 2 * weight).sum()))
    cumulative = np.cumsum(weight)
    return np.array([mean, spread, *np.interp([0.05, 0.5, 0.95], cumulative, values)])
