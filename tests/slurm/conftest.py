"""A SLURM of two nodes on this machine's loopback, for one test session. Needs root."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={path}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={path}/state
SlurmdSpoolDir={path}/spool.%n
SlurmctldPidFile={path}/slurmctld.pid
SlurmdPidFile={path}/slurmd.%n.pid
SlurmctldPort={first}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=30
OverTimeLimit=0
NodeName=node[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{second},{third}] CPUs=2
PartitionName=debug Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """``slurm("sinfo", "-h")``: what a SLURM command prints."""
    missing = [name for name in DAEMONS if shutil.which(name, path=SEARCH) is None]
    if missing or os.geteuid():
        pytest.skip(f"needs root and Debian's slurm-wlm and munge ({', '.join(missing)})")
    path = tmp_path_factory.mktemp("slurm")
    path.chmod(0o755)
    first, second, third = _free_ports()
    conf = CONF.format(
        host=socket.gethostname(), path=path, first=first, second=second, third=third
    )
    (path / "slurm.conf").write_text(conf)
    (path / "munge.key").write_bytes(os.urandom(128))
    (path / "munge.key").chmod(0o400)
    os.environ.update(SLURM_CONF=str(path / "slurm.conf"), GLOO_SOCKET_IFNAME="lo")
    os.environ["MASTER_ADDR"] = "127.0.0.1"  # no name server knows node1
    munge = [f"--{name}-file={path}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = (
        ["munged", "--foreground", "--force", f"--socket={path}/munge.socket", *munge],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "node1"],
        ["slurmd", "-D", "-N", "node2"],
    )
    daemons = []
    for command in commands:
        with (path / f"{command[0]}-{len(daemons)}.out").open("wb") as log:
            program = str(shutil.which(command[0], path=SEARCH))
            daemons.append(
                subprocess.Popen([program, *command[1:]], stdout=log, stderr=subprocess.STDOUT)
            )
        time.sleep(1)

    def call(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr, _logs(path))
        return done.stdout.strip()

    try:
        deadline = time.monotonic() + 60
        while call("sinfo", "--noheader", "--format=%T %D") != "idle 2":
            assert time.monotonic() < deadline, _logs(path)
            time.sleep(1)
        yield call
    finally:
        subprocess.run(["scancel", "--user=root"], timeout=60)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(60)


SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def _free_ports() -> list[int]:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        sockets = (first, second, third)
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _logs(path: Path) -> str:
    return "\n".join(log.read_text()[-2000:] for log in path.glob("*.out"))
