"""Write element maps as a NumPy array with TOML sidecar and spots as CSV, for the readers here."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr

from petro_models.io.fits import write_text
from petro_models.io.staging import replacing

BY_ELEMENT = ("dwell_s", "dead_time_ns")
SCALARS = ("probe_current_nA", "step_um")


def write_epma(maps: xr.Dataset, path: str | Path) -> Path:
    """Write count maps as ``NAME.npy`` with the sidecar ``NAME.toml`` that says what they are.

    Read them back with ``read_epma("NAME.toml")``. Conditions that are not known are left out.

    Parameters
    ----------
    maps
        Follows `validate_maps`.
    path
        The sidecar; the array stands beside it under the same name.

    Returns
    -------
    Path
        The sidecar.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    sidecar = Path(path).with_suffix(".toml")
    elements = [str(name) for name in maps["element"].to_numpy()]
    said: dict[str, Any] = {"file": f"{sidecar.stem}.npy", "elements": elements}
    for name in SCALARS:
        if np.isfinite(value := float(maps[name])):
            said[name] = value
    for name in BY_ELEMENT:
        pairs = zip(elements, maps[name].to_numpy().astype(float).tolist(), strict=True)
        if known := {element: value for element, value in pairs if np.isfinite(value)}:
            said[name] = known
    affine = maps["stage_to_pixel"].to_numpy()
    if np.isfinite(affine).all():
        unit = str(maps["stage_to_pixel"].attrs.get("units", "mm"))
        said["stage_to_pixel"] = {"unit": unit, "column": list(affine[0]), "row": list(affine[1])}
    with replacing(sidecar.with_suffix(".npy")) as part:
        np.save(part, maps["counts"].transpose("element", "y", "x").to_numpy(), allow_pickle=False)
    return write_text(tomli_w.dumps(said), sidecar)


def write_spots(spots: xr.Dataset, path: str | Path) -> Path:
    """Write spot analyses as CSV: position, order, label, wt% and its standard deviation.

    Read them back with ``read_spots(path, maps)``. Numbers keep seven digits.

    Parameters
    ----------
    spots
        Follows `validate_spots`.
    path
        CSV file; one of that name is replaced only once the new one is whole.

    Raises
    ------
    FitError
        If the folder does not exist or cannot be written.
    """
    oxides = [str(name) for name in spots["oxide"].to_numpy()]
    error = spots["wt_percent_sd"].transpose("spot", "oxide").to_numpy()
    stated = [o for o in range(len(oxides)) if np.isfinite(error[:, o]).any()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [f"{oxide} wt%" for oxide in oxides] + [f"{oxides[o]}_1s" for o in stated]
    places = [name for name in ("column", "row", "order") if name in spots]
    writer.writerow(["spot", *places, "phase", *heads])
    for index, label in enumerate(spots["spot"].to_numpy()):
        place = [_cell(float(spots[name][index])) for name in places]
        values = [_cell(float(value)) for value in spots["wt_percent"][index].to_numpy()]
        errors = [_cell(float(error[index, o])) for o in stated]
        writer.writerow([label, *place, str(spots["phase"][index].item()), *values, *errors])
    return write_text(text.getvalue(), path)


def _cell(value: float) -> str:
    return f"{value:.7g}" if np.isfinite(value) else ""
