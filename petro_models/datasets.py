"""Published whole-rock tables: small ones bundled, larger ones found through PETRO_MODELS_DATA."""

import os
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.io.mass_tables import read_mass_table

CITATIONS = {
    "grant2005": (
        "Grant, J.A. (2005) Isocon analysis: A brief review of the method and applications. "
        "Physics and Chemistry of the Earth 30, 997-1004"
    ),
    "toorongo1989": (
        "Nesbitt, H.W., Young, G.M. (1989) Formation and diagenesis of weathering profiles. "
        "Journal of Geology 97, 129-147"
    ),
    "laurels_preserve": (
        "Fisher, B.A., Rendahl, A.K., Aufdenkampe, A.K., Yoo, K. (2017) Quantifying weathering on "
        "variable rocks, an extension of geochemical mass balance: Critical zone and landscape "
        "evolution. Earth Surface Processes and Landforms 42, 2457-2468"
    ),
}
"""Where each table comes from; cite it when you use the data."""

_BUNDLED = Path(__file__).parent / "bundled"
_LAURELS = Path("mass_transfer") / "laurels_preserve_wells_fisher2017.csv"


def names() -> list[str]:
    """List the tables that come with petro_models."""
    return sorted(file.stem for file in _BUNDLED.glob("*.csv"))


def path(name: str) -> Path:
    """Give the file of a bundled table.

    Raises
    ------
    DataError
        If there is no such table; the message lists those there are.
    """
    if name not in names():
        raise DataError(f"no bundled table {name!r}; {nearest(name, names())}.")
    return _BUNDLED / f"{name}.csv"


def grant2005() -> xr.Dataset:
    """Load the isocon example of Grant (2005): protolith UA, altered rock 401.

    Returns
    -------
    xr.Dataset
        Dims `sample` (1), `protolith` (1), `element` (20); wt% and ppm. No errors are stated.

    Examples
    --------
    >>> grant2005().sizes["element"]
    20
    """
    return _cited(read_mass_table(path("grant2005"), "UA"), "grant2005")


def toorongo1989(protolith: str | Sequence[str] = ("1",)) -> xr.Dataset:
    """Load the Toorongo granodiorite weathering profile of Nesbitt and Young (1989).

    Parameters
    ----------
    protolith
        Samples taken as fresh rock; "1" is the freshest, "15" the most weathered.

    Returns
    -------
    xr.Dataset
        Fifteen samples shared among dims `sample` and `protolith`, ten elements in wt%; iron is
        total iron as Fe2O3T. Totals fall to 84 because volatiles are not listed.
    """
    table = read_mass_table(path("toorongo1989"), protolith, totals="ignore")
    table.attrs["notes"] += "\ntotals not checked: volatiles are not listed"
    return _cited(table, "toorongo1989")


def laurels_preserve() -> xr.Dataset:
    """Load the two wells at Laurels Preserve of Fisher and others (2017).

    The file stays outside the package, in the folder named by the environment variable
    PETRO_MODELS_DATA, under ``mass_transfer/laurels_preserve_wells_fisher2017.csv``. The rows
    marked ``is_parent`` are the protolith. Zeros mean below detection; as no limit is published,
    the smallest positive value of the element serves.

    Returns
    -------
    xr.Dataset
        Dims `sample` (73), `protolith` (28), `element` (29; wt% and ppm), with bulk `density`
        (g/cm3), `distance` (depth of the top of the interval, cm) and `profile` (well).

    Raises
    ------
    DataError
        If the variable is not set or the file is not there.
    """
    file = _external(_LAURELS)
    # A first reading, only to find the smallest positive value of each element.
    measured = _read_laurels(file, "missing", None)
    limits = {
        str(name): min(
            float(measured[variable].sel(element=name).min())
            for variable in ("concentration", "protolith_concentration")
        )
        for name in measured["element"].values
    }
    table = _read_laurels(file, "below_detection", limits)
    table.attrs["notes"] += (
        "\ndetection limits are not published: the smallest positive value of the element is used"
    )
    table["distance"].attrs["long_name"] = "depth of the top of the interval"
    return _cited(table, "laurels_preserve")


def _read_laurels(file: Path, zeros: str, limits: dict[str, float] | None) -> xr.Dataset:
    """Read the wells with one meaning of zero."""
    return read_mass_table(
        file,
        {"is_parent": 1},
        sample_column=["Site", "voTop"],
        units="wt%",
        zeros=zeros,
        detection_limits=limits,
        density="bd",
        distance="voTop",
        distance_unit="cm",
        profile="Site",
    )


def _external(relative: Path) -> Path:
    """Find a file in the data folder."""
    folder = os.environ.get("PETRO_MODELS_DATA")
    if not folder:
        raise DataError(
            f"{relative.name} is not bundled. Set the environment variable PETRO_MODELS_DATA to "
            f"the folder that holds {relative.as_posix()}."
        )
    file = Path(folder) / relative
    if not file.is_file():
        raise DataError(
            f"{relative.as_posix()} is not in the folder that PETRO_MODELS_DATA names ({folder}). "
            "Put the file there, or set PETRO_MODELS_DATA to the folder that holds it."
        )
    return file


def _cited(table: xr.Dataset, name: str) -> xr.Dataset:
    """Attach the citation."""
    table.attrs["citation"] = CITATIONS[name]
    return table
