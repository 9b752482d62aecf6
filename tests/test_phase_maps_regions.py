import csv

import numpy as np
import pytest
import tifffile
import xarray as xr
from fitlike_phase_map import CALIBRATION_ERROR, DENSITIES, OTHERS, OXIDES, PHASES, fitlike
from PIL import Image

from petro_models.errors import DataError, FitError, FormatError
from petro_models.phase_maps.averages import region_mean
from petro_models.phase_maps.local_bulk import local_bulk, region_modes
from petro_models.phase_maps.regions import box, checked_region, mask_image, pixels_of, polygon
from petro_models.phase_maps.transects import calibration_along, transect, write_transect

STEP = 2.0


@pytest.fixture(scope="module")
def made():
    return fitlike()


@pytest.fixture(scope="module")
def fit(made):
    return made[0]


@pytest.fixture(scope="module")
def answers(fit):
    return fit["derived"].to_dataset()


# -- regions -----------------------------------------------------------------------------------


def test_box_takes_the_pixels_whose_centres_it_holds(fit):
    region = box(fit, x=(10, 20), y=(100, None))
    rows, columns = np.nonzero(region.to_numpy())
    assert region.dims == ("y", "x")
    assert set(columns) == {5, 6, 7, 8, 9, 10}
    assert (rows.min(), rows.max()) == (50, 119)


def test_polygon_of_a_rectangle_equals_the_box(fit):
    corners = [(9, 99), (41, 99), (41, 151), (9, 151)]
    assert polygon(fit, corners).equals(box(fit, x=(9, 41), y=(99, 151)))


def test_polygon_area_agrees_with_the_shoelace_formula(fit):
    corners = np.array([(30, 20), (250, 60), (200, 220), (60, 190)], dtype=float)
    x, y = corners.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    # The count of centres errs by about the perimeter's share of half pixels: far below 1 %.
    assert polygon(fit, list(corners)).sum() * STEP**2 == pytest.approx(area, rel=0.01)


def test_regions_combine_as_arrays_do(fit):
    outer, inner = box(fit, x=(0, 100), y=(0, 100)), box(fit, x=(20, 60), y=(20, 60))
    ring = checked_region(fit, outer & ~inner)
    assert ring.sum() == outer.sum() - inner.sum()


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (lambda fit: box(fit, x=(-50, 20)), "reach outside the map"),
        (lambda fit: box(fit, y=(40, 20)), "run backwards"),
        (lambda fit: box(fit, x=(10.4, 11.6)), "holds no pixel"),
        (lambda fit: polygon(fit, [(1, 1), (2, 2)]), "three or more"),
        (lambda fit: polygon(fit, [(1, 1), (900, 2), (5, 5)]), r"corner 2 .* outside the map"),
        (lambda fit: pixels_of(fit, "Garnt"), "did you mean 'Garnet'"),
        (lambda fit: pixels_of(fit, "Garnet", 1.5), "0 to 1"),
    ],
)
def test_an_impossible_region_says_what_is_wrong_with_it(fit, select, message):
    with pytest.raises(DataError, match=message):
        select(fit)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (np.ones((120, 150), dtype=bool), "a region is a boolean DataArray"),
        (xr.DataArray(np.ones((120, 150)), dims=("y", "x")), "a region is boolean"),
        (xr.DataArray(np.ones((150, 120), bool), dims=("y", "x")), "turned by 90 degrees"),
        (xr.DataArray(np.ones((120, 150), bool), dims=("row", "x")), "dims y and x"),
        (xr.DataArray(np.zeros((120, 150), bool), dims=("y", "x")), "holds no pixel"),
        (
            xr.DataArray(np.ones((120, 150), bool), dims=("y", "x"), coords={"x": np.arange(150)}),
            "positions x are not the map's",
        ),
    ],
)
def test_a_region_of_another_map_is_refused(fit, region, message):
    with pytest.raises(DataError, match=message):
        checked_region(fit, region)


def test_masks_of_every_format_select_what_was_painted(fit, tmp_path):
    wanted = box(fit, x=(20, 160), y=(30, 90)).to_numpy()
    grey = np.where(wanted, 255, 0).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey, 0 * grey, 0 * grey], axis=-1)).save(tmp_path / "red.png")
    opaque = np.stack([grey // 2 + 10, grey, grey, grey], axis=-1)
    Image.fromarray(opaque).save(tmp_path / "transparent.png")
    tifffile.imwrite(tmp_path / "labels.tif", wanted.astype(np.uint8))
    tifffile.imwrite(tmp_path / "floats.tiff", wanted.astype(np.float32))
    np.save(tmp_path / "bool.npy", wanted)
    np.savetxt(tmp_path / "matrix.txt", wanted, fmt="%d")
    np.savetxt(tmp_path / "matrix.csv", wanted, fmt="%d", delimiter=",")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 8
    for path in paths:
        np.testing.assert_array_equal(mask_image(fit, path), wanted, err_msg=path.name)


def test_a_soft_brush_selects_where_it_covers_half(fit, tmp_path):
    ramp = np.tile(np.linspace(0, 255, 150), (120, 1)).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "soft.png")
    np.testing.assert_array_equal(mask_image(fit, tmp_path / "soft.png"), ramp >= 128)


def test_one_label_of_a_label_image_can_be_chosen(fit, tmp_path):
    labels = np.repeat(np.arange(5), 30)[None].repeat(120, axis=0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    np.testing.assert_array_equal(mask_image(fit, tmp_path / "labels.tif", inside=3), labels == 3)


def test_masks_that_do_not_fit_say_why(fit, tmp_path):
    np.save(tmp_path / "turned.npy", np.ones((150, 120)))
    with pytest.raises(DataError, match=r"150 rows x 120 columns.*turned by 90 degrees"):
        mask_image(fit, tmp_path / "turned.npy")
    np.save(tmp_path / "empty.npy", np.zeros((120, 150)))
    with pytest.raises(DataError, match="holds no pixel"):
        mask_image(fit, tmp_path / "empty.npy")
    np.save(tmp_path / "nan.npy", np.full((120, 150), np.nan))
    with pytest.raises(FormatError, match="no empty values"):
        mask_image(fit, tmp_path / "nan.npy")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(FormatError, match="cannot be read as a mask"):
        mask_image(fit, tmp_path / "broken.png")
    (tmp_path / "broken.tif").write_bytes(b"II but no TIFF")
    with pytest.raises(FormatError, match="cannot be read as a mask"):
        mask_image(fit, tmp_path / "broken.tif")
    with pytest.raises(FormatError, match="cannot be read as a mask"):
        mask_image(fit, tmp_path / "absent.png")
    with pytest.raises(FormatError, match=r"one of \.png"):
        mask_image(fit, tmp_path / "mask.jpg")
    objects = np.empty((2, 2), dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    with pytest.raises(FormatError, match="cannot be read as a mask"):
        mask_image(fit, tmp_path / "objects.npy")


def test_a_tree_without_answers_is_no_fit():
    with pytest.raises(FitError, match="no group 'derived'"):
        box(xr.DataTree())


# -- means -------------------------------------------------------------------------------------


def test_mean_of_a_region_equals_the_brute_force_mean(fit, answers):
    region = box(fit, x=(200, 280), y=(20, 100))
    mean = region_mean(fit, region)
    inside = region & (answers["phase_map"] >= 0)
    expected = answers["composition"].where(inside).mean(("y", "x"))
    np.testing.assert_allclose(mean["composition"], expected, rtol=1e-12)
    assert int(mean["count"]) == int(inside.sum()) < int(region.sum())  # the crack is left out


def test_sd_of_a_region_never_falls_below_the_shared_calibration_part(fit, answers):
    garnet = pixels_of(fit, "Garnet", 0.9)
    for high in (60, 80, 120, 190):
        region = garnet & (garnet["x"] <= high)
        mean = region_mean(fit, region)
        fraction = answers["phase_fraction"].where(region).mean(("y", "x")).to_numpy()
        covariance = answers["calibration_covariance"].to_numpy()
        shared = np.sqrt([fraction @ matrix @ fraction for matrix in covariance])
        np.testing.assert_allclose(mean["composition_shared_sd"], shared, rtol=1e-10)
        assert (mean["composition_sd"] >= mean["composition_shared_sd"]).all()
    # 4,000 pixels: what averages out is gone, the calibration is all that is left.
    assert (mean["composition_sd"] < 1.01 * mean["composition_shared_sd"])[:6].all()


def test_independent_part_falls_as_one_over_root_n(fit):
    quartz = pixels_of(fit, "Quartz", 0.9)
    rows, columns = np.nonzero(quartz.to_numpy())
    sds = []
    for number in (25, 100, 400):
        few = np.zeros(quartz.shape, dtype=bool)
        few[rows[:number], columns[:number]] = True
        mean = region_mean(fit, quartz.copy(data=few))
        sds.append(float(mean["composition_independent_sd"].sel(oxide="SiO2")))
    np.testing.assert_allclose(sds, [4 * sds[2], 2 * sds[2], sds[2]], rtol=1e-3)


def test_one_pixel_has_the_error_that_the_fit_states_for_it(fit, answers):
    region = box(fit, x=(100, 100), y=(120, 120))
    sd = answers["composition_sd"].sel(x=100, y=120)
    np.testing.assert_allclose(region_mean(fit, region)["composition_sd"], sd, rtol=1e-10)


def test_a_fit_may_keep_the_calibration_out_of_its_pixels_errors(made):
    fit = made[0].copy(deep=True)
    region = box(fit, x=(100, 100), y=(120, 120))
    sd = fit["derived"]["composition_sd"]
    sd.attrs["calibration_included"] = 0
    mean = region_mean(fit, region)
    own = sd.sel(x=100, y=120)
    np.testing.assert_allclose(mean["composition_independent_sd"], own)
    assert (mean["composition_sd"] > own)[:6].all()  # no calibration error of the absent K2O


def test_intervals_of_region_means_cover_the_truth_nine_times_in_ten():
    inside = {"every phase": 0, "Garnet": 0}
    for seed in range(100):
        fit, truth = fitlike(seed, shape=(40, 50), crack=False)
        region = box(fit, x=(20, 60), y=(20, 60))
        garnet = pixels_of(fit, "Garnet", 0.9, region)
        for name, mean, pixels in (
            ("every phase", region_mean(fit, region), region),
            ("Garnet", region_mean(fit, region, phase="Garnet", min_pure_probability=0.9), garnet),
        ):
            expected = truth.composition[:, pixels.to_numpy()].mean(axis=1)
            low, high = mean["composition_low"], mean["composition_high"]
            covered = (low <= expected) & (expected <= high)
            inside[name] += int(covered[:6].sum())  # garnet holds no K2O: its interval is a point
    # Six oxides err independently: of 600 intervals the share's sd is 0.012.
    assert inside["every phase"] / 600 == pytest.approx(0.90, abs=0.037)
    assert inside["Garnet"] / 600 == pytest.approx(0.90, abs=0.037)


def test_a_region_without_explained_pixels_has_no_mean(fit, answers):
    crack = (answers["phase_map"] < 0).drop_vars(["phase", "phase2", "oxide"], errors="ignore")
    with pytest.raises(DataError, match="all are unknown"):
        region_mean(fit, crack)
    with pytest.raises(DataError, match="lower min_pure_probability"):
        region_mean(fit, box(fit, x=(0, 30)), phase="Garnet")


# -- transects ---------------------------------------------------------------------------------


def test_mean_of_a_strip_equals_brute_force(fit, answers):
    start, end, width = np.array([40.0, 120.0]), np.array([200.0, 150.0]), 14.0
    strip = transect(fit, tuple(start), tuple(end), width_um=width)
    direction = (end - start) / np.hypot(*(end - start))
    expected = {place: [] for place in strip["position"].to_numpy()}
    for row in range(120):
        for column in range(150):
            offset = np.array([column * STEP, row * STEP]) - start
            along = offset @ direction
            across = offset[1] * direction[0] - offset[0] * direction[1]
            place = STEP * np.floor(along / STEP + 0.5)
            if abs(across) <= width / 2 and place in expected:
                expected[place].append((row, column))
    values = answers["composition"].to_numpy()
    for place, pixels in expected.items():
        rows, columns = np.array(pixels).T
        found = strip.sel(position=place)
        assert int(found["count"]) == len(pixels)
        np.testing.assert_allclose(found["composition"], values[:, rows, columns].mean(axis=1))
    assert len(expected) == 1 + int(np.hypot(160, 30) // STEP)


def test_a_line_along_a_row_gives_its_pixels(fit, answers):
    line = transect(fit, (0, 120), (298, 120))
    row = answers.sel(y=120)
    np.testing.assert_allclose(line["composition"], row["composition"].transpose("x", "oxide"))
    np.testing.assert_allclose(
        line["composition_sd"], row["composition_sd"].transpose("x", "oxide")
    )
    np.testing.assert_allclose(line["x"], answers["x"])
    assert (line["count"] == 1).all()


def test_a_line_backwards_is_the_same_line_turned_round(fit):
    there = transect(fit, (20, 40), (260, 40), width_pixels=5)
    back = transect(fit, (260, 40), (20, 40), width_pixels=5)
    turned = back["composition"].to_numpy()[::-1]
    np.testing.assert_allclose(there["composition"], turned)
    np.testing.assert_allclose(there["x"], back["x"][::-1])


def test_a_garnet_strip_leaves_other_phases_and_mixed_pixels_out(fit):
    strip = transect(
        fit, (20, 120), (220, 120), width_um=10, phase="Garnet", min_pure_probability=0.9
    )
    filled = strip["count"] > 0
    assert (strip["phase_fraction"].sel(phase="Garnet")[filled] > 0.99).all()
    assert np.isnan(strip["composition"][~filled]).all()
    places = strip["position"][filled] + 20
    assert abs(float(places.min()) - 48) <= 6  # the garnet: 72 um about x = 120 um
    assert abs(float(places.max()) - 192) <= 6


def test_core_of_the_garnet_is_richer_in_manganese_than_its_rim(made):
    fit, truth = made
    strip = transect(fit, (120, 120), (190, 120), width_um=6, phase="Garnet")
    mn = strip["composition"].sel(oxide="MnO").to_numpy()
    true = truth.composition[OXIDES.index("MnO"), 60, 60 : 60 + len(mn)]
    reach = 4 * strip["composition_sd"].sel(oxide="MnO").to_numpy()
    filled = strip["count"].to_numpy() > 0
    assert mn[0] > 6 > 1.5 > mn[filled][-1]
    assert (np.abs(mn - true) < reach + 0.05)[filled].all()


def test_shared_errors_of_a_transect_are_correlated_within_a_phase_and_not_between(fit):
    strip = transect(fit, (6, 120), (200, 120), width_um=6)
    covariance = calibration_along(strip, "SiO2")
    sd = strip["composition_shared_sd"].sel(oxide="SiO2").to_numpy()
    np.testing.assert_allclose(np.diag(covariance), sd**2, rtol=1e-10)
    correlation = covariance.to_numpy() / np.outer(sd, sd)
    garnet = strip["phase_fraction"].sel(phase="Garnet").to_numpy() > 0.999
    quartz = strip["phase_fraction"].sel(phase="Quartz").to_numpy() > 0.999
    assert garnet.sum() > 50
    assert quartz.sum() >= 5
    assert correlation[np.ix_(garnet, garnet)].min() > 0.999
    assert np.abs(correlation[np.ix_(garnet, quartz)]).max() < 0.05


def pyrope(mean, sd):
    magnesium, iron = mean.sel(oxide="MgO") / 40.30, mean.sel(oxide="FeO") / 71.84
    share = magnesium / (magnesium + iron)
    relative = np.hypot(
        sd.sel(oxide="MgO") / mean.sel(oxide="MgO"), sd.sel(oxide="FeO") / mean.sel(oxide="FeO")
    )
    error = share * (1 - share) * relative
    result = xr.Dataset({"Mg_number": share, "Mg_number_sd": error})
    return result.drop_vars("oxide", errors="ignore")


def test_a_formula_travels_with_the_transect_and_splits_its_error(fit, tmp_path):
    strip = transect(fit, (60, 120), (180, 120), width_um=6, phase="Garnet", formula=pyrope)
    np.testing.assert_allclose(
        strip["Mg_number_sd"] ** 2,
        strip["Mg_number_independent_sd"] ** 2 + strip["Mg_number_shared_sd"] ** 2,
        rtol=1e-6,
    )
    path = write_transect(strip, tmp_path / "garnet.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == strip.sizes["position"]
    found = [float(row["Mg_number_shared_sd"]) for row in rows]
    np.testing.assert_allclose(found, strip["Mg_number_shared_sd"], rtol=1e-6)


def end_members(mean, sd):
    labels = ["alm", "prp"]
    share = xr.concat([mean.sel(oxide="FeO") / 43, mean.sel(oxide="MgO") / 30], "end_member")
    error = xr.concat([sd.sel(oxide="FeO") / 43, sd.sel(oxide="MgO") / 30], "end_member")
    result = xr.Dataset({"X": share, "X_sd": error}).drop_vars("oxide", errors="ignore")
    return result.assign_coords(end_member=labels)


def test_end_members_become_columns(fit, tmp_path):
    strip = transect(fit, (60, 120), (180, 120), phase="Garnet", formula=end_members)
    path = write_transect(strip, tmp_path / "garnet.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    for label in ("alm", "prp"):
        values = strip["X_independent_sd"].sel(end_member=label)
        found = [float(row[f"X_{label}_independent_sd"]) for row in rows]
        np.testing.assert_allclose(found, values, rtol=1e-6)


def test_a_transect_reads_back_from_its_file(fit, tmp_path):
    strip = transect(fit, (20, 120), (220, 130), width_um=10, phase="Garnet")
    path = write_transect(strip, tmp_path / "strip.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    for name, values in (
        ("distance_um", strip["position"]),
        ("MnO_wt%", strip["composition"].sel(oxide="MnO")),
        ("MnO_independent_sd", strip["composition_independent_sd"].sel(oxide="MnO")),
        ("Quartz_fraction", strip["phase_fraction"].sel(phase="Quartz")),
    ):
        found = [float(row[name] or "nan") for row in rows]
        np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-9)
    assert rows[0]["MnO_wt%"] == ""  # outside the garnet
    assert rows[0]["pixels"] == "0"


def test_a_transect_that_cannot_be_written_leaves_nothing(fit, tmp_path):
    strip = transect(fit, (60, 120), (180, 120))
    with pytest.raises(FitError, match="cannot be written"):
        write_transect(strip, tmp_path / "absent" / "strip.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": (-9, 0), "end": (50, 50)}, "the transect's start .* outside the map"),
        ({"start": (9, 9), "end": (9, 9)}, "starts where it ends"),
        ({"start": (0, 0), "end": (50, 50), "width_um": 0.0}, "width must be above 0"),
        ({"start": (0, 0), "end": (50, 50), "width_pixels": 0.0}, "width must be above 0"),
        ({"start": (0, 0), "end": (9, 9), "width_um": 4, "width_pixels": 2}, "not as both"),
        ({"start": (0, 0), "end": (50, 50), "every_pixels": 0}, "every_pixels"),
        ({"start": (0, 0), "end": (30, 0), "phase": "Garnet"}, "no pure Garnet pixel"),
        ({"start": (0, 0), "end": (30, 0), "phase": "Biotite"}, "no phase is named 'Biotite'"),
    ],
)
def test_an_impossible_transect_says_what_is_wrong_with_it(fit, arguments, message):
    with pytest.raises(DataError, match=message):
        transect(fit, **arguments)


def test_a_map_of_unknown_step_takes_its_width_in_pixels():
    fit, _ = fitlike(shape=(40, 50), step_um=None)
    with pytest.raises(DataError, match="use width_pixels"):
        transect(fit, (0, 5), (40, 5), width_um=3)
    strip = transect(fit, (0, 5), (40, 5), width_pixels=3)
    assert (strip["count"] == 3).all()
    assert strip["position"].attrs["units"] == "pixel"


# -- modes and bulk ----------------------------------------------------------------------------


def test_modes_of_the_whole_map_are_the_maps(fit, answers):
    modes = region_modes(fit)
    known = answers["phase_map"] >= 0
    expected = answers["phase_fraction"].where(known).mean(("y", "x"))
    np.testing.assert_allclose(modes["mode"], expected, rtol=1e-12)
    # The map's own sd is given as the fit states it: what the pixels add averages out.
    np.testing.assert_allclose(modes["mode_sd"], answers["mode_sd"], rtol=0.02)
    assert float(modes["mode"].sum()) == pytest.approx(1)
    assert (modes["mode_low"] < modes["mode"]).all()
    assert (modes["mode"] < modes["mode_high"]).all()


def test_modes_stay_between_nothing_and_everything(fit):
    modes = region_modes(fit, pixels_of(fit, "Garnet", 0.9))
    assert (modes["mode_low"] >= 0).all()
    assert (modes["mode_high"] <= 1).all()
    assert float(modes["mode"].sel(phase="Garnet")) > 0.99


def test_unknown_area_is_told(fit, answers):
    modes = region_modes(fit, box(fit, x=(246, 268), y=(42, 116)))
    expected = answers["unknown_probability"].sel(x=slice(246, 268), y=slice(42, 116)).mean()
    assert float(modes["unknown_fraction"]) == pytest.approx(float(expected))
    assert float(modes["unknown_fraction"]) > 0.05


def test_equal_densities_give_the_plain_mean(fit):
    region = box(fit, x=(20, 240), y=(20, 200))
    bulk = local_bulk(fit, region, density_kg_m3=dict.fromkeys(PHASES, 3000.0))
    np.testing.assert_allclose(bulk["bulk"], region_mean(fit, region)["composition"], rtol=1e-10)
    assert float(bulk["density_kg_m3"]) == pytest.approx(3000)


def test_bulk_of_pure_phases_is_their_mass_weighted_mean():
    fit, truth = fitlike(crack=False, calibration_error=0.0)
    bulk = local_bulk(fit)
    area = truth.fraction.mean(axis=(1, 2))
    mass = area * np.array(DENSITIES) / (area @ np.array(DENSITIES))
    of_phase = [
        (truth.composition * pure).sum(axis=(1, 2)) / pure.sum() for pure in truth.fraction > 0.999
    ]
    expected = mass @ np.array(of_phase)
    np.testing.assert_allclose(bulk["mass_fraction"], mass, atol=2e-3)
    # Zoned garnet rims lie in mixed pixels: the pure mean differs from the whole by under 0.3 %.
    np.testing.assert_allclose(bulk["bulk"], expected, rtol=0.006, atol=0.02)


def test_density_matters_where_garnet_lies_beside_quartz(fit):
    region = box(fit, x=(60, 140), y=(150, 230))
    weighted = local_bulk(fit, region)["bulk"].sel(oxide="FeO")
    plain = region_mean(fit, region)["composition"].sel(oxide="FeO")
    assert float(weighted) > 1.1 * float(plain)


def test_error_of_the_bulk_never_falls_below_the_calibrations(fit, answers):
    for region in (box(fit, x=(60, 66)), box(fit, x=(60, 200)), None):
        bulk = local_bulk(fit, region)
        share = bulk["mass_fraction"].to_numpy()
        covariance = answers["calibration_covariance"].to_numpy()
        shared = np.sqrt([share @ matrix @ share for matrix in covariance])
        np.testing.assert_allclose(bulk["bulk_calibration_sd"], shared, rtol=1e-9)
        assert (bulk["bulk_sd"] >= shared).all()


def test_bulk_error_from_density_agrees_with_drawing_densities(fit):
    region = box(fit, x=(20, 240), y=(20, 200))
    spread = dict(zip(PHASES, (40.0, 10.0, 30.0, 100.0), strict=True))
    stated = local_bulk(fit, region, density_sd_kg_m3=spread)["bulk_density_sd"]
    generator = np.random.default_rng(3)
    draws = [
        local_bulk(
            fit,
            region,
            density_kg_m3={
                name: generator.normal(density, spread[name])
                for name, density in zip(PHASES, DENSITIES, strict=True)
            },
        )["bulk"]
        for _ in range(50)
    ]
    # 50 draws know a sd to 10 %.
    np.testing.assert_allclose(stated, np.std(draws, axis=0), rtol=0.3, atol=1e-3)


def test_intervals_of_local_bulk_cover_the_truth_nine_times_in_ten():
    inside, number = 0, 0
    for seed in range(100):
        fit, truth = fitlike(seed, shape=(40, 50), crack=False)
        fit["derived"]["mode_sd"][:] = 0.0  # these maps have no shared error of the fractions
        bulk = local_bulk(fit)
        weight = np.einsum("kyx,k->yx", truth.fraction, np.array(DENSITIES))
        expected = _true_bulk(truth, weight)
        covered = (bulk["bulk_low"] <= expected) & (expected <= bulk["bulk_high"])
        inside, number = inside + int(covered.sum()), number + len(OXIDES)
    # Of 700 intervals the share's sd is 0.011.
    assert inside / number == pytest.approx(0.90, abs=0.035)


def _true_bulk(truth, weight):
    others = np.einsum("kyx,ko,k->o", truth.fraction[1:], OTHERS, np.array(DENSITIES[1:]))
    beside = np.einsum("kyx,ko->oyx", truth.fraction[1:], OTHERS)
    garnet = (truth.composition - beside).sum(axis=(1, 2)) * DENSITIES[0]
    return (garnet + others) / weight.sum()


def test_missing_densities_are_asked_for(made):
    fit = made[0].copy(deep=True)
    with pytest.raises(DataError, match="no density is known for Mica, Chlorite"):
        local_bulk(fit, density_kg_m3={"Garnet": 4000, "Quartz": 2650})
    with pytest.raises(DataError, match="did you mean 'Quartz'"):
        local_bulk(fit, density_kg_m3={"Quarz": 2650})
    with pytest.raises(DataError, match="0 or more"):
        local_bulk(fit, density_sd_kg_m3={"Garnet": -1})
    fit["constant_data"] = xr.DataTree(fit["constant_data"].to_dataset().drop_vars("density_kg_m3"))
    with pytest.raises(DataError, match=r"give density_kg_m3="):
        local_bulk(fit)


def test_calibration_error_of_the_helper_is_what_the_bulk_finds(fit):
    bulk = local_bulk(fit, pixels_of(fit, "Quartz", 0.9))
    relative = bulk["bulk_calibration_sd"] / bulk["bulk"]
    assert float(relative.sel(oxide="SiO2")) == pytest.approx(CALIBRATION_ERROR, rel=0.03)
