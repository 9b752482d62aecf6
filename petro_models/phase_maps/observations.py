"""What the model sees of a map: a stratified part of the pixels, and every spot's surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from petro_models.errors import DataError
from petro_models.phase_maps.anchors import (
    Anchors,
    class_probabilities,
    find_anchors,
    room_to_move,
)
from petro_models.phase_maps.cells import (
    EVEN_EDGES,
    FEW_EVEN_EDGES,
    MANY_PHASES,
    Cells,
    make_cells,
)

AVERAGING_RADIUS = 1.5
"""Pixels around a place that are averaged where all are surely the same phase."""
ALIKE = 0.3
"""Least share of counting noise left for an average to count as one."""
WINDOW_RADIUS = 2.3
"""Places around a spot that are considered, pixels."""
FEWEST_OF_A_CLASS = 300
MATRIX_SCATTER = 0.06
TAILS = "anchor_heavy_tailed"
ASTRAY = "spot_astray"
BY_FAR = 5.0
"""Robust standard deviations beyond which no phase explains so much of an oxide."""
SURE = 0.6


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

    @property
    def has_axes(self) -> bool:
        """Whether any phase has an axis of solid solution."""
        return self.anchors.axis_phase.size > 0

    @property
    def axis_of_phase(self) -> np.ndarray:
        """1 where an axis belongs to a phase (k, a)."""
        return np.eye(len(self.cells.phases))[:, self.anchors.axis_phase]


def cells_of(data: xr.Dataset, options: dict[str, str]) -> Cells:
    """Lay out the cells for a problem's phases and options; heavy tails are known with anchors."""
    tails = data[TAILS].to_numpy() if TAILS in data else np.zeros(0, dtype=bool)
    everything = options["mixtures"] == "all"
    return make_cells(
        [str(name) for name in data["phase"].to_numpy()],
        triples=everything,
        fine_mixture=everything,
        heavy_tailed=np.flatnonzero(tails).tolist(),
        edges=EVEN_EDGES if data.sizes["phase"] <= MANY_PHASES else FEW_EVEN_EDGES,
    )


def dead_share_of(data: xr.Dataset) -> np.ndarray:
    """Give dead time over dwell time of every element; 0 where either is unknown."""
    share = data["dead_time_ns"].to_numpy() * 1e-9 / data["dwell_s"].to_numpy()
    return np.nan_to_num(share, nan=0.0)


def with_anchors(data: xr.Dataset, options: dict[str, str]) -> xr.Dataset:
    """Find the phases' anchors on the map and add them to the data (unless they are there)."""
    if "anchor_intensity" in data:
        # Fits stored before phases could have heavy tails had none.
        none = xr.DataArray(np.zeros(data.sizes["phase"], dtype=bool), dims="phase")
        return data if TAILS in data else data.assign({TAILS: none})
    most = {"auto": 2, "two": 2, "one": 1, "none": 0}[options["axes"]]
    cells = cells_of(data, options)
    anchors = find_anchors(
        flat_counts(data),
        data["first_intensity"].to_numpy(),
        cells,
        dead_share_of(data),
        data["rough_sensitivity"].to_numpy(),
        _axes_at_most(data, most),
        _seeded(data),
    )
    numbers = [int((anchors.axis_phase[:i] == k).sum()) for i, k in enumerate(anchors.axis_phase)]
    names = [
        f"{cells.phases[k]} {number + 1}"
        for k, number in zip(anchors.axis_phase, numbers, strict=True)
    ]
    added = xr.Dataset(
        {
            "anchor_intensity": (("phase", "element"), anchors.intensity, {"units": "counts"}),
            "anchor_dispersion": (("phase", "element"), anchors.dispersion, {"units": "1"}),
            "anchor_axis_loading": (("axis_name", "element"), anchors.axis_loading),
            "anchor_axis_phase": ("axis_name", anchors.axis_phase),
            TAILS: ("phase", anchors.heavy_tailed),
            "anchor_class_weight": ("pixel_class", anchors.class_weight),
            "anchor_unknown_mean": ("element", anchors.unknown_mean),
            "anchor_unknown_sd": ("element", anchors.unknown_sd),
        },
        {"axis_name": np.array(names, dtype=str), "pixel_class": np.array(cells.classes)},
    )
    data = data.assign(added.data_vars).assign_coords(added.coords)
    astray = _astray(data, cells, anchors)
    notes = [
        str(data.attrs.get("notes", "")),
        *_corrected(data, anchors),
        *_left_out(data, astray),
    ]
    return data.assign(
        {ASTRAY: (("spot", "oxide"), astray)} if "spot" in data.coords else {}
    ).assign_attrs(notes="\n".join(note for note in notes if note))


def _astray(data: xr.Dataset, cells: Cells, anchors: Anchors) -> np.ndarray:
    """Tell which analyses hold more of an oxide than any phase by far (s, o)."""
    spots = _spots(data, data.sizes["oxide"], cells, anchors)
    composition, scatter = _rough_compositions(data, cells, anchors, dead_share_of(data), spots)
    measured = np.asarray(spots["spot_composition"])
    most = composition + BY_FAR * np.maximum(np.nan_to_num(scatter), 0.01 * composition + 0.02)
    # A phase of unknown composition may hold anything.
    return measured > np.where(np.isnan(most), np.inf, most).max(axis=0)


def _left_out(data: xr.Dataset, astray: np.ndarray) -> list[str]:
    """Say which oxides of which spots are left out."""
    lines = []
    for o in np.flatnonzero(astray.any(axis=0)):
        named = ", ".join(
            f"{data['spot'].to_numpy()[s]} ({data['wt_percent'].to_numpy()[s, o]:.2f} wt%)"
            for s in np.flatnonzero(astray[:, o])
        )
        lines.append(
            f"{data['oxide'].to_numpy()[o]} of spots {named} is left out: no phase holds so much"
        )
    return lines


def _seeded(data: xr.Dataset) -> list[int]:
    """Give the phases whose first guess is that of a seed."""
    if "seed_column" not in data:
        return []
    return np.flatnonzero(np.isfinite(data["seed_column"].to_numpy())).tolist()


def _corrected(data: xr.Dataset, anchors: Anchors) -> list[str]:
    """Say of which phases the map showed the first guess to be wrong, and where."""
    first = data["first_intensity"].to_numpy()
    room = room_to_move(first, data["rough_sensitivity"].to_numpy())
    lines = []
    for k, phase in enumerate(data["phase"].to_numpy()):
        wrong = np.flatnonzero(np.abs(anchors.intensity[k] - first[k]) > room[k])
        if wrong.size:
            what = ", ".join(
                f"{data['element'].to_numpy()[e]} ({first[k, e]:.0f} counts; "
                f"{anchors.intensity[k, e]:.0f} in pixels like it otherwise)"
                for e in wrong
            )
            lines.append(f"no pixel is like the first guess of {phase} in {what}")
    return lines


def _axes_at_most(data: xr.Dataset, most: int) -> list[int]:
    """Give the most axes of each phase: a phase of one formula has none."""
    fixed = np.isfinite(data["formula_wt_percent"].to_numpy()).all(axis=1)
    return np.where(fixed, 0, most).tolist()


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
    spots = _spots(data, len(element_of_oxide), cells, anchors)
    composition, scatter = _rough_compositions(data, cells, anchors, dead_share, spots)
    sensitivity, background = _rough_calibration(
        anchors.intensity[:, element_of_oxide], composition, data["oxide"].to_numpy()
    )
    missing = np.isnan(composition)
    predicted = (anchors.intensity[:, element_of_oxide] - background) / sensitivity
    composition = np.where(missing, np.maximum(predicted, 0.0), composition)
    scatter = np.where(np.isfinite(scatter), scatter, 0.0)
    scatter = np.maximum(scatter, 0.01 * composition + 0.02)
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
        scatter=scatter,
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


def _spots(data: xr.Dataset, n_oxides: int, cells: Cells, anchors: Anchors) -> dict[str, Any]:
    """Gather the spots' analyses and cut their surroundings out of the map."""
    if "spot" not in data.coords:
        return {
            "spot_composition": np.zeros((0, n_oxides)),
            "spot_error": np.zeros((0, n_oxides)),
            "spot_label": np.zeros(0, dtype=int),
            "spot_order": np.zeros(0),
            "first_shift": np.zeros(2),
            **cut_places(data, np.zeros((0, 2)), np.zeros(2), [], cells, anchors),
        }
    measured = data["wt_percent"].to_numpy()
    if ASTRAY in data:
        measured = np.where(data[ASTRAY].to_numpy(), np.nan, measured)
    nominal = np.stack([data["spot_column"].to_numpy(), data["spot_row"].to_numpy()], axis=1)
    shift = data["first_shift"].to_numpy()
    names = [str(name) for name in data["spot"].to_numpy()]
    phases = [str(p) for p in data["phase"].to_numpy()]
    return {
        "spot_composition": measured,
        "spot_error": data["wt_percent_sd"].to_numpy(),
        "spot_label": np.array(
            [phases.index(str(x)) if str(x) else -1 for x in data["spot_label"].to_numpy()]
        ),
        "spot_order": data["spot_order"].to_numpy(),
        "first_shift": shift,
        **cut_places(data, nominal, shift, names, cells, anchors),
    }


def cut_places(
    data: xr.Dataset,
    nominal: np.ndarray,
    shift: np.ndarray,
    names: Sequence[str],
    cells: Cells,
    anchors: Anchors,
) -> dict[str, Any]:
    """Cut the surroundings of positions out of the map.

    Where a place and its neighbours are surely the same phase their counts are averaged: the
    composition inside a grain is smooth over a pixel or two, counting noise is not.

    Parameters
    ----------
    data
        With `counts` (element, y, x).
    nominal
        Column and row of each spot (s, 2).
    shift
        Where the places are centred, from the nominal positions.
    names
        Of the spots, for messages.
    cells, anchors
        Tell which neighbours are alike.

    Returns
    -------
    dict
        `place_counts`, `place_offset`, `place_averaged`, `noise_share` of `Observations`.

    Raises
    ------
    DataError
        If all places of a spot lie outside the map.
    """
    grid = _disc(WINDOW_RADIUS)
    place = (np.rint(nominal + shift)[:, None, :] + grid).astype(int)
    height, columns = data["counts"].shape[1:]
    inside = (place >= 0).all(-1) & (place[..., 0] < columns) & (place[..., 1] < height)
    if not inside.any(axis=1).all():
        lost = [str(name) for name in np.array(names)[~inside.any(axis=1)]]
        raise DataError(
            f"spots {', '.join(lost[:8])} lie outside the map of {columns} columns and "
            f"{height} rows: correct their positions or leave them out"
        )
    around = np.clip(place[:, :, None, :] + _disc(AVERAGING_RADIUS), 0, [columns - 1, height - 1])
    flat = flat_counts(data)
    index = around[..., 1] * columns + around[..., 0]
    pixels, where = np.unique(index, return_inverse=True)
    dead = dead_share_of(data)
    sure = (
        class_probabilities(anchors, cells, dead, flat[pixels]) if len(pixels) else np.zeros((0, 1))
    )
    pure = sure[:, : len(cells.phases)][where.reshape(index.shape)]
    middle = _disc(AVERAGING_RADIUS).any(axis=1).argmin()
    alike = (pure * pure[:, :, middle : middle + 1]).sum(axis=-1)
    alike[:, :, middle] = 1.0
    weight = np.where(alike > SURE, alike, 0.0)
    weight[:, :, middle] = 1.0
    weight /= weight.sum(axis=-1, keepdims=True)
    left = (weight**2).sum(axis=-1)
    averaged = left < ALIKE
    mean = np.einsum("swp,swpe->swe", weight, flat[index])
    own = flat[index[:, :, middle]]
    return {
        "place_counts": np.where(averaged[..., None], mean, own).astype(float),
        "place_offset": np.where(inside[..., None], place - nominal[:, None, :], np.nan),
        "place_averaged": averaged,
        "noise_share": float(left[averaged].mean()) if averaged.any() else 1.0,
    }


def _disc(radius: float) -> np.ndarray:
    """Give the whole-pixel offsets (column, row) inside a circle."""
    reach = np.arange(-int(radius), int(radius) + 1)
    return np.array([(x, y) for y in reach for x in reach if np.hypot(x, y) <= radius])


def _rough_compositions(
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


def _rough_calibration(
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
