"""Data of Holland & Powell (1998) with the mixing models that THERIA_G's example was computed with.

Minerals: data set 5.5 (J. metamorphic Geol. 16, 309-343, in its version of 2003), for rocks of
Si-Al-Fe-Mn-Mg-Ca-Na-K-H-O with ferrous iron. Mixing as in the file ``tcdb55c2`` of Theriak-Domino
(garnet, chlorite, chloritoid, staurolite, biotite: Holland, Powell and coworkers 1998-1999; white
mica: Coggon & Holland 2002, J. metamorphic Geol. 20, 683-696; feldspar: Baldwin et al. 2005),
spessartine mixing in garnet by the interactions that file lists. Water has the CORK equation of
state (Holland & Powell 1991, Contrib. Mineral. Petrol. 109, 265-273; virial terms of 1998).
"""

import re
from collections.abc import Mapping

import numpy as np
from gibbs_minimiser import REFERENCE_K, Mixture, components, heated, ideal_water

NAME = "Holland & Powell (1998), data set 5.5, as in Theriak-Domino's tcdb55c2"
MINERALS = """
py    Si3Al2Mg3O12      -6284720 266.3 11.318 633.5 0 -5196100 -4315.2 4.36e-5 1737
alm   Si3Al2Fe3O12      -5263520 340 11.511 677.3 0 -3772700 -5044 4.03e-5 1690
spss  Si3Al2Mn3O12      -5646400 367 11.792 584.6 -0.001593 -7516700 -2750.1 4.62e-5 1790
gr    Si3Al2Ca3O12      -6644150 255 12.535 626 0 -5779200 -4002.9 3.93e-5 1680
and   SiAl2O5           -2588800 92.7 5.153 277.3 -0.006588 -1914100 -2265.6 4.11e-5 1334
ky    SiAl2O5           -2593110 83.5 4.414 279.4 -0.007124 -2055600 -2289.4 4.04e-5 1590
sill  SiAl2O5           -2585680 95.5 4.986 280.2 -0.0069 -1375700 -2399.4 2.21e-5 1320 2200 4 0.035
mst   Si7.5Al18Mg4O48H4 -25101490 910 44.26 2820.5 -0.059366 -13774000 -24126 1.2e-5 1200
fst   Si7.5Al18Fe4O48H4 -23753930 1010 44.88 2880 -0.056595 -10642000 -25373 1.2e-5 1200
mnst  Si7.5Al18Mn4O48H4 -24203880 1024 45.46 2873.3 -0.089064 -12688000 -24749 1.2e-5 1200
mctd  SiAl2MgO7H2       -3551420 140 6.875 464.4 -0.012654 -1147200 -4341 5.42e-5 1465
fctd  SiAl2FeO7H2       -3215380 155 6.98 484.6 -0.013808 -198900 -4762.2 5.42e-5 1465
mnctd SiAl2MnO7H2       -3329280 166 7.175 464.4 -0.012654 -1147200 -4341 5.42e-5 1465
zo    Si3Al3Ca2O13H     -6898610 297 13.575 595.7 0.062297 -5921300 -3394.7 6.7e-5 1120
cz    Si3Al3Ca2O13H     -6898150 301 13.63 567 0.018063 -7034000 -2603 4.6e-5 1120
law   Si2Al2CaO10H4     -4869140 230 10.132 687.8 0.001566 375900 -7179.2 5.82e-5 1014
mu    Si3Al3KO12H2      -5984180 292 14.083 756.4 -0.01984 -2170000 -6979.2 5.96e-5 490
cel   Si4AlMgKO12H2     -5842420 290 13.957 741.2 -0.018748 -2368800 -6616.9 5.96e-5 700
fcel  Si4AlFeKO12H2     -5477430 329 14.07 756.3 -0.019147 -1586100 -6928.7 5.96e-5 700
pa    Si3Al3NaO12H2     -5946340 276 13.211 803 -0.03158 217000 -8151 7.74e-5 550
ma    Si2Al4CaO12H2     -6241230 267 12.964 744.4 -0.0168 -2074400 -6783.2 4.87e-5 1300
phl   Si3AlMg3KO12H2    -6219160 328 14.964 770.3 -0.036939 -2328900 -6531.6 5.79e-5 513
ann   Si3AlFe3KO12H2    -5151670 418 15.432 815.7 -0.034861 19800 -7466.7 5.79e-5 513
mnbi  Si3AlMn3KO12H2    -5462840 433 15.264 809.9 -0.059213 -1514400 -6998.7 5.79e-5 513
east  Si2Al3Mg2KO12H2   -6338170 318 14.738 785.5 -0.038031 -2130300 -6893.7 5.79e-5 513
clin  Si3Al2Mg5O18H8    -8912410 430.5 21.09 1161.8 0.010133 -7657300 -9690.9 3.98e-5 870
ames  Si2Al4Mg4O18H8    -9034440 410 20.52 1177 0.009041 -7458700 -10053 3.98e-5 870
afchl Si4Mg6O18H8       -8727380 428 21.66 1146.6 0.011225 -7855900 -9328.8 3.98e-5 870
daph  Si3Al2Fe5O18H8    -7134850 565 21.34 1237.4 0.013594 -3743000 -11250 3.98e-5 870
mnchl Si3Al2Mn5O18H8    -7666530 595 22.59 1227.8 -0.02699 -6299800 -10469.4 3.98e-5 870
prl   Si4Al2O12H2       -5640640 239.4 12.81 784.5 -0.042948 1251000 -8495.9 7.5e-5 525
abh   Si3AlNaO8         -3924800 223.4 10.109 452 -0.013364 -1275900 -3953.6 4.56e-5 593
mic   Si3AlKO8          -3975110 216 10.892 448.8 -0.010075 -1007300 -3973.1 3.35e-5 574
san   Si3AlKO8          -3964960 230 10.9 448.8 -0.010075 -1007300 -3973.1 3.35e-5 574
an    Si2Al2CaO8        -4233480 200 10.079 371.6 0.012615 -4110200 -2038.4 2.38e-5 919 2300 11 0.05
q     SiO2              -910830 41.5 2.2688 110.7 -0.005189 0 -1128.3 6.5e-6 750 847 4.95 0.1188
cor   Al2O3             -1675250 50.9 2.558 139.5 0.00589 -2460600 -589.2 4.19e-5 2520
dsp   AlO2H             -999470 35 1.776 145.1 0.008709 584400 -1741.1 7.97e-5 2300
crd   Si5Al4Mg2O18      -9163370 407.5 23.322 821.3 0.043339 -8211200 -5000 7.6e-6 810 1800 20 0.2
hcrd  Si5Al4Mg2O19H2    -9446980 487.3 23.322 869.7 0.051995 -7723700 -5251.2 7.6e-6 810 1800 20 0.2
fcrd  Si5Al4Fe2O18      -8436070 475 23.71 851.5 0.044724 -6645000 -5623.4 7.6e-6 810 1800 20 0.2
mncrd Si5Al4Mn2O18      -8681180 475 24.027 847.7 0.02849 -7668200 -5311.4 7.6e-6 810 1800 20 0.2
"""
"""Name; formula; enthalpy (J), entropy (J/K) and volume (J/bar) at 1 bar and 298 K; heat capacity
a + b T + c / T^2 + d / T^0.5 (J/K); thermal expansion (1/K); bulk modulus (kbar); and where a
mineral orders its critical temperature (K), entropy (J/K) and volume (J/bar) of disorder."""
MADE = {
    "anC": ({"an": 1.0}, 7030.0, 4.66),
    "obi": ({"phl": 2 / 3, "ann": 1 / 3}, -10730.0, 0.0),
}
"""Endmembers made of others: of which, enthalpy (J) and entropy (J/K) on top."""
PURE = ("q", "and", "ky", "sill", "zo", "cz", "law", "ma", "prl", "mic", "cor", "dsp")
SOLUTIONS = {
    "g": {"gr": "Ca3", "py": "Mg3", "alm": "Fe3", "spss": "Mn3"},
    "ctd": {"mctd": "Mg", "fctd": "Fe", "mnctd": "Mn"},
    "chl": {
        "afchl": "Mg4 Mg Mg Si2", "clin": "Mg4 Mg Al AlSi", "daph": "Fe4 Fe Al AlSi",
        "ames": "Mg4 Al Al Al2", "mnchl": "Mn4 Mn Al AlSi",
    },
    "mu": {"mu": "K Al AlSi", "cel": "K Mg Si2", "fcel": "K Fe Si2", "pa": "Na Al AlSi"},
    "bi": {
        "phl": "Mg2 Mg AlSi", "ann": "Fe2 Fe AlSi", "east": "Mg2 Al Al2", "obi": "Mg2 Fe AlSi",
        "mnbi": "Mn2 Mn AlSi",
    },
    "st": {"mst": "Mg4", "fst": "Fe4", "mnst": "Mn4"},
    "fsp": {"san": "K", "abh": "Na", "anC": "Ca"},
    "crd": {"crd": "Mg2 V", "fcrd": "Fe2 V", "mncrd": "Mn2 V", "hcrd": "Mg2 H"},
}  # fmt: skip
"""Endmembers of each solution, and what sits on its sites (V: nothing)."""
SIZES = {"mu": 0.63, "cel": 0.63, "fcel": 0.63, "pa": 0.37, "abh": 0.643}
INTERACTIONS = {
    "gr-py": (33000,), "py-alm": (2500,), "py-spss": (4500,), "alm-spss": (240,),
    "mctd-fctd": (1000,), "mst-fst": (-8000,),
    "afchl-clin": (18000,), "afchl-daph": (14500,), "afchl-ames": (20000,),
    "clin-daph": (2500,), "clin-ames": (18000,), "daph-ames": (13500,),
    "mu-pa": (10120, -3.4, 0.353), "pa-cel": (52000, 0, 0.2), "pa-fcel": (52000, 0, 0.2),
    "phl-ann": (9000,), "phl-east": (10000,), "phl-obi": (3000,), "ann-east": (-1000,),
    "ann-obi": (6000,), "east-obi": (10000,),
    "abh-anC": (3100,), "san-abh": (25100, 10.8, 0.338), "san-anC": (40000,),
}  # fmt: skip
"""Enthalpy (J), entropy (J/K) and volume (J/bar); the rest mixes ideally."""
ATOM = re.compile(r"([A-Z][a-z]?)([\d.]*)")


class HollandPowell1998:
    """The data set, as `gibbs_minimiser.Data`.

    Parameters
    ----------
    without
        Pure phases to leave out.
    """

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        self._numbers: dict[str, list[float]] = {}
        self._amounts: dict[str, tuple[np.ndarray, float]] = {}
        for row in MINERALS.strip().splitlines():
            name, formula, *numbers = row.split()
            self._numbers[name] = [float(number) for number in numbers]
            self._amounts[name] = components(_atoms(formula))
        for name, (parts, _, _) in MADE.items():
            amounts = [self._amounts[part] for part in parts]
            weighed = list(zip(parts.values(), amounts, strict=True))
            self._amounts[name] = (
                sum((w * amount for w, (amount, _) in weighed), np.zeros(10)),
                sum(w * water for w, (_, water) in weighed),
            )
        self.mixtures = [self._mixture(name, sites) for name, sites in SOLUTIONS.items()]
        self.pure = {name: self._amounts[name] for name in PURE if name not in without}

    def standard(
        self, name: str, pressure_kbar: float, temperature_K: float
    ) -> tuple[float, float]:
        """Give Gibbs energy (J/mol) and volume (J/bar/mol) of a pure phase or an endmember."""
        t, bar, ref = temperature_K, 1e3 * pressure_kbar, REFERENCE_K
        if name in MADE:
            parts, enthalpy, entropy = MADE[name]
            known = [self.standard(part, pressure_kbar, t) for part in parts]
            energy, volume = np.array(list(parts.values())) @ np.array(known)
            return energy + enthalpy - t * entropy, volume
        enthalpy, entropy, volume, *capacity, expansion, modulus = self._numbers[name][:9]
        heat, order = heated(capacity, t)
        stiffness = 1e3 * modulus * (1 - 1.5e-4 * (t - ref))
        squeeze = 1 + 4 * bar / stiffness
        stretch = 1 + expansion * (t - ref) - 20 * expansion * (t**0.5 - ref**0.5)
        energy = enthalpy + heat - t * (entropy + order)
        excess = 0.0
        if ordering := self._numbers[name][9:]:
            critical, entropy, most = ordering
            square = (1 - ref / critical) ** 0.5
            volume += most * square
            now = critical + most / entropy * bar
            left = max(1 - t / now, 0.0) ** 0.5
            energy += entropy * (critical * (square - square**3 / 3) - t * square)
            energy += entropy * ((t - now) * left + now * left**3 / 3)
            excess = most * (left**3 / 3 - left)
        energy += volume * stretch * stiffness / 3 * (squeeze**0.75 - 1)
        return energy, volume * stretch * squeeze**-0.25 + excess

    def water(self, pressure_kbar: float, temperature_K: float) -> float:
        """Give the Gibbs energy of water above 673 K, J/mol."""
        t, p, gas, b = temperature_K, pressure_kbar, 8.3144e-3, 1.465
        hotter = t - 673
        a = 1113.4 - 0.22291 * hotter - 3.8022e-4 * hotter**2 + 1.7791e-7 * hotter**3
        rt, root = gas * t, t**0.5
        roots = np.roots([p, -rt, -(b * rt + b * b * p - a / root), -a * b / root])
        volume = roots[np.abs(roots.imag) < 1e-9].real.max()
        ratio = p * volume / rt
        log_fugacity = np.log(1e3 * p) + ratio - 1 - np.log((volume - b) * p / rt)
        log_fugacity -= a / (b * rt * root) * np.log(1 + b / volume)
        above = max(p - 2, 0.0)
        virial = 1.9853e-3 / 2 * above**2 - 8.909e-2 * 2 / 3 * above**1.5
        virial += 8.0331e-2 * 4 / 5 * above**1.25
        return ideal_water(t) + 1e3 * (rt * log_fugacity + virial)

    def _mixture(self, name: str, sites: Mapping[str, str]) -> Mixture:
        held = [
            {(site, atom): float(n or 1) for site, text in enumerate(row.split())
             for atom, n in ATOM.findall(text)}
            for row in sites.values()
        ]  # fmt: skip
        species = sorted({key for row in held for key in row})
        table = np.array([[row.get(key, 0.0) for key in species] for row in held])
        on_site = np.array([site for site, _ in species])
        number = np.array([table[0, on_site == site].sum() for site in on_site])
        names = list(sites)
        interactions = np.zeros((3, len(names), len(names)))
        for pair, numbers in INTERACTIONS.items():
            if set(pair.split("-")) <= set(names):
                i, j = map(names.index, pair.split("-"))
                interactions[: len(numbers), i, j] = interactions[: len(numbers), j, i] = numbers
        enthalpy, entropy, volume = interactions
        return Mixture(
            name, tuple(names), np.array([self._amounts[n][0] for n in names]),
            np.array([self._amounts[n][1] for n in names]), table / number, number,
            np.array([SIZES.get(n, 1.0) for n in names]), (enthalpy, entropy, volume),
        )  # fmt: skip


def _atoms(formula: str) -> dict[str, float]:
    return {atom: float(number or 1) for atom, number in ATOM.findall(formula)}
