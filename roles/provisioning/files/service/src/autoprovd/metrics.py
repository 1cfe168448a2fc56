# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus may count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

registry = CollectorRegistry()

releases = Counter(
    "autoprov_releases_total",
    "Secrets that left, by class and audience",
    ["secret_class", "audience"],
    registry=registry,
)
claim_seconds = Histogram(
    "autoprov_claim_seconds",
    "Time a claim took, its durable commit included",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5),
    registry=registry,
)
unproven = Counter(
    "autoprov_unproven_requests_total",
    "Requests for waiting secrets that were refused before the policy was asked, by what spoke against the caller",
    ["because"],
    registry=registry,
)
rollout_phones = Gauge(
    "autoprov_rollout_phones",
    "Phones of a firmware rollout, by how far they are",
    ["rollout", "state"],
    registry=registry,
)
guesses = Counter(
    "autoprov_guesses_total", "MAC addresses and files asked for that no phone here has, each once", registry=registry
)
bans = Counter("autoprov_bans_total", "Bans of sources that guess, and their extensions", registry=registry)
banned_sources = Gauge("autoprov_banned_sources", "Sources that are banned now", registry=registry)
pnp_interfaces = Gauge("autoprov_pnp_interfaces", "Interfaces on which SIP PnP is answered", registry=registry)
pnp_discovered = Gauge(
    "autoprov_pnp_discovered", "Phones that asked by SIP PnP and are none of this site's", registry=registry
)
phones = Gauge("autoprov_phones", "Phones of this site", registry=registry)


_outcomes: defaultdict[str, int] = defaultdict(int)
_pnp: defaultdict[str, int] = defaultdict(int)


def count_request(outcome: str) -> None:
    """Count a request of a phone."""
    _outcomes[outcome] += 1


def count_pnp(outcome: str) -> None:
    """Count what came of a datagram that asked, or should have asked, by SIP PnP."""
    _pnp[outcome] += 1


class _Requests(Collector):
    """Requests by outcome; plain integers, since every request counts here."""

    def collect(self) -> Iterator[Metric]:
        """The present counts."""
        family = CounterMetricFamily(
            "autoprov_phone_requests", "Requests of phones, by what came of them", labels=["outcome"]
        )
        for outcome, number in sorted(_outcomes.items()):
            family.add_metric([outcome], number)
        yield family
        heard = CounterMetricFamily(
            "autoprov_pnp_requests", "Datagrams to the SIP PnP group, by what came of them", labels=["outcome"]
        )
        for outcome, number in sorted(_pnp.items()):
            heard.add_metric([outcome], number)
        yield heard


registry.register(_Requests())
