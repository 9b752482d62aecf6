"""A quick least-squares fit of the path, from which the sampler's climb starts."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import least_squares

from petro_models.histories.data import HistoryArrays

TABLE_ERROR = 0.003
PASSES = 40
STEP_KBAR, STEP_C = 0.01, 0.1


def fit_path(
    arrays: HistoryArrays,
    basis: np.ndarray,
    path: Mapping[tuple[str, str], float],
    points: tuple[np.ndarray, np.ndarray, np.ndarray],
    removed: np.ndarray,
) -> dict[str, np.ndarray]:
    """Fit standard normals at nodes to the analyses, robustly.

    Parameters
    ----------
    arrays
        Profiles and table.
    basis
        From nodes to positions, (position, node).
    path
        (name, key) -> number; names temperature and pressure, keys mean and amplitude.
    points
        Point-by-point pressure (kbar), temperature (C) and misfit: the first guess.
    removed
        Garnet removed before each position.

    Returns
    -------
    dict
        ``temperature`` and ``pressure`` -> (node), of size 1.
    """
    table, size = arrays.table, basis.shape[1]
    error = np.sqrt(arrays.sd**2 + TABLE_ERROR**2)
    scales = [path["temperature", "amplitude"], path["pressure", "amplitude"]]
    means = [path["temperature", "mean"], path["pressure", "mean"]]

    def conditions(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t, p = (
            mean + scale * basis @ part
            for mean, scale, part in zip(means, scales, np.split(nodes, 2), strict=True)
        )
        return t, p

    def misfit(t: np.ndarray, p: np.ndarray) -> np.ndarray:
        expected = table.read(p, t, removed)
        residual = arrays.measured * (arrays.composition - expected) / error
        absent = np.clip(table.absence(p, t, removed) - 1, 0, None) / 0.3
        return np.concatenate([residual, absent[:, None]], axis=1)

    def residuals(nodes: np.ndarray) -> np.ndarray:
        # Robust for the analyses only: the prior of the nodes stays quadratic.
        return np.concatenate([_soft(misfit(*conditions(nodes))).ravel(), nodes])

    def slopes(nodes: np.ndarray) -> np.ndarray:
        t, p = conditions(nodes)
        soft = _soft(misfit(t, p))
        by_t = (_soft(misfit(t + STEP_C, p)) - soft) / STEP_C * scales[0]
        by_p = (_soft(misfit(t, p + STEP_KBAR)) - soft) / STEP_KBAR * scales[1]
        rows = [(by[:, :, None] * basis[:, None, :]).reshape(-1, size) for by in (by_t, by_p)]
        return np.concatenate([np.concatenate(rows, axis=1), np.eye(2 * size)])

    start = np.concatenate(
        [
            _ridge(basis, (values - mean) / scale)
            for values, mean, scale in zip(points[1::-1], means, scales, strict=True)
        ]
    )
    found = least_squares(residuals, start, jac=slopes, max_nfev=PASSES)
    temperature, pressure = np.split(found.x, 2)
    return {"temperature": temperature, "pressure": pressure}


def _soft(residual: np.ndarray) -> np.ndarray:
    """Let large residuals count by their root (pseudo-Huber): bad points pull less."""
    return np.sign(residual) * np.sqrt(8.0 * (np.sqrt(1 + residual**2 / 4.0) - 1))


def _ridge(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    square = basis.T @ basis + np.eye(basis.shape[1])
    return np.linalg.solve(square, basis.T @ np.clip(values, -4, 4))
