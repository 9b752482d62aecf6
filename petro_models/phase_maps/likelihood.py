"""The two likelihoods of phase maps as PyMC distributions, their densities computed by JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor import wrap_jax
from pytensor.tensor import TensorVariable

from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import (
    MapParameters,
    SpotParameters,
    draw_counts,
    weighted_pixel_log_density,
)
from petro_models.phase_maps.spot_density import draw_spots, spot_log_density


def counts_mixture(
    name: str, parameters: MapParameters, observations: Observations, dims: tuple[str, str]
) -> TensorVariable:
    """Declare the chosen pixels' counts: classes, fractions and axes summed or integrated out."""
    shapes = _map_shapes(observations)
    return pm.CustomDist(
        name,
        observations.weight,
        *_fixed(parameters, shapes),
        logp=_on_jax(weighted_pixel_log_density, observations, shapes),
        random=_drawing(draw_counts, observations, shapes),
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
    shapes = [*_map_shapes(observations), (k, o), (k, o), (o,), (a, o), (2,), *[()] * 6, (o,), (o,)]
    # Missing analyses stand as the phase-free mean and are left out by the density.
    observed = np.where(
        np.isfinite(observations.spot_composition), observations.spot_composition, 0.0
    )
    return pm.CustomDist(
        name,
        np.zeros(len(observed)),
        *_fixed((*parameters, *spots), shapes),
        logp=_on_jax(spot_log_density, observations, shapes),
        random=_drawing(draw_spots, observations, shapes),
        signature="(),(k,e),(k,e),(a,e),(c),(k,o),(k,o),(o),(a,o),(p),(),(),(),(),(),(),(o),(o)->(o)",
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
