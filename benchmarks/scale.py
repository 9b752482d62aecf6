"""A phase map that is never whole in memory: time and memory of the tile engine against pixels.

    python benchmarks/scale.py [--pixels 1000000 4000000 10000000] [--keep FOLDER]

A scene of 1,000 x 1,000 pixels, 6 phases and 10 elements is simulated once and repeated, mirrored,
with counting noise of its own, block by block into a file that is mapped into memory; the problem
is made from that file and fitted by `petro.fit_in_tiles` on all cores, counts to merged fit and
report. Memory is what processes have that no file stands behind (anonymous pages), looked at ten
times a second. Writes benchmarks/results/scale.json for maps of 10^7 pixels and more.
"""

import argparse
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.cluster.work import records_of
from petro_models.phase_maps.simulate import simulate_phase_maps

RESULTS = Path(__file__).parent / "results" / "scale.json"
SIDE = 1000
COUNTS = 1000.0
SHARPER = 64
"""The scene is simulated with so many times the counts: its own noise is an eighth of a pixel's."""
STORED_FROM = 10**7


class Watch:
    """The most memory that each process of this family had, by stage."""

    def __init__(self) -> None:
        self.stage, self.found = "", dict[str, dict[str, float]]()
        self.seconds: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Say what is being done, and time it."""
        self.stage, begin = stage, time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - begin, 1)
        self.stage = ""

    def close(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            if not self.stage:
                continue
            here = self.found.setdefault(self.stage, {"this process": 0.0, "a worker": 0.0})
            for name, pids in (("this process", [os.getpid()]), ("a worker", workers())):
                here[name] = max([here[name], *(round(anonymous_mb(pid)) for pid in pids)])


def workers() -> list[int]:
    """Give the processes that this one started."""
    path = Path(f"/proc/{os.getpid()}/task")
    return [int(p) for t in path.iterdir() for p in (t / "children").read_text().split()]


def anonymous_mb(pid: int) -> float:
    """Give the memory of a process that no file stands behind; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith("RssAnon")), 0.0)


def simulate_scene(folder: Path) -> None:
    """Simulate what is repeated: expected counts (element, y, x), the rest of the maps, spots."""
    maps, spots, _ = simulate_phase_maps(SIDE, SIDE, 6, 10, COUNTS * SHARPER, seed=11)
    np.save(folder / "expected.npy", maps["counts"].to_numpy() / SHARPER)
    maps.drop_vars("counts").to_netcdf(folder / "maps.nc")
    spots.to_netcdf(folder / "spots.nc")


def lay_out(
    expected: np.ndarray, maps: xr.Dataset, down: int, across: int, file: Path
) -> xr.Dataset:
    """Count the repeated scene into a file, block by block; give the maps over it."""
    shape = (len(expected), down * SIDE, across * SIDE)
    counts = np.lib.format.open_memmap(file, "w+", np.uint16, shape)
    for i in range(down):
        for j in range(across):
            block = expected[:, :: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
            noise = np.random.default_rng([7, i, j])
            where = np.s_[:, i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE]
            counts[where] = noise.poisson(block)
    counts.flush()
    del counts
    step = float(maps["step_um"])
    mapped = (("element", "y", "x"), np.load(file, mmap_mode="r"), {"units": "counts"})
    coords = {
        name: (name, step * np.arange(size), {"units": "um"})
        for name, size in (("y", shape[1]), ("x", shape[2]))
    }
    rest = maps.drop_dims(["y", "x"])
    return rest.assign(counts=mapped).assign_coords(coords)


def measure(pixels: int, shared: Path, folder: Path) -> dict[str, object]:
    """Fit one map; give seconds, memory and what came out."""
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    blocks = round(pixels / SIDE**2)
    down = max(d for d in range(1, int(blocks**0.5) + 1) if blocks % d == 0)
    watch = Watch()
    try:
        expected = np.load(shared / "expected.npy", mmap_mode="r")
        maps, spots = (xr.load_dataset(shared / f"{name}.nc") for name in ("maps", "spots"))
        with watch.during("simulating"):
            large = lay_out(expected, maps, down, blocks // down, folder / "counts.npy")
        with watch.during("problem"):
            problem = petro.PhaseMaps(large, spots)
        with watch.during("fit"):
            file = petro.fit_in_tiles(
                problem, folder / "out", method="laplace", seed=1, progressbar=False
            )
    finally:
        watch.close()
    tiles = [r.seconds for r in records_of(folder / "out" / "run") if r.item.startswith("rows")]
    with xr.open_datatree(file, engine="netcdf4") as fit:
        derived = fit["derived"]
        record = {
            "pixels": down * blocks // down * SIDE**2,
            "seconds": watch.seconds,
            "largest anonymous memory, MB": watch.found,
            "counts, MB": round((folder / "counts.npy").stat().st_size / 2**20),
            "fit on disk, MB": round(file.stat().st_size / 2**20),
            "verdict": str(petro.check(fit).verdict),
            "modes": np.round(derived["mode"].to_numpy(), 4).tolist(),
            "modes, sd": np.round(derived["mode_sd"].to_numpy(), 5).tolist(),
        }
    return record | {"tiles": len(tiles), "seconds in tiles, summed": round(sum(tiles), 1)}


def alone[T](work: Callable[..., T], *arguments: object) -> T:
    """Call a function in a process of its own, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Measure each size and store what was found."""
    parser = argparse.ArgumentParser(description="Time and memory against the size of a map.")
    parser.add_argument("--pixels", type=int, nargs="+", default=[10**6, 4 * 10**6, 10**7])
    parser.add_argument("--keep", type=Path, help="folder for the files, kept")
    options = parser.parse_args()
    records = []
    shared = Path(tempfile.mkdtemp(prefix="scale-", dir=options.keep))
    try:
        alone(simulate_scene, shared)
        for pixels in options.pixels:
            folder = shared / str(pixels)
            folder.mkdir()
            records.append(alone(measure, pixels, shared, folder))
            print(json.dumps(records[-1]), flush=True)
            if not options.keep:
                shutil.rmtree(folder)
    finally:
        if not options.keep:
            shutil.rmtree(shared)
    if max(options.pixels) >= STORED_FROM:
        names = ("petro_models", "numpyro", "jax", "zarr")
        stored = {
            "command": "python benchmarks/scale.py",
            "date": date.today().isoformat(),
            "versions": {name: version(name) for name in names},
            "cores": len(os.sched_getaffinity(0)),
            "maps": records,
        }
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
