"""Fits end to end: engines agree with the exact posterior, results repeat, files travel."""

import json
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from fit_answers import verdict
from pymc.stats import compute_log_likelihood, compute_log_prior

import petro_models as petro
from petro_models import Prior
from petro_models.errors import FitError
from petro_models.inference.nuts import sample_nuts
from petro_models.inference.predictive import log_densities
from petro_models.inference.smc import sample_smc
from petro_models.io import fits
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.mass_transfer.sparse_isocon import sparse_isocon


def above(fit: xr.DataTree, threshold: float = 0.2) -> float:
    return float((fit["posterior"]["mass_change"] > threshold).mean())


def test_auto_enumerates_grant_and_says_why(grant_fit: xr.DataTree) -> None:
    assert grant_fit.attrs["method"] == "exact"
    assert "2^20" in grant_fit.attrs["method_reason"]


@pytest.mark.parametrize(
    ("noise", "mean", "chance"), [(0.02, 0.207, 0.593), (0.03, 0.081, 0.130), (0.05, 0.050, 0.014)]
)
def test_grant_fit_reproduces_the_golden_numbers(
    grant_problem: petro.MassTransfer, noise: float, mean: float, chance: float
) -> None:
    grant_problem.priors["tolerance"] = noise
    fit = grant_problem.fit(seed=3)
    assert float(fit["posterior"]["mass_change"].mean()) == pytest.approx(mean, abs=0.002)
    assert above(fit) == pytest.approx(chance, abs=0.005)
    exact = grant_problem.enumerate().immobile_probability
    np.testing.assert_allclose(fit["derived"]["immobile_probability"], exact, atol=0.005)


def test_both_frames_of_grant_are_found_and_named(grant_fit: xr.DataTree) -> None:
    derived = grant_fit["derived"]
    assert derived.sizes["frame"] == 2
    first, second = (set(str(label).split()) for label in derived["frame_label"].values)
    assert {"Cu", "V", "SiO2", "Sc", "TiO2"} <= first
    assert {"Fe2O3", "MgO", "H2O", "Zn", "Na2O"} <= second
    assert not first & second
    np.testing.assert_allclose(derived["frame_weight"], [0.870, 0.130], atol=0.005)
    ratio = derived["frame_mass_ratio"].sel(statistic="q50").values.ravel()
    # The slopes that MODELS names for the second block, 0.71 to 0.74, are 1/1.41 to 1/1.35.
    assert 0.99 < ratio[0] < 1.07
    assert 1.35 < ratio[1] < 1.41


def test_the_answer_never_averages_over_frames_alone(
    grant_problem: petro.MassTransfer, grant_fit: xr.DataTree
) -> None:
    sentences = grant_problem.headline(grant_fit)
    assert sentences[0].startswith("Two frames compete")
    assert sum("With probability" in sentence for sentence in sentences) == 2
    assert verdict(grant_fit, "competing frames") == "REVIEW"


def test_tempered_smc_weighs_the_frames_of_grant_as_the_exact_posterior(
    grant_problem: petro.MassTransfer,
) -> None:
    drawn = sample_smc(grant_problem.model, draws=4000, chains=4, seed=1)
    exact = grant_problem.enumerate()
    share = float((drawn.posterior["mass_change"] > 0.2).mean())
    assert share == pytest.approx(exact.probability_above(0.2)[0], abs=0.01)
    # The engine leaves the density of the protolith out; here it is exact, so none is left out.
    assert drawn.notes["log_evidence"] == pytest.approx(exact.log_evidence, abs=0.05)


def test_nuts_that_sits_in_one_frame_of_two_fails_its_checks(
    grant_problem: petro.MassTransfer,
) -> None:
    fit = grant_problem.fit("nuts", draws=500, tune=500, seed=1)
    assert verdict(fit, "R-hat") == "FAIL"
    assert petro.check(fit).verdict == "FAIL"


def test_horseshoe_on_grant_mixes_without_divergences(grant: xr.Dataset) -> None:
    fit = petro.MassTransfer(grant, mobility="horseshoe").fit(seed=1, target_accept=0.98)
    assert fit.attrs["method"] == "nuts"
    assert verdict(fit, "R-hat") == "PASS"
    assert int(fit["sample_stats"]["diverging"].sum()) == 0
    # It averages the two frames instead of separating them: that is what it is kept for.
    assert 0.0 < float(fit["posterior"]["mass_change"].mean()) < 0.33


def test_student_t_and_nutpie_run_on_the_declared_model(grant: xr.Dataset) -> None:
    problem = petro.MassTransfer(grant, mobility="student_t")
    reference = problem.fit("nuts", draws=1000, seed=1)
    other = problem.fit("nuts", draws=1000, seed=1, backend="nutpie")
    assert "nutpie" in other.attrs["sampler"]
    assert {"diverging", "energy", "n_steps"} <= set(other["sample_stats"])
    means = [float(fit["posterior"]["mass_change"].mean()) for fit in (reference, other)]
    sds = float(reference["posterior"]["mass_change"].std())
    assert abs(means[0] - means[1]) < 0.2 * sds


def test_group_bridge_optimum_is_the_sparse_isocon(grant: xr.Dataset) -> None:
    """With a flat prior on mass change and little smoothing, the MAP is the published penalty's."""
    problem = petro.MassTransfer(grant, mobility="group_bridge(0.5)")
    problem.priors["mass_change"] = Prior("Normal", mu=0, sigma=100, dims="sample")
    problem.priors["mobility_scale"] = 0.4
    problem.priors["tolerance"] = 1e-4
    fit = problem.fit("map")
    isocon = float(sparse_isocon(grant, 0.5)["best_mass_change"].item())
    assert float(fit["posterior"]["mass_change"].item()) == pytest.approx(isocon, abs=2e-3)
    assert verdict(fit, "posterior") == "REVIEW"


def test_same_seed_same_result_other_seed_other_draws() -> None:
    table, _ = simulate_mass_table(2, 6, seed=3)
    problem = petro.MassTransfer(table)
    for method in ("exact", "smc", "nuts"):
        fits = [
            problem.fit(method, draws=60, tune=60, chains=2, seed=seed)  # type: ignore[arg-type]
            for seed in (1, 1, 2)
        ]
        first, again, other = (fit["posterior"]["mass_change"].to_numpy() for fit in fits)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        xr.testing.assert_equal(fits[0]["derived"].to_dataset(), fits[1]["derived"].to_dataset())


def test_large_variables_are_written_piece_by_piece_and_read_as_the_others(
    tmp_path: Path, grant_fit: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = petro.load(petro.save(grant_fit, tmp_path / "whole.nc"))
    monkeypatch.setattr(fits, "LARGE_BYTES", 1000)
    written = []
    write = fits._write_pieces
    monkeypatch.setattr(
        fits, "_write_pieces", lambda *given: (written.append(given[1]), write(*given))
    )
    pieces = petro.load(petro.save(grant_fit, tmp_path / "pieces.nc"))
    assert {"mass_change", "mass_ratio"} <= set(written)
    xr.testing.assert_identical(pieces, whole)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_saved_fit_holds_everything(
    tmp_path: Path, grant_problem: petro.MassTransfer, grant_fit: xr.DataTree, suffix: str
) -> None:
    path = tmp_path / f"fit{suffix}"
    petro.save(grant_fit, path)
    petro.save(grant_fit, path)
    loaded = petro.load(path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name}
    xr.testing.assert_equal(loaded["posterior"].to_dataset(), grant_fit["posterior"].to_dataset())
    again = petro.problem_of(loaded)
    assert again.model_id == grant_problem.model_id
    assert str(petro.check(loaded)) == str(petro.check(grant_fit))
    with petro.load(path, lazy=True) as left_on_disk:
        mobility = left_on_disk["posterior"]["mass_change"]
        assert not mobility.variable._in_memory
        np.testing.assert_array_equal(mobility, loaded["posterior"]["mass_change"])
    xr.testing.assert_allclose(again.derive(loaded), grant_fit["derived"].to_dataset())


def test_a_fit_holds_the_promised_groups_and_attributes(grant_fit: xr.DataTree) -> None:
    assert {
        "posterior", "sample_stats", "observed_data", "constant_data", "prior",
        "posterior_predictive", "log_prior", "log_likelihood", "derived", "checks",
    } <= set(grant_fit.children)  # fmt: skip
    for name in ("problem", "model_id", "versions", "seed", "sampler", "device", "wall_seconds"):
        assert name in grant_fit.attrs
    assert "pymc" in json.loads(grant_fit.attrs["versions"])
    for name, variable in grant_fit["derived"].data_vars.items():
        assert variable.attrs["units"], name


def test_an_edited_problem_refuses_a_fit_of_the_old_model(
    tmp_path: Path, grant_problem: petro.MassTransfer, grant_fit: xr.DataTree
) -> None:
    grant_problem.priors["tolerance"] = 0.05
    with pytest.raises(FitError, match="this fit is of another model"):
        grant_problem.report(grant_fit, tmp_path / "report.html")
    with pytest.raises(FitError, match=r"problem_of\(fit\)"):
        grant_problem.derive(grant_fit)
    assert list(tmp_path.iterdir()) == []


def test_a_tampered_file_is_not_taken_for_the_model_it_names(
    tmp_path: Path, grant_fit: xr.DataTree
) -> None:
    tampered = grant_fit.copy(deep=True)
    tampered.attrs["priors"] = tampered.attrs["priors"].replace("0.03", "0.04")
    petro.save(tampered, tmp_path / "fit.nc")
    with pytest.raises(FitError, match="the file was edited"):
        petro.problem_of(petro.load(tmp_path / "fit.nc"))


def test_saving_where_nothing_can_be_written_is_one_clear_error(
    tmp_path: Path, grant_fit: xr.DataTree
) -> None:
    with pytest.raises(FitError, match="cannot be written"):
        petro.save(grant_fit, tmp_path / "missing" / "fit.nc")
    with pytest.raises(FitError, match=r"saved as \.nc or \.zarr"):
        petro.save(grant_fit, tmp_path / "fit.pickle")


@pytest.mark.parametrize("content", [b"", b"not netCDF", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_loading_what_is_no_fit_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fit.nc"
    path.write_bytes(content)
    with pytest.raises(petro.FormatError, match=r"fit\.nc"):
        petro.load(path)
    with pytest.raises(petro.FormatError, match="no such file"):
        petro.load(tmp_path / "absent.nc")


def test_densities_are_those_that_pymc_computes() -> None:
    """One function for all of them; event dims (here the simplex) leave no dim behind."""
    generator = np.random.default_rng(1)
    with pm.Model(coords={"part": ["a", "b", "c"], "row": range(4)}) as model:
        share = pm.Dirichlet("share", np.ones(3), dims="part")
        width = pm.HalfNormal("width", pm.Exponential("scale", 1.0))
        pm.Poisson("count", 10 * share, observed=[3, 4, 5], dims="part")
        pm.Normal("value", 0.0, width, observed=generator.normal(size=4), dims="row")
        posterior = pm.sample_prior_predictive(draws=6, random_seed=2)["prior"].to_dataset()
    posterior = posterior.assign_coords(draw=np.arange(10, 16))
    found = log_densities(model, posterior)
    with model:
        options = {"extend_inferencedata": False, "progressbar": False}
        tree = xr.DataTree.from_dict({"posterior": posterior})
        expected = compute_log_prior(tree, **options), compute_log_likelihood(tree, **options)
    for one, two in zip(found, expected, strict=True):
        xr.testing.assert_allclose(one, two.assign_coords(posterior[["chain", "draw"]].coords))
    turned = log_densities(model, posterior.transpose("draw", "chain", ...))
    for one, two in zip(found, turned, strict=True):
        xr.testing.assert_allclose(one, two)
    assert found[0]["share"].dims == ("chain", "draw")
    assert found[1]["value"].dims == ("chain", "draw", "row")


def test_arviz_accepts_a_fit(grant_fit: xr.DataTree) -> None:
    import arviz as az

    from petro_models.inference.draws import quiet_libraries

    with quiet_libraries():
        summary = az.summary(grant_fit, var_names=["mass_change"])
        loo = az.loo(grant_fit)
    assert len(summary) == 1
    assert np.isfinite(loo.elpd)


def test_unknown_methods_and_discrete_unknowns_are_refused(
    grant_problem: petro.MassTransfer,
) -> None:
    with pytest.raises(FitError, match="did you mean 'smc'"):
        grant_problem.fit("smcc")  # type: ignore[arg-type]
    with pytest.raises(FitError, match="draws must be at least 1"):
        grant_problem.fit(draws=0)
    with pm.Model() as model:
        pm.Poisson("count", 3.0)
    with pytest.raises(FitError, match="count is discrete"):
        sample_nuts(model, draws=5, tune=5, chains=1, seed=1)


def test_gains_and_losses_are_consistent_with_mass_change(grant_fit: xr.DataTree) -> None:
    """Given a frame, gain of an element = (C/C0) (M/M0) - 1 up to noise within the tolerance."""
    derived = grant_fit["derived"]
    data = grant_fit["constant_data"]
    ratio = (
        data["concentration"].isel(sample=0) / data["protolith_concentration"].isel(protolith=0)
    ).to_numpy()
    for frame in (0, 1):
        mass = float(derived["frame_mass_ratio"].sel(statistic="q50").isel(frame=frame).item())
        gain = derived["frame_gain_loss"].sel(statistic="q50").isel(frame=frame, sample=0)
        np.testing.assert_allclose(gain, ratio * mass - 1, rtol=0.02, atol=0.02)


def test_volume_change_follows_from_densities() -> None:
    table, _ = simulate_mass_table(2, 6, seed=3)
    table["density"] = ("sample", [2.4, 3.0], {"units": "g/cm3"})
    table["protolith_density"] = ("protolith", [2.7], {"units": "g/cm3"})
    derived = petro.MassTransfer(table).fit(seed=1, draws=200)["derived"]
    expected = derived["mass_ratio"] * xr.DataArray([2.7 / 2.4, 2.7 / 3.0], dims="sample")
    xr.testing.assert_allclose(derived["volume_ratio"], expected)


@pytest.mark.slow
def test_pooling_and_trend_recover_a_smooth_profile() -> None:
    """Twelve samples along a traverse whose mass change rises from 0 to 0.5."""
    table, truth = simulate_mass_table(
        12,
        10,
        immobile_share=0.5,
        mass_change_sd=1e-6,
        n_protolith=3,
        protolith_spread=0.03,
        seed=8,
    )
    rise = np.linspace(0, 0.5, 12)
    table["concentration"] = table["concentration"] * xr.DataArray(np.exp(-rise), dims="sample")
    table["distance"] = ("sample", np.arange(12.0), {"units": "m", "long_name": "distance"})
    for structure in ("trend", "pooled"):
        fit = petro.MassTransfer(table, mass_change=structure).fit(seed=2, draws=600)
        drawn = fit["posterior"]["mass_change"]
        low, high = (drawn.quantile(q, ("chain", "draw")).to_numpy() for q in (0.025, 0.975))
        assert verdict(fit, "R-hat") != "FAIL"
        assert np.mean((low <= rise) & (rise <= high)) >= 0.75, structure
        assert np.abs(drawn.mean(("chain", "draw")).to_numpy() - rise).max() < 0.1
    assert truth["mass_change"].std() < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("real_data")
def test_laurels_wells_pass_their_checks(tmp_path: Path) -> None:
    """73 rocks, 28 fresh ones, 29 elements, values below detection, density and depth."""
    problem = petro.MassTransfer(
        petro.datasets.laurels_preserve(), mobility="coherent_spike_and_slab"
    )
    fit = problem.fit(seed=1, draws=5000)
    assert petro.check(fit).verdict != "FAIL"
    assert verdict(fit, "R-hat") == "PASS"
    probability = fit["derived"]["immobile_probability"].to_series()
    # Weathering takes plagioclase's elements and leaves titanium, niobium and zirconium.
    assert probability[["CaO", "Na2O", "Sr"]].max() < 0.05
    assert probability[["TiO2", "Nb", "Zr"]].min() > 0.9
    page = problem.report(fit, tmp_path / "laurels.html").read_text()
    assert "V/V0" in page
