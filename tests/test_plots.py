import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.text import Annotation

import petro_models as petro
from petro_models import datasets
from petro_models.errors import DataError
from petro_models.mass_transfer import plot_data, plots
from petro_models.report import style, ticks
from petro_models.report.labels import label_points


@pytest.fixture(scope="module")
def grant():
    return petro.MassTransfer(datasets.grant2005()).fit(seed=1, draws=500, progressbar=False)


@pytest.fixture(scope="module")
def profile():
    """The Toorongo profile with invented depths and densities, as two traverses."""
    table = datasets.toorongo1989()
    count = table.sizes["sample"]
    table["distance"] = ("sample", np.arange(count) * 2.0, {"units": "m", "long_name": "depth"})
    table["density"] = ("sample", np.linspace(2.6, 1.5, count), {"units": "g/cm3"})
    table["protolith_density"] = ("protolith", [2.7], {"units": "g/cm3"})
    table = table.assign_coords(profile=("sample", ["north", "south"] * (count // 2)))
    problem = petro.MassTransfer(table)
    problem.priors["tolerance"] = 0.1
    return problem.fit(seed=1, draws=500, progressbar=False)


EVERY_PLOT = [
    plots.plot_isocon,
    plots.plot_concentration_ratio,
    plots.plot_gain_loss,
    plots.plot_gain_loss_map,
    plots.plot_frames,
    plots.plot_mass_change,
    plots.plot_predictive,
]


def main_axes(figure):
    return figure.axes[0]


def slope(line):
    x, y = line.get_data()
    return (y[-1] - y[0]) / (x[-1] - x[0])


def element_labels(axes):
    return [text for text in axes.texts if isinstance(text, Annotation) and text.get_text()]


def test_isocons_have_the_slope_of_each_frames_median_mass_change(grant):
    axes = main_axes(plots.plot_isocon(grant))
    slopes = {line.get_label(): slope(line) for line in axes.get_lines()}
    medians = grant["derived"]["frame_mass_change"].sel(statistic="q50").to_numpy()[:, 0]
    assert len(medians) > 1
    for index, median in enumerate(medians):
        (own,) = [
            value for label, value in slopes.items() if label.startswith(f"frame {index + 1}")
        ]
        assert own == pytest.approx(np.exp(-median))
    assert slopes["constant mass (slope 1)"] == pytest.approx(1)


def test_points_of_the_isocon_diagram_keep_the_ratio_of_the_concentrations(grant):
    axes = main_axes(plots.plot_isocon(grant))
    points = np.concatenate(
        [group.get_offsets() for group in axes.collections if isinstance(group, PathCollection)]
    )
    table = grant["constant_data"]
    ratio = (table["concentration"][0] / table["protolith_concentration"][0]).to_numpy()
    np.testing.assert_allclose(np.sort(points[:, 1] / points[:, 0]), np.sort(ratio), rtol=1e-9)


def test_scaling_numbers_beside_the_elements_are_those_that_were_used(grant):
    axes = main_axes(plots.plot_isocon(grant))
    protolith = grant["constant_data"]["protolith_concentration"][0]
    for text in element_labels(axes):
        factor, name = text.get_text().split(" ")
        plain = name.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
        place = float(factor) * float(protolith.sel(element=plain))
        assert text.xy[0] == pytest.approx(place, rel=1e-3)


def test_all_twenty_labels_of_grant_stand_clear_of_each_other(grant):
    figure = plots.plot_isocon(grant)
    labels = element_labels(main_axes(figure))
    assert len(labels) == 20
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in labels]
    frame = main_axes(figure).get_window_extent(renderer)
    for one, other in itertools.combinations(boxes, 2):
        common = one.intersection(one, other)
        if common is not None:
            assert common.width * common.height < 0.05 * min(
                one.width * one.height, other.width * other.height
            )
    assert all(frame.x0 - 2 <= box.x0 and box.x1 <= frame.x1 + 2 for box in boxes)


def test_forty_labels_on_a_line_stand_clear_of_each_other():
    figure = style.new_figure(8, 7)
    axes = figure.subplots()
    axes.set(xlim=(0, 110), ylim=(0, 110))
    place = np.linspace(2.5, 100, 40)
    labels = label_points(axes, place, place, [f"{i} Fe₂O₃" for i in range(40)], size=8)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in labels]
    overlaps = [one.intersection(one, other) for one, other in itertools.combinations(boxes, 2)]
    areas = [box.width * box.height for box in overlaps if box is not None]
    assert sum(areas) < 0.02 * sum(box.width * box.height for box in boxes)


def test_elements_on_the_level_of_a_frame_are_its_members(grant):
    axes = main_axes(plots.plot_concentration_ratio(grant))
    levels = [line.get_xdata()[0] for line in axes.get_lines() if "frame" in str(line.get_label())]
    medians = grant["derived"]["frame_mass_change"].sel(statistic="q50").to_numpy()[:, 0]
    np.testing.assert_allclose(levels, np.exp(-medians))
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(names) == 20
    ratio = np.exp(plot_data.logs_of(grant).log_ratio[:, 0])
    first = plot_data.pretty(grant["derived"]["element"].values[int(np.argmin(ratio))])
    assert names[0] == first


def test_gain_and_loss_of_the_same_factor_are_equally_far_from_zero():
    figure = style.new_figure(6, 2)
    axes = figure.subplots()
    axes.set_xlim(-2, 2)
    ticks.percent_ticks(axes.xaxis, axes.get_xlim())
    figure.draw_without_rendering()
    places = {
        tick.get_text(): x
        for tick, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
    }
    assert places["+100 %"] == pytest.approx(-places["−50 %"])
    assert places["0"] == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [(1.0, "+100 %"), (-0.5, "−50 %"), (0.0, "0"), (-0.999, "−99.9 %"), (0.004, "0")],
)
def test_relative_changes_are_written_in_percent(change, text):
    assert ticks.percent(change) == text


def test_gains_are_drawn_for_every_frame_where_frames_compete(grant):
    axes = main_axes(plots.plot_gain_loss(grant))
    drawn = [group for group in axes.collections if len(group.get_segments()) == 20]
    assert len(drawn) == grant["derived"].sizes["frame"]
    order = np.argsort(grant["derived"]["frame_gain_loss"][0].sel(statistic="q50")[0].to_numpy())
    low = np.array([segment[0, 0] for segment in drawn[0].get_segments()])
    expected = np.log1p(grant["derived"]["frame_gain_loss"][0].sel(statistic="q05")[0].to_numpy())
    np.testing.assert_allclose(low, expected[order])


def test_bars_of_mass_change_are_ninety_percent_given_the_frame(grant):
    axes = main_axes(plots.plot_mass_change(grant))
    bars = [line.get_xdata() for line in axes.get_lines() if line.get_linewidth() == 3]
    expected = grant["derived"]["frame_mass_ratio"].sel(statistic=["q05", "q95"]).to_numpy()[..., 0]
    np.testing.assert_allclose(bars, expected)


def test_densities_of_mass_change_have_the_frames_weights_as_areas(grant):
    axes = main_axes(plots.plot_mass_change(grant))
    curves = [line.get_data() for line in axes.get_lines() if len(line.get_xdata()) == 500]
    areas = [np.trapezoid(y, x) for x, y in curves]
    np.testing.assert_allclose(areas, grant["derived"]["frame_weight"], atol=0.01)


def test_profiles_stand_side_by_side_with_volume_below_mass(profile):
    figure = plots.plot_mass_change(profile)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["north", "south"]
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert any("M/M₀" in label for label in labels)
    assert any("V/V₀" in label for label in labels)
    assert figure.axes[-1].get_xlabel() == "depth (m)"
    north = figure.axes[0].get_lines()[1].get_xdata()
    np.testing.assert_allclose(north, np.arange(14)[::2] * 2.0)


def test_map_of_gains_marks_the_cells_without_a_sure_change(profile):
    axes = main_axes(plots.plot_gain_loss_map(profile))
    low, _, high = plot_data.quantiles(profile, "frame_gain_loss", 0)
    assert len(axes.get_lines()[0].get_xdata()) == ((low < 0) & (high > 0)).sum()
    assert axes.images[0].get_array().shape == (10, 14)


def test_strip_of_frames_has_a_row_per_frame_and_a_column_per_element(grant):
    axes = main_axes(plots.plot_frames(grant))
    drawn = np.asarray(axes.images[0].get_array())
    stored = grant["derived"]["frame_immobile_probability"].to_numpy()
    np.testing.assert_allclose(np.sort(drawn, axis=1), np.sort(stored, axis=1))
    assert "weight" in axes.get_yticklabels()[0].get_text()


@pytest.mark.parametrize("plot", EVERY_PLOT)
def test_every_axis_is_named_and_pyplot_knows_of_no_figure(plot, grant, profile):
    for fit in (grant, profile):
        figure = plot(fit)
        assert plt.get_fignums() == []
        axes = main_axes(figure)
        assert axes.get_ylabel() or plot is plots.plot_frames
        bottom = figure.axes if plot is plots.plot_mass_change else [axes]
        assert any(one.get_xlabel() for one in bottom) or plot is plots.plot_gain_loss_map


def test_axes_carry_units(grant):
    assert "wt%, ppm" in main_axes(plots.plot_isocon(grant)).get_xlabel()
    assert "%" in main_axes(plots.plot_gain_loss(grant)).get_xlabel()
    assert "g per 100 g" in main_axes(plots.plot_gain_loss(grant, by_mass=True)).get_xlabel()
    assert "ratio" in main_axes(plots.plot_concentration_ratio(grant)).get_xlabel()


def test_an_unknown_sample_is_answered_with_the_nearest(profile):
    with pytest.raises(DataError, match="did you mean '15'"):
        plots.plot_isocon(profile, sample="150")


def test_the_sample_that_changed_most_is_shown_unless_another_is_named(profile):
    medians = profile["derived"]["frame_mass_change"][0].sel(statistic="q50")
    expected = str(medians["sample"].values[int(np.abs(medians.to_numpy()).argmax())])
    assert main_axes(plots.plot_isocon(profile)).get_title(loc="left").endswith(f" {expected}")
    assert main_axes(plots.plot_isocon(profile, "7")).get_title(loc="left").endswith(" 7")


def test_values_below_detection_are_drawn_at_the_limit_and_named_so(grant):
    fit = grant.copy(deep=True)
    fit["constant_data"]["concentration"].loc[{"element": "Y"}] = np.nan
    fit["constant_data"]["detection_limit"].loc[{"element": "Y"}] = 5.0
    labels = element_labels(main_axes(plots.plot_isocon(fit)))
    (label,) = [text for text in labels if "below detection" in text.get_text()]
    protolith = float(fit["constant_data"]["protolith_concentration"].sel(element="Y")[0])
    assert label.xy[1] / label.xy[0] == pytest.approx(5 / protolith)


def test_the_same_figure_gives_the_same_bytes(grant):
    pictures = {style.svg_data_address(plots.plot_isocon(grant)) for _ in range(2)}
    assert len(pictures) == 1


def test_density_keeps_two_separate_modes_apart():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0, 0.02, 9000), generator.normal(0.3, 0.02, 1000)])
    grid = np.linspace(-0.2, 0.5, 500)
    curve = style.density(values, grid)
    assert np.trapezoid(curve, grid) == pytest.approx(1, abs=0.01)
    between = curve[(grid > 0.12) & (grid < 0.18)]
    assert between.max() < 0.02 * curve.max()
