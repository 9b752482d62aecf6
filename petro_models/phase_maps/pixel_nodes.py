"""What the pixel pass integrates over: the cells as one matrix, and the nodes of each patch."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from petro_models.phase_maps import density
from petro_models.phase_maps.cells import MANY_PHASES, Patch, pair_patch, triple_patch
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import (
    MapParameters,
    cell_log_weight,
    counts_frame,
    phase_moments,
)
from petro_models.phase_maps.pixel_kernels import BeyondAxes, Coarse, Nodes, Outside

_counting_cells = jax.jit(density.counting_cells, static_argnames="evened")
_coefficients = jax.jit(density.coefficients)
POSITION_BINS = 4
"""Bins of the fraction over which positions along axes are taken as smooth."""
SAME = 1e-6
"""Fractions that differ by less are one."""
TRIPLE_STEPS = (12, 24)
"""Steps along the edge of a triple: at least, and at most. Each node stands for its whole triangle,
so that a posterior narrower than a step is widened, not cut."""


@dataclass(frozen=True)
class MapState:
    """One map at given values of its global unknowns.

    Attributes
    ----------
    observations
        Cells of pixels, frame and dims.
    parameters
        Of the map.
    composition, axis_composition, hidden_scatter
        wt% of each phase (k, o), its change along each axis (a, o), and the scatter of the true
        composition beyond the axes (k, o).
    seen_scatter
        What the counts see of that scatter (k, o): scatter times correlation.
    """

    observations: Observations
    parameters: MapParameters
    composition: np.ndarray
    axis_composition: np.ndarray
    hidden_scatter: np.ndarray
    seen_scatter: np.ndarray

    @cached_property
    def frame(self) -> density.Frame:
        """The units in which evened counts are squared."""
        return counts_frame(self.observations)

    @cached_property
    def _phases(self) -> tuple[np.ndarray, np.ndarray]:
        mean, covariance = phase_moments(self.parameters, self.observations)
        return np.asarray(mean), np.asarray(covariance)

    @property
    def mean(self) -> np.ndarray:
        """Expected counts of pure phases (k, e)."""
        return self._phases[0]

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the counts of pure phases, counting left out (k, e, e)."""
        return self._phases[1]

    @cached_property
    def _axis_counts(self) -> np.ndarray:
        """Change of the true counts along each axis (a, e)."""
        phase, dead = self.observations.anchors.axis_phase, self.observations.dead_share
        loading = np.asarray(self.parameters.axis_counts).reshape(-1, len(dead))
        return loading * (1 + self.mean[phase] * dead) ** 2

    def axis_shift(self, fraction: np.ndarray) -> np.ndarray:
        """Give the change of expected counts along each axis at fractions (g, k): (g, a, e)."""
        phase, dead = self.observations.anchors.axis_phase, self.observations.dead_share
        slope = 1 / (1 + fraction @ self.mean * dead) ** 2
        return fraction[:, phase, None] * self._axis_counts * slope[:, None, :]

    @cached_property
    def beyond_axes(self) -> BeyondAxes:
        """What scatters beyond the axes, in single precision."""
        which = self.observations.element_of_oxide
        slope = (1 + self.mean * self.observations.dead_share) ** 2
        excess = slope * self.parameters.dispersion * self.parameters.intensity
        parts = (
            self.mean,
            self._axis_counts,
            self.observations.dead_share,
            excess**2,
            self.hidden_scatter**2,
            excess[:, which] * self.seen_scatter,
            np.eye(excess.shape[1])[:, which],
        )
        return BeyondAxes(*(jnp.asarray(part, dtype=jnp.float32) for part in parts))

    @cached_property
    def log_weight(self) -> jax.Array:
        """Log weight of every cell, unknown last (c + 1,)."""
        return cell_log_weight(self.parameters.class_weight, self.observations.cells)

    @cached_property
    def moments(self) -> tuple[jax.Array, jax.Array]:
        """Mean and covariance of the counts in every cell (c, e), (c, e, e)."""
        return density.counting_cells(*self._of_cells)

    @cached_property
    def evened_moments(self) -> tuple[jax.Array, jax.Array]:
        """Mean and covariance of the evened counts in every cell (c, e), (c, e, e)."""
        return density.counting_cells(*self._of_cells, evened=True)

    @property
    def _of_cells(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        cells = self.observations.cells
        dead = self.observations.dead_share
        return (*self._phases, cells.fraction, cells.spread, dead, cells.stretch)

    def moments_at(
        self,
        fraction: np.ndarray,
        stretch: np.ndarray,
        spread: np.ndarray | None = None,
        *,
        evened: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give moments of the counts at fractions (g, k), the phases' scatter stretched.

        The fractions are exact, or have a `spread` (g, k, k). The counts may be `evened`.
        """
        if spread is None:
            spread = np.zeros((len(fraction), fraction.shape[1], fraction.shape[1]))
        dead = self.observations.dead_share
        found = _counting_cells(
            self.mean, self.covariance, fraction, spread, dead, stretch, evened=evened
        )
        return np.asarray(found[0]), np.asarray(found[1])


def coarse_cells(state: MapState) -> Coarse:
    """Prepare the cells for `coarse_pass`."""
    cells = state.observations.cells
    mean, covariance = state.evened_moments
    size = mean.shape[1]
    log_root = 0.5 * np.linalg.slogdet(np.asarray(covariance))[1]
    n_cells = len(cells.class_of_cell)
    rows = np.arange(n_cells)
    to_single = np.zeros((n_cells + 1, len(state.composition)))
    to_single[:-1] = cells.pure_phase
    to_pair = np.zeros((n_cells + 1, max(1, len(cells.pairs))))
    to_triple = np.zeros((n_cells + 1, max(1, len(cells.triples))))
    paired, tripled = cells.pair_of_cell >= 0, cells.triple_of_cell >= 0
    to_pair[rows[paired], cells.pair_of_cell[paired]] = 1
    to_triple[rows[tripled], cells.triple_of_cell[tripled]] = 1
    # A pure pixel goes to the pair of its phase with the likeliest partner; half, so that a
    # pair that really holds it wins over two pure phases that each hold a half.
    for number, pair in enumerate(cells.pairs):
        to_pair[:-1, number] += 0.5 * cells.pure_phase[:, list(pair)].sum(axis=1)
    log_peak = -log_root - 0.5 * size * density.LOG_TWO_PI
    parts = (
        density.coefficients(mean, covariance, state.frame),
        state.log_weight,
        log_peak,
        to_single,
        to_pair,
        to_triple,
    )
    return Coarse(*(jnp.asarray(part, dtype=jnp.float32) for part in parts))


def outside_cells(state: MapState) -> Outside:
    """Prepare what `integrate` reads from cells outside a patch."""
    mean, covariance = (np.asarray(part) for part in state.moments)
    cells, dead = state.observations.cells, state.observations.dead_share
    direction, variance = np.sign(cells.along), cells.along.max(axis=1) ** 2 / 12
    slope = 1 / (1 + cells.fraction @ state.mean * dead) ** 2
    change = direction @ state.mean * slope
    gain = variance[:, None] * np.linalg.solve(covariance, change[..., None])[..., 0]
    oxides = np.column_stack([state.composition, state.composition.sum(axis=1)])
    middle = np.column_stack([cells.fraction, cells.fraction @ oxides])
    along = np.column_stack([direction, direction @ oxides])
    parts = (
        gain.T,
        (gain * mean).sum(axis=1),
        np.sqrt(3 * variance),
        variance * (1 - (gain * change).sum(axis=1)),
        np.column_stack([middle, middle**2]),
        np.column_stack([along, 2 * middle * along]),
        along**2,
        cells.pure_phase,
    )
    return Outside(*(jnp.asarray(part, dtype=jnp.float32) for part in parts))


def nodes_per_pair(state: MapState) -> int:
    """Take enough nodes that neighbours lie within a standard deviation of the fraction."""
    sharpest = 0.0
    for j, k in state.observations.cells.pairs:
        middle = 0.5 * (state.mean[j] + state.mean[k])
        noise = np.diag(middle) + 0.25 * (state.covariance[j] + state.covariance[k])
        step = state.mean[j] - state.mean[k]
        sharpest = max(sharpest, float(step @ np.linalg.solve(noise, step)))
    return int(np.clip(2 ** np.ceil(np.log2(max(sharpest, 1.0) ** 0.5)), 24, 192))


def triple_steps(phases: int, per_pair: int) -> int:
    """Give the steps along the edge of a triple; of many phases there are many triples."""
    least, most = TRIPLE_STEPS
    return least if phases > MANY_PHASES else int(np.clip(per_pair // 2, least, most))


def nodes_of_patch(
    state: MapState, members: tuple[int, ...], per_pair: int
) -> tuple[Nodes, np.ndarray]:
    """Lay nodes over the fractions of some phases, `per_pair` along the edge of a pair alone.

    With them go the cells that the patch holds.
    """
    steps = triple_steps(len(state.composition), per_pair)
    cells, count = state.observations.cells, len(state.composition)
    weight = np.log(np.maximum(state.parameters.class_weight, 1e-300))
    pure = np.flatnonzero(np.isin(cells.class_of_cell, members))
    corner_weight = weight[cells.class_of_cell[pure]] + np.log(cells.share[pure])
    corners = Patch(members, cells.fraction[pure], cells.spread[pure], corner_weight)
    parts, extra = [corners], [0.0]
    near = [np.eye(len(cells.class_of_cell))[:, pure]]
    for pair in (pair for pair in cells.pairs if set(pair) <= set(members)):
        nodes = per_pair if len(members) == 2 else 2 * steps
        parts.append(pair_patch(count, pair, nodes))
        number = cells.pairs.index(pair)
        extra.append(weight[count + number])
        near.append(cells.nearness(number, parts[-1].fraction[:, pair[0]]))
    if len(members) == 3:
        parts.append(triple_patch(count, members, steps))
        extra.append(weight[count + len(cells.pairs)] - np.log(len(cells.triples)))
        own = cells.triple_of_cell == cells.triples.index(members)
        near.append(np.tile(own[:, None], len(parts[-1].fraction)))
    log_weight = np.concatenate(
        [patch.log_share + more for patch, more in zip(parts, extra, strict=True)]
    )
    whole = Patch(
        members,
        np.concatenate([patch.fraction for patch in parts]),
        np.concatenate([patch.spread for patch in parts]),
        log_weight,
    )
    return _nodes(state, whole, np.concatenate(near, axis=1), len(pure))


def _nodes(
    state: MapState, patch: Patch, near: np.ndarray, n_corners: int
) -> tuple[Nodes, np.ndarray]:
    """Prepare what `integrate` reads; `near` tells how near each node is to each cell (cell, g)."""
    members, fraction = list(patch.members), patch.fraction
    cells = np.flatnonzero(near.any(axis=1))
    outside = np.ones(len(state.observations.cells.class_of_cell) + 1)
    outside[cells], outside[-1] = 0.0, 0.0
    wider = state.observations.cells.stretch @ near
    mean, _ = state.moments_at(fraction, wider, patch.spread)
    evened = state.moments_at(fraction, wider, patch.spread, evened=True)
    own = fraction[:, members]
    bins = _bins(own, n_corners)
    mean_of_bin = bins.T / bins.sum(axis=0)[:, None]
    bin_fraction, bin_wider = mean_of_bin @ fraction, mean_of_bin @ wider
    axis_phase = state.observations.anchors.axis_phase
    axes = np.flatnonzero(np.isin(axis_phase, members))
    bin_mean, bin_covariance = state.moments_at(bin_fraction, bin_wider)
    shift = state.axis_shift(bin_fraction)[:, axes]
    prior = bin_wider[:, None, None] ** 2
    gain = prior * np.linalg.solve(bin_covariance, shift.swapaxes(1, 2)).swapaxes(1, 2)
    # The gain is smooth over a bin; the expected counts it is applied to are each node's own.
    drift = np.einsum("gb,bqe,gbe->gq", bins, gain, bin_mean[None] - mean[:, None])
    upto, width, lowest = _spans(own, n_corners)
    parts = (
        _coefficients(*evened, state.frame),
        patch.log_share,
        near[cells],
        _averages(own, fraction[:, axis_phase[axes]], bins, drift),
        bin_mean,
        gain,
        prior * (np.eye(len(axes)) - gain @ shift.swapaxes(1, 2)),
        upto,
        width,
        lowest,
        outside,
        np.eye(len(state.composition))[members],
        fraction[:n_corners],
        np.eye(len(axis_phase))[axes],
        state.composition[members],
        state.axis_composition[axes],
    )
    return Nodes(*(jnp.asarray(part, dtype=jnp.float32) for part in parts)), cells


def _bins(fraction: np.ndarray, n_corners: int) -> np.ndarray:
    """Group the nodes: each corner alone, the others by the fractions of the members, (g, b)."""
    place = np.minimum((fraction * POSITION_BINS).astype(int), POSITION_BINS - 1)
    code = place @ (POSITION_BINS ** np.arange(fraction.shape[1]))
    code[:n_corners] = np.arange(n_corners) - n_corners
    groups = np.unique(code)
    return (code[:, None] == groups).astype(float)


def _averages(own: np.ndarray, axis: np.ndarray, bins: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Lay side by side what `integrate` averages over nodes, in the order it reads them.

    With f the members' fractions, a the fraction of each axis' phase, B the bins and d the drift
    of the position from its bin's: f, ff', B a, B f a, B a a', a d, f a d, B a a' d, a a' d d'.
    """
    along = axis * drift
    parts = (
        own,
        np.einsum("gm,gn->gmn", own, own),
        np.einsum("gb,gq->gbq", bins, axis),
        np.einsum("gb,gm,gq->gbmq", bins, own, axis),
        np.einsum("gb,gq,gr->gbqr", bins, axis, axis),
        along,
        np.einsum("gm,gq->gmq", own, along),
        np.einsum("gb,gq,gr->gbqr", bins, along, axis),
        np.einsum("gq,gr->gqr", along, along),
    )
    return np.concatenate([part.reshape(len(own), -1) for part in parts], axis=1)


def _spans(fraction: np.ndarray, n_corners: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tell, by each member's fraction, what `Nodes.upto`, `width` and `lowest` say.

    Nodes of one fraction are one level. A level stands for the fractions nearest to it, the first
    and last inside for all to the ends. Corners, and nodes without the member, are atoms: their
    level has no width.
    """
    members = [_levels(own, n_corners) for own in fraction.T]
    most = max(len(level) for level, _ in members)
    upto = np.ones((len(members), len(fraction), most))
    width = np.zeros((len(members), most))
    for m, (level, is_atom) in enumerate(members):
        upto[m, :, : len(level)] = fraction[:, m, None] <= level + SAME
        inside = level[~is_atom]
        ends = [0.0, *(0.5 * (inside[1:] + inside[:-1])), 1.0] if len(inside) else [0.0]
        width[m, : len(level)][~is_atom] = np.diff(ends)
    return upto, width, np.array([level[0] for level, _ in members])


def _levels(fraction: np.ndarray, n_corners: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the different fractions of the nodes, ascending, and which of them are atoms."""
    level, place = np.unique(np.round(fraction / SAME) * SAME, return_inverse=True)
    is_atom = level < SAME
    is_atom[place[:n_corners]] = True
    return level, is_atom
