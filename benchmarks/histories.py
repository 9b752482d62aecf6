"""Speed of histories: against pm.sample on the same model, and cost against grains and points.

    python benchmarks/histories.py [--quick]

Writes benchmarks/results/histories.json (unless --quick).
"""

import argparse
import json
import logging
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import pymc as pm
import xarray as xr

from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.inference.whitened import sample_whitened
from petro_models.thermodynamics.bundled import bundled_table

RESULTS = Path(__file__).parent / "results" / "histories.json"


def rock(n_grains: int, n_positions: int) -> Histories:
    """Simulate a rock with three dated zones."""
    table = bundled_table("white2014")
    profiles, ages, _ = simulate_history(
        table, "clockwise", n_grains=n_grains, n_positions=n_positions, n_ages=3, seed=11
    )
    return Histories(profiles, table, ages)


def run(problem: Histories, draws: int = 500, chains: int = 2) -> dict[str, Any]:
    """Sample twice and time the second run: compilation is cached by then."""
    times = []
    for seed in (1, 2):
        begin = time.perf_counter()
        drawn = sample_whitened(
            problem.model, problem.start_of_climb(), draws=draws, tune=draws, chains=chains,
            seed=seed,
        )  # fmt: skip
        times.append(time.perf_counter() - begin)
    return {
        "first seconds": round(times[0], 1),
        "seconds": round(times[1], 1),
        "smallest effective draws per second": round(smallest(drawn.posterior) / times[1], 2),
        "leapfrogs a draw": round(float(drawn.sample_stats["n_steps"].mean()), 1),
        "divergences": int(drawn.sample_stats["diverging"].sum()),
    }


def defaults(problem: Histories, draws: int = 500, chains: int = 2) -> dict[str, Any]:
    """Sample the same model as pm.sample does by default, on NumPyro."""
    begin = time.perf_counter()
    with problem.model:
        tree = pm.sample(
            draws=draws, tune=draws, chains=chains, nuts_sampler="numpyro", random_seed=1,
            progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    free = [rv.name for rv in problem.model.free_RVs]
    stats = tree["sample_stats"]
    return {
        "seconds": round(seconds, 1),
        "smallest effective draws per second": round(
            smallest(tree["posterior"].to_dataset()[free]) / seconds, 3
        ),
        "leapfrogs a draw": round(float(stats["n_steps"].mean()), 1),
        "divergences": int(stats["diverging"].sum()),
    }


def smallest(posterior: xr.Dataset) -> float:
    """Give the smallest bulk effective sample size of any entry."""
    return min(float(values.min()) for values in az.ess(posterior).data_vars.values())


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only, nothing stored")
    quick = parser.parse_args().quick
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    small = rock(2, 20)
    record: dict[str, Any] = {
        "command": "python benchmarks/histories.py",
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("petro_models", "pymc", "numpyro", "jax")},
        "2 grains x 20 points, whitened": run(small),
    }
    if not quick:
        record["2 grains x 20 points, pm.sample (numpyro)"] = defaults(small)
    sizes = (
        [(1, 40), (4, 20)] if quick else [(1, 40), (4, 20), (4, 40), (20, 30), (4, 200), (100, 20)]
    )
    for grains, points in sizes:
        record[f"{grains} grains x {points} points"] = run(rock(grains, points))
        print(json.dumps(record, indent=1), flush=True)
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: benchmarks/results/{RESULTS.name}")


if __name__ == "__main__":
    main()
