"""The command line: exit codes, messages, files whole or absent."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from petro_models import cli, datasets
from petro_models.configuration import load_configuration, make_problem
from petro_models.errors import FitError
from petro_models.histories.simulate import simulate_history
from petro_models.io.fits import load, save, write_text
from petro_models.io.staging import staged
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.thermodynamics.bundled import bundled_table

PROBLEM = """
[problem]
kind = "mass-transfer"
[data]
table = "rocks.csv"
protolith = "P1"
totals = "ignore"
[priors]
immobile_probability = "geochemical"
[sampler]
seed = 5
"""
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with simulated rocks, a problem file and its results."""
    folder = tmp_path_factory.mktemp("project")
    arguments = ["--samples", "3", "--elements", "10", "--immobile-share", "0.5", "--seed", "3"]
    assert cli.run(["simulate", "mass-transfer", str(folder / "rocks.csv"), *arguments]) == 0
    (folder / "problem.toml").write_text(PROBLEM)
    assert cli.run(["fit", str(folder / "problem.toml"), "--quiet"]) == 0
    return folder


@pytest.fixture
def blank_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an empty report where a test is about something else; a real one takes seconds."""

    def report(self: MassTransfer, fit: xr.DataTree, path: Path) -> Path:
        return write_text("<html></html>", path)

    monkeypatch.setattr(MassTransfer, "report", report)


def shell(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "petro_models.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- in a real shell -----------------------------------------------------------------------------


def test_fit_in_a_shell_writes_three_files_and_exits_0(project, tmp_path):
    done = shell("fit", str(project / "problem.toml"), "--out", "new/results", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "new" / "results") == ["fit.nc", "report.html", "resolved.toml"]
    assert "M/M0 runs from" in done.stdout
    assert re.search(r"^verdict: (PASS|REVIEW)$", done.stdout, re.MULTILINE)
    assert "note: units of SiO2" in done.stderr
    assert "method exact" in done.stderr


def test_bad_table_in_a_shell_is_one_message_and_exit_1(tmp_path):
    (tmp_path / "rocks.csv").write_text("sample,SiO2 wt%,TiO2 wt%,Zr ppm\nP1,50,1,9\nA,50,one,9\n")
    (tmp_path / "problem.toml").write_text(PROBLEM)
    done = shell("fit", "problem.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: problem.toml [data]: rocks.csv:3, column 'TiO2 wt%'")
    assert "'one' is not a number" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == ["problem.toml", "rocks.csv"]


def test_fit_that_does_not_pass_in_a_shell_exits_2(project, tmp_path):
    done = shell(
        "fit", str(project / "problem.toml"), "--draws", "8", "--out", "few", "-q", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith("FAIL    ") for line in lines)
    assert any("bulk ESS" in line and "too few independent draws" in line for line in lines)
    assert names(tmp_path / "few") == ["fit.nc", "report.html", "resolved.toml"]
    assert cli.run(["check", str(tmp_path / "few" / "fit.nc")]) == 2


@pytest.fixture
def heard_signals() -> Iterator[None]:
    """Let a started process hear Ctrl-C even where this one was told to ignore it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX shell")
@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_fit_leaves_nothing_and_exits_130(project, tmp_path, stop):
    (tmp_path / "slow.toml").write_text(
        PROBLEM.replace("rocks.csv", str(project / "rocks.csv"))
        .replace("[data]", 'mobility = "horseshoe"\n[data]')
        .replace('immobile_probability = "geochemical"', "")
        .replace("seed = 5", "draws = 50000")
    )
    with subprocess.Popen(
        [sys.executable, "-m", "petro_models", "fit", "slow.toml", "--out", "a/b"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("method nuts" in line for line in process.stderr)
        assert [path.name[:12] for path in (tmp_path / "a" / "b").iterdir()] == [".unfinished-"]
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted: nothing was written"
    assert out == ""
    assert names(tmp_path) == ["slow.toml"]


# -- fit -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank_page")
def test_resolved_file_reproduces_the_posterior(project, tmp_path):
    first = load(project / "results" / "fit.nc")
    resolved = project / "results" / "resolved.toml"
    assert cli.run(["fit", str(resolved), "--out", str(tmp_path), "--quiet"]) == 0
    again = load(tmp_path / "fit.nc")
    xr.testing.assert_identical(first["posterior"].to_dataset(), again["posterior"].to_dataset())
    assert first.attrs["model_id"] == again.attrs["model_id"]
    rerun = (tmp_path / "resolved.toml").read_text()
    relative = os.path.relpath(project / "rocks.csv", tmp_path)
    assert rerun.replace(Path(relative).as_posix(), "../rocks.csv") == resolved.read_text()


@pytest.mark.usefixtures("blank_page")
def test_options_win_over_the_file_and_stand_in_the_resolved_one(project, tmp_path):
    options = ["--seed", "8", "--draws", "400", "--method", "exact", "--out", str(tmp_path)]
    assert cli.run(["fit", str(project / "problem.toml"), *options, "-q"]) == 0
    text = (tmp_path / "resolved.toml").read_text()
    assert "seed = 8\n" in text
    assert "draws = 400\n" in text
    assert 'method = "exact"\n' in text
    assert load(tmp_path / "fit.nc").attrs["seed"] == 8


def test_option_that_is_no_good_is_an_error(project, capsys):
    assert cli.run(["fit", str(project / "problem.toml"), "--method", "nutz"]) == 1
    assert "method = 'nutz' is not known: did you mean 'nuts'?" in capsys.readouterr().err


@pytest.mark.usefixtures("blank_page")
def test_quiet_fit_says_nothing(project, tmp_path, capfd):
    assert cli.run(["fit", str(project / "problem.toml"), "--out", str(tmp_path), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_older_results_stay_until_the_new_ones_are_whole(project, tmp_path, monkeypatch, capsys):
    for name in ("fit.nc", "report.html", "resolved.toml"):
        (tmp_path / name).write_text("old")

    def fail(self: object, fit: object, path: object) -> Path:
        raise FitError("no ink")

    monkeypatch.setattr(MassTransfer, "report", fail)
    arguments = ["fit", str(project / "problem.toml"), "--out", str(tmp_path)]
    assert cli.run(arguments) == 1
    assert "error: no ink" in capsys.readouterr().err
    assert names(tmp_path) == ["fit.nc", "report.html", "resolved.toml"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    monkeypatch.setattr(MassTransfer, "report", lambda self, fit, path: write_text("new", path))
    assert cli.run(arguments) == 0
    assert "old" not in {path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()}


def test_folder_that_cannot_be_written_is_known_before_sampling(project, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "results")
    assert cli.run(["fit", str(project / "problem.toml"), "--out", out]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_staged_folder_replaces_whole_folders_too(tmp_path):
    for content in ("one", "two"):
        with staged(tmp_path / "made") as stage:
            (stage / "fit.zarr").mkdir()
            (stage / "fit.zarr" / content).write_text(content)
    assert names(tmp_path / "made") == ["fit.zarr"]
    assert names(tmp_path / "made" / "fit.zarr") == ["two"]


# -- report, check -------------------------------------------------------------------------------


def test_report_stands_beside_the_fit_or_where_asked(project, tmp_path, capsys):
    saved = tmp_path / "mine.nc"
    save(load(project / "results" / "fit.nc"), saved)
    assert cli.run(["report", str(saved)]) == 0
    assert cli.run(["report", str(saved), str(tmp_path / "other.html")]) == 0
    assert names(tmp_path) == ["mine.html", "mine.nc", "other.html"]
    assert f"wrote {tmp_path / 'other.html'}" in capsys.readouterr().out
    assert cli.run(["report", str(saved), str(saved)]) == 1
    assert "would replace the fit" in capsys.readouterr().err


def test_check_prints_every_verdict(project, capsys):
    assert cli.run(["check", str(project / "results" / "fit.nc")]) == 0
    printed = ESCAPE.sub("", capsys.readouterr().out)
    assert "R-hat" in printed
    assert "(mass_change[A" in printed
    assert "overall" in printed


@pytest.mark.parametrize("command", ["check", "report"])
def test_file_that_is_no_fit_is_an_error(command, project, tmp_path, capsys):
    assert cli.run([command, str(tmp_path / "none.nc")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.nc'}: no such file\n"
    assert cli.run([command, str(project / "rocks.csv")]) == 1
    assert "cannot be read as a fit" in capsys.readouterr().err
    xr.Dataset({"x": 1}).to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    assert cli.run([command, str(tmp_path / "other.nc")]) == 1
    assert "no fit of petro_models" in capsys.readouterr().err


# -- demo, simulate, datasets, init --------------------------------------------------------------


def test_demo_writes_five_reports_and_holds_the_truth(tmp_path, capsys):
    assert cli.run(["demo", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert "Two frames compete" in printed
    inside, of = re.findall(r"true M/M0 of (\d) of (\d) samples", printed)[0]
    assert int(inside) >= int(of) - 2
    error = float(re.findall(r"fractions are wrong by (0\.\d+)", printed)[0])
    assert error < 0.03
    stems = ["grant2005", "grant2005_geochemical", "simulated", "phase_map"]
    for stem in stems:
        assert str(tmp_path / "demo" / f"{stem}.html") in printed
    expected = [f"{stem}.{suffix}" for stem in stems for suffix in ("html", "nc")]
    expected += ["simulated.csv", "simulated.truth.toml", "phase_map.spots.csv"]
    expected += ["phase_map.maps.toml", "phase_map.maps.npy", "phase_map.truth.nc"]
    expected += ["thin_section", "thin_section.html"]
    # One section: the bands of its positions move together.
    held = [int(share) for share in re.findall(r"(?:P|T|age) at (\d+) %", printed)]
    assert len(held) == 3
    assert np.mean(held) > 60
    assert names(tmp_path / "demo") == sorted(expected)


@pytest.mark.usefixtures("blank_page")
def test_interrupted_demo_says_what_is_complete(tmp_path, monkeypatch, capsys):
    whole, calls = MassTransfer.fit, []

    def fit(self: MassTransfer, **options: object) -> xr.DataTree:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MassTransfer, "fit", fit)
    monkeypatch.setattr(datasets, "grant2005", lambda: simulate_mass_table(2, 8)[0])
    assert cli.run(["demo", "--out", str(tmp_path)]) == 130
    page = tmp_path / "grant2005.html"
    expected = f"interrupted: complete are {page}; nothing else was written"
    assert expected in capsys.readouterr().err
    assert names(tmp_path) == ["grant2005.html", "grant2005.nc"]


def test_simulate_names_the_protolith_and_refuses_to_replace(tmp_path, capsys):
    file = str(tmp_path / "sub.csv")
    assert cli.run(["simulate", "mass-transfer", file]) == 0
    assert 'protolith = "P1" and totals = "ignore"' in capsys.readouterr().out
    assert names(tmp_path) == ["sub.csv", "sub.truth.toml"]
    assert cli.run(["simulate", "mass-transfer", file]) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert cli.run(["simulate", "mass-transfer", file, "--force", "--co-moving-share", "0.3"]) == 0
    assert cli.run(["simulate", "mass-transfer", file, "--force", "--elements", "99"]) == 1
    assert "n_elements must be 3 to 60; got 99" in capsys.readouterr().err


def test_fit_of_simulated_rocks_recovers_the_truth(project):
    truth = tomllib.loads((project / "rocks.truth.toml").read_text())
    derived = load(project / "results" / "fit.nc")["derived"]
    ratio = derived["mass_ratio"].quantile([0.005, 0.995], ("chain", "draw")).to_numpy()
    known = np.exp(list(truth["mass_change"].values()))
    assert ((ratio[0] < known) & (known < ratio[1])).all()


def test_datasets_are_listed_shown_and_copied_with_their_citation(tmp_path, capsys):
    assert cli.run(["datasets"]) == 0
    listed = capsys.readouterr().out
    assert "grant2005  [mass-transfer]\n    Grant, J.A. (2005)" in listed
    assert "laurels_preserve  [mass-transfer, kept outside: PETRO_MODELS_DATA]" in listed
    assert "alps  [phase-maps, kept outside: PETRO_MODELS_DATA]" in listed
    assert cli.run(["datasets", "grant2005"]) == 0
    shown = capsys.readouterr().out
    assert "46.45" in shown
    assert "protolith: UA" in shown
    assert "Cite: Grant" in shown
    assert cli.run(["datasets", "grant2005", "--write", str(tmp_path)]) == 0
    assert (tmp_path / "grant2005.csv").read_text().startswith("sample,SiO2 wt%")
    assert cli.run(["datasets", "grant2005", "--write", str(tmp_path)]) == 1
    assert cli.run(["datasets", "grant"]) == 1
    assert "did you mean 'grant2005'?" in capsys.readouterr().err
    assert cli.run(["datasets", "--write", str(tmp_path)]) == 1
    assert "--write needs the name of a table" in capsys.readouterr().err


def test_init_writes_a_template_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init"]) == 0
    assert cli.run(["init"]) == 1
    assert "problem.toml: is there already" in capsys.readouterr().err
    assert cli.run(["fit", "problem.toml"]) == 1
    assert "[data]: give either table" in capsys.readouterr().err


# -- usage ---------------------------------------------------------------------------------------


def test_version_and_help_exit_0(capsys):
    assert cli.run(["--version"]) == 0
    assert re.fullmatch(r"petro-models \d+\.\d+\.\d+\n", capsys.readouterr().out)
    for arguments in (["--help"], [], ["fit", "--help"], ["simulate", "mass-transfer", "--help"]):
        assert cli.run(arguments) == 0
        assert "Usage:" in ESCAPE.sub("", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fitt"], "No such command 'fitt'. Did you mean 'fit'?"),
        (["fit"], "Missing argument 'PROBLEM.toml'"),
        (["fit", "x.toml", "--drows", "3"], "No such option: --drows"),
        (["fit", "x.toml", "--draws", "many"], "Invalid value for '--draws'"),
        (["simulate"], "Missing command"),
        (["fit", "none.toml"], "none.toml: cannot be read: No such file or directory"),
    ],
)
def test_usage_error_is_one_message_and_exit_1(arguments, expected, capsys):
    assert cli.run(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert expected in captured.err
    assert captured.out == ""


# -- histories -----------------------------------------------------------------------------------


def test_simulated_garnets_are_read_back_and_make_a_problem(tmp_path, capsys):
    folder = tmp_path / "garnets"
    arguments = ["--grains", "2", "--positions", "12", "--ages", "2", "--seed", "3"]
    assert cli.run(["simulate", "histories", str(folder), *arguments]) == 0
    assert names(folder) == ["ages.csv", "problem.toml", "profiles.csv", "truth.nc"]
    problem = make_problem(load_configuration(folder / "problem.toml"))
    profiles, ages, _ = simulate_history(
        bundled_table(), n_grains=2, n_positions=12, n_ages=2, seed=3
    )
    for name in ("radius_um", "composition", "composition_sd", "rim_radius_um"):
        np.testing.assert_allclose(problem.data[name], profiles[name], rtol=1e-7)
    for name in ("zone_inner_um", "zone_age_Ma", "zone_age_sd_Ma"):
        np.testing.assert_allclose(problem.data[name], ages[name], rtol=1e-7)
    assert cli.run(["simulate", "histories", str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert cli.run(["simulate", "histories", str(tmp_path / "x"), "--path", "clokwise"]) == 1
    assert "did you mean 'clockwise'?" in capsys.readouterr().err
