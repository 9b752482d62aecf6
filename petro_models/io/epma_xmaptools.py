"""XMapTools folders: ``<Element>.txt``, ``Standards.txt`` and ``Classification.txt``."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

# Imported as a module: petro_models.io may be imported while phase_maps is being imported.
import petro_models.phase_maps.data as map_data
from petro_models.errors import DataError, FormatError
from petro_models.io import cells
from petro_models.io import species as chemistry
from petro_models.io.epma_matrix import file_counts
from petro_models.io.epma_parts import MapParts, element_symbol, is_electron_signal, number
from petro_models.io.epma_source import Source

FORMAT = "XMapTools"
STAGE_UNIT = "stage unit of Standards.txt"

_SUFFIXES = (".txt", ".asc", ".dat", ".csv")
_SECTION = re.compile(r"^\s*>\s*(\d)")
Corners = tuple[float, float, float, float]
"""Stage coordinates of the left, right, bottom and top edges of the map."""


def is_xmaptools(source: Source) -> bool:
    """Whether a folder holds at least one file named after an element."""
    return bool(_map_files(source))


def read_xmaptools(source: Source, ignore: frozenset[str]) -> MapParts:
    """Read maps without a header, one file per element; ``Standards.txt`` registers the stage.

    Dwell time, current and step are not in the files.

    Raises
    ------
    FormatError
        If a map is not a matrix of numbers.
    DataError
        If a map holds something else than counts.
    """
    parts = MapParts(FORMAT, stage_unit=STAGE_UNIT)
    for name, element in _map_files(source).items():
        if element in ignore:
            continue
        place = source.place(name)
        parts.add(element, file_counts(source.read(name), place), place)
    rest = [n for n in source.files() if n not in _map_files(source) and not source.chosen]
    unread = [n for n in rest if not standards_name([n]) and not classification_name([n])]
    if unread:
        parts.notes.append(f"not read: {', '.join(unread)} (not named after an element)")
    standards = standards_name(source.files())
    if standards and parts.counts:
        corners, _, _ = _read_standards(source.text(standards), source.place(standards))
        shape = next(iter(parts.counts.values())).shape
        parts.stage_to_pixel = stage_to_pixel(corners, shape)
    return parts


def read_standards(
    source: Source, name: str, maps: xr.Dataset | None, outside: str, label: str
) -> xr.Dataset:
    """Read the spot analyses in ``Standards.txt``, placed on the map by its own corners.

    Raises
    ------
    FormatError
        If a section or a row is not as it should be.
    DataError
        If an oxide is not known, an analysis is impossible, or a spot lies outside the map.
    """
    place = source.place(name)
    corners, headers, rows = _read_standards(source.text(name), place)
    oxides, notes = _oxides(headers, place)
    table = pd.DataFrame(rows[:, :-2], columns=oxides, index=range(1, len(rows) + 1))
    x, y = rows[:, -2], rows[:, -1]
    column = row = None
    if maps is not None:
        affine = stage_to_pixel(corners, (maps.sizes["y"], maps.sizes["x"]))
        column, row = map_data.pixel_positions(x, y, affine)
    return map_data.epma_spots(
        table,
        column=column,
        row=row,
        stage_x=x,
        stage_y=y,
        stage_unit=STAGE_UNIT,
        maps=maps,
        outside=outside,
        source=label,
        format="XMapTools Standards.txt",
        notes=notes,
    )


def read_classification(
    source: Source, name: str, maps: xr.Dataset | None, label: str
) -> xr.Dataset:
    """Read the pixels and densities of phases in ``Classification.txt``.

    XMapTools counts columns and rows from 1; here they count from 0.

    Raises
    ------
    FormatError
        If a line is not ``name column row``, or a density is no number.
    DataError
        If a phase lies outside the map, or a density is impossible.
    """
    place = source.place(name)
    sections = _sections(source.text(name), place)
    seeds: dict[str, tuple[float, float]] = {}
    notes = []
    for line, words in sections.get(1, []):
        if len(words) != 3:
            raise FormatError(
                f"{place}:{line}: {' '.join(words)!r}; a phase is three words: name, column, row."
            )
        position = (
            number(words[1], "column", f"{place}:{line}") - 1,
            number(words[2], "row", f"{place}:{line}") - 1,
        )
        if words[0] in seeds:
            notes.append(f"{place}:{line}: another pixel of {words[0]} not used")
        seeds.setdefault(words[0], position)
    if not seeds:
        raise FormatError(f"{place}: no phase below '>1'; lines 'name column row' belong there.")
    return map_data.phase_seeds(
        list(seeds),
        [position[0] for position in seeds.values()],
        [position[1] for position in seeds.values()],
        density_kg_m3=_densities(sections.get(2, []), list(seeds), place),
        maps=maps,
        source=label,
        notes=notes,
    )


def stage_to_pixel(corners: Corners, shape: tuple[int, ...]) -> np.ndarray:
    """Give the affine from stage to (column, row), from the edges of the map.

    The edges are those of the outer pixels, whose centres lie half a pixel further in.
    """
    left, right, bottom, top = corners
    per_x, per_y = shape[1] / (right - left), shape[0] / (bottom - top)
    return np.array([[per_x, 0, -left * per_x - 0.5], [0, per_y, -top * per_y - 0.5]])


def standards_name(names: Iterable[str]) -> str:
    """Find ``Standards.txt`` among file names ("" if it is not there)."""
    return next((n for n in names if re.fullmatch(r"standards.*\.txt", n.lower())), "")


def classification_name(names: Iterable[str]) -> str:
    """Find ``Classification.txt`` among file names ("" if it is not there)."""
    return next((n for n in names if re.fullmatch(r"classification.*\.txt", n.lower())), "")


def _map_files(source: Source) -> dict[str, str]:
    """Find the files named after an element."""
    found = {}
    for name in [source.chosen] if source.chosen else source.files():
        path = PurePosixPath(name)
        element = None if is_electron_signal(path.stem) else element_symbol(path.stem)
        if element and path.suffix.lower() in _SUFFIXES:
            found[name] = element
    return found


def _sections(text: str, place: str) -> dict[int, list[tuple[int, list[str]]]]:
    """Split a file at its lines '>1', '>2', ... into numbered lines of words."""
    sections: dict[int, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] | None = None
    for line_number, line in enumerate(text.split("\n"), start=1):
        found = _SECTION.match(line)
        if found:
            current = sections.setdefault(int(found[1]), [])
        elif current is not None and line.strip() and line.strip()[0] not in "!%#":
            current.append((line_number, line.replace(",", " ").split()))
    if not sections:
        raise FormatError(f"{place}: no section '>1'. Is it a file of XMapTools?")
    return sections


def _read_standards(text: str, place: str) -> tuple[Corners, list[str], np.ndarray]:
    """Read corners, names of columns and analyses (spot, column) of a standards file."""
    sections = _sections(text, place)
    lacking = [str(n) for n in (1, 2, 3) if not sections.get(n)]
    if lacking:
        raise FormatError(
            f"{place}: nothing below '>{lacking[0]}'. The sections are >1 corners of the map (left "
            "right bottom top), >2 oxides, then X and Y, >3 analyses."
        )
    line, words = sections[1][0]
    corners = [number(word, "a corner of the map", f"{place}:{line}") for word in words]
    if len(corners) != 4 or corners[0] == corners[1] or corners[2] == corners[3]:
        raise FormatError(
            f"{place}:{line}: {' '.join(words)!r}; the corners of the map are four numbers, left "
            "right bottom top, that enclose an area."
        )
    line, headers = sections[2][0]
    if len(headers) < 3 or [header.upper() for header in headers[-2:]] != ["X", "Y"]:
        raise FormatError(f"{place}:{line}: the last two columns must be X and Y.")
    rows = []
    for line, words in sections[3]:
        if len(words) != len(headers):
            raise FormatError(
                f"{place}:{line}: {len(words)} numbers, but {len(headers)} columns are named "
                "below '>2'."
            )
        rows.append([number(w, h, f"{place}:{line}") for w, h in zip(words, headers, strict=True)])
    return (corners[0], corners[1], corners[2], corners[3]), headers, np.array(rows)


def _oxides(headers: list[str], place: str) -> tuple[list[str], list[str]]:
    """Give the canonical oxides of the columns before X and Y."""
    oxides, notes = [], []
    for header in headers[:-2]:
        oxide, note = canonical_oxide(header, place)
        oxides.append(oxide)
        notes += [note] if note else []
    return oxides, notes


def canonical_oxide(header: str, place: str) -> tuple[str, str]:
    """Give the oxide a column header names, and a note if it was spelt otherwise.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        read = chemistry.read_header(header)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None
    if read.role != "species":
        raise DataError(f"{place}: {header!r} is not an oxide such as 'SiO2' or 'Al2O3'.")
    # A microprobe measures iron as a whole, whatever the column says.
    oxide = read.species.removesuffix("T") if read.species.startswith("Fe") else read.species
    return oxide, "" if oxide == header else f"{header!r} read as {oxide}"


def _densities(
    lines: list[tuple[int, list[str]]], phases: list[str], place: str
) -> list[float] | None:
    """Read densities: one a line in the order of the phases, or lines ``name density``."""
    if not lines:
        return None
    values: dict[str, float] = {}
    for (line, words), phase in zip(lines, phases, strict=False):
        named = len(words) == 2 and cells.parse_number(words[0]) is None
        name = words[0] if named else phase
        if name not in phases:
            raise FormatError(f"{place}:{line}: {name!r} is not one of {', '.join(phases)}.")
        values[name] = number(words[-1], f"density of {name}", f"{place}:{line}")
    if len(lines) != len(phases):
        raise FormatError(
            f"{place}: {len(lines)} densities for {len(phases)} phases; give one for each, in "
            "their order."
        )
    return [values.get(phase, float("nan")) for phase in phases]
