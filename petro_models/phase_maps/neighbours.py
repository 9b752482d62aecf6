"""The option of a Potts prior: neighbours of a pixel tell what it may be.

`neighbourhood` has the prior and how it is learnt; here it is used, over rows and at single pixels.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from petro_models.inference.devices import full_precision, on
from petro_models.phase_maps.neighbourhood import Neighbourhood, cell_weight, log_odds, support
from petro_models.phase_maps.observations import Observations
from petro_models.phase_maps.pixels import TILE, PixelEngine

FEW_COUNTS = 75
"""Below so many counts of all elements in a typical pixel, neighbours are not used unasked. On
simulated maps errors of fractions are halved with 100 counts and intervals are right; with 50 they
still are, but only a third of pixels that seem pure by 0.8 is; with 30 a map does not tell how its
pixels meet, and what is learnt from it is wrong."""
LEAST_ROWS = 16
"""A tile has at least so many rows, so that the two beside it cost little."""
PLACES = 2000
"""Scattered pixels that are weighed at once, each with its neighbours."""
SIDES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
"""Steps in row and column to the neighbours of a pixel."""


def typical_counts(observations: Observations) -> float:
    """Give the counts of all elements in a typical pixel."""
    return float(np.median(observations.counts.sum(axis=1)))


def uses_neighbours(option: str, observations: Observations) -> bool:
    """Tell whether neighbours count, by the problem's option and by the counts of its pixels."""
    if option == "auto":
        return typical_counts(observations) >= FEW_COUNTS
    return option == "potts"


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
        said[exists] = np.asarray(log_odds(alone, *self._numbers[:2]))[index]
        _, _, strength, base = self._numbers
        return strength * said.sum(axis=1) + base

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray, np.float32, np.ndarray]:
        """Give, in single precision, how often cells occur over their weight, and its logarithm.

        The pass adds the weight itself. Between the two, relation and strength.
        """
        ratio = self.neighbourhood.share / cell_weight(self.engine)
        relation = self.neighbourhood.relation.astype(np.float32)
        strength = np.float32(self.neighbourhood.strength)
        return ratio.astype(np.float32), relation, strength, np.log(ratio).astype(np.float32)


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
    said = log_odds(alone, ratio, relation).reshape(-1, width, len(ratio))
    added = strength * support(said).reshape(-1, len(ratio)) + base
    weight = jnp.asarray(alone) * jnp.exp(added - added.max(axis=1, keepdims=True))
    return added, weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1e-37)
