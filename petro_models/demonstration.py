"""What `petro-models demo` fits, and how its answers compare with what is known to be true."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from petro_models import datasets
from petro_models.io.epma_out import write_epma, write_spots
from petro_models.io.mass_tables_out import write_mass_table, write_truth
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.problem import InverseProblem
from petro_models.study.thin_section_study import compare_with_truth, thin_section_study

MAP_PIXELS = 1000
"""Of the demo's small map, that its global unknowns are fitted to."""
MIXED = (0.05, 0.95)


@dataclass(frozen=True)
class Demonstration:
    """One fit of the demo.

    Attributes
    ----------
    name
        Stem of its files.
    title
        A line for the reader.
    problem
        To fit.
    sampler
        Options of the fit.
    write
        Writes the data and the truth into a folder.
    compare
        Says in words how a fit compares with the truth; empty where there is none.
    """

    name: str
    title: str
    problem: InverseProblem
    sampler: dict[str, Any] = field(default_factory=lambda: {"seed": 1})
    write: Callable[[Path], None] = lambda folder: None
    compare: Callable[[xr.DataTree], str] = lambda fit: ""


def demonstrations() -> list[Demonstration]:
    """Make the demo's problems: a published table under two priors, and data of known truth."""
    plain, informed = (MassTransfer(datasets.grant2005()) for _ in range(2))
    informed.priors["immobile_probability"] = informed.geochemical_immobility()
    return [
        Demonstration("grant2005", "Grant (2005), default priors", plain),
        Demonstration(
            "grant2005_geochemical", "Grant (2005), geochemical prior on immobility", informed
        ),
        _rocks(),
        _phase_map(),
    ]


def _rocks() -> Demonstration:
    table, truth = simulate_mass_table(n_samples=6, n_elements=14, immobile_share=0.4, seed=7)

    def write(folder: Path) -> None:
        write_mass_table(table, folder / "simulated.csv")
        write_truth(truth, folder / "simulated.truth.toml")

    return Demonstration(
        "simulated",
        "Simulated rocks, truth known",
        MassTransfer(table),
        write=write,
        compare=lambda fit: compare_mass_transfer(fit, truth),
    )


def _phase_map() -> Demonstration:
    maps, spots, truth = datasets.simulated_phase_maps()

    def write(folder: Path) -> None:
        write_epma(maps, folder / "phase_map.maps.toml")
        write_spots(spots, folder / "phase_map.spots.csv")
        truth.to_netcdf(folder / "phase_map.truth.nc", engine="netcdf4")

    return Demonstration(
        "phase_map",
        "Simulated element map, truth known",
        PhaseMaps(maps, spots, pixels=MAP_PIXELS),
        {"seed": 1, "method": "laplace", "draws": 400},
        write,
        lambda fit: compare_phase_maps(fit, truth),
    )


def study_section(folder: Path) -> str:
    """Carry a simulated thin section from counts to its history; say how it compares.

    Writes ``thin_section.html`` and the folder of fits ``thin_section``.
    """
    section = datasets.thin_section()
    study = thin_section_study(section, folder / "thin_section")
    study.run()
    study.report(folder / "thin_section.html")
    return compare_with_truth(section, study)


def compare_mass_transfer(fit: xr.DataTree, truth: xr.Dataset) -> str:
    """Say how often the intervals of M/M0 hold the truth, and how many elements are told right."""
    ratio = fit["derived"]["mass_ratio"].quantile([0.05, 0.95], ("chain", "draw"))
    low, high = ratio.to_numpy()
    known = np.exp(truth["mass_change"].to_numpy())
    inside = int(((low <= known) & (known <= high)).sum())
    probability = fit["derived"]["immobile_probability"]
    right = int(((probability > 0.5) == truth["immobile"]).sum())
    return (
        f"Truth: the 90 % interval holds the true M/M0 of {inside} of {known.size} samples; "
        f"{right} of {probability.size} elements are told rightly as immobile or mobile."
    )


def compare_phase_maps(fit: xr.DataTree, truth: xr.Dataset) -> str:
    """Say how far fractions and compositions are from the truth, and what the intervals hold."""
    answers = fit["derived"].to_dataset()
    known = truth["phase_fraction"].sel(phase=answers["phase"]).transpose("phase", "y", "x")
    fraction = answers["phase_fraction"]
    error = fraction.to_numpy() - known.to_numpy()
    mixed = (known.max("phase") < MIXED[1]).to_numpy()
    reach = 1.645 * answers["composition_sd"].to_numpy()
    wt = truth["composition"].sel(oxide=answers["oxide"]).transpose("oxide", "y", "x").to_numpy()
    held = np.abs(answers["composition"].to_numpy() - wt) <= reach
    shift = fit["posterior"]["registration_shift"].mean(("chain", "draw")).to_numpy()
    true_shift = ", ".join(f"{value:+.1f}" for value in truth["registration_shift"].to_numpy())
    return (
        f"Truth: fractions are wrong by {np.sqrt((error**2).mean()):.3f} (RMS), in mixed pixels by "
        f"{np.sqrt((error[:, mixed] ** 2).mean()):.3f}; 90 % intervals hold "
        f"{100 * held.mean():.0f} % of the true compositions. The spots' true shift is "
        f"{true_shift} (column, row); found {shift[0]:+.2f}, {shift[1]:+.2f}."
    )
