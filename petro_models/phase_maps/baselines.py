"""The methods in use today run on the data of a fit, for the table in its report."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from petro_models.errors import DataError, FitError
from petro_models.phase_maps import classical
from petro_models.phase_maps.classical import ClassicalPhaseMap
from petro_models.phase_maps.inputs import INTENSITIES
from petro_models.phase_maps.map_answers import labels_of
from petro_models.phase_maps.spot_pixels import nearest_pixel
from petro_models.phase_maps.spot_predictors import predict_single_pixel
from petro_models.phase_maps.unmixing import unmix_poisson

PIXELS_UNMIXED = 40_000
PIXELS_IN_MIXTURE = 20_000


@dataclass(frozen=True)
class Baseline:
    """What one method says.

    Attributes
    ----------
    name
        Of the method.
    mode
        Area fractions (phase,); NaN where it gives none.
    spot
        Its composition at the spots (spot, oxide) in wt%; None where it gives none.
    note
        What a reader must know.
    """

    name: str
    mode: np.ndarray
    spot: np.ndarray | None = None
    note: str = ""


def run_baselines(data: xr.Dataset, seed: int = 0) -> list[Baseline]:
    """Run k-means, Gaussian mixture, Poisson unmixing, single pixels and qntmap.

    All start from the same rough counts of the phases as the fit did, and take the spots where the
    whole-pixel registration puts them.

    Parameters
    ----------
    data
        Of the problem.
    seed
        Of the pixels that stand for a large map.
    """
    maps, spots = maps_of(data), spots_of(data)
    centroids = data["first_intensity"]
    hard = classical.k_means(maps, centroids)
    found: list[Baseline] = [
        _baseline(hard, maps, spots),
        _baseline(classical.gaussian_mixture(maps, centroids, PIXELS_IN_MIXTURE), maps, spots),
        _unmixed(maps, centroids, hard.labels, spots, seed),
    ]
    none = np.full(data.sizes["phase"], np.nan)
    if spots is not None:
        predicted = predict_single_pixel(maps, hard.labels, spots, spots)
        note = "wt% per count of each k-means cluster, in the spot's pixel"
        values = predicted.sel(oxide=data["oxide"].to_numpy()).to_numpy()
        found.append(Baseline("single pixel, phase by phase", none, values, note))
    found.append(_tried("qntmap", lambda: _qntmap(maps, spots, data), none))
    return found


def maps_of(data: xr.Dataset) -> xr.Dataset:
    """Take the maps out of a problem's data."""
    names = ("counts", "dwell_s", "dead_time_ns", "probe_current_nA", "step_um")
    return xr.Dataset({name: data[name] for name in names})


def spots_of(data: xr.Dataset) -> xr.Dataset | None:
    """Take the spots out of a problem's data, moved by the whole-pixel registration."""
    if "spot_label" not in data:
        return None
    shift = data["first_shift"].to_numpy()
    spots = xr.Dataset(
        {
            "wt_percent": data["wt_percent"].transpose("spot", "oxide"),
            "column": data["spot_column"] + shift[0],
            "row": data["spot_row"] + shift[1],
            "phase": data["spot_label"],
        }
    ).assign_coords(cation=("oxide", data["cation"].to_numpy()))
    for name in INTENSITIES:
        if f"spot_{name}" in data:
            spots[name] = data[f"spot_{name}"].dropna("element", how="all")
    return spots


def _baseline(answer: ClassicalPhaseMap, maps: xr.Dataset, spots: xr.Dataset | None) -> Baseline:
    mode = answer.fraction.mean(("y", "x")).to_numpy()
    if spots is None:
        return Baseline(answer.name, mode, note=answer.note)
    if answer.composition is None:
        phases = labels_of(answer.fraction.to_dataset(name="f"), "phase")
        table = classical.spot_composition(spots, answer.labels, phases, "median")
        row, column, inside = nearest_pixel(maps, spots)
        share = answer.fraction.to_numpy()[:, row, column].T
        return Baseline(answer.name, mode, _mixed(share, table, inside), answer.note)
    row, column, inside = nearest_pixel(maps, spots)
    shown = answer.composition.reindex(oxide=spots["oxide"].to_numpy())
    values = shown.transpose("oxide", "y", "x").to_numpy()[:, row, column].T
    return Baseline(answer.name, mode, np.where(inside[:, None], values, np.nan), answer.note)


def _mixed(share: np.ndarray, table: xr.DataArray, inside: np.ndarray) -> np.ndarray:
    """Give ``sum_k f_k C_k`` at the spots; NaN where a phase without analyses takes part."""
    composition = table.to_numpy()
    unknown = share @ np.isnan(composition).astype(float)
    values = share @ np.nan_to_num(composition)
    return np.where((unknown < 0.01) & inside[:, None], values, np.nan)


def _unmixed(
    maps: xr.Dataset,
    centroids: xr.DataArray,
    labels: xr.DataArray,
    spots: xr.Dataset | None,
    seed: int,
) -> Baseline:
    """Unmix a sample of the pixels for the modes, and the spots' own."""
    counts = maps["counts"].to_numpy()
    flat = counts.reshape(len(counts), -1).T.astype(float)
    chosen = np.random.default_rng(seed).permutation(len(flat))[:PIXELS_UNMIXED]
    members = centroids.transpose("phase", "element").to_numpy()
    note = f"of {len(chosen):,} pixels drawn at random" if len(chosen) < len(flat) else ""
    mode = unmix_poisson(flat[chosen], members).mean(axis=0)
    if spots is None:
        return Baseline("Poisson unmixing", mode, note=note)
    row, column, inside = nearest_pixel(maps, spots)
    share = unmix_poisson(counts[:, row, column].T.astype(float), members)
    phases = labels_of(centroids.to_dataset(name="c"), "phase")
    table = classical.spot_composition(spots, labels, phases, "median")
    return Baseline("Poisson unmixing", mode, _mixed(share, table, inside), note)


def _qntmap(maps: xr.Dataset, spots: xr.Dataset | None, data: xr.Dataset) -> Baseline:
    if spots is None:
        raise DataError("needs spots with intensities")
    answer = classical.qntmap(maps, spots)
    found = _baseline(answer, maps, spots)
    named = xr.DataArray(found.mode, coords={"phase": answer.fraction["phase"].to_numpy()})
    return replace(found, mode=named.reindex(phase=data["phase"].to_numpy()).to_numpy())


def _tried(name: str, run: Callable[[], Baseline], none: np.ndarray) -> Baseline:
    """Run a method, or say why it cannot be."""
    try:
        return run()
    except (DataError, FitError) as error:
        return Baseline(name, none, note=f"not run: {error}")
