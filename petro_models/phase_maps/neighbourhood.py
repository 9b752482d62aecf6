"""What the neighbours of a pixel tell of it, learnt from the map.

The prior weight of cell c in pixel i becomes ``m_c prod_j (sum_d q_jd R_dc)^strength`` over its
four nearest neighbours j; q_jd is the probability that their own counts give cell d, m how often
each cell occurs. R says how two cells go together side by side, so that a grain boundary runs
between the grains that it parts, and beside a pixel that holds nine tenths of a phase. It is one
number for each kind of meeting, whichever phases meet (`meeting_kinds`): maps are too small to
tell of every two cells. A first guess, how much oftener than by chance such cells lie side by side,
comes from expectation maximisation over pairs of pixels. Then R and the strength maximise the
pseudo-likelihood of the map, the product over pixels of the density of a pixel's counts given its
neighbours: neighbours repeat each other, which pairs cannot know. Where counts are few, those of a
pixel that holds little of a second phase are those of a pure one, and neighbours could do without
such pixels: so pure and mixed pixels are to occur as often as pixels alone say, and the fractions
of mixed ones as the model has them. Pixels at the corners and those beyond the nearest, given
numbers of their own, added little on simulated maps.

References
----------
Besag, J. (1986). On the statistical analysis of dirty pictures. Journal of the Royal Statistical
Society B 48, 259-302.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.scipy.special import logsumexp
from scipy.optimize import minimize

from petro_models.inference.devices import full_precision, on
from petro_models.phase_maps.cells import Cells
from petro_models.phase_maps.pixels import PixelEngine

ROUNDS = 20
"""Rounds of expectation maximisation; many more fit the noise of the meetings seen."""
FITTINGS = 5
"""Proportional fittings of cells and kinds to the meetings of a round."""
FEWEST_MEETINGS = 20.0
"""Meetings by chance that are added to those seen, so that rare cells are not ruled out."""
FIRST_ALIKE = 0.2
"""Share of meetings between like cells from which the rounds start."""
FIRST_STRENGTH = 0.7
RELATION_SD = 0.5
"""How far the logarithm of a relation may lie from the first guess."""
PROPORTIONS = 1.0
"""How many pixels, for each of the map, stand behind how often pure and mixed ones occur. On
simulated maps of 100, 300 and 1,000 counts this scored best: with 0.05, too few were mixed, and of
those that seemed pure by 0.6 only 0.45 were; with 50, what pixels alone say, to within a hundredth
of the map, was taken for certain."""
CLOSE_ENOUGH = 1e-6
"""Relative change of the pseudo-likelihood that ends the fit."""
FEWEST_BLOCKS = 8
BLOCK = 32
"""Rows and columns of the blocks of a map from which its neighbourhood is learnt."""
BLOCKS_TIMES_CELLS = 4096
"""As many blocks as this over the number of cells: meetings of cells cost the square of it."""
FLOOR = 1e-6
"""The least that a neighbour's counts may leave of a cell's weight."""


class Neighbourhood(NamedTuple):
    """What neighbours say on one map; the unknown cell is the last.

    Attributes
    ----------
    share
        How often each cell occurs (cell + 1,).
    relation
        How two cells go together side by side (cell + 1, cell + 1).
    strength
        The power of what a neighbour says.
    """

    share: np.ndarray
    relation: np.ndarray
    strength: float

    def answers(self) -> dict[str, xr.DataArray]:
        """Give the numbers by name, to be kept with the fit."""
        parts = {
            "neighbour_share": (self.share, ["cell"], "how often each cell occurs"),
            "neighbour_relation": (
                self.relation,
                ["cell", "other_cell"],
                "how two cells go together side by side",
            ),
            "neighbour_strength": (self.strength, [], "power of what a neighbour says"),
        }
        return {
            name: xr.DataArray(values, dims=dims, attrs={"units": "1", "long_name": text})
            for name, (values, dims, text) in parts.items()
        }

    @classmethod
    def from_answers(cls, stored: xr.Dataset) -> "Neighbourhood":
        """Read what `answers` gave."""
        share, relation, strength = (stored[f"neighbour_{name}"].to_numpy() for name in cls._fields)
        return cls(share, relation, float(strength))


def learn_neighbourhood(engine: PixelEngine, counts: xr.DataArray) -> Neighbourhood:
    """Learn from a map how its pixels resemble their neighbours.

    Parameters
    ----------
    engine
        The pixel pass.
    counts
        Of the map (element, y, x); of a large one only some blocks are read.
    """
    weight = cell_weight(engine)
    places = blocks_of(counts.sizes["y"], counts.sizes["x"], BLOCKS_TIMES_CELLS // len(weight))
    blocks = []
    for rows, columns in places:
        block = counts.isel(y=rows, x=columns).transpose("y", "x", "element").to_numpy()
        posterior, _ = engine.coarse_posterior(block.reshape(-1, block.shape[-1]))
        blocks.append(_scaled(posterior / weight).reshape(*block.shape[:2], -1))
    densities, cells = np.stack(blocks), engine.state.observations.cells
    share, relation = first_guess(densities, weight, meeting_kinds(cells, by_side=True))
    with on(engine.device):
        return fit_neighbourhood(densities, share, relation, weight, cells)


def cell_weight(engine: PixelEngine) -> np.ndarray:
    """Give the weight of each cell in the pass, unknown last; they add up to one."""
    weight = np.exp(engine.state.log_weight)
    return np.maximum(weight / weight.sum(), 1e-12)


def blocks_of(height: int, width: int, most: int) -> list[tuple[slice, slice]]:
    """Choose the blocks of a map to learn from, all of one size and evenly spread over it."""
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    if down * across <= most:
        return [(slice(0, height), slice(0, width))]
    number = np.unique(
        np.linspace(0, down * across - 1, max(most, FEWEST_BLOCKS)).round().astype(int)
    )
    row, column = np.divmod(number, across)
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    # The last ones of a row or column lie partly on those before.
    top, left = np.minimum(row * BLOCK, height - tall), np.minimum(column * BLOCK, width - wide)
    corners = zip(top.tolist(), left.tolist(), strict=True)
    return [(slice(y, y + tall), slice(x, x + wide)) for y, x in corners]


def meeting_kinds(cells: Cells, *, by_side: bool = False) -> np.ndarray:
    """Number the kinds of meetings of two cells, unknown last (cell + 1, cell + 1).

    Two meetings are of one kind if exchanging phases, or the two pixels, makes them the same:
    quartz beside a tenth of garnet in quartz, garnet beside a tenth of quartz in garnet. With
    `by_side` a pair's cells count as one where the same phase prevails.
    """
    fraction = cells.fraction.round(6)
    if by_side:
        fraction = np.where(fraction < 1, np.sign(fraction - 0.5), fraction)
    here = cells.fraction > 0
    parts = np.broadcast_to(here.sum(axis=1, keepdims=True), here.shape)
    stretch = np.broadcast_to(cells.stretch[:, None], here.shape)
    part = np.where(here, np.stack([fraction, parts, stretch]), 0.0)
    part = np.concatenate([part, np.full((3, 1, part.shape[2]), -2.0)], axis=1)
    _, code = np.unique(part.reshape(3, -1), axis=1, return_inverse=True)
    code = code.reshape(part.shape[1:])
    meeting = np.sort(code[:, None] * (code.max() + 1) + code[None], axis=2)
    _, kind = np.unique(meeting.reshape(-1, meeting.shape[2]), axis=0, return_inverse=True)
    kind = kind.reshape(meeting.shape[:2])
    _, kind = np.unique(np.minimum(kind, kind.T), return_inverse=True)
    return kind.reshape(meeting.shape[:2])


def first_guess(
    densities: np.ndarray, weight: np.ndarray, kind: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Learn how often cells occur, and how much oftener than by chance they meet.

    Parameters
    ----------
    densities
        Density of each pixel's counts under each cell, up to a factor of the pixel
        (block, y, x, cell + 1).
    weight
        Share of each cell on the map, from which the rounds start (cell + 1,).
    kind
        Of meetings (cell + 1, cell + 1).

    Returns
    -------
    share, relation
        (cell + 1,), (cell + 1, cell + 1).
    """
    one, other = _meetings(densities)
    by_chance = np.outer(weight, weight)
    joint = FIRST_ALIKE * np.diag(weight) + (1 - FIRST_ALIKE) * by_chance
    margin, relation = weight, np.ones(kind.shape)
    for _ in range(ROUNDS):
        single = joint.astype(np.float32)
        density = np.einsum("nc,nc->n", one @ single, other)
        met = single * ((one / density[:, None]).T @ other)
        met = (met + met.T + FEWEST_MEETINGS * by_chance).astype(float)
        met /= met.sum()
        seen = np.bincount(kind.ravel(), met.ravel())
        for _ in range(FITTINGS):
            together = np.outer(margin, margin)
            relation = (seen / np.bincount(kind.ravel(), together.ravel()))[kind]
            joint = together * relation
            margin = margin * np.sqrt(met.sum(axis=1) / joint.sum(axis=1))
        joint /= joint.sum()
    return joint.sum(axis=1), relation


def fit_neighbourhood(
    densities: np.ndarray,
    share: np.ndarray,
    relation: np.ndarray,
    weight: np.ndarray,
    cells: Cells,
) -> Neighbourhood:
    """Fit relation and strength by pseudo-likelihood, from pixels that have all their neighbours.

    Parameters
    ----------
    densities
        As in `first_guess`.
    share, relation
        From there: where the fit starts, and what it keeps near.
    weight
        As in `first_guess`.
    cells
        Of the pass.
    """
    if min(densities.shape[1:3]) < 3:  # a map of one or two rows has no such pixels
        return Neighbourhood(share, relation, 0.0)
    kind = meeting_kinds(cells)
    _, place = np.unique(kind, return_index=True)
    first = np.append(np.log(relation.ravel()[place]), FIRST_STRENGTH)
    parts = (densities, share, first, *_proportions(densities, weight, cells))
    on_device = [jnp.asarray(part, jnp.float32) for part in parts]

    def both(unknowns: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _misfit(jnp.asarray(unknowns, jnp.float32), kind, *on_device)
        return float(value), np.asarray(slope, dtype=float)

    bounds = [(None, None)] * len(place) + [(0.0, None)]
    options = {"ftol": CLOSE_ENOUGH}
    found = minimize(both, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return Neighbourhood(share, np.exp(found[:-1])[kind], float(found[-1]))


def _proportions(
    densities: np.ndarray, weight: np.ndarray, cells: Cells
) -> tuple[np.ndarray, np.ndarray]:
    """Sort cells by the larger fraction, and tell how often each sort occurs by pixels alone.

    Returns
    -------
    sort, occurring
        1 where a cell is of a sort (sort, cell + 1), and the share of pixels that are (sort,).
    """
    alone = densities.reshape(-1, len(weight)) * weight
    alone = (alone / alone.sum(axis=1, keepdims=True)).mean(axis=0)
    larger = np.append(cells.fraction.max(axis=1).round(6), -1.0)
    larger[:-1][(cells.pair_of_cell < 0) & ~cells.is_pure] = -1.0
    sort = (np.unique(larger)[:, None] == larger).astype(float)
    of_pairs = sort[:, :-1] @ np.where(cells.pair_of_cell >= 0, cells.share, 0.0)
    occurring = sort @ alone
    paired = of_pairs > 0
    occurring[paired] = occurring[paired].sum() * of_pairs[paired] / of_pairs.sum()
    return sort, occurring


@jax.jit
@jax.value_and_grad
def _misfit(
    unknowns: jax.Array,
    kind: jax.Array,
    densities: jax.Array,
    share: jax.Array,
    first: jax.Array,
    sort: jax.Array,
    known: jax.Array,
) -> jax.Array:
    """Give the mean negative log pseudo-likelihood of pixels, and what is known before, per pixel.

    That is where the relations start from, and how often each sort of cells occurs.
    """
    said = log_odds(densities.reshape(-1, len(share)), share, jnp.exp(unknowns[:-1])[kind])
    inner = support(said.reshape(densities.shape))[:, 1:-1, 1:-1].reshape(-1, len(share))
    log_density = jnp.log(jnp.maximum(densities[:, 1:-1, 1:-1].reshape(inner.shape), 1e-30))
    prior = jnp.log(share) + unknowns[-1] * inner
    evidence = logsumexp(prior + log_density, axis=1, keepdims=True)
    misfit = (logsumexp(prior, axis=1, keepdims=True) - evidence).mean()
    away = (unknowns - first)[:-1] / RELATION_SD
    occurring = sort @ jnp.exp(prior + log_density - evidence).mean(axis=0)
    unlike = (known * (jnp.log(known + 1e-9) - jnp.log(occurring + 1e-9))).sum()
    return misfit + 0.5 * (away**2).sum() / len(inner) + PROPORTIONS * unlike


@jax.jit
@full_precision
def log_odds(alone: jax.Array | np.ndarray, ratio: jax.Array, relation: jax.Array) -> jax.Array:
    """Give what pixels say of each cell beside them (n, cell + 1).

    Parameters
    ----------
    alone
        Probability of each cell by the pixel's own counts (n, cell + 1).
    ratio
        How often cells occur over the weight that is in `alone` (cell + 1,).
    relation
        (cell + 1, cell + 1).
    """
    chance = alone * ratio
    chance = chance / chance.sum(axis=1, keepdims=True)
    return jnp.log(jnp.maximum(chance @ relation, FLOOR))


@jax.jit
def support(said: jax.Array) -> jax.Array:
    """Add up what the neighbours say (..., y, x, cell + 1); beyond the map nothing is said."""
    beside = [(0, 0)] * (said.ndim - 3)
    framed = jnp.pad(said, [*beside, (1, 1), (1, 1), (0, 0)])
    upright = framed[..., :-2, 1:-1, :] + framed[..., 2:, 1:-1, :]
    return upright + framed[..., 1:-1, :-2, :] + framed[..., 1:-1, 2:, :]


def _scaled(densities: np.ndarray) -> np.ndarray:
    """Scale each pixel's densities to a maximum of one."""
    return (densities / densities.max(axis=-1, keepdims=True)).astype(np.float32)


def _meetings(densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give both sides of all meetings of pixels (meeting, cell + 1), below and beside."""
    size = densities.shape[-1]
    one, other = densities[:, :-1], densities[:, 1:]
    left, right = densities[:, :, :-1], densities[:, :, 1:]
    return (
        np.concatenate([one.reshape(-1, size), left.reshape(-1, size)]),
        np.concatenate([other.reshape(-1, size), right.reshape(-1, size)]),
    )
