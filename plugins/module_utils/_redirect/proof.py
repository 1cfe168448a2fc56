# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Whether a phone's passwords would go to whoever knows its MAC address.

A vendor's service hands the URL it holds to whoever shows a MAC address, and accounts there have been taken over
(heise.de/-4654617, dnip.ch/?p=13768). What the URL then hands out must hang on something else.
"""

from __future__ import annotations

import ipaddress
import typing as t

#: What a rule of release calls a proof, to whether it is more than a MAC address. The service's own names.
PROOFS: t.Mapping[str, bool] = {
    "address": False,
    "network": True,  # with networks that are narrow enough
    # Nothing from outside is in the neighbour table or has a lease: it is not released there at all.
    "neighbour": True,
    "label": True,
    "credentials": True,
    "certificate": True,
}
STATED = ("network", "label", "credentials", "certificate")
#: The widest network that still says something about who is asking, by IP version: what one site is given.
NARROW_ENOUGH = {4: 24, 6: 48}
WAY_OUT = (
    "release them on a stronger proof (certificate, credentials, or network with the site's own addresses), then "
    "revoke and arm them: docs/cloud.md"
)


def weakness(phone: t.Mapping[str, t.Any]) -> t.Optional[str]:
    """Why this phone's passwords are not safe behind a URL that everybody learns; None when they are.

    ``phone`` is what the provisioning service tells of it. Each password counts that the phone could fetch, under the
    terms it was armed with; one that is released already could be released again.
    """
    weak = [
        grant["secret_class"]
        for grant in phone.get("grants") or ()
        if grant.get("audience") == "phone" and not _is_more_than_a_mac(grant)
    ]
    if not weak:
        return None
    classes = ", ".join(sorted(set(map(str, weak))))
    return f"its passwords ({classes}) would be released to whoever shows its MAC address; {WAY_OUT}"


def _is_more_than_a_mac(grant: t.Mapping[str, t.Any]) -> bool:
    # A proof that is not known here is taken for none.
    if grant.get("proof") != "address" and PROOFS.get(str(grant.get("proof")), False):
        return True
    networks = grant.get("networks") or ()
    return bool(networks) and all(_is_narrow(str(network)) for network in networks)


def _is_narrow(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    return network.prefixlen >= NARROW_ENOUGH[network.version]
