"""The option of a Potts prior: neighbours of a pixel tell what it may be.

The prior weight of cell c in pixel i becomes ``m_c prod_j (sum_d q_jd R_cd)^strength`` over its
four nearest neighbours j; q_jd is the probability that their own counts give cell d. R says how
much oftener two cells lie side by side than by chance, and m how often each cell occurs; both are
learnt from the map by expectation maximisation over pairs of pixels, so that a grain boundary runs
between the grains that it parts, and beside a pixel that holds nine tenths of a phase. So is the
strength: it maximises the pseudo-likelihood of the map, the product over pixels of the density of
a pixel's counts given its neighbours. It is below 1 because neighbours repeat each other; those
at the corners, given a strength of their own, got none on simulated maps.

References
----------
Besag, J. (1986). On the statistical analysis of dirty pictures. Journal of the Royal Statistical
Society B 48, 259-302.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.scipy.special import logsumexp
from scipy.optimize import minimize

from petro_models.inference.devices import full_precision, on
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixels import TILE, PixelEngine

FEW_COUNTS = 250
"""Below so many counts of all elements in a typical pixel, neighbours are not used unasked: on
simulated maps probabilities of being pure that lie between 0.1 and 0.9 come out right with 1,000
counts, 0.1 too high with 300, and 0.3 with 100 (fractions gain all the same)."""
ROUNDS = 12
"""Rounds of expectation maximisation; many more fit the noise of the meetings seen."""
FEWEST_MEETINGS = 20.0
"""Meetings by chance that are added to those seen, so that rare cells are not ruled out."""
FIRST_ALIKE = 0.2
"""Share of meetings between like cells from which the rounds start."""
FEWEST_BLOCKS = 8
BLOCK = 32
"""Rows and columns of the blocks of a map from which its neighbourhood is learnt."""
BLOCKS_TIMES_CELLS = 4096
"""As many blocks as this over the number of cells: meetings of cells cost the square of it."""
LEAST_ROWS = 16
"""A tile has at least so many rows, so that the two beside it cost little."""
PLACES = 2000
"""Scattered pixels that are weighed at once, each with its neighbours."""
MOST_STRENGTH = 1.5
FLOOR = 1e-6
"""The least that a neighbour's counts may leave of a cell's weight."""
SIDES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
"""Steps in row and column to the neighbours of a pixel."""


class Neighbourhood(NamedTuple):
    """What neighbours say on one map; the unknown cell is the last.

    Attributes
    ----------
    share
        How often each cell occurs (cell + 1,).
    relation
        How much oftener two cells lie side by side than by chance (cell + 1, cell + 1).
    strength
        The power of what a neighbour says.
    """

    share: np.ndarray
    relation: np.ndarray
    strength: float

    def to_dataset(self) -> xr.Dataset:
        """Give the numbers under dims, to be kept in a file."""
        return xr.Dataset(
            {
                "share": ("cell", self.share),
                "relation": (("cell", "other_cell"), self.relation),
                "strength": self.strength,
            }
        )

    @classmethod
    def from_dataset(cls, stored: xr.Dataset) -> "Neighbourhood":
        """Read what `to_dataset` gave."""
        share, relation = stored["share"].to_numpy(), stored["relation"].to_numpy()
        return cls(share, relation, float(stored["strength"]))


def uses_neighbours(option: str, observations: Observations) -> bool:
    """Tell whether neighbours count, by the problem's option and by the counts of its pixels."""
    if option == "auto":
        return float(np.median(observations.counts.sum(axis=1))) >= FEW_COUNTS
    return option == "potts"


def learn_neighbourhood(engine: PixelEngine, counts: xr.DataArray) -> Neighbourhood:
    """Learn from a map how its pixels resemble their neighbours.

    Parameters
    ----------
    engine
        The pixel pass.
    counts
        Of the map (element, y, x); of a large one only some blocks are read.
    """
    weight = _weight(engine)
    places = blocks_of(counts.sizes["y"], counts.sizes["x"], BLOCKS_TIMES_CELLS // len(weight))
    blocks = [
        engine.coarse_posterior(_flat(counts.isel(y=rows, x=columns)))[0].reshape(
            rows.stop - rows.start, columns.stop - columns.start, -1
        )
        for rows, columns in places
    ]
    densities = [_scaled(block / weight) for block in blocks]
    share, relation = learn_relation(densities, weight)
    return Neighbourhood(share, relation, _fit_strength(densities, share, relation))


def blocks_of(height: int, width: int, most: int) -> list[tuple[slice, slice]]:
    """Choose the blocks of rows and columns of a map to learn from, evenly spread over it."""
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    if down * across <= most:
        return [(slice(0, height), slice(0, width))]
    number = np.unique(
        np.linspace(0, down * across - 1, max(most, FEWEST_BLOCKS)).round().astype(int)
    )
    return [
        (slice(y, min(y + BLOCK, height)), slice(x, min(x + BLOCK, width)))
        for y, x in zip(number // across * BLOCK, number % across * BLOCK, strict=True)
    ]


def learn_relation(
    densities: list[np.ndarray], weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Learn how often cells occur, and how much oftener than by chance they meet.

    Parameters
    ----------
    densities
        Density of each pixel's counts under each cell, up to a factor of the pixel
        (y, x, cell + 1), by blocks.
    weight
        Share of each cell on the map, from which the rounds start (cell + 1,).

    Returns
    -------
    share, relation
        (cell + 1,), (cell + 1, cell + 1).
    """
    one, other = (np.concatenate(side) for side in zip(*map(_meetings, densities), strict=True))
    by_chance = np.outer(weight, weight)
    joint = (FIRST_ALIKE * np.diag(weight) + (1 - FIRST_ALIKE) * by_chance).astype(np.float32)
    for _ in range(ROUNDS):
        density = np.einsum("nc,nc->n", one @ joint, other)
        met = joint * ((one / density[:, None]).T @ other)
        met = met + met.T
        joint = (met + FEWEST_MEETINGS * by_chance) / (met.sum() + FEWEST_MEETINGS)
        joint = joint.astype(np.float32)
    share = joint.sum(axis=1)
    return share, joint / np.outer(share, share)


@dataclass(frozen=True)
class NeighbourWeights:
    """What neighbours add to the log weight of cells, of whole rows or of scattered pixels.

    Parameters
    ----------
    engine
        The pixel pass.
    neighbourhood
        Of the map.
    width
        Columns of the map.
    """

    engine: PixelEngine
    neighbourhood: Neighbourhood
    width: int

    @property
    def tile(self) -> int:
        """Pixels of a tile of whole rows; half a tile, with the rows beside it, is quickest."""
        rows = max(TILE // 2 // self.width, LEAST_ROWS) - 2
        return rows * self.width

    def of_rows(self, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Let the pixels of whole rows speak for each other.

        Parameters
        ----------
        alone
            Probability of each cell by the pixel's own counts, row by row (n, cell + 1).

        Returns
        -------
        log_weight, posterior
            What neighbours add to the log weight of each cell, and the probabilities with it
            (n, cell + 1).
        """
        with on(self.engine.device):
            found = _of_rows(alone, *self._numbers, self.width)
        return np.asarray(found[0]), np.asarray(found[1])

    def at(self, counts: xr.DataArray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Give what neighbours add for scattered pixels (n, cell + 1).

        Parameters
        ----------
        counts
            Of the map (element, y, x); only these pixels and their neighbours are read.
        row, column
            Of the pixels (n,).
        """
        parts = [
            self._at(counts, row[begin : begin + PLACES], column[begin : begin + PLACES])
            for begin in range(0, len(row), PLACES)
        ]
        return np.concatenate(parts)

    def _at(self, counts: xr.DataArray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        height, width = counts.sizes["y"], counts.sizes["x"]
        y, x = row[:, None] + SIDES[:, 0], column[:, None] + SIDES[:, 1]
        exists = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        places, index = np.unique(y[exists] * width + x[exists], return_inverse=True)
        near_y, near_x = (xr.DataArray(part, dims="pixel") for part in np.divmod(places, width))
        near = counts.isel(y=near_y, x=near_x).transpose("pixel", "element").to_numpy()
        said = np.zeros((*exists.shape, len(self.neighbourhood.share)), dtype=np.float32)
        alone, _ = self.engine.coarse_posterior(near)
        said[exists] = np.asarray(_log_odds(alone, *self._numbers[:2]))[index]
        _, _, strength, base = self._numbers
        return strength * said.sum(axis=1) + base

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray, np.float32, np.ndarray]:
        """Give, in single precision, how often cells occur over their weight, and its logarithm.

        The pass adds the weight itself. Between the two, relation and strength.
        """
        ratio = self.neighbourhood.share / _weight(self.engine)
        relation = self.neighbourhood.relation.astype(np.float32)
        strength = np.float32(self.neighbourhood.strength)
        return ratio.astype(np.float32), relation, strength, np.log(ratio).astype(np.float32)


def _weight(engine: PixelEngine) -> np.ndarray:
    """Give the share of each cell on the map, unknown last."""
    weight = np.exp(engine.state.log_weight)
    return np.maximum(weight / weight.sum(), 1e-12)


def _flat(counts: xr.DataArray) -> np.ndarray:
    """Give counts (element, y, x) as (pixel, element)."""
    return counts.transpose("y", "x", "element").to_numpy().reshape(-1, counts.sizes["element"])


def _scaled(densities: np.ndarray) -> np.ndarray:
    """Scale each pixel's densities to a maximum of one."""
    return (densities / densities.max(axis=-1, keepdims=True)).astype(np.float32)


def _meetings(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give both sides of all meetings of pixels (meeting, cell + 1), below and beside."""
    size = grid.shape[-1]
    one = [grid[:-1].reshape(-1, size), grid[:, :-1].reshape(-1, size)]
    other = [grid[1:].reshape(-1, size), grid[:, 1:].reshape(-1, size)]
    return np.concatenate(one), np.concatenate(other)


@jax.jit
@full_precision
def _log_odds(alone: jax.Array | np.ndarray, ratio: jax.Array, relation: jax.Array) -> jax.Array:
    chance = alone * ratio
    chance = chance / chance.sum(axis=1, keepdims=True)
    return jnp.log(jnp.maximum(chance @ relation, FLOOR))


@partial(jax.jit, static_argnames="width")
@full_precision
def _of_rows(
    alone: jax.Array | np.ndarray,
    ratio: jax.Array,
    relation: jax.Array,
    strength: jax.Array,
    base: jax.Array,
    width: int,
) -> tuple[jax.Array, jax.Array]:
    said = _log_odds(alone, ratio, relation).reshape(-1, width, len(ratio))
    added = strength * _support(said).reshape(-1, len(ratio)) + base
    weight = jnp.asarray(alone) * jnp.exp(added - added.max(axis=1, keepdims=True))
    return added, weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1e-37)


@jax.jit
def _support(said: jax.Array) -> jax.Array:
    """Add up what the neighbours say (y, x, cell + 1); beyond the map nothing is said."""
    framed = jnp.pad(said, ((1, 1), (1, 1), (0, 0)))
    upright = framed[:-2, 1:-1] + framed[2:, 1:-1]
    return upright + framed[1:-1, :-2] + framed[1:-1, 2:]


@jax.jit
@jax.value_and_grad
def _misfit(
    strength: jax.Array, support: jax.Array, log_density: jax.Array, share: jax.Array
) -> jax.Array:
    """Give the mean negative log pseudo-likelihood of pixels, up to a constant."""
    prior = jnp.log(share) + strength * support
    return jnp.mean(logsumexp(prior, axis=1) - logsumexp(prior + log_density, axis=1))


def _fit_strength(densities: list[np.ndarray], share: np.ndarray, relation: np.ndarray) -> float:
    """Find the strength by pseudo-likelihood, from pixels that have all their neighbours."""
    size, supports, inner = len(share), [], []
    for density in densities:
        alone = jnp.asarray(density.reshape(-1, size))
        said = _log_odds(alone, jnp.asarray(share), jnp.asarray(relation))
        supports.append(_support(said.reshape(density.shape))[1:-1, 1:-1].reshape(-1, size))
        inner.append(density[1:-1, 1:-1].reshape(-1, size))
    support = jnp.concatenate(supports)
    if not support.size:
        return 0.0  # a map of one or two rows has no such pixels
    log_density = jnp.log(jnp.maximum(jnp.concatenate(inner), 1e-30))

    def both(strength: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _misfit(jnp.float32(strength[0]), support, log_density, jnp.asarray(share))
        return float(value), np.array([float(slope)])

    found = minimize(both, [0.5], jac=True, method="L-BFGS-B", bounds=[(0.0, MOST_STRENGTH)])
    return float(found.x[0])
