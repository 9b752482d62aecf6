"""Errors of the stage that pass from one spot to the next, summed out along their order.

Backlash and drift of a stage displace neighbours of a traverse alike. The displacement is an
Ornstein-Uhlenbeck process along the order of measurement; on a grid of displacements it is a hidden
Markov model, whose sums are exact: no place of a spot is sampled, and none is chosen for good.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixel_density import SpotParameters

NODES = np.linspace(-3.0, 3.0, 13)
"""Displacements that are summed over, standard deviations of the drift."""
NARROWEST = 0.05
"""Least variance of a step, so that it is seen on the nodes."""
LEAST = 1e-280
UNROLL = 32
"""Spots to a step of the compiled loop: each step costs memory until the sampler has ended."""

_AT_REST = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


class Places(NamedTuple):
    """Probability of every place around every spot for each displacement, up to a factor of it.

    Attributes
    ----------
    along_columns, along_rows
        (s, w, node); their product is the probability of the place.
    """

    along_columns: jax.Array
    along_rows: jax.Array

    def sum(self, log_values: Any) -> jax.Array:
        """Give the log of the sum over the places of what each has (s, w): (s, node, node)."""
        top = jax.lax.stop_gradient(jnp.max(log_values, axis=1, keepdims=True))
        share = jnp.exp(log_values - top)[:, :, None] * self.along_columns
        found = jnp.einsum("swi,swj->sij", share, self.along_rows)
        return jnp.log(jnp.maximum(found, LEAST)) + top[:, :, None]

    def average(self, weight: Any, log_all: Any) -> jax.Array:
        """Give the log probability of each place (s, w).

        Parameters
        ----------
        weight
            Probability of each displacement (s, node, node).
        log_all
            Log of what the probabilities of a spot's places add up to (s, node, node).
        """
        lowest = log_all.min(axis=(1, 2), keepdims=True)
        share = weight * jnp.exp(lowest - log_all)
        found = jnp.einsum("sij,swi,swj->sw", share, self.along_columns, self.along_rows)
        return jnp.log(jnp.maximum(found, LEAST))


def log_place(spots: SpotParameters, observations: Observations, displaced: Any) -> jax.Array:
    """Give the log probability of every place around every spot, up to a factor of it (s, w)."""
    offset = observations.place_offset
    known = np.isfinite(offset).all(axis=-1)
    away = np.where(known[..., None], offset, 0.0) - spots.shift - displaced[:, None, :]
    return jnp.where(known, -0.5 * (away**2).sum(axis=-1) / _variance(spots), -jnp.inf)


def places(spots: SpotParameters, observations: Observations) -> Places:
    """Give how probable each place is when the stage is displaced by each pair of nodes."""
    offset = observations.place_offset
    known = np.isfinite(offset).all(axis=-1)[..., None]
    variance = _variance(spots)

    def along(direction: int) -> jax.Array:
        middle = spots.shift[direction] + spots.drift * NODES
        away = np.where(known, offset[..., direction][..., None], 0.0) - middle
        found = jnp.where(known, -0.5 * away**2 / variance, -jnp.inf)
        nearest = jax.lax.stop_gradient(found.max(axis=1, keepdims=True))
        return jnp.exp(found - nearest)

    return Places(along(0), along(1))


def steps(order: np.ndarray, memory: Any) -> jax.Array:
    """Give the probabilities of the next node from each (s - 1, node, node)."""
    kept = remembered(order, memory)
    variance = jnp.maximum(1 - kept**2, NARROWEST)[:, None, None]
    away = NODES[None, None, :] - kept[:, None, None] * NODES[None, :, None]
    return jax.nn.softmax(-0.5 * away**2 / variance, axis=2)


def remembered(order: np.ndarray, memory: Any) -> jax.Array:
    """Give how much of the displacement is kept from each spot to the next (s - 1,).

    Spots of unknown order stand last; they share nothing.
    """
    gap = np.diff(order)
    return jnp.where(np.isfinite(gap), jnp.exp(-np.nan_to_num(gap) / memory), 0.0)


def sequence(observations: Observations) -> np.ndarray:
    """Give the indices of the spots in the order of measurement, those of unknown order last."""
    return np.argsort(observations.spot_order, kind="stable")


def log_evidence(log_emission: jax.Array, memory: Any, observations: Observations) -> jax.Array:
    """Give the log density of each spot given those measured before it (s,).

    Parameters
    ----------
    log_emission
        Of each spot for every displacement (s, node, node).
    memory
        Number of spots over which the displacement is forgotten.
    observations
        Hold the order.
    """
    found = _forward(log_emission, memory, observations)[0]
    return found[np.argsort(sequence(observations))]


def told_by_others(log_emission: jax.Array, memory: Any, observations: Observations) -> jax.Array:
    """Give the probability of each displacement at every spot, by all other spots."""
    ordered = sequence(observations)
    _, before = _forward(log_emission, memory, observations)
    emission = _scaled(log_emission[ordered])[0]
    later = steps(observations.spot_order[ordered], memory)

    def back(message: jax.Array, here: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        seen, step = here
        passed = step @ (seen * message) @ step.T
        passed = passed / passed.max()
        return passed, passed

    last = jnp.ones((len(NODES), len(NODES)))
    _, messages = jax.lax.scan(back, last, (emission[1:], later), reverse=True, unroll=UNROLL)
    found = before * jnp.concatenate([messages, last[None]])
    found = found / found.sum(axis=(1, 2), keepdims=True)
    return found[np.argsort(ordered)]


def draw_displacements(
    spots: SpotParameters, observations: Observations, generator: np.random.Generator
) -> np.ndarray:
    """Draw how far the stage was off at each spot, beyond shift and jitter (s, 2), pixels."""
    ordered = sequence(observations)
    path = draw_path(observations.spot_order[ordered], float(spots.memory), generator)
    return float(spots.drift) * path[np.argsort(ordered)]


def draw_path(order: np.ndarray, memory: float, generator: np.random.Generator) -> np.ndarray:
    """Draw displacements of unit variance along an order that grows (s, 2)."""
    found = generator.normal(size=(len(order), 2))
    for index, kept in enumerate(np.asarray(remembered(order, memory)), start=1):
        found[index] = kept * found[index - 1] + np.sqrt(1 - kept**2) * found[index]
    return found


def _variance(spots: SpotParameters) -> Any:
    """Give the variance of a spot's position; a place stands for a pixel's area."""
    return spots.jitter**2 + 1 / 12


def _scaled(log_emission: jax.Array) -> tuple[jax.Array, jax.Array]:
    top = jax.lax.stop_gradient(log_emission.max(axis=(1, 2), keepdims=True))
    return jnp.exp(log_emission - top), top[:, 0, 0]


def _forward(
    log_emission: jax.Array, memory: Any, observations: Observations
) -> tuple[jax.Array, jax.Array]:
    """Give evidence and what the spots before tell of the displacement, in order of measurement."""
    ordered = sequence(observations)
    emission, top = _scaled(log_emission[ordered])
    step = steps(observations.spot_order[ordered], memory)
    start = np.outer(_AT_REST, _AT_REST)

    def filter_one(
        belief: jax.Array, here: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        seen, onward = here
        joint = belief * seen
        total = joint.sum()
        return onward.T @ (joint / total) @ onward, (jnp.log(total), belief)

    # The last step leads nowhere.
    onward = jnp.concatenate([step, jnp.eye(len(NODES))[None]])
    _, (evidence, before) = jax.lax.scan(
        filter_one, jnp.asarray(start), (emission, onward), unroll=UNROLL
    )
    return evidence + top, before
