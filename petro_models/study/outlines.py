"""Grains of a phase on a map: their outlines between pixels, and distances to the rim."""

from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator
from scipy import ndimage
from scipy.spatial import cKDTree

from petro_models.phase_maps.map_answers import Grid

HALF = 0.5
POINTS_PER_PIXEL = 8
ROUND = 0.05
"""Scatter of the rim's distance from the middle, relative to it, below which a grain is round."""
FINER = 12
"""The middle of a grain is sought on a grid so many times finer than the pixels."""


@dataclass(frozen=True)
class Outline:
    """One grain.

    Attributes
    ----------
    rows, columns
        Its pixels, those of its inclusions among them.
    rim_distance
        Of each pixel's centre from the outline, in the map's unit.
    radii
        Of each pixel's centre in the grain: its distance from the middle of a round grain; else
        the grain's radius less the distance from the rim.
    across
        Of each pixel's centre from the line along x through the grain's middle.
    rim
        Points close together along the outline, (point, 2).
    centre
        (x, y) of the middle of a round grain; else of the place farthest from the rim.
    radius
        Mean distance of the rim from there, of a round grain; else the smallest.
    is_round
        Whether the rim's distance from the middle hardly varies.
    """

    rows: np.ndarray
    columns: np.ndarray
    rim_distance: np.ndarray
    radii: np.ndarray
    across: np.ndarray
    rim: np.ndarray
    centre: tuple[float, float]
    radius: float
    is_round: bool

    def holds(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Tell which places, given by row and column, are pixels of the grain."""
        own = set(zip(self.rows.tolist(), self.columns.tolist(), strict=True))
        places = zip(row.tolist(), column.tolist(), strict=True)
        return np.array([place in own for place in places], dtype=bool)

    def radius_of(self, x: float, y: float) -> float:
        """Give the radius of a place in the grain, as `radii` of its pixels."""
        if self.is_round:
            return float(np.hypot(x - self.centre[0], y - self.centre[1]))
        return max(self.radius - float(np.hypot(*(self.rim - (x, y)).T).min()), 0.0)


def outlines(fraction: np.ndarray, grid: Grid, smallest: float) -> tuple[list[Outline], int, int]:
    """Find the grains of a phase, the largest first.

    The outline runs where the fraction crosses a half between pixels. What a grain encloses is
    part of it.

    Parameters
    ----------
    fraction
        Of the phase, (y, x).
    grid
        Of the pixels.
    smallest
        Radius below which a grain is left out, in the map's unit.

    Returns
    -------
    list of Outline
        Grains that lie wholly on the map.
    int, int
        How many of at least that radius touch the edge of the map, and how many are smaller.
    """
    held = ndimage.binary_fill_holes(fraction >= HALF)
    labels, _ = ndimage.label(held)
    edge = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]} - {0}
    found, cut, small = [], 0, 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[window] == number
        # The inscribed circle is no wider than the box.
        extents = [n * step / 2 for n, step in zip(own.shape, grid.steps[::-1], strict=True)]
        if min(extents) < smallest:
            small += 1
            continue
        if number in edge:
            cut += 1
            continue
        outline = _outline(fraction, labels == number, window, grid)
        if outline.radius < smallest:
            small += 1
            continue
        found.append(outline)
    return sorted(found, key=lambda grain: -grain.radius), cut, small


def _outline(
    fraction: np.ndarray, own: np.ndarray, window: tuple[slice, slice], grid: Grid
) -> Outline:
    """Trace one grain and measure distances to it."""
    top, left = (max(part.start - 1, 0) for part in window)
    around = slice(top, window[0].stop + 1), slice(left, window[1].stop + 1)
    inside = own[around]
    # Neighbours of other grains do not draw this one's outline.
    near = ndimage.binary_dilation(inside)
    level = np.where(near, fraction[around], 0.0)
    level = np.where(ndimage.binary_erosion(inside), 1.0, level)
    x, y = grid.x[around[1]], grid.y[around[0]]
    lines = contour_generator(x, y, level, line_type=LineType.Separate).lines(HALF)
    points = np.concatenate([_dense(np.asarray(line), grid) for line in lines])
    tree = cKDTree(points)
    rows, columns = np.nonzero(inside)
    distance = tree.query(np.stack([x[columns], y[rows]], axis=-1))[0]
    deepest = int(distance.argmax())
    across, down = (step * np.arange(-FINER, FINER + 1) / FINER for step in grid.steps)
    places = np.stack(np.meshgrid(x[columns[deepest]] + across, y[rows[deepest]] + down), axis=-1)
    depth = tree.query(places.reshape(-1, 2))[0]
    best = places.reshape(-1, 2)[depth.argmax()]
    # The nearest of many rim points is nearer than the rim, the more so the farther it is: the
    # middle and the radii of a round grain are taken from its whole outline.
    area = np.clip(level[rows, columns], 0.0, 1.0)
    middle = np.average(x[columns], weights=area), np.average(y[rows], weights=area)
    reach = np.hypot(*(points - middle).T)
    is_round = bool(reach.std() < ROUND * reach.mean())
    centre = middle if is_round else (best[0], best[1])
    radius = float(reach.mean() if is_round else depth.max())
    from_middle = np.hypot(x[columns] - centre[0], y[rows] - centre[1])
    return Outline(
        rows + around[0].start,
        columns + around[1].start,
        distance,
        np.minimum(from_middle, radius) if is_round else np.maximum(radius - distance, 0.0),
        y[rows] - centre[1],
        points,
        (float(centre[0]), float(centre[1])),
        radius,
        is_round,
    )


def _dense(line: np.ndarray, grid: Grid) -> np.ndarray:
    """Put points close together along a line, (point, 2)."""
    spacing = min(grid.steps) / POINTS_PER_PIXEL
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    along = np.linspace(0, length[-1], int(length[-1] / spacing) + 2)
    return np.stack([np.interp(along, length, line[:, k]) for k in range(2)], axis=-1)
