"""Isocon algebra: mass change and mobility -> expected concentrations, and back.

Pure arithmetic on natural logarithms. Every function takes NumPy arrays, JAX arrays or PyTensor
tensors alike, so the model, the simulator and the exact engine share one definition.

References
----------
Gresens, R. L. (1967) Composition-volume relationships of metasomatism. Chem. Geol. 2, 47-65.
Grant, J. A. (1986) The isocon diagram. Econ. Geol. 81, 1976-1982.
Grant, J. A. (2005) Isocon analysis: a brief review of the method and applications.
    Phys. Chem. Earth 30, 997-1004.
"""

from typing import Any

import numpy as np

type Array = Any
"""Anything with NumPy's arithmetic: ndarray, jax.Array, PyTensor tensor, DataArray."""


def altered_log_concentration(
    protolith_log_concentration: Array, mass_change: Array, mobility: Array = 0.0
) -> Array:
    """Give ln C of an altered rock: ``ln C = ln C0 - m + x`` (Grant 1986, eq. 6, on logarithms).

    Parameters
    ----------
    protolith_log_concentration
        ln C0 of each element, in the element's own unit; broadcast against the others.
    mass_change
        m = ln(M / M0), the log of the ratio of altered to original mass.
    mobility
        x = ln of (mass of the element after / before); 0 for an immobile element.

    Returns
    -------
    Array
        ln C of the altered rock, in the unit of the protolith.
    """
    return protolith_log_concentration - mass_change + mobility


def mobility_from_log_ratio(log_ratio: Array, mass_change: Array) -> Array:
    """Give the mobility ``x = r + m`` of an element from its log ratio r = ln(C / C0)."""
    return log_ratio + mass_change


def log_volume_change(mass_change: Array, density: Array, protolith_density: Array) -> Array:
    """Give ``ln(V / V0) = m + ln(rho0 / rho)``; the densities share any one unit (Gresens 1967)."""
    return mass_change + np.log(protolith_density / density)


def cell_variance(relative_error: Array, protolith_spread: Array, tolerance: Array) -> Array:
    """Give the variance of ln C of one analysis of an immobile element.

    The three independent parts: the analytical error, the natural spread of the protolith that the
    altered rock descends from, and the practical tolerance within which an element still counts as
    immobile (all are standard deviations of ln C).
    """
    return relative_error**2 + protolith_spread**2 + tolerance**2


def regularised_scale(global_scale: Array, local_scale: Array, slab_scale: Array) -> Array:
    """Give the regularised horseshoe's scale of mobility of an element.

    ``c t l / sqrt(c^2 + t^2 l^2)``: Piironen & Vehtari (2017), Electron. J. Statist. 11,
    5018-5051, eq. 2.8, with t the global, l the local and c the slab scale.
    """
    product = global_scale * local_scale
    return slab_scale * product / (slab_scale**2 + product**2) ** 0.5


def matern52_correlation(distance: Array, length: Array, exp: Any) -> Array:
    """Give the Matern-5/2 correlation at a separation; `exp` is the array library's exponential."""
    scaled = 5.0**0.5 * distance / length
    return (1.0 + scaled + scaled**2 / 3.0) * exp(-scaled)
