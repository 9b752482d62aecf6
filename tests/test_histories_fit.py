"""Fits of histories end to end: path and clock are recovered, and no time is invented."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fit_answers import covered, verdict

import petro_models as petro
from petro_models import Prior
from petro_models.errors import ConfigurationError, DataError, FitError, PriorError
from petro_models.histories import grains, plots, problem_file, summary
from petro_models.histories.arrays import HistoryArrays
from petro_models.histories.classical import bootstrap_points
from petro_models.histories.data import GROWN_BULK, OWN_BULK, is_bulk_known
from petro_models.histories.forward import path_values
from petro_models.histories.isopleths import isopleth_intersection, isopleth_posterior
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.inference.compiled import compile_model
from petro_models.inference.whitened import fit_laplace
from petro_models.io.equilibrium_tables import read_equilibrium_table, read_linaforma
from petro_models.io.garnet_profiles import read_garnet_profiles, read_zone_ages
from petro_models.thermodynamics.bundled import bundled_table


def rmse(values: xr.DataArray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((values.sel(statistic="q50").to_numpy() - truth) ** 2)))


@pytest.fixture(scope="module")
def single() -> tuple[Histories, xr.DataTree, xr.Dataset]:
    """One grain of 40 points along a clockwise path, without ages, and its fit."""
    table = bundled_table("white2014")
    profiles, _, truth = simulate_history(
        table, "clockwise", n_grains=1, n_positions=40, n_ages=0, seed=3
    )
    problem = Histories(profiles, table)
    return problem, problem.fit(draws=500, tune=500, chains=2, seed=1), truth


def test_a_path_of_40_points_is_recovered(
    single: tuple[Histories, xr.DataTree, xr.Dataset],
) -> None:
    _, fit, truth = single
    derived = fit["derived"]
    assert rmse(derived["pressure_kbar"], truth["pressure_kbar"].to_numpy()) <= 0.1
    assert rmse(derived["temperature_C"], truth["temperature_C"].to_numpy()) <= 2.0
    for name in ("pressure_kbar", "temperature_C"):
        assert 0.8 <= covered(derived[name], truth[name].to_numpy()) <= 1.0
    assert int(fit["sample_stats"]["diverging"].sum()) == 0


def test_without_ages_the_duration_is_its_prior(
    single: tuple[Histories, xr.DataTree, xr.Dataset],
) -> None:
    _, fit, _ = single
    log_duration = np.log(fit["posterior"]["duration_Myr"].to_numpy())
    # Standard error of a standard deviation from some 500 independent draws: 3 %.
    assert log_duration.std() == pytest.approx(1.43, rel=0.1)
    assert log_duration.mean() == pytest.approx(2.3, abs=0.25)
    assert verdict(fit, "source of the clock") == "REVIEW"
    assert any("the clock is the prior" in line for line in single[0].headline(fit))


def test_in_a_steadily_heated_rock_the_zoning_tells_the_time_whatever_growth_did() -> None:
    """Growth with twice the activation energy that is taken for known is another clock."""
    table = bundled_table("white2014")
    profiles, _, truth = simulate_history(
        table, "heating", n_grains=1, n_ages=0, activation_energy_kJ_per_mol=400.0, seed=2
    )
    elapsed = truth["time_Myr"].to_numpy()
    worst = {}
    for law in ("steady_heating", "arrhenius"):
        problem = Histories(profiles, table, growth_law=law)
        problem.priors["duration_Myr"] = float(np.ptp(elapsed))
        if law == "arrhenius":
            problem.priors["activation_energy_kJ_per_mol"] = 200.0
        fit = problem.fit(draws=300, tune=300, chains=2, seed=1)
        time = fit["derived"]["time_Myr"].sel(statistic="q50").to_numpy()
        unseen = fit["derived"]["growth_before_first_analysis_Myr"].sel(statistic="q50")
        assert float(unseen) < 0.2 * np.ptp(elapsed)
        worst[law] = float(np.abs(time - (elapsed - elapsed[0])).max() / np.ptp(elapsed))
    assert worst["steady_heating"] < 0.05
    assert worst["arrhenius"] > 2 * worst["steady_heating"]


def test_a_law_without_a_rate_of_growth_refuses_one() -> None:
    table = bundled_table("white2014")
    profiles, _, _ = simulate_history(table, "heating", n_grains=1, n_ages=0, seed=2)
    with pytest.raises(FitError, match="take clock='duration'"):
        Histories(profiles, table, growth_law="steady_heating", clock="growth_rate")


def test_the_density_knows_no_time_without_ages(
    single: tuple[Histories, xr.DataTree, xr.Dataset],
) -> None:
    """t -> k t with everything else kept: the likelihood does not move at all."""
    model = single[0].model
    likelihood = model.compile_logp(vars=model.observed_RVs, mode="JAX")
    point = model.initial_point()
    values = []
    for shift in (-1.0, 0.0, 2.0):
        moved = dict(point) | {
            "duration_Myr_log__": np.asarray(point["duration_Myr_log__"] + shift)
        }
        values.append(float(likelihood(moved)))
    assert values[0] == values[1] == values[2]


def test_a_saved_history_is_the_same_problem_again(
    single: tuple[Histories, xr.DataTree, xr.Dataset], tmp_path
) -> None:
    problem, fit, _ = single
    petro.save(fit, tmp_path / "fit.nc")
    loaded = petro.load(tmp_path / "fit.nc")
    again = petro.problem_of(loaded)
    assert again.model_id == problem.model_id
    np.testing.assert_allclose(
        again.derive(loaded)["temperature_C"], fit["derived"]["temperature_C"]
    )


def test_figures_and_report_come_from_the_fit(
    single: tuple[Histories, xr.DataTree, xr.Dataset], tmp_path
) -> None:
    problem, fit, _ = single
    for draw in (
        plots.plot_path,
        plots.plot_time,
        plots.plot_profiles,
        plots.plot_rates,
        plots.plot_duration,
    ):
        assert draw(fit).axes
    page = problem.report(fit, tmp_path / "report.html").read_text()
    for anchor in ("path", "time", "rates", "clock", "profiles", "positions", "points"):
        assert f'id="{anchor}"' in page


def test_a_fit_says_whether_the_bulk_of_the_table_is_that_of_the_rock(
    single: tuple[Histories, xr.DataTree, xr.Dataset],
) -> None:
    """Known for simulated rocks and where the user says so; a measured garnet brings no bulk."""
    problem, fit, _ = single
    assert verdict(fit, "bulk of the table") == "PASS"
    assert not any("No bulk composition" in line for line in problem.headline(fit))

    measured = problem.data.copy()
    del measured.attrs[GROWN_BULK]
    of_nature = Histories.from_options(measured, problem.options)
    found = {check.name: check for check in summary.own_checks(of_nature, fit)}
    assert found["bulk of the table"].verdict == "REVIEW"
    assert "White et al. 2014 Fig. 8 pelite" in found["bulk of the table"].finding
    assert any("No bulk composition of this rock is known" in s for s in of_nature.headline(fit))
    said = Histories.from_options(measured.assign_attrs({OWN_BULK: "yes"}), problem.options)
    found = {check.name: check for check in summary.own_checks(said, fit)}
    assert found["bulk of the table"].verdict == "PASS"


def test_a_rock_simulated_from_another_bulk_is_not_taken_for_the_tables() -> None:
    profiles, _, _ = simulate_history(bundled_table("white2014"), "heating", n_ages=0, seed=5)
    other = Histories(profiles, bundled_table("pelite_high_pressure"))
    assert not is_bulk_known(other.data)
    assert is_bulk_known(
        Histories(profiles, bundled_table("pelite_high_pressure"), own_bulk=True).data
    )


def test_dropping_three_quarters_of_the_points_widens_the_band(
    single: tuple[Histories, xr.DataTree, xr.Dataset],
) -> None:
    problem, fit, truth = single
    kept = np.arange(0, 40, 4)
    few = Histories.from_options(problem.data.isel(position=kept), problem.options)
    sparse = few.fit(draws=400, tune=400, chains=2, seed=2)["derived"]
    dense = fit["derived"].isel(position=kept)
    for name in ("pressure_kbar", "temperature_C"):
        widths = [
            float((values[name].sel(statistic="q95") - values[name].sel(statistic="q05")).mean())
            for values in (sparse, dense)
        ]
        assert widths[0] > widths[1]
        assert covered(sparse[name], truth[name].to_numpy()[kept]) >= 0.8


@pytest.fixture(scope="module")
def clockwise(real_data) -> tuple[Histories, xr.DataTree, pd.DataFrame]:
    folder = real_data / "garnet_suites" / "clockwise"
    profiles = read_garnet_profiles(folder / "profiles.csv")
    ages = read_zone_ages(folder / "ages.csv", profiles)
    problem = Histories(profiles, bundled_table("white2014"), ages)
    fit = problem.fit(draws=500, tune=500, chains=2, seed=1)
    return problem, fit, pd.read_csv(folder / "truth.csv")


def test_four_grains_and_three_ages_tell_path_and_time(
    clockwise: tuple[Histories, xr.DataTree, pd.DataFrame],
) -> None:
    _, fit, truth = clockwise
    derived = fit["derived"]
    elapsed = (truth["t_Myr"] - truth["t_Myr"].min()).to_numpy()
    assert rmse(derived["pressure_kbar"], truth["P_kbar"].to_numpy()) <= 0.07
    assert rmse(derived["temperature_C"], truth["T_C"].to_numpy()) <= 1.0
    assert 0.8 <= covered(derived["pressure_kbar"], truth["P_kbar"].to_numpy()) <= 1.0
    assert 0.8 <= covered(derived["temperature_C"], truth["T_C"].to_numpy()) <= 1.0
    assert 0.8 <= covered(derived["time_Myr"], elapsed) <= 1.0
    low, high = (float(derived["duration_Myr"].sel(statistic=key)) for key in ("q05", "q95"))
    assert low <= elapsed.max() <= high
    assert high / low < 2.5
    assert summary.clock_ratio(fit) < 0.2
    assert verdict(fit, "source of the clock") == "PASS"


def test_four_grains_tell_more_than_any_one(
    clockwise: tuple[Histories, xr.DataTree, pd.DataFrame],
) -> None:
    """Laplace bands of the joint fit against those of the largest grain alone."""
    problem, _, _ = clockwise
    own = problem.data.isel(
        position=np.flatnonzero(problem.arrays.grain == 0), grain=[0], zone=[0, 1]
    )
    alone = Histories.from_options(own, problem.options)
    widths = []
    for one in (problem, alone):
        draws = fit_laplace(one.model, one.start_of_climb()).draws(300, seed=0)
        layout = one._known_layout()
        basis = layout.position_basis[one.arrays.grain == 0]
        values = path_values(
            draws["temperature_mean_C"],
            draws["temperature_amplitude_C"],
            draws["temperature_path"],
            basis,
            layout.in_units(one.resolved["temperature"]),
        )
        widths.append(float(values.std(axis=0).mean()))
    assert widths[0] < widths[1]


@pytest.fixture(scope="module")
def fractionated(real_data) -> dict[str, tuple[xr.DataTree, pd.DataFrame]]:
    """Fits of the strongly fractionated grain with the fixed bulk and with its own table."""
    folder = real_data / "garnet_suites" / "near_equilibrium"
    profiles = read_garnet_profiles(folder / "profiles.csv")
    own = read_equilibrium_table(
        real_data / "garnet_tables" / "white2014_fractionation_near_equilibrium.nc"
    )
    truth = pd.read_csv(folder / "truth.csv")
    tables = {"own": own, "fixed": own.isel(removed=0, drop=True)}
    return {
        name: (
            Histories(profiles, table, growth_law="equilibrium_volume").fit(
                draws=500, tune=500, chains=2, seed=1
            ),
            truth,
        )
        for name, table in tables.items()
    }


def test_a_fixed_bulk_fails_on_a_fractionated_garnet(
    fractionated: dict[str, tuple[xr.DataTree, pd.DataFrame]],
) -> None:
    fit, _ = fractionated["fixed"]
    assert verdict(fit, "fit of the table") == "FAIL"
    assert verdict(fit, "posterior predictive, likeness of neighbouring residuals") == "FAIL"
    assert petro.check(fit).verdict == "FAIL"


def test_the_fractionation_axis_mends_it(
    fractionated: dict[str, tuple[xr.DataTree, pd.DataFrame]],
) -> None:
    fit, truth = fractionated["own"]
    assert verdict(fit, "fit of the table") == "PASS"
    assert verdict(fit, "posterior predictive, likeness of neighbouring residuals") == "PASS"
    for name, column in (("pressure_kbar", "P_kbar"), ("temperature_C", "T_C")):
        assert covered(fit["derived"][name], truth[column].to_numpy()) >= 0.8
    with pytest.raises(FitError, match="holds no time"):
        plots.plot_time(fit)


def test_unknown_offsets_and_length_give_a_finite_density() -> None:
    table = bundled_table("white2014")
    profiles, ages, _ = simulate_history(table, "heating", n_grains=2, n_ages=2, seed=5)
    problem = Histories(profiles, table, ages, interpolation="linear", clock="growth_rate")
    problem.priors["path_length"] = Prior("LogNormal", mu=-1.4, sigma=0.2)
    problem.priors["nucleation_offset_um"] = Prior("Normal", mu=50, sigma=100, dims="grain")
    problem.priors["temperature_offset_C"] = Prior("Normal", mu=0, sigma=25)
    model = problem.model
    assert np.isfinite(float(model.compile_logp(mode="JAX")(model.initial_point())))


def test_ages_do_not_bend_the_path_on_the_way_up() -> None:
    """A climb from a clock far off the ages ended 30 degC beside the truth, and 100 lower."""
    table = bundled_table("white2014")
    profiles, ages, truth = simulate_history(
        table, "loop", n_grains=3, n_positions=20, n_ages=3, seed=3
    )
    problem = Histories(profiles, table, ages)
    problem.priors["removed_final"] = 0.02
    assert problem.start_of_climb()["duration_Myr"] == pytest.approx(10.0, rel=0.5)
    derived = problem.fit("laplace", draws=200, chains=2, seed=1)["derived"]
    assert rmse(derived["temperature_C"], truth["temperature_C"].to_numpy()) < 4.0
    assert rmse(derived["pressure_kbar"], truth["pressure_kbar"].to_numpy()) < 0.2


def test_offsets_default_to_the_differences_of_the_rims() -> None:
    table = bundled_table("white2014")
    profiles, _, _ = simulate_history(table, "heating", n_grains=3, n_ages=0, seed=5)
    arrays = HistoryArrays.of(Histories(profiles, table).data)
    offsets = grains.default_offsets_um(arrays)
    np.testing.assert_allclose(offsets, 1000.0 - profiles["rim_radius_um"])


def test_one_known_offset_is_that_of_every_grain() -> None:
    table = bundled_table("white2014")
    profiles, _, _ = simulate_history(table, "heating", n_grains=2, n_ages=0, seed=5)
    densities = []
    for offset in (0.0, {"1": 0.0, "2": 0.0}):
        problem = Histories(profiles, table)
        problem.priors["nucleation_offset_um"] = offset
        compiled = compile_model(problem.model)
        densities.append(float(compiled.log_likelihood(compiled.initial)))
    assert densities[0] == densities[1]
    assert np.isfinite(densities[0])
    with pytest.raises(PriorError, match="needs dims='grain'"):
        problem.priors["nucleation_offset_um"] = Prior("HalfNormal", sigma=100.0)


def test_isopleths_point_by_point_scatter_about_the_truth() -> None:
    table = bundled_table("white2014")
    profiles, _, truth = simulate_history(table, "heating", n_grains=1, n_ages=0, seed=5)
    problem = Histories(profiles, table)
    problem.priors["removed_final"] = 0.02
    pressure, temperature, misfit = problem.points
    assert np.median(np.abs(temperature - truth["temperature_C"])) < 5
    assert np.median(np.abs(pressure - truth["pressure_kbar"])) < 0.3
    assert np.median(misfit) < 5
    arrays = problem.arrays
    few = slice(5, 9)
    drawn = bootstrap_points(
        arrays.table, arrays.nan_composition[few], arrays.sd[few], np.zeros(4), draws=10, seed=1
    )
    assert (drawn["temperature_C"].std("draw") > 0).all()


def linaforma(real_data):
    """Give LinaForma's example: table, means and standard deviations."""
    folder = real_data / "garnet_profiles" / "LinaForma"
    stated = pd.read_csv(folder / "InputA.csv", index_col=0)
    table = read_linaforma(folder / "ICSV_forward_model.csv")
    return table, stated.loc["MEAN"].to_dict(), stated.loc["STD"].to_dict()


def test_the_classical_intersection_is_linaformas_to_its_printed_digits(real_data) -> None:
    """576 +- 9 degC, 9.4 +- 0.3 kbar; of 2,000 draws the means err by 0.2 degC and 0.006 kbar."""
    table, mean, sd = linaforma(real_data)
    found = isopleth_intersection(table, mean, sd, draws=2000, seed=1)
    temperature, pressure = (
        found[name].sel(statistic=["mean", "sd"]).to_numpy() for name in ("temperature", "pressure")
    )
    np.testing.assert_allclose(temperature, [576, 9], atol=0.7)
    np.testing.assert_allclose(pressure, [9.4, 0.3], atol=0.056)
    assert found["temperature_C"].sizes == {"draw": 2000}
    with pytest.raises(DataError, match="'SiBT' is 0: relative deviations need a value above 0"):
        isopleth_intersection(table, mean | {"SiBT": 0.0}, sd)
    with pytest.raises(DataError, match="the table has no 'SiBio'"):
        isopleth_intersection(table, {"SiBio": 2.7}, sd)
    with pytest.raises(DataError, match="draws must be at least 1; got 0"):
        isopleth_intersection(table, mean, sd, draws=0)
    with pytest.raises(DataError, match=r"has the dim 'removed' too: choose .*isel\(removed=0\)"):
        isopleth_posterior(bundled_table("white2014"), {"X_grs": 0.1}, {"X_grs": 0.01})
    nowhere = table.assign(SiBT=table["SiBT"] * np.nan)
    with pytest.raises(DataError, match="no point of the table holds all"):
        isopleth_intersection(nowhere, mean, sd)


def test_isopleths_of_many_variables_find_the_published_point(real_data) -> None:
    """LinaForma's example: 576 +- 9 degC, 9.4 +- 0.3 kbar.

    Stated errors alone give a misfit of 36 for 7 degrees of freedom: the table errs too. An error
    of 5 % of each variable brings it to 7, and the answer to within one joint standard deviation.
    """
    table, mean, sd = linaforma(real_data)
    strict = isopleth_posterior(table, mean, sd)
    assert float(strict["misfit"].min()) > 30
    found = isopleth_posterior(table, mean, sd, model_error=0.05)
    assert float(found["misfit"].min()) == pytest.approx(7, abs=1)
    for name, published, spread in (("temperature", 576.0, 9.0), ("pressure", 9.4, 0.3)):
        centre, width = (float(found[name].sel(statistic=key)) for key in ("mean", "sd"))
        assert abs(centre - published) < np.hypot(spread, width)


def test_a_problem_file_reads_a_history(real_data, tmp_path) -> None:
    folder = real_data / "garnet_suites" / "clockwise"
    values = problem_file.settle(
        {
            "profiles": str(folder / "profiles.csv"),
            "ages": str(folder / "ages.csv"),
            "bundled_table": "white2014",
            "own_bulk": True,
        }
    )
    data = problem_file.read(values, tmp_path)
    assert data.sizes["zone"] == 3
    assert is_bulk_known(data)
    assert Histories.from_options(data, {}).options["growth_law"] == "arrhenius"
    with pytest.raises(ConfigurationError, match="either equilibrium"):
        problem_file.settle({"profiles": "p.csv"})
    with pytest.raises(ConfigurationError, match="there is no file"):
        problem_file.read({"profiles": "p.csv", "bundled_table": "white2014"}, tmp_path)
