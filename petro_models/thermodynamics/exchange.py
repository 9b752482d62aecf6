"""Fe-Mg exchange between garnet and biotite, white mica and hornblende.

Every residual is the energy of the exchange at the given conditions, in J per mole of the reaction
as its authors wrote it (three cations or one), zero at equilibrium. A published form
``T = (a + b P) / (c + ln KD)`` becomes ``R [a + b P - T (c + ln KD)]``.
"""

from petro_models.thermodynamics.calibration import (
    CALORIE_J,
    GAS_CONSTANT_CAL,
    KELVIN,
    Array,
    natural_log,
)
from petro_models.thermodynamics.garnet_mixing import pyrope_almandine_excess

GAS_CONSTANT = 8.3143
"""J/(mol K), as the calibrations of this module were fitted with (PET uses the same)."""


def garnet_biotite_ferry_spear_1978(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    biotite_Mg: Array,
    biotite_Fe: Array,
) -> Array:
    """``12454 - 4.662 T + 0.057 P + 3 R T ln KD`` cal (Ferry & Spear 1978, eq. 7; P in bar)."""
    temperature_K = temperature_C + KELVIN
    log_KD = natural_log(X_prp / X_alm * biotite_Fe / biotite_Mg)
    return CALORIE_J * (
        12454.0
        - 4.662 * temperature_K
        + 57.0 * pressure_kbar
        + 3.0 * GAS_CONSTANT_CAL * temperature_K * log_KD
    )


def garnet_biotite_bhattacharya_1992(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    X_sps: Array,
    biotite_Mg: Array,
    biotite_Fe: Array,
) -> Array:
    """Bhattacharya et al. (1992) with Hackler & Wood's garnet, T(HW) of the abstract.

    The term 4441 (2 X_Mg - 1) of biotite stands outside the bracket of garnet terms, as the
    abstract prints it; a widespread implementation has it inside (the sign reversed).
    """
    temperature_K = temperature_C + KELVIN
    log_KD = natural_log(X_alm / X_prp * biotite_Mg / biotite_Fe)
    without_Mn = 1.0 - X_sps
    garnet = (
        2080.0 * X_prp**2
        - 6350.0 * X_alm**2
        - 13807.0 * X_grs * without_Mn
        + 8540.0 * X_alm * X_prp * without_Mn
        + 4215.0 * X_grs * (X_prp - X_alm)
    )
    biotite = 4441.0 * (biotite_Mg - biotite_Fe) / (biotite_Mg + biotite_Fe)
    entropy = 13.138 + GAS_CONSTANT * log_KD + 6.276 * X_grs * without_Mn
    return 20286.0 + 19.3 * pressure_kbar - garnet + biotite - temperature_K * entropy


def garnet_biotite_holdaway_2000(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    X_sps: Array,
    biotite_Mg: Array,
    biotite_Fe: Array,
    biotite_AlVI: Array,
    biotite_Ti: Array,
    biotite_Mn: Array = 0.0,
) -> Array:
    """Holdaway (2000), average garnet model: the exchange of three cations, J, P in bar."""
    temperature_K = temperature_C + KELVIN
    pressure_bar = 1000.0 * pressure_kbar
    log_KD = natural_log(X_prp / X_alm * biotite_Fe / biotite_Mg)
    octahedral = biotite_Mg + biotite_Fe + biotite_AlVI + biotite_Ti + biotite_Mn
    biotite = (
        (22998.0 - 17.396 * temperature_K) * (biotite_Mg - biotite_Fe)
        + (245559.0 - 280.306 * temperature_K) * biotite_AlVI
        + (310990.0 - 370.39 * temperature_K) * biotite_Ti
    ) / octahedral
    garnet = pyrope_almandine_excess(temperature_K, pressure_bar, X_prp, X_alm, X_grs, X_sps)
    ideal = 3.0 * GAS_CONSTANT * temperature_K * log_KD
    return 40198.0 - 7.802 * temperature_K + 0.295 * pressure_bar + ideal + garnet + biotite


def garnet_muscovite_hynes_forest_1988(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    X_sps: Array,
    muscovite_Mg: Array,
    muscovite_Fe: Array,
) -> Array:
    """Hynes & Forest (1988), eq. 9: ``T = 4790 / (ln K + 4.13)``, all iron as Fe2+.

    ln K is ln KD corrected for garnet's Mn and Ca with terms that depend on T themselves; there is
    no pressure in it.
    """
    temperature_K = temperature_C + KELVIN
    Fe_Mg = (200.0 * X_prp + 2500.0 * X_alm) / (X_prp + X_alm)
    garnet = 0.8 * Fe_Mg - Fe_Mg * (X_alm - X_prp) - 3000.0 * X_sps
    scaled_Ca = X_grs * 844.0 / temperature_K
    log_K = (
        natural_log(X_alm / X_prp * muscovite_Mg / muscovite_Fe)
        + garnet / (GAS_CONSTANT_CAL * temperature_K)
        - 2.978 * scaled_Ca
        + 5.906 * scaled_Ca**2
    )
    return GAS_CONSTANT * (4790.0 - temperature_K * (log_K + 4.13)) + 0.0 * pressure_kbar


def garnet_phengite_krogh_raheim_1978(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    phengite_Mg: Array,
    phengite_Fe: Array,
) -> Array:
    """Krogh & Raheim (1978): ``T = (3685 + 77.1 P_kbar) / (ln KD + 3.52)``, all iron as Fe2+."""
    log_KD = natural_log(X_alm / X_prp * phengite_Mg / phengite_Fe)
    numerator = 3685.0 + 77.1 * pressure_kbar
    return GAS_CONSTANT * (numerator - (temperature_C + KELVIN) * (log_KD + 3.52))


def garnet_phengite_green_hellman_1982(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    phengite_Mg: Array,
    phengite_Fe: Array,
) -> Array:
    """Green & Hellman (1982), eq. a, for Ca-poor rocks (< 2 wt% CaO) of Mg number about 67."""
    log_KD = natural_log(X_alm / X_prp * phengite_Mg / phengite_Fe)
    numerator = 5560.0 + 36.0 * pressure_kbar
    return GAS_CONSTANT * (numerator - (temperature_C + KELVIN) * (log_KD + 4.65))


def garnet_hornblende_graham_powell_1984(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    hornblende_Mg: Array,
    hornblende_Fe: Array,
) -> Array:
    """Graham & Powell (1984): ``T = (2880 + 3280 X_Ca) / (ln KD + 2.426)``; no pressure in it."""
    log_KD = natural_log(X_alm / X_prp * hornblende_Mg / hornblende_Fe)
    numerator = 2880.0 + 3280.0 * X_grs + 0.0 * pressure_kbar
    return GAS_CONSTANT * (numerator - (temperature_C + KELVIN) * (log_KD + 2.426))


def garnet_hornblende_ravna_2000(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    X_sps: Array,
    hornblende_Mg: Array,
    hornblende_Fe: Array,
) -> Array:
    """Ravna (2000): ``T = (1504 + 1784 (X_Ca + X_Mn)) / (ln KD + 0.720)``; no pressure in it.

    Mg and Fe2+ of hornblende are those of its M1-M3 sites.
    """
    log_KD = natural_log(X_alm / X_prp * hornblende_Mg / hornblende_Fe)
    numerator = 1504.0 + 1784.0 * (X_grs + X_sps) + 0.0 * pressure_kbar
    return GAS_CONSTANT * (numerator - (temperature_C + KELVIN) * (log_KD + 0.720))
