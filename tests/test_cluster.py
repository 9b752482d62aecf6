"""Runs of items: every engine gives what the serial one does, whatever is killed on the way."""

import json
import os
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import xarray as xr
from cluster_runs import (
    TILES,
    assert_same_maps,
    copy_begun,
    finished,
    kill,
    make_project,
    number_done,
    run_serially,
    shell,
    someone_at_work,
    wait_for,
)

import petro_models as petro
from petro_models import cli
from petro_models.cluster import locks
from petro_models.cluster.array import Task, task_of
from petro_models.cluster.engine import SerialEngine, run_items
from petro_models.cluster.fits import fit_items, lay_down_fits, plan_fits
from petro_models.cluster.local import LocalEngine
from petro_models.cluster.processes import environment_of, node_type, where_programs_are_kept
from petro_models.cluster.records import Record, read_record, write_record
from petro_models.cluster.regions import make_store, open_store, write_region
from petro_models.cluster.slurm import SlurmSettings
from petro_models.cluster.work import open_work, records_of, seed_of, write_plan
from petro_models.errors import ConfigurationError, FitError, FormatError
from petro_models.inference.draws import Sampled
from petro_models.io.fits import load
from petro_models.phase_maps import tiles
from petro_models.phase_maps.tiles import PROBLEM, SAMPLED
from petro_models.problem import problem_of
from petro_models.runs import engine_maker


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled programs where they are deleted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the problem file of a small simulated map."""
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def serial(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a run that was computed serially."""
    return run_serially(project, tmp_path_factory.mktemp("serial"))


@pytest.fixture
def begun(serial: Path, tmp_path: Path) -> Path:
    """Give the folder of a run whose tiles are all missing."""
    return copy_begun(serial, tmp_path / "out")


# -- tiles ---------------------------------------------------------------------------------------


def test_merged_tiles_equal_the_whole_map_within_single_precision(serial):
    assert cli.run(["merge", str(serial.parent)]) == 0
    merged = load(serial.parent / "fit.nc")
    problem = problem_of(load(serial / PROBLEM))
    with xr.open_datatree(serial / SAMPLED, engine="netcdf4") as tree:
        sampled = Sampled.from_tree(tree.load())
    xr.testing.assert_identical(
        merged["posterior"].to_dataset().drop_attrs(), sampled.draws.posterior.drop_attrs()
    )
    whole = problem.derive_from(sampled.draws, sampled.seed)
    found = merged["derived"].to_dataset()
    assert set(found.variables) == set(whole.variables)
    for name, values in whole.data_vars.items():
        name = str(name)
        assert found[name].dtype == values.dtype
        # A variance is a difference of squares that nearly cancel: of 50 wt%, 2500 x 6e-8 of each.
        rtol, atol = (2e-2, 1e-4) if name.endswith("_sd") else (2e-6, 2e-6)
        np.testing.assert_allclose(found[name], values, rtol=rtol, atol=atol, err_msg=name)
    assert merged.attrs["model_id"] == problem.model_id
    assert {"report.html", "resolved.toml"} <= {path.name for path in serial.parent.iterdir()}


def test_a_map_in_a_mapped_file_is_fitted_as_one_in_memory(tmp_path, monkeypatch):
    maps, spots, _ = petro.simulate_phase_maps(24, 20, 3, 5, n_spots=30, seed=6)
    np.save(tmp_path / "counts.npy", maps["counts"].to_numpy())
    counts = np.load(tmp_path / "counts.npy", mmap_mode="r")
    mapped = petro.PhaseMaps(
        maps.assign(counts=(maps["counts"].dims, counts, maps["counts"].attrs)), spots, pixels=300
    )
    problem = petro.PhaseMaps(maps, spots, pixels=300)
    assert mapped.model_id == problem.model_id
    assert np.shares_memory(mapped.data["counts"].to_numpy(), counts)
    monkeypatch.setattr(tiles, "MOST_BYTES_IN_MEMORY", 0)
    options = {"method": "laplace", "draws": 50, "seed": 1, "progressbar": False}
    file = petro.fit_in_tiles(mapped, tmp_path / "out", engine="serial", tile_rows=7, **options)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"fit.nc", "report.html", "run"}
    assert not list((tmp_path / "out" / "run").glob("tmp*"))
    found = load(file)
    assert found.attrs["model_id"] == problem.model_id
    np.testing.assert_array_equal(found["constant_data"]["counts"], maps["counts"])
    with xr.open_datatree(tmp_path / "out" / "run" / SAMPLED, engine="netcdf4") as tree:
        sampled = Sampled.from_tree(tree.load())
    whole = problem.derive_from(sampled.draws, sampled.seed)
    for name in ("phase_fraction", "composition", "mode", "unknown_probability"):
        ours, theirs = found["derived"][name], whole[name]
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6, err_msg=name)
    # The same call finds all of it done.
    assert petro.fit_in_tiles(mapped, tmp_path / "out", engine="serial", tile_rows=7, **options)


def test_a_damaged_problem_is_named_and_an_unknown_engine_writes_nothing(begun, tmp_path):
    (piece,) = (begun / PROBLEM / "constant_data" / "counts" / "c" / "0" / "5").iterdir()
    piece.write_bytes(b"not what was written")
    with pytest.raises(FormatError, match=rf"{PROBLEM}: cannot be read as a fit"):
        open_work(begun)._load_problem()
    maps, spots, _ = petro.simulate_phase_maps(24, 20, 3, 5, n_spots=30, seed=6)
    problem = petro.PhaseMaps(maps, spots, pixels=300)
    with pytest.raises(ConfigurationError, match="'array' does not compute by itself"):
        petro.fit_in_tiles(problem, tmp_path / "nowhere", engine="array")
    assert not (tmp_path / "nowhere").exists()


def test_killed_worker_is_replaced_and_its_tile_computed_again(serial, begun):
    killed = []

    def kill_one() -> None:
        record = wait_for(lambda: someone_at_work(begun, 1), "a tile at work")
        killed.append(record)
        kill(record.pid)

    killer = threading.Thread(target=kill_one)
    killer.start()
    records = run_items(begun, lambda folder: LocalEngine(folder, workers=2), show=False)
    killer.join()
    assert {record.state for record in records} == {"done"}
    assert killed[0].pid not in {record.pid for record in records}
    assert_same_maps(begun, serial)


def test_run_that_was_killed_is_resumed_by_the_same_command(project, serial, begun, capsys):
    out = begun.parent
    command = ["fit", str(project), "--engine", "local", "--workers", "2", "--out", str(out)]
    run = shell(*command)
    wait_for(lambda: number_done(begun) > 2, "two tiles")
    kill(run.pid)
    run.communicate()
    while record := someone_at_work(begun):
        kill(record.pid)
    assert (begun / "lock").exists()
    before = number_done(begun)
    assert before < TILES

    assert cli.run(["merge", str(out)]) == 1
    assert f"{TILES + 1 - before} of {TILES + 1} items are not done" in capsys.readouterr().err
    assert not (out / "fit.nc").exists()
    assert cli.run(["status", str(out)]) == 0
    assert f"{before} of {TILES + 1} done" in capsys.readouterr().out

    finished_before = {r.item: r.began for r in records_of(begun) if r.state == "done"}
    assert cli.run(command) in (0, 2)
    after = {record.item: record.began for record in records_of(begun)}
    assert {item: after[item] for item in finished_before} == finished_before
    assert_same_maps(begun, serial)
    assert (out / "fit.nc").exists()
    assert not (begun / "lock").exists()


def test_tasks_of_a_job_array_compute_their_shares(serial, begun):
    out, tasks = begun.parent, []
    for index in (3, 4):
        variables = {"ID": index, "COUNT": 2, "MIN": 3, "MAX": 4, "STEP": 1}
        environment = {f"SLURM_ARRAY_TASK_{name}": str(n) for name, n in variables.items()}
        tasks.append(shell("work", out, "--array", environment=environment))
    said = [finished(task) for task in tasks]
    assert f"task 0 of 2: {TILES // 2 + 1} items done" in said[0]
    assert f"task 1 of 2: {TILES // 2} items done" in said[1]
    assert_same_maps(begun, serial)


def test_failing_tile_is_recorded_and_the_others_are_done(begun, capsys):
    (broken,) = (begun / PROBLEM / "constant_data" / "counts" / "c" / "0" / "5").iterdir()
    broken.write_bytes(b"not what was written")
    records = run_items(begun, SerialEngine, show=False)
    failed = [record for record in records if record.state == "failed"]
    # Its neighbours cannot do without its pixels at their borders.
    assert [record.item for record in failed] == ["rows 8 to 9", "rows 10 to 11", "rows 12 to 13"]
    assert failed[0].message
    assert cli.run(["status", str(begun.parent)]) == 0
    said = capsys.readouterr().out
    assert f"{TILES - 2} of {TILES + 1} done, 3 failed" in said
    assert failed[0].message[:20] in said
    assert cli.run(["merge", str(begun.parent)]) == 1
    assert "rows 10 to 11: failed" in capsys.readouterr().err


def test_folder_of_another_run_is_refused(project, begun, capsys):
    command = ["fit", str(project), "--engine", "local", "--seed", "9", "--out"]
    assert cli.run([*command, str(begun.parent)]) == 1
    assert "holds a run of other data, priors or settings" in capsys.readouterr().err


def test_commands_say_where_no_run_was_begun(tmp_path, capsys):
    for command in ("status", "merge"):
        assert cli.run([command, str(tmp_path)]) == 1
        assert "no run was begun here" in capsys.readouterr().err
    assert cli.run(["work", str(tmp_path)]) == 1
    assert "either --array, or --task 0 --tasks 10" in capsys.readouterr().err


# -- fits ----------------------------------------------------------------------------------------


def test_fits_by_processes_equal_fits_made_here(grant, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    problems = {
        "one": petro.MassTransfer(grant),
        "two": petro.MassTransfer(grant.isel(element=slice(12))),
    }
    items = fit_items(problems, seed=7, method="exact", draws=50)
    lay_down_fits(folder, items)
    write_plan(folder, plan_fits(items))
    records = run_items(folder, lambda where: LocalEngine(where, workers=2), show=False)
    assert [record.state for record in records] == ["done", "done"], records
    assert cli.run(["merge", str(tmp_path)]) == 0
    assert (tmp_path / "fits.csv").read_text().splitlines()[0] == "item,verdict,seconds,fit"
    here = problems["two"].fit("exact", draws=50, seed=seed_of(7, 1))
    found = load(tmp_path / "two" / "fit.nc")
    for name, values in here["posterior"].data_vars.items():
        np.testing.assert_array_equal(found["posterior"][name], values)


def test_fits_need_names_that_can_be_folders(grant_problem):
    for name, said in (("../up", "cannot be the name"), ("run", "cannot be the name")):
        with pytest.raises(petro.ConfigurationError, match=said):
            plan_fits(fit_items({name: grant_problem}))


# -- locks ---------------------------------------------------------------------------------------


def test_two_runs_in_one_folder_are_refused_naming_host_and_process(tmp_path):
    with locks.locked(tmp_path):
        said = f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(FitError, match=said), locks.locked(tmp_path):
            pass
        assert locks.holder_of(tmp_path) is not None
    assert not (tmp_path / "lock").exists()


def test_lock_of_a_dead_process_is_taken_over(tmp_path):
    gone = {"host": socket.gethostname(), "pid": 2**22 + 1, "since": "once", "token": "x"}
    (tmp_path / "lock").write_text(json.dumps(gone))
    assert locks.holder_of(tmp_path) is None
    with locks.locked(tmp_path):
        assert locks.holder_of(tmp_path).pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_lock_of_another_machine_is_stale_once_it_is_not_touched(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "once", "token": "x"}))
    with pytest.raises(FitError, match="process 1 on elsewhere"), locks.locked(tmp_path):
        pass
    long_ago = lock.stat().st_mtime - locks.STALE_S - 1
    os.utime(lock, (long_ago, long_ago))
    with locks.locked(tmp_path):
        pass


def test_unreadable_lock_is_taken_over(tmp_path):
    (tmp_path / "lock").write_text("{")
    with locks.locked(tmp_path):
        pass


# -- records and regions -------------------------------------------------------------------------


def test_record_of_a_dead_process_is_interrupted(tmp_path):
    (tmp_path / "status").mkdir()
    running = Record.begun("a")
    write_record(tmp_path, 0, running)
    assert read_record(tmp_path, 0, "a").state == "running"
    write_record(tmp_path, 0, Record("a", "running", host=running.host, pid=2**22 + 1))
    assert read_record(tmp_path, 0, "a").state == "interrupted"
    assert read_record(tmp_path, 0, "b").state == "interrupted"
    assert read_record(tmp_path, 1, "b").state == "missing"
    (tmp_path / "status" / "000001.json").write_text("{")
    assert read_record(tmp_path, 1, "b").state == "interrupted"


def test_region_that_covers_part_of_a_chunk_is_refused(tmp_path):
    store = tmp_path / "store.zarr"
    piece = xr.Dataset({"a": (("y", "x"), np.ones((2, 3), np.float32))})
    make_store(store, xr.Dataset(coords={"x": [1, 2, 3]}), piece, {"y": 5})
    write_region(store, piece, "y", 2)
    write_region(store, piece.isel(y=[0]), "y", 4)
    with pytest.raises(ValueError, match="from 1 to 3 along y covers part of a chunk of 2"):
        write_region(store, piece, "y", 1)
    with pytest.raises(ValueError, match="covers part of a chunk"):
        write_region(store, piece.isel(y=[0]), "y", 2)
    written = open_store(store)["a"]
    np.testing.assert_array_equal(np.isfinite(written).all("x"), [False, False, True, True, True])


# -- what tasks and processes read of their surroundings -----------------------------------------


def test_task_of_an_array_counts_from_its_first_index():
    names = ("ID", "COUNT", "MIN", "MAX", "STEP")
    variables = dict(zip(names, ("7", "3", "3", "7", "2"), strict=True))
    environment = {f"SLURM_ARRAY_TASK_{name}": value for name, value in variables.items()}
    assert task_of(environment) == Task(2, 3)
    with pytest.raises(FitError, match="leave out indices between 3 and 9"):
        task_of({**environment, "SLURM_ARRAY_TASK_MAX": "9"})
    with pytest.raises(FitError, match="no task of a job array"):
        task_of({})


def test_each_process_has_a_gpu_and_the_cache_of_its_node_type():
    assert environment_of(0, [], {})["JAX_COMPILATION_CACHE_DIR"].endswith(node_type())
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(0, [], {})
    chosen = [environment_of(n, ["2", "5"], {})["CUDA_VISIBLE_DEVICES"] for n in range(3)]
    assert chosen == ["2", "5", "2"]
    assert "JAX_COMPILATION_CACHE_DIR" not in environment_of(
        0, [], {"JAX_COMPILATION_CACHE_DIR": "/mine"}
    )
    ours = environment_of(0, [], {})["JAX_COMPILATION_CACHE_DIR"]
    of_the_login_node = {"JAX_COMPILATION_CACHE_DIR": str(Path(ours).parent / "another-type")}
    assert environment_of(0, [], of_the_login_node)["JAX_COMPILATION_CACHE_DIR"] == ours


def test_programs_are_kept_where_the_user_can_write_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    kept = where_programs_are_kept({})["JAX_COMPILATION_CACHE_DIR"]
    assert Path(kept).is_relative_to(tmp_path)
    assert Path(kept).is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "file" / name))
    assert where_programs_are_kept({}) == {}


def test_slurm_jobs_have_one_process_a_gpu(tmp_path):
    settings = SlurmSettings(gpus=2, partition="gpu", directives=["--constraint=a100"])
    asked = settings.arguments(tmp_path)
    assert asked["processes"] == 2
    assert asked["job_extra_directives"] == ["--constraint=a100", "--gres=gpu:2"]
    assert asked["queue"] == "gpu"


def test_engine_slurm_names_the_extra_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(FitError, match=r"pip install 'petro_models\[cluster\]'"):
        engine_maker("slurm", {"workers": 2})(tmp_path)


def test_engine_array_lays_the_work_down_and_says_how_to_submit_it(project, tmp_path, capsys):
    assert cli.run(["fit", str(project), "--engine", "array", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"laid down {TILES + 1} items" in said
    assert f"sbatch --array=0-15 --wrap 'petro-models work {tmp_path} --array'" in said
    assert number_done(tmp_path / "run") == 0


def test_seeds_depend_on_root_and_item_alone():
    seeds = {seed_of(root, index) for root in range(3) for index in range(50)}
    assert len(seeds) == 150
    assert seed_of(1, 2) == seed_of(1, 2)
