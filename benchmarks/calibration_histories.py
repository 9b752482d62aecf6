"""Honest clocks: fits of simulated histories that are no draws of the prior.

    python benchmarks/calibration_histories.py [--histories 36] [--doubled 6]

Each history is fitted as a user would fit it (default priors, shorter chains). Results are stored
after every fit in benchmarks/results/calibration_histories.json; a later run goes on from there.
"""

import argparse
import json
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from petro_models.histories.derived import derive
from petro_models.histories.problem import Histories
from petro_models.histories.simulate import simulate_history
from petro_models.inference.whitened import sample_whitened

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "calibration_histories.json"
TABLE = HERE.parent / "petro_models" / "bundled" / "garnet_white2014.nc"
KINDS = ("heating", "pulse", "loop", "pause")
CHAINS, DRAWS, TUNE = 2, 400, 400


def sample(problem: Histories, seed: int) -> tuple[xr.Dataset, Any, float]:
    """Sample and derive: answers, draws, seconds."""
    begin = time.perf_counter()
    draws = sample_whitened(
        problem.model, problem.start_of_climb(), draws=DRAWS, tune=TUNE, chains=CHAINS, seed=seed
    )
    return derive(problem, draws.posterior), draws, time.perf_counter() - begin


def history(index: int, table: xr.Dataset) -> dict[str, Any]:
    """Fit one history that is no draw from the prior, and score it."""
    generator = np.random.default_rng(7000 + index)
    kind = KINDS[index % len(KINDS)]
    n_grains, n_ages = int(generator.integers(3, 6)), int(generator.integers(2, 6))
    duration = float(np.exp(generator.uniform(np.log(4), np.log(25))))
    energy = float(generator.uniform(170, 230))
    profiles, ages, truth = simulate_history(
        table, kind, n_grains=n_grains, n_positions=30, n_ages=n_ages, duration_Myr=duration,
        activation_energy_kJ_per_mol=energy, seed=7000 + index,
    )  # fmt: skip
    problem = Histories(profiles, table, ages)
    answers, draws, seconds = sample(problem, index)
    time_true = truth["time_Myr"].to_numpy()
    time_true = time_true - time_true.min()
    low, middle, high = (
        float(answers["duration_Myr"].sel(statistic=key)) for key in ("q05", "q50", "q95")
    )
    age_true = 80.0 + duration - truth["time_Myr"].to_numpy()
    return {
        "index": index, "kind": kind, "grains": n_grains, "ages": n_ages,
        "duration": float(time_true.max()), "q05": low, "q50": middle, "q95": high,
        "ages covered": covered(answers["age_Ma"], age_true),
        "P covered": covered(answers["pressure_kbar"], truth["pressure_kbar"].to_numpy()),
        "T covered": covered(answers["temperature_C"], truth["temperature_C"].to_numpy()),
        "P rmse": rmse(answers["pressure_kbar"], truth["pressure_kbar"].to_numpy()),
        "T rmse": rmse(answers["temperature_C"], truth["temperature_C"].to_numpy()),
        "divergences": int(draws.sample_stats["diverging"].sum()),
        "steps": float(draws.sample_stats["n_steps"].mean()),
        "seconds": round(seconds, 1),
    }  # fmt: skip


def doubled(index: int, table: xr.Dataset, before: dict[str, Any]) -> dict[str, Any]:
    """Fit a history again with twice the nodes, to see how far the duration moves."""
    generator = np.random.default_rng(7000 + index)
    n_grains, n_ages = int(generator.integers(3, 6)), int(generator.integers(2, 6))
    duration = float(np.exp(generator.uniform(np.log(4), np.log(25))))
    energy = float(generator.uniform(170, 230))
    profiles, ages, _ = simulate_history(
        table, KINDS[index % len(KINDS)], n_grains=n_grains, n_positions=30, n_ages=n_ages,
        duration_Myr=duration, activation_energy_kJ_per_mol=energy, seed=7000 + index,
    )  # fmt: skip
    answers, _, _ = sample(Histories(profiles, table, ages, nodes=96), index)
    middle = float(answers["duration_Myr"].sel(statistic="q50"))
    return {"index": index, "nodes 48": before["q50"], "nodes 96": middle}


def covered(values: xr.DataArray, truth: np.ndarray) -> float:
    """Give the share of positions whose 90 % interval holds the truth."""
    low, high = (values.sel(statistic=key).to_numpy() for key in ("q05", "q95"))
    return float(((low <= truth) & (truth <= high)).mean())


def rmse(values: xr.DataArray, truth: np.ndarray) -> float:
    """Give the root mean square error of the medians."""
    return float(np.sqrt(np.mean((values.sel(statistic="q50").to_numpy() - truth) ** 2)))


def main() -> None:
    """Run what is missing and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=36)
    parser.add_argument("--doubled", type=int, default=6)
    arguments = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    table = xr.load_dataset(TABLE)
    record = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    cases = {case["index"]: case for case in record.get("histories", [])}
    twice = {case["index"]: case for case in record.get("doubled nodes", [])}
    RESULTS.parent.mkdir(exist_ok=True)
    for index in range(arguments.histories):
        if index not in cases:
            cases[index] = history(index, table)
            print(json.dumps(cases[index]), flush=True)
            store(cases, twice)
    for index in range(arguments.doubled):
        if index not in twice and index in cases:
            twice[index] = doubled(index, table, cases[index])
            print(json.dumps(twice[index]), flush=True)
            store(cases, twice)


def store(cases: dict[int, dict[str, Any]], twice: dict[int, dict[str, Any]]) -> None:
    """Write the cases and what they add up to."""
    record = {
        "command": "python benchmarks/calibration_histories.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "pymc", "jax")},
        "chains, draws, tune": [CHAINS, DRAWS, TUNE],
        "summary": summarise(list(cases.values()), list(twice.values())),
        "histories": list(cases.values()),
        "doubled nodes": list(twice.values()),
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


def summarise(cases: list[dict[str, Any]], twice: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the cases up: coverage of 90 % intervals, bias, width."""
    column = {key: np.array([case[key] for case in cases]) for key in cases[0]}
    inside = (column["q05"] <= column["duration"]) & (column["duration"] <= column["q95"])
    found: dict[str, Any] = {
        "histories": len(cases),
        "duration covered": float(inside.mean()),
        "ages along the path covered": float(column["ages covered"].mean()),
        "median log bias of the duration": float(
            np.median(np.log(column["q50"] / column["duration"]))
        ),
        "median 95/5 ratio of the duration": float(np.median(column["q95"] / column["q05"])),
        "divergences": int(column["divergences"].sum()),
    }
    for kind in (*KINDS, "all"):
        own = column["kind"] == kind if kind != "all" else np.ones(len(cases), bool)
        if own.any():
            found[f"P, T covered ({kind})"] = [
                float(column[f"{name} covered"][own].mean()) for name in ("P", "T")
            ]
    if twice:
        moved = [abs(np.log(case["nodes 96"] / case["nodes 48"])) for case in twice]
        found["largest move of the duration with twice the nodes"] = float(np.max(moved))
    return found


if __name__ == "__main__":
    main()
