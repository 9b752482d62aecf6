"""How every classical method states its answer: which elements, which mass change, which units."""

from collections.abc import Sequence

import xarray as xr
from xarray.ufuncs import exp, expm1

from petro_models.errors import ConfigurationError, DataError, nearest
from petro_models.mass_transfer.forward import mobility_from_log_ratio


def membership(table: xr.Dataset, immobile: Sequence[str]) -> xr.DataArray:
    """Element mask (element) of the chosen names, which must all be in the table."""
    known = [str(name) for name in table.element.to_numpy()]
    if len(immobile) == 0:
        raise ConfigurationError("no immobile elements were chosen")
    for name in immobile:
        if name not in known:
            raise DataError(f"element '{name}' is not in the table; {nearest(name, known)}")
    return table.element.isin(list(immobile))


def with_mass_change(
    result: xr.Dataset, mass_change: xr.DataArray, ratios: xr.DataArray
) -> xr.Dataset:
    """Add mass change, mass ratio and the gain of each element to a method's own answers."""
    result["mass_change"] = labelled(mass_change, "ln(M/M0)")
    result["mass_ratio"] = labelled(exp(mass_change), "M/M0")
    result["gain_ratio"] = labelled(
        expm1(mobility_from_log_ratio(ratios, mass_change)),
        "gain or loss / amount in the protolith",
    )
    return result


def labelled(values: xr.DataArray, long_name: str, units: str = "1") -> xr.DataArray:
    """Name an answer and its units."""
    return values.drop_attrs().assign_attrs(units=units, long_name=long_name)
