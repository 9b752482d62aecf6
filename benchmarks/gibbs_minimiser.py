"""Equilibrium of a pelite by Gibbs-energy minimisation over BurnMan's models, for `theria_g_table`.

BurnMan (2.1.0, with autograd; no dependency of petro_models) holds the data of Holland & Powell
(2011) and the mixing models of White et al. (2014). Columns of pure phases and of compositions of
solutions enter a linear program; each solution is then brought to its lowest energy above the
program's plane by Newton steps, and the new compositions enter as columns until none lies below the
plane. Water is in excess, with the equation of state of Pitzer & Sterner (1994).

Against MAGEMin 2.0.1 at seven nodes of `white2014_41x41.nc` (5 to 11 kbar, 525 to 600 C) garnet
differs by at most 0.020 in X_alm, 0.011 in X_prp, 0.032 in X_grs and 0.020 in X_sps, and its mode
by 0.012; ilmenite is pure and magnetite absent here, so that iron is shared out differently.

Two slips of BurnMan 2.1.0 are mended: entropies of mixing are in kJ/K where J/K is meant, and
ferrous and ferric iron of one site share a name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from burnman.minerals import HP_2011_ds62, mp50MnNCKFMASHTO
from scipy.optimize import brentq, linprog

GAS_CONSTANT = 8.3144598
ELEMENTS = ("Si", "Al", "Ti", "Fe", "Mn", "Mg", "Ca", "Na", "K")
OXYGEN_OF_OXIDE = np.array([2, 1.5, 2, 1, 1, 1, 1, 0.5, 0.5])
"""Per cation, iron ferrous; the tenth component is oxygen beyond that."""
SOLUTIONS = ("g", "pl4tr", "ep", "ma", "mu", "bi", "cd", "st", "chl", "ctd")
PURE = ("q", "ky", "sill", "andalusite", "zo", "law", "ru", "sph", "cor", "ilm")
FERRIC = {"chl": ("f3clin", slice(7, 10)), "bi": ("fbi", slice(0, 5))}
"""Endmembers whose ferric iron BurnMan names as ferrous, and the columns of that site."""
ENTROPY_UNIT = 1e3
WATER = np.array(
    [
        [0, 0, 0.24657688e6, 0.51359951e2, 0, 0],
        [0, 0, 0.58638965, -0.28646939e-2, 0.31375577e-4, 0],
        [0, 0, -0.6278384e1, 0.14791599e-1, 0.35779579e-3, 0.15432925e-7],
        [0, 0, 0, -0.42719875, -0.16325155e-4, 0],
        [0, 0, 0.56654978e4, -0.16580167e2, 0.76560762e-1, 0],
        [0, 0, 0, 0.10917883, 0, 0],
        [0.38878656e13, -0.13494878e9, 0.30916564e6, 0.75591105e1, 0, 0],
        [0, 0, -0.65537898e5, 0.18810675e3, 0, 0],
        [-0.14182435e14, 0.1816539e9, -0.19769068e6, -0.23530318e2, 0, 0],
        [0, 0, 0.92093375e5, 0.12246777e3, 0, 0],
    ]
)
"""Pitzer & Sterner (1994, J. Chem. Phys. 101, 3111-3116), table I."""
PLANE_TOLERANCE = 0.1
"""J/mol below the plane at which the search ends: some 0.001 in a fraction of garnet."""


def water_energy(pressure_Pa: float, temperature_K: float) -> float:
    """Give the molar Gibbs energy of water (J), ideal gas of Holland & Powell at 1 bar."""
    t, bar = temperature_K, pressure_Pa / 1e5
    c = WATER @ np.array([t**-4, t**-2, 1 / t, 1, t, t * t])
    rt = 10 * 8.3144 * t

    def polynomial(d: float) -> float:
        return c[1] + c[2] * d + c[3] * d**2 + c[4] * d**3 + c[5] * d**4

    def excess(d: float) -> float:
        slope = c[2] + 2 * c[3] * d + 3 * c[4] * d**2 + 4 * c[5] * d**3
        repulsion = c[6] * np.exp(-c[7] * d) + c[8] * np.exp(-c[9] * d)
        return rt * (d + d**2 * (c[0] - slope / polynomial(d) ** 2 + repulsion)) - bar

    d = brentq(excess, 1 / 40, 1 / 9)
    residual = c[0] * d + 1 / polynomial(d) - 1 / c[1]
    residual -= c[6] / c[7] * (np.exp(-c[7] * d) - 1) + c[8] / c[9] * (np.exp(-c[9] * d) - 1)
    log_fugacity = np.log(d * rt) + residual + bar / (d * rt) - 1
    a, b, e, f, ref = 40.1, 8.656e-3, 487500.0, -251.2, 298.15
    heat = a * (t - ref) + b / 2 * (t**2 - ref**2) - e * (1 / t - 1 / ref)
    heat += 2 * f * (t**0.5 - ref**0.5)
    entropy = 188.8 + a * np.log(t / ref) + b * (t - ref) - e / 2 * (t**-2 - ref**-2)
    entropy -= 2 * f * (t**-0.5 - ref**-0.5)
    return -241810.0 + heat - t * entropy + GAS_CONSTANT * t * log_fugacity


def components(formula: Mapping[str, float]) -> tuple[np.ndarray, float]:
    """Give the ten components of a formula without its water, and its water."""
    cations = np.array([formula.get(name, 0.0) for name in ELEMENTS])
    water = formula.get("H", 0.0) / 2
    return np.append(cations, formula.get("O", 0.0) - cations @ OXYGEN_OF_OXIDE - water), water


class Solution:
    """A solution phase: energies and slopes at many compositions (row, endmember) at once."""

    def __init__(self, name: str, present: np.ndarray, generator: np.random.Generator) -> None:
        phase = getattr(mp50MnNCKFMASHTO, name)()
        model = phase.solution_model
        parts = [components(dict(formula)) for formula in phase.endmember_formulae]
        keep = [i for i, (c, _) in enumerate(parts) if (np.abs(c[~present]) < 1e-9).all()]
        self.name, self.endmembers = name, [phase.endmembers[i][0] for i in keep]
        self.components = np.array([parts[i][0] for i in keep])
        self.water = np.array([parts[i][1] for i in keep])
        sites = np.asarray(model.endmember_occupancies, float).copy()
        number = np.asarray(model.site_multiplicities, float)[0]
        if name in FERRIC:
            ferric, site = FERRIC[name]
            row = [e[0].name for e in phase.endmembers].index(ferric)
            column = site.start + int(sites[row, site].argmax())
            own = np.zeros((len(sites), 1))
            own[row], sites[row, column] = 1, 0
            sites = np.concatenate([sites, own], axis=1)
            number = np.append(number, number[column])
        sites = sites[keep]
        used = (sites > 1e-12).any(axis=0)
        self.sites, self.number = sites[:, used], number[used]
        count = len(keep)
        self.size = np.asarray(getattr(model, "alphas", np.ones(model.n_endmembers)))[keep]
        self.interactions = []
        for kind in ("We", "Ws", "Wv"):
            matrix = getattr(model, kind, None)
            upper = np.zeros((count, count))
            if matrix is not None and np.ndim(matrix) == 2:
                upper = np.triu(np.asarray(matrix)[np.ix_(keep, keep)], 1)
            self.interactions.append((upper + upper.T) * np.outer(self.size, self.size))
        safe = np.where(self.sites > 0, self.sites, 1.0)
        self.own_entropy = GAS_CONSTANT * (self.number * self.sites * np.log(safe)).sum(axis=1)
        rows = 600 if count > 3 else 150
        drawn = [generator.dirichlet(np.full(count, a), rows) for a in (0.25, 0.6, 1.2)]
        self.samples = 0.998 * np.concatenate(drawn) + 0.002 / max(count, 1)

    def set_state(self, pressure_Pa: float, temperature_K: float, water_J: float) -> None:
        """Take pressure and temperature."""
        for mineral in self.endmembers:
            mineral.set_state(pressure_Pa, temperature_K)
        self.rt = GAS_CONSTANT * temperature_K
        energy = np.array([mineral.gibbs for mineral in self.endmembers])
        self.own = energy - self.water * water_J - temperature_K * self.own_entropy
        self.volume = np.array([mineral.V for mineral in self.endmembers])
        enthalpy, entropy, volume = self.interactions
        self.mixing = enthalpy - ENTROPY_UNIT * temperature_K * entropy + pressure_Pa * volume

    def energy(self, p: np.ndarray) -> np.ndarray:
        """Give the energy of each composition, J/mol."""
        x = np.clip(p @ self.sites, 1e-300, None)
        excess = 0.5 * (p * (p @ self.mixing)).sum(axis=-1) / (p @ self.size)
        return p @ self.own + self.rt * (self.number * x * np.log(x)).sum(axis=-1) + excess

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
            slope, ideal, excess = self._slopes(p)
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

    def _slopes(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give slopes, and curvatures of ideal and excess mixing."""
        x, size, mixed = p @ self.sites, p @ self.size, p @ self.mixing
        half = 0.5 * (p * mixed).sum(axis=-1)
        slope = self.own + self.rt * (self.number * (np.log(x) + 1)) @ self.sites.T
        slope = slope + mixed / size[:, None] - (half / size**2)[:, None] * self.size
        ideal = self.rt * np.einsum("ks,ns,ls->nkl", self.sites, self.number / x, self.sites)
        outer = mixed[:, :, None] * self.size
        excess = self.mixing / size[:, None, None]
        excess = excess - (outer + outer.transpose(0, 2, 1)) / (size**2)[:, None, None]
        excess = excess + (2 * half / size**3)[:, None, None] * np.outer(self.size, self.size)
        return slope, ideal, excess


class Rock:
    """A bulk composition whose equilibrium is sought.

    Parameters
    ----------
    bulk
        Mol of the ten components; those that are 0 are left out for good.
    """

    def __init__(self, bulk: np.ndarray) -> None:
        self.bulk, self.present = bulk, bulk > 0
        generator = np.random.default_rng(0)
        solutions = [Solution(name, self.present, generator) for name in SOLUTIONS]
        self.solutions = [phase for phase in solutions if len(phase.endmembers)]
        self.pure = []
        for name in PURE:
            mineral = getattr(HP_2011_ds62, name)()
            amount, water = components(dict(mineral.params["formula"]))
            if (np.abs(amount[~self.present]) < 1e-9).all():
                self.pure.append((mineral, amount, water))

    def set_state(self, pressure_kbar: float, temperature_C: float) -> None:
        """Take pressure and temperature."""
        state = pressure_kbar * 1e8, temperature_C + 273.15
        water = water_energy(*state)
        for phase in self.solutions:
            phase.set_state(*state, water)
        self.pure_energy = []
        for mineral, _, own in self.pure:
            mineral.set_state(*state)
            self.pure_energy.append(mineral.gibbs - own * water)

    def garnet(
        self, known: Sequence[Any] | None = None
    ) -> tuple[np.ndarray, float, float, list[Any]]:
        """Give garnet's X_alm, X_prp, X_grs, X_sps (NaN if absent), mode, solid volume and phases.

        Parameters
        ----------
        known
            Phases of a neighbouring equilibrium: the search begins there.
        """
        amounts, phases = self._minimise(known)
        volume, garnet, own = 0.0, np.zeros(10), 0.0
        for (number, p), amount in zip(phases, amounts, strict=True):
            if number < 0:
                volume += amount * self.pure[p][0].V
                continue
            phase = self.solutions[number]
            part = amount * float(p @ phase.volume)
            volume += part
            if phase.name == "g":
                garnet, own = garnet + amount * (p @ phase.components), own + part
        site = garnet[[3, 5, 6, 4]] - np.array([2 * garnet[9], 0, 0, 0])
        with np.errstate(invalid="ignore"):
            return site / site.sum(), own / volume, volume, [x for x in phases if x[0] >= 0]

    def _minimise(self, known: Sequence[Any] | None) -> tuple[np.ndarray, list[Any]]:
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
                energy / scale / 1e4, A_eq=100 * matrix / scale / bulk[:, None],
                b_eq=np.full(bulk.size, 100.0), method=method,
            )  # fmt: skip
            if found.status == 0:
                break
        else:
            raise RuntimeError(found.message)
        potentials = np.zeros(10)
        potentials[self.present] = found.eqlin.marginals * 1e6 / bulk
        slack = (energy - matrix.T @ potentials[self.present]) / scale
        return found.x / scale, potentials, slack
