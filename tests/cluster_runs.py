"""Small runs of a simulated map, shared by the tests of the engines."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from petro_models import cli
from petro_models.cluster.engine import SerialEngine, run_items
from petro_models.cluster.records import FOLDER, Record
from petro_models.cluster.regions import open_store
from petro_models.cluster.work import RUN_FOLDER, records_of
from petro_models.configuration import load_configuration
from petro_models.phase_maps.tiles import MAPS
from petro_models.runs import begin_run

SIZE = ["--height", "48", "--width", "56", "--spots", "24", "--seed", "5"]
TILES = 24
SETTINGS = f"""
[sampler]
method = "laplace"
draws = 60
chains = 2
seed = 2

[engine]
tile_rows = {48 // TILES}
"""


def make_project(folder: Path, engine: str = "", phases: int = 3, options: str = "") -> Path:
    """Simulate a map in a folder; gives its problem file."""
    parts = ["--phases", str(phases), "--elements", str(phases + 1)]
    assert cli.run(["simulate", "phase-maps", str(folder / "map"), *SIZE, *parts]) == 0
    file = folder / "map" / "problem.toml"
    text = file.read_text().replace("[data]", f"pixels = 300\n{options}\n\n[data]")
    file.write_text(text + SETTINGS + engine)
    return file


def run_serially(file: Path, target: Path) -> Path:
    """Compute a run one item after another in this process; gives its folder."""
    folder = begin_run([load_configuration(file)], target)
    records = run_items(folder, SerialEngine, show=False)
    assert [record.state for record in records] == ["done"] * (TILES + 1)
    return folder


def copy_begun(done: Path, target: Path) -> Path:
    """Copy a finished run as it was when the global unknowns were known and no tile was."""
    folder = target / RUN_FOLDER
    shutil.copytree(done, folder)
    for path in sorted((folder / FOLDER).glob("*.json"))[1:]:
        path.unlink()
    for path in (folder / MAPS).glob("*/c"):
        if path.parent.name not in ("y", "x", "phase", "oxide", "spot", "axis_name", "phase2"):
            shutil.rmtree(path)
    return folder


def assert_same_maps(one: Path, other: Path) -> None:
    """Assert that two runs hold the same numbers to the last bit, and no gaps."""
    with open_store(one / MAPS) as here, open_store(other / MAPS) as there:
        assert set(here.variables) == set(there.variables)
        for name in here.data_vars:
            np.testing.assert_array_equal(here[name], there[name], err_msg=str(name))
        assert np.isfinite(here["phase_fraction"]).all()


def shell(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "petro_models", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process and give what it said; it must have succeeded, or failed checks alone."""
    said, _ = process.communicate(timeout=300)
    assert process.returncode in (0, 2), said
    return said


def wait_for[T](look: Callable[[], T | None], what: str, seconds: float = 120) -> T:
    """Look until something is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    raise TimeoutError(f"waited {seconds:.0f} s for {what}")


def someone_at_work(folder: Path, first: int = 0) -> Record | None:
    """Give the record of an item that is being computed."""
    running = [record for record in records_of(folder)[first:] if record.state == "running"]
    return running[0] if running else None


def number_done(folder: Path) -> int:
    """Count the items that are done."""
    return sum(record.state == "done" for record in records_of(folder))


def kill(pid: int) -> None:
    """End a process so that it can do nothing about it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
