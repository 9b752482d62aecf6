"""Errors that data share, in few shapes: one standard deviation each, whose sizes are unknowns."""

import numpy as np

SHARED_PART = 0.9999
"""Share of the variance that the leading shapes hold; the rest is left out."""


def leading_shapes(rows: np.ndarray) -> np.ndarray:
    """Give the fewest orthogonal shapes that add up to nearly the same covariance, largest first.

    Parameters
    ----------
    rows
        ``rows' rows`` is the covariance, (row, value).

    Returns
    -------
    (shape, value)
    """
    _, size, forms = np.linalg.svd(rows, full_matrices=False)
    share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
    number = int(np.searchsorted(share, SHARED_PART)) + 1
    return (size[:, None] * forms)[:number]
