"""Poisson maximum-likelihood unmixing of pixels into phases of known counts."""

import numpy as np
from numpy.typing import NDArray

from petro_models.errors import DataError, FitError

Array = NDArray[np.float64]

_MOST_STEPS = 60
_CENTRING = 0.1  # each Newton step aims at a tenth of the present duality gap
_TO_THE_BOUNDARY = 0.995


def unmix_poisson(
    counts: Array,
    end_members: Array,
    floor_counts: float = 0.1,
    tolerance: float = 1e-6,
    pixels_at_once: int = 8192,
) -> Array:
    """Find the fractions that make each pixel's counts most likely.

    Maximises ``sum_e n_e ln(lambda_e) - lambda_e`` with ``lambda_e = sum_k f_k mu_ke`` over
    ``f_k >= 0, sum_k f_k = 1``. The problem is convex; every pixel is solved by the same
    primal-dual interior-point iteration (Boyd & Vandenberghe 2004, section 11.7), many pixels in
    one step of linear algebra, until the duality gap shows that no other fractions could raise
    the log-likelihood by more than `tolerance`.

    Parameters
    ----------
    counts
        (pixel, element) counts, >= 0.
    end_members
        (phase, element) expected counts of a pure pixel, background included.
    floor_counts
        Least expected counts of a phase in any element, so that one stray count of an element
        that no phase emits does not rule out every answer.
    tolerance
        Greatest loss of log-likelihood against the exact maximum.
    pixels_at_once
        Pixels solved together; it bounds the memory and changes nothing else.

    Returns
    -------
    Array
        (pixel, phase) fractions, which sum to 1.

    Raises
    ------
    DataError
        Counts or end members that are negative or not numbers, or shapes that do not match.
    FitError
        Pixels that do not reach the tolerance (not met in practice; the message counts them).
    """
    counts = np.asarray(counts, dtype=float)
    end_members = np.asarray(end_members, dtype=float)
    _check(counts, end_members)
    bright = np.maximum(end_members, floor_counts)
    fractions = np.empty((len(counts), len(bright)))
    for start in range(0, len(counts), pixels_at_once):
        part = slice(start, start + pixels_at_once)
        fractions[part] = _interior_point(counts[part], bright, tolerance)
    return fractions


def poisson_deviance(counts: Array, end_members: Array, fractions: Array) -> Array:
    """Misfit of each pixel (pixel): ``2 sum_e n ln(n / lambda) - n + lambda``; about E if good."""
    expected = fractions @ end_members
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = np.where(counts > 0, counts * np.log(counts / expected), 0.0)
    return 2 * (surprise - counts + expected).sum(axis=1)


def _check(counts: Array, end_members: Array) -> None:
    """Refuse numbers that cannot be counts."""
    if counts.ndim != 2 or end_members.ndim != 2 or counts.shape[1] != end_members.shape[1]:
        raise DataError(
            f"counts have the shape {counts.shape} and end members {end_members.shape}; "
            "they must be (pixel, element) and (phase, element) with the same elements."
        )
    for name, values in (("counts", counts), ("end members", end_members)):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise DataError(f"{name} must be numbers >= 0: mask or fill what is missing first.")


def _interior_point(counts: Array, bright: Array, tolerance: float) -> Array:
    """Solve a batch of pixels; those that have converged leave the iteration.

    Lagrangian: F(f) - z f + nu (sum f - 1), F = sum_e lambda_e - n_e ln(lambda_e). The start is
    strictly feasible, and every step keeps sum f = 1.
    """
    answer = np.full((len(counts), len(bright)), 1 / len(bright))
    if len(bright) == 1:
        return answer
    open_pixels = np.arange(len(counts))
    fraction = answer.copy()
    gradient, _ = _derivatives(counts, bright, fraction)
    # a dual point inside its cone: the gradient shifted to be positive
    level = -gradient.min(axis=1, keepdims=True) + np.ptp(gradient, axis=1, keepdims=True) + 1
    dual = gradient + level
    for _ in range(_MOST_STEPS):
        fraction, dual, gap = _newton_step(counts[open_pixels], bright, fraction, dual)
        answer[open_pixels] = fraction
        unfinished = gap > tolerance
        open_pixels = open_pixels[unfinished]
        if len(open_pixels) == 0:
            return answer
        fraction, dual = fraction[unfinished], dual[unfinished]
    raise FitError(
        f"{len(open_pixels)} pixels did not reach a log-likelihood within {tolerance:g} of the "
        "maximum; look for end members that are equal or far from the counts."
    )


def _newton_step(
    counts: Array, bright: Array, fraction: Array, dual: Array
) -> tuple[Array, Array, Array]:
    """Take one primal-dual step; returns fractions, dual variables and the true duality gap."""
    gradient, curvature = _derivatives(counts, bright, fraction)
    target = _CENTRING * (fraction * dual).mean(axis=1, keepdims=True)
    matrix = curvature + np.eye(len(bright)) * (dual / fraction)[:, :, None]
    right = np.stack([target / fraction - gradient, np.ones_like(gradient)], axis=2)
    free, along = np.moveaxis(np.linalg.solve(matrix, right), 2, 0)
    level = free.sum(axis=1, keepdims=True) / along.sum(axis=1, keepdims=True)
    change = free - level * along
    dual_change = (target - dual * change) / fraction - dual
    length = _TO_THE_BOUNDARY * np.minimum(
        _longest_step(fraction, change), _longest_step(dual, dual_change)
    )
    fraction = fraction + np.minimum(length, 1) * change
    fraction /= fraction.sum(axis=1, keepdims=True)
    dual = dual + np.minimum(length, 1) * dual_change
    gradient, _ = _derivatives(counts, bright, fraction, curvature=False)
    # F is convex, so F(f) - F(best) <= gradient . f - min(gradient), whatever the dual says
    gap = (gradient * fraction).sum(axis=1) - gradient.min(axis=1)
    return fraction, dual, gap


def _derivatives(
    counts: Array, bright: Array, fraction: Array, curvature: bool = True
) -> tuple[Array, Array]:
    """Gradient (pixel, phase) and Hessian (pixel, phase, phase) of minus the log-likelihood."""
    expected = fraction @ bright
    ratio = counts / expected
    gradient = (1 - ratio) @ bright.T
    if not curvature:
        return gradient, np.empty(0)
    pairs = bright[:, None] * bright[None]
    hessian = (ratio / expected) @ pairs.reshape(-1, bright.shape[1]).T
    return gradient, hessian.reshape(len(counts), len(bright), len(bright))


def _longest_step(value: Array, change: Array) -> Array:
    """Largest step (pixel, 1) that keeps every value >= 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.where(change < 0, -value / change, np.inf)
    return limits.min(axis=1, keepdims=True)
