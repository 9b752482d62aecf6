"""Rows of the pixel pass: what is found for pixels, and pixels that wait for their patch."""

from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import jax
import numpy as np

UNDER_WAY = 4
"""Blocks that a device may be ahead of what is stored."""


@dataclass(frozen=True)
class PixelAnswers:
    """What the pass finds, pixels first; k phases, o oxides, a axes.

    Attributes
    ----------
    fraction, fraction_sd, fraction_low, fraction_high, pure
        (n, k).
    unknown
        Probability that no phase explains the pixel (n,).
    evidence
        Log density of the counts under the best cell, less its expectation (n,).
    composition, composition_variance
        wt% and the variance that is the pixel's own, not of the calibration (n, o).
    total_variance
        Of the sum of the oxides, likewise (n,).
    axis_moment
        Fraction times position along each axis (n, a).
    """

    fraction: np.ndarray
    fraction_sd: np.ndarray
    fraction_low: np.ndarray
    fraction_high: np.ndarray
    pure: np.ndarray
    unknown: np.ndarray
    evidence: np.ndarray
    composition: np.ndarray
    composition_variance: np.ndarray
    total_variance: np.ndarray
    axis_moment: np.ndarray

    @classmethod
    def of_rows(
        cls,
        rows: np.ndarray,
        unknown: np.ndarray,
        evidence: np.ndarray,
        n_phases: int,
        n_oxides: int,
    ) -> "PixelAnswers":
        """Name the columns that `integrate` gives for each pixel, axes last (n, ...)."""
        ends = np.cumsum([*[n_phases] * 5, n_oxides, n_oxides, 1])
        fraction, sd, low, high, pure, *oxides, total, moment = np.split(rows, ends, axis=1)
        own = (fraction, sd, low, high, pure, unknown, evidence)
        return cls(*own, oxides[0], oxides[1], total[:, 0], moment)

    @classmethod
    def empty(cls, count: int, n_phases: int, n_oxides: int, n_axes: int) -> "PixelAnswers":
        """Make room for so many pixels."""
        width = row_width(n_phases, n_oxides, n_axes)
        rows, unknown, evidence = (
            np.zeros(shape, dtype=np.float32) for shape in ((count, width), count, count)
        )
        return cls.of_rows(rows, unknown, evidence, n_phases, n_oxides)

    def part(self, begin: int, end: int) -> "PixelAnswers":
        """Take some of the pixels."""
        return replace(
            self, **{part.name: getattr(self, part.name)[begin:end] for part in fields(self)}
        )


class Waiting(NamedTuple):
    """Pixels of one patch: their places, counts, and probability of all cells.

    And what neighbours add to the log weight of each of the patch's cells, or None.
    """

    place: np.ndarray
    counts: np.ndarray
    posterior: np.ndarray
    neighbours: np.ndarray | None

    def joined(self, other: "Waiting") -> "Waiting":
        """Put others behind these."""
        near = None
        if self.neighbours is not None and other.neighbours is not None:
            near = np.concatenate([self.neighbours, other.neighbours])
        return Waiting(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.posterior, other.posterior]),
            near,
        )

    def part(self, begin: int, end: int) -> "Waiting":
        """Take some of them."""
        mine = slice(begin, end)
        near = rows_of(self.neighbours, mine)
        return Waiting(self.place[mine], self.counts[mine], self.posterior[mine], near)


@dataclass
class Rows:
    """What is known of all pixels, row by row; a device computes while earlier blocks are stored.

    Attributes
    ----------
    values
        The columns of `PixelAnswers`, without unknown and evidence (n, width).
    """

    values: np.ndarray
    _under_way: deque[tuple[np.ndarray, jax.Array]] = field(default_factory=deque)

    def add(self, place: np.ndarray, block: jax.Array) -> None:
        """Take a block that may still be under way: rows of these places, then padding."""
        self._under_way.append((place, block))
        self.store(UNDER_WAY)

    def store(self, still: int = 0) -> None:
        """Wait for blocks, oldest first, until so many are still under way."""
        while len(self._under_way) > still:
            place, block = self._under_way.popleft()
            self.values[place] = np.asarray(block)[: len(place)]


def row_width(n_phases: int, n_oxides: int, n_axes: int) -> int:
    """Count the columns of `PixelAnswers`, unknown and evidence left out."""
    return 5 * n_phases + 2 * n_oxides + 1 + n_axes


def rows_of(values: np.ndarray | None, index: slice | np.ndarray) -> np.ndarray | None:
    """Take some rows; of nothing, nothing."""
    return None if values is None else values[index]


def padded(values: np.ndarray, length: int) -> np.ndarray:
    """Repeat the first row up to a fixed length, so that programs are compiled once."""
    if len(values) == length:
        return values
    return np.concatenate([values, np.repeat(values[:1], length - len(values), axis=0)])
