"""Labels beside points that do not cover each other: a small deterministic layout."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

ANGLES = np.deg2rad([0, 180, 45, -45, 135, -135, 90, -90, 22, -22, 158, -158, 68, -68, 112, -112])
DISTANCES_POINTS = (5.0, 9.0, 15.0, 23.0, 33.0, 45.0, 60.0)
SWEEPS = 4
LEADER_FROM_POINTS = 12.0


def label_points(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    texts: Sequence[str],
    *,
    avoid: np.ndarray | None = None,
    size: float = 9,
    colours: Sequence[str] | None = None,
) -> list[Annotation]:
    """Write a label beside every point so that labels, points and lines stay readable.

    Every label tries places on rings around its point and takes the cheapest: overlap with labels
    and points is dear, crossing a line less so, distance least. A few sweeps settle it; the result
    depends on nothing but the figure.

    Parameters
    ----------
    axes
        With its limits set and everything else drawn.
    x, y
        Points in data coordinates, (point).
    texts
        One label for each point.
    avoid
        More places to keep free (points along lines), data coordinates, (place, 2).
    size
        Font size in points.
    colours
        Of the labels.

    Returns
    -------
    list of Annotation
        In the order of the points.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes always belong to one
    labels = [
        axes.annotate(
            text,
            (float(px), float(py)),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            color=colours[index] if colours is not None else None,
            ha="center",
            va="center",
            zorder=6,
            annotation_clip=False,
        )
        for index, (text, px, py) in enumerate(zip(texts, x, y, strict=True))
    ]
    for label in labels:
        label.set_in_layout(False)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in labels]
    scale = figure.dpi / 72
    half = np.array([[box.width, box.height] for box in boxes]) / 2 + 0.8 * scale
    points = axes.transData.transform(np.column_stack([x, y]))
    lines = np.empty((0, 2)) if avoid is None else axes.transData.transform(avoid)
    frame = np.array(axes.get_window_extent(renderer).extents)
    offsets = _arrange(points, half, lines, frame, scale)
    for label, offset, size_points in zip(labels, offsets / scale, half / scale, strict=True):
        label.set_position(tuple(offset))
        # the share of the way from the label's centre to the point that lies inside its box
        covered = (size_points / np.maximum(np.abs(offset), 1e-9)).min()
        if np.hypot(*offset) * (1 - covered) > LEADER_FROM_POINTS:
            _draw_leader(axes, label.xy, offset * (1 - covered))
    return labels


def _draw_leader(axes: Axes, point: tuple[float, float], edge: np.ndarray) -> None:
    leader = axes.annotate(
        "",
        point,
        xytext=tuple(edge),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": "#8a9199", "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        zorder=4,
        annotation_clip=False,
    )
    leader.set_in_layout(False)


def _arrange(
    points: np.ndarray, half: np.ndarray, lines: np.ndarray, frame: np.ndarray, scale: float
) -> np.ndarray:
    """Choose the offset of every label's centre from its point, pixels (point, 2)."""
    count = len(points)
    candidates = np.array([_candidates(size, scale) for size in half])
    distance = np.repeat(DISTANCES_POINTS, len(ANGLES)) / DISTANCES_POINTS[-1]
    fixed = np.array(
        [
            20 * _covered(points[i] + candidates[i], half[i] + 2 * scale, points)
            + 1.5 * np.minimum(_covered(points[i] + candidates[i], half[i], lines), 3)
            + 60 * _outside(points[i] + candidates[i], half[i], frame)
            + 6 * distance
            for i in range(count)
        ]
    )
    centres = points + np.array([candidates[i][fixed[i].argmin()] for i in range(count)])
    chosen = fixed.argmin(axis=1)
    for _ in range(SWEEPS):
        for i in range(count):
            others = np.arange(count) != i
            places = points[i] + candidates[i]
            gap = np.abs(places[:, None] - centres[None, others]) - (half[i] + half[others])[None]
            overlap = np.where((gap < 0).all(axis=2), gap.prod(axis=2), 0.0)
            cost = fixed[i] + 60 * (overlap / (4 * half[i].prod())).sum(axis=1)
            cost += 3 * (overlap > 0).sum(axis=1)
            chosen[i] = cost.argmin()
            centres[i] = places[chosen[i]]
    return np.array([candidates[i][chosen[i]] for i in range(count)])


def _candidates(half: np.ndarray, scale: float) -> np.ndarray:
    """Give places of a label's centre such that its box begins at each distance, (place, 2)."""
    direction = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    reach = np.array(DISTANCES_POINTS)[:, None, None] * scale
    return (direction * reach + np.round(direction, 1) * half).reshape(-1, 2)


def _covered(places: np.ndarray, half: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Count the points inside a box at each place."""
    inside = np.abs(places[:, None] - points[None]) < half
    return inside.all(axis=2).sum(axis=1)


def _outside(places: np.ndarray, half: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Give how far a box at each place leaves the frame, in widths of the box."""
    over = np.maximum(frame[:2] - (places - half), 0) + np.maximum(places + half - frame[2:], 0)
    return (over / (2 * half)).sum(axis=1)
