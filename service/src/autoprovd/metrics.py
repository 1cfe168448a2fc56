# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus may count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

registry = CollectorRegistry()

_requests = Counter(
    "autoprov_phone_requests_total", "Requests of phones, by what came of them", ["outcome"], registry=registry
)
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
phones = Gauge("autoprov_phones", "Phones of this site", registry=registry)

_BY_OUTCOME: dict[str, Counter] = {}


def phone_requests(outcome: str) -> None:
    """Count a request of a phone."""
    counter = _BY_OUTCOME.get(outcome)
    if counter is None:
        counter = _BY_OUTCOME[outcome] = _requests.labels(outcome)
    counter.inc()
