"""Equilibrium of a pelite by Gibbs-energy minimisation, for `theria_g_table`.

Columns of pure phases and of compositions of solutions enter a linear program; each solution is
then brought to its lowest energy above the program's plane by Newton steps, and the new
compositions enter as columns until none lies below the plane. The phases that are left are brought
to their common minimum by Newton steps in the amounts of all endmembers. Water is in excess.

The data of minerals and their mixing come from `holland_powell_1998` or `white_2014`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import linprog

GAS_CONSTANT = 8.3144598
REFERENCE_K = 298.15
ELEMENTS = ("Si", "Al", "Ti", "Fe", "Mn", "Mg", "Ca", "Na", "K")
OXYGEN_OF_OXIDE = np.array([2, 1.5, 2, 1, 1, 1, 1, 0.5, 0.5])
"""Per cation, iron ferrous; the tenth component is oxygen beyond that."""
SITE_OF_GARNET = [ELEMENTS.index(name) for name in ("Fe", "Mg", "Ca", "Mn")]
PLANE_TOLERANCE = 0.1
"""J/mol below the plane at which the search ends."""
ONE_PHASE = 0.05
"""Compositions nearer to each other than this are one phase; others lie across a solvus."""
LEAST_SHARE = 1e-9
"""Of an endmember in a solution where the last steps begin."""
MOST_MISFIT = 5.0
"""J/mol by which chemical potentials of what coexists may differ after the last steps."""


@dataclass(frozen=True)
class Mixture:
    """What a solution phase is made of; e endmembers, s species on sites.

    Attributes
    ----------
    name
        Garnet is ``g``.
    endmembers
        Names, as `Data.standard` knows them.
    components, water
        Of each endmember: the ten components without its water (e, 10), and mol of water (e,).
    sites, number
        Share of each species on its site (e, s), and how many of that site there are (s,).
    size
        Of the endmembers in asymmetric mixing, 1 in symmetric (e,).
    interactions
        Enthalpy (J), entropy (J/K) and volume (J/bar) of interaction, symmetric (e, e) each.
    """

    name: str
    endmembers: tuple[str, ...]
    components: np.ndarray
    water: np.ndarray
    sites: np.ndarray
    number: np.ndarray
    size: np.ndarray
    interactions: tuple[np.ndarray, np.ndarray, np.ndarray]

    def of(self, present: np.ndarray) -> "Mixture":
        """Leave endmembers out that hold other components than those present (10,)."""
        keep = np.flatnonzero((np.abs(self.components[:, ~present]) < 1e-9).all(axis=1))
        used = (self.sites[keep] > 1e-12).any(axis=0)
        enthalpy, entropy, volume = (part[np.ix_(keep, keep)] for part in self.interactions)
        return Mixture(
            self.name, tuple(self.endmembers[i] for i in keep), self.components[keep],
            self.water[keep], self.sites[keep][:, used], self.number[used], self.size[keep],
            (enthalpy, entropy, volume),
        )  # fmt: skip


class Data(Protocol):
    """A thermodynamic data set."""

    mixtures: Sequence[Mixture]
    pure: Mapping[str, tuple[np.ndarray, float]]
    """Components without water, and water, of the pure phases by name."""

    def standard(
        self, name: str, pressure_kbar: float, temperature_K: float
    ) -> tuple[float, float]:
        """Give Gibbs energy (J/mol) and volume (J/bar/mol) of a pure phase or an endmember."""

    def water(self, pressure_kbar: float, temperature_K: float) -> float:
        """Give the Gibbs energy of water, J/mol."""


def components(formula: Mapping[str, float]) -> tuple[np.ndarray, float]:
    """Give the ten components of a formula without its water, and its water."""
    cations = np.array([formula.get(name, 0.0) for name in ELEMENTS])
    water = formula.get("H", 0.0) / 2
    return np.append(cations, formula.get("O", 0.0) - cations @ OXYGEN_OF_OXIDE - water), water


def heated(capacity: Sequence[float], temperature_K: float) -> tuple[float, float]:
    """Give enthalpy (J) and entropy (J/K) that heating from 298 K adds.

    The heat capacity is a + b T + c / T^2 + d / T^0.5.
    """
    (a, b, c, d), t, ref = capacity, temperature_K, REFERENCE_K
    heat = a * (t - ref) + b / 2 * (t**2 - ref**2) - c * (1 / t - 1 / ref)
    order = a * np.log(t / ref) + b * (t - ref) - c / 2 * (t**-2 - ref**-2)
    return (
        float(heat + 2 * d * (t**0.5 - ref**0.5)),
        float(order - 2 * d * (t**-0.5 - ref**-0.5)),
    )


def ideal_water(temperature_K: float) -> float:
    """Give the Gibbs energy of water as an ideal gas at 1 bar (Holland & Powell 1998), J/mol."""
    heat, order = heated([40.1, 8.656e-3, 487500.0, -251.2], temperature_K)
    return -241810.0 + heat - temperature_K * (188.8 + order)


class Solution:
    """A solution phase: energies and slopes at many compositions (row, endmember) at once."""

    def __init__(self, mixture: Mixture, generator: np.random.Generator) -> None:
        self.name, self.endmembers = mixture.name, mixture.endmembers
        self.components, self.water = mixture.components, mixture.water
        self.sites, self.number, self.size = mixture.sites, mixture.number, mixture.size
        count = len(self.endmembers)
        weight = 2 * np.outer(self.size, self.size) / (self.size[:, None] + self.size)
        self.interactions = [part * weight for part in mixture.interactions]
        safe = np.where(self.sites > 0, self.sites, 1.0)
        self.own_entropy = GAS_CONSTANT * (self.number * self.sites * np.log(safe)).sum(axis=1)
        rows = 600 if count > 3 else 150
        drawn = [generator.dirichlet(np.full(count, a), rows) for a in (0.25, 0.6, 1.2)]
        self.samples = 0.998 * np.concatenate(drawn) + 0.002 / count

    def set_state(
        self, data: Data, pressure_kbar: float, temperature_K: float, water_J: float
    ) -> None:
        """Take pressure and temperature, and the energy of water there."""
        self.rt = GAS_CONSTANT * temperature_K
        known = [data.standard(name, pressure_kbar, temperature_K) for name in self.endmembers]
        energy, self.volume = np.array(known).T
        energy = energy - self.water * water_J
        self.own = energy - temperature_K * self.own_entropy
        enthalpy, entropy, volume = self.interactions
        self.mixing = enthalpy - temperature_K * entropy + 1e3 * pressure_kbar * volume

    def energy(self, p: np.ndarray) -> np.ndarray:
        """Give the energy of each composition, J/mol."""
        x = np.clip(p @ self.sites, 1e-300, None)
        excess = 0.5 * (p * (p @ self.mixing)).sum(axis=-1) / (p @ self.size)
        return p @ self.own + self.rt * (self.number * x * np.log(x)).sum(axis=-1) + excess

    def lowest(self, potentials: np.ndarray) -> np.ndarray:
        """Give the composition of lowest energy above the plane, by steps from the samples."""
        plane = self.components @ potentials
        start = np.argsort(self.energy(self.samples) - self.samples @ plane)[:3]
        p = self.descend(self.samples[start], potentials)
        return p[(self.energy(p) - p @ plane).argmin()]

    def descend(self, p: np.ndarray, potentials: np.ndarray, steps: int = 30) -> np.ndarray:
        """Bring compositions to the lowest energy above the plane of the potentials."""
        count = p.shape[1]
        if count == 1:
            return p
        plane = self.components @ potentials
        height = self.energy(p) - p @ plane
        system = np.zeros((len(p), count + 1, count + 1))
        system[:, count, :count] = system[:, :count, count] = 1
        for _ in range(steps):
            slope, ideal, excess = self.slopes(p)
            right = np.concatenate([plane - slope, np.zeros((len(p), 1))], axis=1)[..., None]
            move, found = np.zeros_like(p), np.zeros(len(p), bool)
            # Where the full curvature leads uphill, that of ideal mixing leads down.
            for curvature in (ideal + excess, ideal):
                system[:, :count, :count] = curvature + 1e-6 * np.eye(count)
                trial = np.linalg.solve(system, right)[:, :count, 0]
                down = (((slope - plane) * trial).sum(axis=1) < 0) & ~found
                move[down], found = trial[down], found | down
            x, change = p @ self.sites, move @ self.sites
            with np.errstate(all="ignore"):
                length = np.where(change < 0, -0.95 * x / change, np.inf).min(axis=1)
            length, moved = np.minimum(length, 1.0), np.zeros(len(p), bool)
            for _ in range(12):
                trial = p + length[:, None] * move
                lower = self.energy(trial) - trial @ plane
                better = (lower < height - 1e-9) & ~moved
                p = np.where(better[:, None], trial, p)
                height, moved = np.where(better, lower, height), moved | better
                length = np.where(moved, length, 0.4 * length)
                if moved.all():
                    break
            if not moved.any():
                break
        return p

    def slopes(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give slopes, and curvatures of ideal and excess mixing."""
        x, size, mixed = p @ self.sites, p @ self.size, p @ self.mixing
        x = np.clip(x, 1e-300, None)
        half = 0.5 * (p * mixed).sum(axis=-1)
        slope = self.own + self.rt * (self.number * (np.log(x) + 1)) @ self.sites.T
        slope = slope + mixed / size[:, None] - (half / size**2)[:, None] * self.size
        ideal = self.rt * np.einsum("ks,ns,ls->nkl", self.sites, self.number / x, self.sites)
        outer = mixed[:, :, None] * self.size
        excess = self.mixing / size[:, None, None]
        excess = excess - (outer + outer.transpose(0, 2, 1)) / (size**2)[:, None, None]
        excess = excess + (2 * half / size**3)[:, None, None] * np.outer(self.size, self.size)
        return slope, ideal, excess

    def extensive(self, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give chemical potentials of endmembers, and how they change with the amounts (e,)."""
        total = amounts.sum()
        p = amounts / total
        slope, ideal, excess = (part[0] for part in self.slopes(p[None]))
        potential = self.energy(p) + slope - p @ slope
        off = np.eye(p.size) - np.outer(p, np.ones(p.size))
        return potential, off.T @ (ideal + excess) @ off / total


@dataclass(frozen=True)
class Equilibrium:
    """What is stable.

    Attributes
    ----------
    garnet
        X_alm, X_prp, X_grs, X_sps; where garnet is not stable, of that nearest to being so.
    mode
        Volume of garnet over that of all solids.
    affinity
        J/mol by which garnet falls short of being stable; 0 where it is.
    volume_cm3
        Of all solids.
    phases
        With which the search for a neighbouring equilibrium may begin.
    """

    garnet: np.ndarray
    mode: float
    affinity: float
    volume_cm3: float
    phases: list[Any]


class Rock:
    """A bulk composition whose equilibrium is sought.

    Parameters
    ----------
    data
        The thermodynamic data set.
    bulk
        Mol of the ten components; those that are 0 are left out for good.
    """

    def __init__(self, data: Data, bulk: np.ndarray) -> None:
        self.data, self.bulk, self.present = data, bulk, bulk > 0
        generator = np.random.default_rng(0)
        mixtures = [mixture.of(self.present) for mixture in data.mixtures]
        self.solutions = [Solution(m, generator) for m in mixtures if m.endmembers]
        self.pure = [
            (name, amount, water)
            for name, (amount, water) in data.pure.items()
            if (np.abs(amount[~self.present]) < 1e-9).all()
        ]

    def set_state(self, pressure_kbar: float, temperature_C: float) -> None:
        """Take pressure and temperature."""
        state = pressure_kbar, temperature_C + 273.15
        water = self.data.water(*state)
        for phase in self.solutions:
            phase.set_state(self.data, *state, water)
        known = [self.data.standard(name, *state) for name, _, _ in self.pure]
        self.pure_volume = [volume for _, volume in known]
        self.pure_energy = [
            energy - own * water for (energy, _), (_, _, own) in zip(known, self.pure, strict=True)
        ]

    def equilibrium(self, known: Sequence[Any] | None = None) -> Equilibrium:
        """Find what is stable; the search begins with `known` phases of a neighbour, if given.

        Raises
        ------
        RuntimeError
            If the minimum is not found.
        """
        amounts, phases = self._search(known)
        stable, potentials = self._settle(amounts, phases)
        volume, own, garnet = 0.0, 0.0, np.zeros(10)
        for (number, p), amount in stable:
            if number < 0:
                volume += amount * self.pure_volume[p]
                continue
            phase = self.solutions[number]
            part = amount * float(p @ phase.volume)
            volume += part
            if phase.name == "g":
                garnet, own = garnet + amount * (p @ phase.components), own + part
        affinity = 0.0
        if not own:
            (phase,) = (phase for phase in self.solutions if phase.name == "g")
            p = phase.lowest(potentials)
            garnet = p @ phase.components
            affinity = float(phase.energy(p) - garnet @ potentials)
        site = garnet[SITE_OF_GARNET] - np.array([2 * garnet[9], 0, 0, 0])
        return Equilibrium(
            site / site.sum(), own / volume, affinity, 10 * volume,
            [phase for phase in phases if phase[0] >= 0],
        )  # fmt: skip

    def _search(self, known: Sequence[Any] | None) -> tuple[np.ndarray, list[Any]]:
        """Give amounts, and (number, composition) of solutions and (-1, row) of pure phases."""
        energies = [phase.energy(phase.samples) for phase in self.solutions]
        pool: list[tuple[float, np.ndarray, Any]] = []

        def add(number: int, rows: np.ndarray) -> None:
            phase = self.solutions[number]
            for p, energy in zip(rows, phase.energy(rows), strict=True):
                pool.append((energy, (p @ phase.components)[self.present], (number, p)))

        for row, (_, amount, _) in enumerate(self.pure):
            pool.append((self.pure_energy[row], amount[self.present], (-1, row)))
        for number, phase in enumerate(self.solutions):
            add(number, phase.samples[:: 1 if known is None else 8])
        for number, p in known or []:
            add(number, p[None])
        for _ in range(40):
            amounts, potentials, slack = self._plane(pool)
            active = np.flatnonzero(amounts > 1e-10)
            kept = set(active) | set(range(len(self.pure))) | set(np.argsort(slack)[:250].tolist())
            result = amounts[active], [pool[j][2] for j in active]
            pool, lowest = [pool[j] for j in sorted(kept)], 0.0
            for number, phase in enumerate(self.solutions):
                plane = phase.components @ potentials
                order = np.argsort(energies[number] - phase.samples @ plane)[:60]
                start = [phase.samples[order[0]]]
                for row in phase.samples[order[1:]]:
                    if len(start) < 3 and all(np.abs(row - s).max() > 0.15 for s in start):
                        start.append(row)
                start += [p for own, p in result[1] if own == number]
                p = phase.descend(np.array(start), potentials)
                height = phase.energy(p) - p @ plane
                lowest = min(lowest, float(height.min()))
                if (height < 500).any():
                    add(number, np.unique(np.round(p[height < 500], 7), axis=0))
            if lowest > -PLANE_TOLERANCE:
                return result
        raise RuntimeError("the minimum was not found")

    def _plane(self, pool: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve the linear program: amounts, potentials, and heights of columns above the plane."""
        energy = np.array([column[0] for column in pool])
        matrix = np.array([column[1] for column in pool]).T
        scale, bulk = np.abs(matrix).sum(axis=0), self.bulk[self.present]
        for method in ("highs-ds", "highs-ipm"):
            found = linprog(
                energy / scale / 1e4, A_eq=matrix / scale / bulk[:, None],
                b_eq=np.ones(bulk.size), method=method,
            )  # fmt: skip
            if found.status == 0:
                break
        else:
            raise RuntimeError(found.message)
        potentials = np.zeros(10)
        potentials[self.present] = found.eqlin.marginals * 1e4 / bulk
        slack = (energy - matrix.T @ potentials[self.present]) / scale
        return found.x / scale, potentials, slack

    def _settle(
        self, amounts: np.ndarray, phases: list[Any], steps: int = 60
    ) -> tuple[list[tuple[Any, float]], np.ndarray]:
        """Bring the phases that were found to their common minimum; give them and the potentials.

        Newton steps in the amounts of all endmembers: the plane of the linear program is good to
        some joule only, which for a scarce component is much.
        """
        groups = self._grouped(amounts, phases)
        parts = [
            self.pure[row][1][None] if number < 0 else self.solutions[number].components
            for number, row, _ in groups
        ]
        matrix = np.concatenate(parts)[:, self.present].T
        ends = np.cumsum([len(part) for part in parts])
        own = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        amount = np.concatenate(
            [held + LEAST_SHARE * held.sum() * (number >= 0) for number, _, held in groups]
        )
        # Endmembers may be negative; what sits on sites may not.
        sites = block_diag(*[np.eye(1) if n < 0 else self.solutions[n].sites for n, _, _ in groups])
        size, count = matrix.shape[1], len(matrix)
        system, potential = np.zeros((size + count, size + count)), np.zeros(size)

        def weigh() -> None:
            for (number, row, _), part in zip(groups, own, strict=True):
                if number < 0:
                    potential[part] = self.pure_energy[row]
                    continue
                found = self.solutions[number].extensive(amount[part])
                potential[part], system[part, part] = found

        for _ in range(steps):
            weigh()
            root = np.sqrt(np.abs(amount))
            system[size:, :size], system[:size, size:] = matrix, matrix.T
            scale = np.concatenate([root, np.ones(count)])
            right = np.concatenate([-potential * root, self.bulk[self.present] - matrix @ amount])
            move = np.linalg.lstsq(scale[:, None] * system * scale, right, rcond=1e-14)[0]
            potentials, move = -move[size:], move[:size] * root
            held, change = amount @ sites, move @ sites
            with np.errstate(all="ignore"):
                length = min(1.0, float(np.where(change < 0, -0.9 * held / change, np.inf).min()))
            amount = amount + length * move
        weigh()
        misfit = np.abs(potential - matrix.T @ potentials)[np.abs(amount) > 1e-8].max()
        if not misfit < MOST_MISFIT:
            raise RuntimeError(f"chemical potentials differ by {misfit:.3g} J/mol")
        full = np.zeros(10)
        full[self.present] = potentials
        stable = [
            ((number, row if number < 0 else amount[part] / amount[part].sum()), amount[part].sum())
            for (number, row, _), part in zip(groups, own, strict=True)
        ]
        return stable, full

    def _grouped(self, amounts: np.ndarray, phases: list[Any]) -> list[tuple[int, int, np.ndarray]]:
        """Join columns of one phase: number, row of pure phases, amounts of endmembers."""
        groups: list[tuple[int, int, np.ndarray]] = []
        for (number, p), amount in zip(phases, amounts, strict=True):
            if number < 0:
                groups.append((number, p, np.array([amount])))
                continue
            for index, (other, _, held) in enumerate(groups):
                if other == number and np.abs(held / held.sum() - p).max() < ONE_PHASE:
                    groups[index] = (number, 0, held + amount * p)
                    break
            else:
                groups.append((number, 0, amount * p))
        return groups
