"""JEOL maps of the JXA-8230 and JXA-8530F: folders of ``data<n>.cnd`` with ``.csv`` or ``.map``."""

import logging
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from petro_models.errors import FormatError
from petro_models.io.epma_jeol import dollar_values, native_image
from petro_models.io.epma_matrix import (
    check_shape,
    image_pixel,
    in_file,
    text_matrix,
    whole_counts,
)
from petro_models.io.epma_parts import (
    MapParts,
    element_symbol,
    is_electron_signal,
    number,
    one_value,
    stage_affine,
    whole_number,
)
from petro_models.io.epma_source import Source

logger = logging.getLogger(__name__)

FORMAT = "JEOL JXA-8230/8530F maps"


@dataclass(frozen=True)
class Conditions:
    """Conditions of one map; step in um, centre in mm, NaN where not known."""

    element: str
    columns: int
    rows: int
    step: tuple[float, float]
    centre: tuple[float, float]
    dwell_ms: float
    current_A: float
    accumulation: float
    largest: float
    is_stage_scan: bool
    rotation: float
    corrected_dead_time: float


def is_jxa(source: Source) -> bool:
    """Whether a folder holds a ``.cnd`` of this kind beside a map of the same name."""
    pairs = _pairs(source)
    if source.chosen:
        pairs = {name: data for name, data in pairs.items() if source.chosen in (name, data)}
        return any(_is_condition(source, name) for name in pairs)
    return any(_is_condition(source, name) for name, data in pairs.items() if data)


def read_jxa(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read a folder of maps with one condition file each.

    The matrix has the rows of the image; columns run towards smaller stage x, rows towards larger
    y. The stage position in the conditions is the middle of the map.

    Raises
    ------
    FormatError
        If conditions are missing or unreadable, or a map is cut short or missing.
    DataError
        If a map holds something else than counts.
    """
    parts = MapParts(FORMAT)
    used: list[Conditions] = []
    for name, data in _pairs(source).items():
        if source.chosen and source.chosen not in (name, data):
            continue
        if not _is_condition(source, name):
            continue
        place = source.place(name)
        keys = dollar_values(source.text(name))
        label = keys.get("XM_ELEM_NAME%0") or keys.get("XM_ELEM_IMS_SIGNAL_TYPE%0", "")
        if label in ignore:
            continue
        if keys.get("XM_ELEM_IMS_SIGNAL_TYPE%0") or is_electron_signal(label):
            parts.notes.append(f"{place} ({label}) left out: an electron image")
            continue
        at = read_conditions(keys, place)
        if not data:
            raise FormatError(
                f"{place}: the map itself, {PurePosixPath(name).stem}.csv, is missing. Add it, or "
                f"leave {at.element} out with ignore=[{at.element!r}]."
            )
        parts.add(at.element, _read_map(source, data, at, place, parts.notes), source.place(data))
        parts.dwell_s[at.element] = at.dwell_ms * at.accumulation / 1000
        if at.corrected_dead_time > 0:
            parts.dead_time_ns[at.element] = 0.0
            parts.notes.append(
                f"{place}: counts were corrected for dead time by the instrument; they are less "
                "certain than raw counts of the same number"
            )
        used.append(at)
    _add_shared_conditions(parts, used)
    return parts


def read_conditions(keys: dict[str, str], place: str) -> Conditions:
    """Turn the keys of one condition file into numbers.

    Raises
    ------
    FormatError
        If the element or the size of the map is missing, or a value is no number.
    """
    label = keys.get("XM_ELEM_NAME%0", "")
    element = element_symbol(label)
    if element is None:
        raise FormatError(
            f"{place}: XM_ELEM_NAME%0 is {label!r}, which is no element. If it is no X-ray map, "
            f"leave it out with ignore=[{label!r}]."
        )
    scan = "SA" if "XM_AP_SA_PIXELS%0" in keys else "BSA"

    def numbers(key: str, count: int, default: float) -> list[float]:
        texts = keys.get(key, "").split()[:count]
        if len(texts) < count:
            return [default] * count
        return [number(text, key, place) for text in texts]

    size_key = f"XM_AP_{scan}_PIXELS%0"
    texts = keys.get(size_key, "").split()
    if len(texts) < 2:
        raise FormatError(f"{place}: {size_key}, the size of the map, is missing.")
    columns, rows = (whole_number(text, size_key, place) for text in texts[:2])
    step = numbers("XM_AP_SA_PIXEL_SIZE%0", 2, math.nan)
    centre = numbers("XM_AP_SA_STAGE_POS%0_0", 2, math.nan)
    return Conditions(
        element=element,
        columns=columns,
        rows=rows,
        step=(step[0], step[1]),
        centre=(centre[0], centre[1]),
        dwell_ms=numbers(f"XM_AP_{scan}_DWELL_TIME%0", 1, math.nan)[0],
        current_A=numbers("XM_DATA_PROBE_CURRENT", 1, math.nan)[0],
        accumulation=numbers("XM_DATA_ACCUM", 1, 1.0)[0],
        largest=numbers("XM_DATA_COUNT_MAX", 1, 0.0)[0],
        is_stage_scan=scan == "SA",
        rotation=numbers(f"XM_AP_{scan}_ROTATION_ANGLE%0", 1, 0.0)[0],
        corrected_dead_time=numbers("XM_DATA_PROCESSED_DEAD_TIME", 1, 0.0)[0],
    )


def _pairs(source: Source) -> dict[str, str]:
    """Pair condition files with the map of the same name ("" if there is none)."""
    files = {name.lower(): name for name in source.files()}
    pairs = {}
    for low, name in files.items():
        if low.endswith(".cnd"):
            stem = low.removesuffix(".cnd")
            pairs[name] = files.get(f"{stem}.csv") or files.get(f"{stem}.map") or ""
    return pairs


def _is_condition(source: Source, name: str) -> bool:
    return b"$XM_ELEM_NAME%0" in source.head(name, 16384)


def _read_map(
    source: Source, name: str, at: Conditions, stated_by: str, notes: list[str]
) -> np.ndarray:
    """Read one map as an image (row, column)."""
    place, content = source.place(name), source.read(name)
    if name.lower().endswith(".map"):
        image = native_image(content, (at.columns, at.rows), at.is_stage_scan, "<", place)
        counts = whole_counts(image, image_pixel(place))
    else:
        matrix = text_matrix(content, place)
        if 1 in matrix.shape and matrix.size == at.rows * at.columns:
            matrix = matrix.reshape(at.rows, at.columns)
        check_shape(matrix, (at.rows, at.columns), place, stated_by)
        counts = whole_counts(matrix, in_file(place))
    if at.largest and int(counts.max()) != round(at.largest):
        notes.append(
            f"{place}: largest count {counts.max()}, but its conditions state {at.largest:g}"
        )
        logger.warning("%s", notes[-1])
    return np.ascontiguousarray(counts)


def _add_shared_conditions(parts: MapParts, used: list[Conditions]) -> None:
    """Add step, current and registration, which all maps of a folder share."""
    if not used:
        return
    first = used[0]
    current, remarks = one_value((at.current_A * 1e9 for at in used), "probe current", "nA")
    parts.probe_current_nA = current
    parts.notes += remarks
    if not first.is_stage_scan:
        parts.notes.append("beam scan: step and stage position of pixels are not known")
        return
    parts.step_um = first.step
    if first.rotation:
        parts.notes.append(
            f"scan rotated by {first.rotation:g} degrees: stage position of pixels is not known"
        )
        return
    if all(math.isfinite(v) and v > 0 for v in first.step) and all(
        math.isfinite(v) for v in first.centre
    ):
        half = ((first.columns - 1) / 2, (first.rows - 1) / 2)
        corner = [c - n * s / 1000 for c, n, s in zip(first.centre, half, first.step, strict=True)]
        parts.stage_to_pixel = stage_affine(
            (corner[0], corner[1]), first.step, first.columns, mirrored=True
        )
