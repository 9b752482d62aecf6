"""Maps as TIFF stacks, NumPy arrays or CSV matrices, with a TOML sidecar that says what they are.

The sidecar ``maps.toml`` beside ``maps.tif`` (.npy, .npz) names the elements in their order; or it
names a file for each element, one matrix each::

    elements = ["Al", "Si"]                 # pages of the TIFF, or first axis of the array
    # or: [files]                           # one file an element: .csv, .txt, .tif, .npy
    #     Al = "aluminium.csv"
    dwell_s = 0.1                           # or [dwell_s] Al = 0.1, Si = 0.05
    dead_time_ns = 1200
    probe_current_nA = 100
    step_um = 2.0
    [stage_to_pixel]                        # (column, row) = A (x, y, 1); whole = pixel centre
    unit = "mm"
    column = [-500.0, 0.0, 12000.0]
    row = [0.0, 500.0, -9000.0]
"""

import io
import logging
import math
import tokenize
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import tifffile

from petro_models.errors import DataError, FormatError, nearest
from petro_models.io.epma_matrix import image_pixel, in_file, text_matrix, whole_counts
from petro_models.io.epma_parts import MapParts
from petro_models.io.epma_source import MEMBER_LIMIT_BYTES, Source, decode, listed
from petro_models.phase_maps.schema import check_elements

KEYS = (
    "elements",
    "file",
    "files",
    "dwell_s",
    "dead_time_ns",
    "probe_current_nA",
    "step_um",
    "stage_to_pixel",
)
"""What a sidecar may say."""

_FORMATS = {
    ".tif": "TIFF stack",
    ".tiff": "TIFF stack",
    ".npy": "NumPy array",
    ".npz": "NumPy archive",
    ".csv": "CSV matrices",
    ".txt": "text matrices",
}
# What damaged TIFF and NumPy files make their readers raise.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)


def is_sidecar(source: Source) -> bool:
    """Whether the chosen file is a sidecar, an array file, or the folder holds one sidecar."""
    if source.chosen:
        suffix = PurePosixPath(source.chosen).suffix.lower()
        return suffix in (".toml", ".tif", ".tiff", ".npy", ".npz") or bool(_beside(source))
    return len(_sidecars(source)) == 1


def read_sidecar(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read maps as the sidecar describes them.

    Raises
    ------
    FormatError
        If there is no sidecar, it has unknown keys, or a file is damaged.
    DataError
        If the number of pages is not that of the elements, or a map holds no counts.
    """
    name, data_name = _find(source)
    if not name:
        return _without_sidecar(source, data_name, ignore)
    place = source.place(name)
    said = _parse(source.text(name), place)
    parts = MapParts("")
    if "files" in said:
        _read_files(source, said["files"], parts, ignore, place)
    else:
        data_name = str(said.get("file", data_name))
        _read_stack(source, data_name, said, parts, ignore, place)
    _add_conditions(parts, said, ignore, place)
    return parts


def _sidecars(source: Source) -> list[str]:
    """List the TOML files of a folder that look like sidecars."""
    names = [name for name in source.files() if name.lower().endswith(".toml")]
    return [n for n in names if b"elements" in (head := source.head(n)) or b"[files]" in head]


def _beside(source: Source) -> str:
    """Find the sidecar beside the chosen file ("" if there is none)."""
    stem = PurePosixPath(source.chosen).stem
    return next((name for name in source.files() if name == f"{stem}.toml"), "")


def _find(source: Source) -> tuple[str, str]:
    """Give the names of the sidecar and of the data beside it."""
    if source.chosen and not source.chosen.lower().endswith(".toml"):
        return _beside(source), source.chosen
    name = source.chosen or _sidecars(source)[0]
    stem = PurePosixPath(name).stem
    beside = [f for f in source.files() if PurePosixPath(f).stem == stem and f != name]
    known = [f for f in beside if PurePosixPath(f).suffix.lower() in _FORMATS]
    return name, known[0] if len(known) == 1 else ""


def _without_sidecar(source: Source, name: str, ignore: frozenset[str]) -> MapParts:
    """Read an .npz file, whose arrays have names; other arrays do not say what they are."""
    place = source.place(name)
    if not name.lower().endswith(".npz"):
        raise FormatError(
            f"{place}: nothing says which elements these are. Write "
            f"{PurePosixPath(name).stem}.toml "
            'beside it, with elements = ["Al", "Si"] in the order of the pages, and what is known '
            f"of {', '.join(KEYS[3:])}."
        )
    parts = MapParts(_FORMATS[".npz"])
    for element, matrix in _archive(source.read(name), place).items():
        if element not in ignore:
            where = f"{place}, array {element}"
            parts.add(element, whole_counts(matrix, image_pixel(where)), where)
    return parts


def _parse(text: str, place: str) -> dict[str, Any]:
    """Read the sidecar and refuse keys that are not known."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{place}: not TOML: {error}.") from None
    for key in said:
        if key not in KEYS:
            raise FormatError(f"{place}: {key!r} is not known; {nearest(key, KEYS)}.")
    if ("files" in said) == ("elements" in said):
        raise FormatError(f"{place}: give either elements (a list) or files (element = file name).")
    if "elements" in said and not _is_list_of_texts(said["elements"]):
        raise FormatError(
            f'{place}: elements is {said["elements"]!r}; a list such as ["Al", "Si"].'
        )
    if "files" in said and (not isinstance(said["files"], dict) or not said["files"]):
        raise FormatError(f'{place}: files must name a file for each element: Si = "si.csv".')
    check_elements(list(said["elements"] if "elements" in said else said["files"]), place)
    return said


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _read_files(
    source: Source, files: Mapping[str, object], parts: MapParts, ignore: frozenset[str], place: str
) -> None:
    """Read one file for each element."""
    for element, given in files.items():
        name = str(given)
        if element in ignore:
            continue
        if name not in source.names:
            raise FormatError(
                f"{place}: {name!r}, the map of {element}, is not there; "
                f"{listed(source.files())} found."
            )
        where = source.place(name)
        stack, is_text = _matrices(source, name)
        if len(stack) != 1:
            raise DataError(f"{where}: {len(stack)} maps, but files names it for {element} alone.")
        locate = in_file(where) if is_text else image_pixel(where)
        parts.add(element, whole_counts(stack[0], locate), where)
        parts.format = parts.format or _format(name)


def _read_stack(
    source: Source,
    name: str,
    said: Mapping[str, Any],
    parts: MapParts,
    ignore: frozenset[str],
    place: str,
) -> None:
    """Read one file that holds the maps of all elements."""
    elements: list[str] = said["elements"]
    if not name or name not in source.names:
        raise FormatError(
            f"{place}: the maps, {name or 'a .tif, .npy or .npz of the same name'}, are not there; "
            f'{listed(source.files())} found. Name the file with file = "...".'
        )
    where = source.place(name)
    stack, _ = _matrices(source, name, elements)
    if len(stack) != len(elements):
        raise DataError(
            f"{where}: {len(stack)} maps, but {place} names {len(elements)} elements: "
            f"{', '.join(elements)}."
        )
    parts.format = _format(name)
    for element, matrix in zip(elements, stack, strict=True):
        if element not in ignore:
            of_map = f"{where}, map of {element}"
            parts.add(element, whole_counts(matrix, image_pixel(of_map)), of_map)


def _format(name: str) -> str:
    return f"{_FORMATS[PurePosixPath(name).suffix.lower()]} with TOML sidecar"


def _matrices(
    source: Source, name: str, elements: list[str] | None = None
) -> tuple[list[np.ndarray], bool]:
    """Read the matrices in one file, and say whether it is text."""
    place, content = source.place(name), source.read(name)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in (".csv", ".txt"):
        return [text_matrix(decode(content, place), place)], True
    if suffix in (".tif", ".tiff"):
        return _pages(content, place), False
    if suffix == ".npy":
        array = _array(content, place)
        return [array] if array.ndim == 2 else list(array), False
    if suffix == ".npz":
        arrays = _archive(content, place)
        for element in elements or ():
            if element not in arrays:
                raise DataError(f"{place}: no array {element!r}; {nearest(element, arrays)}.")
        return [arrays[element] for element in elements or arrays], False
    raise FormatError(
        f"{place}: files of this kind are not read here; allowed: {', '.join(_FORMATS)}."
    )


def _pages(content: bytes, place: str) -> list[np.ndarray]:
    """Read the pages of a TIFF file."""
    try:
        with _complaints() as complaints, tifffile.TiffFile(io.BytesIO(content)) as tiff:
            pages = list(tiff.pages)
            for page in pages:
                if math.prod(page.shape) * page.dtype.itemsize > MEMBER_LIMIT_BYTES:  # type: ignore[union-attr]
                    raise FormatError(f"{place}: a page of shape {page.shape} is too large.")
            arrays = [np.asarray(page.asarray()) for page in pages]
    except _DAMAGED as error:
        complaints = [_short(error)]
    if complaints:
        raise FormatError(
            f"{place}: not a readable TIFF file ({complaints[0]}). Save it again, uncompressed, "
            "one page an element."
        )
    if len(arrays) == 1 and arrays[0].ndim == 3:
        return list(arrays[0])
    return arrays


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect the errors that tifffile logs: it goes on with zeros where a page is damaged."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(record.getMessage()[:160])  # type: ignore[method-assign]
    log = logging.getLogger("tifffile")
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def _array(content: bytes, place: str) -> np.ndarray:
    """Read one .npy array; pickled objects are refused."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except _DAMAGED as error:
        raise FormatError(f"{place}: not a readable NumPy array ({_short(error)}).") from None
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        shape = getattr(array, "shape", "none")
        raise FormatError(
            f"{place}: shape {shape}; maps are (row, column) or (element, row, column)."
        )
    return array


def _archive(content: bytes, place: str) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz archive by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    members[name.removesuffix(".npy")] = member.read(MEMBER_LIMIT_BYTES + 1)
    except _DAMAGED as error:
        raise FormatError(f"{place}: not a readable NumPy archive ({_short(error)}).") from None
    for name, data in members.items():
        if len(data) > MEMBER_LIMIT_BYTES:
            raise FormatError(f"{place}: array {name!r} is too large.")
    if not members:
        raise FormatError(f"{place}: the archive is empty.")
    return {name: _array(data, f"{place}, array {name}") for name, data in members.items()}


def _add_conditions(
    parts: MapParts, said: Mapping[str, Any], ignore: frozenset[str], place: str
) -> None:
    """Take dwell, dead time, current, step and registration from the sidecar."""
    for key in ("dwell_s", "dead_time_ns"):
        known = _by_element(said.get(key), key, [*parts.counts, *ignore], place)
        setattr(parts, key, {name: known[name] for name in parts.counts if name in known})
    current = said.get("probe_current_nA", math.nan)
    parts.probe_current_nA = _real(current, "probe_current_nA", place)
    step = said.get("step_um", math.nan)
    steps = step if isinstance(step, list) else [step, step]
    if len(steps) != 2:
        raise FormatError(f"{place}: step_um is {step!r}; give one number, or [x, y].")
    parts.step_um = (_real(steps[0], "step_um", place), _real(steps[1], "step_um", place))
    stage = said.get("stage_to_pixel")
    if stage is None:
        return
    if not isinstance(stage, dict) or not set(stage) <= {"unit", "column", "row"}:
        raise FormatError(
            f"{place}: stage_to_pixel needs column and row, three numbers each, unit."
        )
    rows = [stage.get("column"), stage.get("row")]
    if not all(isinstance(row, list) and len(row) == 3 for row in rows):
        raise FormatError(f"{place}: stage_to_pixel needs column and row, three numbers each.")
    parts.stage_unit = str(stage.get("unit", "mm"))
    parts.stage_to_pixel = np.array(
        [[_real(v, "stage_to_pixel", place) for v in row or ()] for row in rows]
    )


def _by_element(given: object, key: str, elements: list[str], place: str) -> dict[str, float]:
    """Spread a condition over the elements."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        return dict.fromkeys(elements, _real(given, key, place))
    for element in given:
        if element not in elements:
            raise FormatError(
                f"{place}: {key} of {element!r}, which has no map; {nearest(element, elements)}."
            )
    return {element: _real(value, key, place) for element, value in given.items()}


def _real(value: object, key: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{place}: {key} is {value!r}, not a number.")
    return float(value)


def _short(error: BaseException) -> str:
    """Give the first line of an error of another library."""
    return (str(error).split("\n", 1)[0] or type(error).__name__)[:160]
