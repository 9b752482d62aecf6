"""Fits on disk: one netCDF file (or Zarr store) holding draws, data, priors and verdicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from petro_models.errors import FitError, FormatError
from petro_models.io.staging import replacing

SUFFIXES = (".nc", ".zarr")
LARGE_BYTES = 2**26
"""Of a variable that is written piece by piece, and of its pieces."""


def save(fit: xr.DataTree, path: str | Path) -> Path:
    """Save a fit; a file of that name is replaced only once the new one is whole.

    Parameters
    ----------
    fit
        As `InverseProblem.fit` returns it.
    path
        Ends in ``.nc`` (netCDF) or ``.zarr``.

    Raises
    ------
    FitError
        If the suffix is neither, or the folder does not exist or cannot be written.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise FitError(f"{target}: a fit is saved as .nc or .zarr; got '{target.suffix}'")
    with replacing(target) as part:
        try:
            if target.suffix == ".nc":
                _write_netcdf(fit, part)
            else:
                fit.to_zarr(part, consolidated=False)
        except RuntimeError as error:  # what the netCDF library makes of a full disk
            raise FitError(f"{target}: cannot be written: {error}; is the disk full?") from error
    return target


def _write_netcdf(fit: xr.DataTree, path: Path) -> None:
    """Write large variables piece by piece: xarray would hold all of them in memory at once."""
    small, large = fit.copy(deep=False), list[tuple[str, str, xr.DataArray]]()
    for node in small.subtree:
        found = [
            (node.path, str(name), values)
            for name, values in node.data_vars.items()
            if values.nbytes > LARGE_BYTES and values.dtype.kind in "iuf"
        ]
        node.dataset = node.to_dataset(inherit=False).drop_vars([name for _, name, _ in found])
        large += found
    small.to_netcdf(path, engine="netcdf4")
    if not large:
        return
    with netCDF4.Dataset(path, "a") as file:
        for group, name, values in large:
            _write_pieces(file[group], name, values)


def _write_pieces(group: Any, name: str, values: xr.DataArray) -> None:
    for dim, size in values.sizes.items():
        if dim not in group.dimensions:
            group.createDimension(dim, size)
    fill = np.nan if values.dtype.kind == "f" else False
    kind = values.dtype.newbyteorder("=")
    variable = group.createVariable(name, kind, values.dims, fill_value=fill)
    variable.setncatts({key: value for key, value in values.attrs.items() if value is not None})
    dim = max(values.sizes, key=lambda one: values.sizes[one])
    axis, count = values.dims.index(dim), values.sizes[dim]
    step = max(1, count * LARGE_BYTES // values.nbytes)
    for start in range(0, count, step):
        piece = slice(start, min(start + step, count))
        variable[(slice(None),) * axis + (piece,)] = values.isel({dim: piece}).to_numpy()


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Say of what the libraries cannot read that it is no fit.

    Raises
    ------
    FormatError
        Naming the file.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise FormatError(f"{source}: cannot be read as a fit: {error}") from error


def load(path: str | Path, *, lazy: bool = False) -> xr.DataTree:
    """Load a fit.

    Parameters
    ----------
    path
        A netCDF file or a Zarr folder that `save` wrote.
    lazy
        Whether variables stay on disk until they are used, for maps larger than memory: the file
        then stays open until the tree is closed.

    Raises
    ------
    FormatError
        If there is no such file, it cannot be read, or it is no fit.
    """
    source = Path(path)
    if not source.exists():
        raise FormatError(f"{source}: no such file")
    engine = "zarr" if source.is_dir() else "netcdf4"
    options: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    with reading(source):
        tree = xr.open_datatree(source, engine=engine, **options)
        if not lazy:
            with tree:
                tree = tree.load()
    if "model_id" not in tree.attrs:
        tree.close()
        raise FormatError(f"{source}: is {engine}, but no fit of petro_models (no model id)")
    return tree


def write_text(text: str, path: str | Path) -> Path:
    """Write a text file whole or not at all.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)
