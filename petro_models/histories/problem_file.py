"""What a problem file says of a history: its keys, and how profiles, ages and table are read."""

from pathlib import Path
from typing import Any

import xarray as xr

from petro_models import configuration_schema as schema
from petro_models.configuration_schema import Key, Kind, Values
from petro_models.errors import ConfigurationError, nearest
from petro_models.histories.data import join
from petro_models.histories.growth import LAWS
from petro_models.histories.problem import CLOCKS, DIFFUSION
from petro_models.histories.sections import join_profiles
from petro_models.histories.smoothing import SMOOTHINGS
from petro_models.io.equilibrium_tables import read_equilibrium_table
from petro_models.io.garnet_profiles import (
    read_garnet_profiles,
    read_garnet_section,
    read_zone_ages,
)
from petro_models.io.inclusions import read_inclusions
from petro_models.thermodynamics.bundled import BUNDLED, bundled_table
from petro_models.thermodynamics.tables import METHODS

PROBLEM = {
    "growth_law": Key(schema.one_of(tuple(LAWS)), "arrhenius", f"one of {', '.join(LAWS)}"),
    "clock": Key(schema.one_of(CLOCKS), "duration", "what the prior behind the ages is on"),
    "interpolation": Key(schema.one_of(METHODS), "cubic", "of the table; linear for uneven grids"),
    "smoothing": Key(
        schema.one_of(SMOOTHINGS), "timeless", f"of the path, one of {', '.join(SMOOTHINGS)}"
    ),
    "diffusion": Key(
        schema.one_of(DIFFUSION),
        "off",
        f"blurs zoning after growth, with the diffusivities of one of {', '.join(DIFFUSION[1:])}",
    ),
    "nodes": Key(schema.TEXT, "48", "nodes of the path, as text"),
}

DATA = {
    "profiles": Key(
        schema.TEXT,
        meaning="CSV: grain, r_um, X_alm, X_prp, X_grs, X_sps, sd_alm, ...",
        example="profiles.csv",
        is_path=True,
    ),
    "sections": Key(
        schema.TEXT,
        meaning="CSV of pixels, cut off the centre or not: grain, rim_distance_um, X_alm ...",
        example="pixels.csv",
        is_path=True,
    ),
    "ages": Key(
        schema.TEXT,
        meaning="CSV: grain, r_inner_um, r_outer_um, age_Ma, sd_Ma",
        example="ages.csv",
        is_path=True,
    ),
    "inclusions": Key(
        schema.TEXT,
        meaning="CSV or TOML: grain, r_um, barometer, its inputs (X_prp ...), sd_X_prp ...",
        example="inclusions.csv",
        is_path=True,
    ),
    "equilibrium": Key(
        schema.TEXT,
        meaning="garnet table: netCDF, MAGEMin, Perple_X, Theriak or LinaForma output",
        example="table.nc",
        is_path=True,
    ),
    "bundled_table": Key(
        schema.one_of(tuple(BUNDLED)), meaning="or one that is shipped", example="white2014"
    ),
    "own_bulk": Key(
        schema.FLAG,
        meaning="true if the table was made for this rock's own bulk composition",
        example=True,
    ),
    "sd": Key(
        schema.NUMBER | schema.NUMBERS,
        meaning="of a fraction, one sigma, where the file has no sd_ columns",
        example=0.005,
    ),
    "columns": Key(
        schema.table_of(schema.TEXT, "a table of texts"),
        meaning="headers of the file -> names used here",
        example={"Xgrs": "X_grs"},
    ),
    "ignore": Key(schema.TEXTS, meaning="headers to leave out", example=["total"]),
    "rim_radius_um": Key(schema.NUMBERS, meaning="grain -> radius of its rim", example={"1": 950}),
    "number_density": Key(
        schema.NUMBERS, meaning="grain -> grains of its size class", example={"1": 2.5}
    ),
}

PROFILE_KEYS = ("sd", "columns", "rim_radius_um", "number_density", "ignore")
INCLUSION_KEYS = ("columns", "rim_radius_um", "ignore")
"""Options of the readers; `columns` and `ignore` are the profiles' where there are some."""

PRIOR_EXAMPLE = """\
# removed_final = 0.04        # garnet mode of the rock, volume fraction
# duration_Myr = { distribution = "LogNormal", mu = 2.3, sigma = 1.4 }
# temperature_offset_C = { distribution = "Normal", mu = 0, sigma = 25 }"""


def settle(values: Values) -> Values:
    """Refuse keys that do not go together."""
    if not _has_zoning(values):
        if "inclusions" not in values:
            raise ConfigurationError(
                'profiles and inclusions are missing: profiles = "FILE" or inclusions = "FILE"'
            )
        for key in ("equilibrium", "bundled_table", "own_bulk", "sd", "number_density"):
            if key in values:
                raise ConfigurationError(f"{key} goes with profiles, which are not given")
        return values
    if ("equilibrium" in values) == ("bundled_table" in values):
        raise ConfigurationError(
            'give either equilibrium = "FILE" or bundled_table = "NAME" '
            f"(shipped tables: {', '.join(BUNDLED)})"
        )
    return values


def read(values: Values, folder: Path) -> xr.Dataset:
    """Read profiles, inclusions, ages and table, and join them."""
    for key in ("profiles", "sections", "inclusions", "ages", "equilibrium"):
        if key in values and not (folder / values[key]).is_file():
            file = folder / values[key]
            raise ConfigurationError(f"{key}: there is no file {file}{_hint(values[key], folder)}")
    if not _has_zoning(values):
        inclusions = _inclusions(values, folder, INCLUSION_KEYS)
        ages = read_zone_ages(folder / values["ages"], inclusions) if "ages" in values else None
        return join(None, None, ages, inclusions)
    profiles = _profiles(values, folder)
    ages = read_zone_ages(folder / values["ages"], profiles) if "ages" in values else None
    has_inclusions = "inclusions" in values
    inside = _inclusions(values, folder, ("rim_radius_um",)) if has_inclusions else None
    if "equilibrium" in values:
        table = read_equilibrium_table(folder / values["equilibrium"])
    else:
        table = bundled_table(values["bundled_table"])
    return join(profiles, table, ages, inside, values.get("own_bulk", False))


def _has_zoning(values: Values) -> bool:
    return "profiles" in values or "sections" in values


def _profiles(values: Values, folder: Path) -> xr.Dataset:
    """Read profiles, sections, or both; rims and numbers of grains go to whom they belong."""
    parts = []
    if "profiles" in values:
        options = _options(values, PROFILE_KEYS)
        parts.append(read_garnet_profiles(folder / values["profiles"], **options))
    if "sections" in values:
        parts.append(read_garnet_section(folder / values["sections"], **_options(values, ("sd",))))
    return parts[0] if len(parts) == 1 else join_profiles(*parts)


def _inclusions(values: Values, folder: Path, names: tuple[str, ...]) -> xr.Dataset:
    return read_inclusions(folder / values["inclusions"], **_options(values, names))


def _options(values: Values, names: tuple[str, ...]) -> dict[str, Any]:
    """Take the reader's options out of the section."""
    options: dict[str, Any] = {name: values[name] for name in names if name in values}
    if isinstance(options.get("ignore"), str):
        options["ignore"] = [options["ignore"]]
    return options


def _hint(name: str, folder: Path) -> str:
    beside = sorted(path.name for path in (folder / name).parent.glob("*.*") if path.is_file())
    return f": {nearest(Path(name).name, beside)}" if 0 < len(beside) <= 20 else ""


HISTORIES = Kind(PROBLEM, DATA, settle, read, {}, PRIOR_EXAMPLE)
