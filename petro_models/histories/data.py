"""Garnet profiles and ages as labelled data, and their joining into the data of one history."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.inclusions import validate_inclusions
from petro_models.histories.labels import grain_label, grain_labels, numbered
from petro_models.histories.schema import (
    validate_ages,
    validate_history_data,
    validate_profiles,
)
from petro_models.thermodynamics.tables import AXES, COMPONENTS, VARIABLES

OWN_BULK, GROWN_BULK = "table_is_of_own_bulk", "grown_from_bulk"
"""Attributes: the user knows that the table's bulk is the rock's; bulk that a simulation used."""
DEFAULT_SD = 0.005
"""One standard deviation of a fraction where a profile states none: usual for microprobe work."""


def garnet_profiles(
    frame: pd.DataFrame,
    *,
    sd: float | Mapping[str, float] | None = None,
    rim_radius_um: Mapping[str, float] | None = None,
    number_density: Mapping[str, float] | None = None,
    source: str = "in memory",
) -> xr.Dataset:
    """Build profiles from a table of analyses.

    Parameters
    ----------
    frame
        Columns ``r_um`` (distance from the grain's centre), ``X_alm X_prp X_grs X_sps`` (any of
        them; NaN or absent where not measured), optionally ``grain`` and ``sd_alm`` ....
    sd
        Standard deviation of a fraction, for all or by component, where the frame has none;
        0.005 if neither says.
    rim_radius_um
        Grain -> radius of its rim; the outermost analysis by default.
    number_density
        Grain -> how many grains of its size class there are, in any unit; equal by default.
    source
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        As `validate_profiles` wants it.

    Raises
    ------
    DataError
        If a column, grain or value cannot be used.

    Examples
    --------
    >>> frame = pd.DataFrame({"r_um": [5, 50], "X_prp": [0.05, 0.07], "X_grs": [0.2, 0.1]})
    >>> garnet_profiles(frame, sd=0.004).sizes["position"]
    2
    """
    if "r_um" not in frame:
        raise DataError(f"{source}: column 'r_um' is missing; {nearest('r_um', frame.columns)}")
    columns = [f"X_{name}" for name in COMPONENTS]
    if not set(columns) & set(frame.columns):
        raise DataError(f"{source}: none of the columns {', '.join(columns)} is there")
    grain = grain_labels(frame)
    grains = list(dict.fromkeys(grain))
    index = grain.map({name: number for number, name in enumerate(grains)}).to_numpy()
    order = np.argsort(index, kind="stable")
    values = np.stack(
        [frame.get(c, pd.Series(np.nan, frame.index)).to_numpy(float) for c in columns], axis=-1
    )
    errors = np.stack([_errors(frame, name, sd, source) for name in COMPONENTS], axis=-1)
    radius = frame["r_um"].to_numpy(float)
    index, radius, values, errors = index[order], radius[order], values[order], errors[order]
    outermost = {name: float(radius[index == n].max()) for n, name in enumerate(grains)}
    profiles = xr.Dataset(
        {
            "radius_um": ("position", radius, {"units": "um"}),
            "grain_index": ("position", index.astype("int64"), {"units": "1"}),
            "composition": (("position", "endmember"), values, {"units": "1"}),
            "composition_sd": (
                ("position", "endmember"),
                np.where(np.isfinite(values), errors, np.nan),
                {"units": "1"},
            ),
            "rim_radius_um": (
                "grain",
                _by_grain(rim_radius_um, grains, outermost, "rim_radius_um", source),
                {"units": "um"},
            ),
            "number_density": (
                "grain",
                _by_grain(
                    number_density, grains, dict.fromkeys(grains, 1.0), "number_density", source
                ),
                {"units": "relative"},
            ),
        },
        {
            "position": numbered([grains[g] for g in index]),
            "endmember": list(COMPONENTS),
            "grain": grains,
        },
        attrs={"source": source},
    )
    validate_profiles(profiles)
    return profiles


def zone_ages(
    frame: pd.DataFrame, profiles: xr.Dataset, *, source: str = "in memory"
) -> xr.Dataset:
    """Build ages of points or zones from a table.

    Parameters
    ----------
    frame
        Columns ``age_Ma``, ``sd_Ma`` (1 standard deviation), ``r_inner_um`` and ``r_outer_um``
        (or ``r_um`` for a point, with the diameter ``spot_um`` where it is known), and ``grain``
        where there are several.
    profiles
        The grains' profiles.
    source
        Named in messages.

    Raises
    ------
    DataError
        If a column is missing, or a grain or value cannot be used.
    """
    frame = frame.copy()
    if "r_um" in frame and "r_inner_um" not in frame:
        frame["r_inner_um"] = frame["r_outer_um"] = frame["r_um"]
    if "spot_um" not in frame:
        frame["spot_um"] = 0.0
    for column in ("r_inner_um", "r_outer_um", "age_Ma", "sd_Ma"):
        if column not in frame:
            raise DataError(
                f"{source}: column {column!r} is missing; {nearest(column, frame.columns)}"
            )
    grains = [str(name) for name in profiles["grain"].values]
    if "grain" in frame:
        named = frame["grain"].map(grain_label)
    elif len(grains) == 1:
        named = pd.Series(grains[0], index=frame.index)
    else:
        raise DataError(f"{source}: column 'grain' is missing; there are {len(grains)} grains")
    for name in named:
        if name not in grains:
            raise DataError(f"{source}: no profile of grain {name!r}; {nearest(name, grains)}")
    index = named.map({name: number for number, name in enumerate(grains)}).to_numpy(dtype="int64")
    columns = {
        "zone_inner_um": ("r_inner_um", "um"),
        "zone_outer_um": ("r_outer_um", "um"),
        "zone_spot_um": ("spot_um", "um"),
        "zone_age_Ma": ("age_Ma", "Ma"),
        "zone_age_sd_Ma": ("sd_Ma", "Ma"),
    }
    ages = xr.Dataset(
        {
            "zone_grain_index": ("zone", index, {"units": "1"}),
            **{
                name: ("zone", frame[column].to_numpy(float), {"units": units})
                for name, (column, units) in columns.items()
            },
        },
        {"zone": numbered([grains[g] for g in index], "zone ")},
    )
    validate_ages(ages, profiles)
    return ages


def join(
    profiles: xr.Dataset | None,
    equilibrium: xr.Dataset | None,
    ages: xr.Dataset | None = None,
    inclusions: xr.Dataset | None = None,
    own_bulk: bool = False,
) -> xr.Dataset:
    """Join profiles with their table, ages and inclusions into the data of one history.

    Parameters
    ----------
    profiles, equilibrium, ages, inclusions
        The parts; None for what there is not.
    own_bulk
        Whether the table was made for this rock's own bulk composition.

    Raises
    ------
    DataError
        If there are neither profiles nor inclusions, profiles come without a table or a table
        without profiles, or any part cannot be used.
    """
    if profiles is None and inclusions is None:
        raise DataError("a history needs garnet profiles (with a table), inclusions, or both")
    if (profiles is None) != (equilibrium is None):
        raise DataError(
            "profiles and the equilibrium table go together: give both, or neither where there are "
            "inclusions alone"
        )
    parts = []
    if profiles is not None and equilibrium is not None:
        validate_profiles(profiles)
        parts += [_with_sections(profiles), _table(equilibrium)]
    if inclusions is not None:
        validate_inclusions(inclusions)
        # The profiles know the grains where there are some.
        own = inclusions if profiles is None else inclusions.drop_dims("grain")
        used = dict.fromkeys(str(name) for name in inclusions["barometer_name"].values)
        parts.append(own.assign_coords(calibration=list(used)))
    if ages is not None and ages.sizes.get("zone", 0):
        validate_ages(ages, parts[0])
        parts.append(ages)
    data = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="drop")
    data.attrs = dict(parts[0].attrs)
    for key in ("title", "engine", "database", "bulk", "bulk_name", "caution"):
        if equilibrium is not None and key in equilibrium.attrs:
            data.attrs[f"table_{key}"] = str(equilibrium.attrs[key])
    if own_bulk:
        data.attrs[OWN_BULK] = "yes"
    validate_history_data(data)
    return data


def table_bulk(attributes: Mapping[str, object], prefix: str = "") -> str:
    """Name the bulk composition that a table was made for; empty where the table does not say."""
    for key in ("bulk_name", "bulk"):
        if attributes.get(f"{prefix}{key}"):
            return str(attributes[f"{prefix}{key}"])
    return ""


def is_bulk_known(data: xr.Dataset) -> bool:
    """Tell whether the table's bulk is known to be that of the rock."""
    if data.attrs.get(OWN_BULK) == "yes":
        return True
    return data.attrs.get(GROWN_BULK) == table_bulk(data.attrs, "table_")


def _with_sections(profiles: xr.Dataset) -> xr.Dataset:
    """Name the grains whose section may miss the centre by a dim of their own."""
    if "is_section" not in profiles or not profiles["is_section"].any():
        return profiles.drop_vars("is_section", errors="ignore")
    cut = profiles["grain"].to_numpy()[profiles["is_section"].to_numpy() == 1]
    return profiles.assign_coords(section=[str(name) for name in cut])


def _table(equilibrium: xr.Dataset) -> xr.Dataset:
    """Take of a table what a history reads."""
    for name in VARIABLES:
        if name not in equilibrium:
            raise DataError(
                f"equilibrium: variable {name!r} is missing; "
                f"{nearest(name, map(str, equilibrium.data_vars))}"
            )
    others = [str(name) for name in equilibrium.coords if name not in AXES]
    return equilibrium[list(VARIABLES)].drop_vars(others, errors="ignore")


def _errors(
    frame: pd.DataFrame, name: str, sd: float | Mapping[str, float] | None, source: str
) -> np.ndarray:
    if sd is None and f"sd_{name}" in frame:
        return frame[f"sd_{name}"].to_numpy(float)
    if isinstance(sd, Mapping):
        for key in sd:
            if key not in COMPONENTS:
                raise DataError(f"{source}: sd of {key!r}: {nearest(key, COMPONENTS)}")
        value = sd.get(name, DEFAULT_SD)
    else:
        value = DEFAULT_SD if sd is None else sd
    return np.full(len(frame), float(value))


def _by_grain(
    given: Mapping[str, float] | None,
    grains: Sequence[str],
    default: Mapping[str, float],
    name: str,
    source: str,
) -> list[float]:
    labelled = {grain_label(key): float(value) for key, value in (given or {}).items()}
    for key in labelled:
        if key not in grains:
            raise DataError(f"{source}: {name} of grain {key!r}; {nearest(key, grains)}")
    return [labelled.get(grain, default[grain]) for grain in grains]
