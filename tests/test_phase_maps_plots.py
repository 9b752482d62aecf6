import itertools
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from fitlike_phase_map import OXIDES, PHASES, fitlike
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from petro_models.errors import DataError, FitError
from petro_models.phase_maps import plot_parts, plots
from petro_models.phase_maps.formulae import structural_formula
from petro_models.phase_maps.map_answers import NORMAL_95, Grid
from petro_models.phase_maps.regions import box, pixels_of
from petro_models.phase_maps.transects import garnet_profile, transect
from petro_models.report import style


@pytest.fixture(scope="module")
def fit():
    return fitlike()[0]


@pytest.fixture(scope="module")
def answers(fit):
    return fit["derived"].to_dataset()


@pytest.fixture(scope="module")
def strip(fit):
    return transect(fit, (40, 120), (200, 130), width_um=12, phase="Garnet")


@pytest.fixture(scope="module")
def unscaled():
    return fitlike(shape=(40, 50), step_um=None)[0]


EVERY_PLOT = {
    "phase map": plots.plot_phase_map,
    "fraction": partial(plots.plot_fraction, phase="Garnet"),
    "composition": partial(plots.plot_composition, oxide="MnO"),
    "garnet": partial(plots.plot_composition, oxide="MnO", phase="Garnet"),
    "rgb": partial(plots.plot_rgb, channels=["Si", "FeO", "K"]),
    "residual": plots.plot_residual,
    "calibration": plots.plot_calibration,
    "histogram": partial(plots.plot_histogram, oxide="MgO"),
    "modes": plots.plot_modes,
}
MAPS = ["phase map", "fraction", "composition", "garnet", "rgb", "residual"]


def image_of(axes):
    (image,) = axes.get_images()
    return image


def bars_of(axes):
    return [artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar)]


def labels_of_legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("name", EVERY_PLOT)
def test_every_axis_says_what_it_shows(fit, name):
    for axes in EVERY_PLOT[name](fit).axes:
        if not axes.get_visible():
            continue
        # Inner axes share the labels of their neighbours' below.
        shown = axes.xaxis.get_tick_params().get("labelbottom", True)
        shared = axes.get_shared_x_axes().get_siblings(axes)
        inner = len(shared) > 1 and any(other.get_xlabel() for other in shared)
        assert axes.get_xlabel() or inner or not shown or axes.get_label() == "<colorbar>"
        outer = axes.figure.get_supylabel()
        assert axes.get_ylabel() or outer or name == "modes"


@pytest.mark.parametrize("name", MAPS)
def test_maps_have_a_scale_bar_in_micrometres_only_where_the_step_is_known(fit, unscaled, name):
    scaled, plain = EVERY_PLOT[name](fit), EVERY_PLOT[name](unscaled)
    panels = [axes for axes in scaled.axes if axes.get_images()]
    assert all(len(bars_of(axes)) == 1 for axes in panels)
    assert all(axes.get_xlabel() == "x (µm)" for axes in panels)
    panels = [axes for axes in plain.axes if axes.get_images()]
    assert not any(bars_of(axes) for axes in panels)
    assert all(axes.get_xlabel() == "x (pixel)" for axes in panels)


@pytest.mark.parametrize("step", [0.013, 0.5, 1, 2, 7.3, 40])
def test_scale_bars_are_round_and_neither_tiny_nor_huge(step):
    grid = Grid(np.arange(500) * step, np.arange(400) * step, "um")
    length = plot_parts.bar_length(grid)
    mantissa = length / 10 ** np.floor(np.log10(length) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6
    assert 0.08 < length / (500 * step) <= 0.22


def test_scale_bar_has_the_length_it_names(fit):
    figure = plots.plot_phase_map(fit)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    (bar,) = bars_of(axes)
    (rectangle,) = bar.size_bar.get_children()
    assert bar.txt_label.get_text() == "50 µm"
    assert rectangle.get_width() == pytest.approx(50)


def test_images_lie_where_the_map_lies_with_the_first_line_on_top(fit):
    axes = plots.plot_composition(fit, "MnO").axes[0]
    assert image_of(axes).get_extent() == pytest.approx([-1, 299, 239, -1])
    assert axes.get_ylim() == (239, -1)


def test_the_phase_map_paints_every_pixel_with_its_phase_and_tells_the_unknown(fit, answers):
    figure = plots.plot_phase_map(fit)
    painted = image_of(figure.axes[0]).get_array()
    index = answers["phase_map"].to_numpy()
    for number, name in enumerate(PHASES):
        own = painted[index == number]
        np.testing.assert_allclose(own, [to_rgb(style.category(number))] * len(own))
        mode = 100 * float(answers["mode"].sel(phase=name))
        assert any(text.startswith(f"{name} {mode:.1f} %") for text in labels_of_legend(figure))
    unknown = painted[index == -1]
    np.testing.assert_allclose(unknown, [to_rgb(plot_parts.UNKNOWN_COLOUR)] * len(unknown))
    assert any(text.startswith("unknown, 0.2 %") for text in labels_of_legend(figure))


def test_twelve_phases_have_twelve_colours_that_differ_from_unknown():
    colours = [
        to_rgb(colour) for colour in [*plot_parts.phase_colours(12), plot_parts.UNKNOWN_COLOUR]
    ]
    distances = [
        np.abs(np.subtract(one, other)).max() for one, other in itertools.combinations(colours, 2)
    ]
    assert min(distances) > 0.1


def test_regions_and_strips_are_outlined_where_they_are(fit, strip):
    region = box(fit, x=(200, 280), y=(20, 100))
    figure = plots.plot_phase_map(fit, {"matrix": region}, {"A–B": strip})
    axes = figure.axes[0]
    assert axes.get_xlim() == (-1, 299)  # outlines leave the map's limits alone
    (outline, *_) = [c for c in axes.collections if c.get_paths()]
    vertices = np.concatenate([path.vertices for path in outline.get_paths()])
    # Pixels of 2 um with centres from 200 to 280: their edges, within half of a quarter pixel.
    np.testing.assert_allclose(vertices.min(axis=0), [199, 19], atol=0.3)
    np.testing.assert_allclose(vertices.max(axis=0), [281, 101], atol=0.3)
    line = next(line for line in axes.get_lines() if isinstance(line, Line2D))
    corners = np.column_stack(line.get_data())[:4]
    sides = np.hypot(*(corners - np.roll(corners, 1, axis=0)).T)
    np.testing.assert_allclose(sorted(sides), [12, 12, *[np.hypot(160, 10)] * 2])
    assert {text.get_text() for text in axes.texts} == {"matrix", "A–B"}


def test_mean_and_error_stand_side_by_side_with_colour_maps_of_their_own(fit, answers):
    figure = plots.plot_composition(fit, "FeO")
    left, right = (image_of(axes) for axes in figure.axes[:2])
    known = answers["phase_map"].to_numpy() >= 0
    for image, name in ((left, "composition"), (right, "composition_sd")):
        expected = answers[name].sel(oxide="FeO").to_numpy()
        np.testing.assert_allclose(image.get_array().compressed(), expected[known])
    assert left.get_cmap().name != right.get_cmap().name
    labels = [axes.get_ylabel() for axes in figure.axes[2:]] or [
        child.get_ylabel() for axes in figure.axes for child in axes.child_axes
    ]
    assert labels == ["FeO (wt%)", "sd of FeO (wt%)"]


def test_a_masked_composition_spreads_its_colours_over_the_phase(fit, answers):
    image = image_of(plots.plot_composition(fit, "MnO", "Garnet", 0.9).axes[0])
    garnet = pixels_of(fit, "Garnet", 0.9).to_numpy()
    np.testing.assert_array_equal(~np.ma.getmaskarray(image.get_array()), garnet)
    values = answers["composition"].sel(oxide="MnO").to_numpy()[garnet]
    np.testing.assert_allclose(image.get_clim(), np.percentile(values, [1, 99]))


@pytest.mark.parametrize("name", [plot_parts.QUANTITY_MAP, plot_parts.ERROR_MAP])
def test_colour_maps_grow_lighter_all_the_way(name):
    colours = mpl.colormaps[name](np.linspace(0, 1, 64))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_rgb_takes_oxides_from_the_fit_and_elements_from_the_counts(fit, answers):
    figure = plots.plot_rgb(fit, ["Si", "FeO", "K2O"])
    painted = image_of(figure.axes[0]).get_array()
    counts = fit["constant_data"]["counts"].sel(element="Si").to_numpy()
    low, high = np.percentile(counts, [1, 99])
    np.testing.assert_allclose(painted[..., 0], np.clip((counts - low) / (high - low), 0, 1))
    iron = answers["composition"].sel(oxide="FeO").to_numpy()
    assert np.corrcoef(painted[..., 1].ravel(), iron.ravel())[0, 1] > 0.99
    units = [text.split()[-1] for text in labels_of_legend(figure)]
    assert units == ["counts", "wt%", "wt%"]


def test_what_is_unexplained_is_darkest(fit, answers):
    figure = plots.plot_residual(fit)
    image = image_of(figure.axes[0])
    low, _ = image.get_clim()
    unknown = answers["phase_map"].to_numpy() < 0
    evidence = answers["evidence"].to_numpy()
    assert (evidence[unknown] < low).all()
    assert (evidence[~unknown] < low).mean() < 0.001


def test_calibration_draws_every_measured_spot_and_marks_the_mixed_ones(fit, answers):
    figure = plots.plot_calibration(fit)
    spots = fit["constant_data"].to_dataset()
    rows, columns = (spots[name].to_numpy().astype(int) for name in ("spot_row", "spot_column"))
    pure = answers["pure_probability"].to_numpy()[:, rows, columns].max(axis=0)
    mixed = pure < 0.5
    assert 3 <= mixed.sum() <= 30
    above = [axes for axes in figure.axes if axes.get_ylabel() == "predicted (wt%)"]
    assert len(above) == len(OXIDES)
    for axes, oxide in zip(above, OXIDES, strict=True):
        measured = spots["wt_percent"].sel(oxide=oxide).to_numpy()
        predicted = answers["spot_predicted"].sel(oxide=oxide).to_numpy()
        there = np.isfinite(measured)
        full, hollow = (
            group.get_offsets() for group in axes.collections if len(group.get_offsets()) > 1
        )
        for points, which in ((full, there & ~mixed), (hollow, there & mixed)):
            np.testing.assert_allclose(points, np.column_stack([measured, predicted])[which])
        assert axes.get_xlim() == axes.get_ylim()


def test_calibration_counts_the_spots_that_agree(fit, answers):
    figure = plots.plot_calibration(fit)
    spots = fit["constant_data"].to_dataset().sel(oxide="MnO")
    predicted = answers.sel(oxide="MnO")
    sd = np.hypot(spots["wt_percent_sd"], predicted["spot_predicted_sd"])
    agree = np.abs(spots["wt_percent"] - predicted["spot_predicted"]) <= NORMAL_95 * sd
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert f"MnO: {int(agree.sum())} of 60 agree" in titles


def test_spots_off_the_map_are_drawn_without_a_phase(fit):
    moved = fit.copy(deep=True)
    moved["constant_data"]["spot_column"][:3] = np.nan
    moved["constant_data"]["spot_row"][3] = 4000.0
    assert "no phase" in labels_of_legend(plots.plot_calibration(moved))
    assert "no phase" not in labels_of_legend(plots.plot_calibration(fit))


def test_histograms_count_every_explained_pixel_once(fit, answers):
    figure = plots.plot_histogram(fit, "SiO2")
    heights = sum(bar.get_height() for axes in figure.axes for bar in axes.patches)
    known = (answers["phase_map"] >= 0).to_numpy().sum()
    assert heights == pytest.approx(known, rel=0.003)  # the outermost 0.1 % may fall off the axis


def test_modes_are_drawn_with_their_intervals_the_largest_first(fit, answers):
    region = box(fit, x=(200, 280), y=(20, 100))
    figure = plots.plot_modes(fit, {"matrix": region})
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    order = np.argsort(-answers["mode"].to_numpy())
    assert names == [PHASES[index] for index in order]
    whole, _ = axes.containers
    np.testing.assert_allclose(whole.datavalues, 100 * answers["mode"].to_numpy()[order])
    ends = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    expected = 100 * np.column_stack([answers["mode_low"], answers["mode_high"]])[order]
    np.testing.assert_allclose(ends, expected)


def band(axes, index):
    vertices = axes.collections[index].get_paths()[0].vertices
    return vertices[:, 0], vertices[:, 1]


def test_bands_of_a_transect_are_its_two_intervals(strip):
    figure = plots.plot_transect(strip, ["MnO"])
    (axes,) = figure.axes
    filled = (strip["count"] > 0).to_numpy()
    one = strip.sel(oxide="MnO").isel(position=filled)
    for index, part in ((0, "sd"), (1, "independent_sd")):
        x, y = band(axes, index)
        reach = NORMAL_95 * one[f"composition_{part}"].to_numpy()
        for place, middle, half in zip(
            one["position"].to_numpy(), one["composition"].to_numpy(), reach, strict=True
        ):
            there = y[np.isclose(x, place)]
            assert there.min() == pytest.approx(middle - half)
            assert there.max() == pytest.approx(middle + half)


def test_a_strip_across_several_phases_shows_their_fractions(fit):
    mixed = transect(fit, (40, 120), (200, 130), width_um=12)
    figure = plots.plot_transect(mixed, ["SiO2"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["SiO₂\n(wt%)", "fraction"]
    assert "Chlorite" in labels_of_legend(figure)


def test_end_members_of_a_garnet_transect_are_drawn_and_become_a_profile(fit):
    formula = partial(structural_formula, mineral="garnet")
    strip = transect(fit, (40, 120), (200, 120), width_um=10, phase="Garnet", formula=formula)
    figure = plots.plot_transect(strip)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels[:2] == ["almandine\n(fraction)", "pyrope\n(fraction)"]
    profile = garnet_profile(strip, centre=80.0)
    np.testing.assert_allclose(profile.filter(like="X_").sum(axis=1), 1, atol=1e-9)
    core, rim = profile["X_sps"][profile["r_um"] < 10], profile["X_sps"][profile["r_um"] > 60]
    assert core.mean() > 3 * rim.mean()
    with pytest.raises(DataError, match="carries no garnet end members"):
        garnet_profile(transect(fit, (40, 120), (200, 120)))


def test_an_end_member_that_is_nowhere_is_not_drawn(fit):
    formula = partial(structural_formula, mineral="garnet")
    strip = transect(fit, (40, 120), (200, 120), width_um=10, phase="Garnet", formula=formula)
    strip["end_member_fraction"].loc[{"end_member": "pyrope"}] = 0.0
    labels = [axes.get_ylabel() for axes in plots.plot_transect(strip).figure.axes]
    assert "almandine\n(fraction)" in labels
    assert "pyrope\n(fraction)" not in labels


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda fit: plots.plot_fraction(fit, "Granet"), "did you mean 'Garnet'"),
        (lambda fit: plots.plot_composition(fit, "Mn0"), "did you mean 'MnO'"),
        (lambda fit: plots.plot_rgb(fit, ["Si", "Fe", "Ti"]), "'Ti' is no oxide or element"),
        (lambda fit: plots.plot_rgb(fit, ["Si", "Fe"]), "three quantities"),
        (lambda fit: plots.plot_rgb(fit, "SiFeMn"), "three quantities"),
        (lambda fit: plots.plot_histogram(fit, "Na2O"), "no oxide is named 'Na2O'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(fit, draw, message):
    with pytest.raises(DataError, match=message):
        draw(fit)


def test_a_transect_knows_what_it_can_draw(strip):
    with pytest.raises(DataError, match="did you mean 'MnO'"):
        plots.plot_transect(strip, ["MnO2"])


def test_fits_without_spots_or_maps_say_so(fit):
    bare = xr.DataTree.from_dict({"derived": fit["derived"].to_dataset()})
    with pytest.raises(DataError, match="hold no spots"):
        plots.plot_calibration(bare)
    with pytest.raises(FitError, match="lack phase_map"):
        plots.plot_phase_map(xr.DataTree.from_dict({"derived": xr.Dataset()}))


@pytest.mark.parametrize("shape", [(200, 40), (30, 240)])
def test_titles_and_legends_stay_inside_figures_of_any_shape(shape):
    fit = fitlike(shape=shape)[0]
    for figure in (plots.plot_phase_map(fit), plots.plot_composition(fit, "FeO")):
        figure.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        for inner in boxes:
            assert inner.x0 >= -2
            assert inner.y0 >= -2
            assert inner.x1 <= figure.bbox.width + 2
            assert inner.y1 <= figure.bbox.height + 2


def test_a_million_noisy_pixels_stay_small_in_a_report():
    generator = np.random.default_rng(5)
    noise = generator.normal(30, 5, (1, 1000, 1000))
    answers = xr.Dataset(
        {
            "phase_map": (("y", "x"), np.zeros((1000, 1000), np.int8)),
            "composition": (("oxide", "y", "x"), noise),
            "composition_sd": (("oxide", "y", "x"), noise / 30),
        },
        coords={
            "oxide": ["FeO"],
            "phase": ["Garnet"],
            "x": ("x", np.arange(1000.0), {"units": "um"}),
            "y": ("y", np.arange(1000.0), {"units": "um"}),
        },
    )
    figure = plots.plot_composition(xr.DataTree.from_dict({"derived": answers}), "FeO")
    assert len(style.svg_data_address(figure)) < 1.5e6


def test_figures_leave_no_setting_behind(fit):
    before = {key: mpl.rcParams[key] for key in style.PARAMETERS}
    assert before["axes.titleweight"] != style.PARAMETERS["axes.titleweight"]
    plots.plot_phase_map(fit)
    assert {key: mpl.rcParams[key] for key in style.PARAMETERS} == before
