"""EPMA maps, spot analyses and phase seeds from the files of microprobes and map programs."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import xarray as xr

# Imported as a module: petro_models.io may be imported while phase_maps is being imported.
import petro_models.phase_maps.data as map_data
from petro_models.errors import DataError, FormatError, nearest
from petro_models.io import (
    epma_calcimage,
    epma_cameca,
    epma_hdf5,
    epma_jeol,
    epma_jeol_spots,
    epma_jxa,
    epma_sidecar,
    epma_spot_tables,
    epma_xmaptools,
)
from petro_models.io.epma_parts import MapParts
from petro_models.io.epma_source import Source, listed, open_source

logger = logging.getLogger(__name__)

FORMATS = (
    "JEOL .map folders (<n>_map.txt or <n>.map with .cnd files)",
    "JEOL JXA-8230/8530F folders (data<n>.cnd with data<n>.csv)",
    "Cameca text maps",
    "XMapTools folders (<Element>.txt) and zips of them",
    "CalcImage .DAT",
    "epmatools HDF5",
    "TIFF stacks, NumPy arrays and CSV matrices with a TOML sidecar",
)
"""What `read_epma` recognises."""

_SINGLE_FILES = (".zip", ".h5", ".hdf5", ".dat", ".tif", ".tiff", ".npy", ".npz")
_TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")


@dataclass(frozen=True)
class _Family:
    """One family of formats: how to recognise it and how to read it."""

    recognises: Callable[[Source], bool]
    read: Callable[[Source, frozenset[str]], MapParts]


# The first that recognises a source reads it: those with the surer marks come first.
_FAMILIES = (
    _Family(epma_sidecar.is_sidecar, epma_sidecar.read_sidecar),
    _Family(epma_calcimage.is_calcimage, epma_calcimage.read_calcimage),
    _Family(epma_jxa.is_jxa, epma_jxa.read_jxa),
    _Family(epma_jeol.is_jeol, epma_jeol.read_jeol),
    _Family(epma_cameca.is_cameca, epma_cameca.read_cameca),
    _Family(epma_xmaptools.is_xmaptools, epma_xmaptools.read_xmaptools),
)


def read_epma(
    path: str | Path,
    *,
    ignore: Sequence[str] = (),
    group: str | None = None,
    dwell_s: float | dict[str, float] | None = None,
    dead_time_ns: float | dict[str, float] | None = None,
    probe_current_nA: float | None = None,
    step_um: float | None = None,
) -> xr.Dataset:
    """Read the element maps of one area, in whatever format they are.

    Parameters
    ----------
    path
        Folder, zip archive (read in memory, never unpacked) or file. A file that belongs to a
        folder of maps, such as ``7.map``, stands for that map alone.
    ignore
        Elements or file names to leave out.
    group
        Which map, if the path holds several: a folder in it, or a map set of an HDF5 file.
    dwell_s, dead_time_ns, probe_current_nA, step_um
        Conditions that the files do not state, or state wrongly: seconds per pixel and
        nanoseconds (for all or by element), nA, micrometres.

    Returns
    -------
    xr.Dataset
        See `petro_models.phase_maps.data.validate_maps`; ``attrs["format"]`` says what was
        recognised, ``attrs["notes"]`` what was decided in reading. CalcImage files that hold
        wt% give `wt_percent` (oxide, y, x) instead of `counts`.

    Raises
    ------
    FormatError
        If the format is not recognised, or a file is damaged, cut short or missing.
    DataError
        If the content cannot be used: no whole counts, unequal shapes, two maps of an element.
    """
    where = Path(path)
    source = open_source(where)
    _check_ignore(ignore, source)
    source = replace(source, names=tuple(n for n in source.names if not _is_ignored(n, ignore)))
    parts = _read_parts(source, frozenset(ignore), group)
    _override(parts, dwell_s, dead_time_ns, probe_current_nA, step_um)
    if source.archive:
        parts.format += " (zip archive)"
    with _naming(where.name):
        maps = _build(parts, str(where))
    variable = "counts" if "counts" in maps else "wt_percent"
    logger.info(
        "%s read as %s: %s, %d x %d pixels",
        where.name,
        parts.format,
        " ".join(str(label) for label in maps[maps[variable].dims[0]].values),
        maps.sizes["x"],
        maps.sizes["y"],
    )
    return maps


def read_spots(
    path: str | Path, maps: xr.Dataset | None = None, *, outside: str = "error"
) -> xr.Dataset:
    """Read spot analyses, and place them on the maps.

    Parameters
    ----------
    path
        XMapTools ``Standards.txt``, or a folder or zip archive that holds it; a JEOL ``.qnt``
        folder, or the folder that holds it; or a table (CSV, TSV, Excel), see
        `petro_models.io.epma_spot_tables`.
    maps
        Maps on which the spots lie. Without them positions are not known, but the stage's are.
    outside
        What becomes of spots outside the map: "error", "drop" them, or "unplace" them (keep the
        analyses without a position).

    Returns
    -------
    xr.Dataset
        See `petro_models.phase_maps.data.validate_spots`.

    Raises
    ------
    FormatError
        If the format is not recognised or a file is damaged.
    DataError
        If an oxide is not known, an analysis is impossible, or a spot lies outside the map.
    """
    where = Path(path)
    source = open_source(where)
    with _naming(where.name):
        spots = _read_spots(source, where, maps, outside)
    placed = int(spots["column"].notnull().sum())
    if maps is not None and placed == 0:
        spots.attrs["notes"] += "\nno spot could be placed: the stage position of pixels is unknown"
        logger.warning("%s: no spot could be placed on the map", where.name)
    logger.info(
        "%s read as %s: %d spots, %d placed on the map",
        where.name,
        spots.attrs["format"],
        spots.sizes["spot"],
        placed,
    )
    return spots


def read_phase_seeds(
    path: str | Path, maps: xr.Dataset | None = None, *, group: str | None = None
) -> xr.Dataset:
    """Read a pixel of each phase, and densities where they are stated.

    Parameters
    ----------
    path
        XMapTools ``Classification.txt``, or a folder or zip archive that holds it; or an epmatools
        HDF5 file with labelled clusters.
    maps
        Maps on which the seeds must lie.
    group
        Map set of an HDF5 file that has several.

    Returns
    -------
    xr.Dataset
        See `petro_models.phase_maps.data.validate_seeds`.

    Raises
    ------
    FormatError
        If there are no seeds at the path.
    DataError
        If a seed lies outside the map, or a density is impossible.
    """
    where = Path(path)
    source = open_source(where)
    with _naming(where.name):
        return _read_seeds(source, where, maps, group)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let errors about the content say in which file it stands."""
    try:
        yield
    except DataError as error:
        if name in str(error):
            raise
        raise DataError(f"{name}: {error}") from None


def _read_parts(source: Source, ignore: frozenset[str], group: str | None) -> MapParts:
    """Recognise the format and read it."""
    if epma_hdf5.is_hdf5(source):
        return epma_hdf5.read_hdf5(source, ignore, group)
    if source.chosen:
        family = _family(source)
        if family is None:
            raise FormatError(_not_recognised(source.place(source.chosen), []))
        return family.read(source, ignore)
    folders = {folder: source.below(folder) for folder in source.folders()}
    found = {name: family for name, part in folders.items() if (family := _family(part))}
    if group is not None:
        if group not in found:
            raise FormatError(f"{source.label}: no map in {group!r}; {nearest(group, found)}.")
        return found[group].read(folders[group], ignore)
    if "" in found:
        return found[""].read(source, ignore)
    if len(found) > 1:
        raise FormatError(
            f"{source.label}: several maps: {listed(found)}. Give the path of one, or "
            f"group={next(iter(found))!r}."
        )
    if not found:
        raise FormatError(_not_recognised(source.label, list(source.names)))
    folder, family = next(iter(found.items()))
    return family.read(folders[folder], ignore)


def _family(source: Source) -> _Family | None:
    """Find the first family of formats that recognises a folder or file."""
    return next((family for family in _FAMILIES if family.recognises(source)), None)


def _not_recognised(label: str, names: list[str]) -> str:
    files = f" It holds {listed(names)}." if names else ""
    single = [name for name in names if name.lower().endswith(_SINGLE_FILES)]
    hint = f" Is the map in {single[0]}? Then give the path of that file." if single else ""
    known = "; ".join(FORMATS)
    return f"{label}: no format of EPMA maps is recognised.{files}{hint} Recognised: {known}."


def _is_ignored(name: str, ignore: Sequence[str]) -> bool:
    return name in ignore or PurePosixPath(name).name in ignore


def _check_ignore(ignore: Sequence[str], source: Source) -> None:
    """Raise DataError for an entry that is neither a file nor may be an element or oxide."""
    if isinstance(ignore, str):
        raise DataError(f"ignore={ignore!r} is a text; give a list, ignore=[{ignore!r}].")
    for entry in ignore:
        is_file = any(_is_ignored(name, [entry]) for name in source.names)
        if not is_file and "." in entry:
            names = [PurePosixPath(name).name for name in source.names]
            raise DataError(f"ignore: there is no file {entry!r}; {nearest(entry, names)}.")


def _override(
    parts: MapParts,
    dwell_s: float | dict[str, float] | None,
    dead_time_ns: float | dict[str, float] | None,
    probe_current_nA: float | None,
    step_um: float | None,
) -> None:
    """Let conditions that the caller states win over those of the files."""
    for name, given in (("dwell_s", dwell_s), ("dead_time_ns", dead_time_ns)):
        if given is not None:
            stated = given if isinstance(given, dict) else dict.fromkeys(parts.counts, given)
            setattr(parts, name, {**getattr(parts, name), **stated})
            parts.notes.append(f"{name} given by the caller")
    if probe_current_nA is not None:
        parts.probe_current_nA = probe_current_nA
        parts.notes.append("probe_current_nA given by the caller")
    if step_um is not None:
        parts.step_um = (step_um, step_um)
        parts.notes.append("step_um given by the caller")


def _build(parts: MapParts, source: str) -> xr.Dataset:
    """Turn the parts into a dataset."""
    step = parts.step_um if all(map(math.isfinite, parts.step_um)) else math.nan
    if parts.wt_percent:
        return map_data.composition_maps(
            parts.wt_percent,
            step_um=step,
            stage_to_pixel=parts.stage_to_pixel,
            stage_unit=parts.stage_unit,
            source=source,
            format=parts.format,
            notes=parts.notes,
        )
    if not parts.counts:
        raise FormatError(f"{source}: read as {parts.format}, but no map is left.")
    return map_data.epma_maps(
        parts.counts,
        dwell_s=parts.dwell_s,
        dead_time_ns=parts.dead_time_ns,
        probe_current_nA=parts.probe_current_nA,
        step_um=step,
        stage_to_pixel=parts.stage_to_pixel,
        stage_unit=parts.stage_unit,
        source=source,
        format=parts.format,
        notes=parts.notes,
        places=parts.places,
    )


def _read_spots(source: Source, where: Path, maps: xr.Dataset | None, outside: str) -> xr.Dataset:
    """Recognise the format of spot analyses and read them."""
    inside, standards = _named(source, epma_xmaptools.standards_name)
    if source.chosen:
        if standards:
            return epma_xmaptools.read_standards(source, standards, maps, outside, str(where))
        if where.suffix.lower() in _TABLE_SUFFIXES:
            return epma_spot_tables.read_spot_table(where, maps, outside, str(where))
        raise FormatError(
            f"{where.name}: no format of spot analyses is recognised; give Standards.txt, a JEOL "
            f".qnt folder, or a table ({', '.join(_TABLE_SUFFIXES)})."
        )
    if standards:
        return epma_xmaptools.read_standards(inside, standards, maps, outside, str(where))
    folders = [source.below(folder) for folder in source.folders()]
    tables = [part for part in folders if epma_jeol_spots.is_jeol_spots(part)]
    if len(tables) == 1:
        return epma_jeol_spots.read_jeol_spots(tables[0], maps, outside, str(where))
    if tables:
        raise FormatError(
            f"{where}: several folders of spots: {', '.join(t.label for t in tables)}. Give the "
            "path of one."
        )
    raise FormatError(
        f"{where}: no spot analyses (Standards.txt, or wt.qnt, elem.qnt and stg.qnt); "
        f"{listed(source.names)} found."
    )


def _read_seeds(
    source: Source, where: Path, maps: xr.Dataset | None, group: str | None
) -> xr.Dataset:
    """Recognise the format of phase seeds and read them."""
    if epma_hdf5.is_hdf5(source):
        return epma_hdf5.read_hdf5_seeds(source, maps, str(where), group)
    inside, name = _named(source, epma_xmaptools.classification_name)
    if source.chosen and not name:
        inside, name = source, source.chosen
    if not name:
        raise FormatError(f"{where}: no Classification.txt; {listed(source.names)} found.")
    return epma_xmaptools.read_classification(inside, name, maps, str(where))


def _named(source: Source, find: Callable[[list[str]], str]) -> tuple[Source, str]:
    """Find a file by name: the chosen one, or the shallowest in the folders."""
    if source.chosen:
        return source, find([source.chosen])
    for folder in source.folders():
        inside = source.below(folder)
        name = find(inside.files())
        if name:
            return inside, name
    return source, ""
