"""Mean compositions of many pixels, with what averages out kept apart from what does not.

The error of a pixel has two parts. Counting and the pixel's own fractions are independent from
pixel to pixel: over n pixels their variance falls as 1/n. The calibration is shared: where the
mean fractions are f and the phase compositions have the covariance Cov, it leaves the variance
f' Cov f in the mean of however many pixels.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.phase_maps.map_answers import NORMAL_95, answers_of
from petro_models.phase_maps.regions import checked_region, phase_mask

NEEDED = (
    "composition",
    "composition_sd",
    "phase_fraction",
    "phase_fraction_sd",
    "phase_map",
    "calibration_covariance",
)


def region_mean(
    fit: xr.DataTree,
    region: xr.DataArray | None = None,
    *,
    phase: str | None = None,
    min_pure_probability: float = 0.5,
) -> xr.Dataset:
    """Average the composition maps over a region, every pixel alike.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    region
        Boolean (y, x); by default the whole map. Pixels that no phase explains are left out.
    phase
        Take only pixels of this phase.
    min_pure_probability
        With `phase`: the lowest P(pure) of a pixel.

    Returns
    -------
    xr.Dataset
        ``composition`` (oxide, wt%) with ``composition_sd``, its parts
        ``composition_independent_sd`` and ``composition_shared_sd``, the 90 % equal-tailed
        interval ``composition_low``, ``composition_high``, and ``composition_spread``, the
        standard deviation among the pixels; ``phase_fraction`` and ``phase_fraction_sd`` (phase,
        from the pixels' own errors); ``count`` of pixels.

    Raises
    ------
    DataError
        If the region is no region of this map, or no pixel is left.
    """
    answers = answers_of(fit, *NEEDED)
    chosen = usable_pixels(answers) & checked_region(fit, region).to_numpy()
    if phase is not None:
        chosen &= phase_mask(answers, phase, min_pure_probability)
    rows, columns = np.nonzero(chosen)
    if not len(rows):
        raise DataError(
            "no pixel of the region is left: all are unknown"
            + (f", or no pure {phase}; lower min_pure_probability" if phase else "")
        )
    means = group_means(answers, Groups(rows, columns, np.zeros(len(rows), dtype=int), 1), "region")
    return with_interval(means.isel(region=0))


def usable_pixels(answers: xr.Dataset) -> np.ndarray:
    """Give the pixels that a phase explains and whose composition is known, (y, x).

    Oxides that are known nowhere do not count.
    """
    known = answers["phase_map"].transpose("y", "x").to_numpy() >= 0
    finite = np.isfinite(answers["composition"].transpose("oxide", "y", "x").to_numpy())
    somewhere = finite.any(axis=(1, 2))
    return known & finite[somewhere].all(axis=0)


@dataclass(frozen=True)
class Groups:
    """Pixels sorted into groups: row, column and group number of each, and how many groups."""

    rows: np.ndarray
    columns: np.ndarray
    group: np.ndarray
    number: int

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum values of pixels by group: (..., pixel) to (..., group)."""
        flat = values.reshape(-1, values.shape[-1])
        sums = [np.bincount(self.group, row, minlength=self.number) for row in flat]
        return np.array(sums).reshape(*values.shape[:-1], self.number)

    @property
    def count(self) -> np.ndarray:
        """Give the number of pixels in every group."""
        return np.bincount(self.group, minlength=self.number)

    def take(self, maps: xr.DataArray, dim: str) -> np.ndarray:
        """Take the pixels out of maps (dim, y, x), as floats (dim, pixel); reads only near them."""
        if not len(self.rows):
            return np.zeros((maps.sizes[dim], 0))
        top, left = self.rows.min(), self.columns.min()
        window = maps.isel(y=slice(top, self.rows.max() + 1), x=slice(left, self.columns.max() + 1))
        values = window.transpose(dim, "y", "x").to_numpy()
        return values[:, self.rows - top, self.columns - left].astype(float)


def group_means(answers: xr.Dataset, groups: Groups, dim: str) -> xr.Dataset:
    """Average compositions and fractions within groups of pixels.

    Parameters
    ----------
    answers
        Of a fit, with the variables in `NEEDED`.
    groups
        The pixels.
    dim
        Name of the groups' dim in the answer.

    Returns
    -------
    xr.Dataset
        As `region_mean` gives it without intervals, with the groups' dim first; NaN where a group
        has no pixel.
    """
    composition = groups.take(answers["composition"], "oxide")
    fraction = groups.take(answers["phase_fraction"], "phase")
    fraction_sd = groups.take(answers["phase_fraction_sd"], "phase")
    count = np.where(groups.count > 0, groups.count, np.nan)
    mean = groups.sums(composition) / count
    fractions = groups.sums(fraction) / count
    independent = np.sqrt(groups.sums(independent_variance(answers, groups, fraction))) / count
    shared = np.sqrt(shared_variance(answers, fractions))
    deviation = composition - mean[:, groups.group]
    spread = np.sqrt(groups.sums(deviation**2) / np.where(count > 1, count - 1, np.nan))
    wt_percent = {
        "composition": (mean, "mean composition"),
        "composition_sd": (np.hypot(independent, shared), "sd of the mean composition"),
        "composition_independent_sd": (independent, "sd from the pixels' own errors"),
        "composition_shared_sd": (shared, "sd from the calibration, shared by all pixels"),
        "composition_spread": (spread, "standard deviation among the pixels"),
    }
    fraction_error = np.sqrt(groups.sums(fraction_sd**2)) / count
    shares = {
        "phase_fraction": (fractions, "mean fraction of the phase"),
        "phase_fraction_sd": (fraction_error, "sd of it from the pixels' own errors"),
    }
    variables: dict[str, xr.DataArray] = {}
    for names, other, units in ((wt_percent, "oxide", "wt%"), (shares, "phase", "1")):
        for name, (values, meaning) in names.items():
            attributes = {"units": units, "long_name": meaning}
            variables[name] = xr.DataArray(values.T, dims=(dim, other), attrs=attributes)
    numbers = {"units": "1", "long_name": "number of pixels"}
    variables["count"] = xr.DataArray(groups.count, dims=(dim,), attrs=numbers)
    coords = {name: labels_only(answers, name) for name in ("oxide", "phase")}
    return xr.Dataset(variables, coords=coords)


def labels_only(answers: xr.Dataset, dim: str) -> xr.DataArray:
    """Give the labels along a dim without the coordinates that hang on it."""
    return xr.DataArray(answers[dim].to_numpy(), dims=(dim,))


def independent_variance(answers: xr.Dataset, groups: Groups, fraction: np.ndarray) -> np.ndarray:
    """Give the part of each pixel's variance that no other pixel shares, (oxide, pixel), wt%^2.

    `composition_sd` is the whole error of a pixel unless its attribute ``calibration_included``
    is 0; the calibration's part is taken off.
    """
    variance = groups.take(answers["composition_sd"], "oxide") ** 2
    if int(answers["composition_sd"].attrs.get("calibration_included", 1)):
        variance = variance - shared_variance(answers, fraction)
    return np.maximum(variance, 0.0)


def shared_variance(answers: xr.Dataset, fraction: np.ndarray) -> np.ndarray:
    """Give f' Cov f for every oxide and column of fractions: (phase, n) to (oxide, n), wt%^2."""
    covariance = answers["calibration_covariance"].transpose("oxide", "phase", "phase2").to_numpy()
    variance = [((matrix @ fraction) * fraction).sum(axis=0) for matrix in covariance]
    return np.maximum(variance, 0.0)


def with_interval(means: xr.Dataset) -> xr.Dataset:
    """Add the 90 % equal-tailed interval of a mean composition; nothing is below 0 wt%."""
    reach = NORMAL_95 * means["composition_sd"]
    for name, values in (
        ("composition_low", (means["composition"] - reach).clip(min=0.0)),
        ("composition_high", means["composition"] + reach),
    ):
        end = "lower" if name.endswith("low") else "upper"
        meaning = f"{end} end of the 90 % equal-tailed interval"
        means[name] = values.assign_attrs(units="wt%", long_name=meaning)
    return means
