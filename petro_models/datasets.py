"""Published tables and maps: small ones bundled, larger ones found through PETRO_MODELS_DATA."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from petro_models.errors import DataError, nearest
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.io.mass_tables import read_mass_table

if TYPE_CHECKING:
    from petro_models.study.thin_section import ThinSection

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
    "alps": (
        "Lanari, P., Vidal, O., De Andrade, V., Dubacq, B., Lewin, E., Grosch, E.G., Schwartz, S. "
        "(2014) XMapTools: A MATLAB-based program for electron microprobe X-ray image processing "
        "and geothermobarometry. Computers & Geosciences 62, 227-240; map of the XMapTools "
        "tutorial 'Alps'"
    ),
    "qntmap_minimal": (
        "Yasumoto, A., Yoshida, K., Kuwatani, T., Nakamura, D., Svojtka, M., Hirajima, T. (2018) "
        "A rapid and precise quantitative electron probe chemical mapping technique and its "
        "application to an ultrahigh-pressure eclogite from the Moldanubian Zone of the Bohemian "
        "Massif (Nové Dvory, Czech Republic). American Mineralogist 103, 1690-1698; synthetic "
        "example of the program qntmap"
    ),
    "epmatools_demo": "Lexa, O. epmatools, example data (github.com/ondrolexa/epmatools)",
}
"""Where each data set comes from; cite it when you use the data."""

TABLES = ("grant2005", "toorongo1989", "laurels_preserve")
"""Whole-rock tables: for mass transfer."""
MAPS = ("alps", "qntmap_minimal", "epmatools_demo")
"""Element maps with spots: for phase maps."""

_BUNDLED = Path(__file__).parent / "bundled"
_LAURELS = Path("mass_transfer") / "laurels_preserve_wells_fisher2017.csv"
_ALPS = Path("epma") / "alps" / "alps.zip"
_QNTMAP = Path("epma") / "qntmap_minimal" / "inst" / "extdata" / "minimal"
_EPMATOOLS = Path("epma") / "epmatools_demo"


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


def alps() -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Load the map of an Alpine chloritoid-chlorite-phengite-quartz rock of XMapTools' tutorial.

    The file stays outside the package, in the folder named by the environment variable
    PETRO_MODELS_DATA, under ``epma/alps/alps.zip``.

    Returns
    -------
    maps, spots, seeds
        500 x 400 pixels of 1 um, counts of eight elements (dwell time and current are not known);
        177 spot analyses of ten oxides, placed by the nominal registration; four phases with
        densities.

    Raises
    ------
    DataError
        If the variable is not set or the file is not there.
    """
    file = _external(_ALPS)
    maps = read_epma(file, step_um=1.0)
    return _all_cited("alps", maps, read_spots(file, maps), read_phase_seeds(file, maps))


def qntmap_minimal() -> tuple[xr.Dataset, xr.Dataset]:
    """Load the synthetic olivine and quartz of the program qntmap, in JEOL's format.

    The folder stays outside the package, under
    ``epma/qntmap_minimal/inst/extdata/minimal`` in the folder that PETRO_MODELS_DATA names.

    Returns
    -------
    maps, spots
        100 x 100 pixels, counts of Si and Mg; 40 spots with intensities.

    Raises
    ------
    DataError
        If the variable is not set or the folder is not there.
    """
    folder = _external(_QNTMAP)
    maps = read_epma(folder)
    return _all_cited("qntmap_minimal", maps, read_spots(folder, maps))


def epmatools_demo() -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Load the garnet-bearing rock of the program epmatools.

    The files stay outside the package, under ``epma/epmatools_demo`` in the folder that
    PETRO_MODELS_DATA names.

    Returns
    -------
    maps, spots, seeds
        270 x 230 pixels, counts of twelve elements (dwell time and current are not known); 16
        analyses without positions, labelled by mineral; seven labelled phases.

    Raises
    ------
    DataError
        If the variable is not set or a file is not there.
    """
    file = _external(_EPMATOOLS / "ex1.h5")
    spots = read_spots(_external(_EPMATOOLS / "minerals.csv"))
    numbered = [str(label) for label in spots["phase"].values]
    spots["phase"] = ("spot", [label.partition("-")[0] for label in numbered])
    spots.attrs["notes"] += "\nnumbers of analyses taken off the labels (bt-01 -> bt)"
    maps = read_epma(file)
    return _all_cited("epmatools_demo", maps, spots, read_phase_seeds(file, maps))


def simulated_phase_maps(seed: int = 7) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Simulate a small map with known truth: 96 x 96 pixels, four phases, six elements.

    Garnets are zoned, a pixel in eight is shared by two phases, 40 spots lie off their nominal
    places by the same shift. For other maps see
    `petro_models.phase_maps.simulate.simulate_phase_maps`.

    Parameters
    ----------
    seed
        Same seed, same map.

    Returns
    -------
    maps, spots, truth
        As the readers give them; truth with `phase_fraction` (phase, y, x), `composition`
        (oxide, y, x), `phase_composition` (phase, oxide) and `registration_shift`.
    """
    from petro_models.phase_maps.simulate import simulate_phase_maps

    return simulate_phase_maps(96, 96, n_phases=4, n_elements=6, n_spots=40, seed=seed)


def thin_section(seed: int = 7) -> "ThinSection":
    """Simulate a thin section with everything known: three garnets, 128 x 128 pixels.

    Maps of nine elements with 48 spots, five dated places, four altered neighbours, and the truth
    behind them. For other sections see `petro_models.simulate_thin_section`.

    Parameters
    ----------
    seed
        Same seed, same section.
    """
    from petro_models.study.thin_section import simulate_thin_section

    return simulate_thin_section(128, seed=seed)


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
    """Find a file or folder in the data folder."""
    folder = os.environ.get("PETRO_MODELS_DATA")
    if not folder:
        raise DataError(
            f"{relative.name} is not bundled. Set the environment variable PETRO_MODELS_DATA to "
            f"the folder that holds {relative.as_posix()}."
        )
    file = Path(folder) / relative
    if not file.exists():
        raise DataError(
            f"{relative.as_posix()} is not in the folder that PETRO_MODELS_DATA names ({folder}). "
            "Put the file there, or set PETRO_MODELS_DATA to the folder that holds it."
        )
    return file


def _cited(table: xr.Dataset, name: str) -> xr.Dataset:
    """Attach the citation."""
    table.attrs["citation"] = CITATIONS[name]
    return table


def _all_cited(name: str, *data: xr.Dataset) -> tuple[Any, ...]:
    """Attach the citation to every part."""
    return tuple(_cited(part, name) for part in data)
