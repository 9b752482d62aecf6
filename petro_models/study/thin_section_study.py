"""The study of a thin section: maps, the history of its garnets, alteration of its rock."""

from pathlib import Path

import xarray as xr

from petro_models.histories.problem import Histories
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.study.domains import domain_table
from petro_models.study.garnet_sections import ages_on_map, garnet_sections
from petro_models.study.study import Study
from petro_models.study.thin_section import DENSITIES, WHOLE_ROCK_ERROR, ThinSection

MAP_PIXELS = 1500


def thin_section_study(section: ThinSection, folder: str | Path) -> Study:
    """Set up the study of a simulated section, as one of a real section would be.

    Parameters
    ----------
    section
        From `simulate_thin_section`, its garnets cut through their centres.
    folder
        Where the fits are kept.
    """

    def maps() -> PhaseMaps:
        return PhaseMaps(section.maps, section.spots, pixels=MAP_PIXELS)

    def history(fit: xr.DataTree) -> Histories:
        profiles = garnet_sections(fit, through_centres=True)
        counted = section.number_density(profiles)
        profiles = garnet_sections(fit, through_centres=True, number_density=counted)
        ages = ages_on_map(fit, profiles, section.age_spots)
        return Histories(profiles, section.equilibrium, ages, own_bulk=True)

    def alteration(fit: xr.DataTree) -> MassTransfer:
        return MassTransfer(
            domain_table(
                fit,
                None,
                section.altered,
                relative_errors=WHOLE_ROCK_ERROR,
                density_kg_m3=DENSITIES,
                source="bulk of the thin section against altered neighbours",
            )
        )

    study = Study(folder)
    study.add("maps", maps, method="laplace", draws=400, seed=1)
    study.add("history", history, ["maps"], draws=800, tune=800, seed=1)
    study.add("alteration", alteration, ["maps"], seed=1)
    return study


def compare_with_truth(section: ThinSection, study: Study) -> str:
    """Say how often the 90 % intervals of a study that was run hold the truth."""
    answers = study.fits["history"]["derived"].to_dataset()
    truth = section.along(garnet_sections(study.fits["maps"], through_centres=True))
    held = []
    for name, what in (("pressure_kbar", "P"), ("temperature_C", "T"), ("age_Ma", "age")):
        low, high = (answers[name].sel(statistic=key).to_numpy() for key in ("q05", "q95"))
        inside = (low <= truth[name].to_numpy()) & (truth[name].to_numpy() <= high)
        held.append(f"{what} at {100 * inside.mean():.0f} %")
    ratio = study.fits["alteration"]["derived"]["mass_ratio"].quantile(
        [0.05, 0.95], ("chain", "draw")
    )
    low, high = ratio.to_numpy()
    known = section.truth["mass_ratio"].to_numpy()
    right = int(((low <= known) & (known <= high)).sum())
    return (
        f"Truth: 90 % bands along the garnets hold {', '.join(held)} of the positions, and those "
        f"of M/M0 the truth of {right} of {known.size} altered samples."
    )
