"""Growth laws of garnet: how long a face takes to advance, as exchangeable pieces.

All grains of a rock share one growth coordinate ``s``. Where faces advance at one rate, grain i at
radius r stands at ``s = a_i + r``; where growth is controlled by diffusion, at ``s = a_i + r^2``.
A law gives the time per step of ``s`` up to a constant factor, which the clock of the model sets.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from petro_models.errors import FitError, nearest

GAS_CONSTANT_J_PER_MOL_K = 8.314462618
ZERO_CELSIUS_K = 273.15
REFERENCE_TEMPERATURE_C = 560.0
"""Temperature at which growth rates are stated."""
LEAST_STEP = 1e-6
"""Steps of the growth coordinate are at least so long: beyond the plane of a cut some are zero."""
STANDSTILL_C = 1.0
"""Where a steadily heated rock stands still, all of its growth takes as long as heating by this."""


@dataclass(frozen=True)
class GrowthLaw:
    """One growth law.

    Attributes
    ----------
    name, meaning
        For options and messages.
    exponent
        The growth coordinate is the radius to this power.
    slowness
        (temperature_C, parameters, xp) -> time per step of the coordinate over that at
        `REFERENCE_TEMPERATURE_C`.
    parameters
        Names of the priors it needs.
    has_clock
        Whether the zoning says anything about the relative timing of growth.
    along
        (temperature_C, coordinate, xp) -> time per step over its mean, on a grid (..., grid), where
        it follows from how the temperature changes; then `slowness` is not used.
    """

    name: str
    meaning: str
    exponent: int
    slowness: Callable[[Any, Mapping[str, Any], Any], Any]
    parameters: tuple[str, ...] = ()
    has_clock: bool = True
    along: Callable[[Any, Any, Any], Any] | None = None

    def on_grid(
        self, temperature_C: Any, coordinate: Any, parameters: Mapping[str, Any], xp: Any
    ) -> Any:
        """Give the time per step of the growth coordinate on a grid of it (..., grid)."""
        if self.along is not None:
            return self.along(temperature_C, coordinate, xp)
        return self.slowness(temperature_C, parameters, xp)


def clock_name(priors: Container[str]) -> str:
    """Name the prior that sets the clock."""
    return "duration_Myr" if "duration_Myr" in priors else "growth_rate"


def clock_names(law: GrowthLaw, priors: Container[str]) -> list[str]:
    """Name the priors that a law with a clock needs."""
    return [*law.parameters, clock_name(priors)]


def arrhenius_slowness(temperature_C: Any, energy_kJ_per_mol: Any, xp: Any) -> Any:
    """Give exp{(E/R)(1/T - 1/T0)}, the inverse of an Arrhenius rate over that at T0.

    Parameters
    ----------
    temperature_C
        Any shape, degrees Celsius.
    energy_kJ_per_mol
        Activation energy.
    xp
        Namespace of arrays.
    """
    inverse = 1 / (temperature_C + ZERO_CELSIUS_K)
    reference = 1 / (REFERENCE_TEMPERATURE_C + ZERO_CELSIUS_K)
    return xp.exp(1e3 * energy_kJ_per_mol / GAS_CONSTANT_J_PER_MOL_K * (inverse - reference))


def heating_slowness(temperature_C: Any, coordinate: Any, xp: Any) -> Any:
    """Give |dT/ds| over its mean: the time per step of growth where a rock heats at one rate.

    Parameters
    ----------
    temperature_C
        On the grid (..., grid), degrees Celsius; falling temperatures take time as rising ones do.
    coordinate
        Growth coordinate at the grid (..., grid), rising.
    xp
        Namespace of arrays.
    """
    step = xp.clip(coordinate[..., 1:] - coordinate[..., :-1], LEAST_STEP, np.inf)
    span = coordinate[..., -1:] - coordinate[..., :1]
    change = temperature_C[..., 1:] - temperature_C[..., :-1]
    taken = xp.sqrt(change**2 + (STANDSTILL_C * step / span) ** 2)
    between = taken / step
    padded = xp.concatenate([between[..., :1], between, between[..., -1:]], axis=-1)
    return 0.5 * (padded[..., 1:] + padded[..., :-1]) * span / taken.sum(axis=-1, keepdims=True)


def affinity_factor(temperature_C: Any, isograd_C: Any, entropy_J_per_mol_K: Any, xp: Any) -> Any:
    """Give 1 - exp(-A/RT) for an affinity A = dS (T - T_isograd): far from equilibrium it is 1.

    Close to the isograd and below it the factor is held at 0.001: growth is slow, not impossible.
    """
    overstep = xp.clip(temperature_C - isograd_C, 0.0, 2000.0)
    affinity = entropy_J_per_mol_K * overstep
    kelvin = xp.clip(temperature_C, -200.0, 3000.0) + ZERO_CELSIUS_K
    return 1e-3 + 0.999 * (1 - xp.exp(-affinity / (GAS_CONSTANT_J_PER_MOL_K * kelvin)))


def _constant(temperature_C: Any, parameters: Mapping[str, Any], xp: Any) -> Any:
    return 1.0 + 0.0 * temperature_C


def _arrhenius(temperature_C: Any, parameters: Mapping[str, Any], xp: Any) -> Any:
    return arrhenius_slowness(temperature_C, parameters["activation_energy_kJ_per_mol"], xp)


def _surface_affinity(temperature_C: Any, parameters: Mapping[str, Any], xp: Any) -> Any:
    isograd, entropy = (
        parameters["isograd_temperature_C"],
        parameters["reaction_entropy_J_per_mol_K"],
    )
    slowness = _arrhenius(temperature_C, parameters, xp)
    reference = affinity_factor(REFERENCE_TEMPERATURE_C + 0.0 * isograd, isograd, entropy, xp)
    return slowness * reference / affinity_factor(temperature_C, isograd, entropy, xp)


LAWS: dict[str, GrowthLaw] = {
    law.name: law
    for law in (
        GrowthLaw(
            "arrhenius",
            "all faces advance at v0 exp{-(E/R)(1/T - 1/T0)}",
            1,
            _arrhenius,
            ("activation_energy_kJ_per_mol",),
        ),
        GrowthLaw("constant", "all faces advance at one rate", 1, _constant),
        GrowthLaw(
            "diffusion_controlled",
            "r dr/dt = k0 exp{-(E/R)(1/T - 1/T0)}: supply through the matrix limits growth",
            2,
            _arrhenius,
            ("activation_energy_kJ_per_mol",),
        ),
        GrowthLaw(
            "surface_affinity",
            "an Arrhenius rate times 1 - exp(-A/RT), affinity A by overstepping of the isograd",
            1,
            _surface_affinity,
            (
                "activation_energy_kJ_per_mol",
                "isograd_temperature_C",
                "reaction_entropy_J_per_mol_K",
            ),
        ),
        GrowthLaw(
            "steady_heating",
            "garnet keeps to equilibrium while the rock heats (or cools) at one rate",
            1,
            _constant,
            along=heating_slowness,
        ),
        GrowthLaw(
            "equilibrium_volume",
            "garnet follows its equilibrium volume; the zoning then holds no time",
            1,
            _constant,
            has_clock=False,
        ),
    )
}


def growth_law(name: str) -> GrowthLaw:
    """Give a growth law by name.

    Raises
    ------
    FitError
        If there is none of that name.
    """
    if name not in LAWS:
        raise FitError(f"no growth law is named '{name}': {nearest(name, LAWS)}")
    return LAWS[name]
