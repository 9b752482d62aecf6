"""Convergence of the global unknowns of phase maps: the demonstration's map and the Alpine one.

    PETRO_MODELS_DATA=... python benchmarks/convergence_phase_maps.py [--draws 1000] [--tune 600]
        [--reports DIR]

Each is fitted by the default method and checked as any fit is; with --reports, its report is
written to look at. Writes benchmarks/results/convergence_phase_maps.json and prints it as text.
"""

import argparse
import json
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from alps_cross_validation import PHASES

import petro_models as petro

RESULTS = Path(__file__).parent / "results" / "convergence_phase_maps.json"


def extreme(values: xr.Dataset, most: bool) -> tuple[str, float]:
    """Give the variable with the largest or smallest value, and that value."""
    found = {str(n): float(v.max() if most else v.min()) for n, v in values.data_vars.items()}
    name = (max if most else min)(found, key=lambda n: found[n])
    return name, found[name]


def converged(
    problem: petro.PhaseMaps, draws: int, tune: int, report: Path | None
) -> dict[str, Any]:
    """Fit and give what says whether the chains agree."""
    fit = problem.fit(draws=draws, tune=tune, seed=1, progressbar=False)
    posterior = fit["posterior"].to_dataset()
    free = posterior[[rv.name for rv in problem.model.free_RVs]]
    worst_r_hat = extreme(az.rhat(free), most=True)
    fewest = extreme(az.ess(free, method="bulk"), most=False)
    fewest_tail = extreme(az.ess(free, method="tail"), most=False)
    if report:
        problem.report(fit, report)
    statistics = fit["sample_stats"].to_dataset()
    return {
        "pixels": int(np.prod([problem.data.sizes[dim] for dim in ("y", "x")])),
        "unknowns": int(sum(free[name].isel(chain=0, draw=0).size for name in free)),
        "sampler": fit.attrs["sampler"],
        "draws": [int(posterior.sizes["chain"]), draws],
        "largest_r_hat": worst_r_hat,
        "smallest_bulk_ess": fewest,
        "smallest_tail_ess": fewest_tail,
        "divergences": int(statistics["diverging"].sum()),
        "steps_per_draw": float(statistics["n_steps"].mean()),
        "sampling_s": float(fit.attrs["sampling_seconds"]),
        "wall_s": float(fit.attrs["wall_seconds"]),
        "checks": {c.name: f"{c.verdict}: {c.finding}" for c in petro.check(fit)},
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=600)
    parser.add_argument("--reports", type=Path)
    options = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    maps, spots, _ = petro.datasets.simulated_phase_maps()
    alps, alps_spots, seeds = petro.datasets.alps()
    problems = {
        "demonstration": lambda: petro.PhaseMaps(maps, spots),
        "Alps": lambda: petro.PhaseMaps(alps, alps_spots, seeds=seeds, phases=PHASES),
    }
    rows = {}
    for name, make in problems.items():
        report = options.reports / f"{name.lower()}.html" if options.reports else None
        rows[name] = converged(make(), options.draws, options.tune, report)
        print(name, json.dumps(rows[name], indent=1), flush=True)
    result = {
        "command": f"python benchmarks/convergence_phase_maps.py --draws {options.draws} "
        f"--tune {options.tune}",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "jax", "pymc", "numpyro")},
        "maps": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
