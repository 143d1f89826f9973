"""A real SLURM with four nodes and accounting on one Debian machine, for tests; run as root.

    python tests/slurm/cluster.py start       what is already up stays; a few seconds
    python tests/slurm/cluster.py packages    prints what has to be installed
    python tests/slurm/cluster.py stop        cancels jobs, stops the daemons that `start` has started
    python tests/slurm/cluster.py kill NODE   ends one node's daemon and the processes of its jobs at once
    python tests/slurm/cluster.py up NODE     brings the node back

Wants the packages in PACKAGES, nothing else: no systemd, no cgroups, no network. SLURM looks at the memory of
jobs every two seconds; a job that is requeued starts again some ten seconds later.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

PACKAGES = "munge slurmctld slurmd slurm-client slurmdbd mariadb-server-core mariadb-client-core"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "slurmdbd", "mariadbd", "mariadb-install-db")
ROOT = Path("/var/lib/bodybench-slurm")
ETC = Path("/etc/slurm")
NODES = ("n1", "n2", "n3", "n4")
DATABASE_PORT, DAEMON_PORT = 33306, 17000
MARK = "# written by bodybench's tests/slurm/cluster.py"

NODE = "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} {size}"
SIZE = "CPUs=8 RealMemory=16000 Gres=gpu:fake:2"  # more than there may be
GPU = "NodeName={name} Name=gpu Type=fake File={device}"
GRANT = """CREATE DATABASE IF NOT EXISTS slurm_acct;
CREATE OR REPLACE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{secret}';
GRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1';
"""


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def start() -> None:
    """Bring everything up that is not up, and wait until all nodes take jobs."""
    if lacking := missing():
        sys.exit(f"missing: {', '.join(lacking)}; apt-get install --no-install-recommends {PACKAGES}")
    if all(_pid(name) for name in ("slurmctld", "slurmdbd", *(f"slurmd.{n}" for n in NODES))) and _idle():
        return
    address = _names()
    if not _pid("slurmctld"):
        _configure(address)
    _start_munge()
    _start_database(address)
    if not _pid("slurmctld"):
        _run("slurmctld")
        _until("slurmctld", lambda: _answers("scontrol", "ping"))
    for name in NODES:
        if not _pid(f"slurmd.{name}"):
            _run("slurmd", "-N", name)
    _until("the nodes", _idle_or_resumed, seconds=60)


def stop() -> None:
    """Cancel all jobs and end the daemons, in the order in which they depend on each other."""
    if _pid("slurmctld"):
        _answers("scancel", "--user", "root")
        _until("the end of all jobs", lambda: not _output("squeue", "--noheader"), seconds=20)
    for name in (*(f"slurmd.{n}" for n in NODES), "slurmctld", "slurmdbd", "mariadbd"):
        _end(name, signal.SIGTERM)
    if (ROOT / "run/munged.pid").exists():
        _end("munged", signal.SIGTERM)


def kill(node: str) -> None:
    """End a node's daemon, its step daemons and the processes of its jobs at once."""
    log = str(ROOT / "log" / f"slurmd.{node}.log")
    found = []
    for place in Path("/proc").glob("[0-9]*/fd"):
        try:
            ours = (place.parent / "comm").read_text().strip() == "slurmstepd"
            if ours and any(str(fd.readlink()) == log for fd in place.iterdir()):
                found.append(int(place.parent.name))
        except OSError:
            continue
    _end(f"slurmd.{node}", signal.SIGKILL)
    for pid in [*found, *_descendants(found)]:
        _kill(pid, signal.SIGKILL)


def up(node: str) -> None:
    """Start a node's daemon again and wait until the node takes jobs."""
    if not _pid(f"slurmd.{node}"):
        _run("slurmd", "-N", node)
    _until("the nodes", _idle_or_resumed, seconds=60)


def _configure(address: str) -> None:
    """Write the configuration; job ids start at the clock, so that they never repeat."""
    place = ETC / "slurm.conf"
    if place.exists() and MARK not in place.read_text():
        sys.exit(f"{place} is of another cluster; refusing to touch it")
    _run("install", "-d", str(ROOT), str(ETC), *(str(ROOT / f"spool.{n}") for n in NODES))
    _run("install", "-d", "-o", "slurm", "-g", "slurm", *(str(ROOT / n) for n in ("run", "log", "state")))
    host = socket.gethostname().partition(".")[0]
    words = {"mark": MARK, "root": ROOT, "host": host, "address": address}
    lines = [NODE.format(name=n, port=DAEMON_PORT + i, size=SIZE, **words) for i, n in enumerate(NODES)]
    first = int(time.time()) % 50_000_000 + 1000
    place.write_text(_template("slurm.conf").format(nodes="\n".join(lines), first=first, **words))
    devices = [_device(f"gpu{i}") for i in range(2)]
    gpus = [GPU.format(name=n, device=d) for n in NODES for d in devices]
    (ETC / "gres.conf").write_text("\n".join(gpus) + "\n")
    (ETC / "cgroup.conf").write_text("CgroupAutomount=no\n")
    secret = ROOT / "secret"
    if not secret.exists():
        secret.write_text(secrets.token_hex(16))
    text = _template("slurmdbd.conf").format(port=DATABASE_PORT, secret=secret.read_text(), **words)
    (ROOT / "grant.sql").write_text(GRANT.format(secret=secret.read_text()))
    (ETC / "slurmdbd.conf").write_text(text)
    for path in (ETC / "slurmdbd.conf", ROOT / "grant.sql", secret):
        path.chmod(0o600)
        shutil.chown(path, "slurm", "slurm")


def _template(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _names() -> str:
    """Make host and nodes known by name; return the address that the daemons listen on."""
    host = socket.gethostname().partition(".")[0]
    known = Path("/etc/hosts").read_text()
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = "127.0.0.1"
    lacking = [n for n in (host, *NODES) if n not in known.split()]
    if lacking:
        Path("/etc/hosts").write_text(f"{known.rstrip()}\n{address} {' '.join(lacking)}\n")
    return address


def _device(name: str) -> Path:
    """Return a character device that stands for a GPU: a clone of /dev/null."""
    path = ROOT / name
    if not path.exists():
        _run("mknod", "-m", "666", str(path), "c", "1", "3")
    return path


def _start_munge() -> None:
    if _answers("sh", "-c", "munge -n | unmunge"):
        return
    for place, mode in (("/etc/munge", "700"), ("/run/munge", "755"), ("/var/log/munge", "700")):
        _run("install", "-d", "-o", "munge", "-g", "munge", "-m", mode, place)
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    shutil.chown(key, "munge", "munge")
    _run("runuser", "-u", "munge", "--", "munged", "--force")
    _until("munged", lambda: _answers("sh", "-c", "munge -n | unmunge"))
    shutil.copy("/run/munge/munged.pid", ROOT / "run/munged.pid")


def _start_database(address: str) -> None:
    if not _pid("mariadbd"):
        data = ROOT / "database"
        if not (data / "mysql").is_dir():
            _run("install", "-d", "-o", "slurm", "-g", "slurm", "-m", "700", str(data))
            options = (
                "--user=slurm",
                f"--datadir={data}",
                "--skip-test-db",
                "--skip-name-resolve",
                "--force",
            )
            _run("mariadb-install-db", "--no-defaults", *options)
        run = ROOT / "run"
        words = (
            "--no-defaults", "--user=slurm", f"--datadir={data}", "--bind-address=127.0.0.1",
            f"--port={DATABASE_PORT}", f"--socket={run}/mariadbd.sock", f"--pid-file={run}/mariadbd.pid",
            f"--init-file={ROOT}/grant.sql", f"--log-error={ROOT}/log/mariadbd.log", "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=2", "--skip-log-bin",
        )  # fmt: skip
        quiet = subprocess.DEVNULL
        subprocess.Popen(
            ["mariadbd", *words], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, env=_env()
        )
        _until("mariadbd", lambda: bool(_pid("mariadbd")) and _listens("127.0.0.1", DATABASE_PORT))
    if not _pid("slurmdbd"):
        _run("slurmdbd")
    _until("slurmdbd", lambda: _listens(address, 6819) and _answers("sacctmgr", "-n", "list", "cluster"))
    if "bodybench" not in _output("sacctmgr", "-n", "list", "cluster", "format=cluster%30"):
        _run("sacctmgr", "-i", "add", "cluster", "bodybench")


def _idle() -> bool:
    """Say whether all nodes take jobs."""
    lines = set(_output("sinfo", "-h", "-N", "-o", "%N %t").splitlines())  # a line per node and partition
    return len(lines) == len(NODES) and {line.split()[1] for line in lines} <= {"idle", "mix", "alloc"}


def _idle_or_resumed() -> bool:
    if _idle():
        return True
    for line in _output("sinfo", "-h", "-N", "-o", "%N %t").splitlines():
        name, state = line.split()
        if state.rstrip("*") in ("down", "drain", "drng", "fail", "inval"):
            _answers("scontrol", "update", f"nodename={name}", "state=resume")
    return False


def _pid(name: str) -> int:
    """Return the process of a daemon that this script started, 0 where it does not run."""
    try:
        pid = int((ROOT / "run" / f"{name}.pid").read_text())
        alive = Path(f"/proc/{pid}/comm").read_text().strip() == name.partition(".")[0]
    except (OSError, ValueError):
        return 0
    return pid if alive else 0


def _end(name: str, number: int) -> None:
    pid = _pid(name)
    if pid:
        _kill(pid, number)
        _until(f"the end of {name}", lambda: not _pid(name), seconds=40)
    (ROOT / "run" / f"{name}.pid").unlink(missing_ok=True)


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _descendants(parents: Iterable[int]) -> list[int]:
    found = []
    for parent in parents:
        children = [int(pid) for pid in _output("pgrep", "-P", str(parent)).split()]
        found += [*children, *_descendants(children)]
    return found


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _env() -> dict[str, str]:
    return {**os.environ, "PATH": _path(), "SLURM_CONF": str(ETC / "slurm.conf")}


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=_env())
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}; logs are in {ROOT}/log")


def _answer(*words: str) -> tuple[bool, str]:
    """Run a program; return whether it succeeded in ten seconds, and what it printed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10, env=_env())
    except (OSError, subprocess.TimeoutExpired):
        return False, ""
    return done.returncode == 0, done.stdout if done.returncode == 0 else ""


def _output(*words: str) -> str:
    return _answer(*words)[1]


def _answers(*words: str) -> bool:
    return _answer(*words)[0]


def _until(what: str, ready: Callable[[], bool], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > limit:
            sys.exit(f"waited {seconds:.0f} s in vain for {what}; logs are in {ROOT}/log")
        time.sleep(0.1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["start"]:
            start()
        case ["stop"]:
            stop()
        case ["packages"]:
            print(PACKAGES)
        case ["kill", node] if node in NODES:
            kill(node)
        case ["up", node] if node in NODES:
            up(node)
        case _:
            sys.exit(__doc__)
