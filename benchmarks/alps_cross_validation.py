"""Cross-validation on the Alpine map: spots predicted from the map alone, their class not given.

    PETRO_MODELS_DATA=... python benchmarks/alps_cross_validation.py [--folds 5]

Spots are left out in blocks of six neighbours in the list (points of one traverse); the phases are
known from four seeds only, and of quartz that it is SiO2. Classes, by simple rules on the analyses,
serve to sort the errors and nothing else. Robust relative error: 1.4826 x median |predicted /
measured - 1|; its standard error is that of bootstrapped spots. qntmap's estimator needs net
intensities of the spots, which this list does not give, so it cannot stand in the table. Modes of
the whole map follow under every structure that could be defended.
Writes benchmarks/results/alps_cross_validation.json and prints it as text.
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
from scipy.stats import bootstrap

import petro_models as petro
from petro_models.inference.whitened import sample_laplace
from petro_models.phase_maps.classical import k_means
from petro_models.phase_maps.spot_pixels import centroids_from_seeds
from petro_models.phase_maps.spot_predictions import predict_analyses
from petro_models.phase_maps.spot_predictors import (
    predict_phase_median,
    predict_single_pixel,
    predict_window_median,
)
from petro_models.phase_maps.structures import compare_structures

RESULTS = Path(__file__).parent / "results" / "alps_cross_validation.json"
ROBUST = 1.4826
PHASES = {"Chloritoid": None, "Chlorite": None, "Phengite": None, "Quartz": "SiO2"}
SHOWN = {
    "chloritoid": ("SiO2", "Al2O3", "FeO", "MgO"),
    "chlorite": ("SiO2", "Al2O3", "FeO", "MgO"),
    "phengite": ("SiO2", "Al2O3", "K2O"),
    "quartz": ("SiO2",),
}


def classes_of(spots: xr.Dataset) -> np.ndarray:
    """Sort spots by simple rules on the analysis; what fits none is mixed."""
    wt = {str(o): spots["wt_percent"].sel(oxide=o).to_numpy() for o in spots["oxide"].values}
    total = sum(wt.values())
    found = np.full(len(total), "mixed", dtype=object)
    found[(wt["SiO2"] > 90) & (total > 96) & (total < 102)] = "quartz"
    found[(wt["K2O"] > 5) & (total > 90) & (total < 97)] = "phengite"
    rule = (wt["Al2O3"] > 34) & (wt["SiO2"] < 28) & (wt["FeO"] > 18) & (total > 88) & (total < 95)
    found[rule] = "chloritoid"
    rule = (wt["MgO"] > 5) & (wt["FeO"] > 18) & (wt["SiO2"] < 32) & (total > 82) & (total < 91)
    found[rule] = "chlorite"
    return found


def ours(
    maps: xr.Dataset, training: xr.Dataset, seeds: xr.Dataset, held: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Fit the training spots, predict the held ones."""
    problem = petro.PhaseMaps(maps, training, seeds=seeds, phases=PHASES)
    drawn = sample_laplace(problem.model, problem.start_of_climb(), draws=250, chains=4, seed=1)
    shift = drawn.posterior["registration_shift"]
    facts = {
        "shift": shift.mean(("chain", "draw")).to_numpy().round(3).tolist(),
        "shift_sd": shift.std(("chain", "draw")).to_numpy().round(3).tolist(),
    }
    return predict_analyses(problem, drawn.posterior, held), facts


def classical(
    maps: xr.Dataset,
    training: xr.Dataset,
    held: xr.Dataset,
    labels: xr.DataArray,
    shift: list[float],
) -> dict[str, xr.DataArray]:
    """Predict held spots as is done today; all but the first are told our registration."""
    return {
        "nominal single pixel": predict_single_pixel(maps, labels, training, held),
        "3 x 3 median, shifted": predict_window_median(maps, labels, training, held, shift),
        "phase median": predict_phase_median(maps, labels, training, held, shift),
    }


def score(predicted: xr.DataArray, spots: xr.Dataset, classes: np.ndarray) -> dict[str, Any]:
    """Give robust relative errors in %, and of mixed spots the error of SiO2 in wt%."""
    errors = errors_of(predicted, spots, classes)
    return {name: float(ROBUST * np.nanmedian(error)) for name, error in errors.items()}


def errors_of(
    predicted: xr.DataArray, spots: xr.Dataset, classes: np.ndarray
) -> dict[str, np.ndarray]:
    """Give the sizes of relative errors in %, and of mixed spots those of SiO2 in wt%."""
    found = {}
    for name, oxides in SHOWN.items():
        chosen = classes == name
        for oxide in oxides:
            measured = spots["wt_percent"].sel(oxide=oxide).to_numpy()[chosen]
            relative = predicted.sel(oxide=oxide).to_numpy()[chosen] / measured - 1
            found[f"{name} {oxide}"] = 100 * np.abs(relative)
    chosen = classes == "mixed"
    measured = spots["wt_percent"].sel(oxide="SiO2").to_numpy()[chosen]
    error = predicted.sel(oxide="SiO2").to_numpy()[chosen] - measured
    return found | {"mixed SiO2, wt%": np.abs(error)}


def standard_errors(
    predicted: xr.DataArray, spots: xr.Dataset, classes: np.ndarray
) -> dict[str, float]:
    """Give the standard errors of `score`: spots are few."""
    generator = np.random.default_rng(1)
    return {
        name: ROBUST
        * float(
            bootstrap(
                (error[np.isfinite(error)],), np.median, method="basic", rng=generator
            ).standard_error
        )
        for name, error in errors_of(predicted, spots, classes).items()
    }


def intervals(prediction: xr.Dataset, spots: xr.Dataset, classes: np.ndarray) -> dict[str, float]:
    """Give coverage of the 90 % intervals and their mean interval score (lower is better)."""
    oxides = prediction["oxide"].values
    measured = spots["wt_percent"].sel(oxide=oxides).to_numpy()
    low, high = (prediction[f"predicted_{end}"].to_numpy() for end in ("low", "high"))
    inside = (measured >= low) & (measured <= high)
    found = {f"coverage, {name}": float(inside[classes == name].mean()) for name in set(classes)}
    found["coverage, all"] = float(inside.mean())
    found["interval score, wt%"] = interval_score(low, high, measured)
    return found


def interval_score(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    """Score 90 % intervals, less is better (Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102)."""
    penalty = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return float((high - low + 2 / 0.1 * penalty).mean())


def modes(maps: xr.Dataset, spots: xr.Dataset, seeds: xr.Dataset) -> dict[str, dict[str, float]]:
    """Give the modes in area % under every structure, their range, and the unknown pixels."""
    found = compare_structures(petro.PhaseMaps(maps, spots, seeds=seeds, phases=PHASES), seed=1)
    phases = [str(name) for name in found["phase"].values]
    rows = {
        str(name): dict(zip(phases, (100 * row).tolist(), strict=True)) | {"unknown": 100 * lost}
        for name, row, lost in zip(
            found["structure"].values,
            found["mode"].to_numpy(),
            found["unknown"].to_numpy().tolist(),
            strict=True,
        )
    }
    spread = dict(zip(phases, (100 * found["mode_range"].to_numpy()).tolist(), strict=True))
    return rows | {"range": spread}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    maps, spots, seeds = petro.datasets.alps()
    classes, count = classes_of(spots), spots.sizes["spot"]
    centroids = centroids_from_seeds(maps, seeds)
    answer = k_means(maps, centroids)
    labels = answer.fraction.argmax("phase")
    fold = np.arange(count) // 6 % options.folds
    pieces: list[xr.Dataset] = []
    baselines: dict[str, list[xr.DataArray]] = {}
    facts = []
    for index in range(options.folds):
        training, held = spots.isel(spot=fold != index), spots.isel(spot=fold == index)
        begin = time.perf_counter()
        piece, fact = ours(maps, training, seeds, held)
        facts.append(fact | {"seconds": time.perf_counter() - begin})
        pieces.append(piece)
        found = classical(maps, training, held, labels, fact["shift"])
        for name, values in found.items():
            baselines.setdefault(name, []).append(values)
        print(f"fold {index + 1}: {facts[-1]}", flush=True)
    prediction = xr.concat(pieces, "spot").sel(spot=spots["spot"].values)
    table = {"petro_models": score(prediction["predicted"], spots, classes)}
    errors = standard_errors(prediction["predicted"], spots, classes)
    for name, parts in baselines.items():
        table[name] = score(xr.concat(parts, "spot").sel(spot=spots["spot"].values), spots, classes)
    result = {
        "command": f"python benchmarks/alps_cross_validation.py --folds {options.folds}",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "jax", "pymc", "numpyro")},
        "robust_relative_error_percent": table,
        "standard_error_percent": errors,
        "intervals": intervals(prediction, spots, classes),
        "folds": facts,
        "modes_percent": modes(maps, spots, seeds),
    }
    names = list(table)
    print("\n" + " " * 24 + "  ".join(f"{name[:22]:>22}" for name in names))
    for key in table[names[0]]:
        values = "  ".join(f"{table[name][key]:>22.2f}" for name in names)
        print(f"{key:<24}{values}   (ours +- {errors[key]:.2f})")
    print(json.dumps(result["intervals"], indent=1))
    for name, row in result["modes_percent"].items():
        print(f"{name:<28}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
