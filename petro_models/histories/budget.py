"""Where the uncertainty of a history comes from: its variance, split by source.

About the posterior the answers follow the data nearly linearly: an answer moves by K e where the
data err by e, with ``K = Cov(answer, expected data) Q`` over the posterior and Q the inverse of the
data's whole covariance. A source of covariance C_s then leaves the variance ``K C_s K'``. What no
source accounts for, the priors hold back: the smoothing of the path among them. For a linear model
with normal errors the split is exact.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.linalg import block_diag

from petro_models.errors import FitError
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.derived import KEPT, Curves
from petro_models.inference.predictive import thin
from petro_models.problem import problem_of

if TYPE_CHECKING:
    from petro_models.histories.problem import Histories

SOURCES = ("analyses", "calibration", "table", "ages", "priors and smoothing")
"""Errors of single analyses; what they share; the table's; those of ages; the rest."""
QUANTITIES = ("pressure_kbar", "temperature_C", "time_Myr", "age_Ma")


def variance_budget(fit: xr.DataTree) -> xr.Dataset:
    """Split the posterior variance along the grains by source.

    Parameters
    ----------
    fit
        A fit of `Histories` with profiles.

    Returns
    -------
    xr.Dataset
        ``pressure_kbar temperature_C time_Myr age_Ma`` (source, position): variances, in the
        squares of their units; sources are `SOURCES`.

    Raises
    ------
    FitError
        If the fit is no history with profiles.
    """
    from petro_models.histories.problem import Histories

    problem = problem_of(fit)
    if not isinstance(problem, Histories) or not problem.arrays.has_profiles:
        raise FitError("a variance budget needs a fit of Histories with garnet profiles")
    if problem.diffusivities:
        raise FitError(
            "a variance budget is not made for fits with diffusion, which links the compositions "
            "along a grain"
        )
    draws = thin(fit["posterior"].to_dataset(), KEPT).stack(
        kept=("chain", "draw"), create_index=False
    )
    expected, data = _data(problem, draws.transpose("kept", ...), fit)
    answers = fit["derived"].to_dataset()
    found = {}
    for name in QUANTITIES:
        if f"{name}_draws" not in answers:
            continue
        values = answers[f"{name}_draws"].to_numpy().astype(float)
        parts = split_variance(values, expected, data)
        units = f"({answers[name].attrs['units']})^2"
        found[name] = (("source", "position"), parts, {"units": units})
    return xr.Dataset(found, {"source": list(SOURCES), "position": answers["position"]})


@dataclass(frozen=True)
class DataErrors:
    """Covariances of all data, analyses first and ages after them.

    Attributes
    ----------
    precision
        Inverse of the whole covariance; 0 along what closure hides, (datum, datum).
    sources
        Covariance of each source but the priors, (source, datum, datum).
    """

    precision: np.ndarray
    sources: np.ndarray


def split_variance(answers: np.ndarray, expected: np.ndarray, data: DataErrors) -> np.ndarray:
    """Split the variance of answers by source, (source, answer); the last is what is left.

    Parameters
    ----------
    answers
        Draws, (draw, answer).
    expected
        What the same draws expect of the data, the shared error left out, (draw, datum).
    data
        Their errors.
    """
    centred, about = answers - answers.mean(axis=0), expected - expected.mean(axis=0)
    gain = centred.T @ about / (len(answers) - 1) @ data.precision
    parts = np.einsum("ad,sde,ae->sa", gain, data.sources, gain)
    rest = np.maximum(answers.var(axis=0, ddof=1) - parts.sum(axis=0), 0.0)
    return np.concatenate([parts, rest[None]])


def _data(
    problem: "Histories", draws: xr.Dataset, fit: xr.DataTree
) -> tuple[np.ndarray, DataErrors]:
    """Give what draws expect of analyses and ages, and the errors of these."""
    arrays = problem.arrays
    curves = Curves(problem, draws)
    at = curves.at["position"]
    removed = curves.get("removed_final") if arrays.has_removed_axis else np.zeros(curves.count)
    expected = arrays.table.read(
        at["pressure"] + curves.get("pressure_offset_kbar")[:, None],
        at["temperature"] + curves.get("temperature_offset_C")[:, None],
        removed[:, None] * curves.grown_share,
        method="cubic" if problem.options["interpolation"] == "cubic" else "linear",
    ).reshape(curves.count, -1)
    scatter = arrays.sd**2, _model_error(problem, draws) ** 2
    shapes = _shared_shapes(arrays, expected.mean(axis=0))
    if "shared_error" not in draws:
        shapes = shapes[:0]
    precision = _with_shared(_row_precision(arrays, scatter[0] + scatter[1]), shapes)
    sources = [_closed_covariance(arrays, scatter[0]), shapes.T @ shapes]
    sources.append(_closed_covariance(arrays, scatter[1]))
    age_variance = arrays.zone_age_sd_Ma**2
    if arrays.has_ages:
        zones = fit["derived"]["zone_age_expected_Ma_draws"].to_numpy().astype(float)
        expected = np.concatenate([expected, zones], axis=1)
    nothing = np.zeros((age_variance.size, age_variance.size))
    sources = [block_diag(part, nothing) for part in sources]
    sources.append(block_diag(np.zeros_like(precision), np.diag(age_variance)))
    return expected, DataErrors(block_diag(precision, np.diag(1 / age_variance)), np.array(sources))


def _shared_shapes(arrays: HistoryArrays, expected: np.ndarray) -> np.ndarray:
    """Give what one standard deviation of every shared error adds, (shape, datum)."""
    exact = expected.reshape(arrays.composition.shape)
    each = np.eye(len(arrays.shared_gain))
    return np.array(
        [(arrays.miscalibrated(exact, score, np) - exact).ravel() for score in each]
    ).reshape(len(each), exact.size)


def _model_error(problem: "Histories", draws: xr.Dataset) -> np.ndarray:
    """Give the table's error in each fraction: the mean of its draws, or the known numbers."""
    if "model_error" in draws:
        return draws["model_error"].mean("kept").to_numpy()
    return problem.priors.known("model_error")


def _row_precision(arrays: HistoryArrays, variance: np.ndarray) -> np.ndarray:
    """Give the inverse covariance of analyses that share nothing, as the likelihood has it.

    Of rows that were brought to 1 it is singular: what closure hides tells nothing.
    """
    weight = arrays.measured / variance
    hidden = weight * arrays.composition
    norm = (hidden * arrays.composition).sum(axis=1)
    blocks = weight[:, :, None] * np.eye(weight.shape[1])
    closed = arrays.closed / np.maximum(norm, 1e-12)
    blocks = blocks - closed[:, None, None] * hidden[:, :, None] * hidden[:, None, :]
    return block_diag(*blocks)


def _closed_covariance(arrays: HistoryArrays, variance: np.ndarray) -> np.ndarray:
    """Give the covariance of analyses with independent errors, brought to 1 where they were."""
    size = arrays.composition.shape[1]
    ones = np.ones(size)
    closing = np.eye(size) - arrays.closed[:, None, None] * (
        arrays.composition[:, :, None] * ones[None, None, :]
    )
    spread = np.broadcast_to(variance, arrays.composition.shape) * arrays.measured
    return block_diag(*np.einsum("pij,pj,pkj->pik", closing, spread, closing))


def _with_shared(precision: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Add errors that all data share to a covariance, given its inverse (Woodbury's identity)."""
    if not len(shapes):
        return precision
    inner = np.eye(len(shapes)) + shapes @ precision @ shapes.T
    return precision - precision @ shapes.T @ np.linalg.solve(inner, shapes @ precision)
