"""The equilibrium tables that come with petro_models."""

from pathlib import Path

import xarray as xr

from petro_models.errors import DataError, nearest

_FOLDER = Path(__file__).parent.parent / "bundled"
BUNDLED: dict[str, str] = {
    "white2014": "garnet_white2014.nc",
    "pelite_high_pressure": "garnet_pelite_high_pressure.nc",
}
"""Name -> file. ``white2014``: the pelite of White et al. (2014), with the axis of removed garnet;
``pelite_high_pressure``: the world-median pelite of Forshaw & Pattison (2023), 4 to 24 kbar. Both
computed with MAGEMin 2.0.1 (Riel et al. 2022) and the models of White et al. (2014) on the data of
Holland & Powell (2011)."""


def bundled_table(name: str = "white2014") -> xr.Dataset:
    """Give a shipped garnet table.

    Parameters
    ----------
    name
        A key of `BUNDLED`.

    Raises
    ------
    DataError
        If there is none of that name.

    Examples
    --------
    >>> bundled_table("white2014").sizes["removed"]
    7
    """
    if name not in BUNDLED:
        raise DataError(f"no bundled table is named '{name}': {nearest(name, BUNDLED)}")
    with xr.open_dataset(_FOLDER / BUNDLED[name], engine="netcdf4") as table:
        return table.load()
