"""Speed of phase maps: the pixel pass, the whole pipeline, cost against size, beside its peers.

    python benchmarks/phase_maps.py [--quick]

Writes benchmarks/results/phase_maps.json and prints it as text. Rates are pixels per cpu-second,
summed over cores; seconds are of this machine, ratios within one run are what counts.
"""

import argparse
import json
import logging
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.phase_maps.classical import gaussian_mixture, k_means, poisson_unmixing
from petro_models.phase_maps.neighbourhood import learn_neighbourhood
from petro_models.phase_maps.neighbours import NeighbourWeights
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixels import PixelEngine
from petro_models.phase_maps.simulate import simulate_phase_maps

RESULTS = Path(__file__).parent / "results" / "phase_maps.json"
WIDTH = 1000
"""Columns of the maps that are timed."""


def timed(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Give wall seconds, cpu seconds and the result of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def tiled(counts: np.ndarray, pixels: int) -> np.ndarray:
    """Repeat a map's pixels until there are so many."""
    return np.tile(counts, (-(-pixels // len(counts)), 1))[:pixels]


def pass_rate(n_phases: int, n_elements: int, pixels: int, seed: int = 3) -> dict[str, float]:
    """Time the pixel pass, its programs compiled before."""
    maps, spots, _ = simulate_phase_maps(
        192, 192, n_phases, n_elements, n_spots=12 * n_phases, seed=seed
    )
    # At the anchors: the cost does not depend on the values.
    engine = PixelEngine.at_anchors(petro.PhaseMaps(maps, spots).observations)
    counts = tiled(flat_counts(maps), pixels)
    learn_s, _, learnt = timed(lambda: learn_neighbourhood(engine, maps["counts"]))
    record = {"pixels": pixels, "phases": n_phases, "elements": n_elements}
    record["learn_neighbourhood_s"] = learn_s
    for name, near in (("", NeighbourWeights(engine, learnt, WIDTH)), (", pixels alone", None)):
        engine.compute(counts[: min(pixels, 200_000)], neighbours=near)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu, _ = timed(lambda near=near: engine.compute(counts, neighbours=near))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        record |= {
            f"wall_s{name}": wall,
            f"cpu_s{name}": cpu,
            f"pixels_per_cpu_s{name}": pixels / cpu,
            f"more_memory_MB{name}": (after - before) / 1024,
        }
    return record


def peers(maps: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    """Time the classical methods on the same map, pixels per cpu-second."""
    centroids = xr.DataArray(
        truth["phase_intensity"].to_numpy(),
        {"phase": truth["phase"].values, "element": maps["element"].values},
        ("phase", "element"),
    )
    pixels = maps.sizes["y"] * maps.sizes["x"]
    methods: dict[str, Callable[[], Any]] = {
        "k-means": lambda: k_means(maps, centroids),
        "Gaussian mixture": lambda: gaussian_mixture(maps, centroids),
        "Poisson unmixing": lambda: poisson_unmixing(maps, centroids),
    }
    return {name: pixels / timed(method)[1] for name, method in methods.items()}


def pipeline(side: int, method: Any) -> dict[str, float]:
    """Time problem, fit, checks and maps of a simulated side x side map."""
    maps, spots, _ = simulate_phase_maps(side, side, seed=5)
    wall, cpu, fit = timed(
        lambda: petro.PhaseMaps(maps, spots).fit(
            method=method, draws=500, tune=150, seed=1, progressbar=False
        )
    )
    return {
        "pixels": side * side,
        "wall_s": wall,
        "cpu_s": cpu,
        "sampling_s": float(fit.attrs["sampling_seconds"]),
        "r_hat": float(az.rhat(fit["posterior"].to_dataset()).to_array().max()),
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    sizes = [(6, 10, n) for n in ((10_000, 100_000) if options.quick else (10_000, 100_000, 10**6))]
    if not options.quick:
        sizes += [(3, 10, 200_000), (9, 10, 200_000), (12, 10, 200_000)]
        sizes += [(6, 5, 200_000), (6, 15, 200_000), (6, 20, 200_000)]
    rows = []
    for n_phases, n_elements, pixels in sizes:
        rows.append(pass_rate(n_phases, n_elements, pixels))
        print({key: round(value, 3) for key, value in rows[-1].items()}, flush=True)
    maps, _, truth = simulate_phase_maps(256, 256, seed=4)
    beside = peers(maps, truth)
    print({name: round(value) for name, value in beside.items()}, flush=True)
    whole = {}
    for name, side, method in (
        ("256 x 256, hmc", 256, "hmc"),
        ("1000 x 1000, hmc", 1000, "hmc"),
    ):
        if options.quick and side > 256:
            continue
        whole[name] = pipeline(side, method)
        print(name, {key: round(value, 2) for key, value in whole[name].items()}, flush=True)
    result = {
        "command": "python benchmarks/phase_maps.py" + (" --quick" if options.quick else ""),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "jax", "pymc", "numpyro")},
        "pixel_pass": rows,
        "peers_pixels_per_cpu_s": beside,
        "pipeline": whole,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
