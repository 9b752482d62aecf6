"""The engine of a Slurm cluster: Dask workers in jobs that come and go with the work."""

import logging
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petro_models.cluster.engine import Advance, Engine
from petro_models.cluster.perform import perform
from petro_models.cluster.records import Record, write_record
from petro_models.cluster.work import read_plan
from petro_models.errors import FitError

if TYPE_CHECKING:
    from dask.distributed import Client
    from dask_jobqueue import SLURMCluster

logger = logging.getLogger("petro_models")

START_S = 120
"""Seconds without a scheduler after which a worker gives up, so that no job idles for ever."""


@dataclass(frozen=True)
class SlurmSettings:
    """How jobs are asked for.

    Attributes
    ----------
    workers
        Most jobs at once.
    cores, memory, walltime
        Of a job.
    gpus
        Of a job; one worker process each.
    partition, account
        Of the cluster.
    directives
        More lines of ``#SBATCH``, such as ``--constraint=a100``.
    prologue
        Lines of shell before the worker starts, such as ``module load cuda``.
    interface
        Network between nodes, such as ``ib0``; by default what the host's name resolves to.
    address
        On which the scheduler listens, where the interface's is not the one.
    """

    workers: int = 4
    cores: int = 4
    memory: str = "8GB"
    walltime: str = "01:00:00"
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    directives: Sequence[str] = field(default_factory=tuple)
    prologue: Sequence[str] = field(default_factory=tuple)
    interface: str | None = None
    address: str | None = None

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Give the arguments of `dask_jobqueue.SLURMCluster`."""
        directives = [*self.directives]
        if self.gpus:
            directives.append(f"--gres=gpu:{self.gpus}")
        options: dict[str, Any] = {"dashboard_address": ":0"}
        if self.address:
            options["host"] = self.address
        return {
            "queue": self.partition,
            "account": self.account,
            "cores": self.cores,
            "processes": max(1, self.gpus),
            "memory": self.memory,
            "walltime": self.walltime,
            "job_extra_directives": directives,
            "job_script_prologue": list(self.prologue),
            "interface": self.interface,
            "log_directory": str(folder / "logs"),
            "death_timeout": START_S,
            "scheduler_options": options,
            "worker_extra_args": ["--nthreads", "1"],
        }


class SlurmEngine(Engine):
    """Computes items in Slurm jobs, as many as there is work for.

    Parameters
    ----------
    folder
        Of the run; all nodes must see it.
    settings
        Of the jobs.

    Raises
    ------
    FitError
        If the extra ``cluster`` is not installed, or Slurm's commands are not there.
    """

    def __init__(self, folder: Path, settings: SlurmSettings) -> None:
        super().__init__(folder)
        self._cluster, self._client = _connected(folder, settings)
        self._cluster.adapt(minimum_jobs=0, maximum_jobs=settings.workers)
        if link := self._cluster.dashboard_link:
            logger.info("dashboard: %s", link)

    def run(self, indices: Sequence[int], advance: Advance) -> None:
        """Compute items; `advance` hears the record of each."""
        from dask.distributed import as_completed

        futures = {
            self._client.submit(perform, self.folder, index, pure=False): index for index in indices
        }
        for future in as_completed(futures, raise_errors=False):
            if future.status == "finished":
                advance(future.result())
                continue
            index = futures[future]
            message = f"its workers died over it: {future.exception()}; see {self.folder / 'logs'}"
            record = Record(read_plan(self.folder).items[index], "failed", message)
            write_record(self.folder, index, record)
            advance(record)

    def close(self) -> None:
        """Cancel the jobs."""
        self._client.close()
        self._cluster.close()


def _connected(folder: Path, settings: SlurmSettings) -> "tuple[SLURMCluster, Client]":
    try:
        from dask.distributed import Client
        from dask_jobqueue import SLURMCluster

        from petro_models.cluster.dask_worker import PrepareWorker
    except ImportError as error:
        raise FitError(
            f'engine "slurm" needs the extra "cluster" ({error}): '
            "pip install 'petro_models[cluster]'"
        ) from error
    (folder / "logs").mkdir(exist_ok=True)
    cluster = SLURMCluster(**settings.arguments(folder))
    try:
        _try_job(cluster.job_script(), folder / "logs" / "job.sh")
        client = Client(cluster)
    except BaseException:
        cluster.close()
        raise
    client.register_plugin(PrepareWorker())
    return cluster, client


def _try_job(script: str, path: Path) -> None:
    """Have Slurm judge a job before any is sent: later its refusals would show in no one's log."""
    path.write_text(script, encoding="utf-8")
    if shutil.which("sbatch") is None:
        raise FitError(
            'engine "slurm": there is no command sbatch here. Start it on a login node of the '
            'cluster, or use engine "array" or "local"'
        )
    tried = subprocess.run(
        ["sbatch", "--test-only", str(path)], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise FitError(
            f"Slurm refuses such a job: {tried.stderr.strip()}. Correct the section [engine]; the "
            f"job's script is {path}"
        )
