# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""How a DHCP server tells whose phone is asking, what that phone sends, and which options it reads. Data only."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Vendor:
    """A phone is the vendor's when its option 60 begins with one of the prefixes, or its MAC with one of the OUIs."""

    name: str
    #: Beginnings of option 60, exactly as phones spell them (servers compare bytes).
    option60_prefixes: t.Tuple[str, ...]
    #: The first three bytes of the MAC address, 6 lower-case hexadecimal digits.
    ouis: t.Tuple[str, ...]
    #: Options that carry the provisioning URL, the one the phone prefers first; all of them are set.
    url_options: t.Tuple[int, ...]
    #: Every option the phone looks at, in its own order of preference.
    reads: t.Tuple[int, ...]
    #: Appended to a folder URL (which ends in "/"): the phone either names the file itself, or wants it in the URL.
    url_suffix: str = ""
    #: What one of its phones sends as option 60; None when that is not known, and none is played.
    sends_class: t.Optional[str] = None
    #: What one of its phones asks for (option 55), in its own order.
    request_list: t.Tuple[int, ...] = ()
    #: 66 and 67 inside option 43 win over those outside; 67 names a file in the folder that 66 names.
    reads_encapsulated: bool = False
    #: What else it reads, and in which encoding: code -> one of options.ENCODINGS.
    encodings: t.Mapping[int, str] = field(default_factory=dict)


YEALINK_OUIS = (
    *("001565", "249ad8", "3497d7", "44dbd2", "644f56", "805e0c"),
    *("805ec0", "b061a9", "c4fc22", "e434d7", "ec1da9", "f01653"),
)

VENDORS: t.Dict[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        # Option 60 is "snom" and the model ("snomD785", "snomM900"). The OUI catches what sends another one or none:
        # 00:04:13 is shared with the Gigaset P700/P800 series, which Snom builds and which behave as Snom phones.
        # Reads 66 (folder, or whole URL) and 67 (file name), the same inside 43 first, and 132 as decimal digits (3,
        # not 0003), all as text that may end in a NUL byte, as Snom's own examples do: wiki.snom.com "Auto
        # Provisioning/DHCP/Options". Asks for what its setting dhcp_options_on_ip_aquire lists: neither 114 nor 132.
        # Given a folder, a Snom names its own files: snom<MODEL>.htm, snom<MODEL>-<MAC>.htm.
        Vendor(
            "snom",
            ("snom", "Snom"),
            ("000413", "1c7126"),
            (66,),
            (66, 67, 43),
            sends_class="snomD785",
            request_list=(1, 3, 4, 6, 12, 15, 42, 43, 51, 66, 67, 120, 125, 133),
            reads_encapsulated=True,
            encodings={42: "ipv4", 120: "sip_servers", 132: "string", 133: "string"},
        ),
        # Option 60 is "yealink" unless changed (static.auto_provision.dhcp_option.option60_value). Order of preference
        # from the administrator guides: custom options (160, 161 by default), then 66, then 43. Given a folder, a
        # Yealink names its own files: <mac>.boot, <mac>.cfg. It reads 132 as decimal digits (VLAN white paper). Its
        # request list is not documented; this one is made of the options that the T5 guide lists.
        Vendor(
            "yealink",
            ("yealink", "Yealink"),
            YEALINK_OUIS,
            (66,),
            (160, 161, 66, 43),
            sends_class="yealink",
            request_list=(1, 3, 4, 6, 12, 15, 42, 43, 66, 132, 160, 161),
            encodings={42: "ipv4", 132: "string"},
        ),
        # N670, N870 and Maxwell are known by their OUI: what they send as option 60 is not documented. Option 114 is
        # primary and overrides 66 (wiki.gigaset.com, provisioning by DHCP), so both carry the same URL. Without a
        # placeholder they ask for "provisioning.xml"; the phone itself replaces %MACD by its MAC address.
        # 00:21:04 (N510, N720) is left out on purpose: that family wants another file in another syntax.
        # The request list is not documented either; this one is the least such a phone must ask for.
        Vendor(
            "gigaset",
            (),
            ("7c2f80", "589ec6", "14b370"),
            (114, 66),
            (114, 66),
            url_suffix="%MACD.xml",
            request_list=(1, 3, 6, 15, 42, 66, 114),
            encodings={42: "ipv4"},
        ),
    )
}
