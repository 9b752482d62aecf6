"""Anchors of the phases found on a map, and kept with its data."""

import numpy as np
import xarray as xr

from petro_models.phase_maps.anchors import Anchors, find_anchors, room_to_move
from petro_models.phase_maps.cells import Cells
from petro_models.phase_maps.observations import TAILS, cells_of, dead_share_of, flat_counts
from petro_models.phase_maps.rough_calibration import rough_compositions, scatter_at_least
from petro_models.phase_maps.spot_surroundings import ASTRAY, spots_of

BY_FAR = 5.0
"""Robust standard deviations beyond which no phase explains so much of an oxide."""


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
    spots = spots_of(data, data.sizes["oxide"], cells, anchors)
    composition, scatter = rough_compositions(data, cells, anchors, dead_share_of(data), spots)
    measured = np.asarray(spots["spot_composition"])
    most = composition + BY_FAR * scatter_at_least(scatter, composition)
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
