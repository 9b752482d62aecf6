"""From domains of a phase map to whole-rock tables: local bulks against altered rocks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError
from petro_models.mass_transfer.data import mass_table
from petro_models.phase_maps.local_bulk import Densities, local_bulk
from petro_models.study.shared_shapes import leading_shapes

LEAST_RELATIVE_ERROR = 0.002
LEAST_WT_PERCENT = 0.05
"""Oxides below it in the protolith or a domain are left out: a map does not measure them."""

Domain = xr.DataArray | None
"""A region of the map, boolean (y, x); None for all of it."""


def domain_table(
    fit: xr.DataTree,
    protolith: Domain,
    altered: pd.DataFrame | Mapping[str, xr.DataArray],
    *,
    relative_errors: float | None = None,
    density_kg_m3: Densities | None = None,
    density_sd_kg_m3: Densities | None = None,
    source: str = "a phase map",
) -> xr.Dataset:
    """Build the table of `MassTransfer` with the bulk of a map's domain as the protolith.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    protolith
        The domain that stands for the unaltered rock.
    altered
        Analyses of altered rocks (wt%, one row a sample), or further domains of the same map by
        name: a vein, a selvage.
    relative_errors
        One sigma of the analyses, 0.02 = 2 %; domains bring their own.
    density_kg_m3, density_sd_kg_m3
        As for `local_bulk`.
    source
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        As `mass_table` gives it. A bulk's own relative error is that of counting; calibration,
        modes and densities err for all oxides and all domains together: ``shared_error``
        (shared_shape, sample, element) and ``protolith_shared_error``, whose sizes are unknowns of
        `MassTransfer` (its prior ``shared_error``). What domains of one map share cancels.

    Raises
    ------
    DataError
        If no oxide is left, or a domain has no pixel.
    """
    bulks = {"protolith": protolith}
    if not isinstance(altered, pd.DataFrame):
        bulks |= dict(altered)
    found = {
        name: local_bulk(
            fit, region, density_kg_m3=density_kg_m3, density_sd_kg_m3=density_sd_kg_m3
        )
        for name, region in bulks.items()
    }
    values, errors = (
        pd.DataFrame(
            {key: bulk[name].to_numpy() for key, bulk in found.items()},
            index=[str(label) for label in found["protolith"]["oxide"].values],
        ).T
        for name in ("bulk", "bulk_independent_sd")
    )
    relative = (errors / values.clip(lower=1e-9)).clip(lower=LEAST_RELATIVE_ERROR)
    oxides = [str(name) for name in values if (values[name] >= LEAST_WT_PERCENT).all()]
    rocks = values.drop(index="protolith")
    if isinstance(altered, pd.DataFrame):
        oxides = [name for name in oxides if name in altered]
        rocks = altered
    if len(oxides) < 2:
        raise DataError(
            f"{source}: fewer than two oxides are in both the map and the altered rocks: "
            f"{', '.join(map(str, values.columns))} against {', '.join(map(str, rocks.columns))}"
        )
    left_out = [str(name) for name in values if name not in oxides]
    own = None if isinstance(altered, pd.DataFrame) else relative.drop(index="protolith")[oxides]
    note = "protolith: bulk of a domain of the map; errors of calibration and modes are shared"
    table = mass_table(
        rocks[oxides],
        values.loc[["protolith"]][oxides],
        "wt%",
        relative_errors=relative_errors if own is None else own,
        protolith_relative_errors=relative.loc[["protolith"]][oxides],
        totals="ignore",
        source=source,
        notes=[note, f"left out, hardly measured by the map: {', '.join(left_out) or 'nothing'}"],
    )
    return _with_shared_error(table, found)


def _with_shared_error(table: xr.Dataset, bulks: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Add the errors that bulks share, on logarithms, in as few shapes as hold them."""
    oxides = table["element"].values.tolist()
    own = {name: bulk.sel(oxide=oxides) for name, bulk in bulks.items()}
    relative = np.stack(
        [
            (bulk["bulk_shared_error"] / bulk["bulk"]).transpose("shared_shape", "oxide")
            for bulk in own.values()
        ],
        axis=1,
    )
    shapes = leading_shapes(relative.reshape(len(relative), -1))
    shapes = shapes.reshape(-1, len(own), len(oxides))
    rocks = xr.DataArray(shapes, dims=("shared_shape", "rock", "element"), attrs={"units": "1"})
    rocks = rocks.assign_coords(rock=list(own), element=oxides)
    # Rocks that were analysed elsewhere share nothing with the map.
    altered = rocks.reindex(rock=table["sample"].values, fill_value=0.0)
    return table.assign(
        shared_error=altered.rename(rock="sample"),
        protolith_shared_error=rocks.sel(rock=["protolith"]).rename(rock="protolith"),
    ).assign_coords(shared_shape=[f"map {k + 1}" for k in range(len(shapes))])


def unlike(bulk: xr.Dataset, other: Mapping[str, float]) -> xr.DataArray:
    """Tell how many standard deviations a local bulk lies from another composition, by oxide.

    Both are brought to 100 over the oxides they share.

    Parameters
    ----------
    bulk
        From `local_bulk`.
    other
        wt% by oxide, such as the bulk an equilibrium table was made for.

    Raises
    ------
    DataError
        If they share no oxide.
    """
    shared = [name for name in bulk["oxide"].values.tolist() if name in other]
    if not shared:
        raise DataError(f"no oxide in common with {', '.join(other)}")
    own = bulk.sel(oxide=shared)
    scale = 100 / float(own["bulk"].sum())
    given = np.array([other[name] for name in shared])
    score = (own["bulk"] * scale - 100 * given / given.sum()) / (own["bulk_sd"] * scale)
    return score.assign_attrs(units="1", long_name="standard deviations from the other bulk")
