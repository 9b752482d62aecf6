"""Non-ideal mixing of Fe, Mg, Ca and Mn in garnet after Holdaway (2000).

The excess energy is Wohl's subregular polynomial (Ganguly & Saxena 1984, Am. Mineral. 69, 88-97)

    G = sum_(i<j) X_i X_j [W_ij (1 + X_i - X_j) + W_ji (1 - X_i + X_j)] / 2 - C X_Ca X_Mg X_Fe

per formula unit of three cations, with ``W = W_H - T W_S + P W_V``. W_ij is the limit reached when
i is the host, as Holdaway's tables name it.
"""

from petro_models.thermodynamics.calibration import Array

# (enthalpy J, entropy J/K, volume J/bar), each per formula unit; Holdaway (2000), Am. Mineral. 85,
# 881-892, the average model, as used by Dachs (2004), Comput. Geosci. 30, 173-182.
_MARGULES = {
    ("Ca", "Mg"): (25759.0, 12.87, 0.14),
    ("Mg", "Ca"): (66114.0, 18.98, 0.068),
    ("Ca", "Fe"): (19932.0, 9.67, 0.135),
    ("Fe", "Ca"): (-1304.0, -0.34, 0.04),
    ("Mg", "Fe"): (-5672.0, -5.99, -0.034),
    ("Fe", "Mg"): (11622.0, 5.5, 0.05),
    ("Ca", "Mn"): (1425.0, 0.0, 0.065),
    ("Mn", "Ca"): (1425.0, 0.0, 0.065),
    ("Mg", "Mn"): (41249.0, 23.01, 0.039),
    ("Mn", "Mg"): (41249.0, 23.01, 0.039),
    ("Fe", "Mn"): (1860.0, 0.0, 0.022),
    ("Mn", "Fe"): (1860.0, 0.0, 0.022),
}
_TERNARY_J = 7398.0
_CATIONS = ("Mg", "Fe", "Ca", "Mn")


def pyrope_almandine_excess(
    temperature_K: Array,
    pressure_bar: Array,
    X_prp: Array,
    X_alm: Array,
    X_grs: Array,
    X_sps: Array,
) -> Array:
    """Give ``RT ln(gamma_pyrope / gamma_almandine)`` of the three-site end-members, in J/mol.

    Since the fractions stay on their sum, this is the derivative of G along Mg for Fe.
    """
    fractions = dict(zip(_CATIONS, (X_prp, X_alm, X_grs, X_sps), strict=True))

    def partial(cation: str) -> Array:
        total: Array = 0.0
        for other in _CATIONS:
            if other == cation:
                continue
            host = _interaction(cation, other, temperature_K, pressure_bar)
            guest = _interaction(other, cation, temperature_K, pressure_bar)
            mine, theirs = fractions[cation], fractions[other]
            total = total + theirs / 2.0 * (
                host * (1.0 + mine - theirs) + guest * (1.0 - mine + theirs) + mine * (host - guest)
            )
        return total

    ternary = _TERNARY_J * fractions["Ca"] * (fractions["Fe"] - fractions["Mg"])
    return partial("Mg") - partial("Fe") - ternary


def _interaction(host: str, guest: str, temperature_K: Array, pressure_bar: Array) -> Array:
    enthalpy, entropy, volume = _MARGULES[host, guest]
    return enthalpy - temperature_K * entropy + pressure_bar * volume
