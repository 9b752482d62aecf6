"""Sections that miss the centre: what a map of pixels tells, and how far the cut was off."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fit_answers import covered, verdict

import petro_models as petro
from petro_models.configuration import load_configuration, make_problem
from petro_models.errors import DataError, FormatError
from petro_models.histories.problem import Histories
from petro_models.histories.sections import garnet_section, join_profiles, off_centre
from petro_models.histories.simulate import simulate_history, simulate_section
from petro_models.io.garnet_profiles import read_garnet_section
from petro_models.io.history_out import write_garnet_profiles
from petro_models.thermodynamics.bundled import bundled_table

CUT_UM = 260.0


def pick(profiles: xr.Dataset, grains: list[int]) -> xr.Dataset:
    """Keep some grains, counted anew."""
    kept = np.isin(profiles["grain_index"].to_numpy(), grains)
    part = profiles.isel(position=kept, grain=grains)
    index = np.searchsorted(grains, part["grain_index"].to_numpy())
    return part.assign(grain_index=("position", index.astype("int64")))


@pytest.fixture(scope="module")
def rock() -> tuple[xr.Dataset, xr.Dataset, pd.DataFrame]:
    """Three grains: two analysed through their centres, the third by a map 260 um off it."""
    profiles, _, truth = simulate_history(
        bundled_table("white2014"), "heating", n_grains=3, n_positions=40, n_ages=0, seed=4
    )
    pixels = simulate_section(profiles, truth, "3", CUT_UM, n_pixels=3000, seed=1)
    return profiles, truth, pixels


# --- pixels ---


def test_rings_of_a_central_section_are_the_profile(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    profiles, truth, _ = rock
    pixels = simulate_section(profiles, truth, "1", 0.0, n_pixels=4000, noise=0.01, seed=2)
    rings = garnet_section(pixels, sd=0.01, bins=30)
    own = profiles["grain_index"].to_numpy() == 0
    radius, exact = profiles["radius_um"].to_numpy()[own], truth["composition"].to_numpy()[own]
    expected = np.stack(
        [np.interp(rings["radius_um"], radius, column) for column in exact.T], axis=-1
    )
    # The innermost rings span the steepest zoning, where a mean over a ring is not its middle.
    score = ((rings["composition"] - expected) / rings["composition_sd"]).to_numpy()[5:]
    assert np.sqrt((score**2).mean()) < 1.5
    assert bool(rings["is_section"].all())


def test_an_off_centre_section_shows_no_core(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    profiles, _, pixels = rock
    rim = float(profiles["rim_radius_um"][2])
    section = garnet_section(pixels, sd=0.01)
    radius = float(section["rim_radius_um"][0])
    assert radius == pytest.approx(np.sqrt(rim**2 - CUT_UM**2), rel=0.03)
    assert float(off_centre(radius, CUT_UM)) == pytest.approx(rim, rel=0.03)
    assert float(off_centre(0.0, CUT_UM)) == CUT_UM


def test_the_error_of_a_ring_shrinks_with_its_pixels() -> None:
    frame = pd.DataFrame({"rim_distance_um": np.linspace(0, 100, 1000), "X_prp": 0.1})
    few = garnet_section(frame.iloc[::10], sd=0.01, bins=5)
    many = garnet_section(frame, sd=0.01, bins=5)
    ratio = few["composition_sd"].sel(endmember="prp") / many["composition_sd"].sel(endmember="prp")
    np.testing.assert_allclose(ratio, np.sqrt(10), rtol=0.05)


# --- fits ---


@pytest.fixture(scope="module")
def fitted(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> tuple[Histories, xr.DataTree]:
    profiles, _, pixels = rock
    section = garnet_section(pixels, sd=0.01, bins=25)
    joined = join_profiles(pick(profiles, [0, 1]), section)
    problem = Histories(joined, bundled_table("white2014"), nodes=24)
    problem.priors["removed_final"] = 0.02
    return problem, problem.fit(draws=300, tune=400, chains=2, seed=1)


def test_other_grains_tell_how_far_a_section_misses_the_centre(
    fitted: tuple[Histories, xr.DataTree],
) -> None:
    _, fit = fitted
    cut = fit["posterior"]["cut_offset_um"].to_numpy().ravel()
    low, high = np.quantile(cut, [0.05, 0.95])
    assert low < CUT_UM < high
    assert high - low < 150
    assert verdict(fit, "cut of the sections") == "PASS"


def test_an_off_centre_section_does_not_bias_the_path(
    fitted: tuple[Histories, xr.DataTree], rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame]
) -> None:
    problem, fit = fitted
    _, truth, _ = rock
    central = problem.arrays.grain < 2
    for name, least in (("pressure_kbar", 0.1), ("temperature_C", 2.0)):
        known = truth[name].to_numpy()[: central.sum()]
        values = fit["derived"][name].isel(position=np.flatnonzero(central))
        error = values.sel(statistic="q50").to_numpy() - known
        assert np.sqrt(np.mean(error**2)) < least
        # A smooth path leaves its band in long stretches: over six such rocks the 90 % bands held
        # 0.59-1.00 of it, 0.82 (pressure) and 0.81 (temperature) on average; with the default of 48
        # nodes 0.84 and 0.92, without the section 0.87 and 0.92. One rock can only show that the
        # bands are not empty.
        assert covered(values, known) >= 0.5


def test_a_lone_section_does_not_narrow_its_cut(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    """One map alone: any cut goes with another path, and the fit says so."""
    table = bundled_table("white2014").isel(removed=0, drop=True)
    section = garnet_section(rock[2], sd=0.01, bins=15)
    problem = Histories(section, table, nodes=16, growth_law="equilibrium_volume")
    # 2,400 draws put the ratio of standard deviations at 0.98, limit 0.9; 600 are too few to tell.
    fit = problem.fit(draws=500, tune=500, chains=3, seed=1)
    assert verdict(fit, "cut of the sections") == "REVIEW"


def test_three_sections_place_each_other_however_far_all_are_off(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    """No grain is known through its centre: cuts lie on a curve, which the sampler follows."""
    profiles, truth, _ = rock
    cuts = {"1": 150.0, "2": 300.0, "3": CUT_UM}
    parts = [
        garnet_section(
            simulate_section(profiles, truth, grain, cut, n_pixels=3000, noise=0.01, seed=7),
            bins=15,
        )
        for grain, cut in cuts.items()
    ]
    problem = Histories(join_profiles(*parts), bundled_table("white2014"), nodes=24)
    problem.priors["removed_final"] = 0.02
    fit = problem.fit(draws=500, tune=500, chains=2, seed=1)
    cut = fit["posterior"]["cut_offset_um"]
    assert float(az.rhat(cut).max()) < 1.03
    low, high = cut.quantile([0.05, 0.95], ("chain", "draw")).to_numpy()
    known = np.array(list(cuts.values()))
    assert ((low < known) & (known < high)).all()
    # Known together: where one lies farther out, so do the others.
    scores = np.corrcoef(cut.stack(kept=("chain", "draw")).to_numpy())
    assert scores[0, 1] > 0.6
    assert float(fit["sample_stats"]["n_steps"].mean()) < 130


def test_a_known_cut_is_taken_as_it_is(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    profiles, _, pixels = rock
    section = garnet_section(pixels, sd=0.01, bins=10)
    problem = Histories(join_profiles(pick(profiles, [0]), section), bundled_table("white2014"))
    problem.priors["cut_offset_um"] = CUT_UM
    layout = problem._known_layout()
    own = problem.arrays.grain == 1
    rim = off_centre(float(section["rim_radius_um"][0]), CUT_UM)
    depth = rim - off_centre(section["radius_um"].to_numpy(), CUT_UM)
    expected = problem._axis().place(1000.0 - depth, np)
    np.testing.assert_allclose(layout.position_place[own], expected, atol=1e-6)


# --- joining, reading, refusing ---


def test_grains_are_joined_once() -> None:
    frame = pd.DataFrame({"r_um": [5, 50], "X_prp": [0.05, 0.07]})
    profiles = petro.garnet_profiles(frame)
    with pytest.raises(DataError, match="'1' is in more than one"):
        join_profiles(profiles, profiles)
    other = petro.garnet_profiles(frame.assign(grain="2"))
    both = join_profiles(profiles, other)
    assert both["grain_index"].values.tolist() == [0, 0, 1, 1]
    assert both["position"].values.tolist() == ["1:1", "1:2", "2:1", "2:2"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("rim_distance,X_prp\n5,0.1\n", FormatError, "'rim_distance' is not known"),
        ("X_prp\n0.1\n", DataError, "'rim_distance_um' is missing"),
        ("rim_distance_um,X_prp\n-5,0.1\n", DataError, "0 or more"),
    ],
)
def test_bad_pixels_are_refused(tmp_path, text: str, error: type[Exception], message: str) -> None:
    file = tmp_path / "pixels.csv"
    file.write_text(text)
    with pytest.raises(error, match=message):
        read_garnet_section(file)


def test_a_problem_file_reads_sections_beside_profiles(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame], tmp_path
) -> None:
    profiles, _, pixels = rock
    write_garnet_profiles(pick(profiles, [0, 1]), tmp_path / "profiles.csv")
    pixels.to_csv(tmp_path / "pixels.csv", index=False)
    (tmp_path / "problem.toml").write_text(
        '[problem]\nkind = "histories"\n[data]\nprofiles = "profiles.csv"\n'
        'sections = "pixels.csv"\nbundled_table = "white2014"\n'
    )
    problem = make_problem(load_configuration(tmp_path / "problem.toml"))
    assert problem.data["section"].values.tolist() == ["3"]
    assert "cut_offset_um" in problem.priors


def test_diffusion_and_sections_do_not_go_together(
    rock: tuple[xr.Dataset, xr.Dataset, pd.DataFrame],
) -> None:
    section = garnet_section(rock[2], sd=0.01, bins=10)
    with pytest.raises(DataError, match="diffusion needs the radii"):
        Histories(section, bundled_table("white2014"), diffusion=True)
