"""Transects and strips across a phase map: composition along a line, to CSV or to histories."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from petro_models.errors import DataError
from petro_models.io.fits import write_text
from petro_models.phase_maps.averages import (
    NEEDED,
    Groups,
    group_means,
    labels_only,
    usable_pixels,
)
from petro_models.phase_maps.map_answers import Grid, answers_of, grid_of
from petro_models.phase_maps.regions import phase_mask, require_inside

Formula = Callable[[xr.DataArray, xr.DataArray], xr.Dataset]
"""Takes oxides in wt% and their sd, (position, oxide); gives cations or end members, ``name`` and
``name_sd``, with the dim `position`."""
Place = tuple[float, float]
GARNETS = {"alm": "almandine", "prp": "pyrope", "grs": "grossular", "sps": "spessartine"}
SD_PARTS = ("independent_sd", "shared_sd")


def transect(
    fit: xr.DataTree,
    start: Place,
    end: Place,
    *,
    width_um: float | None = None,
    width_pixels: float | None = None,
    every_pixels: float = 1.0,
    phase: str | None = None,
    min_pure_probability: float = 0.5,
    formula: Formula | None = None,
) -> xr.Dataset:
    """Average the maps across a strip, position by position along its middle line.

    A pixel belongs to the position nearest to its centre's foot on the line. Pixels that no phase
    explains are left out.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    start, end
        (x, y) of the line's ends, in the map's unit (um where the step is known, else pixels; y
        grows downwards from the first line of the map).
    width_um, width_pixels
        Full width of the strip; by default one pixel.
    every_pixels
        Distance of positions along the line.
    phase
        Average only pixels of this phase: a garnet without its inclusions.
    min_pure_probability
        With `phase`: the lowest P(pure) of a pixel.
    formula
        Turns wt% into cations or end members, such as ``partial(structural_formula,
        mineral="garnet")``; what it gives joins the answer, each with its
        ``_sd`` and the parts ``_independent_sd`` and ``_shared_sd``.

    Returns
    -------
    xr.Dataset
        Along `position` (distance from the start): the variables of `averages.region_mean`,
        ``x`` and ``y`` of the positions, ``count`` of pixels, and the ``calibration_covariance``
        that all positions share (see `calibration_along`). NaN where the strip holds no wanted
        pixel.

    Raises
    ------
    DataError
        If an end lies outside the map, the line or the strip has no extent, the width is given in
        um on a map of unknown step, or no wanted pixel lies in the strip.
    """
    answers = answers_of(fit, *NEEDED)
    grid = grid_of(answers)
    width = _width(grid, width_um, width_pixels)
    if not every_pixels > 0:
        raise DataError(f"every_pixels = {every_pixels}: positions need a distance above 0")
    along, across, length = _on_the_line(grid, np.asarray(start, float), np.asarray(end, float))
    spacing = every_pixels * min(grid.steps)
    number = int(np.floor(length / spacing + 1e-9)) + 1
    place = np.floor(along / spacing + 0.5).astype(int)
    strip = (np.abs(across) <= width / 2 * (1 + 1e-9)) & (place >= 0) & (place < number)
    wanted = strip & usable_pixels(answers)
    if phase is not None:
        wanted &= phase_mask(answers, phase, min_pure_probability)
    if not wanted.any():
        what = f"pure {phase}" if phase else "explained"
        raise DataError(f"no {what} pixel lies in the strip from {start} to {end}")
    crossed = np.unique(place[strip])  # an oblique line may pass between pixel centres
    rows, columns = np.nonzero(wanted)
    groups = Groups(rows, columns, np.searchsorted(crossed, place[wanted]), len(crossed))
    result = group_means(answers, groups, "position")
    result = _with_places(result, grid, crossed * spacing, start, end, length)
    result["calibration_covariance"] = answers["calibration_covariance"].assign_coords(
        {name: labels_only(answers, name) for name in ("oxide", "phase") if name in answers.coords}
    )
    result.attrs = {
        "start": [float(value) for value in start],
        "end": [float(value) for value in end],
        "width": width,
        "width_units": grid.unit,
        "phase": phase or "",
        "min_pure_probability": min_pure_probability if phase else 0.0,
    }
    return _with_formula(result, formula) if formula else result


def calibration_along(strip: xr.Dataset, oxide: str) -> xr.DataArray:
    """Give the covariance of the calibration's errors between the positions of a transect.

    All positions move together where the calibration is wrong: f_p' Cov f_q for positions p, q.
    Add ``composition_independent_sd**2`` on the diagonal for the whole covariance.

    Parameters
    ----------
    strip
        From `transect`.
    oxide
        Its label.

    Returns
    -------
    xr.DataArray
        (position, position2), wt%^2.
    """
    fraction = strip["phase_fraction"]
    other = fraction.rename(phase="phase2", position="position2")
    covariance = strip["calibration_covariance"].sel(oxide=oxide)
    shared = xr.dot(fraction, covariance, other, dim=["phase", "phase2"])
    meaning = f"calibration's covariance of {oxide}"
    return shared.transpose("position", "position2").assign_attrs(units="wt%^2", long_name=meaning)


def garnet_profile(strip: xr.Dataset, centre: float = 0.0) -> pd.DataFrame:
    """Turn a transect of a garnet into the table that `histories.data.garnet_profiles` takes.

    Parameters
    ----------
    strip
        From `transect` with ``formula=partial(structural_formula, mineral="garnet")``.
    centre
        Position of the grain's centre along the transect, in its unit.

    Returns
    -------
    pd.DataFrame
        ``r_um``, ``X_alm X_prp X_grs X_sps`` and their ``sd_alm`` ..., the whole errors: the
        calibration's part is the same in all rows. Positions without pixels are left out.

    Raises
    ------
    DataError
        If the transect carries no garnet end members, or the map's step is not known.
    """
    if strip["position"].attrs["units"] != "um":
        raise DataError("a garnet profile needs radii in um, and this map's step is not known")
    labels = strip["end_member"].values.tolist() if "end_member" in strip.dims else []
    if not set(GARNETS.values()) <= set(labels):
        raise DataError(
            "this transect carries no garnet end members: make it with "
            'formula=partial(structural_formula, mineral="garnet")'
        )
    columns = {"r_um": np.abs(strip["position"].to_numpy() - centre)}
    for symbol, name in GARNETS.items():
        columns[f"X_{symbol}"] = strip["end_member_fraction"].sel(end_member=name).to_numpy()
        columns[f"sd_{symbol}"] = strip["end_member_fraction_sd"].sel(end_member=name).to_numpy()
    return pd.DataFrame(columns).dropna(ignore_index=True)


def write_transect(strip: xr.Dataset, path: str | Path) -> Path:
    """Write a transect as CSV, one row per position.

    Every quantity has its column and its errors beside it: ``_sd`` the whole, ``_independent_sd``
    what differs from position to position, ``_shared_sd`` what the calibration moves in all of
    them together. Positions without pixels are blank.

    Parameters
    ----------
    strip
        From `transect`.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    unit = strip["position"].attrs["units"]
    columns = {f"distance_{unit}": strip["position"]}
    columns |= {f"{name}_{unit}": strip[name] for name in ("x", "y")}
    columns["pixels"] = strip["count"]
    for oxide in strip["oxide"].values.tolist():
        columns[f"{oxide}_wt%"] = strip["composition"].sel(oxide=oxide)
        for part in ("sd", *SD_PARTS):
            columns[f"{oxide}_{part}"] = strip[f"composition_{part}"].sel(oxide=oxide)
    for phase in strip["phase"].values.tolist():
        columns[f"{phase}_fraction"] = strip["phase_fraction"].sel(phase=phase)
        columns[f"{phase}_fraction_sd"] = strip["phase_fraction_sd"].sel(phase=phase)
    for name in formula_names(strip):
        for part in ("", "sd", *SD_PARTS):
            variable = f"{name}_{part}" if part else name
            if variable in strip:
                columns |= _flat(strip[variable], name, part)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.to_numpy() for column in columns.values()), strict=True):
        writer.writerow([f"{value:.7g}" if np.isfinite(value) else "" for value in row])
    return write_text(text.getvalue(), path)


def formula_names(strip: xr.Dataset) -> list[str]:
    """Name what a formula added to a transect, without its errors."""
    names = strip.attrs.get("formula", [])
    return [names] if isinstance(names, str) else list(names)


def _width(grid: Grid, width_um: float | None, width_pixels: float | None) -> float:
    """Give the strip's width in the map's unit."""
    if width_um is not None and width_pixels is not None:
        raise DataError("give the strip's width as width_um or as width_pixels, not as both")
    if width_um is not None and not grid.in_micrometres:
        raise DataError(
            "width_um needs a map of known step, and this one's is not known: use width_pixels, "
            "or set the step before the fit"
        )
    width = width_um if width_um is not None else (width_pixels or 1.0) * max(grid.steps)
    if width_pixels == 0 or not width > 0:
        raise DataError("the strip's width must be above 0")
    return float(width)


def _on_the_line(
    grid: Grid, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Give every pixel's place along and across a line, (y, x), and the line's length."""
    for what, point in (("the transect's start", start), ("the transect's end", end)):
        require_inside(grid, point, what)
    length = float(np.hypot(*(end - start)))
    if length == 0:
        raise DataError("the transect starts where it ends")
    direction = (end - start) / length
    dx, dy = grid.x[None, :] - start[0], grid.y[:, None] - start[1]
    return (
        dx * direction[0] + dy * direction[1],
        dy * direction[0] - dx * direction[1],
        length,
    )


def _with_places(
    result: xr.Dataset, grid: Grid, distance: np.ndarray, start: Place, end: Place, length: float
) -> xr.Dataset:
    result = result.assign_coords(position=distance)
    share = distance / length
    for index, name in enumerate(("x", "y")):
        places = start[index] + share * (end[index] - start[index])
        attributes = {"units": grid.unit, "long_name": f"{name} on the map"}
        result[name] = xr.DataArray(places, dims=("position",), attrs=attributes)
    result["position"].attrs = {"units": grid.unit, "long_name": "distance along the transect"}
    return result.set_coords(["x", "y"])


def _with_formula(strip: xr.Dataset, formula: Formula) -> xr.Dataset:
    """Add what a formula makes of the composition, its errors split as the composition's are."""
    mean = strip["composition"]
    whole = formula(mean, strip["composition_sd"])
    taken = {str(name) for name in strip.variables}
    names = [str(name) for name in whole.data_vars if not str(name).endswith("_sd")]
    clash = sorted({str(name) for name in whole.data_vars} & taken)
    if clash:
        raise DataError(f"the formula gives {', '.join(clash)}: a transect has such variables")
    for name in names:
        if "position" not in whole[name].dims:
            raise DataError(f"the formula's '{name}' lacks the dim 'position'")
    result = strip.merge(whole)
    for part in SD_PARTS:
        split = formula(mean, strip[f"composition_{part}"])
        for name in names:
            if f"{name}_sd" in split:
                result[f"{name}_{part}"] = split[f"{name}_sd"]
    result.attrs["formula"] = names
    return result


def _flat(values: xr.DataArray, name: str, part: str) -> dict[str, xr.DataArray]:
    """Give columns (position) of a variable: itself, or one per label of its other dims."""
    ending = f"_{part}" if part else ""
    others = [dim for dim in values.dims if dim != "position"]
    if not others:
        return {f"{name}{ending}": values}
    stacked = values.stack(column=others)
    labels = ["_".join(map(str, label)) for label in stacked["column"].values.tolist()]
    return {
        f"{name}_{label}{ending}": stacked.isel(column=index) for index, label in enumerate(labels)
    }
