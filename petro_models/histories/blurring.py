"""Diffusion inside the garnets as the last forward stage: growth zoning -> what is analysed.

Every grain is cut into shells. The zoning that they grew with is blurred over the path, from the
time when each shell had grown, by `petro_models.thermodynamics.diffusion`; what this changes is
then added to the composition expected at the analyses. The matrix holds the surface at what grows
there: a grain is no closed system, and near its rim loses and gains most.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.equilibria import InclusionArrays
from petro_models.thermodynamics.diffusion import diffuse
from petro_models.thermodynamics.diffusivities import (
    CHAKRABORTY_GANGULY_1992,
    Diffusivities,
)

SHELLS = 48
STEPS = 20
"""Steps in time: doubling them moves a core whose Mn falls by 0.15 by 0.0007."""


def shell_arrays(arrays: HistoryArrays) -> HistoryArrays:
    """Put the middles of the shells, and the rim, in the place of analyses, grain after grain."""
    places = shell_places(SHELLS)
    return replace(
        arrays,
        radius_um=(arrays.rim_radius_um[:, None] * places).ravel(),
        grain=np.repeat(np.arange(arrays.n_grains), places.size),
        inclusions=InclusionArrays.none(),
    )


def shell_places(shells: int) -> np.ndarray:
    """Give the middles of shells and the rim in shares of the rim's radius, (shell + 1)."""
    return np.append((np.arange(shells) + 0.5) / shells, 1.0)


def shell_edges_um(rim_radius_um: Any, shells: int = SHELLS) -> Any:
    """Give the radii of the shells' faces, (grain, shell + 1)."""
    return rim_radius_um[:, None] * np.linspace(0.0, 1.0, shells + 1)


def blur(
    fractions: Any,
    edges_um: Any,
    formation_Myr: Any,
    time_Myr: Any,
    temperature_C: Any,
    pressure_kbar: Any,
    coefficients: Diffusivities = CHAKRABORTY_GANGULY_1992,
    steps: int = STEPS,
) -> jax.Array:
    """Give what diffusion changes in several grains over one path, in touch with the matrix (JAX).

    Parameters
    ----------
    fractions
        As grown, (grain, shell + 1, component): of the shells, and of the surface in the end.
    edges_um
        (grain, shell + 1).
    formation_Myr
        When each shell had grown, (grain, shell).
    time_Myr, temperature_C, pressure_kbar
        The path, (time).
    coefficients
        Self-diffusivities.
    steps
        Of the solver.

    Returns
    -------
    jax.Array
        (grain, shell + 1, component) what is added by the last time; nothing at the surface.
    """
    path = time_Myr, temperature_C, pressure_kbar

    def one(grown: jax.Array, edges: jax.Array, formation: jax.Array) -> jax.Array:
        after = diffuse(grown[:-1], edges, *path, formation, grown[-1], coefficients, steps)
        return jnp.concatenate([after, grown[-1:]]) - grown

    return jax.vmap(one)(fractions, edges_um, formation_Myr)


def at_radii(values: Any, share_of_rim: Any, grain: np.ndarray, xp: Any) -> Any:
    """Interpolate values of shells and surface linearly at radii, (position, component).

    Parameters
    ----------
    values
        (grain, shell + 1, component).
    share_of_rim
        Radius of each position over that of its grain's rim, (position).
    grain
        (position).
    xp
        Namespace of arrays.
    """
    last = values.shape[1] - 2
    middle = share_of_rim * (last + 1) - 0.5
    # From the last middle to the rim is half a shell.
    place = middle + xp.clip(middle - last, 0.0, 0.5)
    index = xp.clip(xp.floor(place), 0, last).astype("int64")
    share = xp.clip(place - index, 0.0, 1.0)[:, None]
    return (1 - share) * values[grain, index] + share * values[grain, index + 1]
