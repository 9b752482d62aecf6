"""A real Slurm on this machine: munge, controller and one node on the loopback, no systemd."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
DefMemPerCPU=1000
MpiDefault=none
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Say why Slurm cannot be started here; None if it can."""
    if find_spec("dask_jobqueue") is None:
        return "the extra 'cluster' is not installed"
    if missing := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        return f"not installed: {', '.join(missing)} (Debian: slurm-wlm munge)"
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    return None


@contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Run Slurm while inside; gives the environment in which its commands find it."""
    daemons: list[subprocess.Popen[bytes]] = []
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    file = folder / "slurm.conf"
    ports = {"controller": _free_port(), "node": _free_port()}
    file.write_text(CONFIGURATION.format(folder=folder, cpus=cpus, **ports))
    environment = {**os.environ, "SLURM_CONF": str(file), "PATH": PATH}

    def start(*command: str, user: str | None = None) -> None:
        with (folder / f"{command[0]}.out").open("wb") as out:
            daemons.append(
                subprocess.Popen(command, stdout=out, stderr=out, env=environment, user=user)
            )

    try:
        start(*_munge(folder / "munge"), user="munge")
        _wait_for(lambda: (folder / "munge" / "socket").exists(), "munged")
        start("slurmctld", "-D")
        start("slurmd", "-D", "-N", "localhost")
        _wait_for(lambda: _ask(environment, "sinfo", "-h", "-o", "%T") == "idle", "slurmd")
        yield environment
    finally:
        _ask(environment, "scancel", "--full", "--user=root")
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def jobs(environment: dict[str, str]) -> list[str]:
    """Give the numbers of the jobs that wait or run."""
    return _ask(environment, "squeue", "-h", "-o", "%A").split()


def cancel_jobs(environment: dict[str, str]) -> None:
    """Cancel all jobs."""
    for number in jobs(environment):
        _ask(environment, "scancel", "--signal=KILL", "--full", number)


def _munge(folder: Path) -> list[str]:
    """Give the command of munged with everything in a folder that its user owns."""
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    for path in (folder, key):
        shutil.chown(path, "munge", "munge")
    folder.chmod(0o755)
    options = [f"--{name}-file={folder / name}" for name in ("key", "pid", "log", "seed")]
    return ["munged", "--foreground", "--force", f"--socket={folder / 'socket'}", *options]


def _ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip()


def _wait_for(ready, what: str, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come up in {seconds:.0f} s")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
