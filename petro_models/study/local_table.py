"""The equilibrium table of a local bulk: between tables that were made for other bulks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from petro_models.errors import DataError
from petro_models.phase_maps.local_bulk import bulk_covariance
from petro_models.study.domains import LEAST_RELATIVE_ERROR
from petro_models.thermodynamics.tables import AXES, COMPONENTS, garnet_stable, validate_table

DRAWS = 400
SUM_WEIGHT = 1e4
"""How much more than the oxides it counts that the weights add up to 1."""


@dataclass(frozen=True)
class LocalTable:
    """A table for a local bulk, and how well the tables around it suit that bulk.

    Attributes
    ----------
    table
        For `Histories`.
    weights
        Share of every table, (table), with ``weights_sd`` left open by the bulk's error.
    weights_sd
        Their standard deviations.
    mismatch
        What no mixture of the tables' bulks explains, in the bulk's standard deviations, (oxide).
    model_error
        Standard deviation of the garnet's fractions, (endmember), from the bulk's error and from
        the mismatch: for the prior ``model_error`` of `Histories`.
    """

    table: xr.Dataset
    weights: xr.DataArray
    weights_sd: xr.DataArray
    mismatch: xr.DataArray
    model_error: xr.DataArray


def table_for_bulk(
    bulk: xr.Dataset, tables: Mapping[str, tuple[xr.Dataset, Mapping[str, float]]], seed: int = 0
) -> LocalTable:
    """Interpolate between equilibrium tables of known bulks to a local bulk.

    Tables are mixed with weights of 0 or more that add up to 1, so that the mixture of their bulks
    is as near to the local one as its errors tell. The garnet is taken to change linearly between
    them: make tables that lie about the bulk of the map, not far from it.

    Parameters
    ----------
    bulk
        From `local_bulk`.
    tables
        By name: at least two tables on the same axes, each with the bulk (wt% by oxide) that it was
        made for.
    seed
        Of the draws of the bulk.

    Raises
    ------
    DataError
        If there are fewer than two tables, they stand on different axes, or share fewer than two
        oxides with the bulk.
    """
    _check(tables)
    names = list(tables)
    given = [composition for _, composition in tables.values()]
    oxides = [
        name for name in bulk["oxide"].values.tolist() if all(name in other for other in given)
    ]
    if len(oxides) < 2:
        raise DataError(
            f"the bulks of the tables {', '.join(names)} share fewer than two oxides with the map's"
        )
    ends = np.array([[float(other[name]) for name in oxides] for other in given]).T
    ends = 100 * ends / ends.sum(axis=0)
    own = bulk.sel(oxide=oxides)
    content = own["bulk"].to_numpy()
    closing = (np.eye(len(oxides)) - content[:, None] / content.sum()) * 100 / content.sum()
    covariance = closing @ bulk_covariance(own) @ closing.T
    content = 100 * content / content.sum()
    covariance += np.diag((LEAST_RELATIVE_ERROR * content) ** 2)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))

    def weights_of(values: np.ndarray) -> np.ndarray:
        rows = np.vstack([whiten @ ends, np.full(len(names), SUM_WEIGHT)])
        found = nnls(rows, np.append(whiten @ values, SUM_WEIGHT))[0]
        return found / found.sum()

    weights = weights_of(content)
    drawn = np.random.default_rng(seed).multivariate_normal(content, covariance, DRAWS)
    spread = np.array([weights_of(values) for values in drawn]) - weights
    left = content - ends @ weights
    stacked = np.stack(
        [
            [table[f"X_{name}"].transpose(*_dims(table)).to_numpy() for name in COMPONENTS]
            for table, _ in tables.values()
        ]
    ).astype(float)
    variance = _from_weights(stacked, spread)
    variance += (_change_per_distance(stacked, whiten @ ends) * np.linalg.norm(whiten @ left)) ** 2
    return LocalTable(
        table=_mixed(tables, stacked, weights),
        weights=xr.DataArray(weights, {"table": names}, ["table"], attrs={"units": "1"}),
        weights_sd=xr.DataArray(
            np.sqrt((spread**2).mean(axis=0)), {"table": names}, ["table"], attrs={"units": "1"}
        ),
        mismatch=xr.DataArray(
            left / np.sqrt(np.diag(covariance)), {"oxide": oxides}, ["oxide"], attrs={"units": "1"}
        ),
        model_error=xr.DataArray(
            np.sqrt(variance), {"endmember": list(COMPONENTS)}, ["endmember"], attrs={"units": "1"}
        ),
    )


def _check(tables: Mapping[str, tuple[xr.Dataset, Mapping[str, float]]]) -> None:
    if len(tables) < 2:
        raise DataError(
            "a table for a local bulk is mixed of at least two; of a single table `unlike` tells "
            "how far its bulk is from the map's"
        )
    first_name, (first, _) = next(iter(tables.items()))
    for name, (table, _) in tables.items():
        validate_table(table)
        for axis in AXES:
            has = axis in table["X_alm"].dims, axis in first["X_alm"].dims
            if has[0] != has[1] or (has[0] and not table[axis].equals(first[axis])):
                raise DataError(
                    f"table {name!r} has other values of {axis} than {first_name!r}: make all "
                    "tables on the same axes"
                )


def _dims(table: xr.Dataset) -> list[str]:
    return [axis for axis in AXES if axis in table["X_alm"].dims]


def _from_weights(stacked: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Give the variance that open weights leave, mean over nodes with garnet, (endmember)."""
    values = stacked.reshape(*stacked.shape[:2], -1)
    values = values[..., np.isfinite(values).all(axis=(0, 1))]
    moved = np.einsum("dt,ten->den", spread, values)
    return (moved**2).mean(axis=(0, 2)) if values.size else np.full(len(COMPONENTS), np.nan)


def _change_per_distance(stacked: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Give by how much garnet differs between tables per distance of their bulks, (endmember)."""
    found = [np.zeros(len(COMPONENTS))]
    for first in range(len(stacked)):
        for second in range(first):
            distance = np.linalg.norm(ends[:, first] - ends[:, second])
            change = stacked[first] - stacked[second]
            size = np.sqrt(np.nanmean(change.reshape(len(COMPONENTS), -1) ** 2, axis=1))
            found.append(size / max(distance, 1e-12))
    return np.max(found, axis=0)


def _mixed(
    tables: Mapping[str, tuple[xr.Dataset, Mapping[str, float]]],
    stacked: np.ndarray,
    weights: np.ndarray,
) -> xr.Dataset:
    """Mix the tables; garnet is stable where tables of more than half the weight say so."""
    first = next(iter(tables.values()))[0]
    dims = _dims(first)
    present = np.stack(
        [garnet_stable(table).transpose(*dims).to_numpy() for table, _ in tables.values()]
    )
    share = np.einsum("t,t...->...", weights, present.astype(float))
    summed = np.einsum("t,te...->e...", weights, np.where(present[:, None], stacked, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        composition = np.where(share > 0.5, summed / share, np.nan)
    composition /= composition.sum(axis=0)
    mode = sum(
        weight * table["garnet_mode"].transpose(*dims).fillna(0.0)
        for weight, (table, _) in zip(weights, tables.values(), strict=True)
    )
    mixed = {
        f"X_{name}": (dims, values) for name, values in zip(COMPONENTS, composition, strict=True)
    }
    parts = ", ".join(f"{w:.0%} {name}" for w, name in zip(weights, tables, strict=True))
    return xr.Dataset(
        mixed | {"garnet_mode": xr.where(share > 0.5, mode, 0.0)},
        {axis: first[axis] for axis in dims},
        {"title": f"equilibrium garnet of a local bulk: {parts}", "bulk_name": parts},
    )
