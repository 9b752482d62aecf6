"""Write whole-rock tables as CSV that `read_mass_table` reads, and simulated truths as TOML."""

import csv
import io
from pathlib import Path

import numpy as np
import tomli_w
import xarray as xr

from petro_models.errors import DataError
from petro_models.io import species as chemistry
from petro_models.io.fits import write_text

EXTRAS = ("density", "distance", "profile")
"""Columns that `read_mass_table` takes by the arguments of the same names."""


def write_mass_table(table: xr.Dataset, path: str | Path) -> Path:
    """Write a mass table as CSV: protolith first, units in the headers, "<x" below detection.

    Read it back with ``read_mass_table(path, protolith=[labels])``; density, distance and profile,
    where the table has them, stand in columns of these names. Numbers keep six digits. Relative
    errors become columns such as "Zr_rsd%"; those of cells without a value are not kept.

    Parameters
    ----------
    table
        Follows `validate_mass_table`.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    DataError
        If an element could not be read back from its header.
    FitError
        If the folder does not exist or cannot be written.
    """
    units = dict(zip(table["element"].values.tolist(), table["unit"].values.tolist(), strict=True))
    for name, unit in units.items():
        header = chemistry.read_header(f"{name} {unit}")
        if (header.role, header.species) != ("species", name):
            raise DataError(f"element {name!r} is not a known species: no header can say it")
    with_errors = [name for name in units if _has_errors(table, name)]
    extras = [name for name in EXTRAS if name in table.variables]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "sample",
            *extras,
            *(f"{name} {unit}" for name, unit in units.items()),
            *(f"{name}_rsd%" for name in with_errors),
        ]
    )
    for prefix, dim in (("protolith_", "protolith"), ("", "sample")):
        for label in table[dim].values:
            row = table.sel({dim: label})
            writer.writerow(
                [
                    str(label),
                    *(_extra(row, prefix, name) for name in extras),
                    *(_cell(row, prefix, name) for name in units),
                    *(_error(row, prefix, name) for name in with_errors),
                ]
            )
    return write_text(text.getvalue(), path)


def write_truth(truth: xr.Dataset, path: str | Path) -> Path:
    """Write the truth of a simulated table as TOML: settings, mass changes, immobile elements.

    Parameters
    ----------
    truth
        As `petro_models.mass_transfer.simulate.simulate_mass_table` gives it.
    path
        TOML file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    elements = truth["element"].values
    document = {
        "immobile": elements[truth["immobile"].values].tolist(),
        "co_moving": elements[truth["co_moving"].values].tolist(),
        "settings": dict(truth.attrs),
        "mass_change": {
            str(label): float(value)
            for label, value in zip(
                truth["sample"].values, truth["mass_change"].values, strict=True
            )
        },
    }
    heading = "# The truth behind a simulated table; mass_change is ln(M/M0) of each sample.\n"
    return write_text(heading + tomli_w.dumps(document), path)


def _has_errors(table: xr.Dataset, name: str) -> bool:
    one = table.sel(element=name)
    return any(
        bool(np.isfinite(one[f"{prefix}relative_error"]).any()) for prefix in ("", "protolith_")
    )


def _extra(row: xr.Dataset, prefix: str, name: str) -> str:
    """Give density, distance or profile of one sample; blank where it has none."""
    source = f"{prefix}{name}"
    if source not in row.variables:
        return ""
    value = row[source].item()
    return value if isinstance(value, str) else _number(value)


def _cell(row: xr.Dataset, prefix: str, name: str) -> str:
    one = row.sel(element=name)
    limit = one[f"{prefix}detection_limit"].item()
    return f"<{limit:.6g}" if np.isfinite(limit) else _number(one[f"{prefix}concentration"].item())


def _error(row: xr.Dataset, prefix: str, name: str) -> str:
    return _number(100 * row.sel(element=name)[f"{prefix}relative_error"].item())


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""
