"""The same work on a GPU and on the CPU: agreement and times of pixel pass, globals and batch.

    python benchmarks/gpu.py [--devices cpu cuda] [--small]

Every part runs in a process of its own for each device, JAX being told of no other; the numbers of
the devices are then compared. Prints a table, and writes benchmarks/results/gpu.json where the last
device is no CPU. Ends with code 1 where numbers disagree, or where JAX finds no such device.
"""

import argparse
import json
import logging
import os
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

SAME_PIXEL = 2e-3
"""Fractions of two devices differ by rounding in single precision; few by more than this."""
SAME_MEAN = 4.5
"""Means of two runs may differ by so many of their Monte Carlo errors, the worst of hundreds."""


def pixels(small: bool) -> tuple[dict[str, float], Numbers]:
    """Pass over the pixels of a map, alone and with neighbours."""
    import petro_models as petro
    from petro_models.phase_maps.derived import neighbour_weights
    from petro_models.phase_maps.observations import flat_counts
    from petro_models.phase_maps.pixels import PixelEngine
    from petro_models.phase_maps.simulate import simulate_phase_maps

    side = 192 if small else 1024
    maps, spots, _ = simulate_phase_maps(192, 192, seed=3)
    repeats = -(-side // 192)
    engine = PixelEngine.at_anchors(petro.PhaseMaps(maps, spots).observations)
    tiled = np.tile(maps["counts"].to_numpy(), (1, repeats, repeats))[:, :side, :side]
    grid = maps["counts"].isel(y=[0] * side, x=[0] * side).drop_vars(["y", "x"]).copy(data=tiled)
    counts, near = flat_counts(grid.to_dataset(name="counts")), neighbour_weights(engine, grid)
    seconds, answers = {}, {}
    for name, neighbours in (("alone", None), ("with neighbours", near)):
        engine.compute(counts, neighbours=neighbours)
        begin = time.perf_counter()
        found = engine.compute(counts, neighbours=neighbours)
        seconds[f"pixels a second, {name}"] = len(counts) / (time.perf_counter() - begin)
        answers[f"pixel: {name}"] = found.fraction[:40_000]
    return seconds, answers


def global_unknowns(small: bool) -> tuple[dict[str, float], Numbers]:
    """Sample the global unknowns of a phase map."""
    import petro_models as petro
    from petro_models.phase_maps.simulate import simulate_phase_maps

    side, phases, draws = (48, 3, 200) if small else (256, 6, 500)
    maps, spots, _ = simulate_phase_maps(side, side, phases, seed=5)
    problem = petro.PhaseMaps(maps, spots, pixels=400 if small else 3000)
    begin = time.perf_counter()
    sampled = problem.sample("hmc", draws=draws, tune=150, chains=4, seed=1)
    seconds = {"seconds of the global unknowns": time.perf_counter() - begin}
    return seconds, _moments(sampled.draws.posterior)


def batch(small: bool) -> tuple[dict[str, float], Numbers]:
    """Sample suites of mass transfer and garnets side by side."""
    sys.path.insert(0, str(Path(__file__).parent))
    from batch import garnet, suite

    import petro_models as petro

    seconds, answers = {}, {}
    for name, make, count in (("suites", suite, 200), ("garnets", garnet, 40)):
        items = [make(seed) for seed in range(4 if small else count)]
        begin = time.perf_counter()
        method = "hmc" if name == "suites" else "auto"
        draws = 200 if small else 1000
        fits = petro.fit_many(items, method=method, draws=draws, chains=4, seed=1)
        seconds[f"seconds an item, {name}"] = (time.perf_counter() - begin) / len(items)
        table = fits["layout_0"].to_dataset()
        quantity = "mass_change" if name == "suites" else "pressure_mean_kbar"
        chosen = table[quantity].isel(item=0)
        mean, sd = (chosen.sel(statistic=part).to_numpy().ravel() for part in ("mean", "sd"))
        effective = float(fits["status"]["ess_bulk"][0])
        answers[name] = np.stack([mean, sd / np.sqrt(max(effective, 1.0))])
    return seconds, answers


PARTS: dict[str, Callable[[bool], tuple[dict[str, float], Numbers]]] = {
    "pixels": pixels,
    "global unknowns": global_unknowns,
    "batch": batch,
}


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


def run_part(part: str, device: str, small: bool) -> tuple[dict[str, Any], Numbers]:
    """Run one part in a process that sees one device."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--part", part, "--out", folder]
        environment = os.environ | {"JAX_PLATFORMS": device}
        subprocess.run([*command, *(["--small"] if small else [])], env=environment, check=True)
        facts = json.loads((Path(folder) / "facts.json").read_text(encoding="utf-8"))
        with np.load(Path(folder) / "numbers.npz", allow_pickle=False) as stored:
            return facts, dict(stored)


def work(part: str, small: bool, out: Path) -> None:
    """Do one part here, and write what it found."""
    import jax

    logging.getLogger("petro_models").setLevel(logging.WARNING)
    found, numbers = PARTS[part](small)
    facts = {"device": str(jax.devices()[0].device_kind), **found}
    (out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    np.savez(out / "numbers.npz", allow_pickle=False, **numbers)


def main() -> int:
    """Run every part on every device, compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"])
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        work(options.part, options.small, options.out)
        return 0
    first, second = options.devices
    record: dict[str, Any] = {
        "command": " ".join(["python benchmarks/gpu.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "jax", "numpyro")},
        "cores": len(os.sched_getaffinity(0)),
    }
    bad = False
    print(f"{'':<38} {first:>14} {second:>14}")
    for part in PARTS:
        try:
            (here, one), (there, other) = (
                run_part(part, device, options.small) for device in options.devices
            )
        except subprocess.CalledProcessError:
            print(f"{part}: a process failed; see above whether JAX found the device")
            return 1
        worst, failed = disagreement(one, other)
        bad |= failed
        for name, value in here.items():
            other_value = there[name]
            shown = [v if isinstance(v, str) else f"{v:,.4g}" for v in (value, other_value)]
            print(f"{name:<38} {shown[0]:>14} {shown[1]:>14}")
        print(f"{part}: largest difference {worst:.3g}{', TOO LARGE' if failed else ''}")
        record[part] = {first: here, second: there, "largest difference": worst}
    if second != "cpu" and not options.small:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
