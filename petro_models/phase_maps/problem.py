"""PhaseMaps: which phases a pixel holds, and what they are made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pymc as pm
import xarray as xr

from petro_models.errors import DataError, FitError, nearest
from petro_models.inference import checks
from petro_models.inference.draws import Draws
from petro_models.inference.nuts import Point
from petro_models.phase_maps import defaults, summary
from petro_models.phase_maps.anchoring import with_anchors
from petro_models.phase_maps.data import validate_maps, validate_spots
from petro_models.phase_maps.derived import derive
from petro_models.phase_maps.inputs import PhaseNames, merge_inputs
from petro_models.phase_maps.model import phase_maps_model
from petro_models.phase_maps.observe import observe
from petro_models.problem import InverseProblem, laid_out

if TYPE_CHECKING:
    from petro_models.report.cards import Card

OPTIONS: dict[str, tuple[str, ...]] = {
    "axes": ("auto", "none", "one", "two"),
    "mixtures": ("all", "pairs"),
    "neighbours": ("auto", "none", "potts"),
    "smoothing": ("none", "within_phases"),
}
DEFAULTS = {
    "axes": "auto",
    "mixtures": "all",
    "neighbours": "auto",
    "smoothing": "none",
    "pixels": "3000",
}
FEWEST_PIXELS = 200


class PhaseMaps(InverseProblem):
    """Phase fractions and compositions of every pixel of an electron-probe map.

    Parameters
    ----------
    maps
        Counts (element, y, x) as `read_epma` gives them.
    spots
        Analyses on the map, as `read_spots` gives them.
    phases
        Names; or name -> formula (``"SiO2"``) or name -> {oxide: wt%} or None. By default the
        labels of the spots, else the seeds, else groups of alike spots.
    seeds
        A pixel that shows each phase, as `read_phase_seeds` gives them.
    axes
        Axes of solid solution of each phase: ``auto`` (as many as the counts call for, at most
        two), ``one``, ``two`` (at most so many) or ``none``. A phase with axes has heavy tails if
        they explain pixels that nothing else does (`anchors.find_anchors`); one of a formula has
        neither.
    mixtures
        ``all``: pixels of two and three phases and fine-grained mixtures; ``pairs``: two only.
    neighbours
        ``potts``: a pixel is likelier what its neighbours are, as strongly as the map says;
        ``none``: every pixel for itself; ``auto``: potts unless counts are so few that the map
        does not tell how its pixels meet (`neighbours.FEW_COUNTS`).
    smoothing
        ``within_phases``: composition maps smoothed along the axes of solid solution, by a field
        learnt from the map, are given beside the others (`smoothing.smoothed_compositions`).
    pixels
        How many pixels, chosen so that rare phases are seen, the global unknowns are fitted to.

    Raises
    ------
    DataError
        If maps or spots do not hold what the model needs.
    FitError
        If an option is unknown.

    Examples
    --------
    >>> import petro_models as petro
    >>> maps, spots, truth = petro.datasets.simulated_phase_maps()  # doctest: +SKIP
    >>> fit = petro.PhaseMaps(maps, spots).fit(seed=1)  # doctest: +SKIP
    """

    kind: ClassVar[str] = "phase-maps"
    model_version: ClassVar[int] = 1
    predictive_draws: ClassVar[int] = 200
    prior_draws: ClassVar[int] = 100
    predictive_kept: ClassVar[int | None] = 20

    def __init__(
        self,
        maps: xr.Dataset,
        spots: xr.Dataset | None = None,
        *,
        phases: PhaseNames | None = None,
        seeds: xr.Dataset | None = None,
        axes: str = DEFAULTS["axes"],
        mixtures: str = DEFAULTS["mixtures"],
        neighbours: str = DEFAULTS["neighbours"],
        smoothing: str = DEFAULTS["smoothing"],
        pixels: int | str = DEFAULTS["pixels"],
    ) -> None:
        options = {
            "axes": axes,
            "mixtures": mixtures,
            "neighbours": neighbours,
            "smoothing": smoothing,
            "pixels": str(pixels),
        }
        _check_options(options)
        if "first_intensity" in maps:
            data = maps
        else:
            validate_maps(maps)
            if spots is not None:
                validate_spots(spots)
            data = merge_inputs(maps, spots, phases, seeds)
        data = with_anchors(laid_out(data), options)
        self.observations = observe(data, options)
        super().__init__(data, options, defaults.specifications(self.observations))
        # The model has dims that are not the data's (chosen pixels), and none of the map's.
        self.priors = type(self.priors)(self.priors.specifications, self.observations.coords)

    @classmethod
    def from_options(cls, data: xr.Dataset, options: Mapping[str, str]) -> "PhaseMaps":
        """Make the problem again from its data and options."""
        given = {name: str(options.get(name, default)) for name, default in DEFAULTS.items()}
        axes, mixtures, neighbours, smoothing, pixels = (given[name] for name in DEFAULTS)
        return cls(
            data,
            axes=axes,
            mixtures=mixtures,
            neighbours=neighbours,
            smoothing=smoothing,
            pixels=pixels,
        )

    def _declare(self) -> pm.Model:
        return phase_maps_model(self.observations, self.priors)

    def _choose_method(self) -> tuple[str, str]:
        return "hmc", "the global unknowns are near normal; pixels are integrated exactly"

    def start_of_climb(self) -> Point:
        """Give the point that anchors and rough calibration say, in natural units."""
        observed = self.observations
        start: dict[str, np.ndarray] = {
            "phase_composition": observed.composition,
            "class_weight": observed.anchors.class_weight,
        }
        if observed.has_spots:
            start["registration_shift"] = observed.first_shift
            if observed.has_axes:
                start["axis_composition"] = (
                    observed.anchors.axis_loading[:, observed.element_of_oxide]
                    / observed.sensitivity
                )
        return start

    def derive_from(self, draws: Draws, seed: int) -> xr.Dataset:
        """Compute the maps and sums of any draws of this problem's free variables."""
        return self._derive(draws, seed)

    def _starting_points(self) -> list[Point]:
        return [self.start_of_climb()]

    def _quantities(self) -> list[str]:
        names = ["registration_shift", "registration_jitter", "sensitivity", "axis_scale"]
        free = {rv.name for rv in self.model.free_RVs}
        return [name for name in names if name in free]

    def _derive(self, draws: Draws, seed: int) -> xr.Dataset:
        return derive(
            self.data, self.observations, self.priors, draws.posterior, seed, self.options
        )

    def _predictive_statistics(self, replicated: xr.Dataset) -> dict[str, tuple[float, np.ndarray]]:
        return summary.predictive_statistics(self.observations, replicated)

    def _own_checks(self, fit: xr.DataTree) -> list[checks.Check]:
        return summary.own_checks(fit["derived"].to_dataset(), self.observations, fit)

    def headline(self, fit: xr.DataTree) -> list[str]:
        """Say the answer in sentences with numbers."""
        return summary.headline(fit, self.observations)

    def _cards(self, fit: xr.DataTree) -> "list[Card]":
        from petro_models.phase_maps.cards import cards

        return cards(self, fit)


def _check_options(options: Mapping[str, str]) -> None:
    for name, allowed in OPTIONS.items():
        if options[name] not in allowed:
            raise FitError(
                f"{name}='{options[name]}' is not known: {nearest(options[name], allowed)}"
            )
    if not options["pixels"].isdigit() or int(options["pixels"]) < FEWEST_PIXELS:
        raise DataError(
            f"pixels must be a whole number of at least {FEWEST_PIXELS}; got {options['pixels']}"
        )
