"""Maps and spots with known truth: grains, boundaries that share pixels, zoning, counting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree
from scipy.stats import norm

from petro_models.errors import DataError
from petro_models.phase_maps import forward
from petro_models.phase_maps.spot_drift import draw_path

MINERALS: dict[str, dict[str, float]] = {
    "Quartz": {"SiO2": 100.0},
    "Garnet": {"SiO2": 37.5, "Al2O3": 21.2, "FeO": 31.0, "MgO": 3.0, "CaO": 5.0, "MnO": 2.3},
    "Muscovite": {
        "SiO2": 46.5, "Al2O3": 34.5, "FeO": 1.5, "MgO": 1.0, "Na2O": 0.9, "K2O": 9.8, "TiO2": 0.5,
    },
    "Biotite": {
        "SiO2": 35.5, "Al2O3": 18.5, "FeO": 20.0, "MgO": 10.0, "K2O": 9.2, "TiO2": 2.2, "MnO": 0.1,
    },
    "Plagioclase": {"SiO2": 62.0, "Al2O3": 24.0, "CaO": 5.2, "Na2O": 8.6, "K2O": 0.1},
    "Chlorite": {"SiO2": 25.0, "Al2O3": 22.5, "FeO": 25.0, "MgO": 14.5, "MnO": 0.3},
    "Epidote": {"SiO2": 38.0, "Al2O3": 25.0, "FeO": 10.5, "CaO": 23.3, "MnO": 0.2},
    "Ilmenite": {"TiO2": 52.0, "FeO": 45.5, "MnO": 1.8, "MgO": 0.4},
    "K-feldspar": {"SiO2": 64.5, "Al2O3": 18.6, "Na2O": 1.2, "K2O": 15.2},
    "Amphibole": {
        "SiO2": 43.5, "Al2O3": 13.0, "FeO": 17.0, "MgO": 9.5, "CaO": 11.0, "Na2O": 1.8,
        "K2O": 0.5, "TiO2": 0.6, "MnO": 0.2,
    },
    "Staurolite": {"SiO2": 27.5, "Al2O3": 54.5, "FeO": 13.5, "MgO": 1.6, "TiO2": 0.6, "MnO": 0.2},
    "Apatite": {"CaO": 55.0, "P2O5": 42.0},
}  # fmt: skip
"""Round compositions in wt% of minerals of metapelites and metabasites, anhydrous part."""

OXIDES: dict[str, str] = {
    "SiO2": "Si", "Al2O3": "Al", "FeO": "Fe", "MgO": "Mg", "CaO": "Ca", "Na2O": "Na", "K2O": "K",
    "TiO2": "Ti", "MnO": "Mn", "Cr2O3": "Cr", "P2O5": "P", "V2O5": "V", "NiO": "Ni", "ZnO": "Zn",
    "BaO": "Ba", "SrO": "Sr", "ZrO2": "Zr", "Ce2O3": "Ce", "Y2O3": "Y", "SO3": "S",
}  # fmt: skip
"""Oxides in the order in which a simulated map takes them, with their elements."""

AXES: dict[str, dict[str, float]] = {
    "Garnet": {"FeO": 2.0, "MnO": -1.4, "MgO": 0.5, "CaO": -1.1},
    "Chlorite": {"FeO": 1.6, "MgO": -1.3, "SiO2": -0.3},
    "Plagioclase": {"CaO": 1.1, "Na2O": -0.6, "SiO2": -1.0, "Al2O3": 0.6},
    "Biotite": {"FeO": 0.9, "MgO": -0.7, "TiO2": 0.15},
}
"""Change of wt% for one standard deviation along the axis of solid solution."""

TRACE_WT_PERCENT = 0.02
MOST_ZONED = 2.5
STEP_UM = 5.0
SUBPIXELS = 5
CROSSED_PIXELS = 0.9
"""Pixels that show a boundary, per pixel of its length; slivers below 1/25 are not seen."""
ANALYSIS_ERROR = 0.01
"""Relative error of a spot analysis; small concentrations have 0.03 wt% on top."""


@dataclass(frozen=True)
class Chemistry:
    """What simulated phases are made of and emit.

    Attributes
    ----------
    phases, elements, oxides
        Labels.
    composition, axis
        wt% and its change along the axis of solid solution, (phase, oxide).
    intensity, intensity_axis
        Counts a pixel of the same, (phase, element).
    counts_per_wt_percent
        Of every phase, (phase, element).
    """

    phases: list[str]
    elements: list[str]
    oxides: list[str]
    composition: np.ndarray
    axis: np.ndarray
    intensity: np.ndarray
    intensity_axis: np.ndarray
    counts_per_wt_percent: np.ndarray


def simulate_phase_maps(
    height: int = 256,
    width: int = 256,
    n_phases: int = 6,
    n_elements: int = 10,
    counts_per_pixel: float = 1000.0,
    mixed_share: float = 0.13,
    n_spots: int = 90,
    zoned: tuple[str, ...] = ("Garnet",),
    unmodelled_scatter: float = 0.0,
    matrix_scatter: float = 0.05,
    registration_shift: tuple[float, float] = (1.3, -0.8),
    registration_jitter: float = 0.5,
    registration_drift: float = 0.0,
    registration_memory: float = 6.0,
    wrong_labels: int = 0,
    dead_time_ns: float = 0.0,
    seed: int = 0,
) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Draw X-ray maps of grains, spot analyses on them, and the truth behind both.

    Grains are Voronoi cells; pixels that a boundary crosses mix the phases by area. A zoned phase
    runs along its axis of solid solution from the core to the rim of every grain, its marginal
    being standard normal.

    Parameters
    ----------
    height, width
        Pixels.
    n_phases, n_elements
        How many of `MINERALS` (2 to 12) and of `OXIDES` (3 to 20).
    counts_per_pixel
        Mean counts of all elements together.
    mixed_share
        Share of pixels that hold more than one phase (approximately).
    n_spots
        Spot analyses, in equal numbers for each phase; about a tenth of them anywhere, mixed or
        not.
    zoned
        Phases with an axis of solid solution, of those in `AXES`.
    unmodelled_scatter
        Relative scatter of every intensity from pixel to pixel, independent of everything.
    matrix_scatter
        Scatter of ln(intensity / (sensitivity x wt%)) over phases and elements.
    registration_shift, registration_jitter
        Column and row by which nominal spot positions are off, and scatter about it, pixels.
    registration_drift, registration_memory
        Scatter of what spots measured one after the other are displaced by alike, pixels, and
        number of spots over which it is forgotten.
    wrong_labels
        Number of spots that carry another phase's label.
    dead_time_ns
        Of the counter, with a dwell of 20 ms a pixel.
    seed
        Same seed, same maps.

    Returns
    -------
    tuple
        Maps and spots as readers give them; truth with `phase_fraction` (phase, y, x),
        `composition` (oxide, y, x), `axis_position` (phase, y, x), `phase_intensity`
        (phase, element) and `phase_composition` (phase, oxide).

    Raises
    ------
    DataError
        If there are no so many phases or elements, or a zoned phase is not known.
    """
    if not 2 <= n_phases <= len(MINERALS) or not 3 <= n_elements <= len(OXIDES):
        raise DataError(
            f"simulated maps have 2 to {len(MINERALS)} phases and 3 to {len(OXIDES)} elements; "
            f"got {n_phases} and {n_elements}"
        )
    if unknown := set(zoned) - set(AXES):
        raise DataError(f"{', '.join(sorted(unknown))}: zoned phases are {', '.join(AXES)}")
    generator = np.random.default_rng(seed)
    minerals = {name: MINERALS[name] for name in list(MINERALS)[:n_phases]}
    oxides = list(OXIDES)[:n_elements]
    chemistry = draw_chemistry(minerals, oxides, zoned, counts_per_pixel, matrix_scatter, generator)
    fraction, position = _texture(height, width, n_phases, mixed_share, generator)
    composition = np.einsum("kyx,ko->oyx", fraction, chemistry.composition)
    composition += np.einsum("kyx,kyx,ko->oyx", fraction, position, chemistry.axis)
    composition = np.maximum(composition, 0.0)
    expected = _expected(fraction, position, chemistry, unmodelled_scatter, generator)
    dead_share = dead_time_ns * 1e-9 / 0.02
    counts = _count(expected, dead_share, generator)
    maps = counted_maps(counts, chemistry, STEP_UM, counts_per_pixel, dead_time_ns)
    spots = analyse_spots(
        fraction, composition, chemistry, n_spots, registration_shift, registration_jitter,
        generator, wrong_labels=wrong_labels, drift=registration_drift,
        memory=registration_memory,
    )  # fmt: skip
    truth = xr.Dataset(
        {
            "phase_fraction": (("phase", "y", "x"), fraction),
            "composition": (("oxide", "y", "x"), composition),
            "axis_position": (("phase", "y", "x"), position),
            "phase_intensity": (("phase", "element"), chemistry.intensity),
            "phase_composition": (("phase", "oxide"), chemistry.composition),
            "registration_shift": ("direction", np.array(registration_shift)),
        },
        {
            "phase": chemistry.phases,
            "element": chemistry.elements,
            "oxide": chemistry.oxides,
            "direction": ["column", "row"],
            "y": maps["y"],
            "x": maps["x"],
        },
    )
    return maps, spots, truth


def draw_chemistry(
    minerals: Mapping[str, Mapping[str, float]],
    oxides: list[str],
    zoned: Sequence[str],
    counts_per_pixel: float,
    matrix_scatter: float,
    generator: np.random.Generator,
) -> Chemistry:
    """Draw what minerals are made of, near their usual compositions, and what they emit.

    Parameters
    ----------
    minerals
        wt% of oxides by phase.
    oxides
        Those mapped, of `OXIDES`.
    zoned
        Phases that get their axis of `AXES`.
    counts_per_pixel
        Of all elements together, mean over the phases.
    matrix_scatter
        Of ln(intensity / (sensitivity x wt%)).
    generator
        Source of the draws.
    """
    phases = list(minerals)
    composition = np.array([[minerals[p].get(o, 0.0) for o in oxides] for p in phases])
    variety = np.exp(0.02 * generator.normal(size=composition.shape))
    # A mineral of one oxide is stoichiometric.
    variety = np.where(
        (composition > TRACE_WT_PERCENT).sum(axis=1, keepdims=True) > 1, variety, 1.0
    )
    composition = np.maximum(composition * variety, TRACE_WT_PERCENT * (composition < 100))
    axis = np.array([[AXES[p].get(o, 0.0) if p in zoned else 0.0 for o in oxides] for p in phases])
    sensitivity = np.exp(0.4 * generator.normal(size=len(oxides)))
    matrix = np.exp(matrix_scatter * generator.normal(size=composition.shape))
    background = (
        0.6 * np.exp(0.3 * generator.normal(size=len(oxides)))
        * np.exp(0.1 * generator.normal(size=composition.shape))
    )  # fmt: skip
    net = composition * sensitivity * matrix
    scale = counts_per_pixel / (net + background).sum(axis=1).mean()
    slope = scale * sensitivity * matrix
    return Chemistry(
        phases, [OXIDES[o] for o in oxides], oxides, composition, axis,
        scale * (net + background), axis * slope, slope,
    )  # fmt: skip


def _texture(
    height: int, width: int, n_phases: int, mixed_share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give fractions (phase, y, x) and positions along the axis (phase, y, x) of Voronoi grains."""
    # A Poisson-Voronoi mosaic of intensity i has boundaries of length 2 sqrt(i) per area.
    density = (mixed_share / (2 * CROSSED_PIXELS * (1 - 1 / n_phases))) ** 2
    n_grains = max(3 * n_phases, int(density * height * width))
    seeds = generator.uniform(0, [width, height], size=(n_grains, 2))
    phase = generator.permutation(np.arange(n_grains) % n_phases)
    tree = cKDTree(seeds)
    offset = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS
    fraction = np.zeros((n_phases, height, width), dtype=np.float32)
    distance = np.empty((height, width))
    columns = np.arange(width)
    for row in range(height):
        where = np.stack(np.meshgrid(columns, row + offset, offset, indexing="ij"), axis=-1)
        points = np.stack([where[..., 0] + where[..., 2], where[..., 1]], axis=-1)
        away, grain = tree.query(points.reshape(-1, 2))
        labels = phase[grain].reshape(width, -1)
        for k in range(n_phases):
            fraction[k, row] = (labels == k).mean(axis=1)
        distance[row] = away.reshape(width, -1).mean(axis=1)
    rank = np.argsort(np.argsort(distance.ravel() + 1e-9 * generator.normal(size=distance.size)))
    z = norm.ppf((rank + 0.5) / rank.size).reshape(height, width)
    z = np.clip(z, -MOST_ZONED, MOST_ZONED)
    return fraction, np.broadcast_to(z.astype(np.float32), fraction.shape)


def _expected(
    fraction: np.ndarray,
    position: np.ndarray,
    chemistry: Chemistry,
    scatter: float,
    generator: np.random.Generator,
) -> np.ndarray:
    expected = np.zeros((len(chemistry.elements), *fraction.shape[1:]))
    for e in range(len(chemistry.elements)):
        for k in range(len(chemistry.phases)):
            emitted = chemistry.intensity[k, e] + position[k] * chemistry.intensity_axis[k, e]
            if scatter:
                emitted = emitted * (1 + scatter * generator.normal(size=emitted.shape))
            expected[e] += fraction[k] * np.maximum(emitted, 0.02 * chemistry.intensity[k, e])
    return expected


def _count(expected: np.ndarray, dead_share: float, generator: np.random.Generator) -> np.ndarray:
    if not dead_share:
        return generator.poisson(expected)
    mean = np.asarray(forward.observed_counts(expected, dead_share))
    sd = np.sqrt(np.asarray(forward.counting_variance(mean, dead_share)))
    return np.maximum(np.rint(mean + sd * generator.normal(size=mean.shape)), 0).astype(int)


def counted_maps(
    counts: np.ndarray,
    chemistry: Chemistry,
    step_um: float,
    counts_per_pixel: float,
    dead_time_ns: float = 0.0,
) -> xr.Dataset:
    """Give counts (element, y, x) as maps the way readers do, with a dwell of 20 ms a pixel."""
    n_elements, height, width = counts.shape
    unknown = np.full((2, 3), np.nan)
    return xr.Dataset(
        {
            "counts": (("element", "y", "x"), counts.astype(np.int32), {"units": "counts"}),
            "dwell_s": ("element", np.full(n_elements, 0.02), {"units": "s"}),
            "dead_time_ns": (
                "element",
                np.full(n_elements, dead_time_ns or np.nan),
                {"units": "ns"},
            ),
            "probe_current_nA": ((), np.nan, {"units": "nA"}),
            "step_um": ((), step_um, {"units": "um"}),
            "stage_to_pixel": (("axis", "term"), unknown),
        },
        {
            "element": chemistry.elements,
            "y": ("y", step_um * np.arange(height), {"units": "um"}),
            "x": ("x", step_um * np.arange(width), {"units": "um"}),
            "axis": ["column", "row"],
            "term": ["stage_x", "stage_y", "one"],
        },
        {
            "source": "simulated",
            "format": "simulated",
            "notes": f"simulated, {counts_per_pixel:g} counts a pixel",
        },
    )


def analyse_spots(
    fraction: np.ndarray,
    composition: np.ndarray,
    chemistry: Chemistry,
    n_spots: int,
    shift: tuple[float, float],
    jitter: float,
    generator: np.random.Generator,
    *,
    wrong_labels: int = 0,
    drift: float = 0.0,
    memory: float = 6.0,
) -> xr.Dataset:
    """Analyse spots on a map of known fractions (phase, y, x) and compositions (oxide, y, x).

    Parameters as for `simulate_phase_maps`.
    """
    n_phases, height, width = fraction.shape
    margin = 6
    inside = np.zeros((height, width), dtype=bool)
    inside[margin:-margin, margin:-margin] = True
    anywhere = np.flatnonzero(inside)
    rows, labels = [], []
    for index in range(n_spots):
        k = index % n_phases
        pure = np.flatnonzero(inside & (fraction[k] > 0.999))
        choice = anywhere if generator.uniform() < 0.1 or not pure.size else pure
        rows.append(int(generator.choice(choice)))
        at = fraction.reshape(n_phases, -1)[:, rows[-1]]
        labels.append(int(at.argmax()))
    place = np.array(rows)
    row, column = np.divmod(place, width)
    value = composition.reshape(composition.shape[0], -1)[:, place].T
    sd = ANALYSIS_ERROR * value + 0.03
    measured = np.maximum(value + sd * generator.normal(size=value.shape), 0.0)
    for index in generator.choice(n_spots, size=wrong_labels, replace=False):
        labels[index] = (labels[index] + 1) % n_phases
    nominal = np.stack([column, row], axis=1) - np.array(shift)
    nominal = nominal + jitter * generator.normal(size=nominal.shape)
    order = np.arange(n_spots, dtype=float)
    if drift > 0:
        nominal = nominal - drift * draw_path(order, memory, generator)
    return xr.Dataset(
        {
            "wt_percent": (("spot", "oxide"), measured, {"units": "wt%"}),
            "wt_percent_sd": (("spot", "oxide"), sd, {"units": "wt%"}),
            "column": ("spot", nominal[:, 0], {"units": "pixel"}),
            "row": ("spot", nominal[:, 1], {"units": "pixel"}),
            "phase": ("spot", np.array([chemistry.phases[k] for k in labels], dtype=str)),
            "order": ("spot", order, {"units": "1"}),
        },
        {
            "spot": np.array([f"{i + 1}" for i in range(n_spots)], dtype=str),
            "oxide": chemistry.oxides,
            "cation": ("oxide", chemistry.elements),
        },
        {"source": "simulated"},
    )
