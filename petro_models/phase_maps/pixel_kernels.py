"""The compiled kernels of the pixel pass: coarse cells, and the nodes of one patch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from petro_models.inference.devices import full_precision
from petro_models.phase_maps import density, forward
from petro_models.phase_maps.anchors import unknown_log_density

TAIL = 0.05
"""Probability outside the interval on each side."""
NORMAL_QUANTILE = 1.645
"""Of a standard normal, so much lies beyond it as outside the interval on one side."""
PURE_FROM = 0.995
"""From this probability of one pure phase a pixel needs no integral over fractions."""
TRIPLE_FROM = 0.01
"""A pixel is integrated over three phases from this probability of holding three."""


class Coarse(NamedTuple):
    """The cells as one matrix, and what the pass reads from them; c cells, one more is unknown.

    Attributes
    ----------
    coefficients, log_weight, log_peak
        Of the cells (feature, c), (c + 1,), (c,).
    to_single, to_pair, to_triple
        What each cell's probability says for each pure phase, pair and triple (c + 1, ...).
    """

    coefficients: jax.Array
    log_weight: jax.Array
    log_peak: jax.Array
    to_single: jax.Array
    to_pair: jax.Array
    to_triple: jax.Array


class Outside(NamedTuple):
    """How cells outside a patch enter its pixels; c cells, v values averaged.

    Inside a cell of a pair the counts still say where the fraction lies: it moves by
    ``counts @ gain - offset``, at most half the cell's width, along the pair's direction. The
    values are the fractions, the oxides and their total.

    Attributes
    ----------
    gain, offset
        (e, c), (c,).
    half_width, left
        Half the width of the cell, and the variance of the fraction given the counts (c,).
    still, moved, moved_twice
        What the values and their squares have in the cell's middle (c, 2 v), per move (c, 2 v),
        and the squares per square of the move (c, v).
    pure
        1 where a cell is that phase alone (c, k).
    """

    gain: jax.Array
    offset: jax.Array
    half_width: jax.Array
    left: jax.Array
    still: jax.Array
    moved: jax.Array
    moved_twice: jax.Array
    pure: jax.Array


class BeyondAxes(NamedTuple):
    """What scatters in counts and composition of the phases beyond their axes.

    Attributes
    ----------
    intensity, axis_counts, dead_share
        Expected true counts of pure phases (k, e), their change along each axis (a, e), and dead
        time over dwell time (e,).
    excess
        Variance of true counts beyond axes and counting (k, e).
    hidden
        Variance of the composition beyond the axes (k, o).
    shared
        Its covariance with the counts of its element (k, o).
    element
        1 for the element of each oxide (e, o).
    """

    intensity: jax.Array
    axis_counts: jax.Array
    dead_share: jax.Array
    excess: jax.Array
    hidden: jax.Array
    shared: jax.Array
    element: jax.Array

    def told(
        self, counts: ArrayLike, fraction: ArrayLike, square: ArrayLike, moment: ArrayLike
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Give wt% that counts beyond the axes tell, wt% per count, and the variance left (n, o).

        Parameters
        ----------
        counts, fraction, square, moment
            Of pixels: counts (n, e), fractions and their squares (n, k), and fraction times
            position along the axes (n, a).
        """
        counts, fraction, square, moment = map(jnp.asarray, (counts, fraction, square, moment))
        expected = fraction @ self.intensity + moment @ self.axis_counts
        residual = forward.true_counts(counts, self.dead_share) - expected
        variance = square @ self.excess + jnp.maximum(expected, 0.3)
        variance = variance + forward.SKEWNESS_ALLOWANCE
        together = square @ self.shared
        gain = together / (variance @ self.element)
        return gain * (residual @ self.element), gain, square @ self.hidden - gain * together


class Nodes(NamedTuple):
    """One patch, ready to integrate over; g nodes, m members, q axes of the members.

    Attributes
    ----------
    coefficients, log_weight
        Of the nodes (feature, g), (g,).
    near
        How near each node is to each of the patch's cells; they add up to one (own cell, g).
    averages
        What is averaged over the nodes, side by side: see `_averages` (g, ...).
    bin_mean, bin_gain, bin_spread
        In each bin of like fractions: expected counts (b, e), and position along each axis per
        count (b, q, e), its covariance given the counts (b, q, r).
    upto, width, lowest
        Which nodes hold at most each level of each member's fraction (m, g, level), the width of
        the fractions that each level stands for (m, level), and the lowest fraction (m,).
    outside
        1 for cells that the patch does not hold, 0 for the unknown class (cell + 1,).
    phase_of_member, phase_of_corner, axis_of_own
        1 where a member is that phase (m, k), where one of the first nodes is that phase alone
        (corner, k), and where one of the members' axes is that axis of
        all (q, a).
    composition, axis_composition
        wt% of the members (m, o), and its change along their axes (q, o).
    """

    coefficients: jax.Array
    log_weight: jax.Array
    near: jax.Array
    averages: jax.Array
    bin_mean: jax.Array
    bin_gain: jax.Array
    bin_spread: jax.Array
    upto: jax.Array
    width: jax.Array
    lowest: jax.Array
    outside: jax.Array
    phase_of_member: jax.Array
    phase_of_corner: jax.Array
    axis_of_own: jax.Array
    composition: jax.Array
    axis_composition: jax.Array


@jax.jit
@full_precision
def coarse_pass(
    counts: jax.Array,
    frame: density.Frame,
    coarse: Coarse,
    unknown: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Tell which cells each pixel may be in by its own counts.

    Returns
    -------
    posterior
        Probability of the cells and of the unknown class (n, c + 1).
    evidence
        Log density of the counts in the best cell, less its expectation (n,).
    """
    inside = density.features(forward.evened_counts(counts), frame) @ coarse.coefficients
    outside = unknown_log_density(counts, *unknown) - forward.log_evening(counts)
    both = jnp.concatenate([inside, outside[:, None]], axis=1) + coarse.log_weight
    weight = jnp.exp(both - both.max(axis=1, keepdims=True))
    posterior = weight / weight.sum(axis=1, keepdims=True)
    # By comparison with the maximum: `argmax` over all cells takes longer than all else here.
    weighted = both[:, :-1]
    best = weighted == weighted.max(axis=1, keepdims=True)
    evidence = jnp.where(best, inside - coarse.log_peak, -jnp.inf).max(axis=1)
    return posterior, evidence + 0.5 * counts.shape[1]


@jax.jit
@full_precision
def choose_patch(posterior: jax.Array, coarse: Coarse) -> jax.Array:
    """Give the patch to integrate over: first singles, then pairs, then triples (n,)."""
    groups = (coarse.to_single, coarse.to_pair, coarse.to_triple)
    ends = np.cumsum([group.shape[1] for group in groups])
    single, pair, triple = jnp.split(posterior @ jnp.concatenate(groups, axis=1), ends[:-1], axis=1)
    patch = jnp.where(
        single.max(axis=1) > PURE_FROM, single.argmax(axis=1), ends[0] + pair.argmax(axis=1)
    )
    return jnp.where(triple.max(axis=1) > TRIPLE_FROM, ends[1] + triple.argmax(axis=1), patch)


@jax.jit
def sum_of_fractions(
    counts: jax.Array,
    real: jax.Array,
    frame: density.Frame,
    table: jax.Array,
    log_weight: jax.Array,
    fraction: jax.Array,
    neighbours: jax.Array | None = None,
) -> jax.Array:
    """Add up the cells' mean fractions over pixels, unknown ones left out of the mixture."""
    inside = density.features(forward.evened_counts(counts), frame) @ table + log_weight[:-1]
    if neighbours is not None:
        inside = inside + neighbours[:, :-1]
    weight = jnp.exp(inside - inside.max(axis=1, keepdims=True))
    weight = weight / weight.sum(axis=1, keepdims=True) * real[:, None]
    return weight.sum(axis=0) @ fraction


@jax.jit
@full_precision
def integrate(
    counts: jax.Array,
    posterior: jax.Array,
    frame: density.Frame,
    cells: Outside,
    nodes: Nodes,
    beyond: BeyondAxes,
    neighbours: jax.Array | None = None,
) -> jax.Array:
    """Integrate fractions and compositions over the nodes of one patch; see `PixelEngine`.

    The `posterior` (n, cell + 1) of the cells outside the patch enters as `Outside` says; the
    unknown class is conditioned away. What neighbours add is that of the patch's own cells (n, own
    cell). Gives the columns of `PixelAnswers`.
    """
    rest = (posterior * nodes.outside)[:, :-1]
    evened = forward.evened_counts(counts)
    log_node = density.features(evened, frame) @ nodes.coefficients + nodes.log_weight
    if neighbours is not None:
        log_node = log_node + neighbours @ nodes.near
    share = jnp.exp(log_node - log_node.max(axis=1, keepdims=True))
    left = rest.sum(axis=1)
    share = share * ((1 - left) / share.sum(axis=1))[:, None]
    n, m, (b, q) = len(counts), nodes.composition.shape[0], nodes.bin_gain.shape[:2]
    sizes = np.cumsum([m, m * m, b * q, b * m * q, b * q * q, q, m * q, b * q * q])
    parts = jnp.split(share @ nodes.averages, sizes, axis=1)
    mean, products = parts[0], parts[1].reshape(n, m, m)
    moved = jnp.clip(counts @ cells.gain - cells.offset, -cells.half_width, cells.half_width)
    twice = rest * (moved**2 + cells.left)
    outer = rest @ cells.still + (rest * moved) @ cells.moved
    outer, outer_square = jnp.split(outer, 2, axis=1)
    outer_square = outer_square + twice @ cells.moved_twice
    k = beyond.hidden.shape[0]
    fraction = outer[:, :k] + mean @ nodes.phase_of_member
    inner_square = jnp.diagonal(products, axis1=1, axis2=2)
    square = outer_square[:, :k] + inner_square @ nodes.phase_of_member
    sd = jnp.sqrt(jnp.maximum(square - fraction**2, 0.0))
    # Composition is linear in fractions and in fraction x position along the axes.
    residual = counts[:, None, :] - nodes.bin_mean
    position = jnp.einsum("nbe,bqe->nbq", residual, nodes.bin_gain)
    moment = (parts[2].reshape(n, b, q) * position).sum(axis=1) + parts[5]
    crossed = jnp.einsum("nbmq,nbq->nmq", parts[3].reshape(n, b, m, q), position)
    crossed = crossed + parts[6].reshape(n, m, q)
    pairs = position[:, :, :, None] * position[:, :, None, :] + nodes.bin_spread
    drifted = jnp.einsum("nbqr,nbr->nqr", parts[7].reshape(n, b, q, q), position)
    squared = (parts[4].reshape(n, b, q, q) * pairs).sum(axis=1)
    squared = squared + drifted + drifted.swapaxes(1, 2) + parts[8].reshape(n, q, q)

    def with_total(values: jax.Array) -> jax.Array:
        return jnp.concatenate([values, values.sum(axis=1, keepdims=True)], axis=1)

    own, along = with_total(nodes.composition), with_total(nodes.axis_composition)
    composition = mean @ own + moment @ along + outer[:, k:]

    def product(first: tuple[jax.Array, ...], second: tuple[jax.Array, ...]) -> jax.Array:
        """Give the mean of a product of two quantities of the members and their axes (n, o)."""
        return (
            jnp.einsum("nmp,mo,po->no", products, first[0], second[0])
            + jnp.einsum("nmq,mo,qo->no", crossed, first[0], second[1])
            + jnp.einsum("nmq,mo,qo->no", crossed, second[0], first[1])
            + jnp.einsum("nqr,qo,ro->no", squared, first[1], second[1])
        )

    variance = product((own, along), (own, along)) + outer_square[:, k:] - composition**2
    told, gain, unseen = beyond.told(counts, fraction, square, moment @ nodes.axis_of_own)
    # What the counts beyond the axes tell depends on the fractions and positions too.
    weight = own[:, :-1], along[:, :-1]
    expected = (
        nodes.phase_of_member @ beyond.intensity @ beyond.element,
        nodes.axis_of_own @ beyond.axis_counts @ beyond.element,
    )
    average, average_expected = (mean @ part[0] + moment @ part[1] for part in (weight, expected))
    held = average_expected / jnp.maximum(1 - left, 1e-6)[:, None]
    together = product(weight, expected) - average * held
    alone = product(expected, expected) - average_expected * held
    variance = variance.at[:, :-1].add(gain**2 * alone - 2 * gain * together)
    variance = jnp.maximum(variance, 0.0)
    low, high = _quantiles(share, left, nodes)
    # Phases outside the patch have mass at zero; what little they hold is spread normally.
    half_width = NORMAL_QUANTILE * sd
    is_member, corners = nodes.phase_of_member.any(axis=0), len(nodes.phase_of_corner)
    low_outside = jnp.where(fraction > 0.05, jnp.maximum(fraction - half_width, 0.0), 0.0)
    high_outside = jnp.where(fraction > 0.01, jnp.minimum(fraction + half_width, 1.0), 0.0)
    return jnp.concatenate(
        [
            fraction,
            sd,
            jnp.where(is_member, low @ nodes.phase_of_member, low_outside),
            jnp.where(is_member, high @ nodes.phase_of_member, high_outside),
            jnp.where(is_member, share[:, :corners] @ nodes.phase_of_corner, rest @ cells.pure),
            composition[:, :-1] + told,
            variance + with_total(unseen),
            moment @ nodes.axis_of_own,
        ],
        axis=1,
    )


def _quantiles(share: jax.Array, left: jax.Array, nodes: Nodes) -> tuple[jax.Array, jax.Array]:
    """Give both ends of the equal-tailed interval of each member's fraction (n, m).

    The distribution rises evenly over the width of each level; an atom has none. Probability
    outside the patch counts as fraction zero.
    """
    reached = left[:, None, None] + jnp.einsum("ng,mgl->nml", share, nodes.upto)
    outside = jnp.broadcast_to(left[:, None, None], (*reached.shape[:2], 1))
    before = jnp.concatenate([outside, reached[:, :, :-1]], axis=2)
    step = jnp.maximum(reached - before, 1e-30)

    def end(tail: float) -> jax.Array:
        passed = jnp.clip((tail - before) / step, 0.0, 1.0)
        return jnp.where(
            left[:, None] >= tail, 0.0, nodes.lowest + (passed * nodes.width).sum(axis=2)
        )

    return end(TAIL), end(1 - TAIL)
