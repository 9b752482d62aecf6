"""Phase maps on the command line: simulate, fit, check, report, export, all in a real shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from petro_models import cli
from petro_models.io.epma import read_epma, read_spots
from petro_models.io.epma_out import write_epma, write_spots
from petro_models.io.fits import load
from petro_models.phase_maps.simulate import simulate_phase_maps

SIZE = ["--height", "48", "--width", "56", "--phases", "3", "--elements", "4", "--spots", "24"]
SAMPLER = '\n[sampler]\nmethod = "laplace"\ndraws = 120\nseed = 2\n'


def shell(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "petro_models", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a simulated map and the results of its fit."""
    folder = tmp_path_factory.mktemp("project")
    done = shell("simulate", "phase-maps", "map", *SIZE, "--seed", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    file = folder / "map" / "problem.toml"
    file.write_text(file.read_text().replace("[data]", "pixels = 500\n\n[data]") + SAMPLER)
    done = shell("fit", "map/problem.toml", cwd=folder)
    (folder / "printed.txt").write_text(done.stdout + done.stderr)
    assert done.returncode in (0, 2), done.stderr
    return folder


def test_simulated_map_is_read_back_as_it_was_written(project):
    maps, spots, truth = simulate_phase_maps(48, 56, 3, 4, n_spots=24, seed=5)
    folder = project / "map"
    again = read_epma(folder / "maps.toml")
    xr.testing.assert_equal(again["counts"], maps["counts"])
    assert float(again["step_um"]) == float(maps["step_um"])
    analyses = read_spots(folder / "spots.csv", again)
    for name in ("wt_percent", "wt_percent_sd", "column", "row"):
        np.testing.assert_allclose(analyses[name], spots[name], rtol=1e-6, atol=1e-9)
    assert (analyses["phase"] == spots["phase"]).all()
    with xr.open_dataset(folder / "truth.nc") as known:
        np.testing.assert_array_equal(known["phase_fraction"], truth["phase_fraction"])


def test_fit_of_a_simulated_map_finds_its_modes(project):
    results = project / "map" / "results"
    assert names(results) == ["fit.nc", "report.html", "resolved.toml"]
    derived = load(results / "fit.nc")["derived"]
    with xr.open_dataset(project / "map" / "truth.nc") as known:
        mode = known["phase_fraction"].mean(("y", "x")).sel(phase=derived["phase"])
    # Counting alone leaves 1e-3; the posterior is of a normal approximation on 500 pixels.
    np.testing.assert_allclose(derived["mode"], mode, atol=0.01)
    assert "Modes by area" in (project / "printed.txt").read_text()


def test_resolved_file_of_a_map_names_its_files_from_the_results(project):
    text = (project / "map" / "results" / "resolved.toml").read_text()
    assert 'maps = "../maps.toml"' in text
    assert 'spots = "../spots.csv"' in text
    assert 'method = "laplace"' in text
    assert "[priors.registration_shift]" in text


def test_export_writes_what_other_programs_read(project, tmp_path):
    fit = project / "map" / "results" / "fit.nc"
    done = shell("export", str(fit), "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["geotiff", "png", "xmaptools"]
    written = np.loadtxt(tmp_path / "out" / "xmaptools" / "SiO2.txt")
    derived = load(fit)["derived"]
    known = derived["phase_map"] >= 0
    expected = derived["composition"].sel(oxide="SiO2").where(known).fillna(0.0)
    np.testing.assert_allclose(written, expected, atol=1e-4)
    assert (tmp_path / "out" / "geotiff" / "phase_map.tif").stat().st_size > 1000
    assert (tmp_path / "out" / "png" / "legend.csv").read_text().startswith("picture,what")


def test_export_of_another_problem_is_an_error_and_leaves_nothing(tmp_path, grant_fit, capsys):
    from petro_models.io.fits import save

    save(grant_fit, tmp_path / "rocks.nc")
    assert cli.run(["export", str(tmp_path / "rocks.nc"), str(tmp_path / "out")]) == 1
    assert "no fit of PhaseMaps" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_report_of_the_saved_map_alone_is_written(project, tmp_path, capsys):
    shutil.copy(project / "map" / "results" / "fit.nc", tmp_path / "fit.nc")
    assert cli.run(["report", str(tmp_path / "fit.nc")]) == 0
    assert "Phase map and modes" in (tmp_path / "fit.html").read_text(encoding="utf-8")


def test_simulate_refuses_to_replace_a_map_and_sizes_that_cannot_be(project, capsys):
    folder = str(project / "map")
    assert cli.run(["simulate", "phase-maps", folder]) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert cli.run(["simulate", "phase-maps", folder, "--force", "--phases", "40"]) == 1
    assert "2 to 12 phases" in capsys.readouterr().err
    assert (project / "map" / "maps.npy").exists()


def test_init_writes_a_template_of_the_kind_asked_for(tmp_path, capsys):
    file = tmp_path / "map.toml"
    assert cli.run(["init", str(file), "--kind", "phase-maps"]) == 0
    assert 'kind = "phase-maps"' in file.read_text()
    assert cli.run(["fit", str(file)]) == 1
    assert "[data]: give either maps" in capsys.readouterr().err
    assert cli.run(["init", str(tmp_path / "x.toml"), "--kind", "phase-map"]) == 1
    assert "did you mean 'phase-maps'?" in capsys.readouterr().err
    assert not (tmp_path / "x.toml").exists()


def test_published_maps_are_shown_but_not_copied(real_data, tmp_path, capsys):
    assert cli.run(["datasets", "alps"]) == 0
    shown = capsys.readouterr().out
    assert "500 x 400 pixels" in shown
    assert "177 spots" in shown
    assert "Cite: Lanari" in shown
    assert cli.run(["datasets", "alps", "--write", str(tmp_path)]) == 1
    assert "is not copied from here" in capsys.readouterr().err


def test_conditions_and_registration_of_a_map_survive_the_round_trip(tmp_path):
    maps, spots, _ = simulate_phase_maps(24, 26, 2, 3, n_spots=2, dead_time_ns=900, seed=1)
    maps["probe_current_nA"] = 100.0
    maps["stage_to_pixel"][:] = [[500.0, 0.0, 3.0], [0.0, -500.0, 9.0]]
    maps["stage_to_pixel"].attrs["units"] = "mm"
    maps["dwell_s"][1] = np.nan
    spots["wt_percent"][0, 1] = np.nan
    spots["wt_percent_sd"][:, 2] = np.nan
    spots["order"] = spots["order"][::-1].drop_vars("spot")
    again = read_epma(write_epma(maps, tmp_path / "maps.toml"))
    for name in ("counts", "dwell_s", "dead_time_ns", "probe_current_nA", "stage_to_pixel"):
        np.testing.assert_allclose(again[name], maps[name])
    analyses = read_spots(write_spots(spots, tmp_path / "spots.csv"), again)
    for name in ("wt_percent", "wt_percent_sd", "order"):
        np.testing.assert_allclose(analyses[name], spots[name], rtol=1e-6)
