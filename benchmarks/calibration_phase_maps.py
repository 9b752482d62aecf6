"""Calibration of phase maps on simulated maps: errors and coverage beside the classical methods.

    python benchmarks/calibration_phase_maps.py [--maps 3] [--size 256] [--method laplace]

Six phases x ten elements, 13 % mixed pixels; at 1,000, 300 and 100 counts a pixel, at 1,000 with
4 % of scatter that no axis explains, and with every pixel to itself (`neighbours="none"`).
Coverage is of 90 % equal-tailed intervals, pooled over the maps, in strata of the posterior (by
truth it must fall near purity: the fractions have a spike there). An interval that ends in such a
spike holds more than 90 % however well the posterior is calibrated, so the same is shown by ranks:
how often the truth is none of the lowest or highest 5 % among draws, equal ones in random order.
Probabilities of being pure are binned, and scored: the mean negative logarithm of what was given
to what is true.
Writes benchmarks/results/calibration_phase_maps.json and prints it as text.
"""

import argparse
import json
import logging
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.phase_maps.classical import gaussian_mixture, k_means, poisson_unmixing
from petro_models.phase_maps.pixel_draws import draw_pixels
from petro_models.phase_maps.qntmap import poisson_membership
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.phase_maps.spot_pixels import centroids_from_spots, pixel_counts

RESULTS = Path(__file__).parent / "results" / "calibration_phase_maps.json"
SCENARIOS: dict[str, tuple[dict[str, float], dict[str, str]]] = {
    "1,000 counts": ({"counts_per_pixel": 1000}, {}),
    "100 counts": ({"counts_per_pixel": 100}, {}),
    "1,000 counts, 4 % scatter": ({"counts_per_pixel": 1000, "unmodelled_scatter": 0.04}, {}),
    "300 counts": ({"counts_per_pixel": 300}, {}),
    "1,000 counts, pixels alone": ({"counts_per_pixel": 1000}, {"neighbours": "none"}),
    "100 counts, pixels alone": ({"counts_per_pixel": 100}, {"neighbours": "none"}),
}
"""What is simulated, and the options of the problem."""
PURE, NORMAL_95 = 0.999, 1.645
LEAST_CHANCE = 1e-4
"""A pixel counts as no less likely pure, or mixed, in the score."""
STRATA = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
"""Of the posterior mean of a fraction."""
RANKED_PIXELS, DRAWS = 1500, 99
"""Pixels of each map of which draws are made, and how many."""


type Counted = dict[str, list[float]]


def errors(estimate: np.ndarray, truth: np.ndarray, mixed: np.ndarray) -> dict[str, float]:
    """Give root mean square errors of fractions over all pixels and over mixed ones."""
    square = (estimate - truth) ** 2
    return {
        "all": float(np.sqrt(square.mean())),
        "mixed": float(np.sqrt(square[:, mixed].mean())),
    }


def classical_errors(
    maps: xr.Dataset, spots: xr.Dataset, truth: xr.Dataset, fraction: np.ndarray, mixed: np.ndarray
) -> dict[str, dict[str, float]]:
    """Give the errors of the classical methods; spots at their true places, to favour them."""
    placed = spots.assign(
        column=spots["column"] + float(truth["registration_shift"][0]),
        row=spots["row"] + float(truth["registration_shift"][1]),
    )
    centroids = centroids_from_spots(maps, placed)
    order = [list(centroids["phase"].values).index(name) for name in truth["phase"].values]
    oracle = xr.DataArray(
        truth["phase_intensity"].to_numpy(),
        {"phase": truth["phase"].values, "element": maps["element"].values},
        ("phase", "element"),
    )
    counts = pixel_counts(maps)
    membership, _ = poisson_membership(counts, centroids.to_numpy())
    answers = {
        "k-means": k_means(maps, centroids).fraction.to_numpy()[order],
        "Gaussian mixture": gaussian_mixture(maps, centroids).fraction.to_numpy()[order],
        "qntmap membership": np.asarray(membership)
        .reshape(len(counts), -1)
        .T[order]
        .reshape(fraction.shape),
        "Poisson unmixing, true end members": poisson_unmixing(maps, oracle).fraction.to_numpy(),
    }
    return {
        name: errors(value.reshape(fraction.shape), fraction, mixed)
        for name, value in answers.items()
    }


def coverage(fit: xr.Dataset, truth: xr.Dataset) -> Counted:
    """Count truths inside their intervals in strata of the posterior: [inside, of]."""
    fraction, mean = truth["phase_fraction"].to_numpy(), fit["phase_fraction"].to_numpy()
    low, high = fit["phase_fraction_low"].to_numpy(), fit["phase_fraction_high"].to_numpy()
    # Truth is known to one sub-pixel in 25: ends are met within half of one.
    inside = (fraction >= low - 1e-6) & (fraction <= high + 1e-6)
    composition, sd = fit["composition"].to_numpy(), fit["composition_sd"].to_numpy()
    met = np.abs(composition - truth["composition"].to_numpy()) <= NORMAL_95 * sd
    pure = fit["pure_probability"].max("phase").to_numpy()
    found = by_strata(inside, mean, "fraction")
    for name, chosen in (("pure", pure > 0.9), ("mixed", pure < 0.1)):
        found[f"composition, {name} pixels"] = [int(met[:, chosen].sum()), int(met[:, chosen].size)]
    return found


def pure_probability(fit: xr.Dataset, truth: xr.Dataset) -> tuple[Counted, Counted]:
    """Bin the probability of being pure: [sum given, truly, of]; and score it: [sum, of]."""
    pure = fit["pure_probability"].max("phase").to_numpy()
    truly = truth["phase_fraction"].to_numpy().max(axis=0) > PURE
    found = {}
    for left, right in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        chosen = (pure >= left) & (pure < right)
        found[f"P(pure) {left:g}-{min(right, 1):g}: mean, frequency"] = [
            float(pure[chosen].sum()), int(truly[chosen].sum()), int(chosen.sum())
        ]  # fmt: skip
    given = np.where(truly, pure, 1 - pure).clip(LEAST_CHANCE, 1.0)
    return found, {"all": [float(-np.log(given).sum()), truly.size]}


def by_strata(inside: np.ndarray, mean: np.ndarray, name: str) -> Counted:
    """Count fractions that are inside, in strata of their posterior mean: [inside, of]."""
    strata = {f"{name} {left:g}-{right:g}": (left, right) for left, right in pairwise(STRATA)}
    strata[f"{name}, mixed pixels"] = (STRATA[0], STRATA[-1])
    chosen = {key: (mean > left) & (mean <= right) for key, (left, right) in strata.items()}
    return {key: [int(inside[here].sum()), int(here.sum())] for key, here in chosen.items()}


def ranked(
    problem: petro.PhaseMaps, fit: xr.DataTree, derived: xr.Dataset, truth: xr.Dataset, seed: int
) -> Counted:
    """Count truths that are none of the lowest or highest 5 % among draws of mixed pixels."""
    generator = np.random.default_rng(seed)
    mean = derived["phase_fraction"].to_numpy()
    mixed = np.flatnonzero(((mean > STRATA[0]) & (mean <= STRATA[-1])).any(axis=0))
    region = np.zeros(mean[0].size, dtype=bool)
    region[generator.choice(mixed, min(RANKED_PIXELS, len(mixed)), replace=False)] = True
    mask = xr.DataArray(region.reshape(mean[0].shape), dims=("y", "x"))
    drawn = draw_pixels(problem, fit, mask, draws=DRAWS, seed=seed)["phase_fraction"]
    drawn = drawn.sel(phase=derived["phase"].values).transpose("draw", "phase", "pixel")
    true, draws = truth["phase_fraction"].to_numpy()[:, mask.to_numpy()], drawn.to_numpy()
    equal = np.abs(draws - true) < 1e-6
    below = ((draws < true) & ~equal).sum(axis=0)
    rank = below + generator.integers(0, equal.sum(axis=0) + 1)
    outside = round(0.05 * (DRAWS + 1))
    inside = (rank >= outside) & (rank <= DRAWS - outside)
    return by_strata(inside, mean[:, mask.to_numpy()], "by rank, fraction")


def run(name: str, maps: int, size: int, method: Any) -> dict[str, Any]:
    """Fit the maps of one scenario and pool what they show."""
    simulated, options = SCENARIOS[name]
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, dict[str, float]]] = []
    pooled: dict[str, dict[str, np.ndarray]] = {"coverage": {}, "pure": {}, "score": {}}
    seconds = []
    for seed in range(maps):
        counts, spots, truth = simulate_phase_maps(size, size, seed=100 + seed, **simulated)
        fraction = truth["phase_fraction"].to_numpy()
        mixed = fraction.max(axis=0) <= PURE
        begin = time.perf_counter()
        problem = petro.PhaseMaps(counts, spots, **options)
        fit = problem.fit(method=method, draws=200, chains=4, tune=150, seed=1, progressbar=False)
        seconds.append(time.perf_counter() - begin)
        derived = fit["derived"].to_dataset()
        names = [list(derived["phase"].values).index(p) for p in truth["phase"].values]
        derived = derived.isel(phase=names)
        ours.append(errors(derived["phase_fraction"].to_numpy(), fraction, mixed))
        theirs.append(classical_errors(counts, spots, truth, fraction, mixed))
        held = coverage(derived, truth) | ranked(problem, fit, derived, truth, seed)
        for into, counted in zip(
            pooled.values(), (held, *pure_probability(derived, truth)), strict=True
        ):
            for key, value in counted.items():
                into[key] = into.get(key, np.zeros(len(value))) + np.array(value, dtype=float)
        print(f"{name}, map {seed + 1}: {ours[-1]}, {seconds[-1]:.0f} s", flush=True)
    rows = {"petro_models": _mean(ours)}
    rows |= {key: _mean([one[key] for one in theirs]) for key in theirs[0]}
    return {
        "rmse_of_fractions": rows,
        "coverage": {key: value[0] / value[1] for key, value in pooled["coverage"].items()},
        "log_score": float(np.divide(*pooled["score"]["all"])),
        "pure_probability": {
            key: [value[0] / max(value[2], 1), value[1] / max(value[2], 1), int(value[2])]
            for key, value in pooled["pure"].items()
        },
        "seconds": float(np.mean(seconds)),
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def show(result: dict[str, Any]) -> None:
    """Print the results as text."""
    for name, scenario in result["scenarios"].items():
        print(f"\n{name}: root mean square error of fractions, all / mixed pixels")
        for method, row in scenario["rmse_of_fractions"].items():
            print(f"  {method:<36} {row['all']:.4f} / {row['mixed']:.4f}")
        print("  90 % intervals hold the truth:")
        for key, share in scenario["coverage"].items():
            print(f"    {key:<34} {share:.3f}")
        print(f"  log score of P(pure) {scenario['log_score']:.4f}")
        for key, (mean, frequency, count) in scenario["pure_probability"].items():
            print(f"    {key:<34} {mean:.3f} {frequency:.3f}  ({count} pixels)")


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--maps", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--method", default="laplace")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    logging.getLogger("petro_models").setLevel(logging.WARNING)
    result = {
        "command": f"python benchmarks/calibration_phase_maps.py --maps {options.maps} "
        f"--size {options.size} --method {options.method}",
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("petro_models", "jax", "pymc", "numpyro")},
        "scenarios": {
            name: run(name, options.maps, options.size, options.method) for name in SCENARIOS
        },
    }
    show(result)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
