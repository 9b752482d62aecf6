"""epmatools HDF5 stores: a group per map set with ``maps/<element>`` and labelled clusters."""

import io
import json
import math
from dataclasses import dataclass
from typing import Any

import h5py
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
# What damaged files make h5py raise.
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, MemoryError)


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
    unit = _text(attributes.get("pixelunit", "")).strip()
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
        with h5py.File(io.BytesIO(content), "r") as store:
            chosen = _map_set(store, place, group)
            members = {str(name): item for name, item in chosen["maps"].items()}
            arrays = {
                name: _array(item, f"{place}, map {name}")
                for name, item in members.items()
                if isinstance(item, h5py.Dataset)
            }
            attributes = dict(chosen.attrs)
            clusterings = _clusterings(chosen, place)
    except _DAMAGED as error:
        raise FormatError(f"{place}: not a readable HDF5 file ({error}).") from None
    if not arrays:
        raise FormatError(f"{place}: the map set holds no maps.")
    return arrays, attributes, clusterings


def _map_set(store: h5py.File, place: str, group: str | None) -> h5py.Group:
    """Choose the map set."""
    sets = [str(name) for name, part in store.items() if _is_group(part) and "maps" in part]
    if not sets:
        raise FormatError(
            f"{place}: no map set of epmatools (groups <name>/maps/<element>); it holds "
            f"{listed(map(str, store))}."
        )
    if group is None and len(sets) > 1:
        raise FormatError(f"{place}: several map sets: {', '.join(sets)}. Pass group={sets[0]!r}.")
    if group is not None and group not in sets:
        raise FormatError(f"{place}: no map set {group!r}; there are {', '.join(sets)}.")
    return store[group or sets[0]]


def _is_group(item: object) -> bool:
    return isinstance(item, h5py.Group)


def _array(item: Any, place: str) -> np.ndarray:
    """Read one array, if it holds numbers and has a size that a map can have."""
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf":
        raise FormatError(f"{place}: no array of numbers.")
    if math.prod(item.shape) * item.dtype.itemsize > MEMBER_LIMIT_BYTES:
        raise FormatError(f"{place}: shape {item.shape} is too large.")
    return np.asarray(item[...])


def _clusterings(chosen: h5py.Group, place: str) -> list[_Clustering]:
    """Read the clusters with their labels: JSON {phase: {"values": [classes]}}."""
    kmeans = chosen.get("kmeans")
    if not _is_group(kmeans):
        return []
    # Older files have one clustering, newer ones a group for each mask.
    groups = [kmeans, *(item for item in kmeans.values() if _is_group(item))]
    return [_clustering(part, place) for part in groups if "clusters" in part]


def _clustering(part: h5py.Group, place: str) -> _Clustering:
    """Read one clustering."""
    stored = json.loads(_text(part.attrs["store"]))
    phases = {str(name): [int(v) for v in entry["values"]] for name, entry in stored.items()}
    clusters = _array(part["clusters"], f"{place}, clusters")
    centers = _array(part["centers"], f"{place}, centers")
    classes = int(np.ravel(part.attrs["n_clusters"])[0])
    if (
        clusters.dtype.kind not in "iu"
        or centers.ndim != 2
        or not 2 <= classes <= len(centers)
        or not np.isfinite(centers).all()
        or not ((clusters >= 0) & (clusters < len(centers))).all()
    ):
        raise FormatError(f"{place}: the stored k-means clusters do not fit together.")
    return _Clustering(clusters, centers, classes, phases)


def _text(value: object) -> str:
    """Give a text attribute, which may be stored as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _attribute(attributes: dict[str, Any], key: str) -> float:
    value = np.ravel(attributes.get(key, math.nan))
    return float(value[0]) if value.size == 1 and value.dtype.kind in "iuf" else math.nan
