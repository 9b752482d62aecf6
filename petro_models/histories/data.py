"""Garnet profiles and ages as labelled data, and their joining into the data of one history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.schema import (
    CLOSED_WITHIN,
    validate_ages,
    validate_history_data,
    validate_profiles,
)
from petro_models.thermodynamics.tables import COMPONENTS, VARIABLES, EquilibriumTable

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
    grain = frame["grain"].map(_label) if "grain" in frame else pd.Series("1", index=frame.index)
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
    numbers = [int((index[:row] == index[row]).sum()) + 1 for row in range(index.size)]
    labels = [f"{grains[g]}:{number}" for g, number in zip(index, numbers, strict=True)]
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
        {"position": labels, "endmember": list(COMPONENTS), "grain": grains},
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
        (or ``r_um`` for a point), and ``grain`` where there are several.
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
    for column in ("r_inner_um", "r_outer_um", "age_Ma", "sd_Ma"):
        if column not in frame:
            raise DataError(
                f"{source}: column {column!r} is missing; {nearest(column, frame.columns)}"
            )
    grains = [str(name) for name in profiles["grain"].values]
    if "grain" in frame:
        named = frame["grain"].map(_label)
    elif len(grains) == 1:
        named = pd.Series(grains[0], index=frame.index)
    else:
        raise DataError(f"{source}: column 'grain' is missing; there are {len(grains)} grains")
    for name in named:
        if name not in grains:
            raise DataError(f"{source}: no profile of grain {name!r}; {nearest(name, grains)}")
    index = named.map({name: number for number, name in enumerate(grains)}).to_numpy(dtype="int64")
    numbers = [int((index[:row] == index[row]).sum()) + 1 for row in range(index.size)]
    columns = {
        "zone_inner_um": ("r_inner_um", "um"),
        "zone_outer_um": ("r_outer_um", "um"),
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
        {"zone": [f"{grains[g]}:zone {n}" for g, n in zip(index, numbers, strict=True)]},
    )
    validate_ages(ages, profiles)
    return ages


def join(
    profiles: xr.Dataset,
    equilibrium: xr.Dataset,
    ages: xr.Dataset | None = None,
) -> xr.Dataset:
    """Join profiles, table and ages into the one Dataset that a history is inferred from."""
    validate_profiles(profiles)
    dims = ("removed", "pressure_kbar", "temperature_C")
    missing = [name for name in VARIABLES if name not in equilibrium]
    if missing:
        raise DataError(
            f"equilibrium: variable {missing[0]!r} is missing; "
            f"{nearest(missing[0], map(str, equilibrium.data_vars))}"
        )
    table = equilibrium[list(VARIABLES)].drop_vars(
        [name for name in equilibrium.coords if name not in dims], errors="ignore"
    )
    parts = [profiles, table]
    if ages is not None and ages.sizes.get("zone", 0):
        validate_ages(ages, profiles)
        parts.append(ages)
    data = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="drop")
    data.attrs = dict(profiles.attrs)
    for key in ("title", "engine", "database", "bulk", "bulk_name", "caution"):
        if key in equilibrium.attrs:
            data.attrs[f"table_{key}"] = str(equilibrium.attrs[key])
    validate_history_data(data)
    return data


@dataclass(frozen=True)
class HistoryArrays:
    """The joined data as arrays.

    Attributes
    ----------
    radius_um, grain
        Of each position, (position).
    composition, sd
        (position, endmember); where not measured, 0.25 and 1 stand in and `measured` is 0.
    measured
        (position, endmember) of 0 and 1.
    closed
        1 where the four fractions were brought to 1, (position).
    rim_radius_um, number_density
        (grain).
    zone_grain, zone_inner_um, zone_outer_um, zone_age_Ma, zone_age_sd_Ma
        (zone), empty without ages.
    table
        The equilibrium table.
    coords
        Labels of positions, grains, components and zones.
    """

    radius_um: np.ndarray
    grain: np.ndarray
    composition: np.ndarray
    sd: np.ndarray
    measured: np.ndarray
    closed: np.ndarray
    rim_radius_um: np.ndarray
    number_density: np.ndarray
    zone_grain: np.ndarray
    zone_inner_um: np.ndarray
    zone_outer_um: np.ndarray
    zone_age_Ma: np.ndarray
    zone_age_sd_Ma: np.ndarray
    table: EquilibriumTable
    coords: dict[str, list[str]]

    @classmethod
    def of(cls, data: xr.Dataset) -> "HistoryArrays":
        """Take the arrays out of joined data."""
        values = data["composition"].to_numpy()
        measured = np.isfinite(values)
        closed = measured.all(axis=1) & (np.abs(np.nansum(values, axis=1) - 1) < CLOSED_WITHIN)
        zones = {
            name: data[name].to_numpy() if "zone" in data.dims else np.empty(0)
            for name in ("zone_inner_um", "zone_outer_um", "zone_age_Ma", "zone_age_sd_Ma")
        }
        index = data["zone_grain_index"].to_numpy() if "zone" in data.dims else np.empty(0)
        dims = ("position", "grain", "endmember", "zone")
        return cls(
            radius_um=data["radius_um"].to_numpy(),
            grain=data["grain_index"].to_numpy(),
            composition=np.where(measured, values, 0.25),
            sd=np.where(measured, data["composition_sd"].to_numpy(), 1.0),
            measured=measured.astype(float),
            closed=closed.astype(float),
            rim_radius_um=data["rim_radius_um"].to_numpy(),
            number_density=data["number_density"].to_numpy(),
            zone_grain=index.astype("int64"),
            table=EquilibriumTable.from_dataset(data[list(VARIABLES)]),
            coords={d: [str(label) for label in data[d].values] for d in dims if d in data.dims},
            **zones,
        )

    @property
    def n_grains(self) -> int:
        """Number of grains."""
        return self.rim_radius_um.size

    @property
    def has_ages(self) -> bool:
        """Whether anything was dated."""
        return self.zone_age_Ma.size > 0

    @cached_property
    def nan_composition(self) -> np.ndarray:
        """Composition with NaN where not measured."""
        return np.where(self.measured == 1, self.composition, np.nan)


def _label(value: object) -> str:
    """Write a grain's name without the ``.0`` that a table reader may have put on numbers."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


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
    labelled = {_label(key): float(value) for key, value in (given or {}).items()}
    for key in labelled:
        if key not in grains:
            raise DataError(f"{source}: {name} of grain {key!r}; {nearest(key, grains)}")
    return [labelled.get(grain, default[grain]) for grain in grains]
