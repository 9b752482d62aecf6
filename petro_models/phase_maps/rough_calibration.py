"""Rough compositions of the phases and a rough calibration, about which priors are centred."""

from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from petro_models.errors import DataError
from petro_models.phase_maps.anchors import Anchors, class_probabilities
from petro_models.phase_maps.cells import Cells
from petro_models.phase_maps.spot_surroundings import SURE

MATRIX_SCATTER = 0.06


def rough_compositions(
    data: xr.Dataset,
    cells: Cells,
    anchors: Anchors,
    dead_share: np.ndarray,
    spots: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Give medians and scatter of the spots that lie in each phase, or its formula (k, o)."""
    known = data["formula_wt_percent"].to_numpy()
    composition, scatter = known.copy(), np.full(known.shape, np.nan)
    counts, measured = np.asarray(spots["place_counts"]), np.asarray(spots["spot_composition"])
    if not len(measured):
        return composition, scatter
    middle = counts.mean(axis=1)
    probability = class_probabilities(anchors, cells, dead_share, middle)[:, : len(cells.phases)]
    labels = np.asarray(spots["spot_label"])
    for k in range(len(cells.phases)):
        mine = (labels == k) if (labels == k).any() else (probability[:, k] > SURE)
        if mine.sum() < 2:
            continue
        values = measured[mine]
        found = np.nanmedian(values, axis=0)
        composition[k] = np.where(np.isfinite(found), found, composition[k])
        scatter[k] = 1.4826 * np.nanmedian(np.abs(values - found), axis=0)
    return composition, scatter


def scatter_at_least(scatter: np.ndarray, composition: np.ndarray) -> np.ndarray:
    """Give the scatter of phases' wt%, no less than analyses scatter themselves, (k, o)."""
    return np.maximum(np.nan_to_num(scatter), 0.01 * composition + 0.02)


def rough_calibration(
    intensity: np.ndarray, composition: np.ndarray, oxides: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit counts = background + sensitivity x wt% over the phases, both positive, (o,) each."""
    sensitivity, background = np.empty(len(oxides)), np.empty(len(oxides))
    for o, oxide in enumerate(oxides):
        ok = np.isfinite(composition[:, o])
        if ok.sum() < 1:
            raise DataError(
                f"{oxide}: no spot in a recognised phase and no formula says how many counts a "
                "wt% gives; add spots, label them, or give phases={name: formula}"
            )
        counts, wt = intensity[ok, o], composition[ok, o]
        error = MATRIX_SCATTER * counts + 0.1 * counts.min() + 1
        design = np.stack([np.ones_like(wt), wt], axis=1) / error[:, None]
        (base, slope), _ = nnls(design, counts / error)
        lowest = float(intensity[:, o].min())
        background[o] = np.clip(base, 0.2 * lowest, lowest)
        fallback = (counts.max() - background[o]) / max(wt.max(), 0.05)
        sensitivity[o] = slope if slope > 0 else max(fallback, 1e-3)
    return sensitivity, background
