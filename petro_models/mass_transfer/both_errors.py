"""Isocons by least squares with errors in both rocks (Baumgartner & Olsen 1995)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import stats
from xarray.ufuncs import isnan, log

from petro_models.mass_transfer.answers import labelled, membership, with_mass_change
from petro_models.mass_transfer.sparse_isocon import (
    Array,
    Mask,
    log_ratios,
    relative_errors,
)


def least_squares_both_errors(
    table: xr.Dataset,
    immobile: Sequence[str] | None = None,
    relative_error: float | None = 0.03,
    significance: float = 0.05,
) -> xr.Dataset:
    """Isocon by least squares with errors in both rocks (Baumgartner & Olsen 1995).

    Minimises ``chi2(s) = sum_j (C_j - s C_0j)^2 / (sd_j^2 + s^2 sd_0j^2)`` over the slope s of a
    line through the origin. Unlike :func:`grant_isocon` it does not depend on any scaling.

    Parameters
    ----------
    table
        Mass-transfer table.
    immobile
        The chosen elements; None finds them with :func:`most_consistent_set`.
    relative_error
        Relative error of a concentration where the table states none.
    significance
        Only for ``immobile=None``: sets with a chi-square probability below this are refused.

    Returns
    -------
    xr.Dataset
        Per sample ``slope`` (M0/M), ``slope_standard_error`` (from the stated errors alone),
        ``chi_square``, ``degrees_of_freedom``, ``mswd``, ``probability`` (of a larger chi-square),
        ``mass_change``, ``mass_ratio``; (sample, element) ``immobile`` and ``gain_ratio``.

    References
    ----------
    Baumgartner, L. P. and Olsen, S. N. (1995). A least-squares approach to mass transport
    calculations using the isocon method. Economic Geology 90, 1261-1270.
    """
    ratios = log_ratios(table)
    if immobile is None:
        members = most_consistent_set(table, relative_error, significance)
    else:
        members = ~isnan(ratios) & membership(table, immobile)
    altered_error, protolith_error = relative_errors(table, relative_error)
    rows = []
    for sample in range(ratios.sizes["sample"]):
        used = members.isel(sample=sample).to_numpy()
        slopes = np.exp(ratios.isel(sample=sample).to_numpy()[used])
        altered = altered_error.isel(sample=sample).to_numpy()[used]
        rows.append(_best_line(slopes, altered, protolith_error.to_numpy()[used]))
    slope, error, chi_square = (
        xr.DataArray(column, coords={"sample": ratios.sample}) for column in np.array(rows).T
    )
    freedom = (members.sum("element") - 1).where(members.any("element"))
    probability = xr.zeros_like(slope) + stats.chi2.sf(chi_square, freedom.where(freedom > 0))
    result = xr.Dataset(
        {
            "slope": labelled(slope, "isocon slope M0/M"),
            "slope_standard_error": labelled(error, "standard error of the slope"),
            "chi_square": labelled(chi_square, "chi-square"),
            "degrees_of_freedom": labelled(freedom, "degrees of freedom"),
            "mswd": labelled(chi_square / freedom.where(freedom > 0), "mean square misfit"),
            "probability": labelled(probability, "probability of a larger chi-square"),
            "immobile": labelled(members, "element used in the fit"),
        }
    )
    return with_mass_change(result, -log(slope), ratios)


def most_consistent_set(
    table: xr.Dataset, relative_error: float | None = 0.03, significance: float = 0.05
) -> xr.DataArray:
    """Find the largest set of elements that one isocon fits within error, for each sample.

    From every element in turn the set grows by the element that raises chi-square least, as long
    as the chi-square probability stays above ``significance``. The largest set wins, then the
    smaller chi-square. This is a greedy reading of Baumgartner & Olsen's (1995) idea, not their
    program. Elements that moved together can be the largest set: in Grant's (2005) table it is Fe
    Mg Ca Na H2O Zn at 2 % error (M/M0 = 1.39) and Si Ti Al Mn Sc V Cr Cu at 3 % (1.05).

    Returns
    -------
    xr.DataArray
        (sample, element) True for the members.
    """
    ratios = log_ratios(table)
    altered_error, protolith_error = (
        error.to_numpy() for error in relative_errors(table, relative_error)
    )
    members = np.zeros(ratios.shape, dtype=bool)
    for sample, row in enumerate(ratios.to_numpy()):
        known = np.flatnonzero(~np.isnan(row))
        if len(known):
            members[sample, known] = _grow_sets(
                np.exp(row[known]),
                altered_error[sample, known],
                protolith_error[known],
                significance,
            )
    return ratios.copy(data=members).rename("immobile").drop_attrs()


def _best_line(slopes: Array, altered_error: Array, protolith_error: Array) -> Array:
    """Slope, its standard error and chi-square of the best line; NaN without elements."""
    if len(slopes) == 0:
        return np.full(3, np.nan)
    # mutually inconsistent elements give chi-square several minima, so try every element's slope
    everything = np.ones((len(slopes), len(slopes)), dtype=bool)
    fits = np.array(_fit_lines(slopes, altered_error, protolith_error, everything, slopes))
    return fits[:, fits[2].argmin()]


def _fit_lines(
    slopes: Array, altered_error: Array, protolith_error: Array, members: Mask, start: Array
) -> tuple[Array, Array, Array]:
    """Damped Gauss-Newton in ln slope for many sets at once; members (set, element).

    Concentrations are divided by C_0, which leaves chi-square as it is.
    """
    altered_variance = (altered_error * slopes) ** 2

    def misfit(log_slope: Array) -> tuple[Array, Array]:
        slope = np.exp(log_slope)[:, None]
        variance = altered_variance + (slope * protolith_error) ** 2
        residual = members * (slopes - slope) / np.sqrt(variance)
        change = -slope * (altered_variance + slope * slopes * protolith_error**2)
        return residual, members * change / variance**1.5

    log_slope, damping = np.log(start), np.ones(len(start))
    residual, change = misfit(log_slope)
    for _ in range(60):
        step = -(residual * change).sum(1) / (change**2).sum(1)
        trial = log_slope + damping * np.clip(step, -0.5, 0.5)
        better = (misfit(trial)[0] ** 2).sum(1) <= (residual**2).sum(1)
        log_slope = np.where(better, trial, log_slope)
        damping = np.where(better, np.minimum(2 * damping, 1), damping / 4)
        residual, change = misfit(log_slope)
        if np.abs(step).max() < 1e-11:
            break
    slope = np.exp(log_slope)
    return slope, slope / np.sqrt((change**2).sum(1)), (residual**2).sum(1)


def _grow_sets(
    slopes: Array, altered_error: Array, protolith_error: Array, significance: float
) -> Mask:
    """Grow a set from every element in turn; the largest acceptable one, as a mask (element)."""
    number = len(slopes)
    single = np.eye(number, dtype=bool)
    best, sets = single[0], single
    for size in range(2, number + 1):
        tried = (sets[:, None] | single).reshape(-1, number)
        start = np.exp((tried * np.log(slopes)).sum(1) / tried.sum(1))
        _, _, chi_square = _fit_lines(slopes, altered_error, protolith_error, tried, start)
        chi_square = np.where(sets, np.inf, chi_square.reshape(sets.shape))
        lowest = chi_square.min(axis=1)
        accepted = stats.chi2.sf(lowest, size - 1) >= significance
        if not accepted.any():
            break
        grown = sets | single[chi_square.argmin(axis=1)]
        best = grown[lowest.argmin()]
        sets = np.unique(grown[accepted], axis=0)
    return best
