"""Every public name, imported at once; `petro_models` hands them out on first use."""

from pymc_extras.prior import Prior

from petro_models import datasets
from petro_models.calibration import CalibrationResult, calibrate_problem
from petro_models.errors import (
    ConfigurationError,
    DataError,
    FitError,
    FormatError,
    PetroError,
    PriorError,
)
from petro_models.histories.budget import variance_budget
from petro_models.histories.data import garnet_profiles, zone_ages
from petro_models.histories.inclusions import garnet_inclusions
from petro_models.histories.isopleths import isopleth_intersection, isopleth_posterior
from petro_models.histories.problem import Histories
from petro_models.histories.sections import garnet_section, join_profiles
from petro_models.histories.simulate import simulate_history, simulate_section
from petro_models.histories.simulate_inclusions import simulate_inclusions
from petro_models.inference.batch import fit_many
from petro_models.inference.checks import Check, Checks
from petro_models.inference.devices import use_device
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.io.equilibrium_tables import read_equilibrium_table
from petro_models.io.fits import load, save
from petro_models.io.garnet_profiles import (
    read_garnet_profiles,
    read_garnet_section,
    read_zone_ages,
)
from petro_models.io.inclusions import read_inclusions
from petro_models.io.map_export import write_geotiff, write_png, write_xmaptools
from petro_models.io.mass_tables import read_mass_table
from petro_models.mass_transfer.data import mass_table
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.phase_maps.averages import region_mean
from petro_models.phase_maps.data import epma_maps, epma_spots, phase_seeds
from petro_models.phase_maps.formulae import structural_formula
from petro_models.phase_maps.local_bulk import local_bulk, region_modes
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.regions import box, mask_image, pixels_of, polygon
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.phase_maps.transects import garnet_profile, transect, write_transect
from petro_models.problem import InverseProblem, check, problem_of
from petro_models.report import report
from petro_models.runs import fit_in_tiles
from petro_models.study.domains import domain_table, unlike
from petro_models.study.garnet_sections import ages_on_map, garnet_sections
from petro_models.study.local_table import table_for_bulk
from petro_models.study.study import Study
from petro_models.study.thin_section import ThinSection, simulate_thin_section
from petro_models.study.thin_section_study import thin_section_study
from petro_models.thermodynamics.bundled import bundled_table

__all__ = [
    "CalibrationResult",
    "Check",
    "Checks",
    "ConfigurationError",
    "DataError",
    "FitError",
    "FormatError",
    "Histories",
    "InverseProblem",
    "MassTransfer",
    "PetroError",
    "PhaseMaps",
    "Prior",
    "PriorError",
    "Study",
    "ThinSection",
    "ages_on_map",
    "box",
    "bundled_table",
    "calibrate_problem",
    "check",
    "datasets",
    "domain_table",
    "epma_maps",
    "epma_spots",
    "fit_in_tiles",
    "fit_many",
    "garnet_inclusions",
    "garnet_profile",
    "garnet_profiles",
    "garnet_section",
    "garnet_sections",
    "isopleth_intersection",
    "isopleth_posterior",
    "join_profiles",
    "load",
    "local_bulk",
    "mask_image",
    "mass_table",
    "phase_seeds",
    "pixels_of",
    "polygon",
    "problem_of",
    "read_epma",
    "read_equilibrium_table",
    "read_garnet_profiles",
    "read_garnet_section",
    "read_inclusions",
    "read_mass_table",
    "read_phase_seeds",
    "read_spots",
    "read_zone_ages",
    "region_mean",
    "region_modes",
    "report",
    "save",
    "simulate_history",
    "simulate_inclusions",
    "simulate_phase_maps",
    "simulate_section",
    "simulate_thin_section",
    "structural_formula",
    "table_for_bulk",
    "thin_section_study",
    "transect",
    "unlike",
    "use_device",
    "variance_budget",
    "write_geotiff",
    "write_png",
    "write_transect",
    "write_xmaptools",
    "zone_ages",
]
