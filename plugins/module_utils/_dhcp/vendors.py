# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""How a DHCP server tells whose phone is asking, and which options that phone reads. Data only."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


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


YEALINK_OUIS = (
    *("001565", "249ad8", "3497d7", "44dbd2", "644f56", "805e0c"),
    *("805ec0", "b061a9", "c4fc22", "e434d7", "ec1da9", "f01653"),
)

VENDORS: t.Dict[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        # Option 60 is "snom" and the model ("snomD785", "snomM900"). The OUI catches what sends another one or none:
        # 00:04:13 is shared with the Gigaset P700/P800 series, which Snom builds and which behave as Snom phones.
        # Reads 66 (folder, or whole URL) and 67 (file name): service.snom.com "Auto Provisioning".
        # Given a folder, a Snom names its own files: snom<MODEL>.htm, snom<MODEL>-<MAC>.htm.
        Vendor("snom", ("snom", "Snom"), ("000413", "1c7126"), (66,), (66, 67, 43)),
        # Option 60 is "yealink" unless changed (static.auto_provision.dhcp_option.option60_value). Order of preference
        # from the administrator guides: custom options (160, 161 by default), then 66, then 43. Given a folder, a
        # Yealink names its own files: <mac>.boot, <mac>.cfg.
        Vendor(
            "yealink",
            ("yealink", "Yealink"),
            YEALINK_OUIS,
            (66,),
            (160, 161, 66, 43),
        ),
        # N670, N870 and Maxwell are known by their OUI: what they send as option 60 is not documented. Option 114 is
        # primary and overrides 66 (wiki.gigaset.com, provisioning by DHCP), so both carry the same URL. Without a
        # placeholder they ask for "provisioning.xml"; the phone itself replaces %MACD by its MAC address.
        # 00:21:04 (N510, N720) is left out on purpose: that family wants another file in another syntax.
        Vendor("gigaset", (), ("7c2f80", "589ec6", "14b370"), (114, 66), (114, 66), url_suffix="%MACD.xml"),
    )
}
