# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware mirror beside the tools people use instead: 200 files of 5 MB, fetched, and asked for again unchanged.

All fetch from the same local nginx (rsync, which speaks no HTTP, copies the folder), on tmpfs and on a disk. Each run
is the whole program from its start. On the disk a run ends when the bytes are there: the mirror syncs what it serves by
itself, for the others ``sync --file-system`` is part of the time. Then 40 of the files as phones fetch them, eight at
a time, from the service and from nginx; and what a phone's configuration waits for meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import yaml

from tests.bench.service import REPOSITORY, Service, free_port, phone

FILES = 200
SIZE = 5_000_000
ROUNDS = 3
AIM_FETCH = 0.8
AIM_SERVE = 0.8
SERVED = 40
AT_A_TIME = 8

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def run() -> None:
    """Measure and print."""
    missing = [tool for tool in ("nginx", "curl", "aria2c", "wget", "rsync") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"{', '.join(missing)} is missing; run make setup as root")
    with tempfile.TemporaryDirectory(prefix="autoprov-bench-", dir="/dev/shm") as memory:
        source = Path(memory) / "vendor"
        source.mkdir()
        Path(memory).chmod(0o755)
        for index in range(FILES):
            (source / f"f{index}.bin").write_bytes(os.urandom(SIZE))
        with _nginx(Path(memory), source) as vendor, tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as disk:
            print(f"\nfirmware: {FILES} files of {SIZE / 1e6:g} MB from nginx, whole programs, {ROUNDS} rounds in turn")
            for place in (Path(memory) / "tmpfs", Path(disk)):
                place.mkdir(exist_ok=True)
                _fetch(place, source, vendor, durable=place == Path(disk))
        _serve(Path(memory), source)


@contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[str]:
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, root=root))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        time.sleep(1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)


# -- fetching ----------------------------------------------------------------------------------------------------------


def _fetch(place: Path, source: Path, vendor: str, durable: bool) -> None:
    ways = _ways(place, source, vendor)
    first: dict[str, list[float]] = {name: [] for name in ways}
    again: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(ROUNDS):
        for name, way in ways.items():
            kept = place / name
            kept.mkdir()
            first[name].append(_seconds(way, kept, durable))
            again[name].append(_seconds(way, kept, durable))
            shutil.rmtree(kept)
    starting = statistics.median(_timed(lambda: _run([*_AUTOPROV, "--version"])) for _round in range(5))
    fetch = {name: statistics.median(taken) for name, taken in first.items()}
    unchanged = {name: statistics.median(taken) for name, taken in again.items()}
    print(f"{'on a disk' if durable else 'on tmpfs':14}{'fetch':>9}{'MB/s':>8}{'unchanged':>12}")
    for name in ways:
        print(f"{name:14}{fetch[name]:7.2f} s{FILES * SIZE / fetch[name] / 1e6:8.0f}{unchanged[name]:10.2f} s")
    best = min(taken for name, taken in fetch.items() if name != "autoprov")
    quickest = min(taken for name, taken in unchanged.items() if name != "autoprov")
    print(f"ratio to the fastest: {best / fetch['autoprov']:.2f}   aim >= {AIM_FETCH}")
    print(
        f"unchanged: {unchanged['autoprov'] - starting:.2f} s and {starting:.2f} s to start the program;"
        f" the quickest {quickest:.2f} s in all",
        flush=True,
    )


_AUTOPROV = [sys.executable, "-m", "autoprovd.cli"]


def _ways(place: Path, source: Path, vendor: str) -> dict[str, Callable[[Path], None]]:
    names = [path.name for path in source.iterdir()]
    manifest, addresses = place / "manifest.yml", place / "addresses"
    manifest.write_text(
        yaml.safe_dump(
            {
                "files": [
                    {
                        "vendor": "snom", "kind": "ringtone", "version": "1", "url": vendor + name, "insecure": True,
                        "size": SIZE, "sha256": hashlib.sha256((source / name).read_bytes()).hexdigest(),
                    }
                    for name in names
                ]
            }
        )
    )  # fmt: skip
    addresses.write_text("".join(f"{vendor}{name}\n" for name in names))

    def autoprov(folder: Path) -> None:
        _run([*_AUTOPROV, "firmware", "sync", str(manifest), "--folder", str(folder / "mirror"), "--no-tell"])

    def curl(folder: Path) -> None:
        # -z wants a date or a file each: what is there already is asked for with its own time.
        lines = []
        for name in names:
            lines += [f'url = "{vendor}{name}"', f'output = "{folder / name}"', "remote-time"]
            lines += [f'time-cond = "{folder / name}"'] if (folder / name).exists() else []
            lines += ["next"]
        (folder / ".curl").write_text("\n".join(lines[:-1]) + "\n")
        _run(["curl", "-sfZ", "-K", str(folder / ".curl")])

    def aria2c(folder: Path) -> None:
        _run(["aria2c", "-q", "-j8", "--conditional-get=true", "--allow-overwrite=true", "--file-allocation=none",
              "-d", str(folder), "-i", str(addresses)])  # fmt: skip

    def wget(folder: Path) -> None:
        _run(["wget", "-q", "-N", "-P", str(folder), "-i", str(addresses)])

    def rsync(folder: Path) -> None:
        _run(["rsync", "-a", f"{source}/", f"{folder}/"])

    return {"autoprov": autoprov, "curl -Z -z": curl, "aria2c": aria2c, "wget -N": wget, "rsync": rsync}


def _seconds(way: Callable[[Path], None], folder: Path, durable: bool) -> float:
    def whole() -> None:
        way(folder)
        if durable:
            _run(["sync", "--file-system", str(folder)])

    return _timed(whole)


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _run(command: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "service" / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")


# -- serving -----------------------------------------------------------------------------------------------------------


def _serve(folder: Path, source: Path) -> None:
    files = folder / "served"
    place = files / "firmware" / "snom" / "1"
    place.mkdir(parents=True)
    for index in range(SERVED):
        shutil.move(source / f"f{index}.bin", place / f"f{index}.bin")
    service = Service(folder, free_port())
    service.prepare()
    with (folder / "autoprovd.toml").open("a") as config:
        config.write(f'[firmware]\nfolder = "{files / "firmware"}"\n')
    with service.running(), _nginx(folder, files) as nginx:
        service.put_phones([phone(0, 20)])
        own = f"http://127.0.0.1:{service.port}/"
        rates: dict[str, list[float]] = {nginx: [], own: []}
        for _round in range(7):
            for server, taken in rates.items():
                taken.append(_timed(partial(_download, server)))
        base, ours = statistics.median(rates[nginx]), statistics.median(rates[own])
        print(f"\nserving {SERVED} of them, {AT_A_TIME} at a time: nginx {base:.3f} s, autoprovd {ours:.3f} s")
        print(f"ratio {base / ours:.2f}   aim >= {AIM_SERVE}")
        alone = _configurations(own, lambda: time.sleep(2))
        busy = _configurations(own, lambda: _run_often(partial(_download, own)))
        print(f"a configuration meanwhile: half within {busy[0]:.1f} ms, 99 of 100 within {busy[1]:.1f} ms;"
              f" alone {alone[0]:.1f} and {alone[1]:.1f} ms")  # fmt: skip


def _download(server: str) -> None:
    address = f"{server}firmware/snom/1/f[0-{SERVED - 1}].bin"
    _run(["curl", "-sfZ", "--parallel-max", str(AT_A_TIME), "-o", "/dev/null", address])


def _run_often(action: Callable[[], object]) -> None:
    for _round in range(10):
        action()


def _configurations(server: str, meanwhile: Callable[[], object]) -> tuple[float, float]:
    """What a phone waits for its configuration while something else goes on: median and 99th percentile, in ms."""
    waited: list[float] = []
    over = threading.Event()

    def ask() -> None:
        headers = {"user-agent": "Yealink SIP-T58W 150.86.0.15 80:5e:0c:00:00:00"}
        with httpx.Client(base_url=server, headers=headers) as client:
            while not over.is_set():
                waited.append(_timed(lambda: client.get("/805e0c000000.cfg").raise_for_status()))
                time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        meanwhile()
    finally:
        over.set()
        asking.join()
    return statistics.median(waited) * 1e3, statistics.quantiles(waited, n=100)[98] * 1e3
