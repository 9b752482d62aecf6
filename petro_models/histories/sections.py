"""Maps of garnet sections as data: pixels by their distance to the rim, of a cut off the centre.

A section at the distance h from the centre of a sphere of radius R is a disc of radius
``sqrt(R^2 - h^2)``. A pixel at the distance rho from the disc's middle lies at the radius
``sqrt(rho^2 + h^2)`` of the sphere; h is unknown and stays so until other grains tell it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.histories.data import garnet_profiles
from petro_models.histories.labels import grain_label, grain_labels, numbered
from petro_models.histories.schema import SHARED, validate_profiles
from petro_models.thermodynamics.tables import COMPONENTS

BINS = 40
LEAST_SD = 5e-4
"""The mean of many pixels is trusted no better than this: standards and matrix correction err."""


def garnet_section(
    frame: pd.DataFrame,
    *,
    bins: int = BINS,
    sd: float | Mapping[str, float] | None = None,
    section_radius_um: Mapping[str, float] | None = None,
    number_density: Mapping[str, float] | None = None,
    source: str = "in memory",
) -> xr.Dataset:
    """Build profiles from the pixels of garnet sections that may miss the grains' centres.

    Pixels of one grain are averaged in rings of equal width. Their error is that of a pixel over
    the root of their number; a pixel's error is the stated one or the scatter in the ring,
    whichever is larger.

    Parameters
    ----------
    frame
        One row a pixel: ``rim_distance_um`` (shortest distance to the grain's rim, in the
        section), ``X_alm X_prp X_grs X_sps`` (any of them), optionally ``grain``, ``sd_alm`` ....
    bins
        Rings of each grain.
    sd
        Of one pixel, as in `garnet_profiles`.
    section_radius_um
        Grain -> radius of its section; by default the largest distance to the rim.
    number_density
        As in `garnet_profiles`.
    source
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        As `garnet_profiles` gives it, with ``is_section`` 1: radii are those in the section.

    Raises
    ------
    DataError
        If a column, grain or value cannot be used.
    """
    if "rim_distance_um" not in frame:
        hint = nearest("rim_distance_um", map(str, frame.columns))
        raise DataError(f"{source}: column 'rim_distance_um' is missing; {hint}")
    if bins < 4:
        raise DataError(f"bins must be at least 4; got {bins}")
    distance = frame["rim_distance_um"].to_numpy(float)
    if not (np.isfinite(distance) & (distance >= 0)).all():
        raise DataError(f"{source}: rim_distance_um must be 0 or more everywhere")
    grain = grain_labels(frame)
    given = {grain_label(key): float(value) for key, value in (section_radius_um or {}).items()}
    rings, rims = [], {}
    for name in dict.fromkeys(grain):
        own = frame[(grain == name).to_numpy()]
        deepest = float(own["rim_distance_um"].max())
        rims[name] = given.pop(name, deepest)
        if deepest > rims[name] * (1 + 1e-6):
            raise DataError(
                f"{source}: a pixel of grain {name!r} is {deepest:g} um from the rim, more than "
                f"the section's radius of {rims[name]:g} um"
            )
        rings.append(_rings(own, bins, rims[name], sd).assign(grain=name))
    for name in given:
        raise DataError(f"{source}: section_radius_um of grain {name!r}; {nearest(name, rims)}")
    profiles = garnet_profiles(
        pd.concat(rings, ignore_index=True),
        rim_radius_um=rims,
        number_density=number_density,
        source=source,
    )
    profiles["is_section"] = ("grain", np.ones(len(rims), dtype="int64"), {"units": "1"})
    return profiles


def join_profiles(*parts: xr.Dataset) -> xr.Dataset:
    """Put profiles of different grains together, such as sections and central traverses.

    Raises
    ------
    DataError
        If a grain is in more than one, or the whole is no profile.
    """
    grains = [str(name) for part in parts for name in part["grain"].values]
    for name in grains:
        if grains.count(name) > 1:
            raise DataError(f"grain {name!r} is in more than one of the profiles to be joined")
    shifted, before = [], 0
    for part in parts:
        marked = part if "is_section" in part else part.assign(
            is_section=("grain", np.zeros(part.sizes["grain"], dtype="int64"))
        )  # fmt: skip
        shifted.append(marked.assign(grain_index=marked["grain_index"] + before))
        before += part.sizes["grain"]
    by_position = ["radius_um", "grain_index", "composition", "composition_sd"]
    by_grain = ["rim_radius_um", "number_density", "is_section"]
    if any(SHARED[0] in part for part in parts):
        shifted = _with_own_shapes(shifted)
        by_grain += SHARED
    joined = xr.merge(
        [
            xr.concat([part[by_position] for part in shifted], "position", join="override"),
            xr.concat([part[by_grain] for part in shifted], "grain"),
        ],
        join="exact",
        compat="no_conflicts",
        combine_attrs="drop",
    )
    labels = numbered([grains[index] for index in joined["grain_index"].to_numpy()])
    joined = joined.assign_coords(position=labels)
    joined.attrs["source"] = ", ".join(str(part.attrs.get("source", "")) for part in parts)
    validate_profiles(joined)
    return joined


def _with_own_shapes(parts: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give every part the shapes of all shared errors: those of others add nothing to it."""
    counts = [part.sizes.get("shared_shape", 0) for part in parts]
    labels = [
        f"{number}: {label}"
        for number, (part, count) in enumerate(zip(parts, counts, strict=True), start=1)
        for label in (part["shared_shape"].values if count else ())
    ]
    made, before = [], 0
    for part, count in zip(parts, counts, strict=True):
        bare = part.drop_vars([*SHARED, "shared_shape"], errors="ignore")
        bare = bare.assign_coords(shared_shape=labels)
        for name in SHARED:
            whole = np.zeros((len(labels), part.sizes["grain"], part.sizes["endmember"]))
            if count:
                whole[before : before + count] = part[name].to_numpy()
            bare[name] = (("shared_shape", "grain", "endmember"), whole)
        before += count
        made.append(bare)
    return made


def off_centre(radius_um: Any, cut_offset_um: Any) -> Any:
    """Give the radius in the sphere of a point at a radius in the section."""
    return (radius_um**2 + cut_offset_um**2) ** 0.5


def _rings(
    pixels: pd.DataFrame, bins: int, rim_um: float, sd: float | Mapping[str, float] | None
) -> pd.DataFrame:
    """Average pixels in rings of equal width, core first."""
    radius = rim_um - pixels["rim_distance_um"].to_numpy(float)
    ring = np.clip((radius / rim_um * bins).astype(int), 0, bins - 1)
    used, index, counts = np.unique(ring, return_inverse=True, return_counts=True)
    columns: dict[str, np.ndarray] = {"r_um": np.bincount(index, radius) / counts}
    for name in COMPONENTS:
        if f"X_{name}" not in pixels:
            continue
        values = pixels[f"X_{name}"].to_numpy(float)
        known = np.isfinite(values)
        number = np.bincount(index[known], minlength=used.size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(index[known], values[known], used.size) / number
            square = np.bincount(index[known], (values - mean[index])[known] ** 2, used.size)
            error = _stated(pixels, name, sd)
            stated = np.bincount(index[known], error[known] ** 2, used.size) / number
            of_mean = np.sqrt(np.maximum(square / np.maximum(number - 1, 1), stated) / number)
        columns[f"X_{name}"] = mean
        columns[f"sd_{name}"] = np.maximum(of_mean, LEAST_SD)
    return pd.DataFrame(columns)


def _stated(pixels: pd.DataFrame, name: str, sd: float | Mapping[str, float] | None) -> np.ndarray:
    if sd is None and f"sd_{name}" in pixels:
        return pixels[f"sd_{name}"].to_numpy(float)
    value = sd.get(name, 0.0) if isinstance(sd, Mapping) else (sd or 0.0)
    return np.full(len(pixels), float(value))
