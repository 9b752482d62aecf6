"""From a thin section to its history: rings of garnet, shared errors, studies and their page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fit_answers import covered

import petro_models as petro
from petro_models import datasets
from petro_models.errors import ConfigurationError, DataError, FitError
from petro_models.histories.budget import DataErrors, split_variance
from petro_models.histories.sections import join_profiles
from petro_models.histories.simulate import simulate_history
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.phase_maps.map_answers import Grid
from petro_models.study.garnet_chemistry import OXIDES, garnet_fractions, garnet_oxides
from petro_models.study.outlines import outlines
from petro_models.study.thin_section import DENSITIES, ThinSection, simulate_thin_section
from petro_models.thermodynamics.bundled import bundled_table


@pytest.fixture(scope="module")
def section() -> ThinSection:
    return simulate_thin_section(80, "heating", seed=11)


@pytest.fixture(scope="module")
def fit(section: ThinSection) -> xr.DataTree:
    problem = petro.PhaseMaps(section.maps, section.spots, pixels=500)
    return problem.fit(method="laplace", draws=250, chains=2, seed=1)


@pytest.fixture(scope="module")
def profiles(fit: xr.DataTree) -> xr.Dataset:
    return petro.garnet_sections(fit, rings=16, through_centres=True)


# --- the simulated section ---


def test_garnet_oxides_and_fractions_are_inverse_and_sum_to_a_hundred() -> None:
    fractions = np.array([[0.6, 0.1, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0]])
    oxides = garnet_oxides(fractions)
    assert sum(oxides.values()) == pytest.approx([100.0, 100.0], abs=1e-9)
    # Almandine: 43.3 wt% FeO (Deer, Howie & Zussman 2013, ideal formula).
    assert oxides["FeO"][1] == pytest.approx(43.3, abs=0.05)
    back = garnet_fractions(np.stack([oxides[name] for name in OXIDES], axis=-1))
    assert np.allclose(back, fractions, atol=1e-12)


def test_the_map_of_a_section_holds_the_garnet_of_its_path(section: ThinSection) -> None:
    truth = section.truth
    middle = float(truth["centre_x_um"][0]), float(truth["centre_y_um"][0])
    row = int(np.abs(truth["y"].to_numpy() - middle[1]).argmin())
    # Halfway to the rim, to the right of the middle of the first garnet.
    radius = 0.5 * float(truth["section_radius_um"][0])
    column = int(np.abs(truth["x"].to_numpy() - middle[0] - radius).argmin())
    away = np.hypot(float(truth["x"][column]) - middle[0], float(truth["y"][row]) - middle[1])
    at = [
        np.interp(away, truth["shell_radius_um"][0], truth[name][0])
        for name in ("pressure_kbar", "temperature_C")
    ]
    wt = truth["composition"].sel(oxide=list(OXIDES)).to_numpy()[:, row, column]
    found = garnet_fractions(wt)
    tables = petro.Histories(
        simulate_history(section.equilibrium, "heating", n_grains=1, n_ages=0)[0],
        section.equilibrium,
    ).arrays.table
    # The garnet grown so far lies between none and 2 % of the rock.
    bounds = np.array([tables.read(*at, removed) for removed in (0.0, 0.02)])
    assert (found > bounds.min(axis=0) - 0.01).all()
    assert (found < bounds.max(axis=0) + 0.01).all()


def test_same_seed_gives_the_same_section_and_misfits_are_refused() -> None:
    first, again = (simulate_thin_section(48, seed=3) for _ in range(2))
    assert first.maps.equals(again.maps)
    assert first.age_spots.equals(again.age_spots)
    assert not first.maps.equals(simulate_thin_section(48, seed=4).maps)
    with pytest.raises(DataError, match="do not fit into a map"):
        simulate_thin_section(48, width_um=1500.0)
    with pytest.raises(DataError, match="cut_share needs 3 numbers"):
        simulate_thin_section(48, cut_share=(0.1,))


# --- outlines ---


def disc(size: int, x: float, y: float, radius: float) -> np.ndarray:
    """Fractions of a disc in pixels of 1, by 20 x 20 points each."""
    offset = (np.arange(20) + 0.5) / 20 - 0.5
    place = (np.arange(size)[:, None] + offset).ravel()
    inside = np.hypot(place[None, :] - x, place[:, None] - y) < radius
    return inside.reshape(size, 20, size, 20).mean(axis=(1, 3))


def test_outlines_find_discs_between_pixels_and_leave_out_the_cut_and_the_small() -> None:
    size = 90
    whole, small, cut = disc(size, 40.3, 38.8, 21.4), disc(size, 80, 80, 3.0), disc(size, 0, 80, 9)
    hole = disc(size, 44.0, 40.0, 3.2)
    fraction = np.clip(whole - hole, 0, 1) + small + cut
    grid = Grid(2.0 * np.arange(size), 2.0 * np.arange(size), "um")
    found, at_edge, too_small = outlines(fraction, grid, 10.0)
    assert (len(found), at_edge, too_small) == (1, 1, 1)
    grain = found[0]
    # The contour of exact fractions errs by less than a tenth of a pixel on a disc of this size.
    assert grain.radius == pytest.approx(42.8, abs=0.3)
    assert grain.centre == pytest.approx((80.6, 77.6), abs=0.5)
    away = np.hypot(2.0 * grain.columns - 80.6, 2.0 * grain.rows - 77.6)
    assert grain.is_round
    assert np.abs(grain.radii - away).max() < 0.4
    expected = 42.8 - away
    inner = expected > 4
    assert np.abs(grain.rim_distance - expected)[inner].max() < 0.6
    assert grain.holds(np.array([40, 0]), np.array([44, 0])).tolist() == [True, False]


# --- rings ---


def test_rings_err_as_their_two_errors_say(section: ThinSection, profiles: xr.Dataset) -> None:
    truth = section.along(profiles)
    grown = petro.Histories(profiles, section.equilibrium).arrays.table
    removed = removed_along(section, profiles)
    exact = grown.read(
        truth["pressure_kbar"].to_numpy(), truth["temperature_C"].to_numpy(), removed
    )
    error = profiles["composition"].to_numpy() - exact
    own = profiles["composition_sd"].to_numpy().ravel()
    shapes = shared_shapes(profiles, exact)
    weighted = shapes / own[:, None] ** 2
    score = np.linalg.solve(
        np.eye(shapes.shape[1]) + shapes.T @ weighted, weighted.T @ error.ravel()
    )
    left = (error.ravel() - shapes @ score) / own
    # Some 40 rings x 3 free fractions: the root mean square of scores is 1 within 0.2 (3 sd).
    assert 0.75 < np.sqrt((left**2).mean()) < 1.25
    # Scores of shared shapes are standard normal (a ridge estimate is narrower).
    assert np.abs(score).max() < 3.5
    shared = np.sqrt((shapes**2).sum(axis=1))
    assert np.median(np.abs(error.ravel()) / np.hypot(own, shared)) < 1.0


def shared_shapes(profiles: xr.Dataset, exact: np.ndarray) -> np.ndarray:
    """What one standard deviation of each shared error adds to exact fractions, (value, shape)."""
    grain = profiles["grain_index"].to_numpy()
    moved = exact * (1 + profiles["shared_gain"].to_numpy()[:, grain])
    moved = moved + profiles["shared_background"].to_numpy()[:, grain]
    moved = moved / moved.sum(axis=-1, keepdims=True) - exact
    return moved.reshape(len(moved), -1).T


def removed_along(section: ThinSection, profiles: xr.Dataset) -> np.ndarray:
    """Garnet grown when each position grew, of the 2 % that grow in all."""
    truth = section.truth
    start = [float(truth["age_Ma"][g].max()) for g in range(truth.sizes["garnet"])]
    ages = section.along(profiles)["age_Ma"].to_numpy()
    total = np.zeros_like(ages)
    final = 0.0
    for g in range(truth.sizes["garnet"]):
        radius = truth["shell_radius_um"][g].to_numpy()
        age = truth["age_Ma"][g].to_numpy()
        density = float(truth["number_density"][g])
        grown = np.interp(-ages, -age, radius)
        grown[ages > start[g]] = 0.0
        total += density * grown**3
        final += density * float(truth["radius_um"][g]) ** 3
    return 0.02 * total / final


def test_a_traverse_sees_fewer_pixels_and_errs_more(fit: xr.DataTree, profiles: xr.Dataset) -> None:
    step = float(fit["constant_data"]["step_um"])
    strip = petro.garnet_sections(fit, rings=16, through_centres=True, strip_um=3 * step)
    assert int(strip["pixel_count"].sum()) < 0.3 * int(profiles["pixel_count"].sum())
    assert float(strip["composition_sd"].mean()) > 1.5 * float(profiles["composition_sd"].mean())
    # What they share does not average out, and few pixels calibrate worse.
    ratio = (
        np.sqrt((strip["shared_gain"] ** 2).sum("shared_shape")).mean()
        / np.sqrt((profiles["shared_gain"] ** 2).sum("shared_shape")).mean()
    )
    assert float(ratio) > 0.8


def test_sections_say_what_they_left_out_and_what_is_missing(
    fit: xr.DataTree, profiles: xr.Dataset
) -> None:
    assert "left out" in profiles.attrs["notes"]
    assert "spots in these grains" in profiles.attrs["notes"]
    with pytest.raises(DataError, match="no phase is named 'garnet'; the map has"):
        petro.garnet_sections(fit, "garnet")
    with pytest.raises(DataError, match="no grain of Garnet lies wholly on the map"):
        petro.garnet_sections(fit, smallest_um=5000.0)
    with pytest.raises(DataError, match="rings must be at least 4"):
        petro.garnet_sections(fit, rings=2)


def test_ages_are_placed_by_their_spot_on_the_map(
    section: ThinSection, fit: xr.DataTree, profiles: xr.Dataset
) -> None:
    ages = petro.ages_on_map(fit, profiles, section.age_spots)
    assert ages.sizes["zone"] == len(section.age_spots)
    middle = ages["zone_inner_um"].to_numpy()
    assert (ages["zone_spot_um"] == 50.0).all()
    grain = profiles["grain"].to_numpy()[ages["zone_grain_index"].to_numpy()]
    step = float(section.maps["step_um"])
    for place, label, age in zip(middle, grain, ages["zone_age_Ma"].to_numpy(), strict=True):
        spot = section.age_spots.set_index("age_Ma").loc[age]
        g = profiles["grain"].to_numpy().tolist().index(label)
        away = np.hypot(
            spot["x_um"] - float(profiles["centre_x_um"][g]),
            spot["y_um"] - float(profiles["centre_y_um"][g]),
        )
        # Outline and middle are each known to some tenths of a pixel.
        assert place == pytest.approx(away, abs=0.7 * step)
    outside = section.age_spots.assign(x_um=0.0, y_um=0.0)
    with pytest.raises(DataError, match="dates: spot 1 at x 0, y 0 um lies in none of the"):
        petro.ages_on_map(fit, profiles, outside, source="dates")
    with pytest.raises(DataError, match="column 'sd_Ma' is missing"):
        petro.ages_on_map(fit, profiles, section.age_spots.drop(columns="sd_Ma"))


# --- the shared error in a history ---


@pytest.mark.slow
def test_a_history_that_knows_the_shared_error_holds_the_truth_where_one_without_does_not() -> None:
    table = bundled_table("white2014")
    profiles, _, truth = simulate_history(
        table, "heating", n_grains=1, n_positions=30, n_ages=0, noise=0.001, seed=5
    )
    # A calibration that errs in Ca and Mg by 4 % and 3 % of their content.
    gain = np.array([[0.0, 0.0, 0.04, 0.0], [0.0, 0.03, 0.0, 0.0]])
    exact = truth["composition"].to_numpy()
    moved = exact * (1 + 1.2 * gain[0] - 1.1 * gain[1])
    moved = moved / moved.sum(axis=-1, keepdims=True)
    profiles["composition"] = profiles["composition"] + moved - exact
    dims = ("shared_shape", "grain", "endmember")
    profiles["shared_gain"] = (dims, gain[:, None])
    profiles["shared_background"] = (dims, np.zeros_like(gain[:, None]))
    held = {}
    for known in (True, False):
        problem = petro.Histories(profiles, table, own_bulk=True)
        if not known:
            problem.priors["shared_error"] = 0.0
        answers = problem.fit(draws=300, tune=400, chains=2, seed=1)["derived"]
        held[known] = np.mean(
            [
                covered(answers[name], truth[name].to_numpy())
                for name in ("pressure_kbar", "temperature_C")
            ]
        )
    assert held[True] > 0.8
    assert held[False] < 0.4


def test_joined_profiles_keep_each_part_s_shared_error_to_itself() -> None:
    table = bundled_table("white2014")
    parts = []
    for number in range(2):
        own = simulate_history(table, "heating", n_grains=1, n_positions=8, n_ages=0, seed=number)[
            0
        ]
        own = own.assign_coords(
            grain=[str(number)], position=[f"{number}:{k}" for k in range(own.sizes["position"])]
        )
        if number:
            shape = (("shared_shape", "grain", "endmember"), np.full((1, 1, 4), 0.002))
            own = own.assign(shared_gain=shape, shared_background=shape)
            own = own.assign_coords(shared_shape=["calibration 1"])
        parts.append(own)
    joined = join_profiles(*parts)
    for name in ("shared_gain", "shared_background"):
        assert joined[name].shape == (1, 2, 4)
        assert joined[name][0, :, 0].values.tolist() == [0.0, 0.002]
    broken = parts[1].assign(shared_gain=parts[1]["shared_gain"] * np.nan)
    with pytest.raises(DataError, match="shared_gain has missing values"):
        petro.Histories(broken, table)
    with pytest.raises(DataError, match="go together; only shared_gain is there"):
        petro.Histories(parts[1].drop_vars("shared_background"), table)


# --- the variance budget ---


def test_the_split_of_variance_is_exact_for_a_linear_model() -> None:
    generator = np.random.default_rng(3)
    data, unknowns = 12, 3
    forward = generator.normal(size=(data, unknowns))
    own, shared = np.diag(generator.uniform(0.5, 2, data)), generator.normal(size=(data, 1))
    sources = np.array([own, shared @ shared.T])
    precision = np.linalg.inv(sources.sum(axis=0))
    posterior = np.linalg.inv(forward.T @ precision @ forward + np.eye(unknowns))
    draws = generator.multivariate_normal(np.zeros(unknowns), posterior, size=200_000)
    parts = split_variance(draws, draws @ forward.T, DataErrors(precision, sources))
    gain = posterior @ forward.T @ precision
    expected = [np.diag(gain @ source @ gain.T) for source in sources]
    expected.append(np.diag(posterior @ posterior))  # what the unit prior leaves
    # 200,000 draws: entries of a covariance are known to 0.3 %.
    assert np.allclose(parts, expected, rtol=0.03, atol=2e-4)


def test_a_budget_needs_profiles() -> None:
    table = simulate_mass_table(2, 6, seed=1)[0]
    other = petro.MassTransfer(table).fit(seed=1)
    with pytest.raises(FitError, match="needs a fit of Histories"):
        petro.variance_budget(other)


# --- domains ---


def test_the_bulk_of_a_map_is_the_protolith_with_its_errors(
    section: ThinSection, fit: xr.DataTree
) -> None:
    bulk = petro.local_bulk(fit, density_kg_m3=DENSITIES)
    table = petro.domain_table(
        fit, None, section.altered, relative_errors=0.015, density_kg_m3=DENSITIES
    )
    own = table["protolith_concentration"].isel(protolith=0)
    assert own.sel(element="FeO").item() == pytest.approx(bulk["bulk"].sel(oxide="FeO").item())
    assert float(np.abs(table["shared_error"]).max()) == 0.0
    shapes = table["protolith_shared_error"].isel(protolith=0).sel(element="CaO")
    error = table["protolith_relative_error"].isel(protolith=0).sel(element="CaO").item()
    expected = (bulk["bulk_sd"] / bulk["bulk"]).sel(oxide="CaO").item()
    assert np.hypot(error, np.sqrt((shapes**2).sum()).item()) == pytest.approx(expected, rel=0.05)
    known = dict(
        zip(section.truth["oxide"].values.tolist(), section.truth["bulk"].values, strict=True)
    )
    # Four oxides or so are independent: the largest of nine scores stays below 4.
    score = petro.unlike(bulk, known)
    assert float(np.abs(score.sel(oxide=["SiO2", "Al2O3", "FeO", "MgO", "CaO"])).max()) < 4
    shifted = petro.unlike(bulk, known | {"MgO": 2 * known["MgO"]})
    assert float(np.abs(shifted.sel(oxide="MgO"))) > 10


def test_domains_of_one_map_are_compared_with_their_own_errors(fit: xr.DataTree) -> None:
    left = petro.box(fit, x=(0, 2300))
    right = petro.box(fit, x=(2400, None))
    table = petro.domain_table(fit, left, {"right half": right}, density_kg_m3=DENSITIES)
    assert table["sample"].values.tolist() == ["right half"]
    errors = table["relative_error"].to_numpy()
    assert np.isfinite(errors).all()
    assert (errors < 0.2).all()
    with pytest.raises(DataError, match="fewer than two oxides"):
        petro.domain_table(fit, None, pd.DataFrame({"ZrO2": [0.1]}), density_kg_m3=DENSITIES)


def test_what_domains_of_one_map_share_cancels_between_them(fit: xr.DataTree) -> None:
    left, right = petro.box(fit, x=(0, 2300)), petro.box(fit, x=(2400, None))
    table = petro.domain_table(fit, left, {"right half": right}, density_kg_m3=DENSITIES)
    own, other = (
        table[name].to_numpy()[:, 0] for name in ("shared_error", "protolith_shared_error")
    )
    apart = np.sqrt((own**2 + other**2).sum(axis=0))
    together = np.sqrt(((own - other) ** 2).sum(axis=0))
    assert np.median(together / apart) < 0.6
    bulk = petro.local_bulk(fit, left, density_kg_m3=DENSITIES).sel(oxide=table["element"].values)
    shared = np.sqrt(bulk["bulk_sd"] ** 2 - bulk["bulk_independent_sd"] ** 2) / bulk["bulk"]
    # The leading shapes hold 99.99 % of the variance of all rocks and oxides.
    size = float(np.sqrt((shared**2).sum()))
    assert np.sqrt((other**2).sum(axis=0)) == pytest.approx(shared.to_numpy(), abs=0.02 * size)


def test_a_shared_error_of_the_protolith_widens_its_mass_change() -> None:
    table, _ = simulate_mass_table(1, 8, immobile_share=1.0, noise=0.01, seed=4)
    table["protolith_relative_error"] = table["protolith_concentration"] * 0 + 0.01
    shape = (
        ("shared_shape", "protolith", "element"),
        np.full((1, table.sizes["protolith"], 8), 0.05),
    )
    nothing = (("shared_shape", "sample", "element"), np.zeros((1, 1, 8)))
    table = table.assign(shared_error=nothing, protolith_shared_error=shape)
    table = table.assign_coords(shared_shape=["all oxides"])
    spread = {}
    for known in (True, False):
        problem = petro.MassTransfer(table)
        problem.priors["immobile_probability"] = 0.999
        if not known:
            problem.priors["shared_error"] = 0.0
        answers = problem.fit(method="nuts", draws=800, tune=600, chains=2, seed=2)
        spread[known] = float(answers["posterior"]["mass_change"].std())
    # All oxides of the protolith are off by one factor: that is the mass change off by as much.
    assert spread[True] == pytest.approx(np.hypot(spread[False], 0.05), rel=0.12)
    assert petro.MassTransfer(table)._choose_method()[0] != "exact"
    with pytest.raises(DataError, match="go together; only 'shared_error' is there"):
        petro.MassTransfer(table.drop_vars("protolith_shared_error"))


# --- studies ---


def chain(folder: Path, seed: int = 1) -> petro.Study:
    """Two small problems: the second takes the first one's mass ratio as its own change."""
    table = simulate_mass_table(2, 8, seed=seed)[0]
    study = petro.Study(folder)
    study.add("first", lambda: petro.MassTransfer(table), seed=1, draws=200)

    def second(fit: xr.DataTree) -> petro.MassTransfer:
        ratio = fit["derived"]["mass_ratio"].mean(("chain", "draw"))
        return petro.MassTransfer(table.assign(concentration=table["concentration"] * ratio))

    study.add("second", second, ["first"], seed=1, draws=200)
    return study


def test_a_study_fits_again_only_what_changed(tmp_path: Path) -> None:
    study = chain(tmp_path)
    assert "not run" in repr(study)
    study.run()
    assert study.fitted == ["first", "second"]
    study.run()
    assert study.fitted == []
    study["second"].priors["tolerance"] = 0.07
    study.run()
    assert study.fitted == ["second"]
    study["first"].priors["tolerance"] = 0.05
    study.run()
    assert study.fitted == ["first", "second"]
    study["first"].priors.clear()
    study["second"].priors.clear()
    # Going back to the first choice costs nothing, and a later study finds the fits.
    study.run()
    assert study.fitted == []
    again = chain(tmp_path)
    again.run()
    assert again.fitted == []
    assert "at hand" in repr(again)
    other = chain(tmp_path, seed=2)
    other.run()
    assert other.fitted == ["first", "second"]


def test_a_damaged_fit_of_a_study_is_fitted_again_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = chain(tmp_path)
    study.run()
    next(tmp_path.glob("first.*.nc")).write_bytes(b"not a fit")
    with caplog.at_level("WARNING", logger="petro_models"):
        study.run()
    assert study.fitted == ["first"]
    assert "first is fitted again" in caplog.text
    assert "cannot be read as a fit" in caplog.text


def test_stages_are_named_and_ordered_or_refused(tmp_path: Path) -> None:
    study = chain(tmp_path)
    with pytest.raises(ConfigurationError, match="has a stage 'first' already"):
        study.add("first", lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match=r"needs 'frist'.*did you mean 'first'"):
        study.add("third", lambda: None, ["frist"])  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="letters, digits"):
        study.add("../third", lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="no stage is named 'secnd'"):
        study["secnd"]
    with pytest.raises(ConfigurationError, match="run the study before its report"):
        study.report(tmp_path / "page.html")


def test_the_page_of_a_study_shows_stages_answers_and_budget(
    section: ThinSection, fit: xr.DataTree, profiles: xr.Dataset, tmp_path: Path
) -> None:
    ages = petro.ages_on_map(fit, profiles, section.age_spots)
    study = petro.Study(tmp_path)
    study.add(
        "history",
        lambda: petro.Histories(profiles, section.equilibrium, ages, own_bulk=True),
        method="laplace", draws=150, chains=2, seed=1,
    )  # fmt: skip
    study.run()
    budget = petro.variance_budget(study.fits["history"])
    assert set(budget.data_vars) == {"pressure_kbar", "temperature_C", "time_Myr", "age_Ma"}
    share = (budget / budget.sum("source")).mean("position")
    # Ages alone set the absolute time; counting and calibration hold P and T.
    assert float(share["age_Ma"].sel(source="ages")) > 0.6
    assert float(share["pressure_kbar"].sel(source="ages")) < 0.1
    page = study.report(tmp_path / "page.html").read_text()
    for words in ("Study: history", "history: variance budget", "history: answer", "Stages"):
        assert words in page
    assert "http://" not in page.split("<main>")[1].replace("http://www.w3.org", "")


# --- real maps: as far as their data allow ---


def real_study(
    folder: Path, maps: petro.PhaseMaps, garnet: str, density: dict[str, float] | None = None
) -> petro.Study:
    """The chain of a real map: garnets to a history, and one half of the map against the other."""
    study = petro.Study(folder)
    study.add("maps", lambda: maps, method="laplace", draws=200, seed=1)

    def history(fit: xr.DataTree) -> petro.Histories:
        profiles = petro.garnet_sections(fit, garnet, smallest_um=20.0)
        return petro.Histories(profiles, bundled_table("white2014"))

    def halves(fit: xr.DataTree) -> petro.MassTransfer:
        x = maps.data["x"].to_numpy()
        left, right = petro.box(fit, x=(None, x.mean())), petro.box(fit, x=(x.mean(), None))
        table = petro.domain_table(fit, left, {"right half": right}, density_kg_m3=density)
        return petro.MassTransfer(table)

    study.add("history", history, ["maps"], method="laplace", draws=200, seed=1)
    study.add("halves", halves, ["maps"], draws=500, seed=1)
    return study


@pytest.mark.slow
def test_the_chain_of_the_alpine_map_stops_where_it_holds_no_garnet(
    real_data: Path, tmp_path: Path
) -> None:
    maps, spots, seeds = datasets.alps()
    study = real_study(tmp_path, petro.PhaseMaps(maps, spots, seeds=seeds, pixels=800), "Garnet")
    with pytest.raises(DataError, match="no phase is named 'Garnet'; the map has"):
        study.run()
    fits = study.run(partial=True)
    assert set(fits) == {"maps", "halves"}
    assert set(study.stopped) == {"history"}
    assert "stopped: no phase is named 'Garnet'; the map has" in repr(study)
    page = study.report(tmp_path / "page.html").read_text()
    assert "2 of 3 stages" in page
    assert "no phase is named" in page
    # The halves of one rock: nothing says that one gained or lost mass against the other.
    ratio = fits["halves"]["derived"]["mass_ratio"]
    low, high = ratio.quantile([0.05, 0.95], ("chain", "draw")).to_numpy()[:, 0]
    assert low < 1 < high


@pytest.mark.slow
def test_the_chain_of_a_garnet_rock_stops_at_fragments(real_data: Path, tmp_path: Path) -> None:
    maps, spots, seeds = datasets.epmatools_demo()
    labels = [str(label) for label in spots["phase"].values]
    phases: dict[str, Any] = {"Qtz": "SiO2", "Ilm": "FeTiO3", "Ru": "TiO2", "Alteration": None}
    unmapped = {"FeO2", "H2O", "K2O"}
    for phase, label in {"Grt": "g", "Bt": "bt", "Chl": "chl"}.items():
        own = spots["wt_percent"][[k for k, other in enumerate(labels) if other == label]]
        phases[phase] = {
            str(oxide): float(value)
            for oxide, value in zip(own["oxide"].values, own.mean("spot").values, strict=True)
            if str(oxide) not in unmapped and value > 0.02
        }
    density = {"Qtz": 2650.0, "Ilm": 4700.0, "Ru": 4250.0, "Alteration": 2800.0}
    density |= {"Grt": 4050.0, "Bt": 3090.0, "Chl": 2950.0}
    problem = petro.PhaseMaps(maps, seeds=seeds, phases=phases, pixels=800)
    study = real_study(tmp_path, problem, "Grt", density)
    fits = study.run(partial=True)
    assert "no grain of Grt lies wholly on the map" in study.stopped["history"]
    assert set(fits) == {"maps", "halves"}
