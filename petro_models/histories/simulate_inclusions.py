"""Inclusions with known truth: minerals that would be in equilibrium where the garnet grew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import elementwise

from petro_models.errors import DataError, nearest
from petro_models.histories.equilibria import KNOWN, LINE
from petro_models.histories.inclusions import garnet_inclusions
from petro_models.thermodynamics.barometers import residual_sd as published_sd

GARNET = {"X_alm": 0.74, "X_prp": 0.12, "X_grs": 0.06, "X_sps": 0.08}
BIOTITE = {"biotite_Fe": 1.30, "biotite_AlVI": 0.45, "biotite_Ti": 0.10}
FIRST = 0.1
ANALYTICAL_ERROR = 0.02
"""Relative error of a mineral input, one standard deviation."""


@dataclass(frozen=True)
class Enclosed:
    """How a simulated inclusion comes to equilibrium: which input follows P and T.

    Attributes
    ----------
    free
        The input that is solved for.
    bounds
        Where it lies.
    fixed
        The other inputs.
    exact
        Inputs without an error.
    """

    free: str
    bounds: tuple[float, float]
    fixed: Mapping[str, float]
    exact: tuple[str, ...] = ()


_BIOTITE = Enclosed("biotite_Mg", (0.02, 40.0), GARNET | BIOTITE)
_PLAGIOCLASE = Enclosed("plagioclase_X_an", (0.001, 0.999), GARNET | {"X_grs": 0.03, "X_alm": 0.77})
_QUARTZ = Enclosed("quartz_Ti_ppm", (0.01, 5000.0), {"TiO2_activity": 1.0}, ("TiO2_activity",))
_RUTILE = Enclosed("rutile_Zr_ppm", (1.0, 20000.0), {})
ENCLOSED: dict[str, Enclosed] = {
    "garnet_biotite_ferry_spear_1978": _BIOTITE,
    "garnet_biotite_bhattacharya_1992": _BIOTITE,
    "garnet_biotite_holdaway_2000": _BIOTITE,
    "gasp_koziol_1989_kyanite": _PLAGIOCLASE,
    "gasp_koziol_1989_sillimanite": _PLAGIOCLASE,
    "zr_in_rutile_kohn_2020_quartz": _RUTILE,
    "zr_in_rutile_tomkins_2007_alpha_quartz": _RUTILE,
    "ti_in_quartz_thomas_2010": _QUARTZ,
    "ti_in_quartz_osborne_2022": _QUARTZ,
    LINE.name: Enclosed(
        "intercept_kbar", (-60.0, 60.0), {"slope_kbar_per_C": 0.008}, ("slope_kbar_per_C",)
    ),
}
"""Equilibria that can be simulated."""
LINE_SD_KBAR = 0.5
DEFAULT = ("garnet_biotite_holdaway_2000", "gasp_koziol_1989_kyanite")


def simulate_inclusions(
    profiles: xr.Dataset,
    truth: xr.Dataset,
    *,
    calibrations: Sequence[str] = DEFAULT,
    n_inclusions: int = 10,
    residual_sd: float | None = None,
    grain: str | None = None,
    seed: int = 0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Enclose minerals in garnets that `simulate_history` grew.

    At each place every calibration gives one row. Its free input (biotite's Mg, plagioclase's Ca,
    Zr in rutile ...) is such that the residual is an error drawn with the calibration's published
    standard deviation; then all inputs get an analytical error of 2 %.

    Parameters
    ----------
    profiles, truth
        As `simulate_history` gives them.
    calibrations
        Names of `ENCLOSED`.
    n_inclusions
        Places, evenly along the radius from a tenth of it on.
    residual_sd
        Error of every calibration in place of the published one, in the residual's unit.
    grain
        In which the inclusions lie; by default the first.
    seed
        Same seed, same inclusions.

    Returns
    -------
    inclusions, truth
        ``truth`` holds ``pressure_kbar temperature_C time_Myr`` by inclusion.

    Raises
    ------
    DataError
        If a calibration or grain is unknown, there are no places, or no mineral fits.
    """
    grains = [str(name) for name in profiles["grain"].values]
    chosen = grains[0] if grain is None else grain
    if chosen not in grains:
        raise DataError(f"no grain is named {chosen!r}: {nearest(chosen, grains)}")
    for name in calibrations:
        if name not in ENCLOSED:
            raise DataError(f"cannot simulate {name!r}: {nearest(name, ENCLOSED)}")
    own = np.flatnonzero(profiles["grain_index"].to_numpy() == grains.index(chosen))
    if not 1 <= n_inclusions <= own.size:
        raise DataError(f"n_inclusions must be 1 to {own.size} here; got {n_inclusions}")
    along = profiles["radius_um"].to_numpy()[own]
    wanted = np.linspace(max(along[0], FIRST * along[-1]), along[-1], n_inclusions)
    places = own[np.abs(along[:, None] - wanted).argmin(axis=0)]
    pressure, temperature = (
        truth[name].to_numpy()[places] for name in ("pressure_kbar", "temperature_C")
    )
    generator = np.random.default_rng(seed)
    radius = profiles["radius_um"].to_numpy()[places]
    frames = [
        _enclose(name, temperature, pressure, residual_sd, generator).assign(
            r_um=radius, place=places
        )
        for name in calibrations
    ]
    frame = pd.concat(frames, ignore_index=True).sort_values("place", kind="stable")
    order = frame.pop("place").to_numpy()
    frame = frame.reset_index(drop=True).assign(grain=chosen)
    rim = float(profiles["rim_radius_um"].to_numpy()[grains.index(chosen)])
    inclusions = garnet_inclusions(
        frame, rim_radius_um={chosen: rim}, source=f"simulated inclusions (seed {seed})"
    )
    names = ("pressure_kbar", "temperature_C", "time_Myr")
    known = {
        name: ("inclusion", truth[name].to_numpy()[order], truth[name].attrs) for name in names
    }
    return inclusions, xr.Dataset(known, {"inclusion": inclusions["inclusion"]})


def _enclose(
    name: str,
    temperature_C: np.ndarray,
    pressure_kbar: np.ndarray,
    residual_sd: float | None,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Give one row per place: the inputs of a calibration with their errors."""
    enclosed, calibration = ENCLOSED[name], KNOWN[name]
    count = temperature_C.size

    def residual(free: np.ndarray, t: np.ndarray, p: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        composition = {**enclosed.fixed, enclosed.free: free}
        used = {key: composition[key] for key in calibration.inputs}
        return calibration.residual(t, p, used) - wanted

    def solve(wanted: np.ndarray) -> np.ndarray:
        bounds = tuple(np.full(count, bound) for bound in enclosed.bounds)
        found = elementwise.find_root(residual, bounds, args=(temperature_C, pressure_kbar, wanted))
        if not np.all(found.success):
            raise DataError(f"{name}: no {enclosed.free} is in equilibrium everywhere on this path")
        return np.asarray(found.x)

    exact = solve(np.zeros(count))
    columns: dict[str, object] = {"barometer": name}
    if name == LINE.name:
        error = LINE_SD_KBAR if residual_sd is None else residual_sd
        columns |= {
            "intercept_kbar": exact + error * generator.normal(size=count),
            "sd_intercept_kbar": error,
        }
        return pd.DataFrame(columns | dict(enclosed.fixed))
    inputs: dict[str, Any] = {
        key: {**enclosed.fixed, enclosed.free: exact}[key] for key in calibration.inputs
    }
    sd = (
        published_sd(calibration, temperature_C, pressure_kbar, inputs)
        if residual_sd is None
        else np.full(count, residual_sd)
    )
    inputs[enclosed.free] = solve(sd * generator.normal(size=count))
    for key, value in inputs.items():
        relative = 0.0 if key in enclosed.exact else ANALYTICAL_ERROR
        noise = 1 + relative * generator.normal(size=count)
        columns |= {key: value * noise, f"sd_{key}": relative * value}
    if residual_sd is not None:
        columns["residual_sd"] = residual_sd
    return pd.DataFrame(columns)
