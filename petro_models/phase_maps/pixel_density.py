"""Densities and draws of pixels' counts, fractions and positions along axes summed out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from petro_models.phase_maps import density, forward
from petro_models.phase_maps.anchors import unknown_log_density
from petro_models.phase_maps.cells import Cells, cells_of_counts
from petro_models.phase_maps.observations import Observations


class MapParameters(NamedTuple):
    """What the counts depend on.

    Attributes
    ----------
    intensity, dispersion
        (k, e).
    axis_counts
        Change of counts along each axis (a, e).
    class_weight
        (class,).
    """

    intensity: Any
    dispersion: Any
    axis_counts: Any
    class_weight: Any


class SpotParameters(NamedTuple):
    """What the spots depend on besides `MapParameters`.

    Attributes
    ----------
    composition, scatter
        wt% of each phase and what scatters about it beyond the axes (k, o).
    scatter_seen
        Correlation of that scatter with that of the counts of the oxide's element (o,).
    axis_composition
        Change of wt% along each axis (a, o).
    shift, jitter
        Registration, pixels (2,), ().
    drift, memory
        Scatter of what neighbours in the order of measurement are displaced by alike, pixels, and
        number of spots over which it is forgotten (), ().
    targeting
        Odds by which spots are set on pure grains rather than where phases meet ().
    outlier, label_error
        Share of gross outliers and of wrong labels (), ().
    sensitivity, background
        Counts per wt%, and counts without the element (o,), (o,).
    """

    composition: Any
    scatter: Any
    scatter_seen: Any
    axis_composition: Any
    shift: Any
    jitter: Any
    drift: Any
    memory: Any
    targeting: Any
    outlier: Any
    label_error: Any
    sensitivity: Any
    background: Any


def phase_moments(
    parameters: MapParameters, observations: Observations, spots: SpotParameters | None = None
) -> tuple[jax.Array, jax.Array]:
    """Give mean and covariance of each phase's true counts, and composition if `spots` is given."""
    dead = observations.dead_share
    intensity = forward.true_counts(parameters.intensity, dead)
    slope = (1 + intensity * dead) ** 2
    mean, scatter = intensity, jnp.zeros((intensity.shape[0], 0))
    seen: Any = 0.0
    loading = parameters.axis_counts
    if spots is not None:
        mean = jnp.concatenate([intensity, spots.composition], axis=1)
        scatter = spots.scatter
        which = observations.element_of_oxide
        seen = spots.scatter_seen * np.eye(intensity.shape[1])[:, which]
        loading = jnp.concatenate([loading, spots.axis_composition], axis=1)
    covariance = forward.phase_covariance(
        parameters.intensity,
        parameters.dispersion,
        scatter,
        observations.axis_of_phase,
        loading,
        seen,
    )
    stretch = jnp.concatenate([slope, jnp.ones_like(scatter)], axis=1)
    return mean, stretch[:, :, None] * covariance * stretch[:, None, :]


def counts_frame(observations: Observations) -> density.Frame:
    """Give origin and unit of the evened counts."""
    return density.evened_frame(observations.anchors.unknown_mean, observations.anchors.unknown_sd)


def cell_log_weight(class_weight: Any, cells: Cells) -> jax.Array:
    """Give the log weight of every cell, the unknown one last (cell + 1,)."""
    owner = np.array([*cells.class_of_cell, len(cells.classes) - 1])
    share = np.array([*np.log(cells.share), 0.0])
    return jnp.log(jnp.maximum(jnp.asarray(class_weight)[owner], 1e-300)) + share


def pixel_log_density(
    parameters: MapParameters, observations: Observations, counts: Any
) -> jax.Array:
    """Give the log density of every pixel's counts under every cell with its weight (n, c + 1)."""
    cells, anchors = cells_of_counts(observations.cells), observations.anchors
    moments = density.counting_cells(
        *phase_moments(parameters, observations),
        cells.fraction,
        cells.spread,
        observations.dead_share,
        cells.stretch,
        evened=True,
    )
    inside = density.log_density(
        *moments, forward.evened_counts(counts), counts_frame(observations)
    )
    inside = inside + forward.log_evening(counts)[:, None]
    outside = unknown_log_density(counts, anchors.unknown_mean, anchors.unknown_sd)
    both = jnp.concatenate([inside, outside[:, None]], axis=1)
    return both + cell_log_weight(parameters.class_weight, cells)


def weighted_pixel_log_density(
    observations: Observations, value: Any, weight: Any, *parameters: Any
) -> jax.Array:
    """Give each pixel's log density times its weight (n,)."""
    cells = pixel_log_density(MapParameters(*parameters), observations, value)
    return weight * logsumexp(cells, axis=1)


def draw_counts(
    observations: Observations, parameters: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw counts of as many pixels as were chosen, from the map's proportions."""
    intensity, dispersion, axis_counts, class_weight = parameters
    cells, anchors = observations.cells, observations.anchors
    number = len(observations.counts)
    chance = np.exp(np.asarray(cell_log_weight(class_weight, cells)))
    cell = rng.choice(len(chance), number, p=chance / chance.sum())
    unknown = cell == len(cells.class_of_cell)
    inside = np.where(unknown, 0, cell)
    fraction = cells.draw_fractions(inside, 1, rng)[:, 0]
    stretch = cells.stretch[inside]
    z = stretch[:, None] * rng.normal(size=(number, axis_counts.shape[0]))
    scatter = stretch[:, None, None] * rng.normal(size=(number, *dispersion.shape))
    emitted = np.asarray(intensity)[None] * (1 + dispersion * scatter)
    emitted = emitted + np.einsum("ka,na,ae->nke", observations.axis_of_phase, z, axis_counts)
    dead = observations.dead_share
    true = np.asarray(forward.true_counts(np.maximum(emitted, 0.0), dead))
    mean = np.asarray(forward.observed_counts(np.einsum("nk,nke->ne", fraction, true), dead))
    strange = anchors.unknown_mean + anchors.unknown_sd * rng.normal(size=mean.shape)
    mean = np.where(unknown[:, None], np.maximum(strange, 0.0), mean)
    return rng.poisson(mean).astype(float)
