"""What qntmap makes of spots: intensities beside the map's, outliers, centroids from peaks."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from petro_models.errors import DataError
from petro_models.phase_maps.spot_pixels import Array, nearest_pixel

Mask = NDArray[np.bool_]


def spot_outliers(maps: xr.Dataset, spots: xr.Dataset, probability: float = 0.99) -> Mask:
    """Spots whose peak does not match the counts of their pixel, in any element (spot,).

    The peak intensity is regressed on the map's through the origin by least absolute deviations.
    Either measurement predicts the other: from the ends of its own 95 % Poisson interval through
    negative binomials with p = 1/2. A spot is out if both predicted bands miss the 95 % interval
    of what was measured.

    Parameters
    ----------
    maps
        As in :func:`~petro_models.phase_maps.qntmap.qntmap`.
    spots
        Likewise, with `peak_time_s` (element) and `spot_current_nA` (spot) too. All of them must
        lie on the map.
    probability
        Mass of the predictive band.
    """
    for name in ("peak_time_s", "spot_current_nA"):
        if name not in spots:
            raise DataError(f"the test for outliers needs spots['{name}'].")
    elements = analysed_elements(maps, spots)
    peak, _, _ = intensities(spots, elements)
    row, column, _ = nearest_pixel(maps, spots)
    shown = maps["counts"].sel(element=elements).transpose("y", "x", "element").to_numpy()
    exposure = np.broadcast_to(exposure_of(maps, elements), peak.shape)
    mapped = shown[row, column] / exposure
    spot_exposure = (
        spots["peak_time_s"].sel(element=elements).to_numpy()
        * spots["spot_current_nA"].to_numpy()[:, None]
        / 1000
    )
    slope = np.array([_median_slope(mapped[:, e], peak[:, e]) for e in range(len(elements))])
    peak_range, map_range = _interval(peak, spot_exposure), _interval(mapped, exposure)
    peak_band = _band(slope * map_range, spot_exposure, probability)
    with np.errstate(divide="ignore", invalid="ignore"):
        map_band = _band(peak_range / slope, exposure, probability)
    out = _apart(peak_range, peak_band) & _apart(map_range, map_band) & (slope > 0)
    return out.any(axis=1)


def usable_spots(maps: xr.Dataset, spots: xr.Dataset) -> tuple[xr.Dataset, int]:
    """Spots with label, place on the map and intensities, and how many are not."""
    for name in ("net_counts_per_s_uA", "background_counts_per_s_uA"):
        if name not in spots:
            raise DataError(
                f"qntmap needs the intensities of the spots, spots['{name}'], which JEOL's .qnt "
                "folders hold; with wt% alone use k_means, gaussian_mixture or poisson_unmixing."
            )
    elements = analysed_elements(maps, spots)
    peak, net, _ = intensities(spots, elements)
    _, _, inside = nearest_pixel(maps, spots)
    usable = inside & (spots["phase"].to_numpy().astype(str) != "")
    usable &= np.isfinite(peak).all(axis=1) & np.isfinite(net).all(axis=1)
    if not usable.any():
        raise DataError("no spot has a phase label, a place on the map and intensities.")
    return spots.isel(spot=usable), int((~usable).sum())


def analysed_elements(maps: xr.Dataset, spots: xr.Dataset) -> list[str]:
    """Elements of the map that the spots measured, in the map's order."""
    analysed = set(spots["cation"].to_numpy().astype(str))
    with_intensity = set(spots["net_counts_per_s_uA"]["element"].to_numpy().astype(str))
    names = [str(name) for name in maps["element"].to_numpy()]
    found = [name for name in names if name in analysed & with_intensity]
    if not found:
        raise DataError(f"none of the map's elements ({', '.join(names)}) has analysed spots.")
    return found


def intensities(spots: xr.Dataset, elements: list[str]) -> tuple[Array, Array, Array]:
    """Peak, net and background intensities (spot, element) in counts/s/uA."""
    net, background = (
        spots[name].sel(element=elements).transpose("spot", "element").to_numpy()
        for name in ("net_counts_per_s_uA", "background_counts_per_s_uA")
    )
    return np.maximum(net + background, 0), np.maximum(net, 0), background


def exposure_of(maps: xr.Dataset, elements: list[str]) -> Array:
    """Dwell time times current (element,) in s uA."""
    exposure = maps["dwell_s"].sel(element=elements) * maps["probe_current_nA"] / 1000
    values = exposure.to_numpy()
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise DataError("qntmap needs the map's dwell_s and probe_current_nA, as positive numbers.")
    return values


def centroids_from_peaks(maps: xr.Dataset, spots: xr.Dataset) -> xr.DataArray:
    """Median peak of each phase's spots, scaled to the map's dwell and current."""
    elements = analysed_elements(maps, spots)
    lacking = sorted(set(maps["element"].to_numpy().astype(str)) - set(elements))
    if lacking:
        raise DataError(
            f"the spots have no intensities of {', '.join(lacking)}: use centroids='map' or give "
            "the centroids."
        )
    peak, _, _ = intensities(spots, elements)
    phase = spots["phase"].to_numpy().astype(str)
    names = sorted(set(phase))
    scaled = peak * exposure_of(maps, elements)
    return xr.DataArray(
        [np.median(scaled[phase == name], axis=0) for name in names],
        dims=("phase", "element"),
        coords={"phase": names, "element": elements},
        attrs={"units": "counts", "long_name": "counts of a pure pixel"},
    )


def _median_slope(x: Array, y: Array) -> float:
    """Slope through the origin of least absolute deviations: a weighted median of y / x."""
    used = x > 0
    if not used.any():
        return 0.0
    ratio, weight = y[used] / x[used], x[used]
    order = np.argsort(ratio)
    below = np.cumsum(weight[order]) / weight.sum()
    return float(ratio[order][np.searchsorted(below, 0.5)])


def _interval(intensity: Array, exposure: Array) -> Array:
    """95 % interval of a Poisson intensity, stacked as (end, spot, element)."""
    counts = np.round(intensity * exposure)
    low = np.where(counts > 0, stats.gamma.ppf(0.025, np.maximum(counts, 1)), 0.0)
    return np.stack([low, stats.gamma.ppf(0.975, counts + 1)]) / exposure


def _band(predicted: Array, exposure: Array, mass: float) -> Array:
    """Predictive band of an intensity from both ends (end, spot, element) of the predictor.

    The predictor is itself a Poisson count, hence the doubled variance of p = 1/2.
    """
    tails = np.array([(1 - mass) / 2, (1 + mass) / 2])[:, None, None]
    expected = np.maximum(predicted * exposure, 1e-9)
    return stats.nbinom.ppf(tails, expected, 0.5) / exposure


def _apart(one: Array, other: Array) -> Mask:
    """Whether two ranges (end, spot, element) have nothing in common."""
    return (one[1] < other[0]) | (one[0] > other[1])
