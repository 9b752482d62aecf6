"""What is known about each mineral's formula: oxygens, ferric iron, sites, end members.

Pure functions of arrays: `Cations` maps an ion ("Si", "Fe2", "Fe3") to its number per formula unit,
one value per analysis. Iron is split into "Fe2" and "Fe3" everywhere. Every function is analytic
where it does not branch, and branches on real parts, so that complex numbers carry derivatives
through it (see :mod:`petro_models.phase_maps.formulae`).

References
----------
Deer, W. A., Howie, R. A. and Zussman, J. (1992). An introduction to the rock-forming minerals.
Droop, G. T. R. (1987). A general equation for estimating Fe3+ concentrations in ferromagnesian
silicates and oxides. Mineralogical Magazine 51, 431-435.
Franz, G. and Liebscher, A. (2004). Physical and chemical properties of the epidote minerals.
Reviews in Mineralogy and Geochemistry 56, 1-81.
Leake, B. E. et al. (1997). Nomenclature of amphiboles. Canadian Mineralogist 35, 219-246.
Morimoto, N. et al. (1988). Nomenclature of pyroxenes. Mineralogical Magazine 52, 535-550.
Schumacher, J. C. (1997). The estimation of ferric iron in electron microprobe analysis of
amphiboles. Canadian Mineralogist 35, 238-246 (appendix to Leake et al.).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
"""Real, or complex to carry a derivative."""
Cations = Mapping[str, Array]
Shares = dict[str, Array]


@dataclass(frozen=True)
class Site:
    """A site of the structure and the ions that fill it, in order, up to its capacity.

    The first ion all goes in (silicon has no other place); a site without capacity takes all of
    its ions that are left.
    """

    name: str
    ions: tuple[str, ...]
    capacity: float | None = None


@dataclass(frozen=True)
class Mineral:
    """How the formula of a mineral is calculated.

    Attributes
    ----------
    name, aliases
        Names; aliases are symbols (Warr 2021) and names of members.
    oxygens
        Oxygens per formula unit without those of water: half the positive charge.
    ferric
        Rule for Fe3+: "none", "all", "charge" (Droop 1987, needs `ideal_cations`) or "amphibole"
        (Schumacher 1997, the mean of the least and the greatest possible Fe3+).
    required
        Elements without whose analysis there is no formula.
    sites
        In the order in which they are filled.
    end_members
        Shares of end members, from the cations and the occupancy ("T Al": Al on site T).
    ideal_cations
        Cations per formula unit where the structure has no vacancies.
    """

    name: str
    aliases: tuple[str, ...]
    oxygens: float
    ferric: str
    required: tuple[str, ...]
    sites: tuple[Site, ...]
    end_members: Callable[[Cations, Cations], Shares]
    ideal_cations: float | None = None


def normalise(cations: Cations, charges: Mapping[str, float], oxygens: float) -> dict[str, Array]:
    """Scale cations so that their charge is that of the oxygens."""
    charge = _total({ion: charges[ion] * amount for ion, amount in cations.items()})
    return {ion: 2 * oxygens * ratio(amount, charge) for ion, amount in cations.items()}


def ferric_share(mineral: Mineral, cations: Cations) -> Array:
    """Share of Fe3+ in all iron, from cations per formula unit that take all iron as Fe2+.

    The mineral's rule says how far the cations exceed what the structure holds; as many
    electrons are missing, and Fe3+ is set within 0 and all iron.
    """
    iron = cations["Fe2"]
    if mineral.ferric == "none":
        return np.zeros_like(iron)
    if mineral.ferric == "all":
        return np.ones_like(iron)
    if mineral.ferric == "amphibole":
        factor = _amphibole_factor(cations)
    else:
        factor = ratio(np.asarray(mineral.ideal_cations), _total(cations))
    # Droop (1987), equation 6: Fe3 = 2 X (1 - T / S), with Fe itself scaled by T / S
    ferric = 2 * mineral.oxygens * (1 - factor)
    some = iron.real > 0
    share = np.where(some, ferric / (np.where(some, iron, 1.0) * factor), 0.0)
    return np.minimum(np.maximum(share, 0.0), 1.0)


def occupy(mineral: Mineral, cations: Cations) -> tuple[dict[str, Array], Array]:
    """Fill the sites; returns the occupancy ("T Si", "T Al", ...) and what found no site."""
    left = dict(cations)
    occupancy: dict[str, Array] = {}
    for site in mineral.sites:
        room = None if site.capacity is None else np.full_like(left["Fe2"], site.capacity)
        for ion in site.ions:
            if ion not in left:
                continue
            taken = left[ion] if room is None or ion == "Si" else np.minimum(left[ion], room)
            occupancy[f"{site.name} {ion}"] = taken
            left[ion] = left[ion] - taken
            room = None if room is None else np.maximum(room - taken, 0.0)
    return occupancy, _total(left)


def ratio(part: Array, whole: Array) -> Array:
    """Divide; NaN where the divisor is 0."""
    some = whole.real != 0
    return np.where(some, part / np.where(some, whole, 1.0), np.nan)


def _amphibole_factor(cations: Cations) -> Array:
    """Factor on the all-ferrous cations of 23 oxygens: the mean of Schumacher's (1997) limits.

    Least Fe3+: Si <= 8, all <= 16, all but Na and K <= 15. Greatest Fe3+: Si + Al >= 8, all but K
    >= 15, all but Ca, Na and K >= 13, and no more Fe3+ than Fe.
    """
    total = _total(cations)
    potassium, sodium, calcium = (_of(cations, ion) for ion in ("K", "Na", "Ca"))
    least = np.minimum.reduce(
        [
            np.ones_like(total),
            8 / cations["Si"],
            16 / total,
            15 / (total - sodium - potassium),
        ]
    )
    greatest = np.maximum.reduce(
        [
            8 / (cations["Si"] + _of(cations, "Al")),
            15 / (total - potassium),
            13 / (total - potassium - sodium - calcium),
            23 / (23 + 0.5 * cations["Fe2"]),
        ]
    )
    return (least + np.minimum(greatest, least)) / 2


def _total(amounts: Cations) -> Array:
    """Sum of all ions."""
    return np.sum(list(amounts.values()), axis=0)


def _of(cations: Cations, ion: str) -> Array:
    """Amount of an ion, 0 if it was not analysed."""
    return cations.get(ion, np.zeros_like(next(iter(cations.values()))))


def _shares(cations: Cations, names: Mapping[str, str]) -> Shares:
    """Shares of ions in their sum, under the end members' names."""
    amounts = {name: _of(cations, ion) for name, ion in names.items()}
    total = _total(amounts)
    return {name: ratio(amount, total) for name, amount in amounts.items()}


def _garnet(cations: Cations, _: Cations) -> Shares:
    """Shares of the divalent cations; calcium bound to Fe3+ (andradite) counts as grossular."""
    ions = {"almandine": "Fe2", "pyrope": "Mg", "grossular": "Ca", "spessartine": "Mn"}
    return _shares(cations, ions)


def _feldspar(cations: Cations, _: Cations) -> Shares:
    ions = {"anorthite": "Ca", "albite": "Na", "orthoclase": "K", "celsian": "Ba"}
    return _shares(cations, ions)


def _white_mica(cations: Cations, occupancy: Cations) -> Shares:
    """Paragonite and margarite from the interlayer, celadonite from Si = 3 + cel - mrg."""
    interlayer = _shares(cations, {"paragonite": "Na", "margarite": "Ca", "potassic": "K"})
    celadonite = occupancy["T Si"] - 3 + interlayer["margarite"]
    return {
        "muscovite": interlayer["potassic"] - celadonite,
        "celadonite": celadonite,
        "paragonite": interlayer["paragonite"],
        "margarite": interlayer["margarite"],
    }


def _biotite(cations: Cations, occupancy: Cations) -> Shares:
    """Tschermak members from octahedral Al (one in K Mg2 Al Si2 Al2 O10), Ti and Mn members."""
    tschermak = _of(occupancy, "M Al")
    titanium, manganese = _of(occupancy, "M Ti"), _of(cations, "Mn") / 3
    magnesium = ratio(_of(cations, "Mg"), _of(cations, "Mg") + cations["Fe2"])
    rest = 1 - tschermak - titanium - manganese
    return {
        "phlogopite": rest * magnesium,
        "annite": rest * (1 - magnesium),
        "eastonite": tschermak * magnesium,
        "siderophyllite": tschermak * (1 - magnesium),
        "titanium biotite": titanium,
        "manganese biotite": manganese,
    }


def _chlorite(cations: Cations, occupancy: Cations) -> Shares:
    """Amesite and Al-free chlorite from tetrahedral Al, sudoite from the vacancies (Vidal 2005)."""
    aluminium = _of(occupancy, "T Al")
    filled = _total({name: own for name, own in occupancy.items() if name.startswith("M ")})
    sudoite = np.maximum(6 - filled, 0.0)
    amesite, free = np.maximum(aluminium - 1, 0.0), np.maximum(1 - aluminium, 0.0)
    rest = 1 - sudoite - amesite - free
    divalent = {"clinochlore": "Mg", "chamosite": "Fe2", "pennantite": "Mn"}
    shares = {name: rest * share for name, share in _shares(cations, divalent).items()}
    return shares | {"amesite": amesite, "Al-free chlorite": free, "sudoite": sudoite}


def _chloritoid(cations: Cations, _: Cations) -> Shares:
    ions = {"Fe-chloritoid": "Fe2", "Mg-chloritoid": "Mg", "Mn-chloritoid": "Mn"}
    return _shares(cations, ions)


def _pyroxene(cations: Cations, occupancy: Cations) -> Shares:
    """Wo, En and Fs add up to 1 (all iron and Mn in Fs); beside them stand the sodic members.

    Those are per formula unit, Na shared as Al, Fe3+ and Cr on M1 (Morimoto et al. 1988).
    """
    iron = cations["Fe2"] + cations["Fe3"] + _of(cations, "Mn")
    quadrilateral = {"Ca": _of(cations, "Ca"), "Mg": _of(cations, "Mg"), "Fe": iron}
    names = {"wollastonite": "Ca", "enstatite": "Mg", "ferrosilite": "Fe"}
    trivalent = {"jadeite": "M1 Al", "aegirine": "M1 Fe3", "kosmochlor": "M1 Cr"}
    sodic = _shares(occupancy, trivalent)
    sodium = _of(cations, "Na")
    return _shares(quadrilateral, names) | {
        name: sodium * np.where(np.isnan(share), 0.0, share) for name, share in sodic.items()
    }


def _epidote(cations: Cations, _: Cations) -> Shares:
    """Epidote = Fe3+ / (Al + Fe3+ + Cr - 2), the filling of M3 (Franz & Liebscher 2004)."""
    third = _of(cations, "Al") + cations["Fe3"] + _of(cations, "Cr") - 2
    epidote = ratio(cations["Fe3"], third)
    return {"epidote": epidote, "clinozoisite": 1 - epidote}


def _olivine(cations: Cations, _: Cations) -> Shares:
    return _shares(cations, {"forsterite": "Mg", "fayalite": "Fe2", "tephroite": "Mn"})


def _none(_: Cations, __: Cations) -> Shares:
    return {}


_SMALL = ("Al", "Ti", "Cr", "V", "Fe3", "Zr", "Sc")
_MEDIUM = ("Mg", "Ni", "Co", "Zn", "Fe2", "Mn")
_LARGE = ("Ca", "Na", "K", "Ba", "Sr", "Rb", "Cs")

MINERALS = (
    Mineral(
        "garnet", ("grt", "almandine", "pyrope", "grossular", "spessartine", "andradite"),
        12, "charge", ("Si", "Al", "Fe", "Mg", "Ca"),
        (Site("Z", ("Si", "P", "Al", "Fe3"), 3), Site("Y", _SMALL),
         Site("X", (*_MEDIUM, "Ca", "Na", "K", "Y"))),
        _garnet, ideal_cations=8,
    ),
    Mineral(
        "feldspar", ("fsp", "plagioclase", "pl", "albite", "ab", "anorthite", "an", "k-feldspar",
                     "kfs", "orthoclase", "microcline", "sanidine"),
        8, "all", ("Si", "Al", "Ca", "Na", "K"),
        (Site("T", ("Si", "Al", "Fe3", "Ti")), Site("A", (*_LARGE, "Mg", "Mn"))),
        _feldspar,
    ),
    Mineral(
        "white mica", ("wm", "wmca", "muscovite", "ms", "phengite", "ph", "phg", "paragonite",
                       "pg", "margarite"),
        11, "none", ("Si", "Al", "Fe", "Mg", "Na", "K"),
        (Site("T", ("Si", "Al"), 4), Site("M", (*_SMALL, *_MEDIUM, "Li")), Site("A", _LARGE)),
        _white_mica,
    ),
    Mineral(
        "biotite", ("bt", "phlogopite", "phl", "annite"),
        11, "none", ("Si", "Al", "Fe", "Mg", "K"),
        (Site("T", ("Si", "Al", "Fe3"), 4), Site("M", (*_SMALL, *_MEDIUM, "Li")),
         Site("A", _LARGE)),
        _biotite,
    ),
    Mineral(
        "chlorite", ("chl", "clinochlore", "chamosite"),
        14, "none", ("Si", "Al", "Fe", "Mg"),
        (Site("T", ("Si", "Al"), 4), Site("M", (*_SMALL, *_MEDIUM))),
        _chlorite,
    ),
    Mineral(
        "chloritoid", ("cld", "ctd"),
        12, "charge", ("Si", "Al", "Fe", "Mg"),
        (Site("T", ("Si",)), Site("L2", _SMALL), Site("L1", _MEDIUM)),
        _chloritoid, ideal_cations=8,
    ),
    Mineral(
        "amphibole", ("amp", "hornblende", "hbl", "actinolite", "act", "tremolite", "tr",
                      "glaucophane", "gln"),
        23, "amphibole", ("Si", "Al", "Fe", "Mg", "Ca", "Na"),
        (Site("T", ("Si", "Al", "Ti"), 8), Site("C", (*_SMALL, *_MEDIUM), 5),
         Site("B", (*_MEDIUM, "Ca", "Na"), 2), Site("A", ("Ca", "Na", "K", "Ba", "Sr", "Rb"))),
        _none,
    ),
    Mineral(
        "pyroxene", ("px", "clinopyroxene", "cpx", "orthopyroxene", "opx", "omphacite", "omp",
                     "diopside", "di", "jadeite", "jd", "augite", "aug", "enstatite"),
        6, "charge", ("Si", "Al", "Fe", "Mg", "Ca", "Na"),
        (Site("T", ("Si", "Al", "Fe3"), 2), Site("M1", (*_SMALL, *_MEDIUM), 1),
         Site("M2", (*_MEDIUM, "Li", "Ca", "Na", "K"))),
        _pyroxene, ideal_cations=4,
    ),
    Mineral(
        "epidote", ("ep", "clinozoisite", "czo", "zoisite", "zo"),
        12.5, "all", ("Si", "Al", "Fe", "Ca"),
        (Site("T", ("Si", "Al"), 3), Site("M", (*_SMALL, "Mg")),
         Site("A", ("Ca", "Sr", "Mn", "Na", "K", "Ba", "Fe2", "Ce", "La", "Nd", "Y", "Th", "U"))),
        _epidote,
    ),
    Mineral(
        "olivine", ("ol", "forsterite", "fo", "fayalite", "fa"),
        4, "none", ("Si", "Fe", "Mg"),
        (Site("T", ("Si",)), Site("M", (*_SMALL, *_MEDIUM, "Ca", "Na"))),
        _olivine,
    ),
)  # fmt: skip
