# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP: questions answered a second, and how long a phone waits, measured by sipp over a cable between two hosts.

Beside it, in the same run, a program that does nothing but send two ready-made datagrams for each that comes: the
limit of a Python event loop on this machine. Rates are raised until not every phone is told its address; the highest
rate at which all are is what counts. sipp shares the processors with what it measures.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import Cluster
from tests.proofs.appliance import Appliance
from tests.proofs.databases import make
from tests.proofs.namespaces import Cable

MAC = "00041392d001"
AIM_RATE, AIM_MILLISECONDS = 6000, 20
SECONDS = 4
RATES = (2000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12000, 14000, 16000)

_BARE = """
import asyncio, socket, struct, sys
own = sys.argv[1]
hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
hears.bind(("224.0.1.75", 5060))
hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.1.75") + socket.inet_aton(own))
tells = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tells.bind((own, 0))
sender = "%s:%d" % tells.getsockname()
def read():
    for _ in range(64):
        try:
            data, source = hears.recvfrom(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        lines = data.decode().split("\\r\\n")
        kept = "\\r\\n".join(each for each in lines if each.startswith(("Via", "From", "To", "Call-ID", "CSeq")))
        call = next(each for each in lines if each.startswith("Call-ID"))
        hears.sendto(f"SIP/2.0 200 OK\\r\\n{kept}\\r\\nContent-Length: 0\\r\\n\\r\\n".encode(), source)
        tells.sendto((f"NOTIFY sip:{source[0]} SIP/2.0\\r\\nVia: SIP/2.0/UDP {sender};branch=z9hG4bK1;rport\\r\\n"
            f"From: <sip:a@b>;tag=1\\r\\nTo: <sip:a@b>;tag=2\\r\\n{call}\\r\\nCSeq: 1 NOTIFY\\r\\n"
            "Event: ua-profile\\r\\nContent-Length: 4\\r\\n\\r\\nhttp").encode(), source)
loop = asyncio.new_event_loop()
loop.add_reader(hears, read)
loop.add_reader(tells, lambda: tells.recv(65536))
print("ready", flush=True)
loop.run_forever()
"""


def run() -> None:
    """Measure and print."""
    if shutil.which("sipp") is None:
        raise SystemExit("sipp is missing; run make setup as root")
    if os.geteuid() != 0:
        raise SystemExit("the benchmark pnp needs root, for network namespaces")
    cable = Cable()
    try:
        cable.set_mac(MAC)
        with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
            _measure(cable, Path(name))
    finally:
        cable.remove()


def _measure(cable: Cable, folder: Path) -> None:
    print(f"\nSIP PnP: questions answered, each by 200 and NOTIFY; sipp, {SECONDS} s for each rate")
    print(f"{'':10}{'all told, up to /s':>20}{'p99 at 500/s, ms':>18}")
    for name, started in (("bare loop", _bare(cable)), ("autoprovd", _service(cable, folder))):
        with started:
            _asked(cable, folder, 500)  # warm
            at_500 = _asked(cable, folder, 500)
            most = 0
            for rate in RATES:
                if _asked(cable, folder, rate) is None:
                    break
                most = rate
            shown = "not all were told" if at_500 is None else f"{at_500:.0f}" if at_500 else "< 1"
            print(f"{name:10}{most:20}{shown:>18}")
    print(f"{'aim':10}{f'>= {AIM_RATE}':>20}{f'<= {AIM_MILLISECONDS}':>18}")


@contextlib.contextmanager
def _bare(cable: Cable) -> Iterator[None]:
    command = [*cable.in_first, sys.executable, "-c", _BARE, Cable.first]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def _service(cable: Cable, folder: Path) -> Iterator[None]:
    appliance = Appliance(folder / "node", make("sqlite", folder, _no_cluster), listen="0.0.0.0")
    with (appliance.folder / "autoprovd.toml").open("a") as stream:
        stream.write('[pnp]\ninterfaces = ["cable"]\nrate = 100000\n')
        stream.write("per_source_rate = 100000\nper_source_burst = 100000\n")
    appliance.start(within=cable.in_first)
    try:
        appliance.api("PUT", "/settings", {"settings": {"public_host": Cable.first}})
        appliance.api("PUT", "/phones", {"phones": [{"mac": MAC, "vendor": "snom", "model": "D785"}]})
        while appliance.api("GET", "/pnp")["answers_on"] != ["cable"]:
            time.sleep(0.1)
        yield
    finally:
        appliance.stop()


def _no_cluster() -> Cluster:
    raise AssertionError("SQLite needs none")


def _asked(cable: Cable, folder: Path, rate: int) -> float | None:
    """The milliseconds after which 99 of 100 phones had their address, or None when not all were told it."""
    for old in folder.glob("*_rtt.csv"):
        old.unlink()
    number = rate * SECONDS
    command = [
        *cable.in_second, "sipp", "224.0.1.75:5060", "-sf", str(Path(__file__).with_suffix(".xml")), "-i", Cable.second,
        "-p", "5060", "-r", str(rate), "-m", str(number), "-l", str(number), "-nr", "-timeout", str(SECONDS + 5),
        "-timeout_error", "-trace_rtt", "-rtt_freq", str(number), "-nostdin", "-buff_size", str(1 << 22),
    ]  # fmt: skip
    subprocess.run([*cable.in_second, "ip", "route", "replace", "224.0.0.0/4", "dev", "cable"], check=True)
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took = time.monotonic() - started
    found = list(folder.glob("*_rtt.csv"))
    if done.returncode != 0 or not found or took > SECONDS + 1.5:
        return None
    with found[0].open() as stream:
        waited = sorted(float(row["response_time_ms"]) for row in csv.DictReader(stream, delimiter=";"))
    return waited[int(0.99 * len(waited))] if len(waited) == number else None
