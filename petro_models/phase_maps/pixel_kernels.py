"""The compiled kernels of the pixel pass: coarse cells, and the nodes of one patch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from petro_models.phase_maps import density
from petro_models.phase_maps.anchors import unknown_log_density

TAIL = 0.05
"""Probability outside the interval on each side."""


class Coarse(NamedTuple):
    """The cells as one matrix, and what the pass reads from them."""

    coefficients: jax.Array
    log_weight: jax.Array
    log_peak: jax.Array
    fraction: jax.Array
    to_pair: jax.Array
    to_triple: jax.Array
    outside: "Outside"


class Outside(NamedTuple):
    """How cells outside a patch enter its pixels; c cells.

    Inside a cell of a pair the counts still say where the fraction lies: it moves by
    ``counts @ gain - offset``, at most half the cell's width, along the pair's direction.

    Attributes
    ----------
    fraction, direction
        Mean fractions, and how they change along the pair; zero where no pair (c, k).
    gain, offset
        (e, c), (c,).
    half_width, left
        Half the width of the cell, and the variance of the fraction given the counts (c,).
    """

    fraction: jax.Array
    direction: jax.Array
    gain: jax.Array
    offset: jax.Array
    half_width: jax.Array
    left: jax.Array


class Nodes(NamedTuple):
    """One patch, ready to integrate over; g nodes, m members, q axes of the members.

    Attributes
    ----------
    coefficients, log_weight
        Of the nodes (feature, g), (g,).
    averages
        What is averaged over the nodes, side by side: see `_averages` (g, ...).
    bin_mean, bin_gain, bin_spread
        In each bin of like fractions: expected counts (b, e), and position along each axis per
        count (b, q, e), its covariance given the counts (b, q, r).
    members, axes
        Indices of the phases and axes.
    order, low_edge, high_edge
        Nodes sorted by each member's fraction (m, g), and the fractions each stands for (m, g).
    outside
        1 for cells that the patch does not hold (cell + 1,).
    """

    coefficients: jax.Array
    log_weight: jax.Array
    averages: jax.Array
    bin_mean: jax.Array
    bin_gain: jax.Array
    bin_spread: jax.Array
    members: np.ndarray
    axes: np.ndarray
    order: np.ndarray
    low_edge: np.ndarray
    high_edge: np.ndarray
    outside: np.ndarray


@jax.jit
def coarse_pass(
    counts: jax.Array,
    frame: density.Frame,
    coarse: Coarse,
    unknown: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, ...]:
    """Give cell posteriors, the best pair and triple, the triple's probability, the evidence."""
    inside = density.features(counts, frame) @ coarse.coefficients
    outside = unknown_log_density(counts, *unknown)
    both = jnp.concatenate([inside, outside[:, None]], axis=1) + coarse.log_weight
    top = both.max(axis=1, keepdims=True)
    weight = jnp.exp(both - top)
    posterior = weight / weight.sum(axis=1, keepdims=True)
    triples = posterior @ coarse.to_triple
    best = (inside + coarse.log_weight[:-1]).argmax(axis=1)
    height = jnp.take_along_axis(inside, best[:, None], axis=1)[:, 0]
    evidence = height - coarse.log_peak[best] + 0.5 * counts.shape[1]
    return (
        posterior,
        (posterior @ coarse.to_pair).argmax(axis=1),
        triples.argmax(axis=1),
        triples.max(axis=1),
        evidence,
    )


@jax.jit
def sum_of_fractions(
    counts: jax.Array,
    real: jax.Array,
    frame: density.Frame,
    table: jax.Array,
    log_weight: jax.Array,
    fraction: jax.Array,
) -> jax.Array:
    """Add up the cells' mean fractions over pixels, unknown ones left out of the mixture."""
    inside = density.features(counts, frame) @ table + log_weight[:-1]
    weight = jnp.exp(inside - inside.max(axis=1, keepdims=True))
    weight = weight / weight.sum(axis=1, keepdims=True) * real[:, None]
    return weight.sum(axis=0) @ fraction


@jax.jit
def integrate(
    counts: jax.Array,
    rest: jax.Array,
    frame: density.Frame,
    cells: Outside,
    nodes: tuple[jax.Array, ...],
    order: jax.Array,
    low_edge: jax.Array,
    high_edge: jax.Array,
    members: jax.Array,
    own_composition: jax.Array,
    axis_composition: jax.Array,
    phase_composition: jax.Array,
    hidden: jax.Array,
) -> jax.Array:
    """Integrate fractions and compositions over the nodes of one patch; see `PixelEngine`.

    Probability `rest` (n, cell) of cells outside the patch enters as `Outside` says; the unknown
    class is conditioned away.
    """
    table, log_weight, averages, bin_mean, gain, spread = nodes
    log_node = density.features(counts, frame) @ table + log_weight
    share = jnp.exp(log_node - log_node.max(axis=1, keepdims=True))
    left = rest.sum(axis=1)
    share = share * ((1 - left) / share.sum(axis=1))[:, None]
    n, m, (b, q) = len(counts), own_composition.shape[0], gain.shape[:2]
    sizes = np.cumsum([m, m * m, b * q, b * m * q, b * q * q, q, m * q, b * q * q])
    parts = jnp.split(share @ averages, sizes, axis=1)
    mean, products = parts[0], parts[1].reshape(n, m, m)
    moved = jnp.clip(counts @ cells.gain - cells.offset, -cells.half_width, cells.half_width)
    once, twice = rest * moved, rest * (moved**2 + cells.left)

    def outside_moments(at: jax.Array, along: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give mean and mean square of what is `at` in each cell and changes `along` it."""
        mean_square = rest @ at**2 + 2 * once @ (at * along) + twice @ along**2
        return rest @ at + once @ along, mean_square

    outer, outer_square = outside_moments(cells.fraction, cells.direction)
    fraction = outer.at[:, members].add(mean)
    square = outer_square.at[:, members].add(jnp.diagonal(products, axis1=1, axis2=2))
    sd = jnp.sqrt(jnp.maximum(square - fraction**2, 0.0))
    # Composition is linear in fractions and in fraction x position along the axes.
    residual = counts[:, None, :] - bin_mean
    position = jnp.einsum("nbe,bqe->nbq", residual, gain)
    moment = (parts[2].reshape(n, b, q) * position).sum(axis=1) + parts[5]
    crossed = jnp.einsum("nbmq,nbq->nmq", parts[3].reshape(n, b, m, q), position)
    crossed = crossed + parts[6].reshape(n, m, q)
    pairs = position[:, :, :, None] * position[:, :, None, :] + spread
    drifted = jnp.einsum("nbqr,nbr->nqr", parts[7].reshape(n, b, q, q), position)
    squared = (parts[4].reshape(n, b, q, q) * pairs).sum(axis=1)
    squared = squared + drifted + drifted.swapaxes(1, 2) + parts[8].reshape(n, q, q)

    def mean_and_square(
        own: jax.Array, along: jax.Array, phases: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Give mean and mean square of a quantity with these values per member, axis, phase."""
        outer, outer_square = outside_moments(cells.fraction @ phases, cells.direction @ phases)
        inner_square = (
            jnp.einsum("nmp,mo,po->no", products, own, own)
            + 2 * jnp.einsum("nmq,mo,qo->no", crossed, own, along)
            + jnp.einsum("nqr,qo,ro->no", squared, along, along)
        )
        return mean @ own + moment @ along + outer, inner_square + outer_square

    values = (own_composition, axis_composition, phase_composition)
    composition, composition_square = mean_and_square(*values)
    total, total_square = mean_and_square(*(v.sum(axis=1, keepdims=True) for v in values))
    variance, total_variance = composition_square - composition**2, total_square - total**2
    unseen = square @ hidden**2
    low, high = _quantiles(share, left, order, low_edge, high_edge)
    return jnp.concatenate(
        [
            fraction,
            sd,
            low,
            high,
            share[:, :m],
            composition,
            jnp.maximum(variance, 0.0) + unseen,
            jnp.maximum(total_variance, 0.0) + unseen.sum(axis=1, keepdims=True),
            moment,
        ],
        axis=1,
    )


def _quantiles(
    share: jax.Array,
    left: jax.Array,
    order: jax.Array,
    low_edge: jax.Array,
    high_edge: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Give both ends of the equal-tailed interval of each member's fraction (n, m).

    Probability outside the patch counts as fraction zero.
    """
    ends: tuple[list[jax.Array], list[jax.Array]] = ([], [])
    for m in range(order.shape[0]):
        weight = share[:, order[m]]
        reached = left[:, None] + jnp.cumsum(weight, axis=1)
        for tail, columns in zip((TAIL, 1 - TAIL), ends, strict=True):
            index = jnp.minimum((reached < tail).sum(axis=1), weight.shape[1] - 1)
            before = jnp.take_along_axis(reached - weight, index[:, None], axis=1)[:, 0]
            step = jnp.take_along_axis(weight, index[:, None], axis=1)[:, 0]
            inside = jnp.clip((tail - before) / jnp.maximum(step, 1e-30), 0.0, 1.0)
            low, high = low_edge[m][index], high_edge[m][index]
            columns.append(jnp.where(left >= tail, 0.0, low + inside * (high - low)))
    return jnp.stack(ends[0], axis=1), jnp.stack(ends[1], axis=1)
