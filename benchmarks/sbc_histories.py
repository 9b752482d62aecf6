"""Simulation-based calibration of histories: truths drawn from the model's own prior.

    python benchmarks/sbc_histories.py [--sets 100]

The layout of one simulated garnet (16 analyses, two dated zones) is kept, with its axis and priors;
paths, clocks and data are drawn from the prior, thinned to those where garnet is stable as the
model's own term for it says. All sets are fitted by one compiled sampler. Writes
benchmarks/results/sbc_histories.json for 100 sets or more, and prints only, for fewer.
"""

import argparse
import json
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.errors import DataError
from petro_models.histories.derived import derive
from petro_models.inference.calibration import Calibration, calibrate
from petro_models.inference.predictive import log_densities

RESULTS = Path(__file__).parent / "results" / "sbc_histories.json"
FULL = 100
PRIOR_DRAWS_A_SET, DRAWS, TUNE, THINNING = 6, 2000, 1000, 4
PLACES = ("pressure_kbar", "temperature_C")
RATES = ("axis_heating_C_per_Myr", "axis_burial_kbar_per_Myr", "axis_growth_um_per_Myr")


class Replicate(petro.Histories):
    """A history whose axis and coordinates are those of another, not fitted to its own data."""

    kind = "histories-replicate"
    pattern: petro.Histories

    def _axis(self) -> Any:
        return self.pattern._axis()

    @property
    def resolved(self) -> dict[str, int]:
        """The pattern's."""
        return self.pattern.resolved


def pattern() -> petro.Histories:
    """Give the history whose layout all sets share."""
    table = petro.bundled_table("white2014")
    profiles, ages, _ = petro.simulate_history(
        table, "clockwise", n_grains=1, n_positions=16, n_ages=2, seed=3
    )
    return petro.Histories(profiles, table, ages)


def truths(problem: petro.Histories, sets: int, seed: int) -> tuple[xr.Dataset, xr.Dataset, float]:
    """Draw histories and data from the prior; give both, and the share that was accepted."""
    drawn = problem.prior_predictive(draws=sets * PRIOR_DRAWS_A_SET, seed=seed)
    names = [rv.name for rv in problem.model.free_RVs]
    prior, data = drawn["prior"].to_dataset()[names], drawn["prior_predictive"].to_dataset()
    stable = log_densities(problem.model, prior)[1]["garnet_absence"].sum("position").to_numpy()[0]
    best = -problem.arrays.radius_um.size * np.log(0.3 * np.sqrt(2 * np.pi))
    uniform = np.random.default_rng(seed).uniform(size=stable.size)
    accepted = np.flatnonzero(np.log(uniform) < stable - best)
    if accepted.size < sets:
        raise SystemExit(f"{accepted.size} of {stable.size} prior draws keep garnet stable")
    chosen = {"draw": accepted[:sets]}
    return prior.isel(chosen), data.isel(chosen), accepted.size / stable.size


def replicate(problem: petro.Histories, data: xr.Dataset) -> Replicate | None:
    """Put drawn data in the layout; None where the schema refuses them.

    To refuse data for what they are leaves the calibration of the others as it is.
    """
    table = problem.data.copy()
    for name in ("composition", "zone_age_Ma"):
        table[name] = (table[name].dims, data[name].to_numpy())
    try:
        new = Replicate.from_options(table, problem.options)
    except DataError:
        return None
    assert isinstance(new, Replicate)
    new.pattern, new.priors = problem, problem.priors
    return new


def quantities(answers: xr.Dataset) -> dict[str, np.ndarray]:
    """Give what is ranked, (draw): P and T at three analyses, the duration, rates half way."""
    found = {"duration_Myr": answers["duration_Myr_draws"].to_numpy()}
    middle = answers.sizes["step"] // 2
    found |= {name: answers[f"{name}_draws"].to_numpy()[:, middle] for name in RATES}
    for name in PLACES:
        values = answers[f"{name}_draws"].to_numpy()
        for label, at in (("core", 0), ("middle", values.shape[1] // 2), ("rim", -1)):
            found[f"{name} {label}"] = values[:, at]
    return found


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=FULL)
    sets = parser.parse_args().sets
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    begin = time.perf_counter()
    problem = pattern()
    prior, data, share = truths(problem, sets, seed=12)
    problems = [replicate(problem, data.isel(chain=0, draw=k)) for k in range(sets)]
    fits = petro.fit_many(
        problems, draws=DRAWS, tune=TUNE, target_accept=0.95, seed=4, keep_draws=True
    )
    status = fits["status"].to_dataset()
    columns: dict[str, tuple[list[float], list[np.ndarray]]] = {}
    for item, one in enumerate(problems):
        if one is None or status["layout"][item] < 0:
            continue
        posterior = fits[f"items/{item}/posterior"].to_dataset()
        thinned = posterior.isel(draw=slice(None, None, DRAWS * 4 // 800 or 1))
        truth = prior.isel(draw=[item]).assign_coords(draw=[0])
        true, drawn = (quantities(derive(one, values)) for values in (truth, thinned))
        for name, values in drawn.items():
            column = columns.setdefault(name, ([], []))
            column[0].append(float(true[name][0]))
            column[1].append(values[::THINNING])
    generator = np.random.default_rng(8)
    record = {
        "command": f"python benchmarks/sbc_histories.py --sets {sets}",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "pymc", "numpyro", "jax")},
        "device": str(jax.devices()[0]),
        "seconds": round(time.perf_counter() - begin, 1),
        "chains, draws, tune": [4, DRAWS, TUNE],
        "share of prior draws where garnet is stable": round(share, 4),
        "status": {
            str(name): int((status["status"] == name).sum())
            for name in set(status["status"].values)
        },
        "largest R-hat": round(float(status["r_hat"].max()), 3),
        "results": [
            summarise(calibrate(name, *column, generator)) for name, column in columns.items()
        ],
    }
    print(json.dumps(record, indent=1))
    if sets >= FULL:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")


def summarise(found: Calibration) -> dict[str, Any]:
    """Print and give the numbers of one quantity."""
    print(found)
    return {
        "name": found.name,
        "sets": int(found.pit.size),
        "coverage of 90 %": round(found.coverage, 3),
        "p of uniform ranks": round(found.p_uniform, 4),
        "ranks": [round(float(value), 3) for value in found.pit],
    }


if __name__ == "__main__":
    main()
