"""Thermometers from one mineral: Zr in rutile, Ti in quartz, Ti in biotite.

Zr in rutile and Ti in quartz are equilibria: their residuals are J/mol. The two Ti-in-biotite
thermometers are regressions without a reaction: their residuals are natural logarithms.
"""

from petro_models.thermodynamics.calibration import KELVIN, Array, natural_log

GAS_CONSTANT_KJ = 0.0083144
GAS_CONSTANT = 8.3145


def zr_in_rutile_tomkins_2007_alpha_quartz(
    temperature_C: Array, pressure_kbar: Array, *, rutile_Zr_ppm: Array
) -> Array:
    """``83.9 + 0.410 P - T (0.1428 - R ln Zr)`` kJ, as J (Tomkins et al. 2007)."""
    return _tomkins(temperature_C, 83.9 + 0.410 * pressure_kbar, 0.1428, rutile_Zr_ppm)


def zr_in_rutile_tomkins_2007_beta_quartz(
    temperature_C: Array, pressure_kbar: Array, *, rutile_Zr_ppm: Array
) -> Array:
    """``85.7 + 0.473 P - T (0.1453 - R ln Zr)`` kJ, as J (Tomkins et al. 2007)."""
    return _tomkins(temperature_C, 85.7 + 0.473 * pressure_kbar, 0.1453, rutile_Zr_ppm)


def zr_in_rutile_tomkins_2007_coesite(
    temperature_C: Array, pressure_kbar: Array, *, rutile_Zr_ppm: Array
) -> Array:
    """``88.1 + 0.206 P - T (0.1412 - R ln Zr)`` kJ, as J (Tomkins et al. 2007)."""
    return _tomkins(temperature_C, 88.1 + 0.206 * pressure_kbar, 0.1412, rutile_Zr_ppm)


def zr_in_rutile_kohn_2020_quartz(
    temperature_C: Array, pressure_kbar: Array, *, rutile_Zr_ppm: Array
) -> Array:
    """``71360 + 0.378 P - 0.130 Zr - T (130.66 - R ln Zr)`` J, P in bar (Kohn 2020)."""
    energy = 71360.0 + 378.0 * pressure_kbar - 0.130 * rutile_Zr_ppm
    entropy = 130.66 - GAS_CONSTANT * natural_log(rutile_Zr_ppm)
    return energy - (temperature_C + KELVIN) * entropy


def zr_in_rutile_kohn_2020_coesite(
    temperature_C: Array, pressure_kbar: Array, *, rutile_Zr_ppm: Array
) -> Array:
    """``73910 + 0.247 P - 0.130 Zr - T (129.65 - R ln Zr)`` J, P in bar (Kohn 2020)."""
    energy = 73910.0 + 247.0 * pressure_kbar - 0.130 * rutile_Zr_ppm
    entropy = 129.65 - GAS_CONSTANT * natural_log(rutile_Zr_ppm)
    return energy - (temperature_C + KELVIN) * entropy


def ti_in_quartz_thomas_2010(
    temperature_C: Array, pressure_kbar: Array, *, quartz_Ti_ppm: Array, TiO2_activity: Array
) -> Array:
    """``60952 - 1.520 T + 1741 P + R T ln(X_Ti / a_TiO2)`` J (Thomas et al. 2010, abstract)."""
    temperature_K = temperature_C + KELVIN
    saturation = natural_log(titania_fraction(quartz_Ti_ppm) / TiO2_activity)
    return (
        60952.0
        - 1.520 * temperature_K
        + 1741.0 * pressure_kbar
        + GAS_CONSTANT * temperature_K * saturation
    )


def ti_in_quartz_osborne_2022(
    temperature_C: Array, pressure_kbar: Array, *, quartz_Ti_ppm: Array, TiO2_activity: Array
) -> Array:
    """``55287 + 2625 P - 40.3 P^2 + R T ln(X_Ti / a_TiO2)`` J (Osborne et al. 2022, eq. 8).

    The square enters with this sign; a public code has it reversed.
    """
    saturation = natural_log(titania_fraction(quartz_Ti_ppm) / TiO2_activity)
    return (
        55287.0
        + 2625.0 * pressure_kbar
        - 40.3 * pressure_kbar**2
        + GAS_CONSTANT * (temperature_C + KELVIN) * saturation
    )


def titania_fraction(quartz_Ti_ppm: Array) -> Array:
    """Give the mole fraction of TiO2 in quartz from Ti in ppm of its mass (TiO2 + SiO2)."""
    titania = quartz_Ti_ppm * 1e-6 / 47.867
    silica = (1.0 - titania * 79.866) / 60.084
    return titania / (titania + silica)


def ti_in_biotite_henry_2005(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    biotite_Ti_22O: Array,
    biotite_Mg: Array,
    biotite_Fe: Array,
) -> Array:
    """``-2.3594 + 4.6482e-9 t^3 - 1.7283 X_Mg^3 - ln Ti`` (Henry et al. 2005, eq. 2), no unit."""
    X_Mg = biotite_Mg / (biotite_Mg + biotite_Fe)
    surface = -2.3594 + 4.6482e-9 * temperature_C**3 - 1.7283 * X_Mg**3
    return surface - natural_log(biotite_Ti_22O) + 0.0 * pressure_kbar


def ti_in_biotite_wu_chen_2015(
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    biotite_Mg: Array,
    biotite_Fe: Array,
    biotite_AlVI: Array,
    biotite_Ti: Array,
) -> Array:
    """Wu & Chen (2015), abstract: ln t from Ti, Fe2+, Mg and P, no unit.

    Iron is total iron, of which 11.6 % are taken as Fe3+ and left out, as in the calibration.
    """
    ferrous = 0.884 * biotite_Fe
    octahedral = ferrous + biotite_Mg + biotite_AlVI + biotite_Ti
    predicted = (
        6.313
        + 0.224 * natural_log(biotite_Ti / octahedral)
        - 0.288 * natural_log(ferrous / octahedral)
        - 0.449 * natural_log(biotite_Mg / octahedral)
        + 0.015 * pressure_kbar
    )
    return natural_log(temperature_C) - predicted


def _tomkins(temperature_C: Array, energy_kJ: Array, entropy_kJ: float, Zr_ppm: Array) -> Array:
    entropy = entropy_kJ - GAS_CONSTANT_KJ * natural_log(Zr_ppm)
    return 1000.0 * (energy_kJ - (temperature_C + KELVIN) * entropy)
