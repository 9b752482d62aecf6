"""Default priors of histories, each with its reason."""

import numpy as np
import xarray as xr
from pymc_extras.prior import Prior

from petro_models.histories.data import HistoryArrays
from petro_models.histories.grains import default_offsets_um
from petro_models.histories.growth import GrowthLaw
from petro_models.priors import PriorSpecification

LOG_SD_OF_DURATION = 1.43


def specifications(
    arrays: HistoryArrays, law: GrowthLaw, clock: str
) -> dict[str, PriorSpecification]:
    """Give every quantity of the model that is declared for these data and choices."""
    return {
        **_path(arrays),
        **_table(arrays),
        **(_clock(arrays, law, clock) if law.has_clock else {}),
    }


def _path(arrays: HistoryArrays) -> dict[str, PriorSpecification]:
    found = {}
    for name, unit, axis, typical in (
        ("temperature", "C", arrays.table.temperature_C, 35.0),
        ("pressure", "kbar", arrays.table.pressure_kbar, 1.2),
    ):
        centre, width = float(axis.mean()), float(np.ptp(axis))
        found[f"{name}_mean_{unit}"] = PriorSpecification(
            Prior("Normal", mu=round(centre, 2), sigma=round(width / 4, 2)),
            (),
            f"mean {name} of the path, {unit}",
            "the whole window of the table with 95 %",
        )
        found[f"{name}_amplitude_{unit}"] = PriorSpecification(
            Prior("LogNormal", mu=round(float(np.log(typical)), 2), sigma=0.6),
            (),
            f"standard deviation of {name} about its mean along the path, {unit}",
            f"prograde growth spans some 100 C and a few kbar (median {typical:g} here); far from "
            "0, so that a short profile cannot claim a standstill",
            support="positive",
        )
    found["path_length"] = PriorSpecification(
        0.25,
        (),
        "length scale of the path, share of the axis in reference time",
        "a quarter of the axis: bends are allowed, jitter is not; coverage of simulated histories "
        "was best there",
        support="positive",
    )
    return found


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
    if arrays.table.has_removed_axis:
        found["removed_final"] = PriorSpecification(
            Prior("Uniform", lower=0.0, upper=round(float(arrays.table.removed[-1]), 6)),
            (),
            "garnet grown in the end / volume of the original solids",
            "whatever the table covers; put the mode counted in the thin section here",
            support="nonnegative",
        )
    if arrays.n_grains > 1:
        offsets = np.round(default_offsets_um(arrays), 3)
        found["nucleation_offset_um"] = PriorSpecification(
            xr.DataArray(offsets, {"grain": arrays.coords["grain"]}, ["grain"]),
            ("grain",),
            "how much larger the largest grain is at any time: late nucleation, um of radius",
            "differences of the rims' radii: all grains stopped growing together",
        )
    return found


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
        typical = 50.0 if law.exponent == 1 else 2e4
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
            float(arrays.table.temperature_C[0]),
            (),
            "temperature of the garnet-in reaction, C",
            "edge of the table: no delay; put the isograd of your rock",
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
