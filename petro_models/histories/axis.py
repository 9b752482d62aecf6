"""The axis along which a history is told: growth coordinate, reference time, nodes, quadrature.

The path is smooth in a coordinate that no unknown can bend: the time that growth would have taken
along reference temperatures read off the profile point by point. A prior per unit of *inferred*
time would let the smoothing tell the time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import make_smoothing_spline
from scipy.ndimage import median_filter

from petro_models.histories import forward
from petro_models.histories.growth import GrowthLaw

N_NODES = 48
N_GRID = 161
N_FINE = 2001
REFERENCE_ENERGY_KJ_PER_MOL = 200.0


@dataclass(frozen=True)
class GrowthAxis:
    """The common axis of all grains.

    Attributes
    ----------
    start, end
        Growth coordinate of the first observed position and of the end of growth, um^exponent.
    fine_place
        Place 0 to 1 at an even grid of sqrt((s - start) / (end - start)).
    nodes
        Places of the path's nodes, (node).
    grid_place, grid_coordinate
        Even grid of places for integrals, and its growth coordinate, (grid).
    frame_cut_um
        How far the largest section is taken to miss its centre where the axis is laid; None where
        grains were analysed through their centres.
    """

    start: float
    end: float
    fine_place: np.ndarray
    nodes: np.ndarray
    grid_place: np.ndarray
    grid_coordinate: np.ndarray
    frame_cut_um: float | None = None

    @property
    def span(self) -> float:
        """Length of the axis in the growth coordinate."""
        return self.end - self.start

    def place(self, coordinate: Any, xp: Any) -> Any:
        """Give the place, 0 to 1 in reference time, of points of the growth coordinate."""
        root = xp.sqrt(xp.clip((coordinate - self.start) / self.span, 1e-12, 1.0))
        values = xp.as_tensor(self.fine_place) if hasattr(xp, "as_tensor") else self.fine_place
        return forward.even_interpolation(values, root, xp)


def make_axis(
    coordinate: np.ndarray,
    temperature_C: np.ndarray,
    law: GrowthLaw,
    parameters: dict[str, float],
    start: float,
    end: float,
    n_nodes: int = N_NODES,
    frame_cut_um: float | None = None,
) -> GrowthAxis:
    """Lay the axis through points with reference temperatures.

    Parameters
    ----------
    coordinate, temperature_C
        Growth coordinate of the observed positions and temperatures read off point by point.
    law, parameters
        Growth law and its parameters at their reference values.
    start, end
        Ends of the axis in the growth coordinate.
    n_nodes
        Nodes of the path.
    frame_cut_um
        As the axis keeps it.
    """
    root = np.linspace(0.0, 1.0, N_FINE)
    fine = start + (end - start) * root**2
    reference = smoothed(
        np.sqrt(np.clip((coordinate - start) / (end - start), 0, 1)), temperature_C
    )
    slowness = law.on_grid(reference(root), fine, parameters, np)
    place, _ = forward.elapsed_share(slowness, fine, np)
    if not law.has_clock or law.along is not None:
        place = 0.5 * (place + root)
    grid = np.linspace(0.0, 1.0, N_GRID)
    return GrowthAxis(
        start=start,
        end=end,
        fine_place=place,
        nodes=np.linspace(0.0, 1.0, n_nodes),
        grid_place=grid,
        grid_coordinate=np.interp(grid, place, fine),
        frame_cut_um=frame_cut_um,
    )


def smoothed(place: np.ndarray, values: np.ndarray) -> Any:
    """Give a smooth function through noisy values, safe against single bad ones.

    Parameters
    ----------
    place, values
        (point), in any order; places may repeat.
    """
    order = np.argsort(place, kind="stable")
    x, y = place[order], median_filter(values[order], size=min(5, values.size), mode="nearest")
    x, group = np.unique(np.round(x, 9), return_inverse=True)
    y = np.bincount(group, y) / np.bincount(group)
    if x.size < 6:
        return lambda at: np.interp(at, x, y)
    # The rank is the coordinate of smoothing: analyses lie closer where the composition runs.
    rank = np.linspace(0.0, 1.0, x.size)
    spline = make_smoothing_spline(rank, y, lam=1e-4)
    low, high = y.min(), y.max()
    return lambda at: np.clip(spline(np.interp(at, x, rank)), low, high)
