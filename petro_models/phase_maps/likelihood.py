"""The two likelihoods of phase maps as PyMC distributions, their densities computed by JAX."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from jax.scipy.special import logsumexp
from pytensor import wrap_jax
from pytensor.tensor import TensorVariable

from petro_models.phase_maps import density, forward
from petro_models.phase_maps.anchors import unknown_log_density
from petro_models.phase_maps.observations import Observations

STRADDLE = 0.2
"""How far the phase fractions under a spot differ from those of the pixel, where phases meet."""
OUTLIER_WIDTH = 2.0
SMALLEST_LOG = -1e4


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
        wt% of each phase and what scatters about it unseen by the map (k, o).
    axis_composition
        Change of wt% along each axis (a, o).
    shift, jitter
        Registration, pixels (2,), ().
    targeting
        Odds by which spots are set on pure grains rather than where phases meet ().
    outlier, label_error
        Share of gross outliers and of wrong labels (), ().
    """

    composition: Any
    scatter: Any
    axis_composition: Any
    shift: Any
    jitter: Any
    targeting: Any
    outlier: Any
    label_error: Any


def counts_mixture(
    name: str, parameters: MapParameters, observations: Observations, dims: tuple[str, str]
) -> TensorVariable:
    """Declare the chosen pixels' counts: classes, fractions and axes summed or integrated out."""
    shapes = _map_shapes(observations)
    return pm.CustomDist(
        name,
        observations.weight,
        *_fixed(parameters, shapes),
        logp=_on_jax(_weighted_pixel_log_density, observations, shapes),
        random=_drawing(_draw_counts, observations, shapes),
        signature="(),(k,e),(k,e),(a,e),(c)->(e)",
        class_name="CountsMixture",
        observed=observations.counts,
        dims=dims,
    )


def spot_mixture(
    name: str,
    parameters: MapParameters,
    spots: SpotParameters,
    observations: Observations,
    dims: tuple[str, str],
) -> TensorVariable:
    """Declare the spots' compositions given the counts around them: place and class summed out."""
    k, o = observations.composition.shape
    a = observations.anchors.axis_phase.size
    shapes = [*_map_shapes(observations), (k, o), (k, o), (a, o), (2,), (), (), (), ()]
    # Missing analyses stand as the phase-free mean and are left out by the density.
    observed = np.where(
        np.isfinite(observations.spot_composition), observations.spot_composition, 0.0
    )
    return pm.CustomDist(
        name,
        np.zeros(len(observed)),
        *_fixed((*parameters, *spots), shapes),
        logp=_on_jax(_spot_log_density, observations, shapes),
        random=_drawing(_draw_spots, observations, shapes),
        signature="(),(k,e),(k,e),(a,e),(c),(k,o),(k,o),(a,o),(p),(),(),(),()->(o)",
        class_name="SpotMixture",
        observed=observed,
        dims=dims,
    )


def _map_shapes(observations: Observations) -> list[tuple[int, ...]]:
    k, e = observations.anchors.intensity.shape
    a = observations.anchors.axis_phase.size
    return [(k, e), (k, e), (a, e), (len(observations.cells.classes),)]


def _fixed(parameters: tuple[Any, ...], shapes: list[tuple[int, ...]]) -> list[TensorVariable]:
    """Give tensors whose shapes JAX can know before it runs."""
    return [
        pt.specify_shape(pt.as_tensor(value), shape)
        for value, shape in zip(parameters, shapes, strict=True)
    ]


def _on_jax(
    function: Callable[..., jax.Array],
    observations: Observations,
    shapes: list[tuple[int, ...]],
) -> Callable[..., TensorVariable]:
    """Turn a density on JAX into one on PyTensor.

    PyMC gives parameters without a batch leading dims of length one; they are taken away here.
    """

    def density_on_jax(value: Any, first: Any, *parameters: Any) -> jax.Array:
        plain = [jnp.reshape(p, shape) for p, shape in zip(parameters, shapes, strict=True)]
        return function(observations, value, first, *plain)

    return wrap_jax(density_on_jax)


def _drawing(
    function: Callable[..., np.ndarray],
    observations: Observations,
    shapes: list[tuple[int, ...]],
) -> Callable[..., np.ndarray]:
    """Turn a function of plain parameters into what PyMC calls to draw data."""

    def draw(_: np.ndarray, *parameters: np.ndarray, rng: Any, size: Any = None) -> np.ndarray:
        plain = [np.reshape(p, shape) for p, shape in zip(parameters, shapes, strict=True)]
        return function(observations, plain, rng)

    return draw


# -- densities -----------------------------------------------------------------------------------


def phase_moments(
    parameters: MapParameters, observations: Observations, spots: SpotParameters | None = None
) -> tuple[jax.Array, jax.Array]:
    """Give mean and covariance of each phase's true counts, and composition if `spots` is given."""
    dead = observations.dead_share
    intensity = forward.true_counts(parameters.intensity, dead)
    slope = (1 + intensity * dead) ** 2
    mean, scatter = intensity, jnp.zeros((intensity.shape[0], 0))
    loading = parameters.axis_counts
    if spots is not None:
        mean = jnp.concatenate([intensity, spots.composition], axis=1)
        scatter = spots.scatter
        loading = jnp.concatenate([loading, spots.axis_composition], axis=1)
    covariance = forward.phase_covariance(
        parameters.intensity, parameters.dispersion, scatter, observations.axis_of_phase, loading
    )
    stretch = jnp.concatenate([slope, jnp.ones_like(scatter)], axis=1)
    return mean, stretch[:, :, None] * covariance * stretch[:, None, :]


def _frame(observations: Observations) -> density.Frame:
    return density.Frame(observations.anchors.unknown_mean, observations.anchors.unknown_sd)


def cell_log_weight(class_weight: Any, observations: Observations) -> jax.Array:
    """Give the log weight of every cell, the unknown one last (cell + 1,)."""
    cells = observations.cells
    owner = np.array([*cells.class_of_cell, len(cells.classes) - 1])
    share = np.array([*np.log(cells.share), 0.0])
    return jnp.log(jnp.maximum(jnp.asarray(class_weight)[owner], 1e-300)) + share


def pixel_log_density(
    parameters: MapParameters, observations: Observations, counts: Any
) -> jax.Array:
    """Give the log density of every pixel's counts under every cell with its weight (n, c + 1)."""
    cells, anchors = observations.cells, observations.anchors
    moments = density.counting_cells(
        *phase_moments(parameters, observations),
        cells.fraction,
        cells.spread,
        observations.dead_share,
    )
    inside = density.log_density(*moments, counts, _frame(observations))
    outside = unknown_log_density(counts, anchors.unknown_mean, anchors.unknown_sd)
    both = jnp.concatenate([inside, outside[:, None]], axis=1)
    return both + cell_log_weight(parameters.class_weight, observations)


def _weighted_pixel_log_density(
    observations: Observations, value: Any, weight: Any, *parameters: Any
) -> jax.Array:
    cells = pixel_log_density(MapParameters(*parameters), observations, value)
    return weight * logsumexp(cells, axis=1)


def spot_cells(
    parameters: MapParameters,
    spots: SpotParameters,
    observations: Observations,
    noise_share: float,
) -> tuple[jax.Array, jax.Array]:
    """Give mean and covariance of counts and composition together in every cell."""
    cells = observations.cells
    n_elements = len(observations.dead_share)
    mean, covariance = phase_moments(parameters, observations, spots)
    cell_mean, cell_covariance = density.counting_cells(
        mean,
        covariance,
        cells.fraction,
        cells.spread,
        observations.dead_share,
        noise_share,
    )
    # The spot and the pixel see somewhat different fractions where phases meet.
    meet = cells.fraction[:, :, None] * np.eye(cells.fraction.shape[1])
    meet = meet - cells.fraction[:, :, None] * cells.fraction[:, None, :]
    extra = STRADDLE**2 * jnp.einsum(
        "kd,ckl,lf->cdf", mean[:, n_elements:], meet, mean[:, n_elements:]
    )
    return cell_mean, cell_covariance.at[:, n_elements:, n_elements:].add(extra)


def log_label(spots: SpotParameters, observations: Observations) -> jax.Array:
    """Give the log probability of every spot's label in every cell (s, c + 1); 0 without one."""
    cells, label = observations.cells, observations.spot_label
    count = len(cells.phases)
    right = np.concatenate([cells.fraction, np.full((1, count), 1 / count)])[:, label].T
    chance = (1 - spots.label_error) * right + spots.label_error / count
    return jnp.where(label[:, None] >= 0, jnp.log(chance), 0.0)


def log_place(spots: SpotParameters, observations: Observations) -> jax.Array:
    """Give the log probability of every place around every spot (s, w)."""
    offset = observations.place_offset
    known = np.isfinite(offset).all(axis=-1)
    found = density.place_log_probability(
        np.where(known[..., None], offset, 0.0), spots.shift, spots.jitter
    )
    return jnp.where(known, found, SMALLEST_LOG)


def log_target(spots: SpotParameters, observations: Observations) -> jax.Array:
    """Give the log odds by which spots are set on each cell, the unknown one last (c + 1,)."""
    return jnp.log(spots.targeting) * np.array([*observations.cells.is_pure, False])


def broad_composition(observations: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and sd of the broad density of unknown or mistaken analyses (o,)."""
    measured = observations.spot_composition
    return np.nanmean(measured, axis=0), OUTLIER_WIDTH * np.nanstd(measured, axis=0) + 1.0


def _spot_log_density(
    observations: Observations, value: Any, _: Any, *parameters: Any
) -> jax.Array:
    map_parameters = MapParameters(*parameters[:4])
    spots = SpotParameters(*parameters[4:])
    anchors, n_elements = observations.anchors, len(observations.dead_share)
    moments = [
        spot_cells(map_parameters, spots, observations, share)
        for share in (1.0, observations.noise_share)
    ]
    log_weight = cell_log_weight(map_parameters.class_weight, observations)
    labels, places = log_label(spots, observations), log_place(spots, observations)
    middle, width = broad_composition(observations)
    present = np.isfinite(observations.spot_composition)
    result = jnp.zeros(len(present))
    for pattern in np.unique(present, axis=0):
        mine = np.flatnonzero((present == pattern).all(axis=1))
        kept = np.concatenate([np.ones(n_elements, dtype=bool), pattern]).nonzero()[0]
        composition = value[mine][:, pattern.nonzero()[0]]
        counts = observations.place_counts[mine]
        shape = (*counts.shape[:2], -1)
        both = jnp.concatenate(
            [counts, jnp.broadcast_to(composition[:, None, :], (*shape[:2], composition.shape[1]))],
            axis=2,
        ).reshape(-1, len(kept))
        frame = density.Frame(
            np.concatenate([anchors.unknown_mean, middle])[kept],
            np.concatenate([anchors.unknown_sd, width])[kept],
        )
        joint = marginal = jnp.zeros((len(both), len(observations.cells.class_of_cell)))
        averaged = observations.place_averaged[mine].ravel()
        for (mean, covariance), rows in zip(moments, (~averaged, averaged), strict=True):
            part = both[rows]
            joint = joint.at[rows].set(
                density.log_density(mean[:, kept], covariance[:, kept][:, :, kept], part, frame)
            )
            marginal = marginal.at[rows].set(
                density.log_density(
                    mean[:, :n_elements],
                    covariance[:, :n_elements, :n_elements],
                    part[:, :n_elements],
                    _frame(observations),
                )
            )
        outside = unknown_log_density(
            counts.reshape(-1, n_elements), anchors.unknown_mean, anchors.unknown_sd
        )
        broad = unknown_log_density(composition, middle[pattern], width[pattern])
        strange = outside.reshape(shape[:2]) + broad[:, None]
        marginal = jnp.concatenate([marginal, outside[:, None]], axis=1).reshape(shape)
        joint = jnp.concatenate([joint.reshape(shape), strange[..., None]], axis=2)
        found = density.spot_log_density(
            marginal,
            joint,
            log_weight,
            labels[mine],
            places[mine],
            log_target(spots, observations),
            (jnp.log(spots.outlier) + broad, jnp.log1p(-spots.outlier)),
        )
        result = result.at[mine].set(found)
    return result


# -- draws ---------------------------------------------------------------------------------------


def _draw_counts(
    observations: Observations, parameters: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw counts of as many pixels as were chosen, from the map's proportions."""
    intensity, dispersion, axis_counts, class_weight = parameters
    cells, anchors = observations.cells, observations.anchors
    number = len(observations.counts)
    chance = np.exp(np.asarray(cell_log_weight(class_weight, observations)))
    cell = rng.choice(len(chance), number, p=chance / chance.sum())
    unknown = cell == len(cells.class_of_cell)
    inside = np.where(unknown, 0, cell)
    fraction = cells.fraction[inside] + _fraction_noise(observations, inside, rng)
    fraction = np.clip(fraction, 0, None)
    fraction /= fraction.sum(axis=1, keepdims=True)
    z = rng.normal(size=(number, axis_counts.shape[0]))
    emitted = np.asarray(intensity)[None] * (
        1 + dispersion * rng.normal(size=(number, *dispersion.shape))
    )
    emitted = emitted + np.einsum("ka,na,ae->nke", observations.axis_of_phase, z, axis_counts)
    dead = observations.dead_share
    true = np.asarray(forward.true_counts(np.maximum(emitted, 0.0), dead))
    mean = np.asarray(forward.observed_counts(np.einsum("nk,nke->ne", fraction, true), dead))
    strange = anchors.unknown_mean + anchors.unknown_sd * rng.normal(size=mean.shape)
    mean = np.where(unknown[:, None], np.maximum(strange, 0.0), mean)
    return rng.poisson(mean).astype(float)


def _fraction_noise(
    observations: Observations, cell: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give deviations of the fractions inside their cells (n, k), by their covariance."""
    values, vectors = np.linalg.eigh(observations.cells.spread)
    root = vectors * np.sqrt(np.clip(values, 0, None))[:, None, :]
    uniform = np.sqrt(3) * rng.uniform(-1, 1, size=(len(cell), root.shape[1]))
    return np.einsum("nkl,nl->nk", root[cell], uniform)


def _draw_spots(
    observations: Observations, parameters: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw an analysis at every spot from what the counts around it allow."""
    return predict_spots(
        MapParameters(*parameters[:4]), SpotParameters(*parameters[4:]), observations, rng
    )[0]


def predict_spots(
    parameters: MapParameters,
    spots: SpotParameters,
    observations: Observations,
    generator: np.random.Generator,
    outliers: bool = True,
    repeats: int = 1,
) -> np.ndarray:
    """Draw what analyses at every spot would give, labels unseen, (repeat, s, o)."""
    moments, chance = _spot_chance(observations, parameters, spots)
    share = float(spots.outlier) if outliers else 0.0
    return np.stack(
        [_draw_analyses(moments, chance, observations, generator, share) for _ in range(repeats)]
    )


def spot_pure_probability(
    parameters: MapParameters, spots: SpotParameters, observations: Observations
) -> np.ndarray:
    """Give the probability that each spot lies on each phase alone, by counts alone (k, s)."""
    _, chance = _spot_chance(observations, parameters, spots)
    weight = np.exp(chance - chance.max(axis=(1, 2), keepdims=True)).sum(axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    return weight[:, :-1][:, observations.cells.is_pure].T


def _draw_analyses(
    moments: list[tuple[np.ndarray, ...]],
    chance: np.ndarray,
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
    strange = cell == chance.shape[-1] - 1
    strange |= generator.uniform(size=len(cell)) < outlier_share
    kind_of_spot = averaged[np.arange(len(counts)), place]
    for kind, (mean, covariance) in enumerate(moments):
        regular = ~strange & (kind_of_spot == bool(kind))
        for index in np.unique(cell[regular]):
            mine = np.flatnonzero(regular & (cell == index))
            cross = covariance[index, :n_elements, n_elements:]
            gain = np.linalg.solve(covariance[index, :n_elements, :n_elements], cross).T
            residual = counts[mine, place[mine]] - mean[index, :n_elements]
            left = covariance[index, n_elements:, n_elements:] - gain @ cross
            noise = generator.multivariate_normal(
                np.zeros(len(middle)), left, size=len(mine), method="eigh"
            )
            drawn[mine] = mean[index, n_elements:] + residual @ gain.T + noise
    return drawn


def _spot_chance(
    observations: Observations, parameters: MapParameters, spots: SpotParameters
) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
    """Give the cells' moments, for single and for averaged pixels, and `_log_chance`."""
    moments, chance = _log_chance(
        observations,
        MapParameters(*(np.asarray(value, float) for value in parameters)),
        SpotParameters(*(np.asarray(value, float) for value in spots)),
    )
    return [tuple(np.asarray(x) for x in pair) for pair in moments], np.asarray(chance)


@partial(jax.jit, static_argnums=0)
def _log_chance(
    observations: Observations, parameters: MapParameters, spots: SpotParameters
) -> tuple[list[tuple[jax.Array, jax.Array]], jax.Array]:
    """Give the log chance of each place and cell at each spot, by counts alone (s, w, c + 1)."""
    anchors, n_elements = observations.anchors, len(observations.dead_share)
    counts = observations.place_counts
    flat, averaged = counts.reshape(-1, n_elements), observations.place_averaged.ravel()
    moments = [
        spot_cells(parameters, spots, observations, share)
        for share in (1.0, observations.noise_share)
    ]
    inside = jnp.zeros((len(flat), len(observations.cells.class_of_cell)))
    for (mean, covariance), rows in zip(moments, (~averaged, averaged), strict=True):
        found = density.log_density(
            mean[:, :n_elements],
            covariance[:, :n_elements, :n_elements],
            flat[rows],
            _frame(observations),
        )
        inside = inside.at[rows].set(found)
    outside = unknown_log_density(flat, anchors.unknown_mean, anchors.unknown_sd)
    both = jnp.concatenate([inside, outside[:, None]], axis=1)
    both = both + cell_log_weight(parameters.class_weight, observations)
    chance = both - logsumexp(both, axis=1, keepdims=True) + log_target(spots, observations)
    place = log_place(spots, observations)
    return moments, chance.reshape(*counts.shape[:2], -1) + place[..., None]
