"""Classical baselines of phase maps: qntmap's published numbers, known truth, the Alps map."""

import time

import numpy as np
import pytest
import xarray as xr
from scipy import optimize

from petro_models.errors import ConfigurationError, DataError
from petro_models.io.epma import read_epma, read_phase_seeds, read_spots
from petro_models.phase_maps import classical, spot_predictors
from petro_models.phase_maps.qntmap import correct_dead_time, poisson_membership
from petro_models.phase_maps.qntmap_spots import spot_outliers
from petro_models.phase_maps.registration import coarse_shift
from petro_models.phase_maps.spot_pixels import counts_at
from petro_models.phase_maps.unmixing import poisson_deviance, unmix_poisson

PHASES = ["garnet", "quartz", "mica"]
ELEMENTS = ["Al", "Fe", "K", "Si"]
OXIDES = ["Al2O3", "FeO", "K2O", "SiO2"]
BRIGHT = np.array([[900.0, 1400, 8, 1500], [15, 10, 6, 4200], [1500, 120, 1100, 1900]])
WEIGHTS = np.array([[21.0, 33, 0, 37], [0, 0, 0, 100], [36, 1, 9.5, 46]])


def bricks(rng: np.random.Generator, side: int = 48, mixed: bool = True) -> xr.Dataset:
    """Map of square grains; pixels on their upper and left edges are half of each neighbour."""
    grain = rng.integers(len(PHASES), size=(side // 8, side // 8))
    phase = np.kron(grain, np.ones((8, 8), dtype=int))
    fraction = np.eye(len(PHASES))[phase]
    if mixed:
        pure = fraction.copy()
        fraction[8::8] = (pure[8::8] + pure[7:-1:8]) / 2
        fraction[:, 8::8] = (fraction[:, 8::8] + fraction[:, 7:-1:8]) / 2
    maps = xr.Dataset(
        {
            "counts": (("y", "x", "element"), rng.poisson(fraction @ BRIGHT)),
            "truth": (("y", "x", "phase"), fraction),
        },
        coords={
            "element": ELEMENTS,
            "phase": PHASES,
            "y": np.arange(side) * 1.0,
            "x": np.arange(side) * 1.0,
        },
    )
    return maps.transpose("phase", "element", "y", "x")


def spots_on(maps: xr.Dataset, rng: np.random.Generator, number: int = 60) -> xr.Dataset:
    """Noise-free analyses at centres of grains, labelled."""
    side = maps.sizes["x"] // 8
    row, column = rng.integers(side, size=(2, number)) * 8 + 4
    truth = maps.truth.transpose("y", "x", "phase").to_numpy()[row, column]
    return xr.Dataset(
        {
            "wt_percent": (("spot", "oxide"), truth @ WEIGHTS),
            "column": ("spot", column.astype(float)),
            "row": ("spot", row.astype(float)),
            "phase": ("spot", np.array(PHASES)[truth.argmax(axis=1)]),
        },
        coords={"oxide": OXIDES, "cation": ("oxide", ELEMENTS), "spot": np.arange(number)},
    )


CENTROIDS = xr.DataArray(BRIGHT, coords={"phase": PHASES, "element": ELEMENTS})


@pytest.fixture
def maps(generator) -> xr.Dataset:
    return bricks(generator)


# ---- qntmap: the published example


@pytest.fixture(scope="module")
def example(real_data) -> tuple[xr.Dataset, xr.Dataset]:
    folder = real_data / "epma/qntmap_minimal/inst/extdata/minimal"
    maps = read_epma(folder / ".map/1")
    return maps, read_spots(folder / ".qnt", maps)


def test_qntmap_reproduces_its_published_example_to_the_printed_digits(example):
    found = classical.qntmap(*example)
    centroids = found.parameters.centroids.sel(element=["Si", "Mg"])
    np.testing.assert_allclose(centroids.sel(phase="Ol"), [4263.8, 5722.45], rtol=1e-12)
    np.testing.assert_allclose(centroids.sel(phase="Qtz"), [10002, 0], rtol=1e-12)
    assert round(found.fraction.sel(phase="Ol").mean().item(), 7) == 0.9000567
    beta = found.parameters.beta.sel(oxide=["SiO2", "MgO"]).to_numpy()
    np.testing.assert_array_equal(np.round(beta, 5), [99.88468, 99.75446])
    # the article "Get started with qntmap": mean(qmap) and mean(qmap, index = cluster$cluster)
    bulk = found.composition.mean(("y", "x")).sel(oxide=["SiO2", "MgO"]).to_numpy()
    np.testing.assert_array_equal(np.round(bulk, 5), [48.43476, 51.48943])
    assert round(found.composition.sum("oxide").mean().item(), 5) == 99.92420
    table = classical.compare([found]).set_index("phase")
    assert np.round(table.loc["Ol", ["SiO2", "MgO"]].tolist(), 5).tolist() == [42.71445, 57.21048]
    assert np.round(table.loc["Qtz", ["SiO2", "MgO"]].tolist(), 5).tolist() == [99.91755, 0.0]


def test_equal_weights_in_beta_change_the_example_in_its_last_printed_digit(example):
    found = classical.qntmap(*example, weights="equal")
    bulk = found.composition.mean(("y", "x")).sel(oxide=["SiO2", "MgO"]).to_numpy()
    np.testing.assert_array_equal(np.round(bulk, 5), [48.43475, 51.48943])
    assert round(found.composition.sum("oxide").mean().item(), 5) == 99.92419
    table = classical.compare([found]).set_index("phase")
    assert np.round(table.loc["Ol", ["SiO2", "MgO"]].tolist(), 5).tolist() == [42.71444, 57.21048]
    assert round(table.loc["Qtz", "SiO2"], 5) == 99.91753


def test_alpha_and_gamma_are_those_in_qntmaps_source(example):
    factors = classical.qntmap(*example).parameters
    printed = {("Ol", "SiO2"): 0.0001011270, ("Qtz", "SiO2"): 0.0001009895,
               ("Ol", "MgO"): 0.0001011356, ("Qtz", "MgO"): 0.0001011356}  # fmt: skip
    for (phase, oxide), value in printed.items():
        assert factors.alpha.sel(phase=phase, oxide=oxide).item() == pytest.approx(value, rel=5e-7)
    assert factors.gamma.sel(oxide="SiO2").to_numpy().tolist() == [4282.5, 9891.0]
    assert factors.gamma.sel(oxide="MgO").to_numpy().tolist() == [5797.0, 0.0]


def test_map_centroids_are_the_medians_printed_in_the_article(example):
    found = classical.qntmap(*example, centroids="map").parameters.centroids
    assert found.sel(phase="Ol", element=["Si", "Mg"]).to_numpy().tolist() == [4245.5, 5726.5]
    assert found.sel(phase="Qtz", element=["Si", "Mg"]).to_numpy().tolist() == [10015.5, 0.0]


def test_only_spots_that_miss_their_phase_are_outliers(example):
    maps, spots = example
    assert not spot_outliers(maps, spots).any()
    quartz, olivine = (np.flatnonzero(spots.phase == name)[0] for name in ("Qtz", "Ol"))
    moved = spots.copy(deep=True)
    moved["column"][quartz], moved["row"][quartz] = spots.column[olivine], spots.row[olivine]
    assert np.flatnonzero(spot_outliers(maps, moved)).tolist() == [quartz]


def test_qntmap_says_what_it_needs(example, maps, generator):
    with pytest.raises(DataError, match="needs the intensities"):
        classical.qntmap(maps, spots_on(maps, generator))
    with pytest.raises(ConfigurationError, match="'peaks', 'map'"):
        classical.qntmap(*example, centroids="peak")
    timeless = example[0].assign(dwell_s=example[0].dwell_s * np.nan)
    with pytest.raises(DataError, match="dwell_s and probe_current_nA"):
        classical.qntmap(timeless, example[1])


def test_spots_without_a_label_are_left_out_and_counted(example):
    maps, spots = example
    labels = spots.phase.to_numpy().copy()
    labels[:3] = ""
    found = classical.qntmap(maps, spots.assign(phase=("spot", labels)))
    assert "3 spots without label" in found.note
    assert found.fraction.sel(phase="Ol").mean().item() == pytest.approx(0.9000567, abs=1e-6)


def test_dead_time_correction_undoes_the_loss_of_a_non_extending_detector(maps):
    truth, dead_ns, dwell_s = maps.counts * 100.0, 1100.0, 0.3
    seen = truth / (1 + truth * dead_ns * 1e-9 / dwell_s)
    late = maps.assign(
        counts=seen,
        dead_time_ns=("element", [dead_ns, dead_ns, np.nan, dead_ns]),
        dwell_s=("element", [dwell_s] * 4),
    )
    found = correct_dead_time(late)
    known = ["Al", "Fe", "Si"]
    xr.testing.assert_allclose(found.sel(element=known), truth.sel(element=known))
    np.testing.assert_array_equal(found.sel(element="K"), seen.sel(element="K"))
    with pytest.raises(DataError, match="blind"):
        correct_dead_time(late.assign(dwell_s=("element", [1e-6] * 4)))


def test_membership_is_no_fraction_but_unmixing_is(maps):
    # In mixed pixels the membership goes to one phase; the error of a fraction of 1/2 is then 1/2.
    truth = maps.truth.transpose("y", "x", "phase").to_numpy().reshape(-1, 3)
    counts = maps.counts.transpose("y", "x", "element").to_numpy().reshape(-1, 4)
    mixed = truth.max(axis=1) < 1
    membership, _ = poisson_membership(counts.astype(float), BRIGHT)
    error = np.sqrt(((membership - truth)[mixed] ** 2).mean())
    unmixed = np.sqrt(((unmix_poisson(counts, BRIGHT) - truth)[mixed] ** 2).mean())
    assert error > 0.15
    assert unmixed < 0.1 * error


# ---- unmixing


def test_unmixing_reaches_the_maximum_that_a_general_optimiser_finds():
    rng = np.random.default_rng(1)
    bright = rng.gamma(0.6, 170, (6, 10))
    counts = rng.poisson(rng.dirichlet(np.full(6, 0.5), 25) @ bright)
    found = unmix_poisson(counts, bright, tolerance=1e-9)
    floored = np.maximum(bright, 0.1)
    for pixel, n in zip(found, counts, strict=True):

        def misfit(f, n=n):
            return (f @ floored - n * np.log(f @ floored)).sum()

        best = optimize.minimize(
            misfit,
            np.full(6, 1 / 6),
            jac=lambda f, n=n: floored @ (1 - n / (f @ floored)),
            bounds=[(0, 1)] * 6,
            constraints={"type": "eq", "fun": lambda f: f.sum() - 1, "jac": np.ones_like},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert misfit(pixel) <= best.fun + 1e-7


@pytest.mark.parametrize("scale", [10.0, 1.0, 0.1])
def test_no_exchange_between_two_phases_raises_the_likelihood(scale):
    # Kuhn-Tucker: at the maximum the gradient is least and equal on all phases that are present
    rng = np.random.default_rng(2)
    bright = scale * rng.gamma(0.6, 170, (6, 10)) + 0.1
    counts = rng.poisson(rng.dirichlet(np.full(6, 0.4), 3000) @ bright)
    found = unmix_poisson(counts, bright)
    gradient = (1 - counts / (found @ bright)) @ bright.T
    assert ((gradient * found).sum(1) - gradient.min(1)).max() < 1e-6
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def test_unmixing_scatters_as_its_fisher_information_says():
    rng = np.random.default_rng(3)
    truth = np.array([0.3, 0.3, 0.4])
    counts = rng.poisson(truth @ BRIGHT, size=(4000, 4))
    found = unmix_poisson(counts, BRIGHT)
    # two free fractions: contrasts with the third phase
    contrast = (BRIGHT[:2] - BRIGHT[2]) / np.sqrt(truth @ BRIGHT)
    expected = np.sqrt(np.diag(np.linalg.inv(contrast @ contrast.T)))
    # 1.1 % is the standard error of an sd from 4000 pixels
    np.testing.assert_allclose(found[:, :2].std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(found.mean(axis=0), truth, atol=4 * expected.max() / 63)
    deviance = poisson_deviance(counts, BRIGHT, found)
    assert deviance.mean() == pytest.approx(4 - 2, abs=0.15)  # elements less free fractions


def test_dark_and_impossible_pixels_are_still_answered():
    darkest = BRIGHT.sum(axis=1).argmin()
    found = unmix_poisson(np.zeros((2, 4)), BRIGHT)
    np.testing.assert_allclose(found[:, darkest], 1, atol=1e-6)
    far = unmix_poisson(np.array([[0.0, 0, 1e6, 0], [0, 0, 0, 1]]), BRIGHT)
    assert np.isfinite(far).all()
    assert far[0].argmax() == 2  # only mica has K


def test_twin_end_members_share_what_they_cannot_tell_apart():
    twice = np.vstack([BRIGHT, BRIGHT[:1]])
    found = unmix_poisson(np.tile(BRIGHT[0].round(), (3, 1)), twice)
    np.testing.assert_allclose(found[:, 0] + found[:, 3], 1, atol=1e-3)


def test_unmixing_refuses_what_cannot_be_counts():
    with pytest.raises(DataError, match="counts must be numbers >= 0"):
        unmix_poisson(np.array([[1.0, np.nan, 2, 3]]), BRIGHT)
    with pytest.raises(DataError, match="end members must be numbers"):
        unmix_poisson(np.ones((1, 4)), -BRIGHT)
    with pytest.raises(DataError, match="same elements"):
        unmix_poisson(np.ones((1, 3)), BRIGHT)


def test_unmixing_a_map_of_65536_pixels_with_ten_elements_takes_seconds():
    rng = np.random.default_rng(4)
    bright = rng.gamma(0.6, 170, (6, 10))
    fraction = np.eye(6)[rng.integers(6, size=65_536)]
    counts = rng.poisson(fraction @ bright)
    start = time.process_time()
    found = unmix_poisson(counts, bright)
    # about 3 s of one core; ten times as much leaves room for a busy machine
    assert time.process_time() - start < 30
    assert np.sqrt(((found - fraction) ** 2).mean()) < 0.05


# ---- the map methods


METHODS = {
    "nearest centroid": classical.nearest_centroid,
    "k-means": classical.k_means,
    "Gaussian mixture": classical.gaussian_mixture,
    "Poisson unmixing": classical.poisson_unmixing,
}


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_finds_the_modes_of_unmixed_grains_and_keeps_the_names(name, generator):
    maps = bricks(generator, mixed=False)
    found = METHODS[name](maps, CENTROIDS[::-1])
    assert found.name == name
    assert found.fraction.dims == ("phase", "y", "x")
    assert list(found.fraction.phase.to_numpy()) == PHASES[::-1]
    np.testing.assert_allclose(found.fraction.sum("phase"), 1, rtol=1e-9)
    modes = found.fraction.mean(("y", "x"))
    np.testing.assert_allclose(modes, maps.truth.mean(("y", "x")).sel(phase=modes.phase), atol=0.01)
    assert (found.fraction.argmax("phase") == found.labels).all()
    again = METHODS[name](maps, CENTROIDS[::-1])
    xr.testing.assert_identical(found.fraction, again.fraction)


def test_k_means_moves_rough_centroids_to_the_phases(generator):
    maps = bricks(generator, mixed=False)
    found = classical.k_means(maps, CENTROIDS * np.array([[0.7], [1.2], [0.8]]))
    np.testing.assert_allclose(found.parameters.centroids, BRIGHT, rtol=0.03, atol=1.5)


def test_fractions_of_mixed_pixels_are_best_from_unmixing(maps):
    errors = {}
    for name, method in METHODS.items():
        difference = method(maps, CENTROIDS).fraction - maps.truth
        mixed = maps.truth.max("phase") < 1
        errors[name] = float(np.sqrt((difference**2).where(mixed).mean()))
    assert errors["Poisson unmixing"] < 0.03
    assert min(errors["k-means"], errors["nearest centroid"], errors["Gaussian mixture"]) > 0.1


def test_composition_is_the_mixture_of_the_phases_mean_spots(maps, generator):
    spots = spots_on(maps, generator)
    phases = classical.spot_composition(spots)
    np.testing.assert_allclose(phases.sel(phase=PHASES), WEIGHTS)
    found = classical.with_composition(classical.poisson_unmixing(maps, CENTROIDS), phases)
    expected = found.fraction.transpose("y", "x", "phase").to_numpy() @ WEIGHTS
    np.testing.assert_allclose(found.composition.transpose("y", "x", "oxide"), expected)
    assert found.composition.attrs["units"] == "wt%"


def test_pixels_of_a_phase_without_spots_have_no_composition(maps, generator):
    spots = spots_on(maps, generator)
    phases = classical.spot_composition(spots.isel(spot=spots.phase.to_numpy() != "mica"))
    found = classical.with_composition(classical.k_means(maps, CENTROIDS), phases)
    mica = found.labels == PHASES.index("mica")
    assert np.isnan(found.composition).where(mica, True).all()
    assert not np.isnan(found.composition.where(~mica, 0)).any()
    assert "no analyses of mica" in found.note


def test_spots_without_labels_take_the_phase_of_their_pixel(maps, generator):
    spots = spots_on(maps, generator)
    blind = spots.assign(phase=("spot", np.full(spots.sizes["spot"], "")))
    labels = classical.k_means(maps, CENTROIDS).labels
    found = classical.spot_composition(blind, labels, PHASES, statistic="median")
    np.testing.assert_allclose(found, WEIGHTS)
    with pytest.raises(DataError, match="no spot has a phase"):
        classical.spot_composition(blind)


def test_centroids_come_from_spots_or_seeds(maps, generator):
    spots = spots_on(maps, generator)
    found = classical.centroids_from_spots(maps, spots, size=3).sel(phase=PHASES)
    # medians of at least five windows of nine pixels: 1 % of the brightest, a count of the dark
    np.testing.assert_allclose(found, BRIGHT, rtol=0.03, atol=2.5)
    first = [np.flatnonzero(spots.phase == name)[0] for name in PHASES]
    seeds = spots[["column", "row"]].isel(spot=first).drop_vars("spot").rename(spot="phase")
    seeds = seeds.assign_coords(phase=PHASES)
    found = classical.centroids_from_seeds(maps, seeds)
    np.testing.assert_allclose(found, BRIGHT, rtol=0.06, atol=4)
    with pytest.raises(DataError, match="seeds of mica lie outside"):
        classical.centroids_from_seeds(maps, seeds.assign(row=seeds.row + np.array([0, 0, 99])))


def test_centroids_must_have_every_element_of_the_map(maps):
    with pytest.raises(DataError, match="lack the element Si"):
        classical.k_means(maps, CENTROIDS.isel(element=slice(3)))


def test_all_methods_stand_in_one_table(maps, generator):
    phases = classical.spot_composition(spots_on(maps, generator))
    answers = [
        classical.with_composition(method(maps, CENTROIDS), phases) for method in METHODS.values()
    ]
    table = classical.compare(answers)
    assert list(table.columns) == ["method", "phase", "area_fraction", *OXIDES, "note"]
    assert len(table) == 16
    whole = table[table.phase == "whole map"]
    truth = maps.truth.mean(("y", "x")).to_numpy() @ WEIGHTS
    unmixed = whole[whole.method == "Poisson unmixing"][OXIDES].to_numpy()[0]
    np.testing.assert_allclose(unmixed, truth, rtol=0.01, atol=0.05)


# ---- spot predictors


PREDICTORS = [
    spot_predictors.predict_single_pixel,
    spot_predictors.predict_window_median,
    spot_predictors.predict_phase_median,
]


def test_counts_at_half_pixels_are_those_of_the_pixel_to_the_right():
    counts = np.arange(12.0).reshape(1, 3, 4)
    maps = xr.Dataset({"counts": (("element", "y", "x"), counts)}, coords={"element": ["Si"]})
    places = xr.Dataset(
        {
            "column": ("spot", [1.0, 0.5, 3.49, 3.5, -0.5, np.nan, 3.0]),
            "row": ("spot", [2.0, 1.49, 0.0, 0.0, 0.0, 0.0, 0.0]),
        }
    )
    found = counts_at(maps, places)[:, 0].to_numpy()
    np.testing.assert_array_equal(found, [9, 5, 3, np.nan, 0, np.nan, 3])
    assert counts_at(maps, places, size=3)[6, 0] == np.median([2, 3, 6, 7])  # cut at the corner
    assert counts_at(maps, places, shift=(1, -1))[0, 0] == 6
    with pytest.raises(ConfigurationError, match="no centre"):
        counts_at(maps, places, size=2)


@pytest.mark.parametrize("intercept", [False, True])
def test_wt_percent_proportional_to_counts_is_predicted_exactly(intercept):
    rng = np.random.default_rng(5)
    counts = rng.integers(500, 1500, size=(1, 30, 30))
    maps = xr.Dataset({"counts": (("element", "y", "x"), counts)}, coords={"element": ["Si"]})
    labels = xr.DataArray(np.tile([0] * 15 + [1] * 15, (30, 1)), dims=("y", "x"))
    row, column = rng.integers(30, size=(2, 80))
    wt_percent = counts[0, row, column] * np.where(column < 15, 0.03, 0.05)
    spots = xr.Dataset(
        {
            "wt_percent": (("spot", "oxide"), wt_percent[:, None]),
            "column": ("spot", column * 1.0),
            "row": ("spot", row * 1.0),
        },
        coords={"oxide": ["SiO2"], "cation": ("oxide", ["Si"])},
    )
    train, held_out = spots.isel(spot=slice(40)), spots.isel(spot=slice(40, None))
    found = spot_predictors.predict_single_pixel(
        maps, labels, train, held_out[["column", "row"]], intercept=intercept
    )
    np.testing.assert_allclose(found, held_out.wt_percent, rtol=1e-9)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_predictions_never_see_the_held_out_analyses(predictor, maps, generator):
    spots = spots_on(maps, generator)
    labels = classical.nearest_centroid(maps, CENTROIDS).labels
    train, held_out = spots.isel(spot=slice(40)), spots.isel(spot=slice(40, None))
    found = predictor(maps, labels, train, held_out)
    blind = predictor(maps, labels, train, held_out[["column", "row"]])
    xr.testing.assert_identical(found, blind)
    assert list(found.spot.to_numpy()) == list(range(40, 60))


def test_a_window_of_nine_pixels_halves_the_counting_noise(generator):
    maps = bricks(generator, mixed=False)
    spots = spots_on(maps, generator, 200)
    labels = classical.nearest_centroid(maps, CENTROIDS).labels
    train, held_out = spots.isel(spot=slice(100)), spots.isel(spot=slice(100, None))

    def spread(predictor):
        error = predictor(maps, labels, train, held_out).sel(oxide="SiO2")
        return float((error / held_out.wt_percent.sel(oxide="SiO2") - 1).std())

    single = spread(spot_predictors.predict_single_pixel)
    # counts 1500-4200 have a relative sd of .015-.026; a median of nine has 1.25/3 of it
    assert 0.012 < single < 0.03
    assert spread(spot_predictors.predict_window_median) < 0.6 * single
    assert spread(spot_predictors.predict_phase_median) < 1e-12  # the analyses have no noise here


def test_phases_with_too_few_training_spots_fall_back_to_their_median(maps, generator):
    spots = spots_on(maps, generator)
    labels = classical.nearest_centroid(maps, CENTROIDS).labels
    mica = spots.phase.to_numpy() == "mica"
    few = np.concatenate([np.flatnonzero(~mica), np.flatnonzero(mica)[:2]])
    found = spot_predictors.predict_single_pixel(
        maps, labels, spots.isel(spot=few), spots.isel(spot=mica)
    )
    np.testing.assert_allclose(found, np.tile(WEIGHTS[2], (mica.sum(), 1)))


# ---- the Alps map


@pytest.fixture(scope="module")
def alps(real_data) -> tuple[xr.Dataset, xr.Dataset, xr.DataArray]:
    folder = real_data / "epma/alps"
    maps = read_epma(folder / "alps.zip")
    spots = read_spots(folder / "Standards.txt", maps)
    seeds = read_phase_seeds(folder / "Classification.txt")
    return maps, spots, classical.centroids_from_seeds(maps, seeds)


def test_the_alps_map_goes_through_every_method_in_seconds(alps):
    maps, spots, centroids = alps
    quarter = maps.isel(y=slice(None, None, 2), x=slice(None, None, 2))
    found = {}
    for name, method in METHODS.items():
        start = time.process_time()
        found[name] = method(quarter, centroids)
        assert time.process_time() - start < 20  # 0.1-2 s each on a quiet machine
    modes = {name: one.fraction.mean(("y", "x")).to_series() for name, one in found.items()}
    # chloritoid stands apart in every element: the methods agree on it within two points
    for name in METHODS:
        assert modes[name]["Chloritoid"] == pytest.approx(0.19, abs=0.025)
    # pixels of mixed counts are fractions to unmixing, whole pixels of one phase to k-means
    assert float((found["Poisson unmixing"].fraction.max("phase") < 0.9).mean()) > 0.3
    phases = classical.spot_composition(
        spots, classical.k_means(maps, centroids).labels, list(centroids.phase.to_numpy()), "median"
    )
    # published range of chloritoid and the ideal quartz; spots are unlabelled and partly mixed
    assert phases.sel(phase="Chloritoid", oxide="Al2O3").item() == pytest.approx(39.5, abs=1)
    assert phases.sel(phase="Chloritoid", oxide="FeO").item() == pytest.approx(26, abs=1)
    assert phases.sel(phase="Quartz", oxide="SiO2").item() > 85


def test_the_shift_lowers_the_error_of_the_alps_spots(alps):
    maps, spots, centroids = alps
    labels = classical.k_means(maps, centroids).labels
    fold = (np.arange(177) // 6) % 5

    def error(shift):
        found = np.full((177, 10), np.nan)
        for k in range(5):
            found[fold == k] = spot_predictors.predict_window_median(
                maps, labels, spots.isel(spot=fold != k), spots.isel(spot=fold == k), shift
            )
        silica = list(spots.oxide.to_numpy()).index("SiO2")
        return np.nanmedian(np.abs(found - spots.wt_percent.to_numpy())[:, silica])

    shift = coarse_shift(maps, spots)
    assert 1 <= shift[0] <= 3
    assert 1 <= shift[1] <= 3
    assert error(shift) < 0.9 * error((0.0, 0.0))
