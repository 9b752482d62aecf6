"""Calibration of a problem: right code passes, a wrong prior is caught, faults are counted."""

import json
from pathlib import Path

import numpy as np
import pymc as pm
import pytest

import petro_models as petro
from petro_models import cli
from petro_models.calibration import calibrate_problem
from petro_models.errors import FitError
from petro_models.inference.compiled import compile_model
from petro_models.inference.replicates import with_observed
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.phase_maps.simulate import simulate_phase_maps


@pytest.fixture(scope="module")
def suite():
    table, _ = simulate_mass_table(n_samples=3, n_elements=8, immobile_share=0.5, seed=1)
    return petro.MassTransfer(table)


def test_a_model_with_other_data_has_their_density_and_leaves_the_first_alone():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0.0, 1.0)
        pm.Normal("seen", mean, 2.0, observed=np.array([1.0, 3.0]))
    other = with_observed(model, {"seen": np.array([5.0, -1.0])})
    position = {"mean": np.array(0.5)}
    expected = [
        -0.5 * np.square((np.array(seen) - 0.5) / 2).sum() - 2 * np.log(2 * np.sqrt(2 * np.pi))
        for seen in ([1.0, 3.0], [5.0, -1.0])
    ]
    found = [float(compile_model(one).log_likelihood(position)) for one in (model, other)]
    np.testing.assert_allclose(found, expected)
    with pytest.raises(FitError, match="'other' is not observed; the model observes seen"):
        with_observed(model, {"other": np.zeros(2)})
    with pytest.raises(FitError, match="shape"):
        with_observed(model, {"seen": np.zeros(3)})


def test_the_exact_engine_is_calibrated(suite):
    result = calibrate_problem(suite, 120, draws=200, seed=3, progressbar=False)
    assert result.counts == {"ok": 120}
    assert result.verdict == "PASS"
    for one in result.quantities:
        # 120 intervals of 90 %: sd 0.027.
        assert one.coverage == pytest.approx(0.9, abs=0.09)


def test_a_likelihood_that_claims_too_little_error_is_caught(suite, monkeypatch):
    right = petro.MassTransfer.with_observed

    def overconfident(self, drawn):
        other = right(self, drawn)
        wrong = petro.MassTransfer(other.data)
        wrong.priors["tolerance"] = 0.005
        return wrong

    monkeypatch.setattr(petro.MassTransfer, "with_observed", overconfident)
    result = calibrate_problem(suite, 120, draws=200, seed=3, progressbar=False)
    assert result.verdict == "FAIL"
    assert max(one.coverage for one in result.quantities) < 0.8


def test_replicates_that_fail_are_counted_and_spare_the_others(suite, monkeypatch):
    right, calls = petro.MassTransfer.with_observed, []

    def sometimes(self, drawn):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise FitError("no rock")
        return right(self, drawn)

    monkeypatch.setattr(petro.MassTransfer, "with_observed", sometimes)
    result = calibrate_problem(suite, 12, draws=100, progressbar=False)
    assert result.counts == {"ok": 9, "failed": 3}
    assert result.verdict == "FAIL"
    record = json.loads(result.to_json())
    assert record["failures"] == ["failed: FitError: no rock"] * 3
    assert all(one.pit.size == 9 for one in result.quantities)


def test_data_sets_sampled_together_rank_as_those_sampled_one_by_one(suite, monkeypatch):
    right, calls = petro.MassTransfer.with_observed, []

    def but_for_the_third(self, drawn):
        calls.append(1)
        if len(calls) % 6 == 3:
            raise FitError("no rock")
        return right(self, drawn)

    monkeypatch.setattr(petro.MassTransfer, "with_observed", but_for_the_third)
    options = {"method": "hmc", "draws": 400, "seed": 5, "progressbar": False}
    alone, together = (
        calibrate_problem(suite, 6, together=side_by_side, **options)
        for side_by_side in (False, True)
    )
    assert [one.split(":")[0] for one in together.status] == [
        one.split(":")[0] for one in alone.status
    ]
    assert together.status[2] == "failed: FitError: no rock"
    # Where frames compete, chains end in different ones: no rank to compare.
    converged = np.array([one == "ok" for one in alone.status if not one.startswith("failed")])
    assert converged.sum() >= 4
    for one, other in zip(alone.quantities, together.quantities, strict=True):
        assert one.name == other.name
        gap = np.abs(one.pit - other.pit)[converged]
        # A rank among 200 nearly independent draws has an error of at most 0.04; of two, 0.05.
        assert gap.max() < 4 * 0.05
        assert gap.mean() < 0.05


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of memory maps here")
def test_programs_of_one_data_set_do_not_stay_with_the_next(suite, monkeypatch):
    """Kept, they would use up the 65,530 memory maps that Linux gives a process."""
    right, maps = petro.MassTransfer.with_observed, []

    def counting(self, drawn):
        maps.append(Path("/proc/self/maps").read_text().count("\n"))
        return right(self, drawn)

    monkeypatch.setattr(petro.MassTransfer, "with_observed", counting)
    options = {"method": "hmc", "draws": 50, "chains": 2, "tune": 50, "together": False}
    calibrate_problem(suite, 4, progressbar=False, **options)
    # One data set's programs take 170 maps.
    assert maps[3] - maps[1] < 100


def test_what_is_not_sampled_about_one_optimum_is_not_sampled_together(suite):
    with pytest.raises(FitError, match=r"'exact' cannot be sampled together.*method='hmc'"):
        calibrate_problem(suite, 5, together=True, progressbar=False)


def test_paths_without_garnet_are_no_truths():
    table = petro.bundled_table("white2014")
    profiles, ages, _ = petro.simulate_history(
        table, "clockwise", n_grains=1, n_positions=8, n_ages=2, seed=3
    )
    problem = petro.Histories(profiles, table, ages)
    prior = problem.prior_predictive(draws=60, seed=1)["prior"].to_dataset()
    chance = problem.log_acceptance(prior)
    assert chance.shape == (60,)
    assert chance.max() <= 1e-9
    assert 0.02 < np.exp(chance).mean() < 0.98
    ranked = problem.ranked(prior)
    rates = ("heating_C_per_Myr", "burial_kbar_per_Myr", "growth_um_per_Myr")
    assert {f"{rate} middle" for rate in rates} <= set(ranked)
    assert "duration_Myr" in ranked


def test_data_drawn_for_a_map_and_a_history_take_the_place_of_theirs():
    maps, spots, _ = simulate_phase_maps(24, 24, 3, 5, n_spots=12, seed=2)
    table = petro.bundled_table("white2014")
    profiles, ages, _ = petro.simulate_history(
        table, "clockwise", n_grains=1, n_positions=8, n_ages=2, seed=3
    )
    for problem, name in (
        (petro.PhaseMaps(maps, spots, pixels=200), "counts"),
        (petro.Histories(profiles, table, ages), "composition"),
    ):
        drawn = problem.prior_predictive(draws=2, seed=1)["prior_predictive"].to_dataset()
        one = drawn.isel(chain=0, draw=0)
        model = problem.with_observed(one).model
        np.testing.assert_array_equal(model.rvs_to_values[model[name]].eval(), one[name])
        own = problem.model.rvs_to_values[problem.model[name]].eval()
        assert not np.array_equal(own, one[name])


def test_the_command_writes_page_and_figures_whole(tmp_path, capsys):
    file = tmp_path / "problem.toml"
    file.write_text('[problem]\nkind = "mass-transfer"\n[data]\ndataset = "toorongo1989"\n')
    out = tmp_path / "out"
    code = cli.run(
        ["calibrate", str(file), "--replicates", "20", "--draws", "100", "--out", str(out)]
    )
    said = capsys.readouterr().out
    assert code in (0, 2)
    assert "verdict: " in said
    record = json.loads((out / "calibration.json").read_text())
    assert record["replicates"] == {"ok": 20}
    page = (out / "calibration.html").read_text()
    assert "90 % intervals hold" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert cli.run(["calibrate", str(file), "--replicates", "2"]) == 1


def test_the_command_samples_together_only_in_one_process(tmp_path, capsys):
    file = tmp_path / "problem.toml"
    file.write_text('[problem]\nkind = "mass-transfer"\n[data]\ndataset = "toorongo1989"\n')
    out = tmp_path / "out"
    command = ["calibrate", str(file), "--replicates", "10", "--draws", "200", "--together"]
    command += ["--method", "hmc", "--out", str(out)]
    assert cli.run([*command, "--engine", "local"]) == 1
    assert "engine 'local' shares out items" in capsys.readouterr().err
    assert cli.run(command) in (0, 2)
    record = json.loads((out / "calibration.json").read_text())
    assert sum(record["replicates"].values()) == 10
    assert record["method"] == "hmc"
    assert {len(one["ranks"]) for one in record["quantities"].values()} == {10}


def test_replicates_of_any_engine_are_those_of_one_process(tmp_path, capsys):
    file = tmp_path / "problem.toml"
    file.write_text('[problem]\nkind = "mass-transfer"\n[data]\ndataset = "toorongo1989"\n')
    command = ["calibrate", str(file), "--replicates", "12", "--draws", "100"]
    found = {}
    for engine in ("serial", "local", "array"):
        out = tmp_path / engine
        options = ["--out", str(out), "--engine", engine]
        options += ["--workers", "2"] if engine == "local" else []
        assert cli.run([*command, *options]) in (0, 2)
        if engine == "array":
            assert not (out / "calibration.json").exists()
            assert "laid down 12 items" in capsys.readouterr().out
            for task in ("0", "1"):
                assert cli.run(["work", str(out), "--task", task, "--tasks", "2"]) == 0
            assert cli.run(["merge", str(out)]) == 0
        found[engine] = json.loads((out / "calibration.json").read_text())
    for engine in ("local", "array"):
        assert found[engine]["quantities"] == found["serial"]["quantities"]
        assert found[engine]["replicates"] == {"ok": 12}
        assert "90 % intervals hold" in (tmp_path / engine / "calibration.html").read_text()
    # The same command finds all replicates done; another one names the run that is there.
    assert cli.run([*command, "--out", str(tmp_path / "local"), "--engine", "local"]) in (0, 2)
    other = [*command[:-1], "120", "--out", str(tmp_path / "local"), "--engine", "local"]
    assert cli.run(other) == 1
    assert "holds a run of other data, priors or settings" in capsys.readouterr().err
