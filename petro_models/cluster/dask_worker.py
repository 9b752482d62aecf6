"""What a Dask worker settles when it starts; imports Dask, so it is imported only where used."""

from dask.distributed import Worker, WorkerPlugin

from petro_models.cluster.processes import prepare_process


class PrepareWorker(WorkerPlugin):
    """Gives a worker its GPU and its cache of compiled programs, before JAX starts in it."""

    name = "petro-models-prepare"

    def setup(self, worker: Worker) -> None:
        """Prepare the worker's process; workers of one job are named JOB-0, JOB-1, ..."""
        prepare_process(position_of(str(worker.name)))


def position_of(name: str) -> int:
    """Give the place of a worker among those of its job, by its name.

    Examples
    --------
    >>> position_of("SLURMCluster-3-1"), position_of("SLURMCluster-3")
    (1, 0)
    """
    parts = name.split("-")
    return int(parts[-1]) if len(parts) > 2 and parts[-1].isdigit() else 0
