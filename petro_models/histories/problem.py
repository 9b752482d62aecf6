"""Histories: pressure, temperature and time from garnet zoning, inclusions and ages."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pymc as pm
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.errors import DataError, FitError, nearest
from petro_models.histories import classical, defaults, grains, prefit
from petro_models.histories.axis import (
    N_NODES,
    REFERENCE_ENERGY_KJ_PER_MOL,
    GrowthAxis,
    make_axis,
)
from petro_models.histories.data import HistoryArrays, join
from petro_models.histories.growth import growth_law
from petro_models.histories.model import history_model
from petro_models.histories.schema import validate_history_data
from petro_models.inference import checks
from petro_models.inference.draws import Draws
from petro_models.inference.nuts import Point
from petro_models.problem import InverseProblem
from petro_models.thermodynamics.tables import METHODS

if TYPE_CHECKING:
    from petro_models.report.cards import Card

CLOCKS = ("duration", "growth_rate")
UNITS = {"temperature": "C", "pressure": "kbar"}
LEAST_AMPLITUDE = {"temperature": 12.0, "pressure": 0.6}


class Histories(InverseProblem):
    """Pressure, temperature and time along one path that all grains of a rock share.

    Parameters
    ----------
    profiles
        As `read_garnet_profiles` gives them.
    equilibrium
        Garnet table: dims (removed), pressure_kbar, temperature_C.
    ages
        As `read_zone_ages` gives them.
    growth_law
        ``arrhenius`` (default), ``constant``, ``diffusion_controlled``, ``surface_affinity`` or
        ``equilibrium_volume``.
    clock
        Whether a prior on the ``duration`` (default) or on the ``growth_rate`` stands behind the
        ages.
    interpolation
        How the table is read between its nodes: ``cubic`` (default; its slopes are continuous, so
        that sampling is some ten times faster) or ``linear``.
    nodes
        Nodes of the path.

    Raises
    ------
    DataError
        If profiles, table or ages cannot be used.
    FitError
        If an option is unknown.
    """

    kind: ClassVar[str] = "histories"
    model_version: ClassVar[int] = 1

    def __init__(
        self,
        profiles: xr.Dataset,
        equilibrium: xr.Dataset,
        ages: xr.Dataset | None = None,
        *,
        growth_law: str = "arrhenius",
        clock: str = "duration",
        interpolation: str = "cubic",
        nodes: int = N_NODES,
    ) -> None:
        options = {
            "growth_law": growth_law,
            "clock": clock,
            "interpolation": interpolation,
            "nodes": str(nodes),
        }
        self._set_up(join(profiles, equilibrium, ages), options)

    @classmethod
    def from_options(cls, data: xr.Dataset, options: Mapping[str, str]) -> "Histories":
        """Make the problem again from its joined data and options."""
        validate_history_data(data)
        problem = cls.__new__(cls)
        problem._set_up(data, dict(options))
        return problem

    def _set_up(self, data: xr.Dataset, options: dict[str, str]) -> None:
        self.law = growth_law(options.setdefault("growth_law", "arrhenius"))
        for name, allowed in (("clock", CLOCKS), ("interpolation", METHODS)):
            value = options.setdefault(name, allowed[0])
            if value not in allowed:
                raise FitError(f"no {name} is named '{value}': {nearest(value, allowed)}")
        nodes = options.setdefault("nodes", str(N_NODES))
        if not str(nodes).isdigit() or not 4 <= int(nodes) <= 500:
            raise FitError(f"nodes must be a whole number, 4 to 500; got {nodes!r}")
        self.arrays = HistoryArrays.of(data)
        if self.arrays.has_ages and not self.law.has_clock:
            raise DataError(
                f"growth_law='{self.law.name}' holds no time, so ages cannot be used with it: "
                "leave the ages out, or take growth_law='arrhenius'"
            )
        super().__init__(
            data, options, defaults.specifications(self.arrays, self.law, options["clock"])
        )

    # -- the problem's own parts of the life cycle -----------------------------------------------

    def _declare(self) -> pm.Model:
        return history_model(
            self.arrays,
            self._axis(),
            self.law,
            self.priors,
            self.options["interpolation"],
            self.resolved,
        )

    def _choose_method(self) -> tuple[str, str]:
        return "nuts", "the path is continuous and every analysis informs it"

    def start_of_climb(self) -> Point:
        """Start at a robust least-squares fit of the path on its nodes."""
        layout, start, path = self._known_layout(), {}, {}
        for name, unit in UNITS.items():
            for key in ("mean", "amplitude"):
                prior_name = f"{name}_{key}_{unit}"
                values = self.points[0 if name == "pressure" else 1]
                number = float(np.median(values))
                if key == "amplitude":
                    number = max(float(np.std(values)), LEAST_AMPLITUDE[name])
                if self.priors.is_known(prior_name):
                    number = float(self.priors.known(prior_name))
                else:
                    start[prior_name] = np.asarray(number)
                path[name, key] = number
        nodes = prefit.fit_path(
            self.arrays, layout.position_basis, path, self.points, self._central_removed()
        )
        for name in UNITS:
            is_in_units = layout.in_units(self.resolved[name]) == 1
            start[f"{name}_path"] = nodes[name] * np.where(
                is_in_units, path[name, "amplitude"], 1.0
            )
        return start

    def _derive(self, draws: Draws, seed: int) -> xr.Dataset:
        from petro_models.histories.derived import derive

        return derive(self, draws.posterior)

    def _predictive_statistics(self, replicated: xr.Dataset) -> dict[str, tuple[float, np.ndarray]]:
        from petro_models.histories import summary

        return summary.predictive_statistics(self, replicated)

    def _own_checks(self, fit: xr.DataTree) -> list[checks.Check]:
        from petro_models.histories import summary

        return summary.own_checks(self, fit)

    def headline(self, fit: xr.DataTree) -> list[str]:
        """Say the answer in sentences with numbers."""
        from petro_models.histories import summary

        return summary.headline(self, fit)

    def _cards(self, fit: xr.DataTree) -> "list[Card]":
        from petro_models.histories.cards import cards

        return cards(self, fit)

    def _quantities(self) -> list[str]:
        names = (rv.name for rv in self.model.free_RVs)
        return [name for name in names if not name.endswith("_path")]

    # -- numbers behind the engine ---------------------------------------------------------------

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fits of single analyses that suit each other: pressure, temperature (kbar, C), misfit."""
        arrays = self.arrays
        offset = grains.coordinate_of_offset(self._known_offsets(), arrays, self.law.exponent)
        return classical.fit_along(
            arrays.table,
            arrays.nan_composition,
            arrays.sd,
            self._central_removed(),
            offset[arrays.grain] + arrays.radius_um**self.law.exponent,
        )

    def _central_removed(self) -> np.ndarray:
        """Give the garnet removed before each position, for a known or central final volume."""
        arrays = self.arrays
        if not arrays.table.has_removed_axis:
            return np.zeros(arrays.radius_um.size)
        share = (arrays.radius_um / arrays.rim_radius_um[arrays.grain]) ** 3
        return self._centre("removed_final", 0.5 * float(arrays.table.removed[-1])) * share

    def points_alone(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the best fit of every analysis on its own, as `classical.fit_points` does."""
        arrays = self.arrays
        return classical.fit_points(
            arrays.table, arrays.nan_composition, arrays.sd, self._central_removed()
        )

    @property
    def resolved(self) -> dict[str, int]:
        """How many of the smoothest parts of temperature and pressure the analyses resolve."""
        basis = self._known_layout().position_basis
        pressure, temperature, _ = self.points
        return {
            "temperature": grains.resolved_parts(basis, temperature),
            "pressure": grains.resolved_parts(basis, pressure),
        }

    def _known_layout(self) -> grains.Layout:
        """Lay out the data at known or central offsets and length."""
        return grains.Layout.of(
            self.arrays, self._axis(), self.law, self._known_offsets(), np.asarray(self._length())
        )

    def _axis(self) -> GrowthAxis:
        """Lay the axis, under the offsets and parameters in force or at their centres."""
        arrays, law = self.arrays, self.law
        offset = self._known_offsets()
        start, end = grains.axis_ends(arrays, offset, law.exponent)
        coordinate = (
            grains.coordinate_of_offset(offset, arrays, law.exponent)[arrays.grain]
            + arrays.radius_um**law.exponent
        )
        parameters = {
            "activation_energy_kJ_per_mol": REFERENCE_ENERGY_KJ_PER_MOL,
            "isograd_temperature_C": float(arrays.table.temperature_C[0]),
            "reaction_entropy_J_per_mol_K": 50.0,
        }
        parameters = {
            name: self._centre(name, value)
            for name, value in parameters.items()
            if name in law.parameters
        }
        nodes = int(self.options["nodes"])
        return make_axis(coordinate, self.points[1], law, parameters, start, end, nodes)

    def _centre(self, name: str, otherwise: float) -> float:
        """Give a known quantity, or what stands for it while it is unknown."""
        if name in self.priors and self.priors.is_known(name):
            return float(self.priors.known(name))
        return otherwise

    def _length(self) -> float:
        return self._centre("path_length", 0.25)

    def _known_offsets(self) -> np.ndarray:
        """Give the offsets in force, or the differences of the rims' radii while unknown."""
        if "nucleation_offset_um" not in self.priors:
            return np.zeros(self.arrays.n_grains)
        value = self.priors["nucleation_offset_um"]
        if isinstance(value, Prior):
            return grains.default_offsets_um(self.arrays)
        return np.broadcast_to(np.asarray(value, float), self.arrays.n_grains).copy()
