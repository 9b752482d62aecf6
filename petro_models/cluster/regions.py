"""Zarr stores written piece by piece by many processes: a template first, then whole chunks."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.metadata.v3 import ArrayV3Metadata


def make_store(path: Path, fixed: xr.Dataset, like: xr.Dataset, sizes: Mapping[str, int]) -> None:
    """Make a Zarr v3 store with room for variables that are written later, piece by piece.

    Parameters
    ----------
    path
        Of the store; an older one is replaced.
    fixed
        What is known already; written whole.
    like
        One piece of the others: their names, dims, dtypes and attributes. Its size along the dims
        of `sizes` is that of a chunk; along others it is whole.
    sizes
        Full size of the dims along which there are pieces.
    """
    shutil.rmtree(path, ignore_errors=True)
    fixed.drop_encoding().to_zarr(path, consolidated=False, zarr_format=3)
    group = zarr.open_group(path, mode="r+")
    for name, piece in like.data_vars.items():
        group.create_array(
            str(name),
            shape=tuple(sizes.get(str(dim), size) for dim, size in piece.sizes.items()),
            chunks=tuple(max(1, size) for size in piece.shape),
            dtype=piece.dtype,
            fill_value=np.nan if piece.dtype.kind == "f" else 0,
            attributes=_plain(piece.attrs),
            dimension_names=list(map(str, piece.dims)),
        )


def write_region(path: Path, piece: xr.Dataset, dim: str, start: int) -> None:
    """Write one piece of a store's variables: its own chunks, all of them whole.

    Parameters
    ----------
    path
        Of the store.
    piece
        Variables that `make_store` made room for.
    dim
        Along which it is a piece.
    start
        Where it begins.

    Raises
    ------
    ValueError
        If the piece covers part of a chunk, which another process may be writing.
    """
    group = zarr.open_group(path, mode="r+")
    for name, values in piece.data_vars.items():
        array = group[str(name)]
        assert isinstance(array, zarr.Array)
        assert isinstance(array.metadata, ArrayV3Metadata)
        dims = list(map(str, array.metadata.dimension_names or ()))
        values = values.transpose(*dims)
        axis = dims.index(dim)
        stop = start + values.sizes[dim]
        chunk, size = array.chunks[axis], array.shape[axis]
        if start % chunk or (stop % chunk and stop != size):
            raise ValueError(
                f"{path.name}: {name} from {start} to {stop} along {dim} covers part of a chunk of "
                f"{chunk}: pieces must be whole chunks"
            )
        array[(slice(None),) * axis + (slice(start, stop),)] = values.to_numpy()


def open_store(path: Path) -> xr.Dataset:
    """Open a store without reading it: variables are read where they are used, and not kept."""
    return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=False, cache=False)


def pieces(size: int, chunk: int) -> Iterator[slice]:
    """Cut a dim into whole chunks.

    Examples
    --------
    >>> list(pieces(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, size, chunk):
        yield slice(start, min(start + chunk, size))


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key): value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        for key, value in attributes.items()
    }
