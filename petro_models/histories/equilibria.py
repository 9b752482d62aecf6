"""Equilibria of inclusions in garnet: each is a curve in P and T that the path must pass by.

After the Markov random field of Kuwatani et al. (2018), J. Mineral. Petrol. Sci. 113, 82-95:
minerals enclosed at one radius, and the garnet around them, give a residual ``h(P, T; X)`` that is
zero where they were in equilibrium. Errors stand in the residual's own unit (J/mol for reactions),
so that the errors of P and T correlate as the slope of the reaction says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from petro_models.thermodynamics.barometers import BAROMETERS, residual_sd
from petro_models.thermodynamics.calibration import Barometer
from petro_models.thermodynamics.elastic import entrapment_line

LINE = Barometer(
    name="line",
    measures="pressure",
    equation=entrapment_line,
    residual_units="kbar",
    inputs={
        "intercept_kbar": "pressure of the line at 0 degC, kbar",
        "slope_kbar_per_C": "slope of the line, kbar per degC",
    },
    temperature_range_C=(-np.inf, np.inf),
    pressure_range_kbar=(-np.inf, np.inf),
    error="what the user states as sd_intercept_kbar",
    reference="the user's own constraint P = a + b T",
    evidence="printed equation",
    verification="a straight line: nothing to look up",
)
KNOWN: Mapping[str, Barometer] = {**BAROMETERS, LINE.name: LINE}
"""Every equilibrium that an inclusion may stand for: the thermobarometers, and a line of one's own
(an isomeke, or anything that was computed elsewhere)."""
SLOPE_C, SLOPE_KBAR = 1.0, 0.01
NEWTON_STEPS = 12
STEP = 1e-4
"""Relative step of slopes by an input."""


@dataclass(frozen=True)
class Equilibria:
    """Inclusions that share a calibration and the inputs given to it.

    Attributes
    ----------
    calibration
        The thermobarometer.
    rows
        Which inclusions, (row).
    composition, composition_sd
        Input name -> value and its error (0 where exact), (row).
    """

    calibration: Barometer
    rows: np.ndarray
    composition: dict[str, np.ndarray]
    composition_sd: dict[str, np.ndarray]


@dataclass(frozen=True)
class Noise:
    """Standard deviations of residuals, each in its own unit, (inclusion).

    Attributes
    ----------
    total
        Errors of the minerals and of the calibration together.
    published
        The published error of the calibration alone.
    """

    total: np.ndarray
    published: np.ndarray


@dataclass(frozen=True)
class InclusionArrays:
    """Inclusions as arrays.

    Attributes
    ----------
    radius_um, grain
        Place of each inclusion, (inclusion); `grain` counts the grains of the data.
    groups
        The equilibria, calibration by calibration.
    calibration_names
        Calibrations in use, and `calibration_index` (inclusion) into them.
    stated_sd
        What replaces the published error, (inclusion); NaN where nothing does.
    labels
        Of the inclusions.
    """

    radius_um: np.ndarray
    grain: np.ndarray
    groups: tuple[Equilibria, ...]
    calibration_names: tuple[str, ...]
    calibration_index: np.ndarray
    stated_sd: np.ndarray
    labels: tuple[str, ...]

    @classmethod
    def of(cls, data: xr.Dataset) -> "InclusionArrays":
        """Take the arrays out of checked data; empty where they hold no inclusions."""
        if "inclusion" not in data.dims:
            return cls.none()
        names = [str(name) for name in data["barometer_name"].values]
        used = list(dict.fromkeys(names))
        grains = [str(name) for name in data["grain"].values]
        return cls(
            radius_um=data["inclusion_radius_um"].to_numpy().astype(float),
            grain=np.array([grains.index(str(g)) for g in data["inclusion_grain"].values]),
            groups=tuple(group_equilibria(data)),
            calibration_names=tuple(used),
            calibration_index=np.array([used.index(name) for name in names]),
            stated_sd=data["residual_sd"].to_numpy().astype(float),
            labels=tuple(str(label) for label in data["inclusion"].values),
        )

    @classmethod
    def none(cls) -> "InclusionArrays":
        """Give arrays of no inclusions."""
        empty = np.empty(0)
        return cls(empty, empty.astype(int), (), (), empty.astype(int), empty, ())

    @property
    def count(self) -> int:
        """Number of inclusions."""
        return self.radius_um.size

    @cached_property
    def measures_temperature(self) -> np.ndarray:
        """Whether each equilibrium is a thermometer, (inclusion); else it is a barometer."""
        found = np.zeros(self.count, bool)
        for group in self.groups:
            found[group.rows] = group.calibration.measures == "temperature"
        return found

    def residuals(self, temperature_C: Any, pressure_kbar: Any, xp: Any) -> Any:
        """Give how far every inclusion is from equilibrium, (..., inclusion).

        Parameters
        ----------
        temperature_C, pressure_kbar
            Conditions at each inclusion, (..., inclusion).
        xp
            `numpy`, `jax.numpy` or `pytensor.tensor`.

        Returns
        -------
        (..., inclusion)
            Each in the unit of its calibration's residual: J/mol for reactions, kbar for lines.
        """
        parts = [
            group.calibration.residual(
                temperature_C[..., group.rows], pressure_kbar[..., group.rows], group.composition
            )
            for group in self.groups
        ]
        order = np.argsort(np.concatenate([group.rows for group in self.groups]))
        return xp.concatenate(parts, axis=-1)[..., order]

    def noise(self, temperature_C: np.ndarray, pressure_kbar: np.ndarray) -> "Noise":
        """Give the noise of every residual: errors of the minerals and of the calibration.

        Parameters
        ----------
        temperature_C, pressure_kbar
            Where the slopes are taken, (inclusion). They are held there: a noise that varied with
            the unknown P and T would draw the path to where slopes are small.
        """
        analysed, published = np.zeros(self.count), np.zeros(self.count)
        for group in self.groups:
            at = temperature_C[group.rows], pressure_kbar[group.rows]
            analysed[group.rows] = _propagated(group, *at)
            published[group.rows] = residual_sd(group.calibration, *at, group.composition)
        calibration = np.where(np.isnan(self.stated_sd), published, self.stated_sd)
        return Noise(np.hypot(analysed, calibration), published)

    def single_errors(
        self, temperature_C: np.ndarray, pressure_kbar: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Give the error of T (C) and of P (kbar) that each equilibrium leaves if it is alone.

        Returns
        -------
        dict
            ``temperature`` and ``pressure`` -> (inclusion); infinite for what is not measured.
        """
        noise = self.noise(temperature_C, pressure_kbar).total
        by_t, by_p = self.slopes(temperature_C, pressure_kbar)
        return {
            "temperature": np.where(self.measures_temperature, noise / np.abs(by_t), np.inf),
            "pressure": np.where(
                self.measures_temperature, np.inf, noise / np.maximum(np.abs(by_p), 1e-12)
            ),
        }

    def single_estimates(
        self, temperature_C: np.ndarray, pressure_kbar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Solve each equilibrium on its own: T at the given P, or P at the given T.

        Parameters
        ----------
        temperature_C, pressure_kbar
            Conditions of every inclusion, (inclusion); what an equilibrium measures is solved for.

        Returns
        -------
        temperature_C, pressure_kbar
            With the measured one replaced.
        """
        t, p = temperature_C.astype(float), pressure_kbar.astype(float)
        for _ in range(NEWTON_STEPS):
            residual = self.residuals(t, p, np)
            by_t, by_p = self.slopes(t, p)
            step_t = np.clip(-residual / np.where(by_t == 0, np.inf, by_t), -100, 100)
            step_p = np.clip(-residual / np.where(by_p == 0, np.inf, by_p), -5, 5)
            t = np.where(self.measures_temperature, t + step_t, t)
            p = np.where(self.measures_temperature, p, p + step_p)
        return t, p

    def slopes(
        self, temperature_C: np.ndarray, pressure_kbar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the slopes of every residual by T (per C) and by P (per kbar), (inclusion)."""
        found = []
        for step_t, step_p in ((SLOPE_C, 0.0), (0.0, SLOPE_KBAR)):
            ends = [
                self.residuals(temperature_C + sign * step_t, pressure_kbar + sign * step_p, np)
                for sign in (1, -1)
            ]
            found.append((ends[0] - ends[1]) / (2 * (step_t + step_p)))
        return found[0], found[1]


def _propagated(
    group: Equilibria, temperature_C: np.ndarray, pressure_kbar: np.ndarray
) -> np.ndarray:
    """Carry the errors of the minerals to the residual, input by input."""
    square = np.zeros(group.rows.size)
    for name, error in group.composition_sd.items():
        value = group.composition[name]
        step = STEP * np.maximum(np.abs(value), STEP)
        ends = [
            group.calibration.residual(
                temperature_C, pressure_kbar, group.composition | {name: value + sign * step}
            )
            for sign in (1.0, -1.0)
        ]
        square += ((ends[0] - ends[1]) / (2 * step) * error) ** 2
    return np.sqrt(square)


def group_equilibria(data: xr.Dataset) -> list[Equilibria]:
    """Gather inclusions of one calibration that have the same inputs."""
    inputs = [str(name) for name in data["input"].values]
    values, errors = data["mineral_input"].to_numpy(), data["mineral_input_sd"].to_numpy()
    members: dict[tuple[str, ...], list[int]] = {}
    for row, name in enumerate(data["barometer_name"].values):
        given = [key for key, value in zip(inputs, values[row], strict=True) if np.isfinite(value)]
        members.setdefault((str(name), *given), []).append(row)
    groups = []
    for (name, *given), rows in members.items():
        columns = {key: inputs.index(key) for key in given}
        groups.append(
            Equilibria(
                calibration=KNOWN[name],
                rows=np.array(rows),
                composition={key: values[rows, column] for key, column in columns.items()},
                composition_sd={
                    key: np.nan_to_num(errors[rows, column]) for key, column in columns.items()
                },
            )
        )
    return groups
