"""JEOL maps of the SUN era: folders ``.map/<n>`` of text or native binary maps."""

import logging
import math
import re
from dataclasses import dataclass, field, replace

import numpy as np

from petro_models.errors import FormatError
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
from petro_models.io.epma_source import Source, listed

logger = logging.getLogger(__name__)

TEXT = "JEOL text maps (SUN era)"
NATIVE = "JEOL native binary maps (SUN era)"

_MAP_FILE = re.compile(r"(\d+)(_map\.txt|\.map)", re.IGNORECASE)
_CONDITION_FILE = re.compile(r"(\d+)\.cnd", re.IGNORECASE)
_TYPES = {2: "u2", 4: "u4", 8: "f8"}

# What lines of 0.cnd end with -> our name.
_SHARED_LINES = {
    "X-axis Step Number": "columns",
    "Y-axis Step Number": "rows",
    "X Step Size [um]": "step_x",
    "Y Step Size [um]": "step_y",
    "Dwell Time [msec]": "dwell",
    "Probe Current": "current",
    "Measurement Start Position X": "start_x",
    "Measurement Start Position Y": "start_y",
    "Stage[S] or Beam[B] Scan": "scan",
}
_ELEMENT_LINES = {
    "Signal Name": "signal",
    "Max Value": "largest",
    "Accumulation Number": "accumulation",
}


@dataclass(frozen=True)
class Conditions:
    """Conditions of one map. Lengths as in the files: start in mm, step in um."""

    element: str = ""
    signal: str = "W"
    columns: int = 0
    rows: int = 0
    step: tuple[float, float] = (math.nan, math.nan)
    start: tuple[float, float] = (math.nan, math.nan)
    dwell_ms: float = math.nan
    current_A: float = math.nan
    accumulation: float = 1.0
    is_stage_scan: bool = True
    largest: float = 0.0
    place: str = ""


@dataclass
class _Folder:
    """The files of one map folder by their number."""

    maps: dict[int, str] = field(default_factory=dict)
    conditions: dict[int, str] = field(default_factory=dict)


def is_jeol(source: Source) -> bool:
    """Whether a folder holds maps ``<n>_map.txt`` or ``<n>.map`` with ``0.cnd`` or ``<n>.cnd``."""
    folder = _sort_files(source)
    if source.chosen and source.chosen not in (*folder.maps.values(), *folder.conditions.values()):
        return False
    return any(n in folder.conditions or 0 in folder.conditions for n in folder.maps)


def read_jeol(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read a folder of SUN-era maps.

    The text is a matrix with rows along stage x and columns along stage y; the native file has the
    same order (stage scan) or rows of the image (beam scan). Images are turned so that rows grow
    with stage y and columns run towards smaller x, as JEOL shows them. Start positions are centres
    of pixels.

    Raises
    ------
    FormatError
        If conditions are missing or unreadable, or a map is cut short.
    DataError
        If a map holds something else than counts.
    """
    folder = _sort_files(source)
    every = _conditions(source, folder)
    chosen = {
        n
        for files in (folder.maps, folder.conditions)
        for n, name in files.items()
        if n > 0 and name == source.chosen
    }
    parts = MapParts(NATIVE)
    used: list[Conditions] = []
    lacking = []
    for n, conditions in sorted(every.items()):
        if (chosen and n not in chosen) or conditions.element in ignore:
            continue
        if conditions.signal == "I" or is_electron_signal(conditions.element):
            parts.notes.append(f"map {n} ({conditions.element}) left out: an electron image")
            continue
        if n not in folder.maps:
            lacking.append((n, conditions))
            continue
        element = element_symbol(conditions.element)
        if element is None:
            raise FormatError(
                f"{conditions.place}: map {n} is of {conditions.element!r}, which is no element. "
                f"If it is no X-ray map, leave it out with ignore=[{conditions.element!r}]."
            )
        name = folder.maps[n]
        parts.add(element, _read_map(source, name, conditions, parts.notes), source.place(name))
        parts.dwell_s[element] = conditions.dwell_ms * conditions.accumulation / 1000
        used.append(conditions)
    _refuse_lacking(lacking, source)
    if any(name.lower().endswith(".txt") for name in parts.places.values()):
        parts.format = TEXT
    _add_shared_conditions(parts, used)
    return parts


def native_image(
    content: bytes, shape: tuple[int, int], is_stage_scan: bool, order: str, place: str
) -> np.ndarray:
    """Read a native binary map.

    Parameters
    ----------
    content
        The file; it has no header.
    shape
        Columns (along stage x) and rows (along stage y) of the image.
    is_stage_scan
        Stage scans are stored column by column from small x, beam scans row by row.
    order
        ">" big-endian (JXA-8800), "<" little-endian (JXA-8530F).
    place
        File name, for messages.

    Returns
    -------
    Array (row, column), as stored: uint16, uint32 or float64.

    Raises
    ------
    FormatError
        If the length does not fit the number of pixels.
    """
    columns, rows = shape
    itemsize, rest = divmod(len(content), columns * rows)
    if rest or itemsize not in _TYPES:
        sizes = " or ".join(str(size) for size in _TYPES)
        raise FormatError(
            f"{place}: {len(content)} bytes, but {columns} x {rows} pixels need {sizes} bytes "
            "each. The file seems to be cut short, or belongs to other conditions."
        )
    values = np.frombuffer(content, dtype=f"{order}{_TYPES[itemsize]}")
    if is_stage_scan:
        return np.rot90(values.reshape(columns, rows), 3)
    return values.reshape(rows, columns)


def dollar_values(text: str) -> dict[str, str]:
    """Read lines ``$KEY value`` of a JEOL condition file."""
    pairs = ([*line[1:].split(None, 1), ""] for line in text.split("\n") if line.startswith("$"))
    return {pair[0]: pair[1].strip() for pair in pairs if pair[0]}


def _sort_files(source: Source) -> _Folder:
    """Sort the files of the folder into maps and conditions."""
    folder = _Folder()
    for name in source.files():
        found = _MAP_FILE.fullmatch(name)
        # The exported text is preferred to the native file of the same number.
        if found and (int(found[1]) not in folder.maps or name.lower().endswith(".txt")):
            folder.maps[int(found[1])] = name
        found = _CONDITION_FILE.fullmatch(name)
        if found:
            folder.conditions[int(found[1])] = name
    if source.chosen and _MAP_FILE.fullmatch(source.chosen):
        folder.maps[int(_MAP_FILE.fullmatch(source.chosen)[1])] = source.chosen  # type: ignore[index]
    return folder


def _conditions(source: Source, folder: _Folder) -> dict[int, Conditions]:
    """Join the conditions shared by all maps (0.cnd) with those of each (<n>.cnd)."""
    shared = Conditions()
    blocks: dict[int, Conditions] = {}
    if 0 in folder.conditions:
        name = folder.conditions[0]
        shared, blocks = _read_shared(source.text(name), source.place(name))
    every = dict(blocks)
    for n, name in folder.conditions.items():
        if n > 0:
            own = dollar_values(source.text(name))
            every[n] = _read_own(own, blocks.get(n, shared), source.place(name))
    for n, name in folder.maps.items():
        if n not in every:
            raise FormatError(
                f"{source.place(name)}: no conditions of map {n}; {n}.cnd or an element No. {n} "
                f"in 0.cnd is needed. {listed(folder.conditions.values())} found."
            )
    for n, conditions in every.items():
        if n in folder.maps and not (conditions.columns and conditions.rows):
            raise FormatError(f"{conditions.place}: the number of steps in x and y is missing.")
    return every


def _read_shared(text: str, place: str) -> tuple[Conditions, dict[int, Conditions]]:
    """Read 0.cnd: lines ``value description``, then a block of lines for every element."""
    found: dict[str, str] = {}
    blocks: list[dict[str, str]] = []
    for line in text.split("\n"):
        if "Element Name No." in line:
            blocks.append({"element": line.split()[0] if line[:1].strip() else ""})
        wanted = _ELEMENT_LINES if blocks else _SHARED_LINES
        for phrase, key in wanted.items():
            before, separator, _ = line.partition(phrase)
            if separator and before.split():
                (blocks[-1] if blocks else found).setdefault(key, before.split()[0])
    shared = _shared_conditions(found, place)
    return shared, {
        n: replace(
            shared,
            element=block["element"],
            signal=block.get("signal", "W"),
            largest=number(block.get("largest", "0"), "Max Value", place),
            accumulation=_accumulation(block, shared, place),
        )
        for n, block in enumerate(blocks, start=1)
    }


def _shared_conditions(found: dict[str, str], place: str) -> Conditions:
    """Turn the texts of 0.cnd into numbers."""

    def value(key: str) -> float:
        return number(found[key], key, place) if key in found else math.nan

    sizes = [whole_number(found[k], k, place) if k in found else 0 for k in ("columns", "rows")]
    return Conditions(
        columns=sizes[0],
        rows=sizes[1],
        step=(value("step_x"), value("step_y")),
        start=(value("start_x"), value("start_y")),
        dwell_ms=value("dwell"),
        current_A=value("current"),
        is_stage_scan=found.get("scan", "S").upper() != "B",
        place=place,
    )


def _accumulation(block: dict[str, str], shared: Conditions, place: str) -> float:
    """Give how many beam scans were added up; stage scans are single."""
    if shared.is_stage_scan or "accumulation" not in block:
        return 1.0
    return float(whole_number(block["accumulation"], "Accumulation Number", place))


def _read_own(own: dict[str, str], base: Conditions, place: str) -> Conditions:
    """Read <n>.cnd, whose values win over those of 0.cnd."""
    conditions = replace(base, place=place)
    if own.get("XM_ELEMENT"):
        conditions = replace(conditions, element=own["XM_ELEMENT"].split()[0])
    if own.get("CM_CURRENT"):
        current = number(own["CM_CURRENT"].split()[0], "CM_CURRENT", place)
        conditions = replace(conditions, current_A=current)
    if own.get("XM_DWELL_TIME"):
        dwell = number(own["XM_DWELL_TIME"].split()[0], "XM_DWELL_TIME", place)
        conditions = replace(conditions, dwell_ms=dwell)
    for key, name in (("XM_STEP_SIZE", "step"), ("XM_MAP_START", "start")):
        if own.get(key):
            pair = _two(own[key], key, place)
            conditions = replace(conditions, **{name: tuple(number(t, key, place) for t in pair)})  # type: ignore[arg-type]
    if own.get("XM_POINTS"):
        columns, rows = (
            whole_number(t, "XM_POINTS", place) for t in _two(own["XM_POINTS"], "XM_POINTS", place)
        )
        conditions = replace(conditions, columns=columns, rows=rows)
    return conditions


def _two(text: str, key: str, place: str) -> list[str]:
    parts = text.split()
    if len(parts) < 2:
        raise FormatError(f"{place}: {key} is {text!r}; two numbers (x and y) are needed.")
    return parts[:2]


def _read_map(source: Source, name: str, at: Conditions, notes: list[str]) -> np.ndarray:
    """Read one map as an image (row, column)."""
    place = source.place(name)
    content = source.read(name)
    shape = (at.columns, at.rows)
    if name.lower().endswith(".txt"):
        matrix = text_matrix(content, place)
        stored = shape if at.is_stage_scan else shape[::-1]
        check_shape(matrix, stored, place, at.place)
        counts = whole_counts(matrix, in_file(place))
        image = np.rot90(counts, 3) if at.is_stage_scan else counts
    else:
        images = [native_image(content, shape, at.is_stage_scan, o, place) for o in "><"]
        with np.errstate(invalid="ignore"):
            stated = [float(image.max()) == at.largest for image in images]
        # Written big-endian; the largest count that the conditions state shows copies that are not.
        little = not stated[0] and stated[1]
        if little:
            notes.append(f"{place} read as little-endian: its largest count is then as stated")
        image = whole_counts(images[int(little)], image_pixel(place))
    if at.largest and int(image.max()) != at.largest:
        notes.append(f"{place}: largest count {image.max()}, but {at.place} states {at.largest:g}")
        logger.warning("%s", notes[-1])
    return np.ascontiguousarray(image)


def _refuse_lacking(lacking: list[tuple[int, Conditions]], source: Source) -> None:
    """Raise if conditions list elements whose maps are not there."""
    if lacking:
        names = [conditions.element for _, conditions in lacking]
        n, first = lacking[0]
        raise FormatError(
            f"{first.place} lists element No. {n}, {first.element}, but there is no {n}_map.txt or "
            f"{n}.map; lacking in {source.label or 'the folder'}: {', '.join(names)}. Add the "
            f"files, leave the elements out with ignore={names!r}, or give the path of one map."
        )


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
    if all(math.isfinite(v) and v > 0 for v in first.step) and all(map(math.isfinite, first.start)):
        parts.stage_to_pixel = stage_affine(first.start, first.step, first.columns, mirrored=True)
