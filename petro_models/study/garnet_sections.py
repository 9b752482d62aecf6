"""From a fitted phase map to the garnet profiles of a history, errors carried along."""

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError
from petro_models.histories.data import garnet_profiles, zone_ages
from petro_models.histories.schema import SHARED
from petro_models.phase_maps.averages import Groups
from petro_models.phase_maps.map_answers import answers_of, grid_of, labels_of
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.regions import phase_mask
from petro_models.phase_maps.summed_counts import GroupCounts, GroupDraws, draw_group_compositions
from petro_models.problem import problem_of
from petro_models.study.garnet_chemistry import OXIDES, garnet_fractions, garnet_moles
from petro_models.study.outlines import Outline, outlines
from petro_models.study.ring_spots import spots_in_rings
from petro_models.study.shared_shapes import leading_shapes
from petro_models.thermodynamics.tables import COMPONENTS

TOUCHED_BY_RIM = 0.75
"""Pixels whose centre is nearer to the rim than this, in pixels, may hold more than garnet."""


def garnet_sections(
    fit: xr.DataTree,
    phase: str = "Garnet",
    *,
    rings: int = 40,
    min_pure_probability: float = 0.9,
    smallest_um: float = 100.0,
    strip_um: float | None = None,
    through_centres: bool = False,
    number_density: dict[str, float] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Turn all garnets of a fitted map into profiles for `Histories`, from all their pixels.

    Grains are outlined where the fraction of garnet crosses a half; pixels are sorted into rings
    by their distance to the rim (to the middle, of round grains); pixels that are not garnet alone
    are left out. The composition of
    a ring comes from its summed counts, calibrated by the spots that lie in these grains (by the
    fitted phase where they are fewer than three; the notes say which). Two errors are kept apart:
    that of counting, which differs from ring to ring, and that of the calibration, which moves all
    rings of all grains together.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    phase
        What the garnet is called there.
    rings
        Of the largest grain; others have as many as their size allows at the same width, and none
        is narrower than a pixel.
    min_pure_probability
        Lowest P(pure) of a pixel that counts.
    smallest_um
        Grains with a smaller inscribed radius are left out, as are those at the map's edge.
    strip_um
        Take only pixels of a strip of this width through the middle of each grain, along x: what a
        traverse would see. By default all pixels.
    through_centres
        Whether the section is known to pass through the grains' centres, as one that was cut after
        tomography; else how far it misses each is an unknown of the history.
    number_density
        As in `garnet_profiles`; grains are "1", "2", ... from the largest to the smallest.
    seed
        Of the draws behind the errors.

    Returns
    -------
    xr.Dataset
        As `garnet_profiles` gives it, with ``is_section`` 1 unless `through_centres`;
        ``shared_gain`` and ``shared_background`` (shared_shape, grain, endmember), shapes of the
        calibration's error, one standard deviation each; ``centre_x_um``, ``centre_y_um`` (grain);
        ``pixel_count``.

    Raises
    ------
    DataError
        If the map has no such phase or no grain of it that can be used, its step is not known, or
        Fe, Mg, Ca or Mn were not mapped.
    """
    problem = _phase_maps(fit)
    grains, grid_note = _grains(fit, phase, smallest_um)
    pure = phase_mask(answers_of(fit, "phase_map"), phase, min_pure_probability)
    frame, groups = _rings(grains, pure, _pixel_um(fit), rings, strip_um)
    columns = [_oxide_place(problem, oxide) for oxide in OXIDES]
    counts = _sharpened(GroupCounts.of(problem, groups), frame, _pixel_um(fit))
    spots = spots_in_rings(problem, fit, grains, frame, counts, phase)
    drawn = draw_group_compositions(problem, fit, counts, phase, spots, seed)
    mean = garnet_fractions(np.maximum(drawn.composition[..., columns], 1e-4)).mean(axis=0)
    own = _before_closure(drawn, columns).std(axis=0)
    for index, name in enumerate(COMPONENTS):
        frame[f"X_{name}"], frame[f"sd_{name}"] = mean[:, index], own[:, index]
    profiles = garnet_profiles(
        frame.drop(columns="within_um2"),
        rim_radius_um={str(n): grain.radius for n, grain in enumerate(grains, start=1)},
        number_density=number_density,
        source=f"garnets of {problem.data.attrs.get('source', 'a map')}",
    )
    is_section = np.full(len(grains), int(not through_centres), dtype="int64")
    profiles["is_section"] = ("grain", is_section, {"units": "1"})
    shapes = _calibration_shapes(drawn, columns)
    for name, shape in zip(SHARED, shapes, strict=True):
        each = np.broadcast_to(shape[:, None], (len(shape), len(grains), len(OXIDES)))
        profiles[name] = (("shared_shape", "grain", "endmember"), each.copy(), {"units": "1"})
    for axis, name in enumerate("xy"):
        places = [grain.centre[axis] for grain in grains]
        profiles[f"centre_{name}_um"] = ("grain", places, {"units": "um"})
    profiles["pixel_count"] = ("position", groups.count, {"units": "1"})
    way = "the fitted phase" if spots is None else f"{len(spots.spot)} spots in these grains"
    profiles.attrs["notes"] = f"{grid_note}; calibrated by {way}"
    return profiles.assign_coords(
        shared_shape=[f"calibration {number + 1}" for number in range(len(shapes[0]))]
    )


def ages_on_map(
    fit: xr.DataTree,
    profiles: xr.Dataset,
    frame: pd.DataFrame,
    phase: str = "Garnet",
    *,
    smallest_um: float = 100.0,
    source: str = "in memory",
) -> xr.Dataset:
    """Place dated spots by their position on the map: grain and radii for `Histories`.

    Parameters
    ----------
    fit
        The fit of `PhaseMaps` that the profiles are from.
    profiles
        From `garnet_sections`.
    frame
        ``x_um y_um`` on the map, ``diameter_um`` of the spot, ``age_Ma``, ``sd_Ma``.
    phase, smallest_um
        As given to `garnet_sections`.
    source
        Named in messages.

    Raises
    ------
    DataError
        If a column is missing or a spot lies in none of the grains.
    """
    wanted = ("x_um", "y_um", "diameter_um", "age_Ma", "sd_Ma")
    for name in wanted:
        if name not in frame:
            raise DataError(f"{source}: column {name!r} is missing; needed: {', '.join(wanted)}")
    grains, _ = _grains(fit, phase, smallest_um)
    grid = grid_of(answers_of(fit))
    rows = []
    for number, spot in enumerate(frame.to_dict("records"), start=1):
        row = int(np.abs(grid.y - spot["y_um"]).argmin())
        column = int(np.abs(grid.x - spot["x_um"]).argmin())
        held = [
            (str(index), grain)
            for index, grain in enumerate(grains, start=1)
            if grain.holds(np.array([row]), np.array([column])).all()
        ]
        if not held:
            raise DataError(
                f"{source}: spot {number} at x {spot['x_um']:g}, y {spot['y_um']:g} um lies in "
                f"none of the {len(grains)} grains of {phase}; places count from the middle of "
                "the map's first pixel"
            )
        label, grain = held[0]
        rows.append(
            {
                "grain": label,
                "r_um": grain.radius_of(spot["x_um"], spot["y_um"]),
                "spot_um": spot["diameter_um"],
                "age_Ma": spot["age_Ma"],
                "sd_Ma": spot["sd_Ma"],
            }
        )
    placed = pd.DataFrame(rows).sort_values("grain", kind="stable", ignore_index=True)
    return zone_ages(placed, profiles, source=source)


def _phase_maps(fit: xr.DataTree) -> PhaseMaps:
    problem = problem_of(fit)
    if not isinstance(problem, PhaseMaps):
        raise DataError(f"garnet sections need a fit of PhaseMaps; this is one of {problem.kind}")
    return problem


def _grains(fit: xr.DataTree, phase: str, smallest_um: float) -> tuple[list[Outline], str]:
    """Outline the garnets, and say what was left out."""
    answers = answers_of(fit, "phase_fraction", "phase_map")
    grid = grid_of(answers)
    if not grid.in_micrometres:
        raise DataError("radii in um need a map of known step, and this one's is not known")
    labels = labels_of(answers, "phase")
    if phase not in labels:
        raise DataError(f"no phase is named '{phase}'; the map has {', '.join(labels)}")
    fraction = answers["phase_fraction"].sel(phase=phase).transpose("y", "x").to_numpy()
    grains, cut, small = outlines(fraction.astype(float), grid, smallest_um)
    note = f"{cut} grains at the map's edge and {small} smaller than {smallest_um:g} um left out"
    if not grains:
        raise DataError(f"no grain of {phase} lies wholly on the map: {note}; lower smallest_um")
    return grains, note


def _pixel_um(fit: xr.DataTree) -> float:
    return max(grid_of(answers_of(fit)).steps)


def _rings(
    grains: list[Outline],
    pure: np.ndarray,
    pixel_um: float,
    rings: int,
    strip_um: float | None,
) -> tuple[pd.DataFrame, Groups]:
    """Sort pure pixels into rings, grain by grain, core first.

    Returns
    -------
    frame
        Columns ``grain``, ``r_um`` (mean) and ``within_um2`` (variance of the pixels' radii).
    groups
        The pixels.
    """
    if rings < 4:
        raise DataError(f"rings must be at least 4; got {rings}")
    width = max(grains[0].radius / rings, pixel_um)
    rows, columns, group = [], [], []
    places: list[tuple[str, float, float]] = []
    for number, grain in enumerate(grains, start=1):
        wanted = pure[grain.rows, grain.columns]
        wanted &= grain.rim_distance > TOUCHED_BY_RIM * pixel_um
        if strip_um is not None:
            wanted &= np.abs(grain.across) <= strip_um / 2
        if not wanted.any():
            raise DataError(
                f"grain {number} of {len(grains)} (x {grain.centre[0]:.0f}, "
                f"y {grain.centre[1]:.0f} um) has no pure pixel: lower min_pure_probability"
            )
        radius = grain.radii[wanted]
        _, own, counts = np.unique(
            (radius / width).astype(int), return_inverse=True, return_counts=True
        )
        rows.append(grain.rows[wanted])
        columns.append(grain.columns[wanted])
        group.append(own + len(places))
        mean = np.bincount(own, radius) / counts
        within = np.bincount(own, (radius - mean[own]) ** 2) / counts
        places += [(str(number), *values) for values in zip(mean, within, strict=True)]
    frame = pd.DataFrame(places, columns=["grain", "r_um", "within_um2"])
    return frame, Groups(
        np.concatenate(rows), np.concatenate(columns), np.concatenate(group), len(places)
    )


def _sharpened(counts: GroupCounts, rings: pd.DataFrame, pixel_um: float) -> GroupCounts:
    """Take off, to second order, what averaging over rings and pixels did to curved zoning.

    A mean over radii of variance v stands off the value at the mean radius by ``v y''/2``; a pixel
    blurs by ``(y'' + y'/r) p^2 / 24`` besides.
    """
    mean, variance = counts.mean.copy(), counts.variance.copy()
    blur = pixel_um**2 / 12
    for _, own in rings.groupby("grain", sort=False):
        at, radius = own.index.to_numpy(), own["r_um"].to_numpy()
        if at.size < 3:
            continue
        # Zoning is even about the centre; at the rim it is taken for straight.
        y = np.concatenate([counts.mean[:, at[:1]], counts.mean[:, at]], axis=1)
        r = np.concatenate([-radius[:1], radius])
        gaps = np.diff(r)
        slopes = np.diff(y, axis=1) / gaps
        bend = np.diff(slopes, axis=1) / (0.5 * (gaps[1:] + gaps[:-1]))
        steep = 0.5 * (slopes[:, 1:] + slopes[:, :-1])
        inner, spread = radius[:-1], own["within_um2"].to_numpy()[:-1]
        off = (spread + blur) * bend + blur * steep / np.maximum(inner, pixel_um / 2)
        mean[:, at[:-1]] -= 0.5 * off
        # Differences of neighbours bring their noise in.
        weight = (spread + blur) / (gaps[1:] * gaps[:-1])
        variance[:, at[:-1]] *= (1 + weight) ** 2 + 0.5 * weight**2
        # Where zoning has kinks the second order is not all: what is taken off stays open.
        variance[:, at[:-1]] += (0.5 * off) ** 2
    return GroupCounts(mean, variance)


def _before_closure(drawn: GroupDraws, columns: list[int]) -> np.ndarray:
    """Give draws of the rings' own errors before fractions were brought to 1, as `Histories` asks.

    Errors of the cations over the sum of the cations, (draw, ring, endmember).
    """
    moles, noisy = (
        garnet_moles(values[..., columns]) for values in (drawn.composition, drawn.with_counting)
    )
    return (noisy - moles) / moles.sum(axis=-1, keepdims=True)


def _oxide_place(problem: PhaseMaps, oxide: str) -> int:
    labels = [str(name) for name in problem.data["oxide"].to_numpy()]
    usable = {oxide, f"{oxide}T", f"{oxide}*", f"{oxide}t"}
    found = [index for index, label in enumerate(labels) if label in usable]
    if not found:
        raise DataError(
            f"garnet end members need FeO, MgO, CaO and MnO: {oxide} was not mapped and analysed "
            f"(there are {', '.join(labels)})"
        )
    return found[0]


def _calibration_shapes(drawn: GroupDraws, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Give the shapes of the calibration's error, gains and backgrounds (shape, endmember).

    A draw makes a content C of an oxide into ``k C / k_mean + k (b_mean - b)``, with k wt% per
    count and b the background.
    """
    per_count, background = drawn.per_count[:, columns], drawn.background[:, columns]
    gain = per_count / per_count.mean(axis=0) - 1
    moles = garnet_moles(drawn.composition[..., columns])
    whole = moles.sum(axis=-1).mean()
    added = garnet_moles(per_count * (background.mean(axis=0) - background)) / whole
    size = moles.mean(axis=(0, 1)) / whole
    # What makes all cations more by one factor is not seen in fractions.
    gain = gain - (gain @ size)[:, None]
    errors = np.concatenate([gain * size, added], axis=1)
    shapes = leading_shapes((errors - errors.mean(axis=0)) / np.sqrt(len(errors) - 1))
    return shapes[:, : size.size] / size, shapes[:, size.size :]
