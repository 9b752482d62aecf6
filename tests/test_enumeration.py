"""The exact engine against brute force, and against the published and golden numbers."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import multivariate_normal

import petro_models as petro
from petro_models.mass_transfer.enumeration import Enumeration, GaussianColumns


def columns(
    generator: np.random.Generator, shared: bool, correlated: bool, shift: float = 0.0
) -> GaussianColumns:
    n_elements, n_samples = 5, 3
    ratio = generator.normal(0, 0.4, (n_elements, n_samples))
    ratio[1, 2] = np.nan
    immobile = generator.uniform(0.01, 0.05, ratio.shape)
    root = generator.normal(size=(n_samples, n_samples))
    return GaussianColumns(
        log_ratio=ratio,
        immobile_variance=immobile,
        mobile_variance=immobile + 0.5,
        shared_variance=generator.uniform(0.01, 0.1, n_elements) if shared else np.zeros(5),
        immobile_probability=generator.uniform(0.2, 0.8, n_elements),
        prior_mean=generator.normal(0, 0.1, n_samples),
        prior_covariance=root @ root.T if correlated else np.diag([0.25, 0.3, 0.2]),
        shift_variance=shift,
    )


def brute_force(c: GaussianColumns) -> tuple[np.ndarray, float, np.ndarray]:
    """Every set by the density of all data at once: no algebra shared with the engine."""
    n_elements, n_samples = c.log_ratio.shape
    observed = np.isfinite(c.log_ratio).ravel()
    log_weight, means = [], []
    for bits in range(1 << n_elements):
        members = [(bits >> j) & 1 for j in range(n_elements)]
        mean = np.tile(-c.prior_mean, n_elements)
        covariance = np.tile(c.prior_covariance, (n_elements, n_elements))
        log_prior = 0.0
        for j, member in enumerate(members):
            block = slice(j * n_samples, (j + 1) * n_samples)
            variance = c.immobile_variance[j] if member else c.mobile_variance[j]
            common = c.shared_variance[j] + (0.0 if member else c.shift_variance)
            covariance[block, block] += np.diag(variance) + common
            p = c.immobile_probability[j]
            log_prior += np.log(p if member else 1 - p)
        data = c.log_ratio.ravel()[observed]
        inner = covariance[np.ix_(observed, observed)]
        log_weight.append(log_prior + multivariate_normal(mean[observed], inner).logpdf(data))
        cross = -np.tile(c.prior_covariance, (1, n_elements))[:, observed]
        means.append(c.prior_mean + cross @ np.linalg.solve(inner, data - mean[observed]))
    log_weight = np.array(log_weight)
    evidence = np.logaddexp.reduce(log_weight)
    probability = np.exp(log_weight - evidence)
    return probability, float(evidence), probability @ np.array(means)


@pytest.mark.parametrize(
    ("shared", "correlated", "shift"),
    [(False, False, 0.0), (True, False, 0.0), (False, True, 0.0), (True, True, 0.4)],
)
def test_enumeration_equals_brute_force(
    generator: np.random.Generator, shared: bool, correlated: bool, shift: float
) -> None:
    c = columns(generator, shared, correlated, shift)
    exact = Enumeration(c)
    probability, evidence, mean = brute_force(c)
    np.testing.assert_allclose(exact.probability, probability, rtol=1e-8, atol=1e-14)
    assert exact.log_evidence == pytest.approx(evidence, abs=1e-9)
    np.testing.assert_allclose(exact.mean, mean, rtol=1e-9)


def test_draws_reproduce_the_exact_moments(generator: np.random.Generator) -> None:
    exact = Enumeration(columns(generator, shared=True, correlated=False))
    sets, mass_change, _ = exact.draw(20_000, generator)
    # Monte Carlo error of a mean of 20,000 draws: sd / 141; four of them.
    assert np.abs(mass_change.mean(axis=0) - exact.mean).max() < 4 * exact.sd.max() / 141
    share = exact.members(sets).mean(axis=0)
    np.testing.assert_allclose(share, exact.immobile_probability, atol=0.01)


def test_protolith_offset_draws_agree_with_regression(generator: np.random.Generator) -> None:
    """Given set and mass change, the offset is a normal mean: compare with direct conditioning."""
    c = columns(generator, shared=True, correlated=False, shift=0.3)
    exact = Enumeration(c)
    mass_change = np.tile([0.1, -0.2, 0.05], (40_000, 1))
    for bits in (0, 31):
        sets = np.full(40_000, bits)
        drawn = exact.draw_shared_offset(sets, mass_change, generator)
        variance = c.immobile_variance if bits else c.mobile_variance
        for j in range(5):
            seen = np.isfinite(c.log_ratio[j])
            residual = (c.log_ratio[j] + mass_change[0])[seen]
            noise = np.diag(variance[j][seen]) + (0.0 if bits else c.shift_variance)
            ones = np.ones(seen.sum())
            precision = 1 / c.shared_variance[j] + ones @ np.linalg.solve(noise, ones)
            mean = ones @ np.linalg.solve(noise, residual) / precision
            assert drawn[:, j].mean() == pytest.approx(mean, abs=5 / np.sqrt(40_000 * precision))
            assert drawn[:, j].std() == pytest.approx(precision**-0.5, rel=0.03)


GOLDEN = {0.02: (0.207, 0.138), 0.03: (0.081, 0.096), 0.05: (0.050, 0.040)}


@pytest.mark.parametrize("noise", sorted(GOLDEN))
def test_grant_table_has_its_golden_moments(
    grant_problem: petro.MassTransfer, noise: float
) -> None:
    grant_problem.priors["tolerance"] = noise
    exact = grant_problem.enumerate()
    mean, sd = GOLDEN[noise]
    assert exact.mean[0] == pytest.approx(mean, abs=0.001)
    assert exact.sd[0] == pytest.approx(sd, abs=0.001)


def test_grant_table_has_its_golden_inclusion_probabilities(
    grant_problem: petro.MassTransfer,
) -> None:
    exact = grant_problem.enumerate()
    assert exact.probability_above(0.2)[0] == pytest.approx(0.130, abs=0.001)
    by_name = dict(
        zip(grant_problem.logs.coords["element"], exact.immobile_probability, strict=True)
    )
    golden = {
        "Cu": 0.77, "V": 0.76, "SiO2": 0.75, "Sc": 0.74, "TiO2": 0.59, "Cr": 0.53, "Al2O3": 0.36,
        "Fe2O3": 0.12, "MgO": 0.12, "Na2O": 0.12, "H2O": 0.12, "Zn": 0.12,
    }  # fmt: skip
    for element, probability in golden.items():
        assert by_name[element] == pytest.approx(probability, abs=0.0051), element


def test_geochemical_prior_leaves_one_frame_on_grant(grant_problem: petro.MassTransfer) -> None:
    likely = {"Al2O3", "TiO2", "Sc", "V", "Cr", "Y"}
    grant_problem.priors["immobile_probability"] = {
        name: 0.7 if name in likely else 0.4 if name == "SiO2" else 0.2
        for name in grant_problem.logs.coords["element"]
    }
    exact = grant_problem.enumerate()
    assert exact.mean[0] == pytest.approx(0.040, abs=0.001)
    assert exact.sd[0] == pytest.approx(0.018, abs=0.001)
    assert exact.probability_above(0.2)[0] < 1e-3


def test_toorongo_rests_on_iron_magnesium_potassium_titanium_phosphorus() -> None:
    problem = petro.MassTransfer(petro.datasets.toorongo1989())
    problem.priors["tolerance"] = 0.1
    exact = problem.enumerate()
    best = int(exact.probability.argmax())
    elements = np.array(problem.logs.coords["element"])
    found = set(elements[exact.members(np.array([best]))[0].astype(bool)])
    assert {name[:2].rstrip("2") for name in found} == {"Fe", "Mg", "K", "Ti", "P"}
    assert exact.probability[best] == pytest.approx(0.998, abs=0.001)
    np.testing.assert_allclose(np.exp(exact.mean[-2:]), [2.05, 2.41], atol=0.01)


def test_toorongo_aluminium_frame_is_the_other_reading() -> None:
    """What the table alone cannot decide: under the set {Al} M/M0 is 0.56 and 0.52."""
    problem = petro.MassTransfer(petro.datasets.toorongo1989())
    exact = problem.enumerate()
    only_aluminium = 1 << problem.logs.coords["element"].index("Al2O3")
    mean, _ = exact.conditional(np.array([only_aluminium]))
    # The prior on mass change and the mobile elements pull the pure Al ratio by some hundredths.
    np.testing.assert_allclose(np.exp(mean[0, -2:]), [0.56, 0.52], atol=0.03)


def test_enumeration_says_what_stands_in_its_way(grant_problem: petro.MassTransfer) -> None:
    grant_problem.priors["tolerance"] = petro.Prior("HalfNormal", sigma=0.05)
    with pytest.raises(petro.FitError, match="tolerance is unknown"):
        grant_problem.enumerate()


def test_all_sets_sum_to_one_and_probabilities_match_sets(grant: xr.Dataset) -> None:
    exact = petro.MassTransfer(grant).enumerate()
    assert exact.probability.sum() == pytest.approx(1.0)
    sets = exact.probability.argsort()[-2000:]
    partial = exact.probability[sets] @ exact.members(sets)
    assert (partial <= exact.immobile_probability + 1e-12).all()


def test_one_offset_shared_by_all_elements_is_no_independent_error(
    grant_problem: petro.MassTransfer,
) -> None:
    grant_problem.priors["protolith_offset"] = petro.Prior("Normal", mu=0, sigma=0.05)
    with pytest.raises(petro.FitError, match="shared by all elements"):
        grant_problem.enumerate()
