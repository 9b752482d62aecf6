"""Write garnet profiles, dated zones and inclusions as CSV, for the readers here."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.io.fits import write_text

DIGITS = "%.9g"


def write_garnet_profiles(profiles: xr.Dataset, path: str | Path) -> Path:
    """Write profiles as CSV; read them back with ``read_garnet_profiles(path)``.

    Radii of the rims and numbers of grains are not columns of that file: give them to the reader.

    Parameters
    ----------
    profiles
        As `garnet_profiles` gives them.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    grains = profiles["grain"].to_numpy()[profiles["grain_index"].to_numpy().astype(int)]
    columns = {"grain": grains, "r_um": profiles["radius_um"].to_numpy()}
    for prefix, name in (("X", "composition"), ("sd", "composition_sd")):
        for member in profiles["endmember"].to_numpy():
            columns[f"{prefix}_{member}"] = profiles[name].sel(endmember=member).to_numpy()
    return _write(columns, path)


def write_zone_ages(ages: xr.Dataset, profiles: xr.Dataset, path: str | Path) -> Path:
    """Write dated zones as CSV; read them back with ``read_zone_ages(path, profiles)``.

    Parameters
    ----------
    ages
        As `zone_ages` gives them.
    profiles
        The profiles whose grains they belong to.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    grains = profiles["grain"].to_numpy()[ages["zone_grain_index"].to_numpy().astype(int)]
    columns = {"grain": grains}
    for column, name in (
        ("r_inner_um", "zone_inner_um"),
        ("r_outer_um", "zone_outer_um"),
        ("spot_um", "zone_spot_um"),
        ("age_Ma", "zone_age_Ma"),
        ("sd_Ma", "zone_age_sd_Ma"),
    ):
        columns[column] = ages[name].to_numpy()
    return _write(columns, path)


def write_inclusions(inclusions: xr.Dataset, path: str | Path) -> Path:
    """Write inclusions as CSV; read them back with ``read_inclusions(path)``.

    Radii of the rims are not columns of that file: give them to the reader.

    Parameters
    ----------
    inclusions
        As `garnet_inclusions` gives them.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    columns = {
        "inclusion": inclusions["inclusion"].to_numpy(),
        "grain": inclusions["inclusion_grain"].to_numpy(),
        "r_um": inclusions["inclusion_radius_um"].to_numpy(),
        "barometer": inclusions["barometer_name"].to_numpy(),
    }
    if np.isfinite(inclusions["residual_sd"]).any():
        columns["residual_sd"] = inclusions["residual_sd"].to_numpy()
    for name in inclusions["input"].to_numpy():
        for prefix, variable in (("", "mineral_input"), ("sd_", "mineral_input_sd")):
            values = inclusions[variable].sel(input=name).to_numpy()
            if np.isfinite(values).any():
                columns[f"{prefix}{name}"] = values
    return _write(columns, path)


def _write(columns: Mapping[str, np.ndarray], path: str | Path) -> Path:
    text = pd.DataFrame(columns).to_csv(index=False, float_format=DIGITS, lineterminator="\n")
    return write_text(text, path)
