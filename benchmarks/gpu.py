"""The same work on a GPU and on the CPU: pixel pass, globals, batches, calibration.

    python benchmarks/gpu.py [--small] [--keep FOLDER] [--parts ...] [--devices ...]

Every part runs in a process of its own for each device; the numbers of the devices are then
compared. Parts that FOLDER holds already are not run again, so that the CPU's numbers can come from
another machine. Prints a table, and puts parts that ran in full size on both devices into
benchmarks/results/gpu.json. Ends with code 1 where numbers disagree, or where JAX finds no GPU.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "gpu.json"
Numbers = dict[str, np.ndarray]
Facts = dict[str, Any]

SAME_PIXEL = 2e-3
"""Fractions of two devices differ by rounding in single precision; few by more than this."""
SAME_MEAN = 4.5
"""Means of two runs may differ by so many of their Monte Carlo errors, the worst of hundreds."""
DEVICES = ("cpu", "gpu")


def pixels(small: bool) -> tuple[Facts, Numbers]:
    """Pass over the pixels of a map, alone and with neighbours."""
    import petro_models as petro
    from petro_models.phase_maps.derived import neighbour_weights
    from petro_models.phase_maps.observations import flat_counts
    from petro_models.phase_maps.pixels import PixelEngine
    from petro_models.phase_maps.simulate import simulate_phase_maps

    side = 192 if small else 1024
    maps, spots, _ = simulate_phase_maps(192, 192, seed=3)
    repeats = -(-side // 192)
    engine = PixelEngine.at_anchors(petro.PhaseMaps(maps, spots).observations, side * side)
    tiled = np.tile(maps["counts"].to_numpy(), (1, repeats, repeats))[:, :side, :side]
    grid = maps["counts"].isel(y=[0] * side, x=[0] * side).drop_vars(["y", "x"]).copy(data=tiled)
    counts = flat_counts(grid.to_dataset(name="counts"))
    near = neighbour_weights(engine, grid)
    facts, answers = {}, {}
    for name, neighbours in (("alone", None), ("with neighbours", near)):
        begin = time.perf_counter()
        engine.compute(counts, neighbours=neighbours)
        once, begin = time.perf_counter() - begin, time.perf_counter()
        found = engine.compute(counts, neighbours=neighbours)
        again = time.perf_counter() - begin
        facts[f"pixels a second, {name}"] = len(counts) / again
        facts[f"seconds to compile, {name}"] = once - again
        answers[f"pixel: {name}"] = found.fraction[:40_000]
    return facts, answers


def global_unknowns(small: bool) -> tuple[Facts, Numbers]:
    """Sample the global unknowns of a phase map."""
    import petro_models as petro
    from petro_models.phase_maps.simulate import simulate_phase_maps

    side, phases, draws = (48, 3, 200) if small else (256, 6, 500)
    maps, spots, _ = simulate_phase_maps(side, side, phases, seed=5)
    problem = petro.PhaseMaps(maps, spots, pixels=400 if small else 3000)
    sampled = problem.sample("hmc", draws=draws, tune=150, chains=4, seed=1)
    steps = float(sampled.draws.sample_stats["n_steps"].mean())
    facts = {"seconds of the global unknowns": sampled.seconds, "steps a draw": steps}
    return facts, _moments(sampled.draws.posterior)


def suites(small: bool) -> tuple[Facts, Numbers]:
    """Sample suites of mass transfer side by side."""
    return _batch("suite", 4 if small else 1000, "hmc", small)


def garnets(small: bool) -> tuple[Facts, Numbers]:
    """Sample garnets side by side."""
    return _batch("garnet", 4 if small else 200, "auto", small)


def calibration(small: bool) -> tuple[Facts, Numbers]:
    """Calibrate mass transfer by simulation, all data sets side by side."""
    import petro_models as petro
    from petro_models.mass_transfer.simulate import simulate_mass_table

    count = 8 if small else 500
    table, _ = simulate_mass_table(n_samples=4, n_elements=12, immobile_share=0.4, seed=1)
    found = petro.calibrate_problem(
        petro.MassTransfer(table), count, method="hmc", draws=500, seed=1, together=True
    )
    return {
        "seconds a data set, calibration": found.facts["seconds"] / count,
        "data sets": count,
        "converged": found.counts.get("ok", 0),
        "verdict": found.verdict,
    }, {}


PARTS: dict[str, Callable[[bool], tuple[Facts, Numbers]]] = {
    "pixels": pixels,
    "globals": global_unknowns,
    "suites": suites,
    "garnets": garnets,
    "calibration": calibration,
}


def _batch(what: str, count: int, method: Any, small: bool) -> tuple[Facts, Numbers]:
    sys.path.insert(0, str(Path(__file__).parent))
    import batch

    import petro_models as petro

    items = [getattr(batch, what)(seed) for seed in range(count)]
    begin = time.perf_counter()
    fits = petro.fit_many(items, method=method, draws=200 if small else 1000, chains=4, seed=1)
    seconds = time.perf_counter() - begin
    status = fits["status"].to_dataset()
    table = fits["layout_0"].to_dataset()
    quantity = "mass_change" if what == "suite" else "pressure_mean_kbar"
    mean, sd = (table[quantity].sel(statistic=part).to_numpy() for part in ("mean", "sd"))
    effective = np.maximum(status["ess_bulk"].sel(item=table["item"]).to_numpy(), 1.0)
    error = sd / np.sqrt(effective.reshape(-1, *[1] * (sd.ndim - 1)))
    facts = {
        f"seconds an item, {what}s": seconds / count,
        "items ok": int((status["status"] == "ok").sum()),
        "items": count,
        "median smallest bulk ESS": float(status["ess_bulk"].median()),
        "sampled on": fits.attrs["device"],
    }
    return facts, {quantity: np.stack([mean, error])}


def _moments(posterior: Any) -> Numbers:
    """Give mean and Monte Carlo error of every unknown."""
    import arviz as az

    error = az.mcse(posterior)
    return {
        str(name): np.stack([values.mean(("chain", "draw")).to_numpy(), error[name].to_numpy()])
        for name, values in posterior.data_vars.items()
    }


def disagreement(one: Numbers, other: Numbers) -> tuple[float, bool]:
    """Give the largest difference, in what makes sense of it, and whether it is too large."""
    worst, failed = 0.0, False
    for name, values in one.items():
        if name.startswith("pixel: "):
            gap = float(np.quantile(np.abs(values - other[name]), 0.999))
            failed |= gap > SAME_PIXEL
        else:
            error = np.hypot(values[1], other[name][1])
            gap = float((np.abs(values[0] - other[name][0]) / np.maximum(error, 1e-12)).max())
            failed |= gap > SAME_MEAN
        worst = max(worst, gap)
    return worst, failed


def run_part(part: str, device: str, small: bool, folder: Path) -> tuple[Facts, Numbers]:
    """Give what a part found on a device; run it unless the folder holds it."""
    facts, numbers = (folder / f"{part}-{device}{suffix}" for suffix in (".json", ".npz"))
    if not facts.is_file():
        command = [sys.executable, __file__, "--work", part, device, str(folder)]
        subprocess.run([*command, *(["--small"] if small else [])], check=True)
    with np.load(numbers, allow_pickle=False) as stored:
        return json.loads(facts.read_text(encoding="utf-8")), dict(stored)


def work(part: str, device: Any, small: bool, folder: Path) -> None:
    """Do one part here, and write what it found."""
    import jax

    import petro_models as petro
    from petro_models.cluster.processes import number_of_cores

    logging.getLogger("petro_models").setLevel(logging.WARNING)
    kind = jax.local_devices()[0].device_kind if device == "gpu" else f"{number_of_cores()} cores"
    with petro.use_device(device):
        found, numbers = PARTS[part](small)
    versions = {name: version(name) for name in ("petro_models", "jax", "numpyro")}
    facts = {"device": kind, **found, "versions": versions, "date": time.strftime("%Y-%m-%d")}
    np.savez(folder / f"{part}-{device}.npz", allow_pickle=False, **numbers)
    (folder / f"{part}-{device}.json").write_text(json.dumps(facts), encoding="utf-8")


def main() -> int:
    """Run every part on every device, compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=DEVICES)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", type=Path, help="folder for what every part found")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        part, device, folder = options.work
        work(part, device, options.small, Path(folder))
        return 0
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return compare(options, options.keep)
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Run what is missing; print and store all; give the exit code."""
    record = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    record["command"] = "python benchmarks/gpu.py"
    bad = False
    print(f"{'':<38}" + "".join(f"{device:>16}" for device in options.devices))
    for part in options.parts:
        try:
            found = [run_part(part, device, options.small, folder) for device in options.devices]
        except subprocess.CalledProcessError:
            print(f"{part}: its process failed, see above; the other parts go on")
            bad = True
            continue
        for name in found[0][0]:
            if name in ("versions", "date"):
                continue
            shown = [facts.get(name, "") for facts, _ in found]
            texts = [v if isinstance(v, str) else f"{v:,.4g}" for v in shown]
            print(f"{name:<38}" + "".join(f"{text:>16}" for text in texts))
        record[part] = {
            device: facts for device, (facts, _) in zip(options.devices, found, strict=True)
        }
        if len(found) == 2 and found[0][1]:
            worst, failed = disagreement(found[0][1], found[1][1])
            bad |= failed
            print(f"{part}: largest difference {worst:.3g}{', TOO LARGE' if failed else ''}")
            record[part]["largest difference"] = worst
    if set(options.devices) == set(DEVICES) and not options.small:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
