"""Simulation-based calibration of histories: truths and data drawn from the model itself.

    python benchmarks/sbc_histories.py [--sets 100]

One grain of 16 analyses with two dated zones; paths that leave the field of garnet are refused, as
the model's own term for it says. Ranked: duration, pressure and temperature at three places, rates
midway. Writes benchmarks/results/sbc_histories.json for 100 sets or more, and prints only, for
fewer.
"""

import argparse
import json
from pathlib import Path

import petro_models as petro

RESULTS = Path(__file__).parent / "results" / "sbc_histories.json"
FULL = 100


def main() -> None:
    """Run and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=FULL)
    sets = parser.parse_args().sets
    table = petro.bundled_table("white2014")
    profiles, ages, _ = petro.simulate_history(
        table, "clockwise", n_grains=1, n_positions=16, n_ages=2, seed=3
    )
    problem = petro.Histories(profiles, table, ages)
    result = petro.calibrate_problem(
        problem, sets, method="hmc", draws=1000, tune=500, seed=12, together=True
    )
    for one in result.quantities:
        print(one)
    print(result.counts, result.verdict)
    if sets >= FULL:
        record = {"command": f"python benchmarks/sbc_histories.py --sets {sets}"}
        record |= json.loads(result.to_json())
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
