# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site: one switch and the hosts on it, as network namespaces; some of the hosts are machines with their own files.

The host's own network is not touched: even the switch lives in a namespace. Everything a site is made of is found again
by name in its run directory, so that a later process can take down what an earlier one left standing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).resolve().parent
RUN_DIRECTORY = Path("/run/autoprov-demo")
PREFIX = "ap-"
SWITCH = "switch"
INTERFACE = "eth0"
"""The one network interface of every host."""


class SiteError(Exception):
    """Something the site needs is missing or did not work; the message says what, and the way out."""


class Host:
    """A host on the site's network: programs run in it see its interface, its address and nothing else."""

    def __init__(self, name: str, namespace: str, directory: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.directory = directory
        """Files of the host's programs, outside of it; mode 0700, gone with the site."""

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """``arguments`` as they are started inside this host."""
        return ["ip", "netns", "exec", self.namespace, *map(str, arguments)]

    def start(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        append: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program in this host that goes on running; it is ended with the site at the latest."""
        with log.open("ab" if append else "wb") as output:
            return subprocess.Popen(
                self.command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        text: str | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in this host to its end, ``text`` on its standard input.

        Raises :class:`SiteError` with what the program said, when ``check`` and its exit status is not 0, or when it
        takes longer than ``timeout`` seconds.
        """
        return run(self.command(arguments), text=text, check=check, timeout=timeout)


class Machine(Host):
    """A host with processes and files of its own; a copy-on-write view of this host, PID 1 supervises /etc/service."""

    def __init__(self, name: str, namespace: str, directory: Path, pid: int) -> None:
        super().__init__(name, namespace, directory)
        self.pid = pid
        """Its first process, as this host counts."""

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """``arguments`` as they are started inside this machine."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        return [*inside, "env", "-i", *_MACHINE_ENVIRONMENT, *map(str, arguments)]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in this machine, and the directories above it."""
        self.run(["install", "-D", "-m", f"{mode:o}", "/dev/stdin", path], text=text)


_MACHINE_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=" + os.environ.get("TERM", "dumb"),
)


class Site:
    """A site being built or standing; as a context manager it is taken down at the end, unless :meth:`keep` was called.

    One site can stand per run directory: its lock is held while this object lives.
    """

    def __init__(self, run_directory: Path = RUN_DIRECTORY, prefix: str = PREFIX) -> None:
        self.directory = run_directory
        self.prefix = prefix
        self.hosts: dict[str, Host] = {}
        self.replaced = False
        """Whether an earlier site was found standing, and taken down."""
        self._kept = False
        self._lock = _lock(run_directory)
        try:
            if _recorded(run_directory):
                self.replaced = True
                _take_down(run_directory)
                os.close(self._lock)
                self._lock = _lock(run_directory)
            self._add_namespace(SWITCH)
            _ip(f"-n {prefix}{SWITCH} link add name br0 type bridge forward_delay 0 stp_state 0")
            _ip(f"-n {prefix}{SWITCH} link set dev br0 up")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def keep(self) -> None:
        """Leave the site standing when this process ends."""
        self._kept = True

    def close(self) -> None:
        """Take everything down, unless it is to be kept. Safe to call twice, and not stopped by an impatient Ctrl-C."""
        if not self._kept and self.directory.exists():
            with _uninterrupted():
                _take_down(self.directory)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def add_host(self, name: str, *, mac: str | None = None, address: str | None = None) -> Host:
        """Plug a host into the switch.

        ``mac`` is its hardware address (else random), ``address`` a fixed one with prefix length; without it the host
        is left to a DHCP client.
        """
        self._plug_in(name, mac, address)
        host = Host(name, self.prefix + name, self._directory_of(name))
        self.hosts[name] = host
        return host

    def add_machine(self, name: str, *, mac: str | None = None, address: str | None = None) -> Machine:
        """Plug a machine into the switch and boot it."""
        self._plug_in(name, mac, address)
        directory = self._directory_of(name)
        (directory / "root").mkdir()
        namespaces = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        boot: list[str | Path] = ["unshare", *namespaces, "/bin/sh", HERE / "boot-machine.sh", directory / "root", name]
        log = directory / "console.log"
        parent = Host(name, self.prefix + name, directory).start(boot, log)
        machine = Machine(name, self.prefix + name, directory, _first_process(parent, log))
        (directory / "pid").write_text(f"{machine.pid}\n")
        self.hosts[name] = machine
        return machine

    def _plug_in(self, name: str, mac: str | None, address: str | None) -> None:
        namespace = self.prefix + name
        switch = self.prefix + SWITCH
        self._add_namespace(name)
        hardware = f"address {mac}" if mac else ""
        _ip(f"link add name {INTERFACE} netns {namespace} {hardware} type veth peer name {name} netns {switch}")
        _ip(f"-n {switch} link set dev {name} master br0 up")
        _ip(f"-n {namespace} link set dev lo up")
        _ip(f"-n {namespace} link set dev {INTERFACE} up")
        if address:
            _ip(f"-n {namespace} address add {address} dev {INTERFACE}")

    def _add_namespace(self, name: str) -> None:
        # Recorded first: what is written down and does not exist is harmless, the other way round is left behind.
        with (self.directory / "namespaces").open("a", encoding="utf-8") as record:
            record.write(f"{self.prefix}{name}\n")
        run(["ip", "netns", "add", self.prefix + name])

    def _directory_of(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir(mode=0o700)
        return directory


def standing_machine(name: str, run_directory: Path = RUN_DIRECTORY) -> Machine:
    """A machine of the site that an earlier process left standing. Raises :class:`SiteError` when there is none."""
    directory = run_directory / name
    try:
        pid = int((directory / "pid").read_text())
    except OSError:
        message = f"no machine {name!r} stands here; `make demo KEEP=1` leaves appliance and registrar standing"
        raise SiteError(message) from None
    if _command_name(pid) != "runsvdir":
        raise SiteError(f"the machine {name!r} has ended; take the rest of the site down: python -m demo --down")
    return Machine(name, "", directory, pid)


def take_down(run_directory: Path = RUN_DIRECTORY) -> bool:
    """Take down the site that an earlier process left standing; False when there was none."""
    if not run_directory.exists():
        return False
    lock = _lock(run_directory)
    try:
        with _uninterrupted():
            _take_down(run_directory)
    finally:
        os.close(lock)
    return True


def left_behind(run_directory: Path = RUN_DIRECTORY, prefix: str = PREFIX) -> list[str]:
    """Everything of a site that still exists on this host, in words; empty when it was taken down cleanly."""
    namespaces = [f"namespace {name}" for name in _existing_namespaces() if name.startswith(prefix)]
    mounts = [
        f"mount {line.split()[4]}"
        for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
        if line.split()[4].startswith((f"{run_directory}/", f"/run/netns/{prefix}"))
    ]
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # A process that ends while it is looked at is no longer left behind.
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if any(argument.startswith(bytes(run_directory)) for argument in arguments):
                    processes.append(f"process {entry.name}")
            except OSError:
                continue
    files = [f"files in {run_directory}"] if run_directory.exists() else []
    return [*namespaces, *mounts, *processes, *files]


def run(
    command: Sequence[str], *, text: str | None = None, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of this host to its end; :meth:`Host.run` says the rest."""
    try:
        done = subprocess.run(command, input=text or "", capture_output=True, text=True, check=False, timeout=timeout)
    except FileNotFoundError:
        raise SiteError(f"the program {command[0]!r} is not installed; `make demo` installs what it needs") from None
    except subprocess.TimeoutExpired:
        raise SiteError(f"{_short(command)} did not end within {timeout:.0f} s") from None
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[-1]
        raise SiteError(f"{_short(command)} ended with status {done.returncode}: {said}")
    return done


def _short(command: Sequence[str]) -> str:
    text = " ".join(command)
    return f"`{text[:100]}…`" if len(text) > 100 else f"`{text}`"


def _ip(arguments: str) -> None:
    run(["ip", *arguments.split()])


def _lock(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SiteError("another run of the demo holds the site; wait for its end, or end it with Ctrl-C") from None
    return descriptor


def _recorded(directory: Path) -> list[str]:
    try:
        return (directory / "namespaces").read_text("utf-8").split()
    except FileNotFoundError:
        return []


def _existing_namespaces() -> list[str]:
    directory = Path("/run/netns")
    return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []


def _take_down(directory: Path) -> None:
    namespaces = [name for name in _recorded(directory) if name in _existing_namespaces()]
    deadline = time.monotonic() + 10
    while processes := [pid for name in namespaces for pid in _processes_in(name)]:
        if time.monotonic() > deadline:
            raise SiteError(f"processes of the site do not end: {' '.join(map(str, processes))}")
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    for name in namespaces:
        run(["ip", "netns", "delete", name])
    shutil.rmtree(directory)


def _processes_in(namespace: str) -> list[int]:
    found = run(["ip", "netns", "pids", namespace], check=False).stdout.split()
    return [int(pid) for pid in found if int(pid) != os.getpid()]


def _first_process(parent: subprocess.Popen[bytes], log: Path) -> int:
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and parent.poll() is None:
        for pid in children.read_text().split():
            if _command_name(int(pid)) == "runsvdir":
                return int(pid)
        time.sleep(0.02)
    said = log.read_text("utf-8", "replace").strip() or "it did not start within 10 s"
    raise SiteError(f"a machine does not boot: {said}")


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.signal(end, signal.SIG_IGN) for end in ends]
    try:
        yield
    finally:
        for end, handler in zip(ends, handlers, strict=True):
            signal.signal(end, handler)
