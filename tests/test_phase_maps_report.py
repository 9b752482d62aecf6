"""The report of a phase map, opened in a real browser."""

import re

import numpy as np
import pytest
import xarray as xr
from fitlike_phase_map import fitlike

import petro_models as petro
from petro_models import cli_simulate
from petro_models.phase_maps import baselines, cards, overview, tables
from petro_models.phase_maps.map_answers import grid_of
from petro_models.report import write_report


@pytest.fixture(scope="module")
def simulated():
    return petro.simulate_phase_maps(64, 72, 3, 5, n_spots=30, seed=6)


@pytest.fixture(scope="module")
def problem(simulated):
    maps, spots, _ = simulated
    maps.attrs["notes"] = "a <b>note</b> of the reader"
    return petro.PhaseMaps(maps, spots, pixels=500)


@pytest.fixture(scope="module")
def fit(problem):
    return problem.fit(method="laplace", draws=150, seed=1, progressbar=False)


@pytest.fixture(scope="module")
def written(problem, fit, tmp_path_factory):
    return write_report(problem, fit, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def html(written):
    return written.read_text(encoding="utf-8")


def test_a_large_map_is_shown_by_every_so_many_th_pixel(problem, fit, tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "MOST_PIXELS", 64 * 72 // 9)
    shown = overview.overview(fit)["derived"]
    assert (shown.sizes["y"], shown.sizes["x"]) == (22, 24)
    whole = fit["derived"]
    np.testing.assert_array_equal(shown["evidence"], whole["evidence"][::3, ::3])
    xr.testing.assert_equal(shown["mode"], whole["mode"])
    assert fit["derived"].sizes["y"] == 64
    page = write_report(problem, fit, tmp_path / "large.html").read_text(encoding="utf-8")
    assert "from one pixel in 3 x 3" in page
    assert "Crop the map to compare them" in page
    # The axes of the maps are those of the whole map.
    assert cards.thinning(whole.to_dataset()) == 3
    grid, thin = (grid_of(part.to_dataset()) for part in (whole, shown))
    np.testing.assert_allclose(thin.extent[:2], grid.extent[:2], atol=3 * grid.steps[0])


@pytest.mark.parametrize("width", [400, 1300])
def test_every_map_is_drawn_and_nothing_leaves_the_page(browser, written, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(written.as_uri(), wait_until="load")
    sizes = page.eval_on_selector_all(
        "figure img",
        "images => images.map(i => [i.naturalWidth, i.getBoundingClientRect().height, i.alt])",
    )
    widths = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    page.close()
    assert len(sizes) >= 10
    assert all(across > 100 and down > 50 and len(alt) > 20 for across, down, alt in sizes)
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in requests) == 1
    assert complaints == []
    assert widths[0] <= widths[1]


def test_images_inside_the_figures_show_in_a_browser(browser, written):
    """A map is an image inside an SVG inside the page: look at its colours."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(written.as_uri(), wait_until="load")
    colours = page.evaluate(
        """async () => {
            const image = document.querySelector('#phase-map img');
            await image.decode();
            const canvas = document.createElement('canvas');
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0);
            const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = {};
            for (let i = 0; i < data.length; i += 4) {
                const key = [data[i], data[i + 1], data[i + 2]].join();
                seen[key] = (seen[key] || 0) + 4 / data.length;
            }
            return seen;
        }"""
    )
    page.close()
    for red, green, blue in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):
        assert colours.get(f"{red},{green},{blue}", 0) > 0.02


def test_modes_of_fit_and_classical_methods_stand_in_one_table(html, fit):
    table = re.search(r'id="baselines".*?</section>', html, re.DOTALL).group()
    for name in ("this fit", "k-means", "Gaussian mixture", "Poisson unmixing", "single pixel"):
        assert name in table
    for mode in fit["derived"]["mode"].to_numpy():
        assert f"{100 * mode:.2f} ± " in table
    assert "not run: qntmap needs the intensities of the spots" in table


def test_every_phase_and_oxide_stands_in_the_tables(html, fit):
    composition = re.search(r'id="phases".*?</section>', html, re.DOTALL).group()
    for phase in fit["derived"]["phase"].to_numpy():
        assert str(phase) in composition
    assert composition.count(" ± ") == fit["derived"]["phase_composition"].size + 1


def test_registration_and_spots_stand_in_the_report(html, fit):
    shift = fit["posterior"]["registration_shift"].mean(("chain", "draw")).to_numpy()
    section = re.search(r'id="registration".*?</section>', html, re.DOTALL).group()
    for value in shift:
        assert tables.number(float(value), 3) in section
    assert "90 % intervals that hold" in html


def test_notes_of_the_reader_cannot_become_markup(html):
    assert "a &lt;b&gt;note&lt;/b&gt; of the reader" in html
    assert "<b>note" not in html


def test_the_page_stays_small(written):
    assert written.stat().st_size < 5e6


def test_the_same_fit_gives_the_same_page(problem, fit, html, tmp_path):
    again = write_report(problem, fit, tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == html


def test_the_saved_file_alone_gives_the_same_page(fit, html, tmp_path):
    petro.save(fit, tmp_path / "fit.nc")
    page = petro.report(tmp_path / "fit.nc", tmp_path / "fit.html").read_text(encoding="utf-8")
    assert re.sub(r'src="[^"]*"', "", page) == re.sub(r'src="[^"]*"', "", html)


def test_only_a_zoned_phase_gets_a_map_of_its_zoning():
    answers = fitlike(seed=1)[0]["derived"].to_dataset()
    ((phase, oxide, ratio),) = cards.zonings(answers)
    assert (phase, oxide) == ("Garnet", "MnO")
    assert ratio > 2


def test_classical_methods_find_the_modes_of_distinct_phases_to_some_percent(problem, simulated):
    truth = simulated[2]["phase_fraction"].mean(("y", "x")).to_numpy()
    found = {one.name: one for one in baselines.run_baselines(problem.data)}
    # Three phases of quite different counts. The mixture gives the widest of its classes the
    # pixels of the boundaries, some 10 % of this map.
    for name, error in (("k-means", 0.03), ("Gaussian mixture", 0.1), ("Poisson unmixing", 0.03)):
        np.testing.assert_allclose(found[name].mode.sum(), 1.0, atol=1e-6)
        np.testing.assert_allclose(found[name].mode, truth, atol=error)


def test_classical_predictions_at_spots_are_of_the_right_size(problem):
    measured = problem.data["wt_percent"].to_numpy()
    for one in baselines.run_baselines(problem.data):
        if one.spot is not None:
            assert one.spot.shape == measured.shape
            assert np.nanmedian(np.abs(one.spot - measured)) < 1.0


def test_a_map_without_spots_has_no_cards_about_spots(simulated):
    maps, _, truth = simulated
    where = [
        np.unravel_index(truth["phase_fraction"][k].to_numpy().argmax(), (64, 72)) for k in range(3)
    ]
    seeds = petro.phase_seeds(
        list(truth["phase"].values), [c for _, c in where], [r for r, _ in where]
    )
    formulae = {
        str(phase): dict(zip(truth["oxide"].values.tolist(), row.tolist(), strict=True))
        for phase, row in zip(
            truth["phase"].values, truth["phase_composition"].to_numpy(), strict=True
        )
    }
    problem = petro.PhaseMaps(maps, phases=formulae, seeds=seeds, pixels=400)
    assert cards.spot_cards(problem, xr.DataTree()) == []
    found = baselines.run_baselines(problem.data)
    assert [one.spot for one in found] == [None] * len(found)
    assert found[-1].note == "not run: needs spots with intensities"


def test_problem_file_of_the_simulator_names_what_it_writes():
    for name in ("maps.toml", "spots.csv"):
        assert f'"{name}"' in cli_simulate.PHASE_MAPS_PROBLEM
