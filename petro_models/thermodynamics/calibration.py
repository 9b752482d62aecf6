"""What a published thermobarometer is: an equation, its range, its error, and what checked it."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from petro_models.errors import DataError, nearest

type Array = Any
"""Anything with NumPy's arithmetic: ndarray, jax.Array, PyTensor tensor, DataArray."""

type Composition = Mapping[str, Array]
"""Input name -> value; the values broadcast against each other, pressure and temperature."""

type Evidence = Literal["printed value", "printed equation", "another program"]

KELVIN = 273.15
CALORIE_J = 4.184
GAS_CONSTANT_CAL = 1.987
"""The rounded value that the calibrations in calories were fitted with."""


@dataclass(frozen=True)
class Limit:
    """A range of composition that a calibration covers.

    Attributes
    ----------
    label
        How the quantity is written, for messages.
    needs
        Inputs that the quantity is computed from; it is checked only where all are given.
    value
        The quantity from those inputs, in their order.
    low, high
        Ends of the range.
    """

    label: str
    needs: tuple[str, ...]
    value: Callable[..., Array]
    low: float
    high: float


@dataclass(frozen=True)
class Barometer:
    """One published thermobarometer.

    Attributes
    ----------
    name
        Key in `petro_models.thermodynamics.barometers.BAROMETERS`.
    measures
        What the equilibrium is sensitive to, "temperature" or "pressure".
    equation
        ``equation(temperature_C, pressure_kbar, **inputs)``, zero at equilibrium.
    residual_units
        "J/mol" where the residual is an energy of reaction, else what the equation says.
    inputs
        Required inputs with their meaning and unit.
    optional
        Further inputs of the equation that have a default.
    range_inputs
        Inputs that the equation does not use but that its range is stated in.
    temperature_range_C, pressure_range_kbar
        What the calibration covers.
    limits
        The composition it covers.
    error
        The published error in words.
    sd_temperature_C, sd_pressure_kbar
        Our reading of that error as one standard deviation, of the quantity measured.
    sd_pressure_relative
        A part of the error that grows with pressure.
    reference
        The paper and equation.
    evidence
        The strongest thing that the formula was checked against.
    verification
        What exactly was compared.
    """

    name: str
    measures: Literal["temperature", "pressure"]
    equation: Callable[..., Array]
    inputs: Mapping[str, str]
    temperature_range_C: tuple[float, float]
    pressure_range_kbar: tuple[float, float]
    error: str
    reference: str
    evidence: Evidence
    verification: str
    residual_units: str = "J/mol"
    optional: Mapping[str, str] = field(default_factory=dict)
    range_inputs: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    sd_temperature_C: float = 0.0
    sd_pressure_kbar: float = 0.0
    sd_pressure_relative: float = 0.0

    @property
    def verified(self) -> bool:
        """Whether the formula was checked against what its own paper prints."""
        return self.evidence != "another program"

    def residual(
        self, temperature_C: Array, pressure_kbar: Array, composition: Composition
    ) -> Array:
        """Give how far the minerals are from equilibrium, zero where they agree with (P, T).

        Parameters
        ----------
        temperature_C, pressure_kbar
            Conditions; NumPy, JAX or PyTensor alike, broadcast against the composition.
        composition
            Values of `inputs` (all of them) and of any optional ones.

        Returns
        -------
        Array
            In `residual_units`.

        Raises
        ------
        DataError
            If an input is missing or unknown.
        """
        self.check_names(composition)
        used = {
            name: value
            for name, value in composition.items()
            if name in self.inputs or name in self.optional
        }
        return self.equation(temperature_C, pressure_kbar, **used)

    def check_names(self, composition: Composition) -> None:
        """Refuse a composition with a missing or an unknown input."""
        missing = [name for name in self.inputs if name not in composition]
        if missing:
            wanted = "; ".join(f"{name}: {self.inputs[name]}" for name in missing)
            raise DataError(f"{self.name} needs {', '.join(missing)} ({wanted}).")
        known = [*self.inputs, *self.optional, *self.range_inputs]
        for name in composition:
            if name not in known:
                raise DataError(f"{self.name} has no input {name!r}: {nearest(name, known)}.")


def natural_log(value: Array) -> Array:
    """Give ln of a NumPy, JAX or PyTensor value, with the library the value belongs to."""
    return _library(value).log(value)


def exponential(value: Array) -> Array:
    """Give e to a NumPy, JAX or PyTensor value, with the library the value belongs to."""
    return _library(value).exp(value)


def _library(value: Array) -> Any:
    owner = type(value).__module__.partition(".")[0]
    if owner in ("jax", "jaxlib"):
        return sys.modules["jax.numpy"]
    return sys.modules["pytensor.tensor"] if owner == "pytensor" else np
