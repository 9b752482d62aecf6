"""From phases to expected counts and compositions: pure functions, written once.

Everything takes and gives arrays of NumPy or JAX. The letters of the shapes: k phases, e elements,
o oxides, d = e + o, c cells, a axes of solid solution.
"""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

SKEWNESS_ALLOWANCE = 0.75
"""Added to the variance of counts where they are taken for normal: a normal density with the
variance of Poisson's gives three counts where a half is expected far too small a chance."""
EVENING_POWER = 2 / 3
"""Counts to this power are spread evenly about their mean, as a normal density has it, down to a
count or so: a normal density of counts themselves takes pure pixels of few counts for mixtures."""
ROUNDING = 1 / 12
"""Variance, in counts, by which a density stands for numbers that are whole."""
FEWEST_COUNTS = 0.3
"""Counts are expected to be no fewer."""

type Array = Any
"""An array of NumPy or JAX: the functions below and in `density` take and give either."""


def observed_counts(true_counts: ArrayLike, dead_share: ArrayLike) -> Array:
    """Give the mean of the counts that a non-extending dead time lets through.

    Parameters
    ----------
    true_counts
        Expected counts without dead time.
    dead_share
        Dead time over dwell time: the share of the dwell that one count blinds.

    References
    ----------
    Mueller, J. W. (1973). Dead-time problems. Nuclear Instruments and Methods 112, 47-57.
    """
    return jnp.asarray(true_counts) / (1 + jnp.asarray(true_counts) * dead_share)


def true_counts(observed: ArrayLike, dead_share: ArrayLike) -> Array:
    """Undo `observed_counts`."""
    return jnp.asarray(observed) / (1 - jnp.asarray(observed) * dead_share)


def counting_variance(observed: ArrayLike, dead_share: ArrayLike) -> Array:
    """Give the variance of counts whose mean is `observed`: less than Poisson's by dead time."""
    observed = jnp.maximum(jnp.asarray(observed), FEWEST_COUNTS)
    return observed * (1 - observed * dead_share) ** 2


def calibrated_composition(
    counts: ArrayLike, background: ArrayLike, sensitivity: ArrayLike
) -> Array:
    """Give wt% from counts, ``C = (n - b) / g``, before matrix factors.

    Parameters
    ----------
    counts
        Expected counts (..., e).
    background, sensitivity
        Counts without the element, counts per wt% (e,).
    """
    return (jnp.asarray(counts) - background) / sensitivity


def phase_covariance(
    intensity: ArrayLike,
    dispersion: ArrayLike,
    scatter: ArrayLike,
    axis_of_phase: ArrayLike,
    loading: ArrayLike,
    correlation: ArrayLike = 0.0,
) -> Array:
    """Give the covariance of true counts and composition within each phase, (k, d, d).

    A position ``z ~ N(0, 1)`` along an axis of solid solution moves counts and composition
    together by the axis' loading; dispersion and scatter are independent of it. What an element's
    counts scatter beyond the axes may be composition in part.

    Parameters
    ----------
    intensity, dispersion
        Mean counts of the pure phase and their relative excess scatter, (k, e).
    scatter
        Scatter of the composition beyond the axes, wt% (k, o).
    axis_of_phase
        1 where an axis belongs to a phase, (k, a).
    loading
        Change of counts and of wt% for one unit of z, (a, d).
    correlation
        Of dispersion and scatter, (e, o) or none.
    """
    excess = jnp.asarray(dispersion) * intensity
    scatter = jnp.asarray(scatter)
    deviation = jnp.concatenate([excess, scatter], axis=-1)
    n_elements, size = excess.shape[-1], deviation.shape[-1]
    likeness = jnp.eye(size).at[:n_elements, n_elements:].set(correlation)
    likeness = likeness.at[n_elements:, :n_elements].set(jnp.asarray(correlation).T)
    shared = jnp.einsum("ka,ad,af->kdf", axis_of_phase, loading, loading)
    return shared + deviation[:, :, None] * likeness * deviation[:, None, :]


def mixed_moments(
    mean: ArrayLike,
    covariance: ArrayLike,
    fraction: ArrayLike,
    spread: ArrayLike,
    stretch: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """Give mean (c, d) and covariance (c, d, d) of mixtures, before counting noise.

    With fractions f of mean `fraction` and covariance `spread`, and x_k the phases' values,
    ``E[sum f x] = sum E[f] m``, ``Cov = sum (E[f]^2 + V_kk) S_k + m' V m``.

    Parameters
    ----------
    mean, covariance
        Of each phase, (k, d) and (k, d, d).
    fraction, spread
        Of each cell: mean fractions (c, k) and their covariance inside the cell (c, k, k).
    stretch
        How many times wider the phases scatter in each cell, of all or (c, 1).
    """
    square = jnp.asarray(fraction) ** 2 + jnp.diagonal(jnp.asarray(spread), axis1=1, axis2=2)
    within = jnp.einsum("ck,kdf->cdf", jnp.asarray(stretch) ** 2 * square, covariance)
    between = jnp.einsum("kd,ckl,lf->cdf", mean, spread, mean)
    return jnp.asarray(fraction) @ jnp.asarray(mean), within + between


def with_counting(
    mean: ArrayLike,
    covariance: ArrayLike,
    dead_share: ArrayLike,
    noise_share: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """Turn moments of true counts into those of observed counts (first e of the d values).

    Parameters
    ----------
    mean, covariance
        (c, d) and (c, d, d).
    dead_share
        As in `observed_counts`, (e,).
    noise_share
        Variance of the counting noise over that of one pixel: below 1 for averages of pixels.
    """
    mean, covariance, dead_share = map(jnp.asarray, (mean, covariance, dead_share))
    n_elements = dead_share.shape[0]
    rest = mean.shape[1] - n_elements
    counts = observed_counts(mean[:, :n_elements], dead_share)
    slope = 1 / (1 + mean[:, :n_elements] * dead_share) ** 2
    slope = jnp.concatenate([slope, jnp.ones((mean.shape[0], rest))], axis=1)
    noise = noise_share * (counting_variance(counts, dead_share) + SKEWNESS_ALLOWANCE)
    noise = jnp.concatenate([noise, jnp.zeros((mean.shape[0], rest))], axis=1)
    shaped = slope[:, :, None] * covariance * slope[:, None, :]
    return (
        jnp.concatenate([counts, mean[:, n_elements:]], axis=1),
        shaped + noise[:, :, None] * jnp.eye(mean.shape[1]),
    )


def evened_counts(counts: ArrayLike) -> Array:
    """Give counts, or averages of them, to the power that makes their spread even.

    References
    ----------
    Anscombe, F. J. (1953). Contribution to the discussion of Hotelling, H., New light on the
    correlation coefficient and its transforms. Journal of the Royal Statistical Society B 15,
    229-230.
    """
    # Two thirds of the time that a power takes; the logarithm of no count is no trouble.
    return jnp.exp(EVENING_POWER * jnp.log(jnp.maximum(jnp.asarray(counts), 0.0)))


def log_evening(counts: ArrayLike) -> Array:
    """Give the log of what one count more adds to evened counts, of all elements together (n,).

    It turns a density of evened counts into one of counts.
    """
    counts = jnp.maximum(jnp.asarray(counts), 0.0)
    # The first fifth of a count: there the density of none stands for its chance.
    each = jnp.log(EVENING_POWER) - jnp.log(counts + 0.2) * (1 - EVENING_POWER)
    return each.sum(axis=-1)


def evened_poisson(expected: ArrayLike) -> tuple[Array, Array, Array]:
    """Give mean, its slope and variance of the evened counts where so many are expected.

    Closed forms, within 1 % of the sums over all counts (the slope within 2 %). Where none are
    expected, mean and variance tend to what is expected, and where many are to Anscombe's.
    """
    expected = jnp.asarray(expected)
    few = 1 / (1 + 0.74 * expected)
    total = expected + 1 / 3 + 2 / 3 * few
    mean = expected / total ** (1 / 3)
    slope = (1 - expected * (1 - 0.74 * 2 / 3 * few**2) / (3 * total)) / total ** (1 / 3)
    wider = 27 / 8 - 2.26 / (1 + 0.178 * expected + 0.1127 * expected**2)
    return mean, slope, expected / (1 + wider * expected) ** (2 / 3)


def with_evened_counting(
    mean: ArrayLike,
    covariance: ArrayLike,
    dead_share: ArrayLike,
    noise_share: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """Turn moments of true counts into those of evened counts (first e of the d values).

    What scatters beside counting enters to first order in the covariance, to second in the mean.
    Parameters are as in `with_counting`.
    """
    mean, covariance, dead_share = map(jnp.asarray, (mean, covariance, dead_share))
    n_elements = dead_share.shape[0]
    rest = jnp.ones((mean.shape[0], mean.shape[1] - n_elements))
    counts = jnp.maximum(observed_counts(mean[:, :n_elements], dead_share), FEWEST_COUNTS)
    seen = 1 / (1 + mean[:, :n_elements] * dead_share) ** 2
    bend = EVENING_POWER / 3 / (counts + 0.45) ** (4 / 3)
    middle, slope, variance = evened_poisson(counts)
    scatter = seen**2 * jnp.diagonal(covariance, axis1=1, axis2=2)[:, :n_elements]
    evened = evened_counts(counts)
    evened = evened + noise_share * (middle - evened)
    # As a quotient it stays above 0 however wide the scatter is.
    evened = evened / (1 + 0.5 * bend * scatter / evened)
    noise = noise_share * (variance * (1 - counts * dead_share) ** 2 + ROUNDING * slope**2)
    whole = jnp.concatenate([seen * slope, rest], axis=1)
    noise = jnp.concatenate([noise, jnp.zeros_like(rest)], axis=1)
    return (
        jnp.concatenate([evened, mean[:, n_elements:]], axis=1),
        whole[:, :, None] * covariance * whole[:, None, :]
        + noise[:, :, None] * jnp.eye(mean.shape[1]),
    )
