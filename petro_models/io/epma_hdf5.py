"""epmatools HDF5 stores: a group per map set with ``maps/<element>`` and labelled clusters."""

import json
import math
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from scipy import ndimage

import petro_models.phase_maps.data as map_data
from petro_models.errors import FormatError
from petro_models.io.epma_matrix import image_pixel, whole_counts
from petro_models.io.epma_parts import MapParts, element_symbol, is_electron_signal
from petro_models.io.epma_source import MEMBER_LIMIT_BYTES, Source, listed

FORMAT = "epmatools HDF5"

_MAGIC = b"\x89HDF\r\n\x1a\n"
# What the C library raises on damaged files, through netCDF4.
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError)


def is_hdf5(source: Source) -> bool:
    """Whether the chosen file is HDF5."""
    return bool(source.chosen) and source.head(source.chosen, 8) == _MAGIC


def read_hdf5(source: Source, ignore: frozenset[str], group: str | None = None) -> MapParts:
    """Read the maps of one map set.

    Parameters
    ----------
    source
        With the file chosen.
    ignore
        Elements to leave out.
    group
        Name of the map set, if there are several.

    Raises
    ------
    FormatError
        If the file is damaged or holds no maps, or several map sets and `group` names none.
    DataError
        If a map holds something else than counts.
    """
    place = source.place(source.chosen)
    arrays, attributes, _ = _load(source.read(source.chosen), place, group)
    parts = MapParts(FORMAT)
    for name, values in arrays.items():
        if name in ignore:
            continue
        element = None if is_electron_signal(name) else element_symbol(name)
        if element is None:
            why = "an electron image" if is_electron_signal(name) else "not named after an element"
            parts.notes.append(f"map {name!r} left out: {why}")
            continue
        where = f"{place}, map {name}"
        parts.add(element, whole_counts(values, image_pixel(where)), where)
    if not parts.counts:
        raise FormatError(f"{place}: no map is named after an element: {listed(arrays)}.")
    unit = str(attributes.get("pixelunit", "")).strip()
    size, aspect = (_attribute(attributes, key) for key in ("pixelsize", "aspect"))
    if unit in ("um", "µm", "μm") and size > 0:
        parts.step_um = (size, size * (aspect if aspect > 0 else 1.0))
    elif unit:
        parts.notes.append(f"pixel size {size:g} {unit} not used: not in um")
    return parts


def read_hdf5_seeds(
    source: Source, maps: xr.Dataset | None, label: str, group: str | None = None
) -> xr.Dataset:
    """Take a seed for each phase that was labelled among the clusters of a map set.

    The seed is the pixel deepest inside the area of the phase.

    Raises
    ------
    FormatError
        If the file holds no labelled clusters.
    """
    place = source.place(source.chosen)
    arrays, _, clusterings = _load(source.read(source.chosen), place, group)
    shape = next(iter(arrays.values())).shape
    found: dict[str, tuple[float, float]] = {}
    for clustering in clusterings:
        if clustering.clusters.size != math.prod(shape):
            continue  # of a masked part of the map: which pixels those are is not in it
        image = clustering.labels().reshape(shape)
        for name, values in clustering.phases.items():
            inside = np.pad(np.isin(image, values), 1)
            if inside.any():
                depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
                row, column = np.unravel_index(int(np.argmax(depth)), shape)
                found.setdefault(name, (float(column), float(row)))
    if not found:
        raise FormatError(f"{place}: no clusters are labelled as phases, so there are no seeds.")
    return map_data.phase_seeds(
        list(found),
        [position[0] for position in found.values()],
        [position[1] for position in found.values()],
        maps=maps,
        source=label,
        notes=["seeds are the pixels deepest inside the labelled k-means clusters"],
    )


@dataclass(frozen=True)
class _Clustering:
    """Many k-means clusters, merged into a few classes of which some are labelled as phases."""

    clusters: np.ndarray
    centers: np.ndarray
    classes: int
    phases: dict[str, list[int]]

    def labels(self) -> np.ndarray:
        """Give the class of every pixel; only the clusters are stored, epmatools merges anew."""
        # scikit-learn takes a second to import, and few files have labelled clusters.
        from sklearn.cluster import AgglomerativeClustering

        merging = AgglomerativeClustering(n_clusters=self.classes, linkage="ward")
        return merging.fit_predict(self.centers)[self.clusters]


def _load(
    content: bytes, place: str, group: str | None
) -> tuple[dict[str, np.ndarray], dict[str, Any], list[_Clustering]]:
    """Read maps, attributes and labelled clusters of one map set."""
    try:
        # A copy in memory: a damaged file cannot leave the library's state behind.
        with netCDF4.Dataset("memory", memory=content) as store:
            store.set_auto_maskandscale(False)
            chosen = _map_set(store, place, group)
            arrays = {name: _array(v, place) for name, v in chosen["maps"].variables.items()}
            attributes = {key: chosen.getncattr(key) for key in chosen.ncattrs()}
            clusterings = _clusterings(chosen, place)
    except _DAMAGED as error:
        raise FormatError(f"{place}: not a readable HDF5 file ({error}).") from None
    if not arrays:
        raise FormatError(f"{place}: the map set holds no maps.")
    return arrays, attributes, clusterings


def _map_set(store: netCDF4.Dataset, place: str, group: str | None) -> Any:
    """Choose the map set."""
    sets = [name for name, part in store.groups.items() if "maps" in part.groups]
    if not sets:
        raise FormatError(
            f"{place}: no map set of epmatools (groups <name>/maps/<element>); it holds "
            f"{listed([*store.groups, *store.variables])}."
        )
    if group is None and len(sets) > 1:
        raise FormatError(f"{place}: several map sets: {', '.join(sets)}. Pass group={sets[0]!r}.")
    if group is not None and group not in sets:
        raise FormatError(f"{place}: no map set {group!r}; there are {', '.join(sets)}.")
    return store.groups[group or sets[0]]


def _array(variable: Any, place: str) -> np.ndarray:
    """Read one array, if it has a size that a map can have."""
    if not isinstance(variable.dtype, np.dtype) or variable.dtype.kind not in "iuf":
        raise FormatError(f"{place}: {variable.name!r} holds no numbers.")
    if math.prod(variable.shape) * variable.dtype.itemsize > MEMBER_LIMIT_BYTES:
        raise FormatError(f"{place}: {variable.name!r} has shape {variable.shape}, too large.")
    return np.asarray(variable[...])


def _clusterings(chosen: Any, place: str) -> list[_Clustering]:
    """Read the clusters with their labels: JSON {phase: {"values": [classes]}}."""
    kmeans = chosen.groups.get("kmeans")
    if kmeans is None:
        return []
    return [
        _clustering(part, place)
        for part in (kmeans, *kmeans.groups.values())
        if "clusters" in part.variables and "store" in part.ncattrs()
    ]


def _clustering(part: Any, place: str) -> _Clustering:
    """Read one clustering."""
    stored = json.loads(str(part.getncattr("store")))
    phases = {str(name): [int(v) for v in entry["values"]] for name, entry in stored.items()}
    clusters = _array(part.variables["clusters"], place)
    centers = _array(part.variables["centers"], place)
    classes = int(part.getncattr("n_clusters"))
    if (
        clusters.dtype.kind not in "iu"
        or centers.ndim != 2
        or not 2 <= classes <= len(centers)
        or not np.isfinite(centers).all()
        or not ((clusters >= 0) & (clusters < len(centers))).all()
    ):
        raise FormatError(f"{place}: the stored k-means clusters do not fit together.")
    return _Clustering(clusters, centers, classes, phases)


def _attribute(attributes: dict[str, Any], key: str) -> float:
    value = attributes.get(key)
    return float(value) if isinstance(value, int | float | np.number) else math.nan
