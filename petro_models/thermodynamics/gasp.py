"""Garnet - Al2SiO5 - plagioclase - quartz: 3 anorthite = grossular + 2 Al2SiO5 + quartz.

The end-member curve of kyanite is that of Koziol & Newton (1988), Am. Mineral. 73, 216-223; that
of sillimanite and the activities are those of Koziol (1989), EOS 70, 493, as coded by Dachs (2004).
The garnet terms are joules while the plagioclase terms are calories: with both in calories the
barometer is 4-5 kbar too high on equilibrium compositions of a pelite. The curve that circulates
for andalusite is left out: with the other two it would put andalusite = sillimanite at 16 kbar.
"""

from petro_models.thermodynamics.calibration import GAS_CONSTANT_CAL, KELVIN, Array, natural_log

GAS_CONSTANT = 8.3143


def gasp_koziol_1989_kyanite(
    temperature_C: Array, pressure_kbar: Array, **minerals: Array
) -> Array:
    """``V (P_end - P) - 3 R T ln(a_an / a_grs)`` J, P_end = 22.80 t - 1093 bar, V 6.594 J/bar."""
    end_member_bar = 22.80 * temperature_C - 1093.0
    return _residual(end_member_bar, 6.594, temperature_C, pressure_kbar, **minerals)


def gasp_koziol_1989_sillimanite(
    temperature_C: Array, pressure_kbar: Array, **minerals: Array
) -> Array:
    """As for kyanite, with P_end = -0.0001872 t^2 + 23.41 t - 25 bar and V = 5.452 J/bar."""
    end_member_bar = -0.0001872 * temperature_C**2 + 23.41 * temperature_C - 25.0
    return _residual(end_member_bar, 5.452, temperature_C, pressure_kbar, **minerals)


def _residual(
    end_member_bar: Array,
    volume_J_per_bar: float,
    temperature_C: Array,
    pressure_kbar: Array,
    *,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    plagioclase_X_an: Array,
) -> Array:
    """Give the energy of the reaction, J per mole of grossular."""
    temperature_K = temperature_C + KELVIN
    activities = _log_anorthite(temperature_K, plagioclase_X_an) - _log_grossular(
        temperature_K, X_prp, X_alm, X_grs
    )
    return (
        volume_J_per_bar * (end_member_bar - 1000.0 * pressure_kbar)
        - 3.0 * GAS_CONSTANT * temperature_K * activities
    )


def _log_anorthite(temperature_K: Array, X_an: Array) -> Array:
    """Al-avoidance times a subregular term in calories (Newton & Haselton 1981)."""
    excess = (1.0 - X_an) ** 2 * (2050.0 + 9392.0 * X_an) / (GAS_CONSTANT_CAL * temperature_K)
    return natural_log(X_an * (1.0 + X_an) ** 2 / 4.0) + excess


def _log_grossular(temperature_K: Array, X_prp: Array, X_alm: Array, X_grs: Array) -> Array:
    """Subregular mixing of Ca with (Mg, Fe), joules per cation (Koziol 1989)."""
    magnesium_number = 100.0 * X_prp / (X_prp + X_alm)
    first = -2060.0 + 357.4 * magnesium_number - 4.95 * magnesium_number**2
    second = 3391.0 - 371.0 * magnesium_number + 6.49 * magnesium_number**2
    excess = (1.0 - X_grs) ** 2 * (first + 2.0 * X_grs * (second - first))
    return natural_log(X_grs) + excess / (GAS_CONSTANT * temperature_K)
