"""The joined data of a history as arrays, for the model and the answers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.histories import forward
from petro_models.histories.equilibria import InclusionArrays
from petro_models.histories.schema import CLOSED_WITHIN, SHARED
from petro_models.thermodynamics.tables import COMPONENTS, VARIABLES, EquilibriumTable

DIMS = (
    "position",
    "grain",
    "endmember",
    "shared_shape",
    "zone",
    "inclusion",
    "calibration",
    "section",
)


@dataclass(frozen=True)
class HistoryArrays:
    """The joined data as arrays.

    Attributes
    ----------
    radius_um, grain
        Of each position, (position); empty without profiles.
    composition, sd
        (position, endmember); where not measured, 0.25 and 1 stand in and `measured` is 0.
    measured
        (position, endmember) of 0 and 1.
    closed
        1 where the four fractions were brought to 1, (position).
    shared_gain, shared_background
        Shapes of the calibration's error, one standard deviation each: share of a cation's content
        that is measured too much, and what is added to it, in fractions, (shared_shape, grain,
        endmember); none where all errors are independent.
    rim_radius_um, number_density
        (grain).
    section_grain
        Grains whose radii are those in a section that may miss the centre, (section).
    zone_grain, zone_inner_um, zone_outer_um, zone_spot_um, zone_age_Ma, zone_age_sd_Ma
        (zone), empty without ages; the diameter is 0 for zones that are no spots.
    inclusions
        The inclusions; empty without any.
    garnet_table
        The equilibrium table that profiles are read with; None without profiles.
    coords
        Labels of positions, grains, components, zones, inclusions and their calibrations.
    """

    radius_um: np.ndarray
    grain: np.ndarray
    composition: np.ndarray
    sd: np.ndarray
    measured: np.ndarray
    closed: np.ndarray
    shared_gain: np.ndarray
    shared_background: np.ndarray
    rim_radius_um: np.ndarray
    number_density: np.ndarray
    section_grain: np.ndarray
    zone_grain: np.ndarray
    zone_inner_um: np.ndarray
    zone_outer_um: np.ndarray
    zone_spot_um: np.ndarray
    zone_age_Ma: np.ndarray
    zone_age_sd_Ma: np.ndarray
    inclusions: InclusionArrays
    garnet_table: EquilibriumTable | None
    coords: dict[str, list[str]]

    @classmethod
    def of(cls, data: xr.Dataset) -> "HistoryArrays":
        """Take the arrays out of joined data."""
        values = _values(data, "composition", (0, len(COMPONENTS)))
        errors = _values(data, "composition_sd", (0, len(COMPONENTS)))
        rims = data["rim_radius_um"].to_numpy()
        measured = np.isfinite(values)
        closed = measured.all(axis=1) & (np.abs(np.nansum(values, axis=1) - 1) < CLOSED_WITHIN)
        zones = {
            name: _values(data, name, 0)
            for name in ("zone_inner_um", "zone_outer_um", "zone_age_Ma", "zone_age_sd_Ma")
        }
        zones["zone_spot_um"] = (
            data["zone_spot_um"].to_numpy()
            if "zone_spot_um" in data
            else np.zeros_like(zones["zone_age_Ma"])
        )
        has_profiles = "composition" in data
        return cls(
            radius_um=_values(data, "radius_um", 0),
            grain=_values(data, "grain_index", 0).astype("int64"),
            composition=np.where(measured, values, 0.25),
            sd=np.where(measured, errors, 1.0),
            measured=measured.astype(float),
            closed=closed.astype(float),
            **{name: _values(data, name, (0, rims.size, values.shape[1])) for name in SHARED},
            rim_radius_um=rims,
            number_density=data["number_density"].to_numpy()
            if has_profiles
            else np.ones(rims.size),
            section_grain=np.flatnonzero(_values(data, "is_section", 0) == 1),
            zone_grain=_values(data, "zone_grain_index", 0).astype("int64"),
            inclusions=InclusionArrays.of(data),
            garnet_table=EquilibriumTable.from_dataset(data[list(VARIABLES)])
            if has_profiles
            else None,
            coords={d: [str(label) for label in data[d].values] for d in DIMS if d in data.dims},
            **zones,
        )

    @property
    def n_grains(self) -> int:
        """Number of grains."""
        return self.rim_radius_um.size

    @property
    def has_profiles(self) -> bool:
        """Whether the garnet's zoning was analysed."""
        return self.garnet_table is not None

    @property
    def table(self) -> EquilibriumTable:
        """The equilibrium table.

        Raises
        ------
        DataError
            If there are no profiles, and so no table.
        """
        if self.garnet_table is None:
            raise DataError("this history has no profiles, and so no equilibrium table")
        return self.garnet_table

    @property
    def has_inclusions(self) -> bool:
        """Whether there are inclusions."""
        return self.inclusions.count > 0

    @property
    def has_shared_error(self) -> bool:
        """Whether analyses share an error, as those of one calibration do."""
        return len(self.shared_gain) > 0

    def miscalibrated(self, expected: Any, score: Any, xp: Any) -> Any:
        """Give what a calibration that errs by scores (shared_shape) makes of fractions.

        Takes and gives (position, endmember); one score stands for all shapes.
        """
        score = score * np.ones(len(self.shared_gain))
        gain, background = (
            (score[:, None, None] * shapes).sum(axis=0)[self.grain]
            for shapes in (self.shared_gain, self.shared_background)
        )
        return forward.miscalibrated(expected, gain, background, self.closed)

    @property
    def has_sections(self) -> bool:
        """Whether a section may miss the centre of its grain."""
        return self.section_grain.size > 0

    @property
    def largest_section(self) -> int:
        """The grain with the largest section, where all grains are sections; else -1."""
        if self.section_grain.size < self.n_grains:
            return -1
        return int(self.rim_radius_um.argmax())

    @property
    def has_ages(self) -> bool:
        """Whether anything was dated."""
        return self.zone_age_Ma.size > 0

    @property
    def has_removed_axis(self) -> bool:
        """Whether the table knows garnet taken out of the bulk."""
        return self.has_profiles and self.table.has_removed_axis

    @property
    def places(self) -> list[tuple[str, str]]:
        """Dims of observed places, and what stands before the names of their answers."""
        found = [("position", "")] if self.has_profiles else []
        return [*found, ("inclusion", "inclusion_")] if self.has_inclusions else found

    @property
    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Grain and radius (um) of every analysis and, after them, of every inclusion."""
        return (
            np.concatenate([self.grain, self.inclusions.grain]),
            np.concatenate([self.radius_um, self.inclusions.radius_um]),
        )

    @cached_property
    def nan_composition(self) -> np.ndarray:
        """Composition with NaN where not measured."""
        return np.where(self.measured == 1, self.composition, np.nan)


def _values(data: xr.Dataset, name: str, empty: int | tuple[int, ...]) -> np.ndarray:
    """Take a variable, or an empty array where the data have none."""
    return data[name].to_numpy() if name in data else np.empty(empty)
