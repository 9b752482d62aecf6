"""Whole-rock tables with known truth, drawn from the spike-and-slab model itself."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from petro_models.errors import DataError
from petro_models.mass_transfer.forward import altered_log_concentration
from petro_models.mass_transfer.schema import PARTS, validate_mass_table

_WT_PERCENT = "SiO2 55 TiO2 1 Al2O3 16 Fe2O3T 8.5 MnO 0.15 MgO 5 CaO 8 Na2O 3 K2O 1.5 P2O5 0.2"
_PPM = (
    "Zr 130 Sr 350 Y 25 V 200 Rb 40 Ba 400 Nb 8 Sc 28 Cr 120 Zn 85 Ni 60 Cu 50 La 18 Yb 2.4 Th 4.5 "
    "Hf 3.3 Ce 38 Ga 18 Co 28 Pb 8 Nd 20 Sm 4.5 Eu 1.3 Gd 4.5 Dy 4.3 Er 2.5 Lu 0.37 Ta 0.6 U 1.2 "
    "Cs 1.2 Pr 5 Tb 0.7 Ho 0.9 Tm 0.37 W 1 Sn 2 Mo 1.2 Sb 0.3 As 2 Bi 0.1 Ag 0.06 Cd 0.1 In 0.06 "
    "Tl 0.4 Be 1.5 Li 15 B 10 Ge 1.4 Se 0.1 Te 0.01"
)
SPECIES: dict[str, tuple[float, str]] = {
    name: (float(value), unit)
    for text, unit in ((_WT_PERCENT, "wt%"), (_PPM, "ppm"))
    for name, value in zip(text.split()[::2], text.split()[1::2], strict=True)
}
"""Species in the order in which tables take them: a round concentration in andesite, and unit."""

ROCK_VARIETY = 0.2
"""Standard deviation of ln C0 about the round concentrations: no two protoliths are alike."""
LARGEST_WT_PERCENT = 95.0
MOST_BELOW_DETECTION = 0.5


def simulate_mass_table(
    n_samples: int = 5,
    n_elements: int = 20,
    immobile_share: float = 0.3,
    noise: float = 0.03,
    mobility_scale: float = 0.7,
    mass_change_sd: float = 0.5,
    co_moving_share: float = 0.0,
    n_protolith: int = 1,
    protolith_spread: float = 0.0,
    below_detection_share: float = 0.0,
    missing_share: float = 0.0,
    seed: int = 0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Draw a table of a protolith and altered rocks, and the truth behind it.

    With m ~ Normal(0, `mass_change_sd`) for each sample, mobility x ~ Normal(0, `noise`) for an
    immobile element and x ~ Normal(0, sqrt(`noise`^2 + `mobility_scale`^2)) for a mobile one,
    ``ln C = ln C0 - m + x`` plus the natural spread of the protolith. The oxides need not add up
    to 100 wt%: closure is no part of the model.

    Parameters
    ----------
    n_samples, n_elements, n_protolith
        Altered samples, elements (3 to 60), analyses of the protolith.
    immobile_share
        Share of the elements that are immobile; their number is the nearest whole one.
    noise
        How far an immobile element moves, with its analytical error (sd of ln C).
    mobility_scale, mass_change_sd
        Standard deviations of mobility and of ln(M/M0).
    co_moving_share
        Share of the elements that are mobile but all move alike in each sample: a false frame.
    protolith_spread
        Natural spread of the protolith (sd of ln C); it scatters the altered rocks too.
    below_detection_share, missing_share
        Shares of the altered analyses that lie below detection (up to 0.5) or are missing; an
        element and a sample keep at least one value.
    seed
        Same seed, same table.

    Returns
    -------
    table : xr.Dataset
        As `validate_mass_table` wants it; no analytical errors are stated.
    truth : xr.Dataset
        ``mass_change`` (sample), ``immobile`` and ``co_moving`` (element), ``mobility`` (sample,
        element), ``protolith_log_concentration`` (element).

    Raises
    ------
    DataError
        If a number or share is out of its range, or the shares leave too little.

    Examples
    --------
    >>> table, truth = simulate_mass_table(n_samples=2, n_elements=10, immobile_share=0.4)
    >>> table.sizes["sample"], int(truth["immobile"].sum())
    (2, 4)
    """
    settings = dict(locals())
    _check_settings(settings)
    generator = np.random.default_rng(seed)
    names = list(SPECIES)[:n_elements]
    immobile, co_moving = _roles(n_elements, immobile_share, co_moving_share, generator)
    mass_change = generator.normal(0.0, mass_change_sd, n_samples)
    mobility = generator.normal(0.0, mobility_scale, (n_samples, n_elements)) * ~immobile
    mobility[:, co_moving] = generator.normal(0.0, mobility_scale, (n_samples, 1))
    mobility += generator.normal(0.0, noise, mobility.shape)

    typical = np.log([SPECIES[name][0] for name in names])
    mean = typical + generator.normal(0.0, ROCK_VARIETY, n_elements)
    fresh = generator.normal(0.0, protolith_spread, (n_protolith, n_elements))
    before = generator.normal(0.0, protolith_spread, (n_samples, n_elements))
    change = altered_log_concentration(before, mass_change[:, None], mobility)
    mean = _below_whole_rock(mean, np.concatenate([fresh, change]), names)

    rocks = _Analyses(mean + change)
    protolith = _Analyses(mean + fresh)
    _hide_below_detection(rocks, protolith, below_detection_share, generator)
    _take_away(rocks, missing_share, generator)
    table = _table(rocks, protolith, names, seed)
    validate_mass_table(table)
    truth = xr.Dataset(
        {
            "mass_change": ("sample", mass_change, {"units": "ln(M/M0)"}),
            "immobile": ("element", immobile),
            "co_moving": ("element", co_moving),
            "mobility": (
                ("sample", "element"),
                mobility,
                {"units": "ln(mass of the element / its mass in the protolith)"},
            ),
            "protolith_log_concentration": ("element", mean, {"units": "ln of coordinate unit"}),
        },
        {name: table.coords[name] for name in ("sample", "element", "unit")},
        attrs=settings,
    )
    return table, truth


@dataclass
class _Analyses:
    """Analyses (row, element): ln C, and what of it the laboratory does not tell."""

    log_concentration: np.ndarray
    log_limit: np.ndarray

    def __init__(self, log_concentration: np.ndarray) -> None:
        self.log_concentration = log_concentration
        self.log_limit = np.full(log_concentration.shape, np.nan)

    def hide(self, column: int, log_limit: float) -> None:
        """Put the cells of one element that lie below a limit below detection."""
        rows = self.log_concentration[:, column] < log_limit
        self.log_limit[rows, column] = log_limit
        self.log_concentration[rows, column] = np.nan


def _check_settings(settings: dict[str, float]) -> None:
    ranges: dict[str, tuple[float, float]] = {
        "n_samples": (1, 100_000),
        "n_elements": (3, len(SPECIES)),
        "n_protolith": (1, 100_000),
        "noise": (0, 1),
        "mobility_scale": (0, 5),
        "mass_change_sd": (0, 3),
        "protolith_spread": (0, 1),
        "immobile_share": (0, 1),
        "co_moving_share": (0, 1),
        "below_detection_share": (0, MOST_BELOW_DETECTION),
        "missing_share": (0, 1),
        "seed": (0, np.inf),
    }
    for name, (low, high) in ranges.items():
        if not low <= settings[name] <= high:
            allowed = f"{low:g} or more" if high == np.inf else f"{low:g} to {high:g}"
            raise DataError(f"{name} must be {allowed}; got {settings[name]:g}")


def _roles(
    n_elements: int, immobile_share: float, co_moving_share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose which elements are immobile and which move together, each (element) bool."""
    n_immobile, n_moving = (
        round(share * n_elements) for share in (immobile_share, co_moving_share)
    )
    if n_immobile + n_moving > n_elements:
        raise DataError(
            f"immobile_share and co_moving_share ask for {n_immobile} + {n_moving} of {n_elements} "
            "elements: lower one of them"
        )
    order = generator.permutation(n_elements)
    roles = np.zeros((2, n_elements), dtype=bool)
    roles[0, order[:n_immobile]] = True
    roles[1, order[n_immobile : n_immobile + n_moving]] = True
    return roles[0], roles[1]


def _below_whole_rock(mean: np.ndarray, departures: np.ndarray, names: list[str]) -> np.ndarray:
    """Lower ln C0 of oxides that would exceed the whole rock; ratios stay as they are."""
    is_oxide = np.array([SPECIES[name][1] == "wt%" for name in names])
    highest = np.log(LARGEST_WT_PERCENT) - departures.max(axis=0)
    return np.where(is_oxide, np.minimum(mean, highest), mean)


def _hide_below_detection(
    rocks: _Analyses, protolith: _Analyses, share: float, generator: np.random.Generator
) -> None:
    """Give elements in random order a limit that hides up to half of their altered analyses.

    A limit stays below the protolith's analyses: a protolith below detection would be no reference.
    """
    n_samples, n_elements = rocks.log_concentration.shape
    asked = left = round(share * n_samples * n_elements)
    for column in generator.permutation(n_elements):
        lowest_fresh = protolith.log_concentration[:, column].min()
        ordered = np.sort(rocks.log_concentration[:, column])
        depleted = int((ordered < lowest_fresh).sum())
        count = min(left, depleted, -(-n_samples // 2))
        if count == 0:
            continue
        above = min(lowest_fresh, *ordered[count:]) if count < n_samples else lowest_fresh
        rocks.hide(column, (ordered[count - 1] + above) / 2)
        left -= count
    if left:
        most = (asked - left) / rocks.log_concentration.size
        raise DataError(
            f"below_detection_share={share:g} is more than this rock can hide below its protolith: "
            f"at most {most:.2f} here"
        )


def _take_away(rocks: _Analyses, share: float, generator: np.random.Generator) -> None:
    """Make a share of the cells missing; one measured cell of each element and sample stays."""
    measured = np.isfinite(rocks.log_concentration)
    kept = np.zeros(measured.shape, dtype=bool)
    lottery = np.where(measured, generator.random(measured.shape), -1.0)
    kept[lottery.argmax(axis=0), np.arange(measured.shape[1])] = True
    kept[np.arange(measured.shape[0]), lottery.argmax(axis=1)] = True
    free = np.argwhere(~kept)
    count = round(share * measured.size)
    if count > len(free):
        raise DataError(
            f"missing_share={share:g} leaves an element or a sample without a value; at most "
            f"{len(free) / measured.size:.2f} can be missing here"
        )
    rows, columns = generator.permutation(free)[:count].T
    rocks.log_concentration[rows, columns] = np.nan
    rocks.log_limit[rows, columns] = np.nan


def _table(rocks: _Analyses, protolith: _Analyses, names: list[str], seed: int) -> xr.Dataset:
    """Give both sets of analyses in the schema of mass transfer."""
    variables = {}
    for prefix, dim, analyses in (("", "sample", rocks), ("protolith_", "protolith", protolith)):
        unknown_error = np.full(analyses.log_limit.shape, np.nan)
        arrays = (np.exp(analyses.log_concentration), unknown_error, np.exp(analyses.log_limit))
        for (name, units), array in zip(PARTS.items(), arrays, strict=True):
            variables[prefix + name] = ((dim, "element"), array, {"units": units})
    counts = {"sample": rocks.log_limit.shape[0], "protolith": protolith.log_limit.shape[0]}
    letters = {"sample": "A", "protolith": "P"}
    return xr.Dataset(
        variables,
        {
            **{dim: [f"{letters[dim]}{i + 1}" for i in range(n)] for dim, n in counts.items()},
            "element": names,
            "unit": ("element", [SPECIES[name][1] for name in names]),
        },
        attrs={
            "source": f"simulated (seed {seed})",
            "notes": "simulated from the spike-and-slab model; totals mean nothing",
        },
    )
