"""Faults of processes and disks: nothing finished is lost, nothing half-written stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import petro_models as petro
from petro_models import cli
from petro_models.io.fits import load

PROBLEM = """[problem]
kind = "mass-transfer"
[data]
table = "rocks.csv"
protolith = "UA"
[sampler]
draws = {draws}
seed = 1
[output]
folder = "results"
"""
RESULTS = {"fit.nc", "report.html", "resolved.toml"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rocks.csv").write_bytes(petro.datasets.path("grant2005").read_bytes())
    (tmp_path / "problem.toml").write_text(PROBLEM.format(draws=200))
    return tmp_path


def start(project: Path, *more: str) -> subprocess.Popen[str]:
    """Start a fit in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "petro_models", "fit", str(project / "problem.toml"), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def visible(folder: Path) -> set[str]:
    """Name the files of a folder that are no leftovers of a stage."""
    if not folder.exists():
        return set()
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("moment", ["at once", "while it writes"])
def test_a_fit_that_is_killed_leaves_old_results_whole_and_the_next_one_works(
    project: Path, moment: str
) -> None:
    results = project / "results"
    assert cli.run(["fit", str(project / "problem.toml"), "--quiet"]) in (0, 2)
    before = {name: (results / name).read_bytes() for name in RESULTS}
    process = start(project, "--draws", "300")
    wait_for(lambda: any(results.glob(".unfinished-*")))
    if moment == "while it writes":
        wait_for(lambda: any(results.glob(".unfinished-*/*")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode == -signal.SIGKILL:
        assert {name: (results / name).read_bytes() for name in RESULTS} == before
    assert cli.run(["fit", str(project / "problem.toml"), "--quiet"]) in (0, 2)
    assert visible(results) == RESULTS
    assert load(results / "fit.nc").attrs["seed"] == 1


def test_a_full_disk_is_one_message_and_leaves_nothing(project: Path) -> None:
    # The largest file that the process may write ends below the size of a fit: every write beyond
    # it fails as on a full disk.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "from petro_models import cli; sys.exit(cli.run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "fit", str(project / "problem.toml")],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": ""},
        check=False,
    )
    assert done.returncode == cli.ERROR, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    assert visible(project / "results") == set()


def test_a_folder_of_the_system_cannot_be_an_output(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", str(project / "problem.toml"), "--out", "/proc/petro_models"]
    assert cli.run(arguments) == cli.ERROR
    assert "/proc/petro_models: cannot be written" in capsys.readouterr().err


def test_two_fits_into_one_folder_leave_one_whole_set(project: Path) -> None:
    both = [start(project, "--seed", str(seed)) for seed in (1, 2)]
    for process in both:
        process.communicate()
    assert {process.returncode for process in both} <= {0, 2}
    results = project / "results"
    assert visible(results) == RESULTS
    fit = load(results / "fit.nc")
    # The three files are of the same fit.
    assert f"seed = {fit.attrs['seed']}" in (results / "resolved.toml").read_text()
