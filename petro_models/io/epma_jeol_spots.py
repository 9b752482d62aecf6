"""JEOL spot analyses: ``.qnt`` folders with a table for every quantity, a row per spot."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

# Imported as a module: petro_models.io may be imported while phase_maps is being imported.
import petro_models.phase_maps.data as map_data
from petro_models.errors import FormatError
from petro_models.io import species as chemistry
from petro_models.io.epma_jeol import dollar_values
from petro_models.io.epma_parts import element_symbol, number
from petro_models.io.epma_source import Source
from petro_models.io.epma_xmaptools import canonical_oxide

FORMAT = "JEOL .qnt spots"

_INTENSITIES = {
    "net": "net_counts_per_s_uA",
    "pkint": "peak_counts_per_s_uA",
    "bgm": "background_minus_counts_per_s_uA",
    "bgp": "background_plus_counts_per_s_uA",
}
_CONDITION_LINES = {
    "Back +[mm]": "background_plus_offset_mm",
    "Back -[mm]": "background_minus_offset_mm",
    "Peak Meas. Time": "peak_time_s",
    "Back Meas. Time": "background_time_s",
}
_CONDITION_KEYS = {
    "XM_ELEM_WDS_BACK_PLUS": "background_plus_offset_mm",
    "XM_ELEM_WDS_BACK_MINUS": "background_minus_offset_mm",
    "XM_ELEM_WDS_QNT_PEAK_TIME": "peak_time_s",
    "XM_ELEM_WDS_QNT_BACK_TIME": "background_time_s",
}


@dataclass(frozen=True)
class _Table:
    """Rows of one file: spot label -> cells after the number of elements; and their lines."""

    rows: dict[str, list[str]]
    lines: dict[str, int]
    place: str

    def where(self, spot: str) -> str:
        return f"{self.place}:{self.lines[spot]}"


def is_jeol_spots(source: Source) -> bool:
    """Whether a folder holds the tables of analyses, elements and positions."""
    return {"wt.qnt", "elem.qnt", "stg.qnt"} <= {name.lower() for name in source.files()}


def read_jeol_spots(
    source: Source, maps: xr.Dataset | None, outside: str, label: str
) -> xr.Dataset:
    """Read the tables of a ``.qnt`` folder.

    Intensities are in counts per second and microampere. The background at the peak is the peak
    less the net intensity, or else interpolated between the two sides.

    Raises
    ------
    FormatError
        If a table is missing, is cut short, or has other spots than the rest.
    DataError
        If an oxide is not known, an analysis is impossible, or a spot lies outside the map.
    """
    names = {name.lower(): name for name in source.files()}
    tables = {
        key: _read_table(source, names[f"{key}.qnt"])
        for key in ("wt", "elem", "elint", "mes", *_INTENSITIES)
        if f"{key}.qnt" in names
    }
    spots = list(tables["wt"].rows)
    for table in tables.values():
        if list(table.rows) != spots:
            raise FormatError(
                f"{table.place}: {len(table.rows)} spots, but {tables['wt'].place} has "
                f"{len(spots)}, or their numbers differ. Is one of them cut short?"
            )
    x, y, comments = _positions(source, names["stg.qnt"], spots)
    oxides, notes = _oxides(tables["elem"])
    values = _by_species(tables["wt"], oxides)
    columns = list(dict.fromkeys(name for row in oxides.values() for name in row))
    elements, extras = _intensities(tables, oxides)
    extras |= _conditions(source, elements, notes)
    if "mes" in tables:
        currents = [
            number((tables["mes"].rows[s] or [""])[0], "current", tables["mes"].where(s)) * 1e9
            for s in spots
        ]
        extras["spot_current_nA"] = (("spot",), currents, "nA")
    result = map_data.epma_spots(
        pd.DataFrame(values, index=spots, columns=columns),
        stage_x=x,
        stage_y=y,
        stage_unit="mm",
        phase=comments,
        extras=extras,
        extra_elements=elements,
        maps=maps,
        outside=outside,
        source=label,
        format=FORMAT,
        notes=notes,
    )
    background = _background_at_peak(result)
    if background is not None:
        units = {"units": "counts/s/uA", "long_name": "background at the peak"}
        result["background_counts_per_s_uA"] = background.assign_attrs(units)
    return result


def _read_table(source: Source, name: str) -> _Table:
    """Read a table: spot, number of elements, one cell for each, and usually their sum."""
    place = source.place(name)
    rows: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for line, text in enumerate(source.text(name).split("\n"), start=1):
        cells = text.split()
        if not cells:
            continue
        count = int(number(cells[1], "number of elements", f"{place}:{line}")) if cells[1:] else -1
        if count < 0 or len(cells) < 2 + count:
            raise FormatError(
                f"{place}:{line}: {text.strip()[:60]!r}; a row is the spot, the number of "
                "elements, and a cell for each. The file seems to be cut short."
            )
        if cells[0] in rows:
            raise FormatError(f"{place}:{line}: spot {cells[0]} stands there twice.")
        rows[cells[0]], lines[cells[0]] = cells[2 : 2 + count], line
    if not rows:
        raise FormatError(f"{place}: no spots.")
    return _Table(rows, lines, place)


def _positions(
    source: Source, name: str, spots: list[str]
) -> tuple[list[float], list[float], list[str]]:
    """Read stage x and y (mm) and the comment of every spot."""
    place = source.place(name)
    found: dict[str, tuple[float, float, str]] = {}
    for line, text in enumerate(source.text(name).split("\n"), start=1):
        if not text.strip():
            continue
        cells = text.split("\t") if text.count("\t") >= 6 else text.split(None, 9)
        if len(cells) < 7:
            raise FormatError(
                f"{place}:{line}: {len(cells)} cells; stage x, y and z are the fifth to seventh. "
                "The file seems to be cut short."
            )
        x, y = (number(cell, "stage position", f"{place}:{line}") for cell in cells[4:6])
        comment = " ".join(cells[9].split()) if len(cells) > 9 else ""
        found[cells[0].strip()] = (x, y, comment)
    if list(found) != spots:
        raise FormatError(
            f"{place}: {len(found)} positions for {len(spots)} spots, or their numbers differ. "
            "Is the file cut short?"
        )
    x_values, y_values, comments = zip(*found.values(), strict=True)
    return list(x_values), list(y_values), list(comments)


def _oxides(table: _Table) -> tuple[dict[str, list[str]], list[str]]:
    """Give the canonical oxides of every spot, and notes on their spelling."""
    canonical: dict[str, str] = {}
    notes: list[str] = []
    for spot, names in table.rows.items():
        for name in names:
            if name not in canonical:
                canonical[name], note = canonical_oxide(name, table.where(spot))
                notes += [note] if note else []
    return {spot: [canonical[name] for name in row] for spot, row in table.rows.items()}, notes


def _by_species(table: _Table, species: dict[str, list[str]]) -> np.ndarray:
    """Spread the cells over columns, one a species; NaN where a spot did not measure it."""
    columns = list(dict.fromkeys(name for row in species.values() for name in row))
    values = np.full((len(table.rows), len(columns)), np.nan)
    for index, (spot, cells) in enumerate(table.rows.items()):
        if len(cells) != len(species[spot]):
            raise FormatError(
                f"{table.where(spot)}: {len(cells)} values for {len(species[spot])} elements."
            )
        for cell, name in zip(cells, species[spot], strict=True):
            values[index, columns.index(name)] = number(cell, name, table.where(spot))
    return values


def _intensities(
    tables: dict[str, _Table], oxides: dict[str, list[str]]
) -> tuple[list[str], dict[str, map_data.Extra]]:
    """Give the elements and their intensities (spot, element)."""
    symbols = tables["elint"].rows if "elint" in tables else oxides
    by_spot: dict[str, list[str]] = {}
    for spot, names in symbols.items():
        elements = [element_symbol(name) or chemistry.element_of(name) or "" for name in names]
        if len(elements) != len(oxides[spot]) or not all(elements):
            table = tables.get("elint", tables["elem"])
            raise FormatError(f"{table.where(spot)}: {' '.join(names)!r} are not all elements.")
        by_spot[spot] = elements
    columns = list(dict.fromkeys(name for row in by_spot.values() for name in row))
    arrays = {
        name: _by_species(tables[key], by_spot)
        for key, name in _INTENSITIES.items()
        if key in tables
    }
    dims = ("spot", "element")
    return columns, {name: (dims, array, "counts/s/uA") for name, array in arrays.items()}


def _conditions(source: Source, elements: list[str], notes: list[str]) -> dict[str, map_data.Extra]:
    """Read offsets of the background and counting times, by element."""
    name = next(
        (n for n in source.names if n.lower() in (".cnd/elemw.cnd", "pos_0001/data001.cnd")), ""
    )
    if not name:
        notes.append("no conditions of the spots (elemw.cnd): counting times are not known")
        return {}
    place, text = source.place(name), source.text(name)
    if PurePosixPath(name).name.lower() == "elemw.cnd":
        found: dict[str, list[float]] = {key: [] for key in _CONDITION_LINES.values()}
        for line in text.split("\n"):
            for phrase, key in _CONDITION_LINES.items():
                before, separator, _ = line.partition(phrase)
                if separator and before.split():
                    found[key].append(number(before.split()[0], phrase, place))
    else:
        keys = dollar_values(text)
        found = {
            name: [
                number(keys.get(f"{key}%{n}", ""), key, place)
                for n in range(len(elements))
                if f"{key}%{n}" in keys
            ]
            for key, name in _CONDITION_KEYS.items()
        }
    if any(len(values) != len(elements) for values in found.values()):
        notes.append(
            f"{place}: conditions are not those of {len(elements)} elements; counting times and "
            "background offsets are not used"
        )
        return {}
    units = {True: "mm", False: "s"}
    return {
        key: (("element",), values, units[key.endswith("_mm")]) for key, values in found.items()
    }


def _background_at_peak(spots: xr.Dataset) -> xr.DataArray | None:
    """Give the background at the peak (spot, element), or None if nothing shows it."""
    if {"peak_counts_per_s_uA", "net_counts_per_s_uA"} <= set(spots.data_vars):
        return spots["peak_counts_per_s_uA"] - spots["net_counts_per_s_uA"]
    sides = ("background_minus_counts_per_s_uA", "background_plus_counts_per_s_uA")
    if not set(sides) <= set(spots.data_vars):
        return None
    minus, plus = (spots[name] for name in sides)
    if "background_minus_offset_mm" not in spots:
        return (minus + plus) / 2
    left, right = spots["background_minus_offset_mm"], spots["background_plus_offset_mm"]
    span = left + right
    return ((minus * right + plus * left) / span).where(span > 0, (minus + plus) / 2)
