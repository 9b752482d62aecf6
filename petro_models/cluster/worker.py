"""A process that computes the items it is told, one line in and one line out.

`python -m petro_models.cluster.worker FOLDER POSITION CORES`: reads the index of an item from each
line of its input and answers with the item's record as JSON. A process of its own, not a fork,
because JAX must not be forked; it ends when its input does, so that it never outlives its parent.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from petro_models.cluster.processes import prepare_process


def main(folder: str, position: str, cores: str) -> None:
    """Answer line by line until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(map(int, cores.split(","))))
    prepare_process(int(position))

    from petro_models.cluster.perform import perform

    for line in sys.stdin:
        record = perform(Path(folder), int(line))
        print(json.dumps(asdict(record)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
