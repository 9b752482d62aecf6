"""Small simulation-based calibration in every run; the full one is in benchmarks/."""

import numpy as np
import pytest

import petro_models as petro
from petro_models.inference.calibration import calibrate, calibrate_probabilities, reliability
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.mass_transfer.sparse_isocon import sparse_isocon


def test_mass_change_and_immobility_are_calibrated() -> None:
    """120 data sets from the prior: 3 samples x 10 elements, indicators drawn one by one.

    Binomial error of a coverage of 0.90 over 360 truths is 0.016: three of them.
    """
    generator = np.random.default_rng(11)
    truths, draws, outcomes, chances = [], [], [], []
    for index in range(120):
        count = generator.binomial(10, 0.4)
        table, truth = simulate_mass_table(3, 10, immobile_share=count / 10, seed=700 + index)
        exact = petro.MassTransfer(table).enumerate()
        truths += list(truth["mass_change"].to_numpy())
        draws += list(exact.draw(499, generator)[1].T)
        outcomes += list(truth["immobile"].to_numpy())
        chances += list(exact.immobile_probability)
    mass_change = calibrate("mass change", truths, draws, generator)
    immobile = calibrate_probabilities("P(immobile)", outcomes, chances, generator)
    assert 0.85 < mass_change.coverage < 0.95
    assert mass_change.p_uniform > 0.01
    assert immobile.p_uniform > 0.01


def test_calibration_sees_an_overconfident_posterior(generator: np.random.Generator) -> None:
    truths = list(generator.normal(size=400))
    narrow = [0.5 * generator.normal(size=200) for _ in truths]
    found = calibrate("too narrow", truths, narrow, generator)
    assert found.coverage < 0.7
    assert found.p_uniform < 1e-6
    outcomes = list(generator.uniform(size=400) < 0.5)
    assert calibrate_probabilities("too sure", outcomes, [0.95] * 400, generator).p_uniform < 1e-6
    ((mean, frequency, count),) = reliability(outcomes, [0.95] * 400)
    assert (mean, count) == (pytest.approx(0.95), 400)
    assert frequency == pytest.approx(0.5, abs=0.1)


def test_mass_change_is_recovered_better_than_by_the_sparse_isocon() -> None:
    """5 samples, 20 elements, 30 % immobile, 3 % noise: the sparse isocon reaches 0.016."""
    ours, theirs = [], []
    for seed in range(12):
        table, truth = simulate_mass_table(5, 20, immobile_share=0.3, seed=900 + seed)
        true = truth["mass_change"].to_numpy()
        ours.append(np.mean((petro.MassTransfer(table).enumerate().mean - true) ** 2))
        best = sparse_isocon(table, 0.75)["best_mass_change"].to_numpy()
        theirs.append(np.mean((best - true) ** 2))
    assert np.sqrt(np.mean(ours)) < 0.018
    assert np.mean(ours) < np.mean(theirs)
