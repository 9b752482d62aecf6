"""Cells: what a pixel may be, with the spread of phase fractions inside each cell.

A pixel is one phase, a mixture of two (a grain boundary), of three (a triple point), or a fine
mixture of all; or it is unknown. Pairs are cut into several cells along the fraction, each with
the fraction's mean and variance inside it, so that a coarse grid is unbiased.

The fraction of a pair is distributed as the parts into which a straight boundary, fallen anywhere,
cuts a square pixel: slivers are common and halves are not. A Beta(1/2, 1/2) distribution is that
within 0.02 of probability, and has closed forms. Where counts are few, pixels with a sliver look
like pure ones, and nothing but this tells how many there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np

UNKNOWN = "unknown"
THREE_PHASES = "three phases"
FINE_MIXTURE = "fine mixture"
EVEN_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the fraction of a pair is cut for the global unknowns: they need its spread alone, and
narrow cells at its ends let the scatter of spots be taken for mixtures."""
FEW_EVEN_EDGES = (0.0, 1 / 3, 2 / 3, 1.0)
PIXEL_EDGES = (0.0, 0.08, 0.3, 0.7, 0.92, 1.0)
"""Where it is cut for pixels: narrow at its ends, which look like the pure phases, so that
neighbours can tell them apart."""
FEW_PIXEL_EDGES = (0.0, 0.1, 0.5, 0.9, 1.0)
COUNT_PARTS, COUNT_STEPS = 16, 8
"""Parts of a pair and of a triple's sides where counts alone are looked at and phases are few. A
normal cell over the whole triangle of three phases is a poor likeness of what lies in it, and the
weights of the classes come out wrong where many pixels hold three."""
MOST_COUNT_CELLS = 128
"""Phases are few where that makes no more cells: what a gradient costs grows with their number."""
MANY_PHASES = 8
"""Beyond so many phases pairs, which are many then, are cut into fewer cells."""
LEAST_PART = 0.02
"""A pixel counts as a mixture of two from this fraction of the lesser one."""
TAIL_SHARE, TAIL_STRETCH = 0.05, 3.0
"""Share of a heavy-tailed phase's pixels that scatter wider, and how many times: a normal
distribution would rule out the cores of garnets, which are few and unlike the rest."""


@dataclass(frozen=True)
class Cells:
    """The Gaussian cells of a pixel's classes; the unknown class has none.

    Attributes
    ----------
    phases
        Names.
    pairs, triples
        Indices of the phases that may share a pixel.
    fraction, spread
        Mean (cell, phase) and covariance (cell, phase, phase) of the fractions in each cell.
    share
        Weight of a cell inside its class (cell,).
    class_of_cell
        Index of the class of each cell, in the order of `classes`.
    stretch
        How many times wider the phases scatter in each cell than they mostly do (cell,).
    edges
        Where the fraction of the first phase of a pair is cut, 0 to 1; its cells ascend.
    triple_steps
        Into how many parts the sides of the triangle of three phases are cut; its cells are the
        small triangles.
    """

    phases: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    triples: tuple[tuple[int, int, int], ...]
    fraction: np.ndarray
    spread: np.ndarray
    share: np.ndarray
    class_of_cell: np.ndarray
    stretch: np.ndarray
    has_fine_mixture: bool
    edges: tuple[float, ...]
    triple_steps: int

    @property
    def classes(self) -> list[str]:
        """Names of the classes: pure phases, pairs, three phases, fine mixture, unknown."""
        return [
            *self.phases,
            *(f"{self.phases[j]} + {self.phases[k]}" for j, k in self.pairs),
            *([THREE_PHASES] if self.triples else []),
            *([FINE_MIXTURE] if self.has_fine_mixture else []),
            UNKNOWN,
        ]

    @cached_property
    def is_pure(self) -> np.ndarray:
        """Whether each cell is one phase alone (cell,)."""
        return self.class_of_cell < len(self.phases)

    @cached_property
    def pure_phase(self) -> np.ndarray:
        """1 where a cell is that phase alone (cell, phase)."""
        return (self.class_of_cell[:, None] == np.arange(len(self.phases))).astype(float)

    @cached_property
    def heavy_tailed(self) -> tuple[int, ...]:
        """Indices of the phases that have a second cell, in which they scatter wider."""
        return tuple(self.class_of_cell[self.stretch > 1].tolist())

    @cached_property
    def pair_of_cell(self) -> np.ndarray:
        """Index of the pair of each cell; -1 elsewhere (cell,)."""
        pair = self.class_of_cell - len(self.phases)
        return np.where((pair >= 0) & (pair < len(self.pairs)), pair, -1)

    @cached_property
    def triple_of_cell(self) -> np.ndarray:
        """Index of the triple of each cell; -1 elsewhere (cell,)."""
        first = len(self.phases) + len(self.pairs)
        is_triple = (self.class_of_cell == first) & bool(self.triples)
        return np.where(is_triple, (np.cumsum(is_triple) - 1) // self.triple_steps**2, -1)

    @cached_property
    def along(self) -> np.ndarray:
        """Change of the fractions from end to end of a pair's cell; 0 elsewhere (cell, phase)."""
        found = np.zeros_like(self.fraction)
        for cell in np.flatnonzero(self.pair_of_cell >= 0):
            j, k = self.pairs[self.pair_of_cell[cell]]
            width = np.sqrt(12 * self.spread[cell, j, j])
            found[cell, j], found[cell, k] = width, -width
        return found

    @cached_property
    def _turns(self) -> np.ndarray:
        """Turns of `_turn` at both ends of a pair's cell; 0 elsewhere (cell, 2)."""
        found = np.zeros((len(self.class_of_cell), 2))
        paired = self.pair_of_cell >= 0
        found[paired] = np.tile(_cuts(self.edges), (len(self.pairs), 1))
        return found

    def draw_fractions(
        self, cell: np.ndarray, repeats: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw fractions inside cells (n,), as each spreads them (n, repeat, phase)."""
        shape = (len(cell), repeats, len(self.phases))
        fraction = (self.fraction[cell] > 0)[:, None] * generator.exponential(size=shape)
        fraction /= fraction.sum(axis=2, keepdims=True)
        low, high = self._turns[cell].T[..., None]
        first = np.sin(low + (high - low) * generator.uniform(size=shape[:2])) ** 2
        sign = np.sign(self.along)[cell][:, None]
        of_pair = np.where(sign > 0, first[..., None], (1 - first)[..., None]) * (sign != 0)
        return np.where((self.pair_of_cell[cell] >= 0)[:, None, None], of_pair, fraction)

    def nearness(self, pair: int, fraction: np.ndarray) -> np.ndarray:
        """Tell how near these fractions (n,) of a pair's first phase are to each cell (cell, n).

        They add up to one: all for the cell in whose middle a fraction lies, and beyond the last
        middles; in between two cells share it.
        """
        near = np.zeros((len(self.class_of_cell), len(fraction)))
        mine = np.flatnonzero(self.pair_of_cell == pair)
        middle = self.fraction[mine, self.pairs[pair][0]]
        for cell, alone in zip(mine, np.eye(len(mine)), strict=True):
            near[cell] = np.interp(fraction, middle, alone)
        return near


def make_cells(
    phases: Sequence[str],
    pairs: Sequence[tuple[int, int]] | None = None,
    *,
    triples: bool = True,
    fine_mixture: bool = True,
    heavy_tailed: Sequence[int] = (),
    edges: Sequence[float] = EVEN_EDGES,
    triple_steps: int = 1,
) -> Cells:
    """Lay out the cells of a map.

    Parameters
    ----------
    phases
        Names.
    pairs
        Pairs of phases that may share a pixel; by default all. Three phases may share one where
        all their pairs may.
    triples, fine_mixture
        Whether these classes exist (they need three phases).
    heavy_tailed
        Indices of the phases of which some pure pixels scatter wider than the others.
    edges
        Where the fraction of a pair is cut into cells, 0 to 1.
    triple_steps
        Into how many parts the sides of a triple are cut.
    """
    count = len(phases)
    chosen = tuple(combinations(range(count), 2)) if pairs is None else tuple(pairs)
    known = set(chosen)
    threes = tuple(
        three
        for three in combinations(range(count), 3)
        if triples and all(pair in known for pair in combinations(three, 2))
    )
    rows: list[tuple[np.ndarray, np.ndarray, float, int]] = []
    for k in range(count):
        most = 1 - TAIL_SHARE if k in heavy_tailed else 1.0
        rows.append((np.eye(count)[k], np.zeros((count, count)), most, k))
    for k in heavy_tailed:
        rows.append((np.eye(count)[k], np.zeros((count, count)), TAIL_SHARE, k))
    for number, (j, k) in enumerate(chosen):
        parts = _pair_parts(count, (j, k), _cuts(edges))
        for mean, spread, log_share in zip(
            parts.fraction, parts.spread, parts.log_share, strict=True
        ):
            rows.append((mean, spread, np.exp(log_share), count + number))
    next_class = count + len(chosen)
    for three in threes:
        patch = triple_patch(count, three, triple_steps)
        for mean, spread, log_share in zip(
            patch.fraction, patch.spread, patch.log_share, strict=True
        ):
            rows.append((mean, spread, np.exp(log_share) / len(threes), next_class))
    next_class += bool(threes)
    fine = fine_mixture and count > 2
    if fine:
        rows.append((*_even_mixture(count), 1.0, next_class))
    fraction, spread_of, share, class_of_cell = map(np.array, zip(*rows, strict=True))
    stretch = np.ones(len(rows))
    stretch[count : count + len(heavy_tailed)] = TAIL_STRETCH
    return Cells(
        tuple(phases),
        chosen,
        threes,
        fraction,
        spread_of,
        share,
        class_of_cell,
        stretch,
        fine,
        tuple(edges),
        triple_steps,
    )


def _even_mixture(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and covariance of fractions that are even over the simplex of all phases."""
    mean = np.full(count, 1 / count)
    return mean, (np.diag(mean) - np.outer(mean, mean)) / (count + 1)


def with_heavy_tails(cells: Cells, heavy_tailed: Sequence[int]) -> Cells:
    """Lay out the same classes with wider cells of these phases."""
    return _laid_out_anew(cells, heavy_tailed, cells.edges, cells.triple_steps)


def cells_of_pixels(cells: Cells) -> Cells:
    """Lay out the same classes in the cells that pixels are computed in."""
    edges = PIXEL_EDGES if len(cells.phases) <= MANY_PHASES else FEW_PIXEL_EDGES
    return _laid_out_anew(cells, cells.heavy_tailed, edges, cells.triple_steps)


def cells_of_counts(cells: Cells) -> Cells:
    """Lay out the same classes in narrow cells where phases are few: for counts without spots."""
    edges = np.linspace(0, 1, COUNT_PARTS + 1).tolist()
    finer = _laid_out_anew(cells, cells.heavy_tailed, edges, COUNT_STEPS)
    return finer if len(finer.share) <= MOST_COUNT_CELLS else cells


def _laid_out_anew(
    cells: Cells, heavy_tailed: Sequence[int], edges: Sequence[float], triple_steps: int
) -> Cells:
    """Lay out the same classes, cut into other cells."""
    return make_cells(
        cells.phases,
        cells.pairs,
        triples=bool(cells.triples),
        fine_mixture=cells.has_fine_mixture,
        heavy_tailed=heavy_tailed,
        edges=edges,
        triple_steps=triple_steps,
    )


@dataclass(frozen=True)
class Patch:
    """Nodes that fill the fractions of one pair or triple, for exact integration.

    Attributes
    ----------
    members
        Indices of the phases.
    fraction
        Of the phases at each node (node, phase).
    spread
        Covariance of the fractions that each node stands for (node, phase, phase).
    log_share
        Log weight of each node; they add up to one.
    """

    members: tuple[int, ...]
    fraction: np.ndarray
    spread: np.ndarray
    log_share: np.ndarray


def _turn(fraction: np.ndarray | Sequence[float]) -> np.ndarray:
    """Give the angle whose squared sine is a fraction: of a Beta(1/2, 1/2) it is uniform."""
    return np.arcsin(np.sqrt(fraction))


def _cuts(edges: Sequence[float]) -> np.ndarray:
    """Give the turns between which the cells of a pair lie, slivers left out (cell, 2)."""
    return np.array(list(pairwise(_turn(np.clip(edges, LEAST_PART, 1 - LEAST_PART)))))


def _pair_parts(count: int, pair: tuple[int, int], turns: np.ndarray) -> Patch:
    """Give what lies between turns (node, 2) along the fraction of the first phase of a pair."""
    width = np.diff(turns, axis=1)[:, 0]
    # Means of the cosines of twice and four times the turn, of which powers of its sine are made.
    twice, four = (np.diff(np.sin(n * turns), axis=1)[:, 0] / (n * width) for n in (2, 4))
    place, square = 0.5 * (1 - twice), 0.25 * (1.5 - 2 * twice + 0.5 * four)
    fraction = np.zeros((len(turns), count))
    fraction[:, pair[0]], fraction[:, pair[1]] = place, 1 - place
    along = np.zeros(count)
    along[list(pair)] = 1.0, -1.0
    spread = (square - place**2)[:, None, None] * np.outer(along, along)
    return Patch(pair, fraction, spread, np.log(width / width.sum()))


def pair_patch(count: int, pair: tuple[int, int], nodes: int) -> Patch:
    """Give nodes along the fraction of the first phase of a pair, ascending, all as likely."""
    ((first, last),) = _cuts((0.0, 1.0))
    ends = np.linspace(first, last, nodes + 1)
    return _pair_parts(count, pair, np.array(list(pairwise(ends))))


def triple_patch(count: int, triple: tuple[int, int, int], steps: int) -> Patch:
    """Give the centres of the small triangles that fill the simplex of three phases."""
    corners = []
    for i in range(steps):
        for j in range(steps - i):
            corners.append((3 * i + 1, 3 * j + 1))
            if i + j < steps - 1:
                corners.append((3 * i + 2, 3 * j + 2))
    first_two = np.array(corners) / (3 * steps)
    fraction = np.zeros((len(corners), count))
    fraction[:, triple[0]], fraction[:, triple[1]] = first_two[:, 0], first_two[:, 1]
    fraction[:, triple[2]] = 1 - first_two.sum(axis=1)
    spread = np.zeros((count, count))
    # Of a uniform distribution over a triangle, a step long.
    spread[np.ix_(triple, triple)] = (3 * np.eye(3) - 1) / (36 * steps**2)
    spread = np.tile(spread, (len(corners), 1, 1))
    return Patch(triple, fraction, spread, np.full(len(corners), -np.log(len(corners))))
