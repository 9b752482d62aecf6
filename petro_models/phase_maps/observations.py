"""What the model sees of a map: a stratified part of the pixels, and every spot's surroundings."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from petro_models.phase_maps.anchors import Anchors
from petro_models.phase_maps.cells import (
    EVEN_EDGES,
    FEW_EVEN_EDGES,
    FINE_MIXTURE,
    MANY_PHASES,
    Cells,
    make_cells,
)

TAILS = "anchor_heavy_tailed"


@dataclass(frozen=True, eq=False)
class Observations:
    """Numbers the model is declared on; k phases, e elements, o oxides, s spots, w places.

    Attributes
    ----------
    coords
        Labels of the dims.
    cells, anchors
        What a pixel may be, and what the phases look like.
    dead_share
        Dead time over dwell time (e,).
    counts, weight, pixel
        Of the chosen pixels: counts (n, e), importance (n,; mean 1), flat index in the map (n,).
    element_of_oxide
        Index of the element of every oxide (o,).
    sensitivity, background
        Rough counts per wt% and counts without the element, (o,).
    composition, scatter
        Rough wt% of each phase and its scatter (k, o).
    known_composition
        wt% of phases with a formula, NaN for others (k, o).
    spot_composition
        Measured wt% (s, o), NaN where missing.
    spot_error
        Stated error of the analyses, NaN where none (s, o).
    spot_label
        Index of the labelled phase, -1 where none (s,).
    spot_order
        Place in the order of measurement, NaN where not known (s,).
    place_counts, place_offset
        Counts at each place (s, w, e), and the place's column and row from the nominal position
        (s, w, 2), pixels; NaN outside the map.
    place_averaged
        Whether the counts are an average over neighbours of the same phase (s, w).
    noise_share
        Variance of averaged counts over that of one pixel.
    first_shift
        Where the places are centred, pixels (2,).
    """

    coords: dict[str, list[str]]
    cells: Cells
    anchors: Anchors
    dead_share: np.ndarray
    counts: np.ndarray
    weight: np.ndarray
    pixel: np.ndarray
    element_of_oxide: np.ndarray
    sensitivity: np.ndarray
    background: np.ndarray
    composition: np.ndarray
    scatter: np.ndarray
    known_composition: np.ndarray
    spot_composition: np.ndarray
    spot_error: np.ndarray
    spot_label: np.ndarray
    spot_order: np.ndarray
    place_counts: np.ndarray
    place_offset: np.ndarray
    place_averaged: np.ndarray
    noise_share: float
    first_shift: np.ndarray

    @property
    def has_spots(self) -> bool:
        """Whether there are spots."""
        return self.spot_composition.shape[0] > 0

    @cached_property
    def found_nothing(self) -> np.ndarray:
        """1 where an analysis is given as exactly 0: what is not above 0 was cut off (s, o)."""
        return (self.spot_composition == 0).astype(float)

    @property
    def has_axes(self) -> bool:
        """Whether any phase has an axis of solid solution."""
        return self.anchors.axis_phase.size > 0

    @property
    def axis_of_phase(self) -> np.ndarray:
        """1 where an axis belongs to a phase (k, a)."""
        return np.eye(len(self.cells.phases))[:, self.anchors.axis_phase]


def cells_of(data: xr.Dataset, options: dict[str, str]) -> Cells:
    """Lay out the cells for a problem's phases and options; heavy tails are known with anchors.

    A fine mixture of just three phases is what three phases are: no class of its own, unless data
    stored with their classes have it.
    """
    tails = data[TAILS].to_numpy() if TAILS in data else np.zeros(0, dtype=bool)
    everything = options["mixtures"] == "all"
    fine = everything and data.sizes["phase"] > 3
    if "pixel_class" in data.coords:
        fine = FINE_MIXTURE in data["pixel_class"].to_numpy()
    return make_cells(
        [str(name) for name in data["phase"].to_numpy()],
        triples=everything,
        fine_mixture=fine,
        heavy_tailed=np.flatnonzero(tails).tolist(),
        edges=EVEN_EDGES if data.sizes["phase"] <= MANY_PHASES else FEW_EVEN_EDGES,
    )


def dead_share_of(data: xr.Dataset) -> np.ndarray:
    """Give dead time over dwell time of every element; 0 where either is unknown."""
    share = data["dead_time_ns"].to_numpy() * 1e-9 / data["dwell_s"].to_numpy()
    return np.nan_to_num(share, nan=0.0)


def anchors_of(data: xr.Dataset) -> Anchors:
    """Read the anchors that `with_anchors` put into the data."""
    return Anchors(
        *(
            data[f"anchor_{name}"].to_numpy()
            for name in (
                "intensity",
                "dispersion",
                "axis_phase",
                "axis_loading",
                "heavy_tailed",
                "class_weight",
                "unknown_mean",
                "unknown_sd",
            )
        )
    )


def flat_counts(data: xr.Dataset) -> np.ndarray:
    """Give the map's counts as (pixel, element)."""
    counts = data["counts"].to_numpy()
    return counts.reshape(counts.shape[0], -1).T
