"""From counts to P-T-t with and without the calibration's error, from all pixels and a traverse.

    python benchmarks/thin_section.py [--sections 20] [--off-centre]

Each section is simulated with its own garnets, counts, spots and ages, then mapped and read as a
user would. With --off-centre it misses the centres by up to 0.4 of the garnets' radii, and how far
is an unknown. Results are stored after every section in benchmarks/results/thin_section.json
(thin_section_off_centre.json); a later run goes on from there.
"""

import argparse
import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import petro_models as petro
from petro_models.study.garnet_sections import ages_on_map, garnet_sections
from petro_models.study.thin_section import ThinSection, simulate_thin_section

RESULTS = Path(__file__).parent / "results"
MOST_CUT_SHARE = 0.4
PATHS = ("clockwise", "heating", "loop", "pause", "pulse")
SIZE = 192
ANSWERS = ("pressure_kbar", "temperature_C", "age_Ma")
TRAVERSE_PIXELS = 3
ARMS = (("all pixels", "propagated"), ("all pixels", "dropped"), ("one traverse", "propagated"))


def history(
    section: ThinSection, fit: xr.DataTree, propagated: bool, traverse: bool, off_centre: bool
) -> dict[str, Any]:
    """Fit one history of a mapped section and compare it with the truth."""
    step = float(section.maps["step_um"])
    options: dict[str, Any] = {
        "through_centres": not off_centre,
        "strip_um": TRAVERSE_PIXELS * step if traverse else None,
    }
    profiles = garnet_sections(fit, **options)
    density = section.number_density(profiles)
    profiles = garnet_sections(fit, number_density=density, **options)
    ages = ages_on_map(fit, profiles, section.age_spots)
    problem = petro.Histories(profiles, section.equilibrium, ages, own_bulk=True)
    if not propagated:
        problem.priors["shared_error"] = 0.0
    begin = time.perf_counter()
    draws = {"draws": 1000} if off_centre else {"draws": 500, "tune": 500}
    answers = problem.fit(seed=1, **draws)
    verdicts = petro.check(answers)
    truth = section.along(profiles)
    found: dict[str, Any] = {
        "seconds": round(time.perf_counter() - begin, 1),
        "converged": not any(
            check.verdict == "FAIL"
            for check in verdicts
            if check.name in ("R-hat", "bulk ESS", "divergences")
        ),
        "fails": [check.name for check in verdicts if check.verdict == "FAIL"],
    }
    for name in ANSWERS:
        statistics = answers["derived"][name]
        low, high = (statistics.sel(statistic=key).to_numpy() for key in ("q05", "q95"))
        known = truth[name].to_numpy()
        error = statistics.sel(statistic="mean").to_numpy() - known
        found[name] = {
            "covered": float(((low <= known) & (known <= high)).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "width": float((high - low).mean()),
        }
    return found


def one_section(index: int, off_centre: bool) -> dict[str, Any]:
    """Simulate, map and read one section: in three ways, or in one where the cut is unknown."""
    logging.getLogger("petro_models").setLevel(logging.ERROR)
    path = PATHS[index % len(PATHS)]
    seed = 500 + index
    cut = np.random.default_rng(seed).uniform(0, MOST_CUT_SHARE, 3) if off_centre else None
    section = simulate_thin_section(SIZE, path, cut_share=cut, seed=seed)
    begin = time.perf_counter()
    fit = petro.PhaseMaps(section.maps, section.spots, pixels=1500).fit(
        method="laplace", draws=400, seed=1
    )
    found: dict[str, Any] = {
        "index": index,
        "path": path,
        "map seconds": round(time.perf_counter() - begin, 1),
    }
    for pixels, errors in ARMS[:1] if off_centre else ARMS:
        found[f"{pixels}, calibration {errors}"] = history(
            section, fit, errors == "propagated", pixels == "one traverse", off_centre
        )
    return found


def summary(sections: list[dict[str, Any]]) -> dict[str, Any]:
    """Average over sections, with the standard error of the mean coverage."""
    arms = [name for name in sections[0] if "calibration" in name]
    table: dict[str, Any] = {}
    for arm in arms:
        row: dict[str, Any] = {"converged": sum(s[arm]["converged"] for s in sections)}
        for name in ANSWERS:
            covered = np.array([s[arm][name]["covered"] for s in sections])
            row[name] = {
                "covered": round(float(covered.mean()), 3),
                "covered standard error": round(
                    float(covered.std(ddof=1) / np.sqrt(covered.size)) if covered.size > 1 else 0, 3
                ),
                "rmse": round(float(np.mean([s[arm][name]["rmse"] for s in sections])), 3),
                "width": round(float(np.mean([s[arm][name]["width"] for s in sections])), 3),
            }
        table[arm] = row
    return table


def main() -> None:
    """Run what is not stored yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--off-centre", action="store_true")
    given = parser.parse_args()
    flag = " --off-centre" if given.off_centre else ""
    results = RESULTS / f"thin_section{'_off_centre' if flag else ''}.json"
    stored = json.loads(results.read_text()) if results.exists() else {"sections": []}
    done = {section["index"]: section for section in stored["sections"]}
    missing = [index for index in range(given.sections) if index not in done]
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(one_section, index, given.off_centre) for index in missing]
        for future in as_completed(futures):
            section = future.result()
            done[section["index"]] = section
            sections = [done[index] for index in sorted(done)]
            result = {
                "command": f"python benchmarks/thin_section.py --sections {len(sections)}{flag}",
                "date": time.strftime("%Y-%m-%d"),
                "versions": {name: version(name) for name in ("petro_models", "pymc", "numpyro")},
                "map": f"{SIZE} x {SIZE} pixels, 4,000 counts each, 48 spots, 5 ages",
                "summary": summary(sections),
                "sections": sections,
            }
            results.write_text(json.dumps(result, indent=1) + "\n")
            print(f"{len(sections)} sections", flush=True)
            for arm, row in result["summary"].items():
                covered = {name: row[name]["covered"] for name in ANSWERS}
                print(f"  {arm}: {covered}, {row['converged']} converged", flush=True)


if __name__ == "__main__":
    main()
