# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long phones get no answer while ``dhcp_options`` changes a DHCP server, beside a plain restart of that server.

A client in a namespace of its own asks every 20 ms. The gap is the longest time between two DISCOVERs that were
answered, less the 20 ms that always are: whoever asks in between gets nothing, and a phone asks again after four
seconds. Beside it stands the slowest answer, as a DISCOVER may also be answered late. Changes and restarts take turns,
so that a slow moment of the machine meets both; medians are compared.
Kea has 2,000 subnets. The servers are the real ones, the module is run as Ansible runs it on a host.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.discovers import SPACING
from tests.integration.dhcp.kea_site import CONFIG, KeaSite
from tests.integration.dhcp.sites import REPOSITORY, Site

ROUNDS = 5
SUBNETS = 2_000
AIM = 0.25


class Measured(NamedTuple):
    """What a change or a restart cost, in seconds."""

    gap: float
    slowest: float
    seconds: float


def run() -> None:
    """Measure and print."""
    print(f"\nDHCP: a client asks every {SPACING * 1000:.0f} ms; {ROUNDS} changes and {ROUNDS} plain restarts in turn")
    columns = f"{'no change s':>12}{'change s':>10}{'gap ms':>9}{'slowest ms':>12}"
    print(f"{'':20}{columns}{'restart gap ms':>16}{'slowest ms':>12}{'ratio':>8}   aim")
    _measure(f"Kea, {SUBNETS} subnets", KeaSite, _kea_configuration(SUBNETS), f"<= {AIM}")
    _measure("Kea, 1 subnet", KeaSite, CONFIG, "")


def _kea_configuration(count: int) -> str:
    """The administrator's file of the tests, with more subnets."""
    more = "".join(
        f',\n        {{ "id": {number}, "subnet": "10.{number // 250}.{number % 250}.0/24",'
        f' "pools": [ {{ "pool": "10.{number // 250}.{number % 250}.50 - 10.{number // 250}.{number % 250}.250" }} ] }}'
        for number in range(2, count + 1)
    )
    return CONFIG.replace("    } ]\n} }", f"    }}{more} ]\n}} }}")


def _measure(label: str, kind: type[KeaSite], configuration: str, aim: str) -> None:
    with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
        site = kind(Path(name), f"apb{os.getpid()}")
        try:
            site.build()
            site.write(configuration)
            site.start()
            _change(site, 0)
            changes, restarts, unchanged = [], [], []
            for number in range(1, ROUNDS + 1):
                changes.append(_gap(site, lambda number=number: _change(site, number)))  # type: ignore[misc]
                restarts.append(_gap(site, lambda: _restart(site)))
                unchanged.append(_timed(lambda number=number: _change(site, number, changed=False)))  # type: ignore[misc]
        finally:
            site.tear_down()
    own, plain = (statistics.median(item.gap for item in items) for items in (changes, restarts))
    late, plain_late = (statistics.median(item.slowest for item in items) for items in (changes, restarts))
    seconds = statistics.median(item.seconds for item in changes)
    print(
        f"{label:20}{statistics.median(unchanged):12.2f}{seconds:10.2f}{own * 1000:9.0f}{late * 1000:12.0f}"
        f"{plain * 1000:16.0f}{plain_late * 1000:12.0f}{own / plain:8.2f}   {aim}"
    )


def _change(site: Site, number: int, changed: bool = True) -> None:
    answer = site.module("dhcp_options", url=f"http://198.18.0.1:50080/{number}/", vendors=["snom", "yealink"])
    if answer.code != 0 or answer.result["changed"] is not changed:
        raise SystemExit(f"the module did not do what was measured: {answer.result}")


def _restart(site: KeaSite) -> None:
    site.stop()
    site.start()


def _timed(call: Callable[[], None]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _gap(site: Site, call: Callable[[], None]) -> Measured:
    """What a client meets around a call, and how long the call took."""
    with _client(site) as answers:
        time.sleep(0.5)
        started = time.monotonic()
        call()
        ended = time.monotonic()
        time.sleep(1)
    around = [answer for answer in answers if answer[0] > started - 0.3]
    if len(around) < 2 or around[-1][0] < ended:
        raise SystemExit(f"the server does not answer any more: {site.log.read_text()[-2000:]}")
    longest = max(later[0] - earlier[0] for earlier, later in itertools.pairwise(around))
    slowest = max(answered - sent for sent, answered in around)
    return Measured(max(longest - SPACING, 0.0), slowest, ended - started)


@contextmanager
def _client(site: Site) -> Iterator[list[tuple[float, float]]]:
    """A client that asks all the time; the list holds, once it has ended, what `discovers.ask` gives."""
    answers: list[tuple[float, float]] = []
    process = subprocess.Popen(
        ["ip", "netns", "exec", site.client, sys.executable, "-m", "tests.bench.discovers", "cli0"],
        cwd=REPOSITORY,
        env=dict(os.environ, PYTHONPATH=f"{REPOSITORY / 'collections'}:{REPOSITORY}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        time.sleep(0.5)
        yield answers
    finally:
        told, _ = process.communicate(timeout=20)
    answers += [(sent, answered) for sent, answered in json.loads(told)]
    if not answers:
        raise SystemExit("nobody ever answered the client")
