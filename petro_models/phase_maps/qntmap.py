"""The estimator of qntmap (Yasumoto et al. 2018), the open program for quantitative EPMA maps.

Steps: dead time; spots that do not match their pixel; centroids; a Poisson classifier of the
pixels; calibration factors alpha, beta, gamma from the spots; composition of every pixel. Written
anew after the paper and the program's documentation, whose example it reproduces to the printed
digits.

References
----------
Yasumoto, A., Yoshida, K., Kuwatani, T., Nakamura, D., Svojtka, M. and Hirajima, T. (2018). A rapid
and precise quantitative electron probe chemical mapping technique and its application to an
ultrahigh-pressure eclogite from the Moldanubian Zone of the Bohemian Massif (Nove Dvory, Czech
Republic). American Mineralogist 103, 1690-1698.
Witten, D. M. (2011). Classification and clustering of sequencing data using a Poisson model.
Annals of Applied Statistics 5, 2493-2518.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from petro_models.errors import ConfigurationError, DataError
from petro_models.phase_maps.answers import ClassicalPhaseMap, fraction_map
from petro_models.phase_maps.qntmap_spots import (
    analysed_elements,
    centroids_from_peaks,
    intensities,
    spot_outliers,
    usable_spots,
)
from petro_models.phase_maps.spot_pixels import (
    Array,
    centroids_from_spots,
    matching_centroids,
    nearest_pixel,
    pixel_counts,
)

POWERS = np.linspace(0.01, 1, 50)
"""Exponents tried in the transform that makes the counts Poisson (Witten 2011, section 2.4)."""


def qntmap(
    maps: xr.Dataset,
    spots: xr.Dataset,
    centroids: str | xr.DataArray = "peaks",
    least_membership: float = 0.9,
    weights: str = "membership",
) -> ClassicalPhaseMap:
    """Estimate phases and compositions of a map with qntmap's method.

    The composition of pixel i is ``C_ie = (sum_k p_ik alpha_ke) beta_e I_ie - sum_k p_ik alpha_ke
    gamma_ke``, set to 0 where negative: I counts, p membership, alpha wt% per net intensity of the
    spots of phase k, beta spot intensity per count of the map, gamma background intensity.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x), `dwell_s` (element), `probe_current_nA`; counts are
        corrected where `dead_time_ns` is known.
    spots
        Dataset with `wt_percent` (spot, oxide; coordinate `cation`), `phase`, `column`, `row`,
        `net_counts_per_s_uA`, `background_counts_per_s_uA` (spot, element).
    centroids
        "peaks" scales the spots' peak intensities to the map (median over the spots of a phase);
        "map" takes the medians of the map at those spots whose peaks match their pixel, as the
        program's article "Get started with qntmap" shows (it needs the outlier test's
        `peak_time_s` and `spot_current_nA`); or the counts themselves (phase, element).
    least_membership
        Spots whose pixel belongs to their phase with less than this do not count in beta.
    weights
        Of the other spots in beta: "membership", which reproduces the article, or "equal" (which
        changes its example by 3e-7).

    Returns
    -------
    ClassicalPhaseMap
        `fraction` holds memberships, which are not the fractions of a mixed pixel; `parameters`
        the `centroids` (phase, element), `alpha`, `gamma` (phase, oxide), `beta` (oxide) and the
        `power` of the transform.

    Raises
    ------
    DataError
        Intensities, dwell time or current that are missing, or no usable labelled spot.
    """
    maps = maps.assign(counts=correct_dead_time(maps))
    spots, dropped = usable_spots(maps, spots)
    if not isinstance(centroids, str):
        start = matching_centroids(maps, centroids)
    elif centroids == "peaks":
        start = centroids_from_peaks(maps, spots)
    elif centroids == "map":
        start = centroids_from_spots(maps, spots.isel(spot=~spot_outliers(maps, spots)))
    else:
        raise ConfigurationError(f"centroids is {centroids!r}; allowed: 'peaks', 'map', counts")
    if weights not in ("membership", "equal"):
        raise ConfigurationError(f"weights is {weights!r}; allowed: 'membership', 'equal'")
    counts = pixel_counts(maps)
    membership, power = poisson_membership(counts, start.to_numpy())
    phases = start["phase"].to_numpy().astype(str)
    factors = _calibrate(maps, spots, membership, phases, least_membership, weights == "equal")
    composition = _composition(maps, counts, membership, factors)
    parameters = factors.assign(centroids=start, power=((), power, {"units": "1"}))
    note = "memberships, not fractions"
    if dropped:
        note += f"; {dropped} spots without label, place on the map or intensities left out"
    fraction = fraction_map(membership, phases, maps, "membership of the phase")
    return ClassicalPhaseMap("qntmap", fraction, composition, parameters, note)


def correct_dead_time(maps: xr.Dataset) -> xr.DataArray:
    """Counts without the losses of a non-extending dead time: ``n / (1 - n tau / t)``.

    Elements whose `dead_time_ns` is not known (NaN) or 0 stay as they are.

    Raises
    ------
    DataError
        Counts that such a detector cannot give in its dwell time, or a dead time without dwell.
    """
    counts = maps["counts"]
    if "dead_time_ns" not in maps:
        return counts
    dead = maps["dead_time_ns"].fillna(0.0)
    if bool((dead == 0).all()):
        return counts
    lost = counts * (dead * 1e-9 / maps["dwell_s"]).where(dead > 0, 0.0)
    if not bool((lost < 1).all()):
        bad = counts["element"].to_numpy()[~(lost < 1).all(("y", "x")).to_numpy()]
        raise DataError(
            f"dead time of {', '.join(map(str, bad))}: the detector would be blind for the whole "
            "dwell time. Check dead_time_ns and dwell_s."
        )
    return (counts / (1 - lost)).transpose(*counts.dims).assign_attrs(counts.attrs)


def poisson_membership(counts: Array, centroids: Array) -> tuple[Array, float]:
    """Classify pixels with the Poisson classifier of Witten (2011), trained on hard labels.

    Hard labels are the nearest centroid in counts. With X = counts ** power and the null model
    ``N_ie = X_i. X_.e / X_..`` the phases have ``d_ke = (sum_{i in k} X_ie + 1) / (sum_{i in k}
    N_ie + 1)`` and a pixel the discriminant ``sum_e X_ie ln d_ke - N_ie d_ke``; memberships are
    its softmax.

    Parameters
    ----------
    counts
        (pixel, element), >= 0.
    centroids
        (phase, element).

    Returns
    -------
    Memberships (pixel, phase), and the power of the transform.
    """
    distance = (centroids**2).sum(axis=1) - 2 * counts @ centroids.T
    labels = distance.argmin(axis=1)
    power = _best_power(counts)
    transformed = counts**power
    expected = _null_model(transformed)
    own = np.eye(len(centroids))[labels].T
    excess = (own @ transformed + 1) / (own @ expected + 1)
    discriminant = transformed @ np.log(excess).T - expected @ excess.T
    membership = np.exp(discriminant - discriminant.max(axis=1, keepdims=True))
    return membership / membership.sum(axis=1, keepdims=True), power


def _best_power(counts: Array) -> float:
    """Power whose Pearson statistic against the null model is nearest to its expectation."""
    freedom = (len(counts) - 1) * (counts.shape[1] - 1)
    misfits = []
    for power in POWERS:
        transformed = counts**power
        expected = _null_model(transformed)
        with np.errstate(divide="ignore", invalid="ignore"):
            pearson = (transformed - expected) ** 2 / expected
        misfits.append(abs(np.nansum(pearson) - freedom))
    return float(POWERS[np.argmin(misfits)])


def _null_model(counts: Array) -> Array:
    """Expected counts (pixel, element) if all pixels had one composition."""
    return np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()


@dataclass(frozen=True)
class _Calibration:
    """Arrays of labelled spots: intensities (spot, element), analyses (spot, element)."""

    peak: Array
    net: Array
    background: Array
    wt_percent: Array


def _calibrate(
    maps: xr.Dataset,
    spots: xr.Dataset,
    membership: Array,
    phases: NDArray[np.str_],
    least_membership: float,
    equal_weights: bool,
) -> xr.Dataset:
    """Factors alpha, gamma (phase, oxide) and beta (oxide) from the spots."""
    elements = analysed_elements(maps, spots)
    cations = spots["cation"].to_numpy().astype(str)
    oxides = [str(spots["oxide"].to_numpy()[cations == name][0]) for name in elements]
    measured = _Calibration(
        *intensities(spots, elements),
        spots["wt_percent"].sel(oxide=oxides).transpose("spot", "oxide").to_numpy(),
    )
    phase = spots["phase"].to_numpy().astype(str)
    alpha, gamma = _alpha_gamma(measured, phase, phases)
    row, column, _ = nearest_pixel(maps, spots)
    pixel = row * maps.sizes["x"] + column
    own = membership[pixel]
    agrees = phases[own.argmax(axis=1)] == phase
    weight = np.where(agrees & (own.max(axis=1) > least_membership), own.max(axis=1), 0.0)
    if not weight.any():
        raise DataError("no spot lies in a pixel that is classified as the spot's phase.")
    if equal_weights:
        weight = (weight > 0).astype(float)
    shown = maps["counts"].sel(element=elements).transpose("y", "x", "element").to_numpy()
    beta = _slope(shown[row, column], measured.peak, weight[:, None])
    return xr.Dataset(
        {
            "alpha": (("phase", "oxide"), alpha, {"units": "wt% s uA"}),
            "beta": ("oxide", beta, {"units": "1 / (s uA)"}),
            "gamma": (("phase", "oxide"), gamma, {"units": "counts / (s uA)"}),
        },
        coords={"phase": phases, "oxide": oxides, "mapped_element": ("oxide", elements)},
    )


def _alpha_gamma(
    measured: _Calibration, phase: NDArray[np.str_], phases: NDArray[np.str_]
) -> tuple[Array, Array]:
    """Slope of wt% on net intensity, and mean background, of each phase.

    Where the spots of a phase determine no slope (none measured, or all net intensities 0) that
    of all spots stands in; so does their background for a phase without spots.
    """
    shape = (len(phases), measured.net.shape[1])
    alpha, gamma = np.empty(shape), np.empty(shape)
    for k, name in enumerate(phases):
        own = phase == name
        alpha[k] = _slope(measured.net[own], measured.wt_percent[own])
        gamma[k] = measured.background[own if own.any() else slice(None)].mean(axis=0)
    pooled = _slope(measured.net, measured.wt_percent)
    return np.where(np.isfinite(alpha), alpha, pooled), gamma


def _slope(x: Array, y: Array, weight: Array | float = 1.0) -> Array:
    """Least-squares slopes through the origin, column by column; NaN where x is all 0."""
    known = np.isfinite(y)
    weighted = np.where(known, weight, 0.0) * x
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weighted * np.where(known, y, 0.0)).sum(axis=0) / (weighted * x).sum(axis=0)


def _composition(
    maps: xr.Dataset, counts: Array, membership: Array, factors: xr.Dataset
) -> xr.DataArray:
    """Composition (oxide, y, x) in wt%."""
    alpha = factors["alpha"].to_numpy()
    names = list(maps["element"].to_numpy().astype(str))
    columns = [names.index(name) for name in factors["mapped_element"].to_numpy()]
    intensity = counts[:, columns] * factors["beta"].to_numpy()
    background = alpha * factors["gamma"].to_numpy()
    values = np.maximum((membership @ alpha) * intensity - membership @ background, 0)
    return xr.DataArray(
        values.T.reshape(-1, maps.sizes["y"], maps.sizes["x"]),
        dims=("oxide", "y", "x"),
        coords={"oxide": factors["oxide"].to_numpy(), "y": maps["y"], "x": maps["x"]},
        name="composition",
        attrs={"units": "wt%", "long_name": "composition"},
    )
