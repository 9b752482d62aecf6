from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats

from petro_models.errors import ConfigurationError, DataError
from petro_models.mass_transfer.classical import (
    ague_bootstrap,
    compare,
    grant_isocon,
    gresens,
    least_squares_both_errors,
    log_ratios,
    most_consistent_set,
    sparse_isocon,
    sparse_isocon_bootstrap,
)

# Grant, J. A. (2005). Physics and Chemistry of the Earth 30, 997-1004, table 1: unaltered rock UA
# and altered rock S401; oxides in wt%, the others in ppm.
GRANT = {
    "SiO2": (46.45, 45.62),
    "TiO2": (1.29, 1.30),
    "Al2O3": (14.30, 14.74),
    "Fe2O3": (11.05, 8.20),
    "MnO": (0.17, 0.15),
    "MgO": (5.28, 3.89),
    "CaO": (12.14, 8.29),
    "Na2O": (2.93, 2.09),
    "K2O": (0.49, 3.12),
    "H2O": (3.00, 2.18),
    "CO2": (3.29, 10.96),
    "Sc": (42.0, 39.0),
    "V": (327.0, 305.0),
    "Cr": (313.0, 282.0),
    "Ni": (67.0, 42.0),
    "Cu": (77.0, 75.0),
    "Zn": (100.0, 72.0),
    "Sr": (170.0, 214.0),
    "Y": (29.0, 17.0),
    "Ba": (80.0, 140.0),
}
PUBLISHED_SET = ["Al2O3", "SiO2", "TiO2", "Cu", "Sc"]


def table_of(altered, protolith, elements=None, unit=None):
    altered, protolith = np.atleast_2d(altered), np.atleast_2d(protolith)
    names = elements or [f"E{index}" for index in range(altered.shape[1])]
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), altered),
            "protolith_concentration": (("protolith", "element"), protolith),
        },
        coords={
            "sample": [f"S{index}" for index in range(len(altered))],
            "protolith": [f"P{index}" for index in range(len(protolith))],
            "element": names,
            "unit": ("element", unit or ["wt%"] * len(names)),
        },
    )


def table_of_ratios(ratios):
    ratios = np.atleast_2d(ratios)
    return table_of(10 * np.exp(ratios), np.full(ratios.shape[1], 10.0))


@pytest.fixture
def grant():
    protolith, altered = np.array(list(GRANT.values())).T
    unit = ["wt%" if "O" in name else "ppm" for name in GRANT]
    return table_of(altered, protolith, list(GRANT), unit)


def simulated(rng, samples=5, elements=20, immobile=6, noise=0.03, slab=0.7):
    """Draw a table whose first elements did not move, and its true mass changes."""
    mobility = rng.normal(0, slab, (samples, elements))
    mobility[:, :immobile] = 0
    mass_change = rng.normal(0, 0.3, samples)
    ratios = mobility - mass_change[:, None] + rng.normal(0, noise, mobility.shape)
    return table_of_ratios(ratios), mass_change


def objective(table, mass_change, q):
    mobility = log_ratios(table).to_numpy() + np.asarray(mass_change)[..., None]
    return (np.nanmean(mobility**2, axis=-2) ** (q / 2)).sum(-1)


# ---- log ratios


def test_log_ratios_refer_to_the_geometric_mean_of_the_protoliths():
    ratios = log_ratios(table_of([[8.0, np.nan]], [[2.0, 1.0], [8.0, 1.0]]))
    assert ratios.dims == ("sample", "element")
    np.testing.assert_allclose(ratios, [[np.log(2), np.nan]])


def test_zero_concentrations_are_refused_by_name():
    with pytest.raises(DataError, match="zero or negative values of E1"):
        log_ratios(table_of([[8.0, 0.0]], [[2.0, 1.0]]))


# ---- Gresens


def test_gresens_with_a_known_volume_change_returns_it_and_the_gain():
    # 100 g of protolith doubles its mass by gaining 100 g of B; density halves, so V/V0 = 4
    table = table_of([[10.0, 90.0]], [[20.0, 80.0]]).assign(
        density=("sample", [1.5]), protolith_density=("protolith", [3.0])
    )
    result = gresens(table, ["E0"])
    assert result.volume_factor.item() == pytest.approx(4)
    assert result.mass_ratio.item() == pytest.approx(2)
    np.testing.assert_allclose(result.gain, [[0.0, 100.0]], atol=1e-12)
    assert result.gain.attrs["units"] == "g per 100 g protolith"
    np.testing.assert_allclose(gresens(table, volume_factor=4.0).gain, result.gain, atol=1e-12)


def test_gresens_gains_of_ppm_elements_are_in_grams_too(grant):
    dense = grant.assign(density=("sample", [2.8]), protolith_density=("protolith", [2.9]))
    result = gresens(dense, ["Al2O3"])
    expected = (14.30 / 14.74 * 214 - 170) * 1e-4
    assert result.gain.sel(element="Sr").item() == pytest.approx(expected)


def test_gresens_without_densities_says_which_is_missing(grant):
    with pytest.raises(DataError, match="no density"):
        gresens(grant, ["Al2O3"])


def test_gresens_needs_exactly_one_of_immobile_and_volume_factor(grant):
    with pytest.raises(ConfigurationError, match="either"):
        gresens(grant)
    with pytest.raises(ConfigurationError, match="either"):
        gresens(grant, ["Al2O3"], volume_factor=1.0)


# ---- Grant isocon


@pytest.mark.parametrize(
    ("scaling", "mass_ratio"),
    [("equal_slopes", 1.01559), ("log_mean", 1.01622), ("ranked", 1.04112), ("unscaled", 1.03204)],
)
def test_grant_table_with_the_published_set_gives_the_published_mass_ratio(
    grant, scaling, mass_ratio
):
    result = grant_isocon(grant, PUBLISHED_SET, scaling)
    assert result.mass_ratio.item() == pytest.approx(mass_ratio, abs=1e-5)
    published = round(result.mass_ratio.item(), 3) == 1.016
    assert published == (scaling in ("equal_slopes", "log_mean"))


def test_isocon_fit_through_the_origin_agrees_with_a_regression(grant):
    places = dict(zip(PUBLISHED_SET, [3.0, 1.0, 4.0, 1.5, 9.0], strict=True))
    result = grant_isocon(grant, PUBLISHED_SET, places)
    x = np.array([places[name] for name in PUBLISHED_SET])
    y = x * [GRANT[name][1] / GRANT[name][0] for name in PUBLISHED_SET]
    (slope,), (misfit,), *_ = np.linalg.lstsq(x[:, None], y)
    assert result.slope.item() == pytest.approx(slope)
    assert result.slope_standard_error.item() == pytest.approx(np.sqrt(misfit / 4 / (x @ x)))


def test_mean_slope_has_the_standard_error_of_a_mean(grant):
    slopes = [GRANT[name][1] / GRANT[name][0] for name in PUBLISHED_SET]
    result = grant_isocon(grant, PUBLISHED_SET)
    assert result.slope_standard_error.item() == pytest.approx(stats.sem(slopes))


@pytest.mark.parametrize("scaling", ["equal_slopes", "log_mean"])
def test_an_isocon_of_one_element_has_a_slope_but_no_error(grant, scaling):
    result = grant_isocon(grant, ["Al2O3"], scaling)
    assert result.mass_ratio.item() == pytest.approx(14.30 / 14.74)
    assert np.isnan(result.slope_standard_error)
    assert result.gain_ratio.sel(element="Al2O3").item() == pytest.approx(0, abs=1e-12)


def test_unknown_elements_and_scalings_are_answered_with_the_nearest(grant):
    with pytest.raises(DataError, match="did you mean 'Al2O3'"):
        grant_isocon(grant, ["Al203"])
    with pytest.raises(ConfigurationError, match="did you mean 'ranked'"):
        grant_isocon(grant, PUBLISHED_SET, "rank")


# ---- least squares with errors in both


def test_both_errors_fit_minimises_its_chi_square_and_ignores_units(grant):
    grant["relative_error"] = grant.concentration * 0 + np.linspace(0.01, 0.08, 20)
    result = least_squares_both_errors(grant, PUBLISHED_SET, 0.03)
    names = grant.element.isin(PUBLISHED_SET).to_numpy()
    x, y = grant.protolith_concentration[0, names], grant.concentration[0, names]
    sigma = (grant.relative_error[0, names] * y).to_numpy()
    x, y = x.to_numpy(), y.to_numpy()

    def chi_square(s):
        return ((y - s * x) ** 2 / (sigma**2 + (s * 0.03 * x) ** 2)).sum()

    best = optimize.minimize_scalar(chi_square, bounds=(0.8, 1.2), options={"xatol": 1e-10})
    assert result.slope.item() == pytest.approx(best.x, rel=1e-6)
    assert result.chi_square.item() == pytest.approx(best.fun)
    assert result.degrees_of_freedom.item() == 4
    assert result.probability.item() == pytest.approx(stats.chi2.sf(best.fun, 4))
    grant["concentration"] = grant.concentration * np.where(names, 1e4, 1)
    grant["protolith_concentration"] = grant.protolith_concentration * np.where(names, 1e4, 1)
    rescaled = least_squares_both_errors(grant, PUBLISHED_SET, 0.03)
    assert rescaled.slope.item() == pytest.approx(result.slope.item())


def test_both_errors_standard_error_matches_the_scatter_of_simulated_slopes():
    rng = np.random.default_rng(5)
    ratios = rng.normal(0, 0.03, (400, 8)) - rng.normal(0, 0.03, (400, 8))
    result = least_squares_both_errors(table_of_ratios(ratios), [f"E{j}" for j in range(8)], 0.03)
    spread = result.slope.std().item() / result.slope_standard_error.mean().item()
    assert spread == pytest.approx(1, abs=0.12)  # three standard errors of a spread from 400
    assert result.mswd.mean().item() == pytest.approx(1, abs=0.1)


def test_largest_consistent_set_of_grant_is_a_moved_block_at_two_percent(grant):
    def found(error):
        result = least_squares_both_errors(grant, None, error)
        return set(result.element.to_numpy()[result.immobile.to_numpy()[0]]), result.mass_ratio

    moved, ratio = found(0.02)
    assert moved == {"Fe2O3", "MgO", "CaO", "Na2O", "H2O", "Zn"}
    assert ratio.item() == pytest.approx(1.389, abs=1e-3)
    still, ratio = found(0.03)
    assert still == {"SiO2", "TiO2", "Al2O3", "MnO", "Sc", "V", "Cr", "Cu"}
    assert ratio.item() == pytest.approx(1.049, abs=1e-3)


def test_greedy_consistent_set_is_as_large_as_the_best_of_all_subsets():
    rng = np.random.default_rng(2)
    for _ in range(5):
        table, _ = simulated(rng, samples=1, elements=9, immobile=4, slab=0.15)
        greedy = most_consistent_set(table, 0.03).sum().item()
        names = list(table.element.to_numpy())
        larger = [
            least_squares_both_errors(table, subset, 0.03).probability.item() >= 0.05
            for subset in combinations(names, greedy + 1)
        ]
        assert not any(larger)


# ---- bootstrap


def test_bootstrap_with_single_analyses_spreads_by_the_stated_error(grant):
    result = ague_bootstrap(grant, "Al2O3", replicates=4000, relative_error=0.03)
    low, middle, high = result.mass_change.to_numpy()[:, 0]
    half = 1.645 * 0.03 * np.sqrt(2)
    assert middle == pytest.approx(np.log(14.30 / 14.74), abs=0.004)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    np.testing.assert_allclose(result.gain_ratio.sel(element="Al2O3"), 0, atol=1e-12)
    again = ague_bootstrap(grant, "Al2O3", replicates=4000, relative_error=0.03)
    xr.testing.assert_identical(result, again)


def test_bootstrap_of_single_analyses_asks_for_an_error(grant):
    with pytest.raises(DataError, match="give relative_error"):
        ague_bootstrap(grant, "Al2O3")


def test_bootstrap_of_replicate_analyses_needs_no_stated_error():
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 0.1, (2, 12, 3))
    table = table_of(10 * np.exp(logs[0] + 0.5), 10 * np.exp(logs[1]))
    table = table.assign_coords(depth=("sample", np.arange(12.0)))
    result = ague_bootstrap(table, "E0", replicates=2000, group=True)
    assert "depth" not in result.coords
    low, middle, high = result.mass_change.sel(sample="all samples").to_numpy()
    expected = (logs[1] - logs[0])[:, 0].mean() - 0.5
    error = np.sqrt(logs[0, :, 0].var() / 12 + logs[1, :, 0].var() / 12)
    assert middle == pytest.approx(expected, abs=0.01)
    assert (high - low) / 2 == pytest.approx(1.645 * error, rel=0.1)


# ---- sparse isocon


def test_one_sample_sparse_isocon_at_q_one_is_the_median():
    ratios = np.random.default_rng(3).normal(size=15)
    result = sparse_isocon(table_of_ratios(ratios), 1.0)
    assert result.best_mass_change.item() == pytest.approx(np.median(-ratios), abs=1e-14)
    assert result.pinned.isel(minimum=0).sum() == 1


def test_an_even_count_at_q_one_returns_both_ends_of_the_flat_minimum(grant):
    result = sparse_isocon(grant, 1.0)
    ratios = np.sort(-log_ratios(grant).to_numpy()[0])
    np.testing.assert_allclose(result.mass_change[:, 0], ratios[9:11])
    assert result.objective[1].item() == pytest.approx(result.objective[0].item())
    middle = objective(grant, [np.median(ratios)], 1.0)
    assert middle == pytest.approx(result.objective[0].item())


@pytest.mark.parametrize(
    ("q", "mass_ratio"),
    # 1.0769 is Sc's own frame; q = 1.25 is smooth there and lies between, at 1.087
    [(0.3, 1.0769), (0.5, 1.0769), (0.75, 1.0769), (1.0, 1.0769), (1.25, 1.0867), (1.5, 1.0716)],
)
def test_grant_table_gives_the_global_minimum_of_a_fine_grid(grant, q, mass_ratio):
    result = sparse_isocon(grant, q)
    assert result.mass_ratio[0].item() == pytest.approx(mass_ratio, abs=1e-4)
    grid = np.linspace(-1, 2.5, 70_001)[:, None]
    assert result.objective[0].item() <= objective(grant, grid, q).min() * (1 + 1e-12)


@pytest.mark.parametrize("q", [0.3, 0.75])
def test_below_q_one_every_element_is_a_local_minimum_of_its_own(grant, q):
    result = sparse_isocon(grant, q)
    assert result.sizes["minimum"] == 20
    np.testing.assert_array_equal(result.pinned.sum("minimum"), 1)
    assert (result.objective.diff("minimum") > 0).all()
    assert result.number_of_starts.sum() == 22


def test_sparse_isocon_at_q_two_is_the_mean_of_all_elements():
    table, _ = simulated(np.random.default_rng(4))
    result = sparse_isocon(table, 2.0)
    np.testing.assert_allclose(result.best_mass_change, -log_ratios(table).mean("element"))


@pytest.mark.parametrize("q", [0.5, 0.75, 1.0, 1.5])
def test_no_small_step_from_any_minimum_lowers_the_objective(q):
    rng = np.random.default_rng(6)
    table, _ = simulated(rng, samples=3)
    result = sparse_isocon(table, q)
    for minimum in range(result.sizes["minimum"]):
        steps = 1e-5 * rng.normal(size=(500, 3))
        nearby = objective(table, result.mass_change[minimum].to_numpy() + steps, q)
        assert nearby.min() >= result.objective[minimum].item() * (1 - 1e-9)


def test_missing_cells_leave_the_frame_to_the_elements_that_were_measured():
    table, truth = simulated(np.random.default_rng(7), noise=0.0)
    values = table.concentration.to_numpy().copy()
    values[0, :2] = np.nan
    values[:, 19] = np.nan
    table["concentration"] = (("sample", "element"), values)
    result = sparse_isocon(table, 0.5)
    assert "E19" not in result.element
    np.testing.assert_allclose(result.best_mass_change, truth, atol=1e-9)
    pinned = result.element.to_numpy()[result.pinned[0].to_numpy()]
    assert list(pinned) == [f"E{index}" for index in range(6)]


def test_sparse_isocon_recovers_the_mass_change_that_the_mean_of_all_elements_misses():
    # 60 sets of 5 samples give the RMSE to about 5 %. Theory for q = 2 with 70 % of the elements
    # mobile: 0.7 sqrt(14) / 20 = 0.131; six perfect immobile elements would give 0.03/sqrt(6) =
    # 0.012, and the frame of one of them, where q = 0.5 comes to rest, at most 0.03.
    rng = np.random.default_rng(8)
    errors = {0.5: [], 0.75: [], 1.0: [], 2.0: []}
    for _ in range(60):
        table, truth = simulated(rng)
        for q, found in errors.items():
            found.append(sparse_isocon(table, q).best_mass_change.to_numpy() - truth)
    rmse = {q: np.sqrt(np.mean(np.square(found))) for q, found in errors.items()}
    assert max(rmse[0.5], rmse[0.75], rmse[1.0]) < 0.03
    assert rmse[2.0] == pytest.approx(0.131, rel=0.2)


def test_exponents_outside_the_range_are_refused(grant):
    with pytest.raises(ConfigurationError, match="q is 0"):
        sparse_isocon(grant, 0)


def test_a_sample_without_any_ratio_is_named():
    with pytest.raises(DataError, match="S1"):
        sparse_isocon(table_of([[1.0, 2.0], [np.nan, np.nan]], [1.0, 2.0]), 0.5)


@pytest.mark.parametrize("q", [0.5, 1.0, 1.5])
def test_bootstrap_without_noise_returns_the_best_minimum(q):
    table, _ = simulated(np.random.default_rng(9), samples=2)
    spread = sparse_isocon_bootstrap(table, q, 1e-9, replicates=4)
    best = sparse_isocon(table, q).best_mass_change
    np.testing.assert_allclose(spread.mass_change, np.tile(best, (3, 1)), atol=1e-5)


@pytest.mark.parametrize("q", [0.5, 1.0])
def test_sparse_bootstrap_equals_refitting_every_replicate(q):
    table, _ = simulated(np.random.default_rng(10), samples=2, elements=9, immobile=4)
    replicates, error = 12, 0.05
    spread = sparse_isocon_bootstrap(table, q, error, replicates=replicates, seed=1)
    rng = np.random.default_rng(1)
    noise = error * rng.standard_normal((replicates, 2, 9))
    noise = noise - error * rng.standard_normal((replicates, 1, 9))
    refits = [
        sparse_isocon(table_of_ratios(log_ratios(table).to_numpy() + one), q).best_mass_change
        for one in noise
    ]
    np.testing.assert_allclose(
        spread.mass_change, np.quantile(refits, [0.05, 0.5, 0.95], axis=0), atol=1e-4
    )


def test_wide_bootstrap_interval_of_grant_reaches_into_the_competing_frame(grant):
    # at q = 0.3 some replicates rest on Fe Mg H2O Zn Na (M/M0 about 1.37), at q = 1 none does
    assert sparse_isocon_bootstrap(grant, 0.3, 0.03).mass_ratio[2].item() > 1.3
    assert sparse_isocon_bootstrap(grant, 1.0, 0.03).mass_ratio[2].item() < 1.2


# ---- comparison


def test_comparison_has_a_row_for_every_method_and_sample(grant):
    result = compare(grant, immobile=PUBLISHED_SET, reference="Al2O3")
    assert list(result.columns[:5]) == ["method", "sample", "mass_ratio", "lower", "upper"]
    assert len(result) == 8
    ran = result[~result["note"].str.startswith("not run")]
    assert list(result["method"][~result.index.isin(ran.index)]) == ["Gresens (1967)"]
    assert ((ran["lower"] < ran["mass_ratio"]) & (ran["mass_ratio"] < ran["upper"])).all()


def test_methods_that_cannot_run_stay_in_the_comparison_and_say_why(grant):
    result = compare(grant, q=[0.5]).set_index("method")
    assert len(result) == 7
    assert "no immobile elements" in result.loc["Grant isocon, mean slope", "note"]
    assert "no reference element" in result.loc["Ague bootstrap", "note"]
    assert np.isnan(result.loc["Ague bootstrap", "mass_ratio"])
    assert result["mass_ratio"].notna().sum() == 2


def test_a_sample_that_lacks_the_reference_is_told_so():
    table = table_of([[1.0, 2.0, 3.0], [np.nan, 2.0, 3.0]], [1.0, 2.0, 3.0])
    result = compare(table, immobile=["E0"], reference="E0", q=[1.0])
    second = result[(result["sample"] == "S1") & result["method"].str.contains("Ague|Grant")]
    assert len(second) == 3
    assert second["note"].str.contains("not measured in this sample").all()
