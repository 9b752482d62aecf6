"""A real Slurm, started here: a worker killed, all jobs cancelled, and a resume."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_runs import (
    TILES,
    assert_same_maps,
    finished,
    kill,
    make_project,
    number_done,
    run_serially,
    shell,
    someone_at_work,
    wait_for,
)
from slurm_on_loopback import cancel_jobs, jobs, slurm, why_not

from petro_models.cluster.work import PLAN, RUN_FOLDER, records_of

JOBS = """
kind = "slurm"
workers = 2
cores = 1
memory = "2GB"
interface = "lo"
address = "127.0.0.1"
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Give the environment of a running Slurm; a run in CI may not do without it."""
    if reason := why_not():
        if os.environ.get("CI"):
            pytest.fail(f"no Slurm to test on: {reason}")
        pytest.skip(reason)
    # Not in pytest's folder, which munge's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        with slurm(folder) as environment:
            yield environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled programs where they are deleted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def test_cancelled_slurm_run_is_resumed_and_equals_the_serial_one(cluster, tmp_path):
    file, out = make_project(tmp_path, JOBS, 2, 'mixtures = "pairs"'), tmp_path / "out"
    folder = out / RUN_FOLDER
    first = shell("fit", file, "--out", out, environment=cluster)
    wait_for((folder / PLAN).exists, "the plan")
    # The worker that samples is killed: another takes its item over.
    killed = wait_for(lambda: someone_at_work(folder), "a worker")
    kill(killed.pid)
    wait_for(lambda: number_done(folder) > 2, "two tiles")
    kill(first.pid)
    first.communicate()
    cancel_jobs(cluster)
    wait_for(lambda: not jobs(cluster), "the jobs' end")
    records = records_of(folder)
    before = {record.item: record.began for record in records if record.state == "done"}
    assert 2 < len(before) < TILES + 1
    assert records[0].pid != killed.pid

    finished(shell("fit", file, "--out", out, environment=cluster))
    records = records_of(folder)
    assert [record.state for record in records] == ["done"] * (TILES + 1)
    assert {r.item: r.began for r in records if r.item in before} == before
    assert (out / "fit.nc").exists()
    wait_for(lambda: not jobs(cluster), "the jobs' end")
    assert_same_maps(folder, run_serially(file, tmp_path / "serial"))


def test_calibration_on_slurm_has_the_ranks_of_one_process(cluster, tmp_path):
    file = tmp_path / "problem.toml"
    file.write_text('[problem]\nkind = "mass-transfer"\n[data]\ndataset = "toorongo1989"\n')
    queued = tmp_path / "queued.toml"
    queued.write_text(f"{file.read_text()}[engine]{JOBS}")
    options = ["--replicates", "12", "--draws", "100"]
    found = {}
    for name, problem in (("serial", file), ("slurm", queued)):
        run = shell("calibrate", problem, *options, "--out", tmp_path / name, environment=cluster)
        said, _ = run.communicate(timeout=300)
        assert run.returncode in (0, 2), said
        found[name] = json.loads((tmp_path / name / "calibration.json").read_text())
    workers = {record.pid for record in records_of(tmp_path / "slurm" / RUN_FOLDER)}
    assert len(workers) == 2
    assert found["slurm"]["quantities"] == found["serial"]["quantities"]
    assert found["slurm"]["replicates"] == {"ok": 12}
    wait_for(lambda: not jobs(cluster), "the jobs' end")


def test_job_that_slurm_refuses_is_an_error_at_once(cluster, tmp_path):
    file = tmp_path / "problem.toml"
    file.write_text(
        '[problem]\nkind = "mass-transfer"\n[data]\ndataset = "grant2005"\n[engine]'
        f'{JOBS}partition = "nowhere"\n'
    )
    run = shell("fit", file, "--out", tmp_path / "out", environment=cluster)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "Slurm refuses such a job: " in said
    assert "invalid partition specified: nowhere" in said
    assert jobs(cluster) == []
