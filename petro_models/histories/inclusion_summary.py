"""What a fit says of its inclusions: checks and predictive statistics."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from petro_models.histories.forward import PATH_UNITS
from petro_models.inference.checks import Check
from petro_models.thermodynamics.barometers import out_of_range

if TYPE_CHECKING:
    from petro_models.histories.problem import Histories

PRIOR_IS_LEFT = 0.8
"""Posterior over prior sd of P or T at the inclusions from which on they say little about it."""
MOST_NAMED = 3


def inclusion_checks(problem: "Histories", fit: xr.DataTree) -> list[Check]:
    """Check ranges of calibrations, and whether the equilibria tell both P and T.

    Parameters
    ----------
    problem
        The problem that was fitted.
    fit
        Its fit, with the answers.
    """
    derived = fit["derived"].to_dataset()
    return [_ranges(problem, derived), _constrained(problem, fit, derived)]


def inclusion_statistics(replicated: xr.Dataset) -> dict[str, tuple[float, np.ndarray]]:
    """Compare the residuals, observed as 0, with replicated ones: the largest and the mean square.

    Parameters
    ----------
    replicated
        Posterior predictive draws.
    """
    residual = replicated["equilibrium_residual"]
    copies = _standardised(residual)
    observed = -residual.mean(("chain", "draw")) / residual.std(("chain", "draw"))
    return {
        "largest residual of an inclusion (sd)": (
            float(np.abs(observed).max()),
            np.abs(copies).max(axis=1),
        ),
        "mean square residual of inclusions": (
            float((observed**2).mean()),
            (copies**2).mean(axis=1),
        ),
    }


def _standardised(residual_draws: xr.DataArray) -> np.ndarray:
    """Give replicated residuals over their spread about their mean, (draw, inclusion)."""
    stacked = residual_draws.stack(__draw__=("chain", "draw")).transpose("__draw__", "inclusion")
    values = stacked.to_numpy()
    return (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)


def _ranges(problem: "Histories", derived: xr.Dataset) -> Check:
    """Flag calibrations that are used outside of what they cover, at the medians of the fit."""
    medians = derived.sel(statistic="q50")
    temperature = medians["inclusion_temperature_C"].to_numpy()
    pressure = medians["inclusion_pressure_kbar"].to_numpy()
    messages: list[str] = []
    for group in problem.arrays.inclusions.groups:
        at = temperature[group.rows], pressure[group.rows]
        found = out_of_range(group.calibration, *at, group.composition)
        messages += [message for message in found if message not in messages]
    if not messages:
        return Check("ranges of the calibrations", "PASS", "all inclusions lie within them")
    shown = "; ".join(messages[:MOST_NAMED])
    more = f"; and {len(messages) - MOST_NAMED} more" if len(messages) > MOST_NAMED else ""
    return Check(
        "ranges of the calibrations",
        "REVIEW",
        f"{shown}{more}",
        "an extrapolated calibration may err by more than it states: compare with one that covers "
        "these conditions, or give residual_sd",
    )


def _constrained(problem: "Histories", fit: xr.DataTree, derived: xr.Dataset) -> Check:
    """Tell whether P and T at the inclusions are known better than before."""
    shares = {}
    for name, unit in PATH_UNITS.items():
        prior = np.sqrt(
            _variance(problem, fit, f"{name}_mean_{unit}")
            + _mean_square(problem, fit, f"{name}_amplitude_{unit}")
        )
        after = derived[f"inclusion_{name}_{unit}"].sel(statistic="sd").to_numpy()
        shares[name] = float(np.median(after) / prior)
    finding = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    finding = f"posterior / prior sd at the inclusions: {finding}, limit {PRIOR_IS_LEFT}"
    loose = [name for name, share in shares.items() if share > PRIOR_IS_LEFT]
    if problem.arrays.has_profiles or not loose:
        return Check("reach of the inclusions", "PASS", finding)
    return Check(
        "reach of the inclusions",
        "REVIEW",
        f"{finding}: {' and '.join(loose)} is the prior's",
        "add an equilibrium of another slope (a thermometer to a barometer), or profiles",
    )


def _variance(problem: "Histories", fit: xr.DataTree, name: str) -> float:
    if problem.priors.is_known(name):
        return 0.0
    return float(fit["prior"][name].var())


def _mean_square(problem: "Histories", fit: xr.DataTree, name: str) -> float:
    if problem.priors.is_known(name):
        return float(problem.priors.known(name)) ** 2
    return float((fit["prior"][name] ** 2).mean())
