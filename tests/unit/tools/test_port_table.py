# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of ports in the documentation, and the profiles that modules name, are those of the data."""

from __future__ import annotations

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import PROFILES
from ansible_collections.autoprov.appliance.plugins.modules import firewall_ports
from tools import port_table


def test_the_page_has_the_table_that_the_data_makes() -> None:
    text = port_table.PAGE.read_text(encoding="utf-8")
    assert text == port_table.with_table(text), "python -m tools.port_table writes it anew"
    assert text.count("| `rtp` | 10000-20000/udp | phones |") == 1


def test_the_module_documents_every_profile() -> None:
    for name, profile in PROFILES.items():
        assert f"V({name})" in firewall_ports.DOCUMENTATION
        for item in profile.ports:
            assert str(item.first) in firewall_ports.DOCUMENTATION, name
