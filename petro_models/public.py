"""Every public name, imported at once; `petro_models` hands them out on first use."""

from pymc_extras.prior import Prior

from petro_models import datasets
from petro_models.errors import (
    ConfigurationError,
    DataError,
    FitError,
    FormatError,
    PetroError,
    PriorError,
)
from petro_models.inference.checks import Check, Checks
from petro_models.io.fits import load, save
from petro_models.io.mass_tables import read_mass_table
from petro_models.mass_transfer.data import mass_table
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.problem import InverseProblem, check, problem_of
from petro_models.report import report

__all__ = [
    "Check",
    "Checks",
    "ConfigurationError",
    "DataError",
    "FitError",
    "FormatError",
    "InverseProblem",
    "MassTransfer",
    "PetroError",
    "Prior",
    "PriorError",
    "check",
    "datasets",
    "load",
    "mass_table",
    "problem_of",
    "read_mass_table",
    "report",
    "save",
]
