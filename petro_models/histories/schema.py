"""The schema of garnet profiles, ages and the table they are read with, and its checks."""

import numpy as np
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.inclusions import validate_inclusions
from petro_models.thermodynamics.tables import COMPONENTS, validate_table

CLOSED_WITHIN = 1e-3
"""Fractions whose sum is this close to 1 were brought to 1 by the analyst."""
SHARED = ("shared_gain", "shared_background")
"""What an error that analyses share consists of."""


def validate_profiles(profiles: xr.Dataset) -> None:
    """Check that a Dataset holds garnet profiles.

    The schema: dims ``position`` (labels, core to rim within each grain, grains one after
    another), ``endmember`` (alm prp grs sps), ``grain`` (labels); variables ``radius_um`` and
    ``grain_index`` (position), ``composition`` and ``composition_sd`` (position, component; NaN
    where not measured), ``rim_radius_um`` and ``number_density`` (grain); optionally
    ``shared_gain`` and ``shared_background`` (shared_shape, grain, endmember), the shapes of an
    error that the analyses of a grain share, as a calibration makes them: what one standard
    deviation adds to the measured amount of a cation, as a share of it and in fractions.

    Raises
    ------
    DataError
        On the first violation, naming grain and position.
    """
    wanted = {
        "radius_um": ("position",),
        "grain_index": ("position",),
        "composition": ("position", "endmember"),
        "composition_sd": ("position", "endmember"),
        "rim_radius_um": ("grain",),
        "number_density": ("grain",),
    }
    for name, dims in wanted.items():
        if name not in profiles:
            hint = nearest(name, map(str, profiles.data_vars))
            raise DataError(f"profiles: variable {name!r} is missing; {hint}")
        if profiles[name].dims != dims:
            raise DataError(f"profiles: {name} has dims {profiles[name].dims}, not {dims}")
    if list(profiles["endmember"].values) != list(COMPONENTS):
        raise DataError(f"profiles: component must be {', '.join(COMPONENTS)} in this order")
    _check_positions(profiles)
    _check_composition(profiles)
    _check_shared(profiles)
    for name in ("rim_radius_um", "number_density"):
        if not (profiles[name] > 0).all():
            raise DataError(f"profiles: {name} must be above 0 for every grain")


def _check_positions(profiles: xr.Dataset) -> None:
    radius, index = profiles["radius_um"].to_numpy(), profiles["grain_index"].to_numpy()
    grains = [str(grain) for grain in profiles["grain"].values]
    if set(index.tolist()) != set(range(len(grains))):
        raise DataError(f"profiles: grain_index must use each of the {len(grains)} grains")
    for number, grain in enumerate(grains):
        own = radius[index == number]
        if not np.isfinite(own).all() or (own < 0).any():
            raise DataError(f"profiles: grain {grain!r} has a radius that is negative or missing")
        if not (np.diff(own) > 0).all():
            place = int(np.flatnonzero(np.diff(own) <= 0)[0]) + 2
            raise DataError(
                f"profiles: the radii of grain {grain!r} must increase from core to rim; "
                f"number {place} is {own[place - 1]:g} um after {own[place - 2]:g} um. Cut a "
                "rim-to-rim traverse at its core first"
            )
        rim = float(profiles["rim_radius_um"][number])
        if own.max() > rim * (1 + 1e-6):
            raise DataError(
                f"profiles: grain {grain!r} has an analysis at {own.max():g} um, outside its rim "
                f"radius of {rim:g} um"
            )


def _check_composition(profiles: xr.Dataset) -> None:
    values, sd = profiles["composition"].to_numpy(), profiles["composition_sd"].to_numpy()
    labels = [str(label) for label in profiles["position"].values]
    measured = np.isfinite(values)
    for row in np.flatnonzero(~measured.any(axis=1)):
        raise DataError(f"profiles: position {labels[row]!r} has no measured component")
    for row, column in np.argwhere(measured & ((values < -0.05) | (values > 1.05))):
        raise DataError(
            f"profiles: X_{COMPONENTS[column]} of position {labels[row]!r} is "
            f"{values[row, column]:g}: fractions run from 0 to 1 (percent? divide by 100)"
        )
    for row, column in np.argwhere(measured & ~(sd > 0)):
        raise DataError(
            f"profiles: X_{COMPONENTS[column]} of position {labels[row]!r} has no error above 0 "
            "(1 standard deviation)"
        )
    complete = measured.all(axis=1)
    total = values.sum(axis=1)
    for row in np.flatnonzero(complete & (np.abs(total - 1) > 0.1)):
        raise DataError(
            f"profiles: the four fractions of position {labels[row]!r} add up to "
            f"{total[row]:.3f}, not 1: give Fe2+, Mg, Ca, Mn over their sum"
        )


def _check_shared(profiles: xr.Dataset) -> None:
    present = [name for name in SHARED if name in profiles]
    if len(present) == 1:
        raise DataError(f"profiles: {' and '.join(SHARED)} go together; only {present[0]} is there")
    wanted = ("shared_shape", "grain", "endmember")
    for name in present:
        shared = profiles[name]
        if shared.dims != wanted:
            raise DataError(f"profiles: {name} has dims {shared.dims}, not {wanted}")
        if not np.isfinite(shared.to_numpy()).all():
            raise DataError(f"profiles: {name} has missing values: put 0 where nothing is shared")


def validate_ages(ages: xr.Dataset, profiles: xr.Dataset) -> None:
    """Check dated points or zones against the grains they belong to.

    The schema: dim ``zone``; variables ``zone_grain_index``, ``zone_inner_um``,
    ``zone_outer_um``, ``zone_age_Ma``, ``zone_age_sd_Ma`` (zone). A dated point has equal radii;
    ``zone_spot_um``, optional, is the diameter of a spot about it, 0 for zones.

    Raises
    ------
    DataError
        On the first violation, naming the zone.
    """
    names = (
        "zone_grain_index",
        "zone_inner_um",
        "zone_outer_um",
        "zone_age_Ma",
        "zone_age_sd_Ma",
    )
    for name in names:
        if name not in ages:
            raise DataError(
                f"ages: variable {name!r} is missing; {nearest(name, map(str, ages.data_vars))}"
            )
    labels = [str(label) for label in ages["zone"].values]
    for number, label in enumerate(labels):
        grain, inner, outer, age, sd = (float(ages[name][number]) for name in names)
        if not 0 <= grain < profiles.sizes["grain"]:
            raise DataError(f"ages: zone {label!r} belongs to a grain that has no profile")
        rim = float(profiles["rim_radius_um"][int(grain)])
        spot = float(ages["zone_spot_um"][number]) if "zone_spot_um" in ages else 0.0
        if not (spot == 0 or (0 < spot < 2 * rim and inner == outer)):
            raise DataError(
                f"ages: zone {label!r} has a spot of {spot:g} um: a spot lies about one radius "
                f"and is smaller than the grain ({rim:g} um of radius)"
            )
        if not 0 <= inner <= outer:
            raise DataError(
                f"ages: zone {label!r} runs from {inner:g} to {outer:g} um; the inner radius comes "
                "first and both are 0 or more"
            )
        if inner > 1.02 * rim:
            raise DataError(
                f"ages: zone {label!r} lies at {inner:g} um, outside the grain's rim ({rim:g} um)"
            )
        if not (np.isfinite(age) and age >= 0 and sd > 0):
            raise DataError(
                f"ages: zone {label!r} has age {age:g} +- {sd:g} Ma; give an age of 0 or more with "
                "an error above 0"
            )


def validate_history_data(data: xr.Dataset) -> None:
    """Check the joined data of a history: profiles with a table, inclusions, ages if any.

    Raises
    ------
    DataError
        If there are neither profiles nor inclusions, or on the first violation of either.
    """
    if "composition" not in data and "inclusion" not in data.dims:
        raise DataError("a history needs garnet profiles (with a table), inclusions, or both")
    if "composition" in data:
        validate_table(data)
        validate_profiles(data)
    if "inclusion" in data.dims:
        validate_inclusions(data)
    if "zone" in data.dims:
        validate_ages(data, data)
