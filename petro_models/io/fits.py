"""Fits on disk: one netCDF file (or Zarr store) holding draws, data, priors and verdicts."""

from pathlib import Path

import xarray as xr

from petro_models.errors import FitError, FormatError
from petro_models.io.staging import replacing

SUFFIXES = (".nc", ".zarr")


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
                fit.to_netcdf(part, engine="netcdf4")
            else:
                fit.to_zarr(part, consolidated=False)
        except RuntimeError as error:  # what the netCDF library makes of a full disk
            raise FitError(f"{target}: cannot be written: {error}; is the disk full?") from error
    return target


def load(path: str | Path) -> xr.DataTree:
    """Load a fit into memory.

    Raises
    ------
    FormatError
        If there is no such file, it cannot be read, or it is no fit.
    """
    source = Path(path)
    if not source.exists():
        raise FormatError(f"{source}: no such file")
    engine = "zarr" if source.is_dir() else "netcdf4"
    try:
        if engine == "zarr":
            tree = xr.open_datatree(source, engine=engine, consolidated=False)
        else:
            tree = xr.open_datatree(source, engine=engine)
        with tree:
            fit = tree.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise FormatError(f"{source}: cannot be read as a fit: {error}") from error
    if "model_id" not in fit.attrs:
        raise FormatError(f"{source}: is {engine}, but no fit of petro_models (no model id)")
    return fit


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
