"""What people use today to turn X-ray counts into phase maps, as baselines in the same table.

Every method takes counts and the centroids of named phases, and gives a
:class:`~petro_models.phase_maps.answers.ClassicalPhaseMap`: one fraction per phase and pixel and,
with analyses of the phases, a composition. k-means says one phase a pixel; the Gaussian mixture
and qntmap say probabilities that a pixel is a phase, which are *not* the fractions of a mixed
pixel; unmixing says fractions.
"""

import warnings

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from petro_models.phase_maps.answers import (
    ClassicalPhaseMap,
    compare,
    fraction_map,
    spot_composition,
    with_composition,
)
from petro_models.phase_maps.qntmap import qntmap
from petro_models.phase_maps.spot_pixels import (
    Array,
    centroids_from_seeds,
    centroids_from_spots,
    matching_centroids,
    pixel_counts,
)
from petro_models.phase_maps.unmixing import poisson_deviance, unmix_poisson

__all__ = [
    "ClassicalPhaseMap",
    "centroids_from_seeds",
    "centroids_from_spots",
    "compare",
    "gaussian_mixture",
    "k_means",
    "nearest_centroid",
    "poisson_unmixing",
    "qntmap",
    "spot_composition",
    "with_composition",
]


def nearest_centroid(maps: xr.Dataset, centroids: xr.DataArray) -> ClassicalPhaseMap:
    """Each pixel is the phase whose counts are nearest in units of counting noise.

    Distances are those of the Anscombe (1948) transform ``2 sqrt(n + 3/8)``, whose noise is one
    for every element, so that no element outweighs another by being bright.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    centroids
        (phase, element) counts of a pure pixel.
    """
    centroids = matching_centroids(maps, centroids)
    pixels, centres = _anscombe(pixel_counts(maps)), _anscombe(centroids.to_numpy())
    # |a - b|^2 without its a^2: the same for every phase
    closeness = pixels @ centres.T - 0.5 * (centres**2).sum(axis=1)
    return _hard_answer("nearest centroid", closeness.argmax(axis=1), centroids, maps)


def k_means(maps: xr.Dataset, centroids: xr.DataArray) -> ClassicalPhaseMap:
    """k-means started at the phases' centroids, so that clusters keep the phases' names.

    The counts are Anscombe-transformed, see :func:`nearest_centroid`. Nothing is random.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    centroids
        (phase, element) counts at which the clusters start.

    Returns
    -------
    ClassicalPhaseMap
        Fractions 0 or 1; `parameters` holds the final `centroids` (phase, element) in counts.
    """
    centroids = matching_centroids(maps, centroids)
    start = _anscombe(centroids.to_numpy())
    pixels = _anscombe(pixel_counts(maps))
    found = KMeans(len(start), init=start, n_init=1, max_iter=300).fit(pixels)
    return _hard_answer("k-means", found.labels_, centroids, maps, _back(found.cluster_centers_))


def gaussian_mixture(
    maps: xr.Dataset,
    centroids: xr.DataArray,
    pixels_in_fit: int = 50_000,
    most_iterations: int = 300,
    seed: int = 0,
) -> ClassicalPhaseMap:
    """Gaussian mixture with one full covariance per phase, started from k-means.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x); they are Anscombe-transformed.
    centroids
        (phase, element) counts at which k-means starts.
    pixels_in_fit
        Pixels, chosen at random, that the mixture is fitted to; every pixel is then classified.
    most_iterations
        Steps of expectation-maximisation; if they do not suffice the note says so.
    seed
        Of the choice of pixels.

    Returns
    -------
    ClassicalPhaseMap
        `fraction` holds the probabilities of the phases; `parameters` the `centroids` (phase,
        element) and the `weight` (phase).
    """
    start = k_means(maps, centroids)
    pixels = _anscombe(pixel_counts(maps))
    labels = start.labels.to_numpy().ravel()
    phases = start.fraction["phase"].to_numpy()
    weight, mean, precision = _moments(pixels, labels, len(phases))
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:pixels_in_fit]
    mixture = GaussianMixture(
        len(phases),
        max_iter=most_iterations,
        reg_covar=_LEAST_VARIANCE,
        weights_init=weight,
        means_init=mean,
        precisions_init=precision,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # told in the note instead
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(pixels[chosen])
    note = "probabilities, not fractions"
    if not mixture.converged_:
        note += f"; not converged in {most_iterations} iterations"
    parameters = xr.Dataset(
        {
            "centroids": (("phase", "element"), _back(mixture.means_), {"units": "counts"}),
            "weight": ("phase", mixture.weights_, {"units": "1"}),
        },
        coords={"phase": phases, "element": maps["element"].to_numpy()},
    )
    return ClassicalPhaseMap(
        "Gaussian mixture",
        fraction_map(mixture.predict_proba(pixels), phases, maps, "probability of the phase"),
        parameters=parameters,
        note=note,
    )


def poisson_unmixing(
    maps: xr.Dataset, centroids: xr.DataArray, floor_counts: float = 0.1
) -> ClassicalPhaseMap:
    """Fractions of the phases that make the counts of each pixel most likely.

    Independent Poisson counts with mean ``sum_k f_k mu_ke``; the centroids are taken as exact.
    See :func:`~petro_models.phase_maps.unmixing.unmix_poisson`.

    Parameters
    ----------
    maps
        Dataset with `counts` (element, y, x).
    centroids
        (phase, element) expected counts of a pure pixel.
    floor_counts
        Least expected counts of any phase in any element.

    Returns
    -------
    ClassicalPhaseMap
        Fractions that sum to 1; `parameters` holds the `centroids` and the `deviance` (y, x),
        about the number of elements where the phases explain the pixel.
    """
    centroids = matching_centroids(maps, centroids)
    counts, members = pixel_counts(maps), np.maximum(centroids.to_numpy(), floor_counts)
    fractions = unmix_poisson(counts, members, floor_counts)
    deviance = poisson_deviance(counts, members, fractions).reshape(maps.sizes["y"], -1)
    phases = centroids["phase"].to_numpy()
    parameters = xr.Dataset(
        {
            "centroids": (("phase", "element"), members, {"units": "counts"}),
            "deviance": (("y", "x"), deviance, {"units": "1", "long_name": "Poisson deviance"}),
        },
        coords={
            "phase": phases,
            "element": maps["element"].to_numpy(),
            "y": maps["y"],
            "x": maps["x"],
        },
    )
    fraction = fraction_map(fractions, phases, maps, "fraction of the phase")
    return ClassicalPhaseMap("Poisson unmixing", fraction, parameters=parameters)


_LEAST_VARIANCE = 0.05
"""Added to the variances of a cluster (counting noise is 1), so that a phase of constant counts,
such as zeros of an absent element, does not collapse to a spike."""


def _hard_answer(
    name: str,
    labels: NDArray[np.int64],
    centroids: xr.DataArray,
    maps: xr.Dataset,
    final: Array | None = None,
) -> ClassicalPhaseMap:
    """State hard labels as fractions 0 or 1."""
    phases = centroids["phase"].to_numpy()
    fraction = np.eye(len(phases))[labels]
    return ClassicalPhaseMap(
        name,
        fraction_map(fraction, phases, maps, "1 where the pixel is of the phase"),
        parameters=xr.Dataset(
            {"centroids": centroids.copy(data=centroids if final is None else final)}
        ),
        note="one phase per pixel",
    )


def _moments(pixels: Array, labels: NDArray[np.int8], count: int) -> tuple[Array, Array, Array]:
    """Weight, mean and precision of each cluster; an empty cluster gets those of all pixels."""
    weight, mean, precision = [], [], []
    for k in range(count):
        own = pixels[labels == k]
        if len(own) < 2 * pixels.shape[1]:
            own = pixels
        covariance = np.cov(own.T, ddof=0).reshape(pixels.shape[1], -1)
        weight.append(max((labels == k).mean(), 1 / len(pixels)))
        mean.append(own.mean(axis=0))
        precision.append(np.linalg.inv(covariance + _LEAST_VARIANCE * np.eye(pixels.shape[1])))
    return np.array(weight) / sum(weight), np.array(mean), np.array(precision)


def _anscombe(counts: Array) -> Array:
    """Transform Poisson counts to unit variance (Anscombe 1948, Biometrika 35, 246-254)."""
    return 2 * np.sqrt(counts + 0.375)


def _back(transformed: Array) -> Array:
    """Counts that the transform takes to these values (no bias correction)."""
    return np.maximum((transformed / 2) ** 2 - 0.375, 0)
