"""The declared model of a history: path, clock, equilibrium garnet, likelihood."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from petro_models.histories import forward, grains
from petro_models.histories.axis import GrowthAxis
from petro_models.histories.data import HistoryArrays
from petro_models.histories.growth import GrowthLaw
from petro_models.priors import Priors

ABSENCE_SD = 0.3
"""Cells of the table beyond the edge of garnet stability, one standard deviation."""


def history_model(
    arrays: HistoryArrays,
    axis: GrowthAxis,
    law: GrowthLaw,
    priors: Priors,
    interpolation: str,
    resolved: Mapping[str, int],
) -> pm.Model:
    """Declare the joint model of path, clock and garnet zoning.

    Parameters
    ----------
    arrays
        Profiles, ages and table.
    axis
        The axis of the path.
    law
        The growth law.
    priors
        The priors in force.
    interpolation
        How the table is read between its nodes.
    resolved
        How many of the smoothest parts of ``temperature`` and ``pressure`` the analyses resolve;
        it decides on coordinates, not on the model.

    Returns
    -------
    pm.Model
        Free variables as named in `priors`, and ``temperature_path`` and ``pressure_path``
        (independent normals at nodes); observed ``composition``, ``garnet_absence`` and, with ages,
        ``zone_age_Ma``.
    """
    coords = {**arrays.coords, "node": np.arange(axis.nodes.size)}
    with pm.Model(coords=coords) as model:
        known = _geometry(priors, arrays)
        layout = grains.Layout.of(arrays, axis, law, known["offset"], known["length"])
        temperature = _path("temperature", "C", priors, layout, resolved["temperature"])
        pressure = _path("pressure", "kbar", priors, layout, resolved["pressure"])
        removed = _removed(priors, layout, arrays)

        if law.has_clock:
            clock = _clock(temperature["grid"], priors, layout)
            if arrays.has_ages:
                _ages(arrays, layout, priors, *clock)

        read = {
            "pressure_kbar": pressure["position"] + priors.create("pressure_offset_kbar"),
            "temperature_C": temperature["position"] + priors.create("temperature_offset_C"),
            "removed": removed,
            "method": interpolation,
            "xp": pt,
        }
        expected = arrays.table.read(**read)
        variance = arrays.sd**2 + pt.as_tensor(priors.create("model_error")) ** 2
        closed_composition(arrays, expected, variance)
        pm.Normal(
            "garnet_absence",
            mu=pt.clip(arrays.table.absence(**read) - 1, 0.0, np.inf),
            sigma=ABSENCE_SD,
            observed=np.zeros(arrays.radius_um.size),
            dims="position",
        )
    return model


def closed_composition(
    arrays: HistoryArrays, expected: TensorVariable, variance: TensorVariable
) -> None:
    """Observe the compositions, whose errors may have been closed to a sum of 1."""

    def log_density(
        value: TensorVariable,
        mean: TensorVariable,
        spread: TensorVariable,
        measured: TensorVariable,
        closed: TensorVariable,
    ) -> TensorVariable:
        return forward.closed_log_density(value, mean, spread, measured, closed, pt)

    def draw(
        mean: TensorVariable,
        spread: TensorVariable,
        measured: TensorVariable,
        closed: TensorVariable,
        size: Any,
    ) -> TensorVariable:
        error = pm.Normal.dist(0.0, pt.sqrt(spread))
        return mean + error - closed[..., None] * mean * error.sum(axis=-1, keepdims=True)

    pm.CustomDist(
        "composition",
        expected,
        pt.broadcast_to(variance, arrays.composition.shape),
        arrays.measured,
        arrays.closed,
        logp=log_density,
        dist=draw,
        signature="(c),(c),(c),()->(c)",
        observed=arrays.composition,
        dims=("position", "endmember"),
    )


def _geometry(priors: Priors, arrays: HistoryArrays) -> dict[str, Any]:
    offset = (
        priors.create("nucleation_offset_um")
        if "nucleation_offset_um" in priors
        else np.zeros(arrays.n_grains)
    )
    return {"offset": offset, "length": priors.create("path_length")}


def _path(
    name: str, unit: str, priors: Priors, layout: grains.Layout, resolved: int
) -> dict[str, Any]:
    """Declare a smooth path, and give it at positions and on the grid."""
    mean = pt.as_tensor(priors.create(f"{name}_mean_{unit}"))
    amplitude = pt.as_tensor(priors.create(f"{name}_amplitude_{unit}"))
    # The analyses hold the smooth parts of a path tightly: there the amplitude stands in the prior
    # rather than as a factor, and the two hardly correlate. Elsewhere the opposite holds.
    in_units = layout.in_units(resolved)
    sd = in_units * amplitude + (1 - in_units)
    nodes = pm.Normal(f"{name}_path", 0.0, sd, dims="node")
    return {
        place: forward.path_values(mean, amplitude, nodes, pt.as_tensor(basis), in_units)
        for place, basis in (("position", layout.position_basis), ("grid", layout.grid_basis))
    }


def _removed(priors: Priors, layout: grains.Layout, arrays: HistoryArrays) -> Any:
    if not arrays.table.has_removed_axis:
        return 0.0
    return pt.as_tensor(priors.create("removed_final")) * layout.grown_share


def _clock(
    grid_temperature: TensorVariable, priors: Priors, layout: grains.Layout
) -> tuple[Any, Any, Any]:
    return layout.clock(grid_temperature, clock_parameters(priors, layout.law), pt)


def clock_parameters(priors: Priors, law: GrowthLaw) -> Mapping[str, Any]:
    """Create the growth law's parameters and what sets the clock, inside a model."""
    names = [*law.parameters, "duration_Myr" if "duration_Myr" in priors else "growth_rate"]
    return {name: pt.as_tensor(priors.create(name)) for name in names}


def _ages(
    arrays: HistoryArrays,
    layout: grains.Layout,
    priors: Priors,
    share: TensorVariable,
    duration: TensorVariable,
    rate: TensorVariable,
) -> None:
    """Observe the ages: age at the start of the axis less the mean time of each zone."""
    start = priors.create("age_at_start_Ma")
    pm.Normal(
        "zone_age_Ma",
        mu=start - duration * layout.zone_share(share, pt),
        sigma=arrays.zone_age_sd_Ma,
        observed=arrays.zone_age_Ma,
        dims="zone",
    )
