import base64
import io
import re
import urllib.parse

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import petro_models as petro
from petro_models import Prior, datasets
from petro_models.errors import FitError
from petro_models.mass_transfer.tables import data_tables
from petro_models.report import report, style, write_report
from petro_models.report.cards import Card, Cell, Paragraph, Table, in_order, interval, number
from petro_models.report.figures import shown_first
from petro_models.report.generic import compact
from petro_models.report.page import page


@pytest.fixture(scope="module")
def problem():
    made = petro.MassTransfer(datasets.grant2005())
    made.priors["mass_change"] = Prior("Normal", mu=0, sigma=0.4, dims="sample")
    return made


@pytest.fixture(scope="module")
def fit(problem):
    return problem.fit(seed=1, draws=500, progressbar=False)


@pytest.fixture(scope="module")
def written(problem, fit, tmp_path_factory):
    return write_report(problem, fit, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def html(written):
    return written.read_text(encoding="utf-8")


class Visit:
    """One opening of a page: what it asked for, what it complained of."""

    def __init__(self, browser, path, width):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri(), wait_until="load")


@pytest.fixture(params=[400, 1300])
def visit(request, browser, written):
    opened = Visit(browser, written, request.param)
    yield opened
    opened.page.close()


def test_every_figure_is_drawn_in_a_real_browser(visit):
    sizes = visit.page.eval_on_selector_all(
        "figure img",
        "images => images.map(i => [i.naturalWidth, i.getBoundingClientRect().height, i.alt])",
    )
    assert len(sizes) >= 9
    assert all(width > 100 and height > 50 for width, height, _ in sizes)
    assert all(len(alt) > 20 for *_, alt in sizes)


def test_no_request_leaves_the_page(visit):
    assert {url.split(":")[0] for url in visit.requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in visit.requests) == 1


def test_the_browser_has_nothing_to_complain_of(visit):
    assert visit.complaints == []


def test_the_page_never_scrolls_sideways(visit):
    widths = visit.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1]


def test_links_of_the_contents_lead_somewhere(visit):
    missing = visit.page.evaluate(
        "[...document.querySelectorAll('nav a')]"
        ".filter(a => !document.querySelector(a.getAttribute('href'))).length"
    )
    assert missing == 0


def test_the_page_prints(browser, written):
    opened = Visit(browser, written, 1300)
    document = opened.page.pdf(format="A4")
    opened.page.close()
    assert document.startswith(b"%PDF")
    assert 5 <= len(re.findall(rb"/Type\s*/Page[^s]", document)) <= 30


def test_both_frames_stand_in_the_report_with_elements_and_weights(html, fit):
    derived = fit["derived"]
    assert derived.sizes["frame"] >= 2
    for label, weight in zip(
        derived["frame_label"].values, derived["frame_weight"].values, strict=True
    ):
        assert str(label) in html
        assert f"{weight:.2f}" in html
    median = derived["frame_mass_ratio"].sel(statistic="q50").to_numpy()[:, 0]
    assert all(f"{value:.3f}" in html for value in median)


def test_headline_stands_in_the_report(html, problem, fit):
    for sentence in problem.headline(fit):
        assert sentence.replace("'", "&#39;") in html


def test_every_check_stands_in_the_report_with_its_verdict(html, fit):
    for check in petro.check(fit):
        assert check.name in html
    assert f'class="banner {petro.check(fit).verdict}"' in html


def test_edited_priors_are_marked_with_the_default_beside_them(html):
    row = re.search(r"<tr>\s*<td[^>]*>mass_change</td>.*?</tr>", html, re.DOTALL).group()
    assert "Normal(mu=0, sigma=0.4; sample) · edited" in row
    assert "Normal(mu=0, sigma=0.5; sample)" in row
    assert html.count("· edited") == 1


def test_every_prior_stands_in_the_report(html, problem):
    assert all(name in html for name in problem.priors)


def test_classical_methods_stand_beside_the_fit_and_say_whose_elements_they_took(html):
    for method in ("Grant isocon, mean log slope", "sparse isocon, q = 0.5", "Gresens (1967)"):
        assert method in html
    assert "with the elements of our frame 1" in html
    assert "with the elements of our frame 2" in html
    assert "largest consistent set" in html


def test_intervals_state_kind_and_mass(html):
    assert "90 %, equal-tailed" in html
    assert "given the frame" in html


def test_data_and_provenance_stand_in_the_report(html, fit):
    assert "46.45" in html
    assert "Grant, J.A. (2005)" in html
    for name in ("model_id", "sampler", "created", "method_reason"):
        assert str(fit.attrs[name]) in html
    assert "pymc 6" in html


def test_only_papers_that_were_used_are_cited(html):
    assert "Kallioinen" in html
    assert "Gresens, R.L. (1967)" not in html


def test_the_page_forbids_itself_every_request(html):
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert "<script" not in html
    assert "http" not in re.sub(r'src="data:[^"]*"', "", html).replace("http-equiv", "")


def test_the_file_stays_small(written):
    assert written.stat().st_size < 3e6


def test_the_same_fit_gives_the_same_page(problem, fit, html, tmp_path):
    again = write_report(problem, fit, tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == html


def test_the_saved_file_alone_gives_the_same_page(fit, html, tmp_path):
    stored = petro.save(fit, tmp_path / "fit.nc")
    again = report(stored, tmp_path / "report.html")
    strip = re.compile(r'src="data:[^"]*"')
    assert strip.sub("", again.read_text(encoding="utf-8")) == strip.sub("", html)


def test_an_impossible_path_is_refused_and_leaves_nothing(problem, fit, tmp_path):
    with pytest.raises(FitError, match="cannot be written"):
        write_report(problem, fit, tmp_path / "no such folder" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_single_best_point_is_reported_as_one(problem, fit, tmp_path):
    best = fit.copy(deep=True)
    for group in ("posterior", "sample_stats"):
        best[group] = xr.DataTree(fit[group].to_dataset().isel(chain=[0], draw=[0]))
    best["derived"] = xr.DataTree(problem.derive(best))
    text = write_report(problem, best, tmp_path / "map.html").read_text(encoding="utf-8")
    assert "single best point" in text
    assert "Prior against posterior" not in text


def test_many_samples_are_summarised_and_the_shown_ones_named(tmp_path):
    table = datasets.toorongo1989()
    table["concentration"][0, 8] = np.nan
    made = petro.MassTransfer(table)
    made.priors["immobile_probability"] = made.geochemical_immobility()
    made.priors["tolerance"] = 0.1
    fit = made.fit(seed=1, draws=200, progressbar=False)
    text = write_report(made, fit, tmp_path / "many.html").read_text(encoding="utf-8")
    assert "Gains and losses of all samples" in text
    assert "gained / lost in" in text
    assert "Shown for samples" in text
    assert re.search(r"0\.7: [^;]*TiO2", text)


def test_limits_gaps_and_errors_stand_in_the_table_of_data():
    table = datasets.grant2005()
    table["concentration"][0, [18, 19]] = np.nan
    table["detection_limit"][0, 18] = 5.0
    table["relative_error"][0, 0] = 0.02
    (shown,) = data_tables(table)
    cells = {row[0].text: [cell.text for cell in row] for row in shown.cells}
    assert cells["Y"] == ["Y", "ppm", "29", "< 5"]
    assert cells["Ba"] == ["Ba", "ppm", "80", "–"]
    assert cells["SiO2"] == ["SiO2", "wt%", "46.45", "45.62 ± 0.91"]


def test_text_of_the_data_cannot_become_markup():
    hostile = "<script>alert(1)</script>"
    card = Card(hostile, "x", "answer", [Paragraph(hostile), Table([hostile], [[hostile]])])
    text = page(hostile, hostile, "PASS", [card])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_cards_stand_in_the_order_of_a_report():
    sections = ["data", "answer", "priors", "checks"]
    cards = [Card(name, name, name) for name in sections]
    assert [card.section for card in in_order(cards)] == ["answer", "checks", "priors", "data"]
    with pytest.raises(ValueError, match="section is 'nowhere'"):
        Card("", "", "nowhere")


def test_references_of_all_cards_stand_once():
    cards = [Card(name, name, "data", [], ["Grant (1986)", name]) for name in ("one", "two")]
    assert page("title", "", "PASS", cards).count("Grant (1986)") == 1


def test_a_long_labelled_prior_is_shown_by_value():
    assert compact("Al=0.7, Si=0.4, Ti=0.7") == "0.7: Al Ti; 0.4: Si"
    assert compact("Normal(mu=0, sigma=0.5; sample)") == "Normal(mu=0, sigma=0.5; sample)"
    assert compact("0.03") == "0.03"


@pytest.mark.parametrize("few", [True, False])
def test_images_in_figures_are_packed_without_changing_a_pixel(few):
    """A map of few colours gets a palette; one of many stays as it was."""
    colours = np.random.default_rng(1).integers(0, 256, (12 if few else 4096, 3), dtype=np.uint8)
    pixels = colours[np.random.default_rng(2).integers(0, len(colours), (96, 96))]
    figure = style.new_figure(1.0, 1.0)
    figure.set_dpi(96)
    figure.figimage(pixels)
    figure.set_layout_engine("none")
    address = style.svg_data_address(figure)
    content = urllib.parse.unquote(address.partition(",")[2])
    if ";base64" in address.partition(",")[0]:
        content = base64.b64decode(content).decode()
    encoded = re.search(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", content)[1]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert (image.mode == "P") == few
        shown = np.asarray(image.convert("RGB"))
    wanted, found = (np.unique(each.reshape(-1, 3), axis=0) for each in (pixels, shown))
    np.testing.assert_array_equal(np.isin(wanted, found), True)
    assert shown.shape[0] >= 96


def test_numbers_keep_the_digits_that_mean_something():
    assert number(45.62, 4) == "45.62"
    assert number(0.00012) == "0.00012"
    assert number(float("nan")) == "–"
    assert interval(-0.0891, 0.0634) == "−0.089 to 0.063"
    assert Table(["a"], [["x", Cell("y", "PASS")]]).cells[0][1].mark == "PASS"


def test_a_few_quantities_are_chosen_from_every_variable():
    names = {"mean": ["mean"], "change": [f"change[{i}]" for i in range(10)]}
    assert shown_first(names, 3) == ["mean", "change[0]", "change[9]"]
    assert len(shown_first(names, 20)) == 11
