"""From parameters to expected data: paths, elapsed time, removed garnet, and noise of closed X.

Pure functions of arrays; `xp` is `numpy`, `jax.numpy` or `pytensor.tensor`, so that model,
simulator and answers share them.
"""

from typing import Any

import numpy as np

from petro_models.thermodynamics.tables import CATMULL_ROM

JITTER = 1e-8
WIDENED = 4.0
"""Width of the axis that the sines of a path live on; the path itself uses 0 to 1 in its middle."""
PATH_UNITS = {"temperature": "C", "pressure": "kbar"}
"""What a path is made of, with the units that stand in names."""
LOG_TWO_PI = float(np.log(2 * np.pi))


def matern52(distance: np.ndarray, length: Any) -> np.ndarray:
    """Give the Matern-5/2 correlation at distances, (1 + z + z^2/3) exp(-z), z = sqrt(5) d / l."""
    z = np.sqrt(5.0) * distance / length
    return (1 + z + z * z / 3) * np.exp(-z)


def path_basis(points: np.ndarray, nodes: np.ndarray, length: Any) -> np.ndarray:
    """Give the matrix that turns independent normals into a Matern-5/2 path at points.

    With K the correlation of the nodes and k that of points and nodes, the basis is ``k F^-T``
    (F F' = K, F the eigenvectors of K, smoothest first): the path's mean given its node values,
    which for nodes much closer than the length is the path itself.

    Parameters
    ----------
    points
        Places in the path's coordinate, (point).
    nodes
        Evenly spaced nodes, (node).
    length
        Known length scale in the same coordinate.

    Returns
    -------
    (point, node)
    """
    between = np.abs(nodes[:, None] - nodes[None, :])
    across = np.abs(points[:, None] - nodes[None, :])
    correlation = matern52(between, length) + JITTER * np.eye(nodes.size)
    values, vectors = np.linalg.eigh(correlation)
    smoothest_first = vectors[:, ::-1] / np.sqrt(values[::-1])
    return matern52(across, length) @ smoothest_first


def spectral_basis(points: np.ndarray, count: int) -> np.ndarray:
    """Give sines over a widened axis, smoothest first, for paths whose length varies.

    With independent normals of the sizes `spectral_sd` they make up a Matern-5/2 path on 0 to 1
    (Solin & Sarkka 2020, Stat. Comput. 30, 419-446): unlike `path_basis` they need no matrix
    factor inside the model, and the length enters the sizes alone.

    Parameters
    ----------
    points
        Places 0 to 1, (point).
    count
        How many.

    Returns
    -------
    (point, node)
    """
    half = 0.5 * WIDENED
    frequency = np.arange(1, count + 1) * np.pi / (2 * half)
    return np.sin((points[:, None] - 0.5 + half) * frequency) / np.sqrt(half)


def spectral_sd(length: Any, count: int, xp: Any) -> Any:
    """Give the sizes of the normals of `spectral_basis`, (..., node), from lengths (...).

    The root of the Matern-5/2 spectral density ``16/3 5^(5/2) l^-5 (5/l^2 + w^2)^-3``.
    """
    frequency = np.arange(1, count + 1) * np.pi / WIDENED
    wide = length[..., None]
    density = 16 / 3 * 5**2.5 * wide**-5 * (5 / wide**2 + frequency**2) ** -3
    return xp.sqrt(density)


def path_values(
    mean: Any, amplitude: Any, nodes: Any, basis: Any, in_units: np.ndarray, part_sd: Any = 1.0
) -> Any:
    """Give a path at places, (..., point), for leading dims of draws.

    Parameters
    ----------
    mean, amplitude
        Of the path, (...).
    nodes
        Normal variables (..., node): of the path's size where `in_units`, else of size 1.
    basis
        As `path_basis` or `spectral_basis` gives it.
    in_units
        1 for nodes that carry the path's unit, 0 for those that the amplitude multiplies.
    part_sd
        1, or the sizes of `spectral_sd`.
    """
    scaled = nodes * (in_units + (1 - in_units) * amplitude[..., None] * part_sd)
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
    index, share = _even_cell(place, values.shape[-1], xp)
    return (1 - share) * values[..., index] + share * values[..., index + 1]


def even_weights(place: Any, size: int, xp: Any) -> Any:
    """Give the weights of `even_interpolation`, (..., grid): a product of matrices, no reading.

    The gradient of reading at places is a scatter, with which XLA compiles no loop as a whole.

    Parameters
    ----------
    place
        0 to 1, (...); beyond, the ends count.
    size
        Of the grid.
    """
    scaled = xp.clip(place, 0.0, 1.0) * (size - 1)
    return xp.clip(1 - abs(scaled[..., None] - np.arange(size)), 0.0, 1.0)


def smooth_interpolation(values: Any, place: Any, xp: Any) -> Any:
    """Interpolate with continuous slopes (Catmull-Rom) on an even grid; places run from 0 to 1.

    Parameters
    ----------
    values
        (..., grid); straight on beyond the ends, for the slopes there.
    place
        (point); beyond 0 and 1 the ends count.
    """
    before = 2 * values[..., :1] - values[..., 1:2]
    after = 2 * values[..., -1:] - values[..., -2:-1]
    extended = xp.concatenate([before, values, after], axis=-1)
    index, share = _even_cell(place, values.shape[-1], xp)
    total: Any = 0.0
    for step, powers in enumerate(CATMULL_ROM):
        weight = sum(factor * share**power for power, factor in enumerate(powers))
        total = total + weight * extended[..., index + step]
    return total


def _even_cell(place: Any, size: int, xp: Any) -> tuple[Any, Any]:
    """Give the index of each place's cell on an even grid and its share of it, 0 to 1."""
    scaled = xp.clip(place, 0.0, 1.0) * (size - 1)
    index = xp.clip(xp.floor(scaled), 0, size - 2).astype("int64")
    return index, scaled - index


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
    steps = 0.5 * (slowness[..., 1:] + slowness[..., :-1]) * (coordinate[1:] - coordinate[:-1])
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


def miscalibrated(expected: Any, gain: Any, background: Any, closed: Any) -> Any:
    """Give the fractions that an erring calibration measures: ``x (1 + gain) + background``.

    The error depends on the true fractions, not on the measured ones: taken from these it would
    follow their noise, and a fit would take the noise for a sign of the error.

    Parameters
    ----------
    expected, gain, background
        (..., component).
    closed
        1 where the fractions were brought to 1 afterwards, (...).

    Returns
    -------
    (..., component)
    """
    amount = expected * (1 + gain) + background
    return amount / (1 + closed[..., None] * (amount.sum(axis=-1, keepdims=True) - 1))


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
