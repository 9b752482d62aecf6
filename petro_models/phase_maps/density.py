"""Log densities of pixels and spots under Gaussian cells, on JAX.

Counts are evened first (`forward.evened_counts`), so that a normal density fits few of them too.

The log density of a Gaussian is linear in the products of the values: all pixels against all cells
is one product of two matrices, ``features(values) @ coefficients(cells)``, of which the first is
data and computed once. Values are taken from a common origin in common units, so that the squares
do not cancel to noise.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.scipy.special import logsumexp

from petro_models.phase_maps.forward import (
    Array,
    evened_counts,
    mixed_moments,
    with_counting,
    with_evened_counting,
)

LOG_TWO_PI = 1.8378770664093453


class Frame(NamedTuple):
    """Origin and unit of each value (d,)."""

    origin: Array
    unit: Array


def frame_of(values: np.ndarray) -> Frame:
    """Take mean and standard deviation of values (n, d) as origin and unit; NaN are left out."""
    spread = np.nanstd(values, axis=0)
    return Frame(np.nanmean(values, axis=0), np.where(spread > 0, spread, 1.0))


def evened_frame(mean: Array, sd: Array) -> Frame:
    """Give the frame of evened counts from mean and standard deviation of counts (e,)."""
    return Frame(evened_counts(mean), evened_counts(mean + sd) - evened_counts(mean))


def features(values: Array, frame: Frame) -> Array:
    """Give 1, the values and their products in a frame, (n, 1 + d + d (d + 1) / 2)."""
    x = (values - frame.origin) / frame.unit
    first, second = np.triu_indices(x.shape[-1])
    return jnp.concatenate([jnp.ones_like(x[..., :1]), x, x[..., first] * x[..., second]], axis=-1)


def coefficients(mean: Array, covariance: Array, frame: Frame) -> Array:
    """Give what multiplies `features` to the log density of each cell, (feature, c).

    Parameters
    ----------
    mean, covariance
        (c, d), (c, d, d).
    frame
        The frame of the features.
    """
    size = mean.shape[1]
    centre = (mean - frame.origin) / frame.unit
    scaled = covariance / (frame.unit[:, None] * frame.unit[None, :])
    precision, log_root = _inverse(scaled)
    pull = jnp.einsum("cde,ce->cd", precision, centre)
    constant = (
        -0.5 * size * LOG_TWO_PI
        - log_root
        - jnp.log(frame.unit).sum()
        - 0.5 * (pull * centre).sum(axis=1)
    )
    first, second = np.triu_indices(size)
    twice = np.where(first == second, 0.5, 1.0)
    products = -precision[:, first, second] * twice
    return jnp.concatenate([constant[:, None], pull, products], axis=1).T


@jax.custom_vjp
def _inverse(covariance: Array) -> tuple[Array, Array]:
    """Give inverses of symmetric positive matrices and half their log determinants.

    Its derivative is written out because it needs products only: through the factors it takes
    solves, matrix by matrix.
    """
    factor = jnp.linalg.cholesky(covariance)
    identity = jnp.broadcast_to(jnp.eye(covariance.shape[-1]), covariance.shape)
    log_root = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return cho_solve((factor, True), identity), log_root


def _inverse_forward(covariance: Array) -> tuple[tuple[Array, Array], Array]:
    precision, log_root = _inverse(covariance)
    return (precision, log_root), precision


def _inverse_backward(precision: Array, change: tuple[Array, Array]) -> tuple[Array]:
    of_precision, of_log_root = change
    through = precision @ (0.5 * (of_precision + of_precision.swapaxes(1, 2))) @ precision
    return (0.5 * of_log_root[:, None, None] * precision - through,)


_inverse.defvjp(_inverse_forward, _inverse_backward)


def log_density(mean: Array, covariance: Array, values: Array, frame: Frame) -> Array:
    """Give the log density of values (n, d) under every cell, (n, c)."""
    return features(values, frame) @ coefficients(mean, covariance, frame)


def counting_cells(
    mean: Array,
    covariance: Array,
    fraction: Array,
    spread: Array,
    dead_share: Array,
    stretch: Array,
    noise_share: float = 1.0,
    *,
    evened: bool = False,
) -> tuple[Array, Array]:
    """Give mean and covariance of what is observed in every cell of fractions.

    Parameters
    ----------
    mean, covariance
        Of each phase's true counts and composition, (k, d), (k, d, d).
    fraction, spread
        (c, k), (c, k, k).
    dead_share, noise_share
        As in `forward.with_counting`.
    stretch
        How many times wider the phases scatter in each cell (c,).
    evened
        Whether the moments are those of evened counts.
    """
    mixed = mixed_moments(mean, covariance, fraction, spread, stretch[:, None])
    counting = with_evened_counting if evened else with_counting
    return counting(*mixed, dead_share, noise_share)


def place_log_density(
    marginal: Array, joint: Array, log_weight: Array, log_label: Array, log_target: Array
) -> tuple[Array, Array]:
    """Sum the cells out at places where a spot may lie (n,): with the analysis, and without.

    At a place the counts already say which cells it may be, and an analyst prefers some of them;
    composition and label are weighed against that.

    Parameters
    ----------
    marginal, joint
        Log densities of counts, and of counts and composition, (n, cell).
    log_weight, log_target
        Of the cells, and the log odds by which an analyst prefers each, (cell,).
    log_label
        Probability of the spot's label in each cell, (n, cell).
    """
    seen = logsumexp(marginal + log_weight, axis=1, keepdims=True)
    chance = log_weight + log_target - seen
    return (
        logsumexp(chance + joint + log_label, axis=1),
        logsumexp(chance + marginal, axis=1),
    )
