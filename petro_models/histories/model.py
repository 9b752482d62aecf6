"""The declared model of a history: path, clock, garnet and inclusions in equilibrium."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor import wrap_jax
from pytensor.tensor import TensorVariable

from petro_models.histories import blurring, forward, grains
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.axis import GrowthAxis
from petro_models.histories.equilibria import Noise
from petro_models.histories.growth import GrowthLaw, clock_names
from petro_models.histories.smoothing import PathParts, path_curves
from petro_models.priors import Priors
from petro_models.thermodynamics.diffusivities import Diffusivities

STAY = "time_after_growth_Myr"
ABSENCE_SD = 0.3
"""Cells of the table beyond the edge of garnet stability, one standard deviation."""


def history_model(
    arrays: HistoryArrays,
    axis: GrowthAxis,
    law: GrowthLaw,
    priors: Priors,
    interpolation: str,
    resolved: Mapping[str, int],
    noise: Noise,
    smoothing: str,
    diffusivities: Diffusivities | None,
) -> pm.Model:
    """Declare the joint model of path, clock, garnet zoning and inclusions.

    Parameters
    ----------
    arrays
        Profiles, table, inclusions and ages.
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
    noise
        Of the inclusions' residuals.
    smoothing
        How the path is smoothed, one of `petro_models.histories.smoothing.SMOOTHINGS`.
    diffusivities
        By which garnet zoning is blurred after growth; None: it is not.

    Returns
    -------
    pm.Model
        Free variables as named in `priors`, and ``temperature_path`` and ``pressure_path``
        (independent normals at nodes); observed ``composition`` and ``garnet_absence`` of profiles,
        ``equilibrium_residual`` of inclusions, ``zone_age_Ma`` of ages.
    """
    coords = {**arrays.coords, "node": np.arange(axis.nodes.size)}
    with pm.Model(coords=coords) as model:
        known = _geometry(priors, arrays)
        layout = grains.Layout.of(arrays, axis, law, **known)
        shells = _shells(arrays, axis, law, known) if diffusivities else None
        clock = clock_parameters(priors, law) if smoothing == "per_time" else {}

        heat = _path("temperature", "C", priors, layout, resolved["temperature"])
        load = _path("pressure", "kbar", priors, layout, resolved["pressure"])
        path = path_curves(smoothing, layout, heat, load, clock, _wanted(layout, shells), pt)
        removed_final = _removed_final(priors, arrays)

        time = None
        if law.has_clock:
            clock = clock or clock_parameters(priors, law)
            time = layout.clock(path["temperature"]["grid"], clock, pt)
            if arrays.has_ages:
                _ages(arrays, layout, priors, *time[:2])

        if arrays.has_profiles:
            read = _reader(path, removed_final, priors, interpolation)
            at_analyses = read("position", layout.grown_share)
            expected, absence = arrays.table.look_up(**at_analyses)
            if diffusivities is not None and shells is not None and time is not None:
                grown = arrays.table.read(**read("shell", shells.grown_share))
                expected += _blurred(grown, diffusivities, arrays, shells, priors, path, *time[:2])
            if arrays.has_shared_error:
                score = pt.as_tensor(priors.create("shared_error"))
                expected = arrays.miscalibrated(expected, score, pt)
            variance = arrays.sd**2 + pt.as_tensor(priors.create("model_error")) ** 2
            closed_composition(arrays, expected, variance)
            pm.Normal(
                "garnet_absence",
                mu=pt.clip(absence - 1, 0.0, np.inf),
                sigma=ABSENCE_SD,
                observed=np.zeros(arrays.radius_um.size),
                dims="position",
            )

        if arrays.has_inclusions:
            enclosed = path["temperature"]["inclusion"], path["pressure"]["inclusion"]
            residual = arrays.inclusions.residuals(*enclosed, pt)
            pm.Normal(
                "equilibrium_residual",
                mu=residual + _calibration_error(priors, arrays, noise),
                sigma=noise.total,
                observed=np.zeros(arrays.inclusions.count),
                shape=arrays.inclusions.count,
                dims="inclusion",
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
    if isinstance(offset, np.ndarray):
        offset = np.broadcast_to(offset, arrays.n_grains)
    length = priors.create("path_length") if "path_length" in priors else np.asarray(1.0)
    cut = priors.create("cut_offset_um") if arrays.has_sections else None
    if cut is not None:
        cut = cut * np.ones(arrays.section_grain.size)
    spectral = not isinstance(length, np.ndarray)
    return {"offset_um": offset, "length": length, "cut_um": cut, "spectral": spectral}


def _path(name: str, unit: str, priors: Priors, layout: grains.Layout, resolved: int) -> PathParts:
    """Declare what makes up a path: mean, amplitude and normals."""
    mean = pt.as_tensor(priors.create(f"{name}_mean_{unit}"))
    amplitude = pt.as_tensor(priors.create(f"{name}_amplitude_{unit}"))
    # The analyses hold the smooth parts of a path tightly: there the amplitude stands in the prior
    # rather than as a factor, and the two hardly correlate. Elsewhere the opposite holds.
    in_units = layout.in_units(resolved)
    sd = in_units * amplitude * layout.part_sd + (1 - in_units)
    nodes = pm.Normal(f"{name}_path", 0.0, sd, shape=in_units.size, dims="node")
    return PathParts(mean, amplitude, nodes, in_units)


def _shells(
    arrays: HistoryArrays, axis: GrowthAxis, law: GrowthLaw, known: Mapping[str, Any]
) -> grains.Layout:
    """Lay out the shells of all grains as if they were analyses."""
    return grains.Layout.of(blurring.shell_arrays(arrays), axis, law, **known)


def _wanted(layout: grains.Layout, shells: grains.Layout | None) -> dict[str, tuple[Any, Any]]:
    """Name all places where pressure and temperature are wanted."""
    more = {} if shells is None else {"shell": shells.wanted(pt)["position"]}
    return layout.wanted(pt) | more


def _reader(
    path: Mapping[str, Mapping[str, Any]], removed_final: Any, priors: Priors, interpolation: str
) -> Callable[[str, Any], dict[str, Any]]:
    """Say where the table is read: the path with the table's offset, and the garnet removed."""
    offset_kbar = priors.create("pressure_offset_kbar")
    offset_C = priors.create("temperature_offset_C")

    def conditions(place: str, grown_share: Any) -> dict[str, Any]:
        return {
            "pressure_kbar": path["pressure"][place] + offset_kbar,
            "temperature_C": path["temperature"][place] + offset_C,
            "removed": removed_final * grown_share,
            "method": interpolation,
            "xp": pt,
        }

    return conditions


def _removed_final(priors: Priors, arrays: HistoryArrays) -> Any:
    return pt.as_tensor(priors.create("removed_final")) if arrays.has_removed_axis else 0.0


def _blurred(
    grown: TensorVariable,
    diffusivities: Diffusivities,
    arrays: HistoryArrays,
    shells: grains.Layout,
    priors: Priors,
    path: Mapping[str, Mapping[str, Any]],
    share: TensorVariable,
    duration: TensorVariable,
) -> TensorVariable:
    """Give what diffusion changes at the analyses, from what the shells and the surface grew as.

    Growth zoning read at the analyses keeps its detail: only the change comes from the shells.
    """
    shape = (arrays.n_grains, blurring.SHELLS + 1)
    fractions = grown.reshape((*shape, grown.shape[-1]))
    formation = duration * forward.even_interpolation(share, shells.position_place, pt)
    time, curves = duration * share, [path[name]["grid"] for name in forward.PATH_UNITS]
    if not priors.is_known(STAY) or priors.known(STAY) > 0:
        time = pt.concatenate([time, time[-1:] + pt.as_tensor(priors.create(STAY))])
        curves = [pt.concatenate([curve, curve[-1:]]) for curve in curves]
    edges = pt.as_tensor(blurring.shell_edges_um(arrays.rim_radius_um))
    # Diffusivities and time count by their product alone.
    factor = pt.as_tensor(priors.create("diffusivity_factor"))
    times = factor * formation.reshape(shape)[:, :-1], factor * time
    change = wrap_jax(blurring.blur)(fractions, edges, *times, *curves, coefficients=diffusivities)
    at = arrays.radius_um / arrays.rim_radius_um[arrays.grain]
    return blurring.at_radii(change, pt.as_tensor(at), arrays.grain, pt)


def _calibration_error(priors: Priors, arrays: HistoryArrays, noise: Noise) -> Any:
    """Give the error that inclusions of one calibration share, in the unit of their residuals."""
    shared = pt.as_tensor(priors.create("calibration_offset"))
    each = pt.broadcast_to(shared, (len(arrays.inclusions.calibration_names),))
    return noise.published * each[arrays.inclusions.calibration_index]


def clock_parameters(priors: Priors, law: GrowthLaw) -> Mapping[str, Any]:
    """Create the growth law's parameters and what sets the clock, inside a model."""
    return {name: pt.as_tensor(priors.create(name)) for name in clock_names(law, priors)}


def _ages(
    arrays: HistoryArrays,
    layout: grains.Layout,
    priors: Priors,
    share: TensorVariable,
    duration: TensorVariable,
) -> None:
    """Observe the ages: age at the start of the axis less the mean time of each zone."""
    start = priors.create("age_at_start_Ma")
    pm.Normal(
        "zone_age_Ma",
        mu=start - duration * layout.zone_share(share, pt),
        sigma=arrays.zone_age_sd_Ma,
        observed=arrays.zone_age_Ma,
        shape=arrays.zone_age_Ma.size,
        dims="zone",
    )
