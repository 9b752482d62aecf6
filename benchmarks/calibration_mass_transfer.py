"""Calibration of mass transfer: simulation-based calibration, recovery, and co-moving blocks.

    python benchmarks/calibration_mass_transfer.py [--sets 200] [--nuts-sets 0]

Writes benchmarks/results/calibration_mass_transfer.json and prints it as text.
"""

import argparse
import json
import logging
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.inference.calibration import (
    Calibration,
    calibrate,
    calibrate_probabilities,
    reliability,
)
from petro_models.inference.nuts import sample_nuts
from petro_models.mass_transfer.classical import sparse_isocon
from petro_models.mass_transfer.simulate import simulate_mass_table

RESULTS = Path(__file__).parent / "results" / "calibration_mass_transfer.json"


def exact_sets(n_sets: int, seed: int = 0) -> list[Calibration]:
    """Calibrate mass change and P(immobile) of the default model, 3 samples x 10 elements."""
    generator = np.random.default_rng(seed)
    truths, draws, outcomes, chances = [], [], [], []
    for index in range(n_sets):
        count = generator.binomial(10, 0.4)
        table, truth = simulate_mass_table(3, 10, immobile_share=count / 10, seed=seed + index)
        exact = petro.MassTransfer(table).enumerate()
        _, mass_change, _ = exact.draw(999, generator)
        truths += list(truth["mass_change"].to_numpy())
        draws += list(mass_change.T)
        outcomes += list(truth["immobile"].to_numpy())
        chances += list(exact.immobile_probability)
    return [
        calibrate("mass change (exact)", truths, draws, generator),
        calibrate_probabilities("P(immobile) (exact)", outcomes, chances, generator),
    ]


def nuts_sets(n_sets: int, seed: int = 50_000) -> list[Calibration]:
    """Calibrate the model whose protolith, its spread and dilution are unknown, by NUTS.

    Data and truths come from the declared model's own prior predictive: 4 samples x 8 elements,
    4 protolith analyses.
    """
    generator = np.random.default_rng(seed)
    names = ("mass_change", "protolith_spread", "mobility_scale")
    collected: dict[str, tuple[list[float], list[np.ndarray]]] = {name: ([], []) for name in names}
    for index in range(n_sets):
        table, _ = simulate_mass_table(4, 8, n_protolith=4, protolith_spread=0.1, seed=seed + index)
        prior = _problem(table).prior_predictive(draws=1, seed=seed + index)
        problem = _problem(_with_simulated_data(table, prior))
        posterior = sample_nuts(
            problem.model, draws=500, tune=700, chains=2, seed=seed + index,
            start=[problem._starting_points()[0]] * 2,
        ).posterior.isel(draw=slice(None, None, 4))  # fmt: skip
        for name in names:
            truth = prior["prior"][name].to_numpy().ravel()
            values = posterior[name].to_numpy().reshape(-1, truth.size)
            collected[name][0].extend(truth)
            collected[name][1].extend(values.T)
    return [
        calibrate(f"{name} (NUTS)", truths, draws, generator)
        for name, (truths, draws) in collected.items()
    ]


def _problem(table: xr.Dataset) -> petro.MassTransfer:
    problem = petro.MassTransfer(table)
    problem.priors["mobility_scale"] = petro.Prior("LogNormal", mu=-0.4, sigma=0.4)
    problem.priors["immobile_probability"] = 0.6
    return problem


def _with_simulated_data(table: xr.Dataset, prior: xr.DataTree) -> xr.Dataset:
    """Put the prior predictive data in the table, on the reference of the original analyses."""
    drawn = prior["prior_predictive"].isel(chain=0, draw=0)
    table = table.copy()
    for prefix, name in (("", "altered"), ("protolith_", "protolith")):
        values = np.exp(drawn[f"{name}_log_concentration"].to_numpy().T)
        table[f"{prefix}concentration"] = (table[f"{prefix}concentration"].dims, values)
    return table


def recovery(n_sets: int, seed: int = 10_000) -> dict[str, float]:
    """Root mean square error of m, 5 samples x 20 elements, 30 % immobile, 3 % noise."""
    errors: dict[str, list[float]] = {
        "petro_models": [],
        "sparse isocon q=0.5": [],
        "sparse isocon q=0.75": [],
        "sparse isocon q=1": [],
        "clr mean (q=2)": [],
    }
    for index in range(n_sets):
        table, truth = simulate_mass_table(5, 20, immobile_share=0.3, seed=seed + index)
        true = truth["mass_change"].to_numpy()
        estimates = {"petro_models": petro.MassTransfer(table).enumerate().mean}
        for name, q in (
            ("sparse isocon q=0.5", 0.5),
            ("sparse isocon q=0.75", 0.75),
            ("sparse isocon q=1", 1.0),
            ("clr mean (q=2)", 2.0),
        ):
            estimates[name] = sparse_isocon(table, q)["best_mass_change"].to_numpy()
        for name, estimate in estimates.items():
            errors[name].append(float(np.mean((estimate - true) ** 2)))
    return {name: float(np.sqrt(np.mean(values))) for name, values in errors.items()}


def co_moving(n_sets: int, seed: int = 20_000) -> dict[str, object]:
    """Probability of the frame of a co-moving block of 30 % beside an immobile block of 30 %.

    One of the two blocks is called A by a fair coin; P(A is immobile) must be calibrated.
    """
    generator = np.random.default_rng(seed)
    outcomes, chances, wrong = [], [], []
    for index in range(n_sets):
        table, truth = simulate_mass_table(
            5, 20, immobile_share=0.3, co_moving_share=0.3, seed=seed + index
        )
        exact = petro.MassTransfer(table).enumerate()
        member = exact.members(np.flatnonzero(exact.probability > 1e-10))
        weight = exact.probability[exact.probability > 1e-10]
        true_block = member[:, truth["immobile"].to_numpy()].mean(axis=1)
        false_block = member[:, truth["co_moving"].to_numpy()].mean(axis=1)
        wrong.append(float(weight[false_block > true_block].sum()))
        coin = bool(generator.integers(2))
        outcomes.append(coin)
        chances.append(1 - wrong[-1] if coin else wrong[-1])
    result = calibrate_probabilities("frame of a block", outcomes, chances, generator)
    return {
        "mean probability of the wrong frame": float(np.mean(wrong)),
        "sets where the wrong frame leads": float(np.mean(np.array(wrong) > 0.5)),
        "uniform p": result.p_uniform,
        "reliability (mean probability, frequency, count)": reliability(outcomes, chances),
        "brier": float(np.mean((np.array(chances) - np.array(outcomes)) ** 2)),
    }


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--nuts-sets", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    begin = time.perf_counter()
    found = exact_sets(5 * arguments.sets)
    if arguments.nuts_sets:
        found += nuts_sets(arguments.nuts_sets)
    for calibration in found:
        print(calibration)
    rmse, blocks = recovery(min(arguments.sets, 100)), co_moving(arguments.sets)
    print(json.dumps(rmse, indent=1))
    print(json.dumps(blocks, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {
                "command": "python benchmarks/calibration_mass_transfer.py "
                f"--sets {arguments.sets} --nuts-sets {arguments.nuts_sets}",
                "date": time.strftime("%Y-%m-%d"),
                "versions": {name: version(name) for name in ("petro_models", "pymc", "jax")},
                "seconds": round(time.perf_counter() - begin),
                "simulation-based calibration": {
                    c.name: {
                        "truths": int(c.pit.size),
                        "coverage of 90 % intervals": c.coverage,
                        "p of uniform ranks": c.p_uniform,
                    }
                    for c in found
                },
                "root mean square error of m": rmse,
                "co-moving block": blocks,
            },
            indent=1,
        )
        + "\n"
    )
    print(f"written: benchmarks/results/{RESULTS.name}")


if __name__ == "__main__":
    main()
