"""A thin section with everything known: garnets of a known history, mapped, spotted and dated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree

from petro_models.errors import DataError
from petro_models.histories.sections import off_centre
from petro_models.histories.simulate import Path, simulate_history
from petro_models.phase_maps.simulate import (
    MINERALS,
    Chemistry,
    analyse_spots,
    counted_maps,
    draw_chemistry,
)
from petro_models.study.garnet_chemistry import garnet_oxides
from petro_models.thermodynamics.bundled import bundled_table

MATRIX = {"Quartz": 0.34, "Muscovite": 0.26, "Biotite": 0.18, "Plagioclase": 0.14, "Chlorite": 0.08}
"""Phases around the garnets and their shares of the area: a pelite of the garnet zone."""
GARNET = "Garnet"
OXIDES = ["SiO2", "Al2O3", "FeO", "MgO", "CaO", "Na2O", "K2O", "TiO2", "MnO"]
DENSITIES = {
    "Quartz": 2650.0, "Garnet": 4050.0, "Muscovite": 2830.0, "Biotite": 3090.0,
    "Plagioclase": 2670.0, "Chlorite": 2950.0,
}  # fmt: skip
"""kg/m3, of handbooks."""
GRAIN_AREA_UM2 = 300.0**2
SUBPIXELS = 5
SHELLS = 400
AGE_SPOT_UM = 50.0
INCLUSIONS, INCLUSION_RADIUS_UM = 4, (20.0, 60.0)
LOST_WT_SHARE = {"CaO": 0.55, "Na2O": 0.5, "MnO": 0.1, "FeO": 0.05}
GAINED_WT_SHARE = {"K2O": 0.5, "SiO2": 0.12, "MgO": 0.1}
"""What alteration takes from the rock and adds to it, as shares of the protolith's content; Al2O3
and TiO2 stay."""
WHOLE_ROCK_ERROR = 0.015


_ROUND, _OUT = 2 * np.pi * np.arange(24) / 24, np.sqrt((np.arange(20) + 0.5) / 20)
_DISC = np.stack([np.outer(_OUT, turn(_ROUND)).ravel() for turn in (np.cos, np.sin)])
"""Points evenly over the unit disc."""


@dataclass(frozen=True)
class ThinSection:
    """A section as an analyst hands it over, and the truth behind it.

    Attributes
    ----------
    maps, spots
        Counts and analyses, as `read_epma` and `read_spots` give them.
    equilibrium
        The garnet table of the rock.
    age_spots
        Dated places on the map: ``x_um y_um diameter_um age_Ma sd_Ma``.
    altered
        Analyses of altered neighbours, wt% of oxides, one row a sample.
    truth
        `phase_fraction` (phase, y, x), `composition` (oxide, y, x); of each garnet `centre_x_um
        centre_y_um section_radius_um cut_offset_um radius_um number_density` (garnet) and what
        happened as it grew, `pressure_kbar temperature_C age_Ma` (garnet, shell) at
        `shell_radius_um`; `mass_ratio` (sample) of the altered rocks.
    """

    maps: xr.Dataset
    spots: xr.Dataset
    equilibrium: xr.Dataset
    age_spots: pd.DataFrame
    altered: pd.DataFrame
    truth: xr.Dataset

    def number_density(self, profiles: xr.Dataset) -> dict[str, float]:
        """Give how many garnets of each size class the rock holds, by the profiles' grains."""
        return {
            grain: float(self.truth["number_density"][index])
            for grain, index in zip(
                profiles["grain"].values.tolist(), self._garnets(profiles), strict=True
            )
        }

    def along(self, profiles: xr.Dataset) -> xr.Dataset:
        """Give the true history at the positions of profiles that were taken from the map.

        Parameters
        ----------
        profiles
            From `garnet_sections`: the nearest garnet is a grain's own.

        Returns
        -------
        xr.Dataset
            ``pressure_kbar temperature_C age_Ma`` (position).
        """
        own = self._garnets(profiles)[profiles["grain_index"].to_numpy()]
        cut = self.truth["cut_offset_um"].to_numpy()[own]
        radius = off_centre(profiles["radius_um"].to_numpy(), cut)
        shells = self.truth["shell_radius_um"].to_numpy()
        found = {}
        for name in ("pressure_kbar", "temperature_C", "age_Ma"):
            curves = self.truth[name].to_numpy()
            values = [np.interp(r, shells[g], curves[g]) for r, g in zip(radius, own, strict=True)]
            found[name] = ("position", values, self.truth[name].attrs)
        return xr.Dataset(found, {"position": profiles["position"]})

    def _garnets(self, profiles: xr.Dataset) -> np.ndarray:
        """Give the number of the garnet nearest to each grain, (grain)."""
        centres = np.stack([self.truth[f"centre_{a}_um"].to_numpy() for a in "xy"], axis=-1)
        found = np.stack([profiles[f"centre_{a}_um"].to_numpy() for a in "xy"], axis=-1)
        return np.atleast_1d(cKDTree(centres).query(found)[1])


def simulate_thin_section(
    size: int = 160,
    path: str | Path = "clockwise",
    *,
    equilibrium: xr.Dataset | None = None,
    width_um: float = 4800.0,
    n_garnets: int = 3,
    largest_radius_um: float = 900.0,
    cut_share: Sequence[float] | None = None,
    counts_per_pixel: float = 4000.0,
    n_spots: int = 48,
    n_ages: int = 5,
    age_sd_Ma: float = 0.3,
    duration_Myr: float = 10.0,
    age_at_end_Ma: float = 80.0,
    n_altered: int = 4,
    seed: int = 0,
) -> ThinSection:
    """Cut, map, analyse and date a rock whose garnets grew along a known path.

    Garnets are spheres in a mosaic of matrix phases; quartz is enclosed in
    them. Their shells have the compositions of the equilibrium table at the conditions of their
    growth and the garnet grown so far.

    Parameters
    ----------
    size
        Pixels along either side of the map.
    path
        As for `simulate_history`.
    equilibrium
        The garnet table, by default the bundled ``white2014``.
    width_um
        Of the map.
    n_garnets, largest_radius_um
        Spheres, and the radius of the first in the end; the others nucleate after it.
    cut_share
        Distance of each cut from the centre as a share of the sphere's radius; by default 0.
    counts_per_pixel, n_spots
        As for `simulate_phase_maps`.
    n_ages, age_sd_Ma
        Dated spots of 50 um in the garnets, and the error of an age.
    duration_Myr, age_at_end_Ma
        Of the path, whose end is at this age.
    n_altered
        Altered samples of the same rock.
    seed
        Same seed, same section.

    Raises
    ------
    DataError
        If the garnets do not fit into the map, or a number is out of range.
    """
    if size < 40:
        raise DataError(f"a thin section needs at least 40 pixels a side; got {size}")
    table = bundled_table("white2014") if equilibrium is None else equilibrium
    generator = np.random.default_rng(seed)
    profiles, _, grown = simulate_history(
        table, path, n_grains=n_garnets, n_positions=SHELLS, n_ages=0, noise=1e-9, seed=seed,
        duration_Myr=duration_Myr, largest_radius_um=largest_radius_um, interpolation="cubic",
    )  # fmt: skip
    spheres = profiles["rim_radius_um"].to_numpy()
    cut = _cuts(cut_share, spheres)
    garnets = _Garnets.of(profiles, grown, cut, width_um, generator)
    step = width_um / size
    fraction, deviation, composition, chemistry = _rock(
        garnets, size, step, counts_per_pixel, generator
    )
    expected = np.einsum("kyx,ke->eyx", fraction, chemistry.intensity)
    slope = chemistry.counts_per_wt_percent[chemistry.phases.index(GARNET)]
    expected = np.maximum(expected + slope[:, None, None] * deviation, 0.02)
    counts = generator.poisson(expected)
    maps = counted_maps(counts, chemistry, step, counts_per_pixel)
    spots = analyse_spots(
        fraction, composition, chemistry, n_spots, (0.6, -0.4), 0.3, generator
    )  # fmt: skip
    mass = np.array([DENSITIES[phase] for phase in chemistry.phases]) @ fraction.reshape(
        len(chemistry.phases), -1
    )
    bulk = composition.reshape(len(OXIDES), -1) @ mass / mass.sum()
    altered, ratio = _alter(bulk, n_altered, generator)
    ages = _date(garnets, n_ages, age_sd_Ma, duration_Myr + age_at_end_Ma, generator)
    truth = _truth(garnets, fraction, composition, chemistry, maps, duration_Myr + age_at_end_Ma)
    truth["mass_ratio"] = ("sample", ratio, {"units": "1"})
    truth["bulk"] = ("oxide", bulk, {"units": "wt%"})
    return ThinSection(maps, spots, table, ages, altered, truth.assign_coords(sample=altered.index))


@dataclass(frozen=True)
class _Garnets:
    """Spheres and where they are cut, (garnet); their shells (garnet, shell), core first."""

    x_um: np.ndarray
    y_um: np.ndarray
    radius_um: np.ndarray
    cut_um: np.ndarray
    number_density: np.ndarray
    shell_um: np.ndarray
    composition: np.ndarray
    pressure_kbar: np.ndarray
    temperature_C: np.ndarray
    time_Myr: np.ndarray
    inclusions: np.ndarray

    @property
    def section_um(self) -> np.ndarray:
        """Radii of the discs."""
        return np.sqrt(self.radius_um**2 - self.cut_um**2)

    @classmethod
    def of(
        cls,
        profiles: xr.Dataset,
        grown: xr.Dataset,
        cut: np.ndarray,
        width_um: float,
        generator: np.random.Generator,
    ) -> "_Garnets":
        spheres = profiles["rim_radius_um"].to_numpy()
        disc = np.sqrt(spheres**2 - cut**2)
        places = _apart(disc, width_um, generator)
        by_shell = {
            name: grown[name].to_numpy().reshape(spheres.size, -1)
            for name in ("pressure_kbar", "temperature_C", "time_Myr")
        }
        shape = (spheres.size, SHELLS, -1)
        return cls(
            places[:, 0], places[:, 1], spheres, cut,
            profiles["number_density"].to_numpy(),
            profiles["radius_um"].to_numpy().reshape(spheres.size, -1),
            grown["composition"].to_numpy().reshape(shape),
            **by_shell,
            inclusions=_enclose(places, disc, generator),
        )  # fmt: skip

    def oxides(self, garnet: int, rho_um: np.ndarray) -> np.ndarray:
        """Give wt% at distances from the middle of a disc, (..., oxide)."""
        radius = off_centre(rho_um, self.cut_um[garnet])
        shells = self.composition[garnet].T
        fractions = [np.interp(radius, self.shell_um[garnet], column) for column in shells]
        wt = garnet_oxides(np.stack(fractions, axis=-1))
        return np.stack([wt.get(oxide, np.zeros_like(radius)) for oxide in OXIDES], axis=-1)

    def time_at(self, garnet: int, rho_um: np.ndarray) -> np.ndarray:
        """Give the time of growth at distances from the middle of a disc, Myr."""
        radius = off_centre(rho_um, self.cut_um[garnet])
        return np.interp(radius, self.shell_um[garnet], self.time_Myr[garnet])


def _cuts(given: Sequence[float] | None, spheres: np.ndarray) -> np.ndarray:
    share = np.zeros(spheres.size) if given is None else np.asarray(given, float)
    if share.size != spheres.size or (share < 0).any() or (share > 0.95).any():
        raise DataError(f"cut_share needs {spheres.size} numbers from 0 to 0.95; got {given}")
    return share * spheres


def _apart(disc: np.ndarray, width_um: float, generator: np.random.Generator) -> np.ndarray:
    """Place discs inside the map so that none touches another or the edge, (garnet, 2)."""
    margin = 0.02 * width_um
    for _ in range(200):
        placed: list[np.ndarray] = []
        for radius in disc:
            low, high = radius + margin, width_um - radius - margin
            if low >= high:
                break
            for _ in range(200):
                place = generator.uniform(low, high, 2)
                apart = [
                    np.hypot(*(place - other)) > radius + size + margin
                    for other, size in zip(placed, disc, strict=False)
                ]
                if all(apart):
                    placed.append(place)
                    break
        if len(placed) == disc.size:
            return np.array(placed)
    raise DataError(
        f"{disc.size} garnets of up to {disc.max():.0f} um radius do not fit into a map of "
        f"{width_um:g} um: give a larger width_um or a smaller largest_radius_um"
    )


def _enclose(places: np.ndarray, disc: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw inclusions (inclusion; x, y, radius) inside the discs."""
    rows = []
    for (x, y), radius in zip(places, disc, strict=True):
        for _ in range(INCLUSIONS):
            rho = radius * np.sqrt(generator.uniform(0.05, 0.8))
            angle = generator.uniform(0, 2 * np.pi)
            size = generator.uniform(*INCLUSION_RADIUS_UM)
            rows.append((x + rho * np.cos(angle), y + rho * np.sin(angle), size))
    return np.array(rows)


def _rock(
    garnets: _Garnets,
    size: int,
    step: float,
    counts_per_pixel: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Chemistry]:
    """Lay the garnets into the matrix: fractions, garnet's own zoning, composition, chemistry.

    Returns
    -------
    tuple
        Fractions (phase, y, x); what zoning adds to the fraction-weighted mean of garnet, wt%
        (element, y, x); composition (oxide, y, x); the chemistry.
    """
    phases = [*MATRIX, GARNET]
    label, garnet_of, rho = _subpixels(garnets, size, step, generator)
    inside = garnet_of >= 0
    wt = np.zeros((*label.shape, len(OXIDES)), dtype=np.float32)
    for garnet in range(garnets.radius_um.size):
        own = garnet_of == garnet
        wt[own] = garnets.oxides(garnet, rho[own])
    mean = wt[inside].mean(axis=0, dtype=float)
    minerals = {name: MINERALS[name] for name in MATRIX}
    minerals[GARNET] = dict(zip(OXIDES, mean.tolist(), strict=True))
    chemistry = draw_chemistry(minerals, OXIDES, (), counts_per_pixel, 0.05, generator)
    # The mean garnet is what the shells make it; the draw varies the other phases only.
    drawn = chemistry.composition[phases.index(GARNET)]
    chemistry.intensity[phases.index(GARNET)] += chemistry.counts_per_wt_percent[
        phases.index(GARNET)
    ] * (mean - drawn)
    chemistry.composition[phases.index(GARNET)] = mean
    label = np.where(inside, phases.index(GARNET), label)
    fraction = np.stack([(label == k).mean(axis=-1) for k in range(len(phases))])
    zoning = np.where(inside[..., None], wt - mean, 0.0).mean(axis=-2)
    deviation = np.moveaxis(zoning, -1, 0)
    composition = np.einsum("kyx,ko->oyx", fraction, chemistry.composition) + deviation
    return fraction, deviation, np.maximum(composition, 0.0), chemistry


def _subpixels(
    garnets: _Garnets, size: int, step: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give matrix phase, garnet (-1: none) and distance to its middle, (y, x, subpixel)."""
    width = size * step
    n_grains = int(width**2 / GRAIN_AREA_UM2)
    seeds = generator.uniform(0, width, size=(n_grains, 2))
    share = np.array(list(MATRIX.values()))
    kinds = generator.choice(share.size, size=n_grains, p=share)
    # Places count from the middle of the first pixel, as those of maps do.
    offset = ((np.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5) * step
    across, down = (part.ravel() for part in np.meshgrid(offset, offset))
    y = (step * np.arange(size))[:, None, None] + down
    x = (step * np.arange(size))[None, :, None] + across
    x, y = np.broadcast_arrays(x, y)
    label = kinds[cKDTree(seeds).query(np.stack([x, y], axis=-1).reshape(-1, 2))[1]]
    label = label.reshape(x.shape)
    garnet_of, rho = np.full(x.shape, -1), np.zeros(x.shape)
    for garnet, radius in enumerate(garnets.section_um):
        away = np.hypot(x - garnets.x_um[garnet], y - garnets.y_um[garnet])
        own = away < radius
        garnet_of[own], rho[own] = garnet, away[own]
    for x_um, y_um, radius in garnets.inclusions:
        enclosed = np.hypot(x - x_um, y - y_um) < radius
        garnet_of[enclosed], label[enclosed] = -1, list(MATRIX).index("Quartz")
    return label, garnet_of, rho


def _alter(
    bulk: np.ndarray, n_altered: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Alter the rock to a varying degree: analyses, and mass of the altered rock / protolith."""
    degree = np.linspace(0.4, 1.0, n_altered)
    change = np.array(
        [GAINED_WT_SHARE.get(oxide, 0.0) - LOST_WT_SHARE.get(oxide, 0.0) for oxide in OXIDES]
    )
    mass = bulk * (1 + degree[:, None] * change)
    # Volatiles and what is not mapped keep their share, so that the oxides sum as in the protolith.
    ratio = mass.sum(axis=1) / bulk.sum()
    wt = mass / ratio[:, None]
    measured = wt * np.exp(WHOLE_ROCK_ERROR * generator.normal(size=wt.shape))
    names = [f"altered {number + 1}" for number in range(n_altered)]
    return pd.DataFrame(measured, index=names, columns=OXIDES), ratio


def _date(
    garnets: _Garnets,
    n_ages: int,
    sd_Ma: float,
    start_Ma: float,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Date spots from near the middle to near the rim of each disc in turn."""
    order = np.argsort(-garnets.section_um)
    rows = []
    for number in range(n_ages):
        garnet = int(order[number % order.size])
        step = number // order.size
        share = (0.05, 0.9, 0.5, 0.7, 0.3)[step % 5] if garnet == order[0] else (0.1, 0.8)[step % 2]
        rho = share * (garnets.section_um[garnet] - AGE_SPOT_UM / 2)
        angle = generator.uniform(0, 2 * np.pi)
        within = np.hypot(rho + AGE_SPOT_UM / 2 * _DISC[0], AGE_SPOT_UM / 2 * _DISC[1])
        age = start_Ma - float(garnets.time_at(garnet, within).mean())
        rows.append(
            {
                "x_um": garnets.x_um[garnet] + rho * np.cos(angle),
                "y_um": garnets.y_um[garnet] + rho * np.sin(angle),
                "diameter_um": AGE_SPOT_UM,
                "age_Ma": age + sd_Ma * generator.normal(),
                "sd_Ma": sd_Ma,
            }
        )
    return pd.DataFrame(rows)


def _truth(
    garnets: _Garnets,
    fraction: np.ndarray,
    composition: np.ndarray,
    chemistry: Chemistry,
    maps: xr.Dataset,
    start_Ma: float,
) -> xr.Dataset:
    by_garnet = {
        "centre_x_um": garnets.x_um,
        "centre_y_um": garnets.y_um,
        "section_radius_um": garnets.section_um,
        "cut_offset_um": garnets.cut_um,
        "radius_um": garnets.radius_um,
    }
    by_shell = {
        "shell_radius_um": (garnets.shell_um, "um"),
        "pressure_kbar": (garnets.pressure_kbar, "kbar"),
        "temperature_C": (garnets.temperature_C, "degree_Celsius"),
        "age_Ma": (start_Ma - garnets.time_Myr, "Ma"),
    }
    return xr.Dataset(
        {
            "phase_fraction": (("phase", "y", "x"), fraction.astype(np.float32)),
            "composition": (("oxide", "y", "x"), composition.astype(np.float32), {"units": "wt%"}),
            **{name: ("garnet", values, {"units": "um"}) for name, values in by_garnet.items()},
            "number_density": ("garnet", garnets.number_density, {"units": "relative"}),
            **{
                name: (("garnet", "shell"), values, {"units": units})
                for name, (values, units) in by_shell.items()
            },
        },
        {"phase": chemistry.phases, "oxide": OXIDES, "y": maps["y"], "x": maps["x"]},
    )
