"""R-hat and effective sample size of many quantities at once.

The rank-normalised split R-hat and the bulk and tail effective sample sizes of Vehtari et al.
(2021), Bayesian Anal. 16, 667-718, as ArviZ computes them, but for whole arrays: what takes ArviZ
a call a number would take longer than sampling a small problem.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from scipy.special import ndtri
from scipy.stats import rankdata

TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class Convergence:
    """The worst of all quantities; NaN where none varies.

    Attributes
    ----------
    r_hat
        Largest R-hat.
    bulk, tail
        Smallest effective sample sizes.
    """

    r_hat: float
    bulk: float
    tail: float


def convergence(values: np.ndarray) -> Convergence:
    """Judge draws (chain, draw, quantity) by their worst quantity.

    Parameters
    ----------
    values
        At least 4 draws a chain. Quantities that do not vary are left out.
    """
    varies = np.ptp(values, axis=(0, 1)) > 0
    if not varies.any():
        return Convergence(np.nan, np.nan, np.nan)
    values = values[:, :, varies]
    normal, folded = _normalised(values), _normalised(np.abs(values - _middle(values)))
    r_hat = np.maximum(split_gelman_rubin(normal), split_gelman_rubin(folded))
    bulk = _effective(normal)
    tails = [
        _effective((values <= np.quantile(values, level, axis=(0, 1))) * 1.0) for level in TAILS
    ]
    return Convergence(
        _worst(np.nanmax, r_hat), _worst(np.nanmin, bulk), _worst(np.nanmin, np.minimum(*tails))
    )


def _worst(pick: Callable[[np.ndarray], float], values: np.ndarray) -> float:
    """Give the worst of what is known; NaN where nothing is, as of chains that stand still."""
    return np.nan if np.isnan(values).all() else float(pick(values))


def _middle(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=(0, 1))


def _effective(values: np.ndarray) -> np.ndarray:
    """Give effective sample sizes, bounded as ArviZ bounds them where draws alternate."""
    size = values.shape[0] * values.shape[1]
    most = size * np.log10(size)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = effective_sample_size(_split(values))
    return np.where((found <= 0) | (found > most), most, found)


def _split(values: np.ndarray) -> np.ndarray:
    """Halve every chain."""
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]])


def _normalised(values: np.ndarray) -> np.ndarray:
    """Replace draws by the normal quantiles of their ranks."""
    size = values.shape[0] * values.shape[1]
    ranks = rankdata(values.reshape(size, -1), axis=0)
    return ndtri((ranks - 0.375) / (size + 0.25)).reshape(values.shape)
