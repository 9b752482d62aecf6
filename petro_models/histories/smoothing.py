"""How a path is smoothed: the timeless default, and walks per unit of position or of time.

The default is a Matern-5/2 process in a reference time that no unknown bends. The two walks stand
for what has been published (Kuwatani et al. 2018, J. Mineral. Petrol. Sci. 113, 82-95, per unit of
position; Kuwatani et al. 2018, Phys. Rev. E, per unit of time). A walk per unit of time tells time
by itself: in simulated histories its intervals of the duration were far too narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from petro_models.histories import forward
from petro_models.histories.axis import GrowthAxis
from petro_models.histories.grains import Layout

SMOOTHINGS = ("timeless", "per_position", "per_time")
WALK_MYR = 10.0
"""A walk per unit of time gathers its amplitude in this time."""


@dataclass(frozen=True)
class PathParts:
    """What makes up the path of temperature or of pressure.

    Attributes
    ----------
    mean, amplitude
        (...) for leading dims of draws; of a walk, its first value and how far it gets.
    nodes
        Normals, (..., node).
    in_units
        1 for nodes that carry the path's unit, (node).
    """

    mean: Any
    amplitude: Any
    nodes: Any
    in_units: np.ndarray


def path_curves(
    smoothing: str,
    layout: Layout,
    temperature: PathParts,
    pressure: PathParts,
    parameters: Mapping[str, Any],
    wanted: Mapping[str, tuple[Any, Any]],
    xp: Any,
) -> dict[str, dict[str, Any]]:
    """Give temperature and pressure at all places that are wanted.

    Parameters
    ----------
    smoothing
        One of `SMOOTHINGS`.
    layout
        Where things stand on the axis.
    temperature, pressure
        Their parts.
    parameters
        Of the growth law, with ``growth_rate``: a walk per unit of time needs them; each (...).
    wanted
        Name -> place and basis; None for the basis of places that are unknown. ``grid`` is one.
    xp
        Namespace of arrays.

    Returns
    -------
    dict
        ``temperature`` (C) and ``pressure`` (kbar) -> name -> (..., point).
    """
    parts = {"temperature": temperature, "pressure": pressure}
    if smoothing == "timeless":
        return {name: _timeless(part, layout.part_sd, wanted, xp) for name, part in parts.items()}
    if smoothing == "per_position":
        step = position_steps(layout.axis)
        values = {name: _walk(part, step, xp) for name, part in parts.items()}
    else:
        heat, steps = _walk_in_time(temperature, layout, parameters, xp)
        values = {"temperature": heat, "pressure": _walk(pressure, steps, xp)}
    return {
        name: {
            key: forward.even_interpolation(curve, place, xp) for key, (place, _) in wanted.items()
        }
        for name, curve in values.items()
    }


def _timeless(
    part: PathParts, part_sd: Any, wanted: Mapping[str, tuple[Any, Any]], xp: Any
) -> dict[str, Any]:
    """Give a path at known places by their bases, at unknown ones by its values on the grid.

    A basis of unknown places would be computed anew at every step of a sampler.
    """

    def values(basis: Any) -> Any:
        return forward.path_values(
            part.mean, part.amplitude, part.nodes, basis, part.in_units, part_sd
        )

    grid = values(wanted["grid"][1])
    return {
        name: values(basis) if basis is not None else forward.smooth_interpolation(grid, place, xp)
        for name, (place, basis) in wanted.items()
    }


def node_coordinate(axis: GrowthAxis) -> np.ndarray:
    """Give the growth coordinate of the path's nodes, (node)."""
    return np.interp(axis.nodes, axis.grid_place, axis.grid_coordinate)


def position_steps(axis: GrowthAxis) -> np.ndarray:
    """Give the roots of the nodes' distances as shares of the axis, (node - 1)."""
    return np.sqrt(np.diff(node_coordinate(axis)) / axis.span)


def normals_of_walk(values: np.ndarray, amplitude: float, step: np.ndarray) -> np.ndarray:
    """Give the normals of a walk through given node values: where a sampler's climb starts."""
    return np.concatenate([[0.0], np.diff(values) / (amplitude * step)])


def time_steps(
    temperature_C: np.ndarray, layout: Layout, parameters: Mapping[str, float]
) -> np.ndarray:
    """Give the roots of the times between nodes over `WALK_MYR`, for known temperatures."""
    slowness = layout.law.slowness(temperature_C[:-1], parameters, np)
    between = np.diff(node_coordinate(layout.axis)) * slowness / parameters["growth_rate"]
    return np.sqrt(between / WALK_MYR)


def _walk(part: PathParts, step: Any, xp: Any) -> Any:
    """Give node values of a walk with known sizes of its steps, (..., node)."""
    moves = xp.concatenate([0.0 * part.nodes[..., :1], part.nodes[..., 1:] * step], axis=-1)
    return part.mean[..., None] + part.amplitude[..., None] * xp.cumsum(moves, axis=-1)


def _walk_in_time(
    part: PathParts, layout: Layout, parameters: Mapping[str, Any], xp: Any
) -> tuple[Any, Any]:
    """Walk in temperature: how long each step takes depends on where the walk has got to.

    Returns
    -------
    temperature_C
        (..., node).
    steps
        Roots of the times between nodes over `WALK_MYR`, (..., node - 1).
    """
    between = np.diff(node_coordinate(layout.axis))
    values, steps = [part.mean + 0.0 * part.nodes[..., 0]], []
    for index, distance in enumerate(between):
        slowness = layout.law.slowness(values[-1], parameters, xp)
        root = xp.sqrt(distance * slowness / parameters["growth_rate"] / WALK_MYR)
        steps.append(root)
        values.append(values[-1] + part.amplitude * root * part.nodes[..., index + 1])
    return xp.stack(values, axis=-1), xp.stack(steps, axis=-1)
