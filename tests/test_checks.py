"""The verdicts: each must be able to fail, and says what to do."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from petro_models.inference import checks


def draws(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"x": (("chain", "draw"), values)}, {"chain": range(4), "draw": range(1000)})


def verdicts(found: list[checks.Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in found}


def test_chains_that_agree_pass_and_chains_apart_fail(generator: np.random.Generator) -> None:
    good = generator.normal(size=(4, 1000))
    assert set(verdicts(checks.convergence(draws(good))).values()) == {"PASS"}
    apart = verdicts(checks.convergence(draws(good + np.arange(4)[:, None])))
    assert apart["R-hat"] == "FAIL"
    assert apart["bulk ESS"] == "FAIL"


def test_one_divergence_is_reviewed_and_many_fail() -> None:
    diverging = np.zeros((4, 1000), dtype=bool)
    for count, verdict in ((0, "PASS"), (2, "REVIEW"), (40, "FAIL")):
        diverging[:] = False
        diverging.flat[:count] = True
        stats = xr.Dataset({"diverging": (("chain", "draw"), diverging)})
        assert verdicts(checks.sampler_health(stats))["divergences"] == verdict


def test_energy_that_wanders_is_reviewed(generator: np.random.Generator) -> None:
    steps = generator.normal(size=(4, 1000))
    for energy, verdict in ((steps, "PASS"), (np.cumsum(steps, axis=1), "REVIEW")):
        stats = xr.Dataset({"energy": (("chain", "draw"), energy)})
        assert verdicts(checks.sampler_health(stats))["E-BFMI"] == verdict


@pytest.mark.parametrize(("observed", "verdict"), [(0.0, "PASS"), (2.6, "REVIEW"), (6.0, "FAIL")])
def test_data_the_model_cannot_make_fail(
    generator: np.random.Generator, observed: float, verdict: str
) -> None:
    (found,) = checks.predictive({"range": (observed, generator.normal(size=4000))})
    assert found.verdict == verdict


def test_a_posterior_that_follows_its_prior_is_reviewed() -> None:
    table = pd.DataFrame({"prior": [0.01, 0.2], "likelihood": [0.3, 0.01]}, index=["a", "b"])
    (found,) = checks.prior_sensitivity(table)
    assert found.verdict == "REVIEW"
    assert "b" in found.finding
    assert "the data say little" in found.finding
    assert checks.prior_sensitivity(table.iloc[:1])[0].verdict == "PASS"
    unknown = checks.prior_sensitivity(pd.DataFrame({"prior": [np.nan], "likelihood": [np.nan]}))
    assert unknown[0].verdict == "REVIEW"


def test_verdicts_survive_storage_and_the_worst_counts() -> None:
    found = checks.Checks(
        [checks.Check("a", "PASS", "fine"), checks.Check("b", "REVIEW", "odd", "look")]
    )
    again = checks.Checks.from_dataset(found.to_dataset())
    assert again == found
    assert again.verdict == "REVIEW"
    assert str(again).endswith("REVIEW  overall")
