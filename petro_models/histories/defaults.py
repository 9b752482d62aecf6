"""Default priors of histories, each with its reason."""

import numpy as np
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.forward import PATH_UNITS
from petro_models.histories.grains import default_offsets_um
from petro_models.histories.growth import GrowthLaw
from petro_models.priors import PriorSpecification

LOG_SD_OF_DURATION = 1.43
LOG_SD_OF_DIFFUSIVITY = 1.0
CUT_SHARE = 0.4
TYPICAL_LENGTH = 0.3
"""Length scale of a path through inclusions alone, share of the axis."""
AMPLITUDE_WITHOUT_TABLE = {"temperature": 60.0, "pressure": 2.0}
"""Typical amplitude of a path through inclusions alone, C and kbar."""
WALKED = {"temperature": 100.0, "pressure": 3.0}
"""How far a walk gets along the axis or in 10 Myr, C and kbar."""
WINDOW_WITHOUT_TABLE = {"temperature": (600.0, 90.0), "pressure": (9.0, 4.0)}
"""Centre and spread of a path's mean where no table bounds it, C and kbar."""


def specifications(
    arrays: HistoryArrays, law: GrowthLaw, clock: str, smoothing: str, diffusion: bool
) -> dict[str, PriorSpecification]:
    """Give every quantity of the model that is declared for these data and choices."""
    return {
        **_path(arrays, smoothing),
        **(_table(arrays) if arrays.has_profiles else {}),
        **(_inclusions() if arrays.has_inclusions else {}),
        **_geometry(arrays),
        **(_clock(arrays, law, clock) if law.has_clock else {}),
        **(_diffusion() if diffusion else {}),
    }


def _path(arrays: HistoryArrays, smoothing: str) -> dict[str, PriorSpecification]:
    found = {}
    for name, unit in PATH_UNITS.items():
        typical, spread_of_log = _amplitude(arrays, name, smoothing)
        centre, spread, reason = path_window(arrays, name)
        found[f"{name}_mean_{unit}"] = PriorSpecification(
            Prior("Normal", mu=round(centre, 2), sigma=round(spread, 2)),
            (),
            f"mean {name} of the path, {unit}",
            reason,
        )
        found[f"{name}_amplitude_{unit}"] = PriorSpecification(
            Prior("LogNormal", mu=round(float(np.log(typical)), 2), sigma=spread_of_log),
            (),
            f"standard deviation of {name} about its mean along the path, {unit}",
            f"prograde growth spans some 100 C and a few kbar (median {typical:g} here); far from "
            "0, so that a short profile cannot claim a standstill",
            support="positive",
        )
    if smoothing != "timeless":
        return found
    if arrays.has_profiles:
        length: Prior | float = 0.25
        reason = (
            "a quarter of the axis: bends are allowed, jitter is not; coverage of simulated "
            "histories was best there"
        )
    else:
        length = Prior("LogNormal", mu=round(float(np.log(TYPICAL_LENGTH)), 2), sigma=0.35)
        reason = "a sixth to a half of the axis: inclusions are few, so it is not fixed"
    found["path_length"] = PriorSpecification(
        length,
        (),
        "length scale of the path, share of the axis in reference time",
        reason,
        support="positive",
    )
    return found


def _amplitude(arrays: HistoryArrays, name: str, smoothing: str) -> tuple[float, float]:
    """Give median and spread of the log of a path's amplitude."""
    if smoothing != "timeless":
        return WALKED[name], 0.6
    if arrays.has_profiles:
        return {"temperature": 35.0, "pressure": 1.2}[name], 0.6
    # The core holds most of the change and little of the radius, so a path must be free to bend:
    # with half of this it was held flat (simulated inclusions).
    return AMPLITUDE_WITHOUT_TABLE[name], 0.5


def path_window(arrays: HistoryArrays, name: str) -> tuple[float, float, str]:
    """Give centre and spread of the prior of a path's mean, and why.

    Parameters
    ----------
    name
        ``temperature`` (C) or ``pressure`` (kbar).
    """
    if arrays.has_profiles:
        axis = arrays.table.temperature_C if name == "temperature" else arrays.table.pressure_kbar
        centre, width = float(axis.mean()), float(np.ptp(axis))
        return centre, width / 4, "the whole window of the table with 95 %"
    centre, spread = WINDOW_WITHOUT_TABLE[name]
    low, high = centre - 1.64 * spread, centre + 1.64 * spread
    return centre, spread, f"where garnet grows in crustal rocks: {low:.0f} to {high:.0f} with 90 %"


def _diffusion() -> dict[str, PriorSpecification]:
    return {
        "time_after_growth_Myr": PriorSpecification(
            0.0,
            (),
            "time that the rock stayed at its last conditions after growth, Myr",
            "0: it cooled at once. Put a LogNormal where the garnet may have stayed hot",
            support="nonnegative",
        ),
        "diffusivity_factor": PriorSpecification(
            Prior("LogNormal", mu=0.0, sigma=LOG_SD_OF_DIFFUSIVITY),
            (),
            "diffusivities of all cations over the published ones",
            "0.2 to 5 with 90 %: at 600 degC the published sets differ by more, several "
            "hundredfold in garnets rich in Mn and Ca",
            "Chakraborty & Ganguly 1992, Contrib. Mineral. Petrol. 111, 74-86; Carlson 2006, Am. "
            "Mineral. 91, 1-11; Chu & Ague 2015, Contrib. Mineral. Petrol. 170, 25",
        ),
    }


def _inclusions() -> dict[str, PriorSpecification]:
    return {
        "calibration_offset": PriorSpecification(
            0.0,
            ("calibration",),
            "error that inclusions of one calibration share, in published standard deviations",
            "0: the published error scatters from inclusion to inclusion. For absolute P and T put "
            "Prior('Normal', mu=0, sigma=1, dims='calibration') and give residual_sd what scatters",
            "most of a calibration's error is systematic: Palin et al. 2016, Geosci. Frontiers 7, "
            "591-607",
        )
    }


def _table(arrays: HistoryArrays) -> dict[str, PriorSpecification]:
    found = {
        "temperature_offset_C": PriorSpecification(
            0.0,
            (),
            "temperature of the table less that of the rock, one for all positions, C",
            "0: the thermodynamic data are trusted. For absolute temperatures put "
            "Prior('Normal', mu=0, sigma=25)",
            "systematic error of phase-diagram thermometry: Palin et al. 2016, "
            "Geosci. Frontiers 7, 591-607",
        ),
        "pressure_offset_kbar": PriorSpecification(
            0.0,
            (),
            "pressure of the table less that of the rock, one for all positions, kbar",
            "0: the thermodynamic data are trusted. For absolute pressures put "
            "Prior('Normal', mu=0, sigma=0.5)",
            "as for temperature_offset_C",
        ),
        "model_error": PriorSpecification(
            Prior("HalfNormal", sigma=0.005, dims="endmember"),
            ("endmember",),
            "error of the table in each fraction, one standard deviation",
            "interpolation errs by 0.002 near field boundaries, mixing models by more",
            support="nonnegative",
        ),
    }
    if arrays.has_shared_error:
        found["shared_error"] = PriorSpecification(
            Prior("Normal", mu=0, sigma=1, dims="shared_shape"),
            ("shared_shape",),
            "error of the calibration that analyses share, in standard deviations of each shape",
            "as the calibration of the map leaves it; 0 forgets it, as analyses handed on without "
            "their common error do",
        )
    if arrays.has_removed_axis:
        found["removed_final"] = PriorSpecification(
            Prior("Uniform", lower=0.0, upper=round(float(arrays.table.removed[-1]), 6)),
            (),
            "garnet grown in the end / volume of the original solids",
            "whatever the table covers; put the mode counted in the thin section here",
            support="nonnegative",
        )
    return found


def _geometry(arrays: HistoryArrays) -> dict[str, PriorSpecification]:
    found: dict[str, PriorSpecification] = {}
    if arrays.has_sections:
        rim = float(np.median(arrays.rim_radius_um[arrays.section_grain]))
        found["cut_offset_um"] = PriorSpecification(
            Prior("HalfNormal", sigma=round(CUT_SHARE * rim, 1), dims="section"),
            ("section",),
            "distance of the section from the grain's centre, um",
            "sections that were chosen for their size pass within 0.4 of their radius, with 68 %",
            required_dims=("section",),
            support="nonnegative",
        )
    if arrays.n_grains > 1:
        offsets = np.round(default_offsets_um(arrays), 3)
        found["nucleation_offset_um"] = PriorSpecification(
            xr.DataArray(offsets, {"grain": arrays.coords["grain"]}, ["grain"]),
            ("grain",),
            "how much larger the largest grain is at any time: late nucleation, um of radius",
            "differences of the rims' radii: all grains stopped growing together",
            required_dims=("grain",),
        )
    return found


def typical_growth_rate(law: GrowthLaw) -> float:
    """Give the growth rate that the prior is centred on, um^exponent/Myr at 560 C."""
    return 50.0 if law.exponent == 1 else 2e4


def lowest_temperature(arrays: HistoryArrays) -> float:
    """Give the lowest temperature of the table, or 400 C without one."""
    return float(arrays.table.temperature_C[0]) if arrays.has_profiles else 400.0


def _clock(arrays: HistoryArrays, law: GrowthLaw, clock: str) -> dict[str, PriorSpecification]:
    found: dict[str, PriorSpecification] = {}
    if clock == "duration":
        found["duration_Myr"] = PriorSpecification(
            Prior("LogNormal", mu=2.3, sigma=LOG_SD_OF_DURATION),
            (),
            "time from the first analysis to the end of growth, Myr",
            "1 to 100 Myr with 90 %: regional metamorphism; zoning alone cannot change it",
            support="positive",
        )
    else:
        unit = "um/Myr" if law.exponent == 1 else "um^2/Myr"
        typical = typical_growth_rate(law)
        found["growth_rate"] = PriorSpecification(
            Prior("LogNormal", mu=round(float(np.log(typical)), 2), sigma=1.5),
            (),
            f"rate of growth at 560 C, {unit}",
            "grains of 1 mm in some 10 Myr, within a factor of 12",
            support="positive",
        )
    if "activation_energy_kJ_per_mol" in law.parameters:
        found["activation_energy_kJ_per_mol"] = PriorSpecification(
            Prior("Normal", mu=200, sigma=25),
            (),
            "activation energy of growth, kJ/mol",
            "interface- and diffusion-controlled growth lie between 150 and 250 (95 %)",
            support="real",
        )
    if "isograd_temperature_C" in law.parameters:
        found["isograd_temperature_C"] = PriorSpecification(
            lowest_temperature(arrays),
            (),
            "temperature of the garnet-in reaction, C",
            "edge of the table, or 400: no delay; put the isograd of your rock",
        )
        found["reaction_entropy_J_per_mol_K"] = PriorSpecification(
            50.0,
            (),
            "entropy of the garnet-forming reaction per mole of garnet",
            "order of magnitude of chlorite-consuming dehydration",
            support="positive",
        )
    if arrays.has_ages:
        oldest = float(arrays.zone_age_Ma.max())
        found["age_at_start_Ma"] = PriorSpecification(
            Prior("Normal", mu=round(oldest, 1), sigma=50),
            (),
            "age of the first analysis, Ma",
            "wide about the oldest age",
        )
    return found
