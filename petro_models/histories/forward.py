"""From parameters to expected data: paths, elapsed time, removed garnet, and noise of closed X.

Pure functions of arrays; `xp` is `numpy`, `jax.numpy` or `pytensor.tensor`, so that model,
simulator and answers share them.
"""

from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular

JITTER = 1e-8
LOG_TWO_PI = float(np.log(2 * np.pi))


def matern52(distance: Any, length: Any, xp: Any) -> Any:
    """Give the Matern-5/2 correlation at distances, (1 + z + z^2/3) exp(-z), z = sqrt(5) d / l."""
    z = np.sqrt(5.0) * distance / length
    return (1 + z + z * z / 3) * xp.exp(-z)


def path_basis(points: Any, nodes: np.ndarray, length: Any, xp: Any, ordered: bool = True) -> Any:
    """Give the matrix that turns independent normals into a Matern-5/2 path at points.

    With K the correlation of the nodes and k that of points and nodes, the basis is ``k F^-T``
    (F F' = K): the path's mean given its node values, which for nodes much closer than the length
    is the path itself. F holds the eigenvectors of K, smoothest first, where all is known and
    `ordered`; its Cholesky factor where points or length are unknown.

    Parameters
    ----------
    points
        Places in the path's coordinate, (point).
    nodes
        Evenly spaced nodes, (node).
    length
        Length scale in the same coordinate.
    xp
        `numpy`, or `pytensor.tensor` where points or length are unknown.

    Returns
    -------
    (point, node)
    """
    between = np.abs(nodes[:, None] - nodes[None, :])
    across = abs(points[:, None] - nodes[None, :])
    jitter = JITTER * np.eye(nodes.size)
    if xp is np and ordered:
        values, vectors = np.linalg.eigh(matern52(between, length, np) + jitter)
        smoothest_first = vectors[:, ::-1] / np.sqrt(values[::-1])
        return matern52(across, length, np) @ smoothest_first
    if xp is np:
        factor = cholesky(matern52(between, length, np) + jitter, lower=True)
        return solve_triangular(factor, matern52(across, length, np).T, lower=True).T
    factor = xp.linalg.cholesky(matern52(xp.as_tensor(between), length, xp) + jitter)
    return xp.linalg.solve_triangular(factor, matern52(across, length, xp).T, lower=True).T


def path_values(mean: Any, amplitude: Any, nodes: Any, basis: Any, in_units: np.ndarray) -> Any:
    """Give a path at places, (..., point), for leading dims of draws.

    Parameters
    ----------
    mean, amplitude
        Of the path, (...).
    nodes
        Normal variables (..., node): of the amplitude's size where `in_units`, else of size 1.
    basis
        As `path_basis` gives it.
    in_units
        1 for nodes that carry the path's unit, 0 for those that the amplitude multiplies.
    """
    scaled = nodes * (in_units + (1 - in_units) * amplitude[..., None])
    return mean[..., None] + scaled @ basis.T


def even_interpolation(values: Any, place: Any, xp: Any) -> Any:
    """Interpolate linearly between values on an even grid; places run from 0 to 1.

    Parameters
    ----------
    values
        (..., grid).
    place
        (point); beyond 0 and 1 the ends count.
    """
    size = values.shape[-1]
    scaled = xp.clip(place, 0.0, 1.0) * (size - 1)
    index = xp.clip(xp.floor(scaled), 0, size - 2).astype("int64")
    share = scaled - index
    return (1 - share) * values[..., index] + share * values[..., index + 1]


def elapsed_share(slowness: Any, coordinate: np.ndarray, xp: Any) -> tuple[Any, Any]:
    """Integrate time along the growth coordinate: share of the whole (..., grid), and the whole.

    Parameters
    ----------
    slowness
        Time per step of the coordinate, up to a factor, on the grid (..., grid).
    coordinate
        Growth coordinate at the grid, (grid).

    Returns
    -------
    share
        0 at the start to 1 at the end.
    total
        The integral, in the unit of the coordinate: rate = total / duration.
    """
    steps = 0.5 * (slowness[..., 1:] + slowness[..., :-1]) * np.diff(coordinate)
    cumulative = xp.cumsum(steps, axis=-1)
    start = 0.0 * cumulative[..., :1]
    total = cumulative[..., -1:]
    return xp.concatenate([start, cumulative / total], axis=-1), total[..., 0]


def grown_share(
    coordinate: Any,
    offset: Any,
    density: np.ndarray,
    end: float,
    exponent: int,
    xp: Any,
) -> Any:
    """Give the share of the final garnet volume when the growth coordinate stands at some places.

    ``sum_i n_i r_i(s)^3 / sum_i n_i r_i(end)^3`` with ``r_i(s) = max(s - a_i, 0)^(1/exponent)``.

    Parameters
    ----------
    coordinate
        (point).
    offset
        a_i, (grain).
    density
        Relative number of grains of each size class, n_i (grain).
    end
        Coordinate at the end of growth.
    exponent
        The growth coordinate is the radius to this power.
    """
    power = 3.0 / exponent
    grown = xp.clip(coordinate[:, None] - offset[None, :], 0.0, np.inf) ** power
    whole = xp.clip(end - offset, 0.0, np.inf) ** power
    return (grown * density).sum(axis=-1) / (whole * density).sum()


def closed_log_density(
    observed: Any, expected: Any, variance: Any, measured: Any, closed: Any, xp: Any
) -> Any:
    """Give the log density of compositions with independent errors, summed to 1 where closed.

    Errors e of variances v are added to the expected fractions, and the sum is brought back to 1:
    ``y = x + e - x sum(e)``. Where the row is closed, the unseen sum(e) is integrated out:
    with d = y - x and w = 1/v, ``-1/2 [sum w d^2 - (sum w d x)^2 / sum w x^2]`` and its constant.

    Parameters
    ----------
    observed, expected, variance
        (..., component); what is not measured may hold any number.
    measured
        1 where a component was measured, (..., component).
    closed
        1 where all components were measured and brought to 1, (...).

    Returns
    -------
    (...)
    """
    weight = measured / variance
    difference = measured * (observed - expected)
    # The direction in which closure hides an error is taken at the data: the model stays linear.
    hidden = (weight * difference * observed * measured).sum(axis=-1)
    norm = (weight * observed * observed * measured).sum(axis=-1)
    square = (weight * difference * difference).sum(axis=-1)
    constant = 0.5 * (measured * (-xp.log(variance) - LOG_TWO_PI)).sum(axis=-1)
    safe = xp.clip(norm, 1e-12, np.inf)
    integral = 0.5 * (LOG_TWO_PI - xp.log(safe)) + 0.5 * hidden * hidden / safe
    return constant - 0.5 * square + closed * integral
