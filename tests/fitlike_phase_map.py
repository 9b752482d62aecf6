"""A phase map with known truth in the form a fit gives: a zoned garnet among three other phases.

It stands in for a fit where only what follows a fit is tested: its means are the truth plus errors
of exactly the standard deviations it states.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

PHASES = ("Garnet", "Quartz", "Mica", "Chlorite")
DENSITIES = (4000.0, 2650.0, 2830.0, 2900.0)
OXIDES = ("SiO2", "Al2O3", "FeO", "MgO", "MnO", "CaO", "K2O")
CATIONS = ("Si", "Al", "Fe", "Mg", "Mn", "Ca", "K")
RIM = np.array([37.3, 21.2, 33.0, 2.6, 0.5, 5.4, 0.0])
CORE = np.array([37.1, 21.0, 28.0, 1.2, 6.5, 6.2, 0.0])
OTHERS = np.array(
    [
        [99.8, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0],
        [47.5, 33.5, 1.8, 1.1, 0.0, 0.0, 9.9],
        [25.0, 21.5, 25.5, 15.0, 0.2, 0.0, 0.0],
    ]
)
CALIBRATION_ERROR = 0.012
"""Relative sd of the phases' mean compositions."""
SHARED_MODE_SD = 0.004


@dataclass(frozen=True)
class Truth:
    """What the simulated map is: fractions (phase, y, x), composition (oxide, y, x) in wt%."""

    fraction: np.ndarray
    composition: np.ndarray
    radius: np.ndarray


def fitlike(
    seed: int = 1,
    shape: tuple[int, int] = (120, 150),
    step_um: float | None = 2.0,
    crack: bool = True,
    calibration_error: float = CALIBRATION_ERROR,
) -> tuple[xr.DataTree, Truth]:
    """Make a map like a fit's and its truth."""
    generator = np.random.default_rng(seed)
    truth = _truth(shape)
    means = np.vstack([(RIM + CORE) / 2, OTHERS])
    floor = 0.02
    error_of_phase = calibration_error * means + 1e-12  # (phase, oxide)
    covariance = np.zeros((len(OXIDES), len(PHASES), len(PHASES)))
    for k in range(len(PHASES)):
        covariance[:, k, k] = error_of_phase[k] ** 2
    shift = error_of_phase * generator.standard_normal(error_of_phase.shape)
    own = floor + 0.02 * np.sqrt(np.maximum(truth.composition, 0) * 30)
    shared = np.einsum("kyx,okl,lyx->oyx", truth.fraction, covariance, truth.fraction)
    composition = (
        truth.composition
        + np.einsum("kyx,ko->oyx", truth.fraction, shift)
        + own * generator.standard_normal(own.shape)
    )
    mixed = truth.fraction.max(axis=0) < 0.999
    fraction_sd = np.where(mixed, 0.03, 0.002) * np.ones_like(truth.fraction)
    noise = fraction_sd * generator.standard_normal(fraction_sd.shape)
    fraction = np.clip(truth.fraction + noise * (truth.fraction > 0), 0, 1)
    fraction = fraction / fraction.sum(axis=0)
    phase_map = fraction.argmax(axis=0).astype(np.int8)
    pure = np.where(mixed, 0.04, 0.97) * (fraction == fraction.max(axis=0))
    unknown = np.full(shape, 0.002)
    evidence = generator.normal(0, 1, shape) - 0.5
    if crack:
        rows = np.arange(shape[0] // 6, shape[0] // 2)
        columns = (shape[1] * 0.86 + 3 * np.sin(rows / 6)).astype(int)
        unknown[rows, columns] = 0.98
        phase_map[rows, columns] = -1
        composition[:, rows, columns] *= 0.35
        evidence[rows, columns] -= 30
    derived = _derived(
        {
            "phase_fraction": (("phase", "y", "x"), fraction, "1"),
            "phase_fraction_sd": (("phase", "y", "x"), fraction_sd, "1"),
            "phase_fraction_low": (("phase", "y", "x"), fraction - 1.645 * fraction_sd, "1"),
            "phase_fraction_high": (("phase", "y", "x"), fraction + 1.645 * fraction_sd, "1"),
            "pure_probability": (("phase", "y", "x"), pure, "1"),
            "unknown_probability": (("y", "x"), unknown, "1"),
            "evidence": (("y", "x"), evidence, "nat"),
            "phase_map": (("y", "x"), phase_map, "1"),
            "composition": (("oxide", "y", "x"), composition, "wt%"),
            "composition_sd": (("oxide", "y", "x"), np.sqrt(own**2 + shared), "wt%"),
            "total": (("y", "x"), composition.sum(axis=0), "wt%"),
            "total_sd": (("y", "x"), np.sqrt((own**2 + shared).sum(axis=0)), "wt%"),
            "calibration_covariance": (("oxide", "phase", "phase2"), covariance, "wt%^2"),
            "mode": (("phase",), fraction.mean(axis=(1, 2)), "1"),
            "mode_sd": (("phase",), np.full(len(PHASES), SHARED_MODE_SD), "1"),
            "mode_low": (("phase",), fraction.mean(axis=(1, 2)) - 0.0066, "1"),
            "mode_high": (("phase",), fraction.mean(axis=(1, 2)) + 0.0066, "1"),
            "phase_composition": (("phase", "oxide"), means + shift, "wt%"),
            "phase_composition_sd": (("phase", "oxide"), error_of_phase, "wt%"),
        },
        shape,
        step_um,
    )
    data = _spots(derived, truth, generator)
    fit = xr.DataTree.from_dict({"derived": derived, "constant_data": data})
    fit.attrs["model_id"] = "fit-like"
    return fit, truth


@lru_cache
def _truth(shape: tuple[int, int]) -> Truth:
    """Draw the phases four times finer than the pixels, so that boundaries are mixed."""
    fine = 4
    rows, columns = ((np.arange(length * fine) + 0.5) / fine - 0.5 for length in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    radius = np.hypot(y - shape[0] * 0.5, x - shape[1] * 0.4) / (0.3 * min(shape))
    texture = gaussian_filter(np.random.default_rng(7).standard_normal(y.shape), 6 * fine)
    levels = np.quantile(texture, [0.45, 0.75])
    phase = np.where(texture < levels[0], 1, np.where(texture < levels[1], 2, 3))
    phase[radius < 1] = 0
    fraction = np.stack([_coarse((phase == k).astype(float), fine) for k in range(len(PHASES))])
    zone = np.clip(_coarse(radius, fine), 0, 1)[None] ** 2
    garnet = CORE[:, None, None] * (1 - zone) + RIM[:, None, None] * zone
    composition = garnet * fraction[0] + np.einsum("kyx,ko->oyx", fraction[1:], OTHERS)
    return Truth(fraction, composition, _coarse(radius, fine))


def _coarse(values: np.ndarray, fine: int) -> np.ndarray:
    rows, columns = values.shape
    return values.reshape(rows // fine, fine, columns // fine, fine).mean(axis=(1, 3))


def _derived(
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, str]],
    shape: tuple[int, int],
    step_um: float | None,
) -> xr.Dataset:
    units = {"units": "pixel" if step_um is None else "um"}
    step = 1.0 if step_um is None else step_um
    coords = {
        "phase": list(PHASES),
        "phase2": list(PHASES),
        "oxide": list(OXIDES),
        "y": ("y", np.arange(shape[0]) * step, units),
        "x": ("x", np.arange(shape[1]) * step, units),
    }
    return xr.Dataset(
        {
            name: (dims, values, {"units": unit, "long_name": name.replace("_", " ")})
            for name, (dims, values, unit) in variables.items()
        },
        coords=coords,
    )


def _spots(derived: xr.Dataset, truth: Truth, generator: np.random.Generator) -> xr.Dataset:
    """Put spots on the map; `derived` gains what is predicted for them."""
    number = 60
    rows = generator.integers(2, derived.sizes["y"] - 2, number)
    columns = generator.integers(2, derived.sizes["x"] - 2, number)
    predicted = derived["composition"].to_numpy()[:, rows, columns].T
    sd = derived["composition_sd"].to_numpy()[:, rows, columns].T
    measured_sd = 0.05 + 0.01 * truth.composition[:, rows, columns].T
    measured = truth.composition[:, rows, columns].T
    measured = np.abs(measured + measured_sd * generator.standard_normal(measured.shape))
    measured[::17, -1] = np.nan
    for name, values in (("spot_predicted", predicted), ("spot_predicted_sd", sd)):
        derived[name] = (("spot", "oxide"), values, {"units": "wt%"})
    counts = generator.poisson(40 * np.maximum(truth.composition, 0) + 5)
    labels = np.array(PHASES)[truth.fraction[:, rows, columns].argmax(axis=0)]
    return xr.Dataset(
        {
            "counts": (("element", "y", "x"), counts, {"units": "counts"}),
            "wt_percent": (("spot", "oxide"), measured, {"units": "wt%"}),
            "wt_percent_sd": (("spot", "oxide"), measured_sd, {"units": "wt%"}),
            "spot_column": (("spot",), columns.astype(float)),
            "spot_row": (("spot",), rows.astype(float)),
            "phase_of_spot": (("spot",), labels),
            "density_kg_m3": (("phase",), np.array(DENSITIES), {"units": "kg/m3"}),
        },
        coords={
            "element": list(CATIONS),
            "oxide": list(OXIDES),
            "cation": ("oxide", list(CATIONS)),
            "phase": list(PHASES),
            "y": derived["y"],
            "x": derived["x"],
        },
    )
