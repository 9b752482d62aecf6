from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest

from petro_models.errors import FitError
from petro_models.inference import chains as chains_of_a_kernel
from petro_models.inference import whitened
from petro_models.inference.nuts import sample_nuts
from petro_models.inference.whitened import (
    TRAJECTORY,
    fit_laplace,
    sample_hmc,
    sample_laplace,
    sample_whitened,
)

PREDICTOR = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) + 40.0
RESPONSE = np.array([81.2, 82.9, 85.4, 86.8, 89.3, 90.9])
NOISE = 0.4
PRIOR_SD = np.array([50.0, 3.0])


@pytest.fixture(scope="module")
def line():
    """A line whose level and slope correlate at -0.999, noise known: the posterior is normal."""
    with pm.Model() as model:
        level = pm.Normal("level", 0, PRIOR_SD[0])
        slope = pm.Normal("slope", 0, PRIOR_SD[1])
        pm.Normal("response", level + slope * PREDICTOR, NOISE, observed=RESPONSE)
    return model


@pytest.fixture(scope="module")
def exact():
    """Mean, covariance and log evidence of the line in closed form."""
    design = np.stack([np.ones_like(PREDICTOR), PREDICTOR], axis=1)
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.diag(PRIOR_SD**-2.0))
    mean = covariance @ design.T @ RESPONSE / NOISE**2
    marginal = NOISE**2 * np.eye(len(RESPONSE)) + design @ np.diag(PRIOR_SD**2) @ design.T
    log_evidence = -0.5 * (
        len(RESPONSE) * np.log(2 * np.pi)
        + np.linalg.slogdet(marginal)[1]
        + RESPONSE @ np.linalg.solve(marginal, RESPONSE)
    )
    return mean, covariance, log_evidence


@pytest.fixture(scope="module")
def curved():
    """Scale and level of few data, as correlated as their logarithms: not normal."""
    generator = np.random.default_rng(4)
    times = np.linspace(0.2, 3, 12)
    data = 5 * np.exp(-0.8 * times) + 0.2 * generator.normal(size=12)
    with pm.Model() as model:
        height = pm.LogNormal("height", 1.0, 1.0)
        rate = pm.LogNormal("rate", 0.0, 1.0)
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("data", height * pm.math.exp(-rate * times), noise, observed=data)
    return model


def flat(posterior, names):
    return np.stack([posterior[name].to_numpy().ravel() for name in names], axis=1)


def test_laplace_finds_a_normal_posterior_and_its_evidence_exactly(line, exact):
    mean, covariance, log_evidence = exact
    laplace = fit_laplace(line, {})
    np.testing.assert_allclose(laplace.optimum, mean, rtol=1e-5)
    np.testing.assert_allclose(laplace.scale @ laplace.scale.T, covariance, rtol=1e-4)
    assert laplace.log_evidence == pytest.approx(log_evidence, abs=1e-3)
    assert laplace.gradient_norm < 0.01


def test_laplace_arrives_from_far_away(line, exact):
    laplace = fit_laplace(line, {"level": np.array(400.0), "slope": np.array(-30.0)})
    np.testing.assert_allclose(laplace.optimum, exact[0], rtol=1e-4)


def test_draws_of_the_laplace_approximation_have_its_mean_and_covariance(line, exact):
    mean, covariance, _ = exact
    draws = sample_laplace(line, {}, draws=4000, chains=2, seed=1)
    values = flat(draws.posterior, ["level", "slope"])
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - mean), 4 * sd / np.sqrt(8000))
    np.testing.assert_allclose(np.cov(values, rowvar=False), covariance, rtol=0.08)
    assert draws.posterior.sizes == {"chain": 2, "draw": 4000}


@pytest.fixture(scope="module")
def draws(line):
    return sample_whitened(line, {}, draws=1000, tune=300, chains=2, seed=3)


def assert_draws_are_of_the_exact_normal(draws, exact):
    mean, covariance, _ = exact
    values = flat(draws.posterior, ["level", "slope"])
    sd = np.sqrt(np.diag(covariance))
    # Independent draws or better in whitened coordinates; a fourth of them for safety.
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - mean), 4 * sd / np.sqrt(500))
    np.testing.assert_allclose(values.std(axis=0), sd, rtol=0.12)
    correlation = covariance[0, 1] / sd.prod()
    assert correlation < -0.998
    assert np.corrcoef(values.T)[0, 1] == pytest.approx(correlation, abs=1e-3)
    assert not draws.sample_stats["diverging"].any()


def test_whitened_nuts_samples_a_strongly_correlated_normal_in_a_few_steps(draws, exact):
    assert_draws_are_of_the_exact_normal(draws, exact)
    assert draws.sample_stats["n_steps"].mean() < 8


@pytest.fixture(scope="module")
def plain(curved):
    return sample_nuts(curved, draws=1500, tune=500, chains=2, seed=5)


@pytest.mark.parametrize("sample", [sample_whitened, sample_hmc])
def test_whitened_samplers_equal_plain_nuts_on_a_small_correlated_model(curved, plain, sample):
    start = {"height": np.array(4.0)}
    whitened = sample(curved, start, draws=1500, tune=500, chains=2, seed=5)
    names = ["height", "rate", "noise"]
    one, other = flat(whitened.posterior, names), flat(plain.posterior, names)
    sd = other.std(axis=0)
    # Some 600 independent draws on either side: means agree to 0.06 sd, quantiles to about twice.
    np.testing.assert_array_less(np.abs(one.mean(axis=0) - other.mean(axis=0)), 0.2 * sd)
    np.testing.assert_allclose(one.std(axis=0), sd, rtol=0.2)
    for level in (0.05, 0.5, 0.95):
        gap = np.abs(np.quantile(one, level, axis=0) - np.quantile(other, level, axis=0))
        np.testing.assert_array_less(gap, 0.35 * sd)
    assert np.corrcoef(one.T)[0, 1] == pytest.approx(np.corrcoef(other.T)[0, 1], abs=0.08)
    # The noise is skewed: what a normal approximation would miss.
    skew = ((other[:, 2] - other[:, 2].mean()) ** 3).mean() / sd[2] ** 3
    assert skew > 0.5


def test_hmc_goes_a_set_way_in_few_steps_and_finds_the_exact_normal(line, exact):
    drawn = sample_hmc(line, {}, draws=1000, chains=2, seed=3)
    assert_draws_are_of_the_exact_normal(drawn, exact)
    assert float(drawn.sample_stats["n_steps"].max()) <= 4
    assert drawn.notes["trajectory"] == TRAJECTORY


@pytest.mark.parametrize("chains", [1, 4])
def test_hmc_measures_the_curvature_anew_where_the_first_misleads(line, exact, chains, monkeypatch):
    def misled(*arguments):
        laplace = fit_laplace(*arguments)
        return replace(laplace, scale=laplace.scale * np.array([12.0, 1.0]))

    monkeypatch.setattr(whitened, "fit_laplace", misled)
    drawn = sample_hmc(line, {}, draws=1000, chains=chains, seed=3)
    assert drawn.notes["curvature_measured_anew"]
    assert float(drawn.sample_stats["n_steps"].max()) <= 4
    assert_draws_are_of_the_exact_normal(drawn, exact)
    # As it is, without.
    monkeypatch.setattr(whitened, "MANY_STEPS", np.inf)
    slow = sample_hmc(line, {}, draws=200, chains=chains, seed=3)
    assert "curvature_measured_anew" not in slow.notes
    assert float(slow.sample_stats["n_steps"].mean()) > 8


def test_the_same_seed_gives_the_same_draws_and_every_chain_its_own(line, draws):
    again = sample_whitened(line, {}, draws=1000, tune=300, chains=2, seed=3)
    assert draws.posterior.equals(again.posterior)
    slope = draws.posterior["slope"]
    assert not np.isin(slope.sel(chain=1), slope.sel(chain=0)).any()


@pytest.mark.parametrize("chains", [1, 2])
def test_draws_do_not_depend_on_the_blocks_that_chains_advance_by(curved, chains, monkeypatch):
    settings = {"draws": 40, "tune": 30, "chains": chains, "seed": 3}
    at_once = sample_whitened(curved, {}, **settings)
    monkeypatch.setattr(chains_of_a_kernel, "BLOCK", 9)
    in_blocks = sample_whitened(curved, {}, **settings)
    assert at_once.posterior.equals(in_blocks.posterior)
    assert at_once.sample_stats.equals(in_blocks.sample_stats)
    assert at_once.posterior.sizes["draw"] == settings["draws"]


def test_points_are_carried_to_natural_units_by_name(curved):
    laplace = fit_laplace(curved, {})
    at = laplace.constrained(jnp.asarray(laplace.optimum)[None])
    assert set(at) == {"height", "rate", "noise"}
    for value, logarithm in zip(at.values(), laplace.optimum, strict=True):
        assert float(value[0]) == pytest.approx(np.exp(logarithm))


def test_a_discrete_unknown_is_refused_by_name():
    with pm.Model() as model:
        number = pm.Poisson("number_of_grains", 3.0)
        pm.Normal("size", number, 1.0, observed=2.0)
    with pytest.raises(FitError, match="number_of_grains is discrete"):
        fit_laplace(model, {})


def test_a_start_of_no_density_is_refused(line):
    with pytest.raises(FitError, match="not finite at the starting point"):
        fit_laplace(line, {"level": np.array(np.nan)})


# --- a curved ridge ---


@pytest.fixture(scope="module")
def banana():
    """Two variables that bend with a third, known within 0.05: straight coordinates do not help."""
    with pm.Model() as model:
        along = pm.Normal("along", 0, 1)
        pm.Normal("square", along**2, 0.05)
        pm.Normal("cube", along**3 / 3, 0.05)
    return model


def test_the_ridge_passes_the_highest_points(banana) -> None:
    ridge = fit_laplace(banana, {}, along="along").ridge
    assert ridge is not None
    z = np.zeros(3)
    for value in (-2.0, -0.7, 0.4, 1.5):
        z[0] = (value - ridge.centre) / ridge.width
        point = np.asarray(ridge.place(jnp.asarray(z)))
        found = {"along": point[0], "square": point[2], "cube": point[1]}
        assert found["along"] == pytest.approx(value)
        # A spline through knots 0.7 standard deviations apart, against a width of 0.05 across.
        assert found["square"] == pytest.approx(value**2, abs=0.02)
        assert found["cube"] == pytest.approx(value**3 / 3, abs=0.02)
    assert ridge.width == pytest.approx(1.0, rel=0.1)


def test_following_a_ridge_gives_the_exact_posterior_in_fewer_steps(banana) -> None:
    settings = {"draws": 1000, "tune": 500, "chains": 2, "seed": 3}
    bent = sample_whitened(banana, {}, along="along", **settings)
    straight = sample_whitened(banana, {}, **settings)
    square, cube = (bent.posterior[name].to_numpy().ravel() for name in ("square", "cube"))
    # E[x^2] = 1, Var[x^2] = 2; E[x^3 / 3] = 0, Var[x^3 / 3] = 15 / 9: Monte Carlo errors of 2,000
    # nearly independent draws are 0.03 and 0.03 for the means, some 7 % for the widths.
    assert square.mean() == pytest.approx(1.0, abs=0.12)
    assert square.std() == pytest.approx(np.sqrt(2 + 0.05**2), rel=0.15)
    assert cube.mean() == pytest.approx(0.0, abs=0.12)
    assert cube.std() == pytest.approx(np.sqrt(15 / 9), rel=0.2)
    assert int(bent.sample_stats["diverging"].sum()) == 0
    steps = [float(draws.sample_stats["n_steps"].mean()) for draws in (bent, straight)]
    assert steps[0] < 0.5 * steps[1]
