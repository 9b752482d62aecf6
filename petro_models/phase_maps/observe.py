"""Choosing what the model sees of a map: a stratified part of its pixels, and every spot."""

import numpy as np
import xarray as xr

from petro_models.phase_maps.anchors import Anchors, class_probabilities
from petro_models.phase_maps.cells import Cells
from petro_models.phase_maps.observations import (
    Observations,
    anchors_of,
    cells_of,
    dead_share_of,
    flat_counts,
)
from petro_models.phase_maps.rough_calibration import (
    rough_calibration,
    rough_compositions,
    scatter_at_least,
)
from petro_models.phase_maps.spot_surroundings import spots_of

FEWEST_OF_A_CLASS = 300


def observe(data: xr.Dataset, options: dict[str, str], seed: int = 0) -> Observations:
    """Choose pixels, cut the spots' surroundings and find rough calibrations.

    Parameters
    ----------
    data
        As `inputs.merge_inputs` and `with_anchors` made it.
    options
        The problem's options.
    seed
        Of the choice of pixels.

    Raises
    ------
    DataError
        If an element's counts cannot be calibrated.
    """
    cells, anchors, dead_share = cells_of(data, options), anchors_of(data), dead_share_of(data)
    pixel, weight = _stratified(data, cells, anchors, dead_share, int(options["pixels"]), seed)
    elements = [str(e) for e in data["element"].to_numpy()]
    element_of_oxide = np.array([elements.index(str(c)) for c in data["cation"].to_numpy()])
    spots = spots_of(data, len(element_of_oxide), cells, anchors)
    composition, scatter = rough_compositions(data, cells, anchors, dead_share, spots)
    sensitivity, background = rough_calibration(
        anchors.intensity[:, element_of_oxide], composition, data["oxide"].to_numpy()
    )
    missing = np.isnan(composition)
    predicted = (anchors.intensity[:, element_of_oxide] - background) / sensitivity
    composition = np.where(missing, np.maximum(predicted, 0.0), composition)
    coords = {
        "phase": list(cells.phases),
        "element": elements,
        "oxide": [str(o) for o in data["oxide"].to_numpy()],
        "axis_name": [str(a) for a in data["axis_name"].to_numpy()],
        "pixel_class": cells.classes,
        "direction": ["column", "row"],
        "pixel": [str(p) for p in pixel],
        "spot": [str(s) for s in data["spot"].to_numpy()] if "spot" in data.coords else [],
    }
    return Observations(
        coords=coords,
        cells=cells,
        anchors=anchors,
        dead_share=dead_share,
        counts=flat_counts(data)[pixel].astype(float),
        weight=weight,
        pixel=pixel,
        element_of_oxide=element_of_oxide,
        sensitivity=sensitivity,
        background=background,
        composition=composition,
        scatter=scatter_at_least(scatter, composition),
        known_composition=data["formula_wt_percent"].to_numpy(),
        **spots,
    )


def _stratified(
    data: xr.Dataset,
    cells: Cells,
    anchors: Anchors,
    dead_share: np.ndarray,
    count: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose pixels so that rare classes are seen; give them and their importance, mean 1.

    The importances make the chosen pixels stand for the map's proportions without counting for
    more pixels than they are: more would buy false precision where the model is not exact.
    """
    generator = np.random.default_rng(seed)
    counts = flat_counts(data)
    pool = generator.choice(len(counts), min(len(counts), 12 * count), replace=False)
    probability = class_probabilities(anchors, cells, dead_share, counts[pool])
    stratum = np.minimum(probability.argmax(axis=1), len(cells.phases) + len(cells.pairs))
    names, sizes = np.unique(stratum, return_counts=True)
    share = count * sizes / sizes.sum()
    wanted = np.minimum(sizes, np.maximum(np.minimum(share, sizes), FEWEST_OF_A_CLASS / 4))
    rare = names < len(cells.phases)
    wanted[rare] = np.minimum(sizes[rare], np.maximum(share[rare], FEWEST_OF_A_CLASS))
    wanted = np.minimum(sizes, np.rint(wanted * count / wanted.sum())).astype(int)
    chosen, weight = [], []
    for name, size, number in zip(names, sizes, wanted, strict=True):
        members = generator.choice(pool[stratum == name], number, replace=False)
        chosen.append(members)
        weight.append(np.full(number, size / max(number, 1)))
    flat = np.concatenate(weight)
    return np.concatenate(chosen), flat / flat.mean()
