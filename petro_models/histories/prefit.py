"""A quick least-squares fit of the path, from which the sampler's climb starts."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import least_squares

from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.equilibria import InclusionArrays

TABLE_ERROR = 0.003
PASSES = 40
ROUNDS = 3
"""The noise of inclusions depends on P and T: it is taken anew after each fit."""
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
        expected, absence = table.look_up(p, t, removed)
        residual = arrays.measured * (arrays.composition - expected) / error
        absent = np.clip(absence - 1, 0, None) / 0.3
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


def fit_inclusions(
    inclusions: InclusionArrays,
    basis: np.ndarray,
    window: Mapping[str, tuple[float, float]],
    amplitude: Mapping[str, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a smooth path to inclusions alone, under the prior of its mean and nodes.

    Parameters
    ----------
    inclusions
        The inclusions.
    basis
        From nodes to inclusions, (inclusion, node).
    window
        ``temperature`` (C) and ``pressure`` (kbar) -> centre and spread of the path's mean.
    amplitude
        The same names -> standard deviation about the mean.

    Returns
    -------
    temperature_C, pressure_kbar
        At each inclusion.
    """
    size = basis.shape[1]
    (middle_t, spread_t), (middle_p, spread_p) = window["temperature"], window["pressure"]
    scale_t, scale_p = amplitude["temperature"], amplitude["pressure"]

    def conditions(unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nodes = unknown[2:].reshape(2, size)
        t = middle_t + spread_t * unknown[0] + scale_t * basis @ nodes[0]
        p = middle_p + spread_p * unknown[1] + scale_p * basis @ nodes[1]
        return t, p

    unknown = np.zeros(2 + 2 * size)
    for _ in range(ROUNDS):
        sd = inclusions.noise(*conditions(unknown)).total

        def residuals(trial: np.ndarray, sd: np.ndarray = sd) -> np.ndarray:
            t, p = conditions(trial)
            return np.concatenate([_soft(inclusions.residuals(t, p, np) / sd), trial])

        def slopes(trial: np.ndarray, sd: np.ndarray = sd) -> np.ndarray:
            t, p = conditions(trial)
            soft = _soft(inclusions.residuals(t, p, np) / sd)
            by_t = (_soft(inclusions.residuals(t + STEP_C, p, np) / sd) - soft) / STEP_C
            by_p = (_soft(inclusions.residuals(t, p + STEP_KBAR, np) / sd) - soft) / STEP_KBAR
            columns = [
                by_t[:, None] * spread_t,
                by_p[:, None] * spread_p,
                by_t[:, None] * basis * scale_t,
                by_p[:, None] * basis * scale_p,
            ]
            return np.concatenate([np.concatenate(columns, axis=1), np.eye(trial.size)])

        unknown = least_squares(residuals, unknown, jac=slopes, max_nfev=PASSES).x
    return conditions(unknown)


def _soft(residual: np.ndarray) -> np.ndarray:
    """Let large residuals count by their root (pseudo-Huber): bad points pull less."""
    return np.sign(residual) * np.sqrt(8.0 * (np.sqrt(1 + residual**2 / 4.0) - 1))


def _ridge(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    square = basis.T @ basis + np.eye(basis.shape[1])
    return np.linalg.solve(square, basis.T @ np.clip(values, -4, 4))
