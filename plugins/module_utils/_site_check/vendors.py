# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the phones of each vendor, and who registers them, have to reach on the internet.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import typing as t


class Need(t.NamedTuple):
    """A name and a TCP port."""

    host: str
    port: int
    what_for: str


# Yealink's first: its phones ask there before anything else. Sources: the vendors' pages on their redirect services.
NEEDS: t.Mapping[str, t.Sequence[Need]] = {
    "yealink": (
        Need("dm.yealink.com", 443, "phones are redirected"),
        Need("api-dm.yealink.com", 8443, "registration, older service"),
        Need("eu-api.ymcs.yealink.com", 443, "registration"),
    ),
    "snom": (
        Need("secure-provisioning.snom.com", 443, "phones are redirected"),
        Need("api.sraps.snom.com", 443, "registration"),
    ),
    "gigaset": (
        Need("prov.gigaset.net", 443, "phones are redirected, registration"),
        Need("api.grape.gigaset.net", 443, "registration"),
    ),
}
