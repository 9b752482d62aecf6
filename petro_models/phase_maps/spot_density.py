"""Densities and draws of the spots' analyses, their places and cells summed out."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp

from petro_models.phase_maps import density, forward, spot_drift
from petro_models.phase_maps.anchors import unknown_log_density
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import (
    MapParameters,
    SpotParameters,
    cell_log_weight,
    counts_frame,
    phase_moments,
)
from petro_models.phase_maps.rough_calibration import MATRIX_SCATTER

STRADDLE = 0.2
"""How far the phase fractions under a spot differ from those of the pixel, where phases meet."""
OUTLIER_WIDTH = 2.0


class Surroundings(NamedTuple):
    """What the counts around the spots, and the analyses, say at given parameters.

    Attributes
    ----------
    moments
        Mean and covariance of evened counts and composition in every cell, where the counts are of
        one pixel and where they are averaged.
    counts
        Log density of the counts at every place in every cell, the unknown one last (s w, c + 1).
    emission
        Log density of the spots' compositions for every displacement of the stage
        (s, node, node).
    preferred
        Log probability of what counts and analyst prefer alone, by which places are normalised
        (s, node, node).
    """

    moments: list[tuple[jax.Array, jax.Array]]
    counts: jax.Array
    emission: jax.Array
    preferred: jax.Array


def spot_cells(
    parameters: MapParameters,
    spots: SpotParameters,
    observations: Observations,
    noise_share: float,
) -> tuple[jax.Array, jax.Array]:
    """Give mean and covariance of evened counts and composition together in every cell."""
    cells = observations.cells
    n_elements = len(observations.dead_share)
    mean, covariance = phase_moments(parameters, observations, spots)
    cell_mean, cell_covariance = density.counting_cells(
        mean,
        covariance,
        cells.fraction,
        cells.spread,
        observations.dead_share,
        cells.stretch,
        noise_share,
        evened=True,
    )
    # The spot and the pixel see somewhat different fractions where phases meet.
    meet = cells.fraction[:, :, None] * np.eye(cells.fraction.shape[1])
    meet = meet - cells.fraction[:, :, None] * cells.fraction[:, None, :]
    extra = STRADDLE**2 * jnp.einsum(
        "kd,ckl,lf->cdf", mean[:, n_elements:], meet, mean[:, n_elements:]
    )
    return cell_mean, cell_covariance.at[:, n_elements:, n_elements:].add(extra)


def log_label(label: np.ndarray, label_error: Any, observations: Observations) -> jax.Array:
    """Give the log probability of labels (n,) in every cell (n, c + 1); 0 where there is none."""
    cells = observations.cells
    count = len(cells.phases)
    right = np.concatenate([cells.fraction, np.full((1, count), 1 / count)]).T
    chance = (1 - label_error) * right + label_error / count
    # A product, not an index, so that the derivative is one too.
    return (label[:, None] == np.arange(count)).astype(float) @ jnp.log(chance)


def log_target(spots: SpotParameters, observations: Observations) -> jax.Array:
    """Give the log odds by which spots are set on each cell, the unknown one last (c + 1,)."""
    return jnp.log(spots.targeting) * np.array([*observations.cells.is_pure, False])


def broad_composition(observations: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and sd of the broad density of mistaken analyses (o,)."""
    measured = observations.spot_composition
    return np.nanmean(measured, axis=0), OUTLIER_WIDTH * np.nanstd(measured, axis=0) + 1.0


def unknown_composition(
    counts: Any, spots: SpotParameters, observations: Observations
) -> tuple[jax.Array, jax.Array]:
    """Give mean and sd of an analysis where no cell explains the counts (n, e), (n, o) each.

    What lies there is unknown, but its counts tell what it holds, element by element.
    """
    which = observations.element_of_oxide
    true = forward.true_counts(jnp.asarray(counts), observations.dead_share)[:, which]
    mean = forward.calibrated_composition(true, spots.background, spots.sensitivity)
    counting = jnp.sqrt(jnp.maximum(true, 1.0)) / spots.sensitivity
    meet = STRADDLE * np.nanstd(observations.spot_composition, axis=0)
    return mean, jnp.sqrt((MATRIX_SCATTER * mean) ** 2 + counting**2 + meet**2)


def log_ratio_below_zero(mean: Any, sd: Any) -> jax.Array:
    """Give the log of how likely values are not above 0, over their density at 0.

    An analysis of exactly 0 says that nothing was found, not that nothing is there.
    """
    away = jnp.asarray(mean) / sd
    return log_ndtr(-away) + 0.5 * (away**2 + density.LOG_TWO_PI) + jnp.log(sd)


def spot_log_density(observations: Observations, value: Any, _: Any, *parameters: Any) -> jax.Array:
    """Give the log density of each spot's composition given those before it (s,).

    Its place and class, and how far the stage was displaced, are summed out. A gross outlier obeys
    a broad density instead.
    """
    map_parameters, spots = MapParameters(*parameters[:4]), SpotParameters(*parameters[4:])
    emission = _surroundings(observations, value, map_parameters, spots).emission
    return spot_drift.log_evidence(emission, spots.memory, observations)


def _surroundings(
    observations: Observations, value: Any, map_parameters: MapParameters, spots: SpotParameters
) -> Surroundings:
    """Weigh every place and cell around the spots; `value` holds their compositions (s, o)."""
    moments = [
        spot_cells(map_parameters, spots, observations, share)
        for share in (1.0, observations.noise_share)
    ]
    log_weight = cell_log_weight(map_parameters.class_weight, observations.cells)
    target = log_target(spots, observations)
    present = np.isfinite(observations.spot_composition)
    patterns, pattern_of_spot = np.unique(present, axis=0, return_inverse=True)
    n_places = observations.place_averaged.shape[1]
    averaged = observations.place_averaged.ravel()
    pattern_of_row = np.repeat(pattern_of_spot, n_places)
    label_of_row = np.repeat(observations.spot_label, n_places)
    parts, rows = [], []
    for number, pattern in enumerate(patterns):
        for kind, cell_moments in enumerate(moments):
            row = np.flatnonzero((pattern_of_row == number) & (averaged == bool(kind)))
            if not len(row):
                continue
            densities = _place_densities(observations, value, row, pattern, cell_moments, spots)
            labels = log_label(label_of_row[row], spots.label_error, observations)
            sums = density.place_log_density(*densities, log_weight, labels, target)
            parts.append((*sums, densities[0]))
            rows.append(row)
    order = np.argsort(np.concatenate(rows))
    around = spot_drift.places(spots, observations)
    seen, alone, counts = (jnp.concatenate(part)[order] for part in zip(*parts, strict=True))
    seen, alone = (around.sum(part.reshape(-1, n_places)) for part in (seen, alone))
    middle, width = broad_composition(observations)
    broad = jnp.where(present, -0.5 * ((value - middle) / width) ** 2 - np.log(width), 0.0)
    broad = broad.sum(axis=1) - 0.5 * present.sum(axis=1) * density.LOG_TWO_PI
    broad = broad + observations.found_nothing @ log_ratio_below_zero(middle, width)
    mistaken = jnp.log(spots.outlier) + broad[:, None, None]
    emission = jnp.logaddexp(jnp.log1p(-spots.outlier) + seen - alone, mistaken)
    return Surroundings(moments, counts, emission, alone)


def _place_densities(
    observations: Observations,
    value: Any,
    row: np.ndarray,
    pattern: np.ndarray,
    cell_moments: tuple[jax.Array, jax.Array],
    spots: SpotParameters,
) -> tuple[jax.Array, jax.Array]:
    """Give log densities of counts, and of counts and the oxides of a pattern, (row, c + 1)."""
    anchors, (_, n_places, n_elements) = observations.anchors, observations.place_counts.shape
    mean, covariance = cell_moments
    counts = observations.place_counts.reshape(-1, n_elements)[row]
    composition = value[row // n_places][:, pattern]
    below = observations.found_nothing[row // n_places][:, pattern]
    middle, width = (part[pattern] for part in broad_composition(observations))
    evened, frame = forward.evened_counts(counts), counts_frame(observations)
    per_count = forward.log_evening(counts)[:, None]
    marginal = per_count + density.log_density(
        mean[:, :n_elements], covariance[:, :n_elements, :n_elements], evened, frame
    )
    if not pattern.all():
        kept = np.concatenate([np.ones(n_elements, dtype=bool), pattern]).nonzero()[0]
        mean, covariance = mean[:, kept], covariance[:, kept[:, None], kept]
    frame = density.Frame(
        jnp.concatenate([frame.origin, middle]), jnp.concatenate([frame.unit, width])
    )
    joint = per_count + density.log_density(
        mean, covariance, jnp.concatenate([evened, composition], axis=1), frame
    )
    # Oxides of which nothing was found are taken to tell little of each other.
    sd = jnp.sqrt(jnp.diagonal(covariance[:, n_elements:, n_elements:], axis1=1, axis2=2))
    joint = joint + below @ log_ratio_below_zero(mean[:, n_elements:], sd).T
    outside = unknown_log_density(counts, anchors.unknown_mean, anchors.unknown_sd)
    middle, width = (part[:, pattern] for part in unknown_composition(counts, spots, observations))
    strange = outside + unknown_log_density(composition, middle, width)
    strange = strange + (below * log_ratio_below_zero(middle, width)).sum(axis=1)
    return (
        jnp.concatenate([marginal, outside[:, None]], axis=1),
        jnp.concatenate([joint, strange[:, None]], axis=1),
    )


def draw_spots(
    observations: Observations, parameters: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw an analysis at every spot from what the counts around it allow.

    Displacements of the stage are drawn too: no analysis tells of them.
    """
    map_parameters, spots = MapParameters(*parameters[:4]), SpotParameters(*parameters[4:])
    away = spot_drift.draw_displacements(spots, observations, rng)
    moments, chance = _spot_chance(observations, map_parameters, spots, away)
    return _draw_analyses(moments, chance, spots, observations, rng, float(spots.outlier))


def predict_spots(
    parameters: MapParameters,
    spots: SpotParameters,
    observations: Observations,
    generator: np.random.Generator,
    repeats: int,
) -> np.ndarray:
    """Draw what analyses at every spot would give, its own unseen, (repeat, s, o).

    How far the stage was displaced is told by the spots before and after. There are no outliers.
    """
    moments, chance = _spot_chance(observations, parameters, spots)
    return np.stack(
        [
            _draw_analyses(moments, chance, spots, observations, generator, 0.0)
            for _ in range(repeats)
        ]
    )


def spot_pure_probability(
    parameters: MapParameters, spots: SpotParameters, observations: Observations
) -> np.ndarray:
    """Give the probability that each spot lies on each phase alone, by counts alone (k, s)."""
    _, chance = _spot_chance(observations, parameters, spots)
    weight = np.exp(chance - chance.max(axis=(1, 2), keepdims=True)).sum(axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    return (weight[:, :-1] @ observations.cells.pure_phase).T


def _draw_analyses(
    moments: list[tuple[np.ndarray, ...]],
    chance: np.ndarray,
    spots: SpotParameters,
    observations: Observations,
    generator: np.random.Generator,
    outlier_share: float,
) -> np.ndarray:
    """Draw place and cell of every spot, then the composition given the counts there (s, o)."""
    n_elements = len(observations.dead_share)
    counts, averaged = observations.place_counts, observations.place_averaged
    flat = chance.reshape(len(counts), -1)
    picked = (flat + generator.gumbel(size=flat.shape)).argmax(axis=1)
    place, cell = np.divmod(picked, chance.shape[-1])
    middle, width = broad_composition(observations)
    drawn = middle + width * generator.normal(size=(len(counts), len(middle)))
    mistaken = generator.uniform(size=len(cell)) < outlier_share
    unknown = ~mistaken & (cell == chance.shape[-1] - 1)
    here = counts[np.arange(len(counts)), place]
    mean, sd = (np.asarray(x) for x in unknown_composition(here[unknown], spots, observations))
    drawn[unknown] = mean + sd * generator.normal(size=mean.shape)
    evened = np.asarray(forward.evened_counts(here))
    kind_of_spot = averaged[np.arange(len(counts)), place]
    for kind, (mean, covariance) in enumerate(moments):
        regular = ~mistaken & ~unknown & (kind_of_spot == bool(kind))
        for index in np.unique(cell[regular]):
            mine = np.flatnonzero(regular & (cell == index))
            cross = covariance[index, :n_elements, n_elements:]
            gain = np.linalg.solve(covariance[index, :n_elements, :n_elements], cross).T
            residual = evened[mine] - mean[index, :n_elements]
            left = covariance[index, n_elements:, n_elements:] - gain @ cross
            noise = generator.multivariate_normal(
                np.zeros(len(middle)), left, size=len(mine), method="eigh"
            )
            drawn[mine] = mean[index, n_elements:] + residual @ gain.T + noise
    return np.maximum(drawn, 0.0) if observations.found_nothing.any() else drawn


def _spot_chance(
    observations: Observations,
    parameters: MapParameters,
    spots: SpotParameters,
    displaced: np.ndarray | None = None,
) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
    """Give the cells' moments, for single and for averaged pixels, and `_log_chance`."""
    moments, chance = _log_chance(
        observations,
        MapParameters(*(np.asarray(value, float) for value in parameters)),
        SpotParameters(*(np.asarray(value, float) for value in spots)),
        displaced,
    )
    return [tuple(np.asarray(x) for x in pair) for pair in moments], np.asarray(chance)


@partial(jax.jit, static_argnums=0)
def _log_chance(
    observations: Observations,
    parameters: MapParameters,
    spots: SpotParameters,
    displaced: np.ndarray | None,
) -> tuple[list[tuple[jax.Array, jax.Array]], jax.Array]:
    """Give the log chance of each place and cell at each spot, by counts alone (s, w, c + 1).

    Where the stage was is told by other spots, unless it is given how far it was displaced (s, 2).
    """
    value = np.nan_to_num(observations.spot_composition)
    found = _surroundings(observations, value, parameters, spots)
    both = found.counts + cell_log_weight(parameters.class_weight, observations.cells)
    chance = both - logsumexp(both, axis=1, keepdims=True) + log_target(spots, observations)
    if displaced is None:
        told = spot_drift.told_by_others(found.emission, spots.memory, observations)
        place = spot_drift.places(spots, observations).average(told, found.preferred)
    else:
        place = spot_drift.log_place(spots, observations, displaced)
    return found.moments, chance.reshape(*place.shape, -1) + place[..., None]
