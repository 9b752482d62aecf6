"""Histories: pressure, temperature and time from garnet zoning, inclusions and ages."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pymc as pm
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.errors import DataError, FitError, nearest
from petro_models.histories import classical, defaults, grains, prefit
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.axis import (
    N_NODES,
    REFERENCE_ENERGY_KJ_PER_MOL,
    GrowthAxis,
    make_axis,
    smoothed,
)
from petro_models.histories.data import join
from petro_models.histories.defaults import AMPLITUDE_WITHOUT_TABLE, TYPICAL_LENGTH
from petro_models.histories.equilibria import Noise
from petro_models.histories.forward import PATH_UNITS, path_basis
from petro_models.histories.growth import growth_law
from petro_models.histories.model import ABSENCE_SD, history_model
from petro_models.histories.schema import validate_history_data
from petro_models.histories.smoothing import SMOOTHINGS
from petro_models.inference import checks
from petro_models.inference.draws import Draws
from petro_models.inference.nuts import Point
from petro_models.inference.predictive import log_densities
from petro_models.problem import InverseProblem
from petro_models.thermodynamics.diffusivities import PUBLISHED
from petro_models.thermodynamics.tables import METHODS

if TYPE_CHECKING:
    from petro_models.report.cards import Card

DIFFUSION = ("off", *PUBLISHED)
"""Off, or whose diffusivities."""
CLOCKS = ("duration", "growth_rate")
ROUGH_NODES = 24
RATES = ("axis_heating_C_per_Myr", "axis_burial_kbar_per_Myr", "axis_growth_um_per_Myr")


class Histories(InverseProblem):
    """Pressure, temperature and time along one path that all grains of a rock share.

    Parameters
    ----------
    profiles
        As `read_garnet_profiles` gives them; None for inclusions alone.
    equilibrium
        Garnet table: dims (removed), pressure_kbar, temperature_C; None without profiles.
    ages
        As `read_zone_ages` gives them.
    inclusions
        As `read_inclusions` gives them, alone or in grains that have a profile.
    growth_law
        ``arrhenius`` (default), ``constant``, ``diffusion_controlled``, ``surface_affinity``,
        ``steady_heating`` or ``equilibrium_volume``.
    clock
        Whether a prior on the ``duration`` (default) or on the ``growth_rate`` stands behind the
        ages.
    interpolation
        How the table is read between its nodes: ``cubic`` (default; its slopes are continuous, so
        that sampling is some ten times faster) or ``linear``.
    nodes
        Nodes of the path.
    smoothing
        ``timeless`` (default), or as named options to compare with: ``per_position``, a walk along
        the growth coordinate, and ``per_time``, a walk in inferred time, which tells time by itself
        and needs ``clock="growth_rate"``. Fits with either are flagged.
    diffusion
        Whether zoning is blurred by diffusion after it grew (the last forward stage): off by
        default; True, with the diffusivities of Chakraborty & Ganguly (1992); or
        ``chakraborty_ganguly_1992``, ``carlson_2006`` or ``chu_ague_2015``. It needs a growth law
        with a clock. How far the published diffusivities err is an unknown, for the sets differ
        tenfold.
    own_bulk
        Whether the table was made for this rock's own bulk composition. Where nobody says so, the
        fit is flagged: the garnet of another bulk gives other pressures and temperatures.

    Raises
    ------
    DataError
        If profiles, table, ages or inclusions cannot be used, or a part is missing.
    FitError
        If an option is unknown.
    """

    kind: ClassVar[str] = "histories"
    thins_prior: ClassVar[bool] = True
    whitened_acceptance: ClassVar[float] = 0.95
    model_version: ClassVar[int] = 2

    def __init__(
        self,
        profiles: xr.Dataset | None = None,
        equilibrium: xr.Dataset | None = None,
        ages: xr.Dataset | None = None,
        inclusions: xr.Dataset | None = None,
        *,
        growth_law: str = "arrhenius",
        clock: str = "duration",
        interpolation: str = "cubic",
        nodes: int = N_NODES,
        smoothing: str = "timeless",
        diffusion: bool | str = False,
        own_bulk: bool = False,
    ) -> None:
        options = {
            "growth_law": growth_law,
            "clock": clock,
            "interpolation": interpolation,
            "nodes": str(nodes),
            "smoothing": smoothing,
            "diffusion": DIFFUSION[int(diffusion)] if isinstance(diffusion, bool) else diffusion,
        }
        self._set_up(join(profiles, equilibrium, ages, inclusions, own_bulk), options)

    @classmethod
    def from_options(cls, data: xr.Dataset, options: Mapping[str, str]) -> "Histories":
        """Make the problem again from its joined data and options."""
        validate_history_data(data)
        problem = cls.__new__(cls)
        problem._set_up(data, dict(options))
        return problem

    def _set_up(self, data: xr.Dataset, options: dict[str, str]) -> None:
        self.law = growth_law(options.setdefault("growth_law", "arrhenius"))
        choices = {
            "clock": CLOCKS,
            "interpolation": METHODS,
            "smoothing": SMOOTHINGS,
            "diffusion": DIFFUSION,
        }
        for name, allowed in choices.items():
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
        self.diffusivities = PUBLISHED.get(options["diffusion"])
        self._refuse_diffusion()
        self._refuse_clocks(options)
        super().__init__(
            data,
            options,
            defaults.specifications(
                self.arrays,
                self.law,
                options["clock"],
                options["smoothing"],
                bool(self.diffusivities),
            ),
        )

    def _refuse_clocks(self, options: Mapping[str, str]) -> None:
        """Refuse a rate that the law lacks, and a walk whose time is not known step by step."""
        if self.law.along is not None and options["clock"] == "growth_rate":
            raise FitError(
                f"growth_law='{self.law.name}' has no growth rate of its own: take clock='duration'"
            )
        has_rate = self.law.has_clock and options["clock"] == "growth_rate"
        if options["smoothing"] == "per_time" and not has_rate:
            raise FitError(
                "smoothing='per_time' needs the growth rate to tell the time of each step: take "
                "clock='growth_rate' and a growth law with a clock"
            )

    def _refuse_diffusion(self) -> None:
        """Refuse diffusion where there is no zoning to blur or no time to do it in."""
        if self.diffusivities and not self.arrays.has_profiles:
            raise DataError("diffusion blurs garnet zoning, and there are no profiles")
        if self.diffusivities and self.arrays.has_sections:
            raise DataError(
                "diffusion needs the radii of all grains, and sections leave them open: use "
                "profiles through the centres"
            )
        if self.diffusivities and not self.law.has_clock:
            raise FitError(
                f"diffusion needs time, which growth_law='{self.law.name}' does not hold: take "
                "growth_law='arrhenius'"
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
            self.noise,
            self.options["smoothing"],
            self.diffusivities,
        )

    def _choose_method(self) -> tuple[str, str]:
        return "nuts", "the path is continuous and all of it is unknown"

    def log_acceptance(self, prior: xr.Dataset) -> np.ndarray:
        """Refuse paths that leave the field of garnet, as the model's own term for it says."""
        if not self.arrays.has_profiles:
            return super().log_acceptance(prior)
        absence = log_densities(self.model, prior)[1]["garnet_absence"].sum("position")
        highest = -self.arrays.radius_um.size * np.log(ABSENCE_SD * np.sqrt(2 * np.pi))
        return absence.to_numpy()[0] - highest

    def with_observed(self, drawn: xr.Dataset) -> Self:
        """Give this history with drawn data; that garnet was stable stays observed."""
        return super().with_observed(drawn.drop_vars("garnet_absence", errors="ignore"))

    def ranked(self, posterior: xr.Dataset) -> dict[str, np.ndarray]:
        """Rank pressure and temperature along the path, the duration, and rates midway."""
        answers = self._derive(Draws(posterior, xr.Dataset(), "", {}), 0)
        found = {
            name: values
            for name, values in super().ranked(posterior).items()
            if name in ("duration_Myr", "model_error", "growth_exponent")
        }
        for name in ("pressure_kbar", "temperature_C"):
            values = answers[f"{name}_draws"].to_numpy()
            for label, at in (("first", 0), ("middle", values.shape[1] // 2), ("last", -1)):
                found[f"{name} {label}"] = values[:, at]
        for name in RATES:
            if f"{name}_draws" in answers:
                values = answers[f"{name}_draws"].to_numpy()
                found[f"{name.removeprefix('axis_')} middle"] = values[:, values.shape[1] // 2]
        return found

    def start_of_climb(self) -> Point | None:
        """Start at a robust least-squares fit of the path to profiles.

        Through inclusions alone the path is loose and its parts hardly correlate: coordinates made
        round at the highest point served worse there than the model's own.
        """
        if not self.arrays.has_profiles:
            return None
        from petro_models.histories.start import start_of_climb

        return start_of_climb(self)

    def bends_along(self) -> str | None:
        """Follow the cuts: those of several sections are known together, each hardly by itself."""
        known = not self.arrays.has_sections or self.priors.is_known("cut_offset_um")
        return None if known else "cut_offset_um"

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
    def noise(self) -> Noise:
        """Noise of the inclusions' residuals, at the conditions where they were enclosed."""
        pressure, temperature = self.inclusion_conditions
        return self.arrays.inclusions.noise(temperature, pressure)

    @cached_property
    def inclusion_conditions(self) -> tuple[np.ndarray, np.ndarray]:
        """Rough pressure and temperature of every inclusion (kbar, C): where slopes are taken."""
        arrays, held = self.arrays, self.arrays.inclusions
        if not arrays.has_inclusions:
            return np.empty(0), np.empty(0)
        offset = grains.default_offsets_um(arrays)
        place = self._coordinate(offset, held.grain, held.radius_um)
        if arrays.has_profiles:
            own = self._coordinate(offset, arrays.grain, arrays.radius_um)
            pressure, temperature = (smoothed(own, values)(place) for values in self.points[:2])
            return pressure, temperature
        start, end = grains.axis_ends(arrays, offset, self.law.exponent, self.known_cuts())
        nodes = np.linspace(0.0, 1.0, ROUGH_NODES)
        basis = path_basis((place - start) / (end - start), nodes, TYPICAL_LENGTH)
        window = {name: defaults.path_window(arrays, name)[:2] for name in PATH_UNITS}
        amplitude = AMPLITUDE_WITHOUT_TABLE
        temperature, pressure = prefit.fit_inclusions(held, basis, window, amplitude)
        return pressure, temperature

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fits of single analyses that suit each other: pressure, temperature (kbar, C), misfit."""
        arrays = self.arrays
        return classical.fit_along(
            arrays.table,
            arrays.nan_composition,
            arrays.sd,
            self._central_removed(),
            self._coordinate(self._known_offsets(), arrays.grain, arrays.radius_um),
        )

    def _central_removed(self) -> np.ndarray:
        """Give the garnet removed before each position, for a known or central final volume."""
        arrays = self.arrays
        if not arrays.has_removed_axis:
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
        if not self.arrays.has_profiles or self.options["smoothing"] != "timeless":
            # In the path's unit the highest point would be a flat path of amplitude 0.
            return dict.fromkeys(PATH_UNITS, 0)
        layout = self._known_layout()
        basis = layout.position_basis * layout.part_sd
        pressure, temperature, _ = self.points
        return {
            "temperature": grains.resolved_parts(basis, temperature),
            "pressure": grains.resolved_parts(basis, pressure),
        }

    def _known_layout(self) -> grains.Layout:
        """Lay out the data at known or central offsets and length."""
        offset, length = self._known_offsets(), np.asarray(self._length())
        spectral = not self.is_length_known
        axis, cut = self._axis(), self.known_cuts()
        return grains.Layout.of(self.arrays, axis, self.law, offset, length, spectral, cut)

    def known_cuts(self) -> np.ndarray | None:
        """Give how far sections miss the centres, or a typical distance; None without sections."""
        if not self.arrays.has_sections:
            return None
        typical = 0.5 * defaults.CUT_SHARE * self.arrays.rim_radius_um[self.arrays.section_grain]
        if not self.priors.is_known("cut_offset_um"):
            return typical
        return np.broadcast_to(self.priors.known("cut_offset_um"), typical.shape).copy()

    @property
    def is_length_known(self) -> bool:
        """Whether the length scale of the path is a known number."""
        return "path_length" not in self.priors or self.priors.is_known("path_length")

    def _axis(self) -> GrowthAxis:
        """Lay the axis, under the offsets and parameters in force or at their centres."""
        arrays, law = self.arrays, self.law
        offset, cut = self._known_offsets(), self.known_cuts()
        start, end = grains.axis_ends(arrays, offset, law.exponent, cut)
        temperature = self.points[1] if arrays.has_profiles else self.inclusion_conditions[1]
        coordinate = self._coordinate(offset, *arrays.observed)[: temperature.size]
        nodes = int(self.options["nodes"])
        parameters = self.law_parameters()
        framed = (
            None
            if cut is None or arrays.largest_section < 0
            else float(cut[arrays.largest_section])
        )
        return make_axis(coordinate, temperature, law, parameters, start, end, nodes, framed)

    def law_parameters(self) -> dict[str, float]:
        """Give the parameters of the growth law, known ones or their centres."""
        law = self.law
        parameters = {
            "activation_energy_kJ_per_mol": REFERENCE_ENERGY_KJ_PER_MOL,
            "isograd_temperature_C": defaults.lowest_temperature(self.arrays),
            "reaction_entropy_J_per_mol_K": 50.0,
        }
        return {
            name: self._centre(name, value)
            for name, value in parameters.items()
            if name in law.parameters
        }

    def _centre(self, name: str, otherwise: float) -> float:
        """Give a known quantity, or what stands for it while it is unknown."""
        if name in self.priors and self.priors.is_known(name):
            return float(self.priors.known(name))
        return otherwise

    def _length(self) -> float:
        typical = 0.25 if self.arrays.has_profiles else TYPICAL_LENGTH
        return self._centre("path_length", typical)

    def _coordinate(
        self, offset_um: np.ndarray, grain: np.ndarray, radius_um: np.ndarray
    ) -> np.ndarray:
        return grains.growth_coordinate(
            self.arrays, offset_um, self.law.exponent, grain, radius_um, self.known_cuts()
        )

    def _known_offsets(self) -> np.ndarray:
        """Give the offsets in force, or the differences of the rims' radii while unknown."""
        if "nucleation_offset_um" not in self.priors:
            return np.zeros(self.arrays.n_grains)
        value = self.priors["nucleation_offset_um"]
        if isinstance(value, Prior):
            return grains.default_offsets_um(self.arrays)
        return np.broadcast_to(np.asarray(value, float), self.arrays.n_grains).copy()
