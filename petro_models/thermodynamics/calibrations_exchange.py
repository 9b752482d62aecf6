"""The exchange thermometers with their ranges, errors and what they were checked against.

"PET" is the program of Dachs (1998, 2004), Comput. Geosci. 24, 219-235 and 30, 173-182, whose
manual prints temperatures for one set of mineral analyses.
"""

from petro_models.thermodynamics import exchange
from petro_models.thermodynamics.calibration import Barometer, Limit

GARNET = {
    "X_prp": "garnet Mg / (Fe2+ + Mg + Ca + Mn)",
    "X_alm": "garnet Fe2+ / (Fe2+ + Mg + Ca + Mn)",
    "X_grs": "garnet Ca / (Fe2+ + Mg + Ca + Mn)",
    "X_sps": "garnet Mn / (Fe2+ + Mg + Ca + Mn)",
}
BIOTITE = {
    "biotite_Mg": "Mg per formula of biotite",
    "biotite_Fe": "Fe2+ per formula of biotite",
    "biotite_AlVI": "octahedral Al per formula of biotite",
    "biotite_Ti": "Ti per formula of biotite",
}
_MICA = {"Mg": "Mg per formula of {}", "Fe": "total Fe per formula of {}, taken as Fe2+"}


def garnet(*names: str) -> dict[str, str]:
    """Pick inputs of garnet."""
    return {name: GARNET[name] for name in names}


def biotite(*names: str) -> dict[str, str]:
    """Pick inputs of biotite by their cations."""
    return {f"biotite_{name}": BIOTITE[f"biotite_{name}"] for name in names}


def _partner(mineral: str) -> dict[str, str]:
    return {f"{mineral}_{cation}": text.format(mineral) for cation, text in _MICA.items()}


def _octahedral_share(Mg: float, Fe: float, AlVI: float, Ti: float) -> float:
    return (AlVI + Ti) / (Mg + Fe + AlVI + Ti)


_FERRY_SPEAR = Barometer(
    name="garnet_biotite_ferry_spear_1978",
    measures="temperature",
    equation=exchange.garnet_biotite_ferry_spear_1978,
    inputs=garnet("X_prp", "X_alm") | biotite("Mg", "Fe"),
    range_inputs=garnet("X_grs", "X_sps") | biotite("AlVI", "Ti"),
    temperature_range_C=(550.0, 800.0),
    pressure_range_kbar=(2.07, 2.07),
    limits=(
        Limit("garnet Ca + Mn", ("X_grs", "X_sps"), lambda Ca, Mn: Ca + Mn, 0.0, 0.20),
        Limit("biotite AlVI + Ti share", tuple(BIOTITE), _octahedral_share, 0.0, 0.15),
    ),
    error="about 50 degC practical resolution (p. 117); experiments at 2.07 kbar alone",
    sd_temperature_C=50.0,
    reference="Ferry & Spear (1978), Contrib. Mineral. Petrol. 66, 113-117, eq. 7",
    evidence="printed value",
    verification=(
        "at 2.07 kbar it is the paper's fitted line ln K = -2109 / T + 0.782 (eq. 1) to 0.1 K; "
        "PET prints 465.91 and 475.92 degC at 3 and 6 kbar"
    ),
)
_BHATTACHARYA = Barometer(
    name="garnet_biotite_bhattacharya_1992",
    measures="temperature",
    equation=exchange.garnet_biotite_bhattacharya_1992,
    inputs=dict(GARNET) | biotite("Mg", "Fe"),
    temperature_range_C=(575.0, 950.0),
    pressure_range_kbar=(2.07, 6.0),
    limits=(Limit("garnet Ca", ("X_grs",), lambda Ca: Ca, 0.0, 0.25),),
    error="20 degC from approximations alone (p. 91), no total given; best at 600-900 degC",
    sd_temperature_C=25.0,
    reference="Bhattacharya et al. (1992), Contrib. Mineral. Petrol. 111, 87-93, T(HW)",
    evidence="printed equation",
    verification=(
        "term by term the T(HW) that the abstract prints; on equilibrium compositions of the "
        "White (2014) pelite it is 18 degC too hot with a spread of 14"
    ),
)
_HOLDAWAY = Barometer(
    name="garnet_biotite_holdaway_2000",
    measures="temperature",
    equation=exchange.garnet_biotite_holdaway_2000,
    inputs=dict(GARNET) | dict(BIOTITE),
    optional={"biotite_Mn": "Mn per formula of biotite"},
    temperature_range_C=(550.0, 950.0),
    pressure_range_kbar=(2.0, 6.0),
    error="25 degC at best use (Holdaway et al. 1997), nearer 50 by propagation",
    sd_temperature_C=25.0,
    reference="Holdaway (2000), Am. Mineral. 85, 881-892",
    evidence="another program",
    verification=(
        "PET's printed temperatures at ten pressures, 554.39 (1 kbar) to 577.49 degC (10 kbar), "
        "to 0.01 degC; no value of the paper itself was at hand"
    ),
)
_HYNES_FOREST = Barometer(
    name="garnet_muscovite_hynes_forest_1988",
    measures="temperature",
    equation=exchange.garnet_muscovite_hynes_forest_1988,
    inputs=dict(GARNET) | _partner("muscovite"),
    temperature_range_C=(370.0, 460.0),
    pressure_range_kbar=(3.0, 7.0),
    error=(
        "15 degC at least, up to 100 (p. 308); the range of temperature is that of its application"
    ),
    sd_temperature_C=50.0,
    reference="Hynes & Forest (1988), J. Metamorph. Geol. 6, 297-309, eq. 9",
    evidence="another program",
    verification="PET prints 491.091 degC; no value of the paper itself was at hand",
)
_KROGH_RAHEIM = Barometer(
    name="garnet_phengite_krogh_raheim_1978",
    measures="temperature",
    equation=exchange.garnet_phengite_krogh_raheim_1978,
    inputs=garnet("X_prp", "X_alm") | _partner("phengite"),
    temperature_range_C=(670.0, 1000.0),
    pressure_range_kbar=(11.0, 30.0),
    error="not stated; one natural anchor of 670 +- 20 degC, 11 +- 1 kbar; basaltic rocks",
    sd_temperature_C=50.0,
    reference="Krogh & Raheim (1978), Contrib. Mineral. Petrol. 66, 75-80",
    evidence="printed value",
    verification=(
        "the paper's experiments at 30 kbar (p. 76): KD 14.1, 4.9 and 3.3 give 700, 901 and 999 "
        "degC where 700, 900 and 1000 were run; PET prints 405.136 and 445.196 degC"
    ),
)
_GREEN_HELLMAN = Barometer(
    name="garnet_phengite_green_hellman_1982",
    measures="temperature",
    equation=exchange.garnet_phengite_green_hellman_1982,
    inputs=garnet("X_prp", "X_alm") | _partner("phengite"),
    range_inputs=garnet("X_sps"),
    temperature_range_C=(800.0, 950.0),
    pressure_range_kbar=(20.0, 35.0),
    limits=(Limit("garnet Mn", ("X_sps",), lambda Mn: Mn, 0.0, 0.05),),
    error="about 50 degC; rocks with less than 2 wt% CaO and Mg number about 67 only",
    sd_temperature_C=50.0,
    reference="Green & Hellman (1982), Lithos 15, 253-266, eq. a",
    evidence="another program",
    verification="the constants agree in PET and thermobaroMin4EPMA; no printed value was at hand",
)
_GRAHAM_POWELL = Barometer(
    name="garnet_hornblende_graham_powell_1984",
    measures="temperature",
    equation=exchange.garnet_hornblende_graham_powell_1984,
    inputs=garnet("X_prp", "X_alm", "X_grs") | _partner("hornblende"),
    range_inputs=garnet("X_sps"),
    temperature_range_C=(599.0, 850.0),
    pressure_range_kbar=(5.0, 18.0),
    limits=(
        Limit("garnet Ca", ("X_grs",), lambda Ca: Ca, 0.165, 0.418),
        Limit("garnet Mn", ("X_sps",), lambda Mn: Mn, 0.0, 0.1),
    ),
    error="not stated; fitted to garnet-clinopyroxene temperatures, below 850 degC",
    sd_temperature_C=50.0,
    reference="Graham & Powell (1984), J. Metamorph. Geol. 2, 13-31",
    evidence="printed equation",
    verification="the equation of the abstract; PET prints 345.32 degC for ln KD = 2.3653",
)
_RAVNA = Barometer(
    name="garnet_hornblende_ravna_2000",
    measures="temperature",
    equation=exchange.garnet_hornblende_ravna_2000,
    inputs=dict(GARNET)
    | {
        "hornblende_Mg": "Mg on M1-M3 of hornblende",
        "hornblende_Fe": "Fe2+ on M1-M3 of hornblende",
    },
    temperature_range_C=(515.0, 1025.0),
    pressure_range_kbar=(5.0, 16.0),
    limits=(
        Limit("garnet Ca", ("X_grs",), lambda Ca: Ca, 0.154, 0.473),
        Limit("garnet Mn", ("X_sps",), lambda Mn: Mn, 0.004, 0.158),
        Limit("garnet Ca + Mn", ("X_grs", "X_sps"), lambda Ca, Mn: Ca + Mn, 0.167, 0.516),
    ),
    error="not stated; pairs more than 90 degC off were dropped in fitting",
    sd_temperature_C=50.0,
    reference="Ravna (2000), Lithos 53, 265-277",
    evidence="another program",
    verification="the constants agree with thermobaroMin4EPMA; no printed value was at hand",
)

CALIBRATIONS = (
    _FERRY_SPEAR,
    _BHATTACHARYA,
    _HOLDAWAY,
    _HYNES_FOREST,
    _KROGH_RAHEIM,
    _GREEN_HELLMAN,
    _GRAHAM_POWELL,
    _RAVNA,
)
