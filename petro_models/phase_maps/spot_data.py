"""Builders of spot analyses and phase seeds, and their places on a map."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from petro_models.errors import DataError, nearest
from petro_models.io import species as chemistry
from petro_models.phase_maps.schema import (
    check_oxides,
    describe_outside,
    outside_map,
    validate_seeds,
    validate_spots,
)

Values = Sequence[float] | np.ndarray | pd.Series
Extra = tuple[tuple[str, ...], ArrayLike, str]
"""Dims, values and units of one more variable."""

OUTSIDE = ("error", "drop", "unplace")
"""What becomes of spots that lie outside the map."""


def epma_spots(
    wt_percent: pd.DataFrame,
    *,
    wt_percent_sd: pd.DataFrame | None = None,
    column: Values | None = None,
    row: Values | None = None,
    stage_x: Values | None = None,
    stage_y: Values | None = None,
    stage_unit: str = "mm",
    order: Values | None = None,
    phase: Sequence[str] | None = None,
    extras: Mapping[str, Extra] | None = None,
    extra_elements: Sequence[str] | None = None,
    maps: xr.Dataset | None = None,
    outside: str = "error",
    source: str = "in memory",
    format: str = "table in memory",
    notes: Iterable[str] = (),
) -> xr.Dataset:
    """Build the spot analyses that the phase-map model reads, and validate them.

    Parameters
    ----------
    wt_percent
        One row per spot (index = label, unique), one column per oxide ("SiO2"; "F" for elements
        given as such) in wt%; NaN where not measured.
    wt_percent_sd
        One-sigma errors in wt%, aligned by label; NaN where not stated.
    column, row
        Fractional pixel position, where whole numbers are pixel centres and 0 is the first pixel.
        If not given, it follows from the stage coordinates and `maps`.
    stage_x, stage_y, stage_unit
        Position of the stage, and its unit.
    order
        Place of each spot in the order of measurement; that of the rows if not given.
    phase
        Label of each spot, "" where none.
    extras
        Further variables: name -> (dims, values, units).
    extra_elements
        Labels of the dim `element`, if an extra has it.
    maps
        Maps on which the spots lie.
    outside
        What becomes of spots outside the map: "error", "drop" them, or "unplace" them (keep the
        analyses without a position).
    source, format, notes
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        See `validate_spots`.

    Raises
    ------
    DataError
        If a column is no oxide, a value is impossible, or a spot lies outside the map.

    Examples
    --------
    >>> table = pd.DataFrame({"SiO2": [99.8, 41.2], "MgO": [0.0, 49.9]}, index=["1", "2"])
    >>> spots = epma_spots(table, column=[3, 10], row=[4, 2], phase=["Qz", "Ol"])
    >>> spots["cation"].values.tolist()
    ['Si', 'Mg']
    """
    if outside not in OUTSIDE:
        raise DataError(f"outside={outside!r} is not known; {nearest(str(outside), OUTSIDE)}.")
    table, names = _oxide_table(wt_percent, source)
    count = len(table)
    stage = [_values(name, given, count) for name, given in (("x", stage_x), ("y", stage_y))]
    position = [_values(name, given, count) for name, given in (("column", column), ("row", row))]
    if column is None and row is None:
        position = list(_positions(stage, maps, count))
    turn = np.arange(count, dtype=float) if order is None else _values("order", order, count)
    labels = [""] * count if phase is None else ["" if p is None else str(p).strip() for p in phase]
    spots = xr.Dataset(
        {
            "wt_percent": (("spot", "oxide"), table, {"units": "wt%"}),
            "wt_percent_sd": (
                ("spot", "oxide"),
                _aligned_errors(wt_percent_sd, wt_percent, names, source),
                {"units": "wt%", "long_name": "one-sigma error"},
            ),
            "column": ("spot", position[0], {"units": "pixel"}),
            "row": ("spot", position[1], {"units": "pixel"}),
            "phase": ("spot", np.array(labels, dtype=str)),
            "order": ("spot", turn, {"units": "1"}),
        },
        coords={
            "spot": np.array([str(label) for label in wt_percent.index], dtype=str),
            "oxide": np.array(names, dtype=str),
            "cation": ("oxide", np.array([chemistry.element_of(n) for n in names], dtype=str)),
        },
        attrs={"source": source, "format": format},
    )
    if stage_x is not None or stage_y is not None:
        for name, position_of_stage in zip(("stage_x", "stage_y"), stage, strict=True):
            spots[name] = ("spot", position_of_stage, {"units": stage_unit})
    if extra_elements is not None:
        spots = spots.assign_coords(element=np.array(extra_elements, dtype=str))
    for name, (dims, values, units) in (extras or {}).items():
        spots[name] = (dims, np.asarray(values, dtype=float), {"units": units})
    spots, remarks = _settle_outside(spots, maps, outside)
    spots.attrs["notes"] = "\n".join(dict.fromkeys([*notes, *remarks]))
    validate_spots(spots, maps)
    return spots


def phase_seeds(
    phases: Sequence[str],
    column: Values,
    row: Values,
    *,
    density_kg_m3: Values | None = None,
    maps: xr.Dataset | None = None,
    source: str = "in memory",
    notes: Iterable[str] = (),
) -> xr.Dataset:
    """Build phase seeds: for each phase a pixel that shows it, and its density where known.

    Parameters
    ----------
    phases
        Names of the phases.
    column, row
        Pixel of each, counted from 0.
    density_kg_m3
        Density in kg/m3; NaN where not known.
    maps
        Maps on which they must lie.
    source, notes
        Kept in the attributes.

    Returns
    -------
    xr.Dataset
        See `validate_seeds`.

    Raises
    ------
    DataError
        If a name is there twice, a position is missing or outside, or a density is impossible.

    Examples
    --------
    >>> float(phase_seeds(["Quartz"], [480], [84], density_kg_m3=[2620])["density_kg_m3"][0])
    2620.0
    """
    count = len(phases)
    seeds = xr.Dataset(
        {
            name: ("phase", _values(name, given, count), {"units": units})
            for name, given, units in (
                ("column", column, "pixel"),
                ("row", row, "pixel"),
                ("density_kg_m3", density_kg_m3, "kg/m3"),
            )
        },
        coords={"phase": np.array([str(name) for name in phases], dtype=str)},
        attrs={"source": source, "notes": "\n".join(dict.fromkeys(notes))},
    )
    validate_seeds(seeds, maps)
    return seeds


def pixel_positions(
    stage_x: np.ndarray, stage_y: np.ndarray, stage_to_pixel: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Turn stage coordinates into fractional columns and rows (whole = pixel centre)."""
    ones = np.ones_like(np.asarray(stage_x, dtype=float))
    column, row = np.asarray(stage_to_pixel, dtype=float) @ np.stack([stage_x, stage_y, ones])
    return column, row


def _values(name: str, given: Values | None, count: int) -> np.ndarray:
    """Give one number per spot or phase; NaN if there are none."""
    if given is None:
        return np.full(count, np.nan)
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers (NaN where not known): {error}.") from None
    if values.shape != (count,):
        raise DataError(f"{name} has shape {values.shape}; {count} numbers are needed.")
    return values


def _oxide_table(frame: pd.DataFrame, source: str) -> tuple[np.ndarray, list[str]]:
    """Check the columns and give the analyses as numbers (spot, oxide)."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise DataError(f"{source}: no analyses; give a pandas DataFrame with a row per spot.")
    names = [str(name) for name in frame.columns]
    check_oxides(names, source)
    return _as_numbers(frame, source), names


def _as_numbers(frame: pd.DataFrame, source: str) -> np.ndarray:
    try:
        return frame.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: an analysis is not a number ({error}).") from None


def _aligned_errors(
    errors: pd.DataFrame | None, table: pd.DataFrame, names: list[str], source: str
) -> np.ndarray:
    """Align stated errors with the analyses; NaN where none is stated."""
    if errors is None:
        return np.full(table.shape, np.nan)
    for column in errors.columns:
        if str(column) not in names:
            raise DataError(
                f"{source}: error of {str(column)!r}, which has no analyses; "
                f"{nearest(str(column), names)}."
            )
    aligned = errors.reindex(index=table.index, columns=table.columns)
    return _as_numbers(aligned, source)


def _positions(
    stage: list[np.ndarray], maps: xr.Dataset | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place spots on the map by its nominal registration; NaN if that is not known."""
    if maps is None or "stage_to_pixel" not in maps:
        return np.full(count, np.nan), np.full(count, np.nan)
    return pixel_positions(stage[0], stage[1], maps["stage_to_pixel"].values)


def _settle_outside(
    spots: xr.Dataset, maps: xr.Dataset | None, outside: str
) -> tuple[xr.Dataset, list[str]]:
    """Deal with spots outside the map as the caller wants."""
    if maps is None:
        return spots, []
    is_outside = outside_map(spots, maps)
    if not is_outside.any():
        return spots, []
    if outside == "error":
        raise DataError(describe_outside(spots, maps, np.flatnonzero(is_outside)))
    number = int(is_outside.sum())
    if outside == "unplace":
        for name in ("column", "row"):
            spots[name] = spots[name].where(~is_outside).assign_attrs(spots[name].attrs)
        return spots, [f"{number} spots outside the map kept without a position"]
    if is_outside.all():
        raise DataError(describe_outside(spots, maps, np.flatnonzero(is_outside)))
    return spots.isel(spot=~is_outside), [f"{number} spots outside the map left out"]
