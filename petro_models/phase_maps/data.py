"""EPMA maps, spot analyses and phase seeds: builders of the datasets that phase maps read."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from petro_models.errors import DataError, nearest
from petro_models.io.epma_matrix import image_pixel, whole_counts
from petro_models.phase_maps.schema import (
    AXES,
    TERMS,
    check_affine,
    check_elements,
    check_oxides,
    validate_maps,
    validate_seeds,
    validate_spots,
)
from petro_models.phase_maps.spot_data import Extra, epma_spots, phase_seeds, pixel_positions

__all__ = [
    "Extra",
    "composition_maps",
    "epma_maps",
    "epma_spots",
    "phase_seeds",
    "pixel_positions",
    "validate_maps",
    "validate_seeds",
    "validate_spots",
]

PerElement = float | Mapping[str, float]
Step = float | tuple[float, float]


def epma_maps(
    counts: Mapping[str, np.ndarray],
    *,
    dwell_s: PerElement = math.nan,
    dead_time_ns: PerElement = math.nan,
    probe_current_nA: float = math.nan,
    step_um: Step = math.nan,
    stage_to_pixel: ArrayLike | None = None,
    stage_unit: str = "mm",
    source: str = "in memory",
    format: str = "arrays in memory",
    notes: Iterable[str] = (),
    places: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Build the maps that the phase-map model reads, and validate them.

    Parameters
    ----------
    counts
        Element symbol -> matrix (row, column) of counts per pixel; row 0 is the top of the image.
        Raw counts: whole numbers >= 0, neither per second nor corrected.
    dwell_s
        Seconds a pixel was counted, for all or by element; NaN where not known.
    dead_time_ns
        Dead time of the counters in nanoseconds, likewise.
    probe_current_nA
        Beam current in nA; NaN if not known.
    step_um
        Distance of neighbouring pixels in micrometres, or (along columns, along rows).
    stage_to_pixel
        Affine of shape (2, 3): ``(column, row) = A (stage_x, stage_y, 1)``, where whole numbers
        are pixel centres.
    stage_unit
        Unit of the stage coordinates, "mm" or "um".
    source, format, notes
        Kept in the attributes.
    places
        Element -> file, for messages.

    Returns
    -------
    xr.Dataset
        See `validate_maps`.

    Raises
    ------
    DataError
        If a map has another shape than the others, a value is no number of counts, or a condition
        is impossible.

    Examples
    --------
    >>> maps = epma_maps({"Si": np.full((3, 4), 900), "Al": np.zeros((3, 4))}, step_um=2.0)
    >>> dict(maps["counts"].sizes)
    {'element': 2, 'y': 3, 'x': 4}
    """
    elements = list(counts)
    check_elements(elements, source)
    where = {name: (places or {}).get(name, f"{source}, map of {name}") for name in elements}
    checked = {
        name: whole_counts(np.asarray(matrix), image_pixel(where[name]))
        for name, matrix in counts.items()
    }
    _check_same_shape(checked, where)
    dataset = _frame(
        ("element", elements), checked[elements[0]].shape, step_um, stage_to_pixel, stage_unit
    )
    dataset["counts"] = (
        ("element", "y", "x"),
        np.stack(list(checked.values())),
        {"units": "counts", "long_name": "X-ray counts per pixel"},
    )
    dataset["dwell_s"] = ("element", _per_element("dwell_s", dwell_s, elements), {"units": "s"})
    dead = _per_element("dead_time_ns", dead_time_ns, elements)
    dataset["dead_time_ns"] = ("element", dead, {"units": "ns"})
    current = _number("probe_current_nA", probe_current_nA)
    dataset["probe_current_nA"] = ((), current, {"units": "nA"})
    dataset.attrs = {"source": source, "format": format, "notes": "\n".join(dict.fromkeys(notes))}
    validate_maps(dataset)
    return dataset


def composition_maps(
    wt_percent: Mapping[str, np.ndarray],
    *,
    step_um: Step = math.nan,
    stage_to_pixel: ArrayLike | None = None,
    stage_unit: str = "mm",
    source: str = "in memory",
    format: str = "arrays in memory",
    notes: Iterable[str] = (),
) -> xr.Dataset:
    """Build maps of compositions that another program quantified (for comparison only).

    Parameters
    ----------
    wt_percent
        Oxide -> matrix (row, column) in wt%; NaN where there is no value.
    step_um, stage_to_pixel, stage_unit, source, format, notes
        As in `epma_maps`.

    Returns
    -------
    xr.Dataset
        `wt_percent` (oxide, y, x) with the coordinates and attributes of `epma_maps`, but no
        `counts`: the phase-map model does not take it.

    Raises
    ------
    DataError
        If an oxide is not known, or maps differ in shape.
    """
    oxides = list(wt_percent)
    check_oxides(oxides, source)
    arrays = {name: np.asarray(matrix, dtype=float) for name, matrix in wt_percent.items()}
    _check_same_shape(arrays, {name: f"{source}, map of {name}" for name in oxides})
    shape = arrays[oxides[0]].shape if oxides else (0, 0)
    dataset = _frame(("oxide", oxides), shape, step_um, stage_to_pixel, stage_unit)
    dataset["wt_percent"] = (
        ("oxide", "y", "x"),
        np.stack(list(arrays.values())),
        {"units": "wt%", "long_name": "composition by another program"},
    )
    dataset.attrs = {"source": source, "format": format, "notes": "\n".join(dict.fromkeys(notes))}
    return dataset


def _check_same_shape(arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> None:
    """Raise DataError unless all maps have one shape."""
    names = list(arrays)
    for name in names[1:]:
        first, other = arrays[names[0]].shape, arrays[name].shape
        if other != first:
            raise DataError(
                f"{where[name]}: {_by(other)}, but {where[names[0]]} has {_by(first)}. All maps "
                "are of one area: is one of them cut short, or from another map?"
            )


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} rows and {shape[1]} columns" if len(shape) == 2 else f"shape {shape}"


def _frame(
    labels: tuple[str, list[str]],
    shape: tuple[int, ...],
    step_um: Step,
    stage_to_pixel: ArrayLike | None,
    stage_unit: str,
) -> xr.Dataset:
    """Give the coordinates, the step and the registration that all maps have."""
    if len(shape) != 2:
        raise DataError(f"a map has shape {shape}; it is a matrix of rows and columns.")
    steps = step_um if isinstance(step_um, tuple) else (step_um, step_um)
    x_step, y_step = (_number("step_um", step) for step in steps)
    affine = np.full((2, 3), np.nan) if stage_to_pixel is None else np.array(stage_to_pixel, float)
    check_affine(affine)
    known = math.isfinite(x_step) and math.isfinite(y_step)
    if known and min(x_step, y_step) <= 0:
        raise DataError(f"step_um is {step_um}; the distance of pixels is positive.")
    unit = {"units": "um" if known else "pixel"}
    return xr.Dataset(
        {
            "step_um": ((), x_step if x_step == y_step else math.nan, {"units": "um"}),
            "stage_to_pixel": (("axis", "term"), affine, {"units": stage_unit}),
        },
        coords={
            labels[0]: np.array(labels[1], dtype=str),
            "y": ("y", np.arange(shape[0]) * (y_step if known else 1.0), unit),
            "x": ("x", np.arange(shape[1]) * (x_step if known else 1.0), unit),
            "axis": list(AXES),
            "term": list(TERMS),
        },
    )


def _per_element(name: str, given: PerElement, elements: list[str]) -> np.ndarray:
    """Spread a condition over the elements; NaN where it is not given."""
    if not isinstance(given, Mapping):
        return np.full(len(elements), _number(name, given))
    for element in given:
        if element not in elements:
            raise DataError(f"{name}: {element!r} has no map; {nearest(str(element), elements)}.")
    return np.array([_number(name, given.get(element, math.nan)) for element in elements])


def _number(name: str, value: object) -> float:
    """Give a number as float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise DataError(f"{name} is {value!r}; give a number (NaN if not known).")
    return float(value)
