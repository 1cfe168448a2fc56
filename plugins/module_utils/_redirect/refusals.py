# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What the services say when they refuse, in words a person can act on. Data only."""

from __future__ import annotations

import re
import typing as t


class Refusal(t.NamedTuple):
    """A row: the service's own word (a regular expression for a part of it), what it means, and the way out."""

    word: str
    means: str
    way_out: str
    #: The phone is somebody else's there.
    foreign: bool = False
    #: The service does not know the phone: it is not registered.
    absent: bool = False


_OWNER = "have its owner remove it, or send the vendor the proof of purchase"
_LABEL = "compare it with the label of the phone"
_ADDRESS = "check url"

#: service.snom.com, "XML-RPC API".
SNOM_XMLRPC = (
    Refusal("owned_by_other_user", "it is registered to another user of the service", _OWNER, foreign=True),
    Refusal("malformed_url", "the service does not take this URL", _ADDRESS),
    Refusal("malformed_mac", "the service does not take this MAC address", _LABEL),
)

#: Gigaset's XML-RPC, as the clients of falconieri and peoplefone/provisioning-rpc read it.
GIGASET_REDIRECT = (
    Refusal("mac_already_in_use", "it is registered to another user of the service", _OWNER, foreign=True),
    Refusal("mac_not_found", "it is not registered", "nothing to do", absent=True),
    Refusal("mac_not_exist", "the service knows no device with this MAC address and ID", _LABEL),
    Refusal("mac_invalid", "the service does not take this MAC address or its ID", _LABEL),
    Refusal("missing_mac-id_crc", "the ID of its label is missing", "give mac_id, the four characters behind the MAC"),
    Refusal("url_invalid", "the service does not take this URL", _ADDRESS),
    Refusal("name_invalid", "the service does not take this name of a provider", "check provider_name"),
)

#: Yealink's XML API for RPS; Registered Elsewhere and Unknown are answers of checkDevice.
YEALINK_RPS = (
    Refusal("registered elsewhere", "it is registered to another user of the service", _OWNER, foreign=True),
    Refusal("override mac", "it is registered to another user of the service", _OWNER, foreign=True),
    Refusal("unregistered|unknown", "it is not registered", "nothing to do", absent=True),
    Refusal("invalid mac", "the service does not take this MAC address", _LABEL),
    Refusal("invalid server|server name", "the service does not take this URL", _ADDRESS),
)

#: The answers of Hawk services, by HTTP status, as far as they concern one phone.
HAWK = (
    Refusal("^403", "it is registered to another company", _OWNER, foreign=True),
    Refusal("^409", "it is registered to another company", _OWNER, foreign=True),
    Refusal("^404", "it is not registered", "nothing to do", absent=True),
    Refusal("^4(00|22)", "the service does not take its MAC address or URL", "check mac and url"),
)

#: Yealink's YMCS API, v2: its codes.
YMCS = (
    Refusal("800001", "the service does not take this MAC address", _LABEL),
    Refusal("800002", "the service does not take its serial number", "register it in the portal of YMCS"),
    Refusal("800003", "it is registered already", "run again"),
    Refusal("800004", "it is managed by another organisation", _OWNER, foreign=True),
    Refusal("800005|800200", "the service does not take this type of device", "tell it its server by DHCP instead"),
    Refusal("800006", "one call carried too many phones", "report this"),
    Refusal("800007|900400", "the service does not take its MAC address or URL", "check mac and url"),
    Refusal("800008", "the account is full", "have Yealink raise its limit, or remove phones that are gone"),
    Refusal("900401|900440", "the session ended", "run again"),
    Refusal("900403", "the account may not do this", "have Yealink enable addDevicesByMac for it"),
    Refusal("900404", "it is not registered", "nothing to do", absent=True),
    Refusal("900409|900412", "somebody else is changing it at this moment", "run again"),
    Refusal("900429", "the service wants fewer requests", "wait, and run again"),
    Refusal("900501", "the service cannot do this", "have Yealink enable addDevicesByMac for the account"),
    Refusal("900(408|500|502|503|504|511|599)", "the service is in trouble", "wait, and run again"),
    Refusal("70011", "the service wants another kind of grant", "report this"),
)
#: Codes of YMCS that say nothing of the phone: the same call may be answered in a moment.
YMCS_PASSING = ("900408", "900412", "900429", "900500", "900502", "900503", "900504", "900511", "900599")
#: Codes of YMCS that ask for a new token.
YMCS_SESSION_ENDED = ("900401", "900440")


def find(table: t.Sequence[Refusal], said: str) -> t.Optional[Refusal]:
    """The row for what a service said."""
    return next((row for row in table if re.search(row.word, said, re.IGNORECASE)), None)


def explain(table: t.Sequence[Refusal], said: str) -> str:
    """What a service said, in words and with the way out. ``said`` must be fit to be shown."""
    row = find(table, said)
    if row is None:
        return f"the service refuses it, saying: {said or 'nothing'}; ask the vendor"
    return f"{row.means} ({said}); {row.way_out}"
