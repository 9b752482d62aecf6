"""Isocon algebra against mass balance and closed forms."""

import numpy as np
import pytest
from scipy.special import gamma, kv

from petro_models.mass_transfer import forward, frames
from petro_models.mass_transfer.defaults import cation
from petro_models.mass_transfer.enumeration import GaussianColumns


def test_an_immobile_element_keeps_its_mass() -> None:
    """C M = C0 M0 whatever the mass change: the definition of an isocon."""
    mass_change, protolith = np.array([-0.7, 0.0, 0.4]), np.log(12.5)
    altered = np.exp(forward.altered_log_concentration(protolith, mass_change))
    np.testing.assert_allclose(altered * np.exp(mass_change), 12.5)


def test_mobility_is_the_log_of_the_mass_ratio_of_the_element() -> None:
    """Half of the rock dissolved, the element doubled in concentration: nothing of it moved."""
    assert forward.mobility_from_log_ratio(np.log(2.0), np.log(0.5)) == pytest.approx(0.0)
    assert np.expm1(forward.mobility_from_log_ratio(np.log(3.0), np.log(0.5))) == pytest.approx(0.5)


def test_rock_that_swells_at_constant_mass_gains_volume() -> None:
    assert np.exp(forward.log_volume_change(0.0, 2.0, 2.7)) == pytest.approx(1.35)


def test_regularised_scale_is_the_horseshoe_below_and_the_slab_above() -> None:
    assert forward.regularised_scale(0.1, 0.5, 2.0) == pytest.approx(0.05, rel=1e-3)
    assert forward.regularised_scale(0.1, 1e6, 2.0) == pytest.approx(2.0, rel=1e-3)


def test_trend_correlation_is_matern_five_halves() -> None:
    """Against the Bessel-function form of the Matern family."""
    distance, length, nu = np.array([0.1, 0.7, 2.0, 5.0]), 1.3, 2.5
    scaled = np.sqrt(2 * nu) * distance / length
    expected = 2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    found = forward.matern52_correlation(distance, length, np.exp)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert forward.matern52_correlation(0.0, length, np.exp) == 1.0


@pytest.mark.parametrize(
    ("species", "element"), [("Al2O3", "Al"), ("K2O", "K"), ("Zr", "Zr"), ("V", "V"), ("H2O", "H")]
)
def test_cation_of_a_species(species: str, element: str) -> None:
    assert cation(species) == element


def test_two_blocks_give_two_frames_and_the_larger_leads() -> None:
    ratio = np.concatenate([np.full(6, -0.1), np.full(4, 0.5), [1.5, -1.8]])[:, None]
    variance = np.full_like(ratio, 0.03**2)
    columns = GaussianColumns(
        log_ratio=ratio,
        immobile_variance=variance,
        mobile_variance=variance + 0.49,
        shared_variance=np.zeros(12),
        immobile_probability=np.full(12, 0.4),
        prior_mean=np.zeros(1),
        prior_covariance=np.eye(1) * 0.25,
    )
    modes = frames.find_modes(columns)
    np.testing.assert_allclose(modes[0].mass_change, [0.1], atol=0.01)
    assert any(abs(mode.mass_change[0] + 0.5) < 0.01 for mode in modes)
    weights = frames.mode_weights(modes)
    assert weights[0] == weights.max() > 0.5
    elements = [f"E{j}" for j in range(12)]
    assert frames.label(elements, modes[0].immobile_probability).split() == elements[:6]
    assigned = frames.assign(modes, np.array([[0.11], [-0.49]]))
    assert assigned[0] == 0
    assert modes[assigned[1]].mass_change[0] == pytest.approx(-0.5, abs=0.01)
