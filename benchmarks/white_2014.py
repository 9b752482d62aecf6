"""Models of White et al. (2014) on the data of Holland & Powell (2011), by way of BurnMan.

BurnMan 2.1.0 (with autograd and sympy) is no dependency of petro_models. Water has the equation of
state of Pitzer & Sterner (1994).

Against MAGEMin 2.0.1 at seven nodes of `white2014_41x41.nc` (5 to 11 kbar, 525 to 600 C) garnet
differs by at most 0.020 in X_alm, 0.011 in X_prp, 0.032 in X_grs and 0.020 in X_sps, and its mode
by 0.012; ilmenite is pure and magnetite absent here, so that iron is shared out differently.

Two slips of BurnMan 2.1.0 are mended: entropies of mixing are in kJ/K where J/K is meant, and
ferrous and ferric iron of one site share a name.
"""

from typing import Any

import numpy as np
from burnman.minerals import HP_2011_ds62, mp50MnNCKFMASHTO
from gibbs_minimiser import GAS_CONSTANT, Mixture, components, ideal_water
from scipy.optimize import brentq

NAME = "White et al. (2014) on Holland & Powell (2011)"
SOLUTIONS = ("g", "pl4tr", "ep", "ma", "mu", "bi", "cd", "st", "chl", "ctd")
PURE = ("q", "ky", "sill", "andalusite", "zo", "law", "ru", "sph", "cor", "ilm")
FERRIC = {"chl": ("f3clin", slice(7, 10)), "bi": ("fbi", slice(0, 5))}
"""Endmembers whose ferric iron BurnMan names as ferrous, and the columns of that site."""
UNITS = {"We": 1.0, "Ws": 1e3, "Wv": 1e5}
"""To J, J/K and J/bar."""
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


class White2014:
    """The data set, as `gibbs_minimiser.Data`.

    Parameters
    ----------
    without
        Pure phases to leave out.
    """

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        self._minerals: dict[str, Any] = {}
        self.mixtures = [self._mixture(name) for name in SOLUTIONS]
        self.pure = {}
        for name in [name for name in PURE if name not in without]:
            self._minerals[name] = getattr(HP_2011_ds62, name)()
            self.pure[name] = components(dict(self._minerals[name].params["formula"]))

    def standard(
        self, name: str, pressure_kbar: float, temperature_K: float
    ) -> tuple[float, float]:
        """Give Gibbs energy (J/mol) and volume (J/bar/mol) of a pure phase or an endmember."""
        mineral = self._minerals[name]
        mineral.set_state(1e8 * pressure_kbar, temperature_K)
        return mineral.gibbs, 1e5 * mineral.V

    def water(self, pressure_kbar: float, temperature_K: float) -> float:
        """Give the Gibbs energy of water (J/mol), ideal gas of Holland & Powell at 1 bar."""
        t, bar = temperature_K, 1e3 * pressure_kbar
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
        return ideal_water(t) + GAS_CONSTANT * t * log_fugacity

    def _mixture(self, name: str) -> Mixture:
        phase = getattr(mp50MnNCKFMASHTO, name)()
        model = phase.solution_model
        names = [f"{name} {mineral.name}" for mineral, _ in phase.endmembers]
        self._minerals |= dict(zip(names, (m for m, _ in phase.endmembers), strict=True))
        parts = [components(dict(formula)) for formula in phase.endmember_formulae]
        sites = np.asarray(model.endmember_occupancies, float).copy()
        number = np.asarray(model.site_multiplicities, float)[0]
        if name in FERRIC:
            ferric, site = FERRIC[name]
            row = [mineral.name for mineral, _ in phase.endmembers].index(ferric)
            column = site.start + int(sites[row, site].argmax())
            own = np.zeros((len(sites), 1))
            own[row], sites[row, column] = 1, 0
            sites = np.concatenate([sites, own], axis=1)
            number = np.append(number, number[column])
        size = np.asarray(getattr(model, "alphas", np.ones(len(names))), float)
        interactions = []
        for kind, unit in UNITS.items():
            matrix = getattr(model, kind, None)
            upper = np.zeros((len(names), len(names)))
            if matrix is not None and np.ndim(matrix) == 2:
                # BurnMan's hold 2 / (the sizes' sum), which the minimiser puts in itself.
                upper = unit * np.triu(np.asarray(matrix) * (size[:, None] + size) / 2, 1)
            interactions.append(upper + upper.T)
        enthalpy, entropy, volume = interactions
        return Mixture(
            name, tuple(names), np.array([amount for amount, _ in parts]),
            np.array([water for _, water in parts]), sites, number, size,
            (enthalpy, entropy, volume),
        )  # fmt: skip
