"""Log densities of pixels and spots under Gaussian cells, on JAX.

All pixels against all cells is one matrix product: a cell's residuals are whitened by the inverse
Cholesky factor of its covariance, whose order - counts first, composition after - gives the
density of the counts alone and of counts and composition together at once.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp

from petro_models.phase_maps.forward import Array, mixed_moments, with_counting

LOG_TWO_PI = 1.8378770664093453


class Gaussians(NamedTuple):
    """Cells as whitening maps: residual ``values @ whitener - offset`` is standard normal.

    Attributes
    ----------
    whitener
        Inverse Cholesky factors, (c, d, d).
    offset
        Whitened means, (c, d).
    log_scale
        Log of the diagonals of `whitener`, (c, d).
    """

    whitener: Array
    offset: Array
    log_scale: Array


def gaussians(mean: Array, covariance: Array) -> Gaussians:
    """Prepare cells from means (c, d) and covariances (c, d, d)."""
    factor = jnp.linalg.cholesky(covariance)
    identity = jnp.broadcast_to(jnp.eye(mean.shape[1], dtype=mean.dtype), factor.shape)
    whitener = solve_triangular(factor, identity, lower=True)
    return Gaussians(
        whitener,
        jnp.einsum("cfd,cd->cf", whitener, mean),
        -jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)),
    )


def squared_residuals(cells: Gaussians, values: Array) -> Array:
    """Give the squared whitened residuals of values (n, d) under every cell, (n, c, d)."""
    count, size = cells.offset.shape
    stacked = cells.whitener.reshape(count * size, size)
    whitened = values @ stacked.T
    return (whitened.reshape(-1, count, size) - cells.offset) ** 2


def log_density(cells: Gaussians, values: Array) -> Array:
    """Give the log density of values (n, d) under every cell, (n, c)."""
    size = cells.offset.shape[1]
    scale = cells.log_scale.sum(axis=1) - 0.5 * size * LOG_TWO_PI
    return scale - 0.5 * squared_residuals(cells, values).sum(axis=-1)


def marginal_and_joint(cells: Gaussians, values: Array, n_first: int) -> tuple[Array, Array]:
    """Give the log densities of the first values alone, and of all values, (n, c) each."""
    size = cells.offset.shape[1]
    squares = squared_residuals(cells, values)
    first = cells.log_scale[:, :n_first].sum(axis=1) - 0.5 * n_first * LOG_TWO_PI
    rest = cells.log_scale[:, n_first:].sum(axis=1) - 0.5 * (size - n_first) * LOG_TWO_PI
    marginal = first - 0.5 * squares[..., :n_first].sum(axis=-1)
    return marginal, marginal + rest - 0.5 * squares[..., n_first:].sum(axis=-1)


def counting_cells(
    mean: Array,
    covariance: Array,
    fraction: Array,
    spread: Array,
    dead_share: Array,
    noise_share: float = 1.0,
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
    """
    return with_counting(
        *mixed_moments(mean, covariance, fraction, spread), dead_share, noise_share
    )


def mixture_log_density(log_weight: Array, cell_log_density: Array) -> Array:
    """Sum cells (n, c) with their log weights (c,) to one log density a pixel, (n,)."""
    return logsumexp(cell_log_density + log_weight, axis=-1)


def spot_log_density(
    marginal: Array,
    joint: Array,
    log_weight: Array,
    log_label: Array,
    log_place: Array,
    log_outlier: Array,
) -> Array:
    """Give the log density of each spot's composition, its place and class summed out.

    A spot lies on one of the places of its window; there the counts already say what may be at
    the spot, and composition and label are weighed against that. A gross outlier obeys a broad
    density instead.

    Parameters
    ----------
    marginal, joint
        Log densities of counts, and of counts and composition, (spot, place, cell).
    log_weight
        Of the cells, (cell,).
    log_label
        Probability of the spot's label in each cell, (spot, cell).
    log_place
        Probability of each place, (spot, place).
    log_outlier
        Log probability of an outlier times its density, (spot,), and log of the rest, (): a pair.
    """
    outlier, regular = log_outlier
    seen = logsumexp(marginal + log_weight, axis=-1)
    both = logsumexp(joint + log_weight + log_label[:, None, :], axis=-1)
    inside = logsumexp(log_place + both - seen, axis=-1)
    return jnp.logaddexp(regular + inside, outlier)


def place_log_probability(offset: Array, shift: Array, jitter: Array) -> Array:
    """Give the log probability of each pixel (spot, place) for normal errors of registration.

    Parameters
    ----------
    offset
        Column and row of each place from the spot's nominal position, pixels (spot, place, 2).
    shift, jitter
        Common shift (2,) and scatter of single spots (), pixels.
    """
    # A place stands for a pixel's area, so the scatter is never below a uniform's over a pixel.
    variance = jitter**2 + 1 / 12
    square = ((offset - shift) ** 2).sum(axis=-1)
    return -0.5 * square / variance - LOG_TWO_PI - jnp.log(variance)
