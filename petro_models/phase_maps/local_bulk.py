"""Modes and bulk composition of a region, weighted by density, with their uncertainty."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy import stats

from petro_models.errors import DataError, nearest
from petro_models.phase_maps.averages import (
    NEEDED,
    Groups,
    independent_variance,
    labels_only,
    usable_pixels,
)
from petro_models.phase_maps.map_answers import (
    NORMAL_95,
    answers_of,
    data_of,
    labels_of,
)
from petro_models.phase_maps.regions import checked_region

Densities = Mapping[str, float] | xr.DataArray


def region_modes(fit: xr.DataTree, region: xr.DataArray | None = None) -> xr.Dataset:
    """Give the area fractions of the phases in a region.

    The pixels' own errors average out; the shared error, of which the map's ``mode_sd`` speaks,
    acts where fractions are uncertain: it is scaled by the region's mean ``phase_fraction_sd``
    over the map's.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    region
        Boolean (y, x); by default the whole map.

    Returns
    -------
    xr.Dataset
        ``mode``, ``mode_sd``, and the 90 % equal-tailed interval ``mode_low``, ``mode_high``
        (phase), as fractions of the explained area; ``unknown_fraction``, the area that no phase
        explains as a fraction of the region; ``count`` of explained pixels.

    Raises
    ------
    DataError
        If the region is no region of this map, or none of its pixels is explained.
    """
    answers = answers_of(fit, *NEEDED, "mode", "mode_sd", "unknown_probability")
    inside = checked_region(fit, region).to_numpy()
    groups = _pixels(inside & usable_pixels(answers))
    mode = groups.take(answers["phase_fraction"], "phase").mean(axis=1)
    error = groups.take(answers["phase_fraction_sd"], "phase")
    sd = np.hypot(_own_mode_sd(error), _shared_mode_sd(answers, error))
    low, high = _share_interval(mode, sd)
    unknown = answers["unknown_probability"].transpose("y", "x").to_numpy()[inside].mean()
    kinds = {
        "mode": (mode, "area fraction"),
        "mode_sd": (sd, "sd of the area fraction"),
        "mode_low": (low, "lower end of the 90 % equal-tailed interval"),
        "mode_high": (high, "upper end of the 90 % equal-tailed interval"),
    }
    variables = {name: _answer(value, "phase", "1", text) for name, (value, text) in kinds.items()}
    variables["unknown_fraction"] = _answer(unknown, None, "1", "area that no phase explains")
    variables["count"] = _answer(len(groups.rows), None, "1", "number of explained pixels")
    return xr.Dataset(variables, coords={"phase": labels_only(answers, "phase")})


def local_bulk(
    fit: xr.DataTree,
    region: xr.DataArray | None = None,
    *,
    density_kg_m3: Densities | None = None,
    density_sd_kg_m3: Densities | None = None,
) -> xr.Dataset:
    """Give the bulk composition of a region: every pixel weighted by its density.

    A pixel's mass of oxide is sum_k f_k rho_k C_k + rho r: its phases at their mean compositions,
    and what its own composition has beyond them (zoning), r, at its mean density. The bulk is the
    sum of these over the sum of rho. Its variance adds four parts, to first order:

    - ``independent``, the pixels' own errors, which average out;
    - ``calibration``, shared: g' Cov g with g the region's mass fractions of the phases;
    - ``mode``, shared errors of the area fractions (see `region_modes`);
    - ``density``, where the densities are given an error.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    region
        Boolean (y, x); by default the whole map. Pixels that no phase explains are left out.
    density_kg_m3
        Density of every phase: a mapping or a DataArray (phase). By default the densities that the
        fit's data state.
    density_sd_kg_m3
        One sigma of each; phases that are not named have none.

    Returns
    -------
    xr.Dataset
        The variables of `region_modes`; ``mass_fraction`` (phase); ``bulk`` (oxide, wt%) with
        ``bulk_sd``, its parts ``bulk_independent_sd``, ``bulk_calibration_sd``, ``bulk_mode_sd``,
        ``bulk_density_sd``, and the 90 % equal-tailed interval ``bulk_low``, ``bulk_high``;
        ``bulk_total`` (wt%); ``density_kg_m3``, the region's mean; ``bulk_shared_error``
        (shared_shape, oxide), what one standard deviation of every error that regions of this map
        share adds to the bulk, wt%: of calibrations, modes and densities.

    Raises
    ------
    DataError
        If a phase has no density, or the region is no region of this map.

    References
    ----------
    Lanari, P. & Engi, M. (2017). Local bulk composition effects on metamorphic mineral assemblages.
    Reviews in Mineralogy and Geochemistry 83, 55-102 (density correction of compositional maps).
    """
    answers = answers_of(fit, *NEEDED, "phase_composition")
    density = _densities(fit, answers, density_kg_m3)
    density_sd = _density_errors(answers, density_sd_kg_m3)
    result = region_modes(fit, region)
    groups = _pixels(checked_region(fit, region).to_numpy() & usable_pixels(answers))
    fraction = groups.take(answers["phase_fraction"], "phase")
    composition = groups.take(answers["composition"], "oxide")
    phase_mean = answers["phase_composition"].transpose("oxide", "phase").to_numpy().astype(float)
    pixel_density = density @ fraction
    beyond = composition - phase_mean @ fraction
    mass = phase_mean @ (density[:, None] * fraction) + beyond * pixel_density
    total_density = pixel_density.sum()
    bulk = mass.sum(axis=1) / total_density
    share = fraction.sum(axis=1) * density / total_density
    # Composition of the phases in this region: their mean and the region's own zoning.
    weighted = fraction * pixel_density
    local = phase_mean + beyond @ weighted.T / np.maximum(weighted.sum(axis=1), 1e-300)
    weight = pixel_density / total_density
    independent = independent_variance(answers, groups, fraction) @ weight**2
    contrast = (local - bulk[:, None]) / pixel_density.mean()
    error = groups.take(answers["phase_fraction_sd"], "phase")
    shapes = {
        "calibration": _calibration_shapes(answers, share),
        "mode": (contrast * density * _shared_mode_sd(answers, error)).T,
        "density": (contrast * fraction.mean(axis=1) * density_sd).T,
    }
    parts = {name: np.sqrt((shape**2).sum(axis=0)) for name, shape in shapes.items()}
    result["mass_fraction"] = _answer(share, "phase", "1", "mass fraction")
    result["density_kg_m3"] = _answer(pixel_density.mean(), None, "kg/m3", "mean density")
    result = result.assign_coords(
        oxide=labels_only(answers, "oxide"),
        shared_shape=[f"{name} {k + 1}" for name, part in shapes.items() for k in range(len(part))],
    )
    result["bulk_shared_error"] = (
        ("shared_shape", "oxide"),
        np.concatenate(list(shapes.values())),
        {"units": "wt%", "long_name": "what one standard deviation of a shared error adds"},
    )
    return _with_bulk(result, bulk, {"independent": np.sqrt(independent), **parts})


def bulk_covariance(bulk: xr.Dataset) -> np.ndarray:
    """Give the covariance of a local bulk's oxides, wt%^2 (oxide, oxide).

    Parameters
    ----------
    bulk
        From `local_bulk`.
    """
    shapes = bulk["bulk_shared_error"].transpose("shared_shape", "oxide").to_numpy()
    return shapes.T @ shapes + np.diag(bulk["bulk_independent_sd"].to_numpy() ** 2)


def _calibration_shapes(answers: xr.Dataset, share: np.ndarray) -> np.ndarray:
    """Give the shapes of the calibration's error: every oxide has as many as there are phases."""
    covariance = answers["calibration_covariance"].transpose("oxide", "phase", "phase2").to_numpy()
    variance, forms = np.linalg.eigh(covariance)
    sizes = np.sqrt(np.maximum(variance, 0.0)) * np.einsum("k,okj->oj", share, forms)
    oxides = len(sizes)
    return (np.eye(oxides)[:, None, :] * sizes[:, :, None]).reshape(-1, oxides)


def _with_bulk(result: xr.Dataset, bulk: np.ndarray, parts: dict[str, np.ndarray]) -> xr.Dataset:
    sd = np.sqrt(sum(part**2 for part in parts.values()))
    result["bulk"] = _answer(bulk, "oxide", "wt%", "density-weighted bulk composition")
    result["bulk_sd"] = _answer(sd, "oxide", "wt%", "sd of the bulk composition")
    for name, part in parts.items():
        result[f"bulk_{name}_sd"] = _answer(part, "oxide", "wt%", f"part of the sd: {name}")
    ends = {
        "low": (np.maximum(bulk - NORMAL_95 * sd, 0.0), "lower"),
        "high": (bulk + NORMAL_95 * sd, "upper"),
    }
    for name, (end, side) in ends.items():
        text = f"{side} end of the 90 % equal-tailed interval"
        result[f"bulk_{name}"] = _answer(end, "oxide", "wt%", text)
    result["bulk_total"] = _answer(bulk.sum(), None, "wt%", "sum of the oxides")
    return result


def _pixels(chosen: np.ndarray) -> Groups:
    rows, columns = np.nonzero(chosen)
    if not len(rows):
        raise DataError("no phase explains any pixel of the region")
    return Groups(rows, columns, np.zeros(len(rows), dtype=int), 1)


def _own_mode_sd(error: np.ndarray) -> np.ndarray:
    """Give the sd of mean fractions from the pixels' own errors: (phase, pixel) to (phase)."""
    return np.sqrt((error**2).sum(axis=1)) / error.shape[1]


def _shared_mode_sd(answers: xr.Dataset, error: np.ndarray) -> np.ndarray:
    """Give the shared sd of a region's modes from the map's, scaled by the fractions' errors."""
    rows, columns = np.nonzero(usable_pixels(answers))
    everywhere = Groups(rows, columns, np.zeros(len(rows), dtype=int), 1).take(
        answers["phase_fraction_sd"], "phase"
    )
    whole = answers["mode_sd"].to_numpy().astype(float)
    shared = np.sqrt(np.maximum(whole**2 - _own_mode_sd(everywhere) ** 2, 0.0))
    typical = everywhere.mean(axis=1)
    return shared * np.divide(
        error.mean(axis=1), typical, out=np.ones_like(typical), where=typical > 0
    )


def _share_interval(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give 90 % equal-tailed intervals of shares: of the Beta with their mean and sd."""
    low, high = mean.copy(), mean.copy()
    usable = (mean > 0) & (mean < 1) & (sd > 0)
    size = np.maximum(mean * (1 - mean) / np.where(usable, sd, 1.0) ** 2 - 1, 1e-3)
    first, second = mean * size, (1 - mean) * size
    low[usable], high[usable] = (
        stats.beta.ppf(level, first[usable], second[usable]) for level in (0.05, 0.95)
    )
    return low, high


def _densities(fit: xr.DataTree, answers: xr.Dataset, given: Densities | None) -> np.ndarray:
    """Give the density of every phase, kg/m3 (phase)."""
    phases = labels_of(answers, "phase")
    if given is None:
        stated = data_of(fit).get("density_kg_m3")
        if stated is None:
            raise DataError(
                f"the data of this fit state no densities: give density_kg_m3={{...}} for "
                f"{', '.join(phases)}"
            )
        given = stated
    values = _by_phase(given, phases, "density_kg_m3", missing=np.nan)
    lacking = [name for name, value in zip(phases, values, strict=True) if not value > 0]
    if lacking:
        raise DataError(
            f"no density is known for {', '.join(lacking)}: give every phase one in density_kg_m3 "
            "(kg/m3, above 0)"
        )
    return values


def _density_errors(answers: xr.Dataset, given: Densities | None) -> np.ndarray:
    phases = labels_of(answers, "phase")
    values = _by_phase(given if given is not None else {}, phases, "density_sd_kg_m3", missing=0.0)
    if not (values >= 0).all():
        raise DataError("density_sd_kg_m3: every standard deviation is a number of 0 or more")
    return values


def _by_phase(given: Densities, phases: list[str], name: str, missing: float) -> np.ndarray:
    if isinstance(given, xr.DataArray):
        labels = map(str, given["phase"].values.tolist())
        given = dict(zip(labels, given.to_numpy().astype(float).tolist(), strict=True))
    for label in given:
        if label not in phases:
            raise DataError(f"{name}: no phase is named '{label}': {nearest(str(label), phases)}")
    return np.array([float(given.get(phase, missing)) for phase in phases])


def _answer(values: object, dim: str | None, units: str, meaning: str) -> xr.DataArray:
    dims = (dim,) if dim else ()
    return xr.DataArray(values, dims=dims, attrs={"units": units, "long_name": meaning})
