"""How fast Fe, Mg, Ca and Mn diffuse in garnet: three published sets of constants.

The constants are those of the papers as collected in GeoParams.jl and DiffusionGarnet.jl (MIT).
Both newer sets depend on composition through the unit cell, ``exp{a (cell - 1.1525 nm)}``, and on
oxygen fugacity, which is that of the graphite buffer here. The standard deviations are those of E;
those of ln D0 circulate in doubtful units (0.7-0.9, perhaps of log10) and are left out.
"""

from dataclasses import dataclass

import numpy as np

from petro_models.thermodynamics.calibration import CALORIE_J, KELVIN, Array, exponential

GAS_CONSTANT = 8.314462618
UM2_PER_M2 = 1e12
SECONDS_PER_MYR = 1e6 * 365.25 * 86400.0
CELL_NM = (1.1525, 1.1456, 1.1852, 1.1614)
"""Unit-cell edges of almandine, pyrope, grossular and spessartine (Carlson 2006)."""

type Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Diffusivities:
    """Self-diffusion constants, each in the order alm (Fe), prp (Mg), grs (Ca), sps (Mn).

    Attributes
    ----------
    name
        Paper.
    log_D0_m2_per_s
        Natural logarithm of the frequency factor.
    energy_J
        Activation energy, J/mol.
    volume_J_per_kbar
        Activation volume, J/(mol kbar).
    sd_energy_J
        One standard deviation of the energy.
    cell_slope_per_nm
        Growth of ln D0 with the unit-cell edge.
    reference_kbar
        Pressure that the energies hold at.
    """

    name: str
    log_D0_m2_per_s: Four
    energy_J: Four
    volume_J_per_kbar: Four
    sd_energy_J: Four
    cell_slope_per_nm: Four = (0.0, 0.0, 0.0, 0.0)
    reference_kbar: float = 0.0


def self_diffusivity(
    temperature_C: Array, pressure_kbar: Array, fractions: Array, coefficients: Diffusivities
) -> Array:
    """Give the self-diffusivities of Fe, Mg, Ca and Mn in garnet.

    Parameters
    ----------
    temperature_C, pressure_kbar
        Conditions, broadcast against the last axis of `fractions`.
    fractions
        (..., 4) X_alm, X_prp, X_grs, X_sps; they matter where the set depends on composition.
    coefficients
        Constants.

    Returns
    -------
    Array
        (..., 4) in um^2 / Myr; NumPy or JAX alike.
    """
    cell = sum(fractions[..., k : k + 1] * CELL_NM[k] for k in range(4)) - CELL_NM[0]
    barrier = np.array(coefficients.energy_J) + np.array(coefficients.volume_J_per_kbar) * (
        pressure_kbar - coefficients.reference_kbar
    )
    exponent = (
        np.array(coefficients.log_D0_m2_per_s)
        + np.array(coefficients.cell_slope_per_nm) * cell
        - barrier / (GAS_CONSTANT * (temperature_C + KELVIN))
    )
    return exponential(exponent) * (UM2_PER_M2 * SECONDS_PER_MYR)


def _four(*values: float) -> Four:
    iron, magnesium, calcium, manganese = (float(value) for value in values)
    return iron, magnesium, calcium, manganese


CHAKRABORTY_GANGULY_1992 = Diffusivities(
    name="Chakraborty & Ganguly 1992",
    log_D0_m2_per_s=_four(*np.log(np.array([6.4, 11.0, 0.5 * 6.4, 5.1]) * 1e-8)),
    energy_J=_four(*np.array([65824, 67997, 65824, 60569]) * CALORIE_J),
    volume_J_per_kbar=_four(560, 530, 560, 600),
    sd_energy_J=_four(*np.array([8721, 8973, 8721, 8889]) * CALORIE_J),
    reference_kbar=0.001,
)
"""Contrib. Mineral. Petrol. 111, 74-86; Ca at half the rate of Fe by convention."""

CARLSON_2006 = Diffusivities(
    name="Carlson 2006",
    log_D0_m2_per_s=_four(-17.638, -19.947, -22.572, -17.619),
    energy_J=_four(264550, 244210, 230560, 264440),
    volume_J_per_kbar=_four(1356.8, 856.5, 979.5, 963.1),
    sd_energy_J=_four(4630, 5320, 7150, 5990),
    cell_slope_per_nm=_four(465.7, 419.9, 511.1, 496.9),
)
"""Am. Mineral. 91, 1-11."""

CHU_AGUE_2015 = Diffusivities(
    name="Chu & Ague 2015",
    log_D0_m2_per_s=_four(*np.array([-7.98, -8.28, -6.36, -9.86]) * np.log(10.0)),
    energy_J=_four(250800, 258000, 299300, 212900),
    volume_J_per_kbar=_four(1400, 720, 1770, 950),
    sd_energy_J=_four(9130, 7400, 18400, 13400),
    cell_slope_per_nm=_four(457.2, 340.3, 302.9, 686.7),
)
"""Contrib. Mineral. Petrol. 170, 25."""

PUBLISHED = {
    "chakraborty_ganguly_1992": CHAKRABORTY_GANGULY_1992,
    "carlson_2006": CARLSON_2006,
    "chu_ague_2015": CHU_AGUE_2015,
}
"""The sets by the names that options take, the default first."""
