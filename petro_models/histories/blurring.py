"""Diffusion inside the garnets as the last forward stage: growth zoning -> what is analysed.

Every grain is cut into shells. The zoning that they grew with is blurred over the path, from the
time when each shell had grown, by `petro_models.thermodynamics.diffusion`; what this changes is
then added to the composition expected at the analyses.
"""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.equilibria import InclusionArrays
from petro_models.thermodynamics.diffusion import diffuse

SHELLS = 48
STEPS = 32
"""Steps in time: halving them moves the composition of a well blurred grain by 0.002."""


def shell_arrays(arrays: HistoryArrays) -> HistoryArrays:
    """Put the middles of the shells in the place of the analyses, grain after grain."""
    middle = (np.arange(SHELLS) + 0.5) / SHELLS
    return replace(
        arrays,
        radius_um=(arrays.rim_radius_um[:, None] * middle).ravel(),
        grain=np.repeat(np.arange(arrays.n_grains), SHELLS),
        inclusions=InclusionArrays.none(),
    )


def shell_edges_um(rim_radius_um: Any) -> Any:
    """Give the radii of the shells' faces, (grain, shell + 1)."""
    return rim_radius_um[:, None] * np.linspace(0.0, 1.0, SHELLS + 1)


def steps_of(grid: int) -> np.ndarray:
    """Pick the entries of a grid of so many places that time is stepped through."""
    return np.linspace(0, grid - 1, STEPS + 1).round().astype(int)


def blur(
    fractions: Any,
    edges_um: Any,
    formation_Myr: Any,
    time_Myr: Any,
    temperature_C: Any,
    pressure_kbar: Any,
) -> jax.Array:
    """Blur the growth zoning of several closed grains over one path (JAX).

    Parameters
    ----------
    fractions
        As grown, (grain, shell, component).
    edges_um
        (grain, shell + 1).
    formation_Myr
        When each shell had grown, (grain, shell).
    time_Myr, temperature_C, pressure_kbar
        The path, (step + 1).

    Returns
    -------
    jax.Array
        (grain, shell, component) at the last time.
    """

    def one(grown: jax.Array, edges: jax.Array, formation: jax.Array) -> jax.Array:
        return diffuse(grown, edges, time_Myr, temperature_C, pressure_kbar, formation)

    return jax.vmap(one)(fractions, edges_um, formation_Myr)


def at_radii(values: Any, share_of_rim: Any, grain: np.ndarray, xp: Any) -> Any:
    """Interpolate shell values linearly at radii, (position, component).

    Parameters
    ----------
    values
        (grain, shell, component).
    share_of_rim
        Radius of each position over that of its grain's rim, (position).
    grain
        (position).
    xp
        Namespace of arrays.
    """
    place = share_of_rim * SHELLS - 0.5
    index = xp.clip(xp.floor(place), 0, SHELLS - 2).astype("int64")
    share = xp.clip(place - index, 0.0, 1.0)[:, None]
    return (1 - share) * values[grain, index] + share * values[grain, index + 1]
