"""How every classical method states its answer: phase fractions and compositions of each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.ufuncs import isnan

from petro_models.errors import ConfigurationError, DataError
from petro_models.phase_maps.spot_pixels import Array, nearest_pixel

_GREATEST_UNKNOWN_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class ClassicalPhaseMap:
    """The answer of one classical method.

    Attributes
    ----------
    name
        Name of the method.
    fraction
        (phase, y, x): fractions; 0 or 1 from hard labels, probabilities from a classifier.
    composition
        (oxide, y, x) in wt%, or None.
    parameters
        The method's own numbers (centroids, calibration factors).
    note
        What a reader of the numbers must know.
    """

    name: str
    fraction: xr.DataArray
    composition: xr.DataArray | None = None
    parameters: xr.Dataset | None = None
    note: str = ""

    @property
    def labels(self) -> xr.DataArray:
        """(y, x): index of the phase with the greatest fraction."""
        found = self.fraction.argmax("phase").astype(np.int8)
        return found.rename("phase_map").assign_attrs(units="1", long_name="main phase")


def fraction_map(
    values: Array, phases: Sequence[str] | NDArray[np.str_], maps: xr.Dataset, long_name: str
) -> xr.DataArray:
    """Fold a table (pixel, phase) back into a map (phase, y, x)."""
    return xr.DataArray(
        values.T.reshape(-1, maps.sizes["y"], maps.sizes["x"]),
        dims=("phase", "y", "x"),
        coords={"phase": list(phases), "y": maps["y"], "x": maps["x"]},
        attrs={"units": "1", "long_name": long_name},
    )


def spot_composition(
    spots: xr.Dataset,
    labels: xr.DataArray | None = None,
    phases: Sequence[str] = (),
    statistic: str = "mean",
) -> xr.DataArray:
    """Composition of each phase from its spots: the simplest calibration of a phase map.

    Parameters
    ----------
    spots
        Dataset with `wt_percent` (spot, oxide), `phase` (spot) and, with `labels`, `column` and
        `row`.
    labels
        (y, x) index of the phase of each pixel, for spots that carry no label; they take the one
        of the pixel nearest to them.
    phases
        Names that the indices stand for, and the order of the answer; by default the sorted
        labels of the spots.
    statistic
        "mean", or "median" for spots among which some straddle two phases.

    Returns
    -------
    xr.DataArray
        (phase, oxide) in wt%; NaN where no spot of the phase measured the oxide.

    Raises
    ------
    DataError
        No spot has a phase.
    ConfigurationError
        Another statistic.
    """
    if statistic not in ("mean", "median"):
        raise ConfigurationError(f"statistic is {statistic!r}; allowed: 'mean', 'median'")
    phase = spot_phases(spots, labels, phases)
    names = list(phases) or sorted(set(phase) - {""})
    if not set(names) & set(phase):
        raise DataError("no spot has a phase: label them, or give a map of labels.")
    analyses = spots["wt_percent"].transpose("spot", "oxide")
    chosen = [analyses.isel(spot=phase == name) for name in names]
    rows = [getattr(own, statistic)("spot").to_numpy() for own in chosen]
    return xr.DataArray(
        np.array(rows),
        dims=("phase", "oxide"),
        coords={"phase": names, "oxide": spots["oxide"].to_numpy()},
        attrs={"units": "wt%", "long_name": f"{statistic} composition of the phase's spots"},
    )


def spot_phases(
    spots: xr.Dataset, labels: xr.DataArray | None, phases: Sequence[str]
) -> NDArray[np.str_]:
    """Phase of each spot (spot): its own label, else the one of its pixel, else ""."""
    if "phase" in spots:
        phase = spots["phase"].to_numpy().astype(str)
    else:
        phase = np.full(spots.sizes["spot"], "", dtype=str)
    if labels is None:
        return phase
    row, column, inside = nearest_pixel(labels.to_dataset(name="labels"), spots)
    of_pixel = np.array(list(phases), dtype=str)[labels.transpose("y", "x").to_numpy()[row, column]]
    return np.where((phase == "") & inside, of_pixel, phase)


def with_composition(
    answer: ClassicalPhaseMap, phase_composition: xr.DataArray
) -> ClassicalPhaseMap:
    """Give an answer the composition ``sum_k f_k C_k`` of its phases.

    Where phases without an analysis hold more than 1 % of a pixel its composition is NaN.

    Parameters
    ----------
    answer
        Any answer.
    phase_composition
        (phase, oxide) in wt%, as :func:`spot_composition` gives it.
    """
    names = answer.fraction["phase"].to_numpy()
    table = phase_composition.reindex(phase=names).transpose("phase", "oxide")
    unknown = answer.fraction.dot(isnan(table).astype(float), dim="phase")
    total = answer.fraction.dot(table.fillna(0.0), dim="phase")
    composition = total.where(unknown <= _GREATEST_UNKNOWN_SHARE).transpose("oxide", "y", "x")
    composition.attrs = {"units": "wt%", "long_name": "composition"}
    missing = [str(name) for name in names if bool(isnan(table.sel(phase=name)).all())]
    note = f"no analyses of {', '.join(missing)}" if missing else ""
    return replace(
        answer,
        composition=composition.rename("composition"),
        note="; ".join(filter(None, [answer.note, note])),
    )


def compare(answers: Sequence[ClassicalPhaseMap]) -> pd.DataFrame:
    """One table of all methods: area fraction and mean composition of each phase.

    Returns
    -------
    pd.DataFrame
        Columns ``method``, ``phase``, ``area_fraction``, one for each oxide (wt%, mean over the
        pixels whose main phase it is; NaN without composition) and ``note``. The last row of each
        method is the whole map.
    """
    rows = []
    for answer in answers:
        labels = answer.labels
        for k, name in enumerate(answer.fraction["phase"].to_numpy()):
            area = float(answer.fraction.isel(phase=k).mean())
            rows.append(_row(answer, str(name), area, labels == k))
        rows.append(_row(answer, "whole map", 1.0, xr.ones_like(labels, dtype=bool)))
    table = pd.DataFrame(rows)
    return table[[*(name for name in table.columns if name != "note"), "note"]]


def _row(
    answer: ClassicalPhaseMap, phase: str, area: float, pixels: xr.DataArray
) -> dict[str, str | float]:
    """One row of the comparison."""
    row: dict[str, str | float] = {"method": answer.name, "phase": phase, "area_fraction": area}
    if answer.composition is not None:
        mean = answer.composition.where(pixels).mean(("y", "x"))
        row |= {str(name): float(mean.sel(oxide=name)) for name in mean["oxide"].to_numpy()}
    return row | {"note": answer.note}
