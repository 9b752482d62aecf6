"""Editing priors by name: what is allowed, what is refused, and with which words."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy.stats import norm

import petro_models as petro
from petro_models import Prior


def test_print_lists_every_prior_and_marks_the_edited_one(
    grant_problem: petro.MassTransfer,
) -> None:
    grant_problem.priors["tolerance"] = 0.02
    lines = str(grant_problem).splitlines()
    for name in grant_problem.priors:
        assert any(name in line for line in lines), name
    assert [line.split()[1] for line in lines if line.strip().startswith("* ")] == ["tolerance"]


def test_a_prior_and_a_number_both_reach_the_model(grant_problem: petro.MassTransfer) -> None:
    grant_problem.priors["mass_change"] = Prior("Normal", mu=0, sigma=0.3, dims="sample")
    grant_problem.priors["tolerance"] = Prior("HalfNormal", sigma=0.05)
    names = {rv.name for rv in grant_problem.model.free_RVs}
    assert names == {"mass_change", "tolerance"}
    point = grant_problem.model.initial_point()
    point["mass_change"] = np.array([0.3])
    log_prior = grant_problem.model.compile_logp(vars=[grant_problem.model["mass_change"]])(point)
    # Normal(0, 0.3) one standard deviation out.
    assert log_prior == pytest.approx(-0.5 - np.log(0.3 * np.sqrt(2 * np.pi)))


def test_a_uniform_prior_is_standard_normal_where_samplers_move(
    grant_problem: petro.MassTransfer,
) -> None:
    grant_problem.priors["tolerance"] = Prior("Uniform", lower=0.01, upper=0.05)
    model = grant_problem.model
    (tolerance,) = (rv for rv in model.free_RVs if rv.name == "tolerance")
    value, transform = model.rvs_to_values[tolerance], model.rvs_to_transforms[tolerance]
    log_prior = model.compile_logp(vars=[tolerance])
    at = np.array([-6.0, -1.0, 0.0, 2.5, 5.0])
    found = [log_prior(model.initial_point() | {value.name: z}) for z in at]
    np.testing.assert_allclose(found, norm.logpdf(at), atol=1e-12)
    natural = transform.backward(at, *tolerance.owner.inputs).eval()
    np.testing.assert_allclose(natural, 0.01 + 0.04 * norm.cdf(at), rtol=1e-12)
    back = transform.forward(natural, *tolerance.owner.inputs).eval()
    np.testing.assert_allclose(back, at, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mas_change", 0.1, "did you mean 'mass_change'"),
        ("mass_change", Prior("Normal", dims="samples"), "did you mean 'sample'"),
        ("mass_change", Prior("Normal"), "needs dims='sample'"),
        ("mass_change", 0.1, "must be a distribution"),
        ("tolerance", Prior("HalfNormal", dims="element"), "leave `dims` out"),
        ("tolerance", "wide", "must be a Prior, a finite number"),
        ("tolerance", pm.Normal, "must be a Prior, a finite number"),
        ("tolerance", float("nan"), "must be a Prior, a finite number"),
        ("tolerance", -0.1, "must stay above 0"),
        ("tolerance", Prior("Normal", mu=0, sigma=1), "must stay above 0"),
        ("immobile_probability", 1.0, "strictly between 0 and 1"),
        ("immobile_probability", {"SiO2": 0.4}, "missing: TiO2"),
        ("immobile_probability", {"Si02": 0.4}, "did you mean 'SiO2'"),
        ("tolerance", {"SiO2": 0.4}, "labelled numbers need exactly one dim"),
    ],
)
def test_a_wrong_edit_is_refused_with_the_remedy(
    grant_problem: petro.MassTransfer, name: str, value: object, message: str
) -> None:
    before = grant_problem.model_id
    with pytest.raises(petro.PriorError, match=message):
        grant_problem.priors[name] = value  # type: ignore[assignment]
    assert grant_problem.model_id == before


def test_priors_survive_a_round_trip_through_toml(grant_problem: petro.MassTransfer) -> None:
    priors = grant_problem.priors
    priors["mass_change"] = Prior(
        "Normal",
        mu=Prior("Normal", mu=0, sigma=0.5),
        sigma=Prior("HalfNormal", sigma=0.3),
        dims="sample",
    )
    priors["immobile_probability"] = grant_problem.geochemical_immobility()
    priors["tolerance"] = 0.02
    text, identity = priors.to_toml(), grant_problem.model_id
    other = petro.MassTransfer(grant_problem.data)
    other.priors.from_toml(text)
    assert other.priors.to_toml() == text
    assert other.model_id == identity
    assert other.priors.edited == ["mass_change", "tolerance", "immobile_probability"]


def test_toml_with_an_unknown_prior_changes_nothing(grant_problem: petro.MassTransfer) -> None:
    with pytest.raises(petro.PriorError, match="did you mean 'tolerance'"):
        grant_problem.priors.from_toml("mobility_scale = 0.5\ntolerence = 0.02\n")
    assert grant_problem.priors.edited == []


def test_toml_that_is_not_toml_is_refused(grant_problem: petro.MassTransfer) -> None:
    with pytest.raises(petro.PriorError, match="not valid TOML"):
        grant_problem.priors.from_toml("tolerance = ")


def test_deleting_an_edit_puts_the_default_back(grant_problem: petro.MassTransfer) -> None:
    identity = grant_problem.model_id
    grant_problem.priors["tolerance"] = 0.05
    assert grant_problem.model_id != identity
    del grant_problem.priors["tolerance"]
    assert grant_problem.model_id == identity


def test_every_default_says_what_it_is_and_why(grant_problem: petro.MassTransfer) -> None:
    table = grant_problem.data
    for mobility in (
        "spike_and_slab", "coherent_spike_and_slab", "horseshoe", "student_t", "group_bridge(0.5)",
    ):  # fmt: skip
        problem = petro.MassTransfer(table, mobility=mobility)
        for specification in problem.priors.specifications.values():
            assert specification.meaning
            assert specification.reason


def test_geochemical_table_prefers_high_field_strength_elements() -> None:
    table = petro.MassTransfer(petro.datasets.grant2005()).geochemical_immobility()
    assert isinstance(table, pd.Series)
    assert table[["Al2O3", "TiO2", "Sc", "V", "Cr", "Y"]].eq(0.7).all()
    assert table["SiO2"] == 0.4
    assert table[["K2O", "Na2O", "CO2", "Ba"]].eq(0.2).all()
