"""A validated mass table as the arrays that the model and the exact engine need."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from petro_models.mass_transfer.schema import SHARED
from petro_models.priors import Priors


@dataclass(frozen=True)
class Analyses:
    """Log concentrations of a set of analyses; every array is (element, analysis).

    Attributes
    ----------
    value
        ln C; ln of the detection limit below it; the protolith's ln C where missing.
    error
        Standard deviation of ln C from analysis; 0 where none is stated.
    floor
        ln of the detection limit where the cell is below it, else -inf.
    measured
        1 where the cell carries information, 0 where it is missing.
    """

    value: np.ndarray
    error: np.ndarray
    floor: np.ndarray
    measured: np.ndarray

    @property
    def any_below_detection(self) -> bool:
        """Whether any cell is below its detection limit."""
        return bool(np.isfinite(self.floor).any())


@dataclass(frozen=True)
class LogTable:
    """The mass table on logarithms.

    Attributes
    ----------
    coords
        Labels of the dims element, sample, protolith.
    reference
        ln C0 of each element: mean over the protolith's analyses (limits count as values).
    altered, protolith
        The analyses.
    shared, protolith_shared
        What one standard deviation of every shared error adds to ln C, (shared_shape, element,
        analysis); no shapes where analyses share nothing.
    separation
        Distance between samples, (sample, sample); zeros without a distance.
    same_profile
        1 where two samples belong to one traverse or well, (sample, sample).
    """

    coords: dict[str, list[str]]
    reference: np.ndarray
    altered: Analyses
    protolith: Analyses
    shared: np.ndarray
    protolith_shared: np.ndarray
    separation: np.ndarray
    same_profile: np.ndarray

    @property
    def has_shared_error(self) -> bool:
        """Whether analyses share an error, as those of one calibration do."""
        return len(self.shared) > 0

    @property
    def n_samples(self) -> int:
        """Number of altered samples."""
        return len(self.coords["sample"])

    @property
    def n_protolith(self) -> tuple[int]:
        """Shape of one value per protolith analysis."""
        return (len(self.coords["protolith"]),)

    @property
    def log_ratio(self) -> np.ndarray:
        """R = ln(C / C0), dims (element, sample); NaN where missing or below detection."""
        usable = (self.altered.measured == 1) & ~np.isfinite(self.altered.floor)
        return np.where(usable, self.altered.value - self.reference[:, None], np.nan)

    @property
    def protolith_has_information(self) -> bool:
        """Whether the protolith's analyses say how far they may lie from its true mean."""
        return len(self.coords["protolith"]) > 1 or bool((self.protolith.error > 0).any())

    def protolith_is_uncertain(self, priors: Priors) -> bool:
        """Tell whether the protolith's analyses enter as data rather than as exact values."""
        spread_is_zero = priors.is_known("protolith_spread") and bool(
            (priors.known("protolith_spread") == 0).any()
        )
        exact = spread_is_zero and bool((self.protolith.error == 0).any())
        return self.protolith_has_information and not exact


def log_table(table: xr.Dataset) -> LogTable:
    """Put a validated mass table on logarithms."""
    protolith = _analyses(table, "protolith_", np.zeros(table.sizes["element"]))
    weight = protolith.measured
    reference = (weight * protolith.value).sum(axis=1) / weight.sum(axis=1)
    filled = np.where(weight == 1, protolith.value, reference[:, None])
    names = table.coords["profile"].values if "profile" in table.coords else None
    n = table.sizes["sample"]
    distance = table["distance"].to_numpy() if "distance" in table else np.zeros(n)
    return LogTable(
        coords={
            dim: [str(label) for label in table.coords[dim].values]
            for dim in ("element", "sample", "protolith", "shared_shape")
            if dim in table.dims
        },
        reference=reference,
        altered=_analyses(table, "", reference),
        protolith=replace(protolith, value=filled),
        shared=_shared(table, "sample"),
        protolith_shared=_shared(table, "protolith"),
        separation=np.abs(distance[:, None] - distance[None, :]),
        same_profile=np.ones((n, n))
        if names is None
        else (names[:, None] == names[None, :]).astype(float),
    )


def _shared(table: xr.Dataset, dim: str) -> np.ndarray:
    """Take the shapes of shared errors, (shared_shape, element, analysis)."""
    name = SHARED[dim == "protolith"]
    if name not in table:
        return np.empty((0, table.sizes["element"], table.sizes[dim]))
    return table[name].transpose("shared_shape", "element", dim).to_numpy()


def _analyses(table: xr.Dataset, prefix: str, fill: np.ndarray) -> Analyses:
    concentration, limit, error = (
        table[prefix + name].to_numpy().T
        for name in ("concentration", "detection_limit", "relative_error")
    )
    below = np.isfinite(limit)
    measured = (np.isfinite(concentration) | below).astype(float)
    with np.errstate(invalid="ignore"):
        value = np.log(np.where(below, limit, concentration))
    return Analyses(
        value=np.where(measured == 1, value, fill[:, None]),
        error=np.where(np.isfinite(error), error, 0.0),
        floor=np.where(below, value, -np.inf),
        measured=measured,
    )
