"""Speed of mass transfer: against its peers in the same run, and cost against size.

    python benchmarks/mass_transfer.py [--quick]

Writes benchmarks/results/mass_transfer.json and prints it as text. Seconds are of this machine;
ratios within one run are what counts.
"""

import argparse
import json
import logging
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr

import petro_models as petro
from petro_models.inference.draws import quiet_libraries
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.mass_transfer.sparse_isocon import sparse_isocon_bootstrap

RESULTS = Path(__file__).parent / "results" / "mass_transfer.json"


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Give the seconds a call takes, and what it gives."""
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def naive_model(table: xr.Dataset) -> pm.Model:
    """Declare what a first notebook would: every mobility and indicator sampled."""
    ratio = petro.MassTransfer(table).logs.log_ratio
    n_elements, n_samples = ratio.shape
    with pm.Model() as model:
        mass_change = pm.Normal("mass_change", 0, 0.5, shape=n_samples)
        immobile = pm.Bernoulli("immobile", 0.4, shape=n_elements)
        mobility = pm.Normal("mobility", 0, 0.7, shape=(n_elements, n_samples))
        moved = pm.math.switch(immobile[:, None], 0.0, mobility)
        pm.Normal("log_ratio", moved - mass_change, 0.03, observed=ratio)
    return model


def against_peers(table: xr.Dataset, name: str) -> dict[str, Any]:
    """Time a checked posterior, the naive model under PyMC's defaults, and the bootstrap."""
    problem = petro.MassTransfer(table)
    first, _ = timed(lambda: problem.fit(seed=1, progressbar=False))
    warm, fit = timed(lambda: problem.fit(seed=1, progressbar=False))
    exact = problem.enumerate()
    with naive_model(table), quiet_libraries():
        naive, trace = timed(
            lambda: pm.sample(random_seed=1, progressbar=False, compute_convergence_checks=False)
        )
        r_hat = float(az.rhat(trace, var_names=["mass_change"])["mass_change"].max())
    bootstrap, _ = timed(
        lambda: sparse_isocon_bootstrap(table, 0.5, relative_error=0.03, replicates=1000)
    )
    naive_share = float((trace["posterior"]["mass_change"][..., 0] > 0.2).mean())
    return {
        "data": name,
        "petro_models first fit with checks, s": first,
        "petro_models second fit with checks, s": warm,
        "petro_models verdict": petro.check(fit).verdict,
        "pm.sample defaults, unsummed model, s": naive,
        "pm.sample defaults, R-hat of mass change": r_hat,
        "P(m > 0.2) of the first sample, exact": float(exact.probability_above(0.2)[0]),
        "P(m > 0.2) of the first sample, pm.sample defaults": naive_share,
        "sparse isocon with 1,000 bootstraps, s": bootstrap,
        "times faster than pm.sample defaults": naive / warm,
    }


def cost(n_samples: int, n_elements: int) -> dict[str, Any]:
    """Time a checked posterior of a simulated suite of one size."""
    table, truth = simulate_mass_table(n_samples, n_elements, seed=4)
    problem = petro.MassTransfer(table)
    seconds, fit = timed(lambda: problem.fit(seed=1, progressbar=False))
    error = fit["posterior"]["mass_change"].mean(("chain", "draw")) - truth["mass_change"]
    row = {
        "samples": n_samples,
        "elements": n_elements,
        "method": fit.attrs["method"],
        "seconds": round(seconds, 2),
        "of which sampling": round(fit.attrs["sampling_seconds"], 2),
        "verdict": petro.check(fit).verdict,
        "root mean square error of m": round(float(np.sqrt((error**2).mean())), 4),
    }
    print(row, flush=True)
    return row


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only, nothing stored")
    quick = parser.parse_args().quick
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    peers = [against_peers(petro.datasets.grant2005(), "Grant 2005, 1 sample x 20 elements")]
    suite, _ = simulate_mass_table(5, 20, seed=1)
    peers.append(against_peers(suite, "simulated, 5 samples x 20 elements"))
    print(json.dumps(peers, indent=1))
    samples = (1, 10) if quick else (1, 10, 100, 1000)
    elements = (10, 20) if quick else (10, 20, 30, 40, 60)
    rows = [cost(count, 20) for count in samples]
    rows += [cost(5, count) for count in elements]
    rows.append(cost(20, 40) if quick else cost(100, 40))
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        record = {
            "command": "python benchmarks/mass_transfer.py",
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "versions": {name: version(name) for name in ("petro_models", "pymc", "jax")},
            "against peers": peers,
            "cost against size": rows,
        }
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: benchmarks/results/{RESULTS.name}")


if __name__ == "__main__":
    main()
