"""The group-bridge density of one element's mobilities: normalised, and drawn from exactly.

With u the root mean square of the n measured mobilities of an element, q the exponent and s the
smoothing,

    p(x) = exp(-kappa (u^2 + s^2)^(q/2)) / Z,       kappa = n / (q scale^q),
    Z = (surface of the unit n-sphere) n^(n/2) * integral of u^(n-1) exp(-kappa (u^2 + s^2)^(q/2)).

so that u is near `scale` whatever n and q. The integral is one-dimensional and smooth in ln u,
where the trapezoidal rule converges fast.
"""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

LOG_RMS = np.linspace(-16.0, 26.0, 1051)
"""Grid of ln u: from a mobility of 1e-7 to one that no rock reaches, in steps of 0.04."""


def log_density(
    value: TensorVariable,
    expected: TensorVariable,
    smoothing: TensorVariable,
    scale: TensorVariable,
    measured: TensorVariable,
    exponent: float,
) -> TensorVariable:
    """Give the log density of each column (last axis: samples)."""
    count = measured.sum(axis=-1)
    rate = count / (exponent * scale**exponent)
    mean_square = (measured * (value - expected) ** 2).sum(axis=-1) / count
    energy = rate * (mean_square + smoothing**2) ** (exponent / 2)
    radial = _radial_log_weight(pt, count, smoothing, rate, exponent)
    log_step = float(np.log(LOG_RMS[1] - LOG_RMS[0]))
    log_surface = np.log(2.0) + 0.5 * count * np.log(np.pi) - pt.gammaln(count / 2)
    log_constant = (
        log_surface + 0.5 * count * pt.log(count) + pt.logsumexp(radial, axis=-1) + log_step
    )
    return -energy - log_constant


def draw(
    expected: np.ndarray,
    smoothing: np.ndarray,
    scale: np.ndarray,
    measured: np.ndarray,
    rng: np.random.Generator,
    size: Any,
    exponent: float,
) -> np.ndarray:
    """Draw columns: the radius by inverting its distribution on the grid, the direction uniform."""
    shape = tuple(size) + expected.shape[-1:] if size is not None else expected.shape
    expected, measured = (np.broadcast_to(array, shape) for array in (expected, measured))
    smoothing, scale = (np.broadcast_to(array, shape[:-1]) for array in (smoothing, scale))
    count = measured.sum(axis=-1)
    rate = count / (exponent * scale**exponent)
    radial = _radial_log_weight(np, count, smoothing, rate, exponent)
    cumulative = np.cumsum(np.exp(radial - radial.max(axis=-1, keepdims=True)), axis=-1)
    cumulative /= cumulative[..., -1:]
    uniform = rng.uniform(size=shape[:-1])
    log_rms = np.empty(shape[:-1])
    for index in np.ndindex(*shape[:-1]):
        log_rms[index] = np.interp(uniform[index], cumulative[index], LOG_RMS)
    direction = rng.normal(size=shape) * measured
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return expected + direction * (np.exp(log_rms) * np.sqrt(count))[..., None]


def _radial_log_weight(library: Any, count: Any, smoothing: Any, rate: Any, exponent: float) -> Any:
    """Give ``n t - kappa (e^(2t) + s^2)^(q/2)`` on the grid of t = ln u (a new last axis)."""
    mean_square = np.exp(2 * LOG_RMS) + library.expand_dims(smoothing, -1) ** 2
    energy = library.expand_dims(rate, -1) * mean_square ** (exponent / 2)
    return library.expand_dims(count, -1) * LOG_RMS - energy
