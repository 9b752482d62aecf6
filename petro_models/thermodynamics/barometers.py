"""Thermobarometers in one form: a residual that is zero where the minerals agree with (P, T).

>>> from petro_models.thermodynamics.barometers import barometer, solve_temperature
>>> pair = {"X_prp": 0.13, "X_alm": 0.72, "biotite_Mg": 1.2, "biotite_Fe": 1.3}
>>> float(solve_temperature(barometer("garnet_biotite_ferry_spear_1978"), 6.0, pair).round(1))
616.2
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import elementwise

from petro_models.errors import DataError, nearest
from petro_models.thermodynamics import calibrations_exchange, calibrations_other
from petro_models.thermodynamics.calibration import Array, Barometer, Composition

BAROMETERS: Mapping[str, Barometer] = MappingProxyType(
    {
        item.name: item
        for item in (*calibrations_exchange.CALIBRATIONS, *calibrations_other.CALIBRATIONS)
    }
)
"""Every thermobarometer by name."""


def barometer(name: str) -> Barometer:
    """Look up a thermobarometer by name.

    Raises
    ------
    DataError
        If there is none of this name.
    """
    if name not in BAROMETERS:
        raise DataError(f"no thermobarometer is called {name!r}: {nearest(name, BAROMETERS)}")
    return BAROMETERS[name]


def solve_temperature(
    calibration: Barometer,
    pressure_kbar: Array,
    composition: Composition,
    bounds_C: tuple[float, float] = (100.0, 1600.0),
) -> np.ndarray:
    """Find the temperature where the residual is zero, at given pressures.

    Parameters
    ----------
    calibration
        Any thermobarometer with a dependence on temperature.
    pressure_kbar, composition
        NumPy values that broadcast together.
    bounds_C
        Where to look.

    Returns
    -------
    np.ndarray
        degC, of the broadcast shape.

    Raises
    ------
    DataError
        If the composition cannot be used, or no temperature within the bounds fits.
    """
    return _solve(calibration, "temperature", pressure_kbar, composition, bounds_C)


def solve_pressure(
    calibration: Barometer,
    temperature_C: Array,
    composition: Composition,
    bounds_kbar: tuple[float, float] = (-20.0, 60.0),
) -> np.ndarray:
    """Find the pressure where the residual is zero, at given temperatures (kbar).

    The bounds start below zero: a negative pressure tells that minerals do not belong together.

    Raises
    ------
    DataError
        If the composition cannot be used, the equation has no pressure in it, or none fits.
    """
    return _solve(calibration, "pressure", temperature_C, composition, bounds_kbar)


def residual_sd(
    calibration: Barometer,
    temperature_C: Array,
    pressure_kbar: Array,
    composition: Composition,
) -> Array:
    """Give the standard deviation of the residual that the calibration's published error means.

    The error of a thermometer is carried over by the slope of the residual in T, that of a
    barometer by its slope in P (central differences over 2 degC and 0.02 kbar), so that the noise
    stands in the unit of the residual. Analytical errors of the minerals are not in it.

    Returns
    -------
    Array
        In the residual's unit; NumPy, JAX or PyTensor alike.
    """
    if calibration.measures == "temperature":
        step, error = 1.0, calibration.sd_temperature_C
        above = calibration.residual(temperature_C + step, pressure_kbar, composition)
        below = calibration.residual(temperature_C - step, pressure_kbar, composition)
    else:
        step = 0.01
        growing = calibration.sd_pressure_relative * pressure_kbar
        error = (calibration.sd_pressure_kbar**2 + growing**2) ** 0.5
        above = calibration.residual(temperature_C, pressure_kbar + step, composition)
        below = calibration.residual(temperature_C, pressure_kbar - step, composition)
    return abs(above - below) / (2.0 * step) * error


def out_of_range(
    calibration: Barometer,
    temperature_C: Array,
    pressure_kbar: Array,
    composition: Composition,
) -> tuple[str, ...]:
    """Say in what the conditions and minerals lie outside what a calibration covers.

    Returns
    -------
    tuple of str
        One sentence for each violated range; empty if all is covered. Ranges of composition are
        checked where the inputs they need are given.

    Raises
    ------
    DataError
        If an input is missing, unknown, not finite or not positive.
    """
    check_composition(calibration, composition)
    checks = [
        ("temperature (degC)", temperature_C, *calibration.temperature_range_C),
        ("pressure (kbar)", pressure_kbar, *calibration.pressure_range_kbar),
    ]
    for limit in calibration.limits:
        if all(name in composition for name in limit.needs):
            arguments = (np.asarray(composition[name], dtype=float) for name in limit.needs)
            checks.append((limit.label, limit.value(*arguments), limit.low, limit.high))
    return tuple(
        message for check in checks if (message := _range_message(calibration.name, *check))
    )


def check_composition(calibration: Barometer, composition: Composition) -> None:
    """Refuse a composition that the equation cannot take.

    Raises
    ------
    DataError
        If an input is missing, unknown, not finite, negative, or zero where a logarithm is taken.
    """
    calibration.check_names(composition)
    if calibration.residual_units == "kbar":
        return  # a line's intercept and slope may be negative
    for name, value in composition.items():
        numbers = np.asarray(value, dtype=float)
        if not np.isfinite(numbers).all():
            raise DataError(f"{calibration.name}: {name} is not finite everywhere.")
        may_vanish = name in ("X_grs", "X_sps", "biotite_AlVI", "biotite_Ti", "biotite_Mn")
        if (numbers < 0).any() or (not may_vanish and (numbers == 0).any()):
            allowed = "zero or more" if may_vanish else "more than zero"
            raise DataError(f"{calibration.name}: {name} must be {allowed}; got {numbers.min():g}.")


def catalogue() -> pd.DataFrame:
    """List all thermobarometers: what they measure, range, error, reference, and what was checked.

    Returns
    -------
    pd.DataFrame
        One row per thermobarometer, indexed by name; `verified` is False where nothing of the
        paper itself was at hand to check the formula against.
    """
    rows = {
        name: {
            "measures": item.measures,
            "residual_units": item.residual_units,
            "T_min_C": item.temperature_range_C[0],
            "T_max_C": item.temperature_range_C[1],
            "P_min_kbar": item.pressure_range_kbar[0],
            "P_max_kbar": item.pressure_range_kbar[1],
            "error": item.error,
            "verified": item.verified,
            "evidence": item.evidence,
            "reference": item.reference,
        }
        for name, item in BAROMETERS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _range_message(name: str, label: str, value: Array, low: float, high: float) -> str | None:
    numbers = np.asarray(value, dtype=float)
    outside = (numbers < low) | (numbers > high)
    if not outside.any():
        return None
    found = f"{numbers[outside].min():.4g} to {numbers[outside].max():.4g}"
    share = f" ({int(outside.sum())} of {numbers.size} values)" if numbers.size > 1 else ""
    covered = f"{low:g} to {high:g}" if low != high else f"{low:g} alone"
    return f"{name}: {label} {found}{share} lies outside the calibration, {covered}"


def _solve(
    calibration: Barometer,
    unknown: Literal["temperature", "pressure"],
    known: Array,
    composition: Composition,
    bounds: tuple[float, float],
) -> np.ndarray:
    check_composition(calibration, composition)
    names = list(composition)
    known, *values = np.broadcast_arrays(
        np.asarray(known, dtype=float), *(np.asarray(composition[n], dtype=float) for n in names)
    )

    def residual(guess: np.ndarray, given: np.ndarray, *inputs: np.ndarray) -> np.ndarray:
        minerals = dict(zip(names, inputs, strict=True))
        conditions = (guess, given) if unknown == "temperature" else (given, guess)
        with np.errstate(divide="ignore", invalid="ignore"):
            return calibration.residual(*conditions, minerals)

    low, high = (np.full(known.shape, bound) for bound in bounds)
    found = elementwise.find_root(residual, (low, high), args=(known, *values))
    if not np.all(found.success):
        first = np.unravel_index(int(np.argmin(found.success)), known.shape)
        where = f" at index {tuple(map(int, first))}" if known.shape else ""
        unit = "degC" if unknown == "temperature" else "kbar"
        raise DataError(
            f"{calibration.name}: no {unknown} between {bounds[0]:g} and {bounds[1]:g} {unit} "
            f"brings the minerals into equilibrium{where}; check their composition, or that the "
            f"equation depends on {unknown}."
        )
    return np.asarray(found.x)
