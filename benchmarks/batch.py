"""Many small problems at once: `petro.fit_many` against a loop over `pm.sample`.

    python benchmarks/batch.py [--items 1000] [--only suites|garnets]

1,000 suites of mass transfer (4 samples, 12 elements) and a fifth as many garnets (one grain of 15
to 20 analyses, two dated zones), all simulated, on JAX's default device. The loop is timed on a few
items in the same run and extrapolated. Writes benchmarks/results/batch.json for 1,000 items (a
part that is run alone replaces its own figures), and prints only, for fewer.
"""

import argparse
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pymc as pm
import xarray as xr

import petro_models as petro
from petro_models.inference.convergence import convergence
from petro_models.inference.draws import quiet_libraries
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.problem import InverseProblem

RESULTS = Path(__file__).parent / "results" / "batch.json"
FULL = 1000
DRAWS, CHAINS = 1000, 4
PATHS = ("heating", "pulse", "loop", "pause", "clockwise")
POINTS = (15, 20)
"""Analyses of a garnet: two structures, so that grouping is part of what is timed."""


def suite(seed: int) -> InverseProblem:
    """Simulate a small suite."""
    table, _ = simulate_mass_table(n_samples=4, n_elements=12, immobile_share=0.4, seed=seed)
    return petro.MassTransfer(table)


def garnet(seed: int) -> InverseProblem:
    """Simulate a garnet."""
    table = petro.bundled_table("white2014")
    profiles, ages, _ = petro.simulate_history(
        table, PATHS[seed % len(PATHS)], n_grains=1, n_positions=POINTS[seed % 2], n_ages=2,
        seed=seed,
    )  # fmt: skip
    return petro.Histories(profiles, table, ages)


def batch(
    make: Callable[[int], InverseProblem], count: int, method: str
) -> tuple[Any, xr.DataTree]:
    """Fit so many items; give the record, and the fits."""
    begin = time.perf_counter()
    problems = [make(seed) for seed in range(count)]
    fits = petro.fit_many(problems, method=method, draws=DRAWS, chains=CHAINS, seed=1)
    seconds = time.perf_counter() - begin
    status = fits["status"].to_dataset()
    record = {
        "items": count,
        "seconds": round(seconds, 1),
        "seconds an item": round(seconds / count, 4),
        "status": dict(Counter(status["status"].values.tolist())),
        "structures compiled": int(fits.attrs["structures_compiled"]),
        "median R-hat": round(float(status["r_hat"].median()), 4),
        "median smallest bulk ESS": round(float(status["ess_bulk"].median())),
        "leapfrogs a draw": round(float(status["n_steps"].mean()), 2),
        "divergences": int(status["divergences"].sum()),
    }
    print(json.dumps(record), flush=True)
    return record, fits


def alone(problem: InverseProblem, sampler: str) -> tuple[dict[str, Any], xr.Dataset]:
    """Sample one item as a loop over `pm.sample` would; give the record, and the draws."""
    begin = time.perf_counter()
    with problem.model, quiet_libraries():
        tree = pm.sample(
            draws=DRAWS, chains=CHAINS, nuts_sampler=sampler, random_seed=1, progressbar=False,
            compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    free = [rv.name for rv in problem.model.free_RVs]
    posterior = tree["posterior"].to_dataset()[free]
    flat = [values.to_numpy().reshape(CHAINS, DRAWS, -1) for values in posterior.values()]
    found = convergence(np.concatenate(flat, axis=2))
    record = {
        "sampler": sampler,
        "seconds": round(seconds, 1),
        "smallest bulk ESS": round(found.bulk),
        "R-hat": round(found.r_hat, 4),
        "divergences": int(tree["sample_stats"]["diverging"].sum()),
    }
    print(json.dumps(record), flush=True)
    return record, posterior


def largest_gap(fits: xr.DataTree, item: int, posterior: xr.Dataset) -> float:
    """Give the largest difference of a mean between batch and one-item path, in sd."""
    layout = fits[f"layout_{int(fits['status']['layout'][item])}"].to_dataset().sel(item=item)
    gaps = [
        np.abs(layout[name].sel(statistic="mean").to_numpy() - draws.mean(("chain", "draw")))
        / draws.std(("chain", "draw"))
        for name, draws in posterior.items()
    ]
    return round(max(float(gap.max()) for gap in gaps), 3)


def against_exact(sampled: xr.DataTree, exact: xr.DataTree) -> dict[str, float]:
    """Compare the sampled with the enumerated suites, of one frame and of competing frames."""
    one, two = (fits["layout_0"]["mass_change"] for fits in (sampled, exact))
    sd = two.sel(statistic="sd")
    gap = (np.abs(one - two).sel(statistic="mean") / sd).max("sample")
    ok = sampled["status"]["status"].sel(item=gap["item"]) == "ok"
    return {
        "largest difference of a mean where ok (sd)": round(float(gap.where(ok).max()), 3),
        "largest difference of a mean elsewhere (sd)": round(float(gap.where(~ok).max()), 3),
    }


def case(
    make: Callable[[int], InverseProblem],
    counts: Sequence[int],
    method: str,
    samplers: Sequence[str],
) -> tuple[dict[str, Any], xr.DataTree]:
    """Time the loop on a few items and the batch on all; give the record, and the fits."""
    loop = [alone(make(seed), sampler) for seed, sampler in enumerate(samplers)]
    runs = [batch(make, count, method) for count in counts]
    record, fits = runs[-1]
    quickest: dict[str, float] = {}
    for one, _ in loop:
        quickest[one["sampler"]] = min(one["seconds"], quickest.get(one["sampler"], np.inf))
    return {
        "method": method,
        "loop over pm.sample": [one for one, _ in loop],
        "batch": [one for one, _ in runs],
        "times faster than the quickest item of a loop": {
            sampler: round(seconds / record["seconds an item"], 1)
            for sampler, seconds in quickest.items()
        },
        "largest difference of a mean from pm.sample (sd)": [
            largest_gap(fits, item, posterior)
            for item, (_, posterior) in enumerate(loop)
            if int(fits["status"]["layout"][item]) >= 0
        ],
    }, fits


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=FULL)
    parser.add_argument("--only", choices=("suites", "garnets"))
    arguments = parser.parse_args()
    items = arguments.items
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    facts = {
        "command": f"python benchmarks/batch.py --items {items}",
        "versions": {name: version(name) for name in ("petro_models", "pymc", "numpyro", "jax")},
        "device": str(jax.devices()[0]),
        "cores": len(os.sched_getaffinity(0)),
        "draws, chains": [DRAWS, CHAINS],
    }
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() and items >= FULL else {}
    record = stored if facts.items() <= stored.items() else facts
    today = {"date": time.strftime("%Y-%m-%d")}
    sizes = sorted({max(2, items // 100), max(2, items // 10), items})
    few = sorted({max(2, items // 50), max(2, items // 5)})
    if arguments.only != "garnets":
        samplers = ("numpyro", "numpyro", "pymc")
        found, sampled = case(suite, sizes, "hmc", samplers)
        enumerated, exact = batch(suite, items, "auto")
        against = {"against enumeration": against_exact(sampled, exact)}
        record["suites, sampled"] = today | found | against
        record["suites, enumerated"] = today | {"batch": enumerated}
        store(record, items)
    if arguments.only != "suites":
        found, _ = case(garnet, few, "auto", ("numpyro", "numpyro", "pymc"))
        record["garnets"] = today | found
        store(record, items)
    print(json.dumps(record, indent=1))


def store(record: dict[str, Any], items: int) -> None:
    """Write what there is."""
    if items >= FULL:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
