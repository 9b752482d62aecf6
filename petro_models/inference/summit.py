"""The highest point of a log density and the curvature about it: what whitening needs.

Plain NumPy around a value and its gradient, whoever computes them: one model or one of many alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from petro_models.errors import FitError

type ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]

FLATTEST_CURVATURE = 0.1
"""Eigenvalues of the Hessian below this count as this: three prior units of freedom are enough."""
MOST_CLIMBS = 4
SMALL_STEP = 1.5
"""The curvature is measured anew where a climb went further than so many standard deviations."""
DIFFERENCE = 3e-5
WIDE_DIFFERENCE = 0.3
"""Step, in standard deviations, of the last curvatures: tables that are read linearly have kinks,
the highest point likes to sit on one, and the curvature *there* says nothing of the posterior."""
WIDE_ROUNDS = 2
SAME_WIDTH = 0.05
"""The curvature is measured once more unless all widths changed by less than this share."""


@dataclass(frozen=True)
class Summit:
    """The highest point of a log density, and the normal that has its curvature.

    Attributes
    ----------
    optimum
        Unconstrained variables, flat (size,).
    scale
        Root of the covariance (size, size): ``optimum + scale @ z`` for standard normal ``z``.
    log_density
        At the optimum, with the Jacobians of the transformations.
    log_evidence
        Laplace's approximation of the log marginal density.
    gradient_norm
        Length of the gradient at the optimum in whitened units: near 0 if the climb arrived.
    """

    optimum: np.ndarray
    scale: np.ndarray
    log_density: float
    log_evidence: float
    gradient_norm: float


def find_summit(
    descent: ValueAndGradient, prior_gradient: Callable[[np.ndarray], np.ndarray], start: np.ndarray
) -> Summit:
    """Climb to the highest point from a start and measure the curvature there.

    Parameters
    ----------
    descent
        Minus the log density and its gradient at a flat point (size,).
    prior_gradient
        Gradient of minus the log prior density.
    start
        Flat point (size,).

    Raises
    ------
    FitError
        If the density or its curvature is not finite.
    """
    units = _prior_units(prior_gradient, start)
    origin = start / units

    def value_and_gradient(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = descent(units * position)
        return value, units * gradient

    if not np.isfinite(value_and_gradient(origin)[0]):
        raise FitError("the density is not finite at the starting point: check data and priors")
    position, curvature = origin, _hessian(value_and_gradient, origin)
    for _ in range(MOST_CLIMBS):
        scale, widths = _root(curvature)
        step, norm, lowest = climb(value_and_gradient, position, scale)
        position = position + scale @ step
        if np.abs(step).max() < SMALL_STEP:
            break
        curvature = _hessian(value_and_gradient, position)
    for _ in range(WIDE_ROUNDS):
        inner, inner_widths = _root(_wide_hessian(value_and_gradient, position, scale))
        scale, widths = scale @ inner, widths * inner_widths
        if np.abs(np.log(inner_widths)).max() < SAME_WIDTH:
            break
    log_density = -lowest
    return Summit(
        optimum=units * position,
        scale=units[:, None] * scale,
        log_density=log_density,
        log_evidence=log_density
        + 0.5 * position.size * float(np.log(2 * np.pi))
        + float(np.log(widths).sum() + np.log(units).sum()),
        gradient_norm=norm,
    )


def _prior_units(gradient: Callable[[np.ndarray], np.ndarray], origin: np.ndarray) -> np.ndarray:
    """Give the widths of the prior along each variable: curvatures in these units compare.

    An energy of 200 +- 30 and a log scale of 0 +- 1 are then equally flat where data say nothing.
    """
    units = np.ones(origin.size)
    for index, value in enumerate(origin):
        move = np.zeros(origin.size)
        move[index] = DIFFERENCE * max(1.0, abs(value))
        ahead, behind = gradient(origin + move)[index], gradient(origin - move)[index]
        curvature = float(ahead - behind) / (2 * move[index])
        if curvature > 0:
            units[index] = 1 / np.sqrt(curvature)
    return units


def _root(curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a root of the inverse of a Hessian, and the widths along its directions.

    Away from the optimum some curvatures are negative: their size still tells the scale.
    """
    eigenvalues, directions = np.linalg.eigh(curvature)
    if not np.isfinite(eigenvalues).all():
        raise FitError("the curvature of the density is not finite at the optimum: check priors")
    widths = 1 / np.sqrt(np.maximum(np.abs(eigenvalues), FLATTEST_CURVATURE))
    return directions * widths, widths


def climb(
    value_and_gradient: ValueAndGradient, origin: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Minimise by L-BFGS in whitened coordinates; give the step, the gradient left, the value."""

    def whitened(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(origin + scale @ z)
        return value, scale.T @ gradient

    result = minimize(
        whitened,
        np.zeros(origin.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "maxfun": 1000, "maxcor": 30, "ftol": 1e-12, "gtol": 1e-3},
    )
    return result.x, float(np.linalg.norm(result.jac)), float(result.fun)


def _hessian(value_and_gradient: ValueAndGradient, position: np.ndarray) -> np.ndarray:
    """Give the Hessian by differences of the exact gradient.

    Second derivatives by JAX took ten times as long, most of it to compile.
    """
    here = value_and_gradient(position)[1]
    moves = DIFFERENCE * np.eye(position.size)
    rows = np.array([value_and_gradient(position + move)[1] - here for move in moves]) / DIFFERENCE
    return (rows + rows.T) / 2


def mean_scale(
    value_and_gradient: ValueAndGradient, points: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Give the scale that has the mean curvature at points of a posterior.

    Parameters
    ----------
    value_and_gradient
        Of minus the log density.
    points
        Flat points (point, size).
    scale
        A scale that is right in order of magnitude (size, size).
    """
    curvature = np.mean([_wide_hessian(value_and_gradient, at, scale) for at in points], axis=0)
    return scale @ _root(curvature)[0]


def _wide_hessian(
    value_and_gradient: ValueAndGradient, position: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Give the Hessian in whitened coordinates, averaged over a part of a standard deviation."""
    changes = [
        value_and_gradient(position + move)[1] - value_and_gradient(position - move)[1]
        for move in WIDE_DIFFERENCE * scale.T
    ]
    rows = np.array(changes) @ scale / (2 * WIDE_DIFFERENCE)
    return (rows + rows.T) / 2
