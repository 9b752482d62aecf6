"""What a problem file says of a mass-transfer problem: its keys, and how its table is read."""

from pathlib import Path

import xarray as xr

from petro_models import configuration_schema as schema
from petro_models import datasets
from petro_models.configuration_schema import Key, Kind, Values
from petro_models.errors import ConfigurationError, nearest
from petro_models.io.cells import ZEROS
from petro_models.io.mass_tables import read_mass_table
from petro_models.mass_transfer.model import LIKELIHOODS
from petro_models.mass_transfer.problem import STRUCTURES, MassTransfer

PROBLEM = {
    "mobility": Key(schema.TEXT, "spike_and_slab", f"one of {', '.join(LIKELIHOODS)}"),
    "mass_change": Key(
        schema.one_of(STRUCTURES),
        "independent",
        "or pooled towards the mean of all samples, or a trend along distance",
    ),
}

DATA = {
    "table": Key(
        schema.TEXT,
        meaning="CSV or Excel file, from the place of this file",
        example="rocks.csv",
        is_path=True,
    ),
    "dataset": Key(
        schema.one_of(datasets.TABLES),
        meaning="or a published table, read as published",
        example="grant2005",
    ),
    "protolith": Key(
        schema.LABEL
        | schema.list_of(schema.LABEL, "a list of labels")
        | schema.table_of(schema.SCALAR, "a table { column = value }"),
        meaning="label or labels of the unaltered rock, or { column = value }",
        example="UA",
    ),
    "sample_column": Key(
        schema.TEXTS, meaning="column or columns of the sample labels", example="sample"
    ),
    "units": Key(
        schema.TEXT | schema.table_of(schema.TEXT, "a table of texts"),
        meaning="of columns whose header states none",
        example={"SiO2": "wt%", "Zr": "ppm"},
    ),
    "errors": Key(
        schema.NUMBER | schema.NUMBERS,
        meaning="relative, one sigma: for all elements or by element",
        example=0.02,
    ),
    "detection_limits": Key(schema.NUMBERS, meaning='of cells that say "bdl"', example={"Th": 0.5}),
    "zeros": Key(schema.one_of(ZEROS), meaning="what a zero means", example="error"),
    "density": Key(schema.TEXT, meaning="column of the density in g/cm3", example="density"),
    "distance": Key(schema.TEXT, meaning="column of the place along a traverse", example="depth"),
    "distance_unit": Key(schema.TEXT, meaning="unit of distance", example="m"),
    "profile": Key(schema.TEXT, meaning="column of the traverse's name", example="well"),
    "ignore": Key(
        schema.TEXTS, meaning="headers, species or samples to leave out", example=["LOI"]
    ),
    "elements_in": Key(
        schema.one_of(("columns", "rows")),
        meaning="found from the names if not given",
        example="columns",
    ),
    "sheet": Key(schema.TEXT, meaning="sheet of an Excel file", example="Sheet1"),
    "totals": Key(
        schema.one_of(("check", "ignore")),
        meaning="whether oxides must add up to 85-110 wt%",
        example="check",
    ),
}
READING_DEFAULTS: Values = {"zeros": "error", "ignore": [], "totals": "check"}

PRIOR_EXAMPLE = """\
# tolerance = 0.03                          # a known number, or a distribution:
# mass_change = { distribution = "Normal", mu = 0, sigma = 0.3, dims = "sample" }
# immobile_probability = "geochemical"      # or a number, or a table element -> number"""


def settle(values: Values) -> Values:
    """Refuse keys that do not go together, and put the defaults of reading in."""
    if ("table" in values) == ("dataset" in values):
        raise ConfigurationError(
            'give either table = "FILE" or dataset = "NAME" '
            f"(published tables: {', '.join(datasets.TABLES)})"
        )
    if "dataset" in values:
        # A published table says all of itself; only Toorongo leaves open which rock was fresh.
        allowed = ["dataset"] + ["protolith"] * (values["dataset"] == "toorongo1989")
        for name in values:
            if name not in allowed:
                raise ConfigurationError(
                    f"{name} does not go with dataset = '{values['dataset']}', which is read as "
                    f'published: leave it out, or read a copy of the table with table = "FILE"'
                )
        return values
    if "protolith" not in values:
        raise ConfigurationError(
            "protolith is missing: give the label of the unaltered rock, a list of labels, or "
            "{ column = value } that marks its rows"
        )
    return READING_DEFAULTS | values


def read(values: Values, folder: Path) -> xr.Dataset:
    """Read the table that ``[data]`` names."""
    given = dict(values)
    if "dataset" in given:
        return getattr(datasets, given.pop("dataset"))(**given)
    file = folder / given.pop("table")
    if not file.is_file():
        beside = [path.name for path in file.parent.glob("*.*") if path.is_file()]
        hint = f": {nearest(file.name, sorted(beside))}" if 0 < len(beside) <= 20 else ""
        raise ConfigurationError(f"table: there is no file {file}{hint}")
    return read_mass_table(file, given.pop("protolith"), **given)


def _geochemical(problem: MassTransfer) -> dict[str, float]:
    table = problem.geochemical_immobility()
    return {str(name): float(value) for name, value in table.items()}


MASS_TRANSFER = Kind(
    PROBLEM,
    DATA,
    settle,
    read,
    {"immobile_probability": {"geochemical": _geochemical}},
    PRIOR_EXAMPLE,
)
