# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gigaset's own families: Maxwell desk phones and DECT bases. The P series is tested with Snom."""

from __future__ import annotations

from typing import Any

import pytest

from autoprovd.model import SecretClass, SecretKey
from autoprovd.vendors import room_of

from .vendor_phones import SECRETS, account, document, faults, gigaset_settings, make, xml


def settings(model: str, **changes: Any) -> dict[str, str]:
    return gigaset_settings(document(make("gigaset", model, **changes)).filled(SECRETS))


@pytest.mark.parametrize("model", ["Maxwell3", "MaxwellBasic", "N610", "N670", "N870"])
def test_names_proof_and_address(model: str) -> None:
    phone = make("gigaset", model, mac="7c:2f:80:e0:d6:05")
    room, row = room_of(phone)
    names = room.file_names(phone, row)
    assert list(names.items()) == [("7C2F80E0D605.xml", "settings"), ("provisioning.xml", "settings")]
    assert row.family in room.label_proof
    # It asks with its MAC-ID each time, in the open folder; there are no credentials to wait for.
    name = "System.Provision" if model.startswith("Maxwell") else "Provisioning.global"
    for body in (document(phone).locked, document(phone).filled(SECRETS)):
        assert gigaset_settings(body)[f"{name}.ProvisioningServer"] == "http://198.18.0.2:50080/%MACD.xml"
    assert document(phone).gaps == {SecretKey(0, SecretClass.WEB), SecretKey(1, SecretClass.SIP)}


@pytest.mark.parametrize("model", ["Maxwell3", "N670"])
def test_without_the_label_there_is_no_proof(model: str) -> None:
    (fault,) = faults("gigaset", model, gigaset_id=None)
    assert fault.where == "gigaset_id"
    assert "behind the MAC address" in fault.fix
    (named,) = faults("gigaset", model, web_user="boss")
    assert named.where == "web_user"


@pytest.mark.parametrize(("transport", "code", "sips", "port"), [("udp", "1", "0", "5060"), ("tls", "2", "1", "5061")])
def test_maxwell_account(transport: str, code: str, sips: str, port: str) -> None:
    found = settings("Maxwell3", accounts=[account(line=2, auth_user="a1", mailbox="*98", transport=transport)])
    for name, value in {
        "Active": "1",
        "Username": "1001",
        "AuthName": "a1",
        "DisplayName": "Anna",
        "Domain": "pbx.example",
        "ProxyServer.Address": "pbx.example",
        "RegistrationServer.Port": port,
        "OutboundProxy.Mode": "2",
        "VoiceMail.Mailbox": "*98",
    }.items():
        assert found[f"SIP.Account.1.{name}"] == value
    assert (found["SIP.TransportProtocol"], found["SIP.Security.UseSIPS"]) == (code, sips)
    assert [found[f"SIP.Account.{index}.Active"] for index in (0, 2, 3)] == ["0", "0", "0"]


@pytest.mark.parametrize(("transport", "code"), [("udp", "1"), ("tcp", "2"), ("tls", "3")])
def test_base_transport_codes_are_its_own(transport: str, code: str) -> None:
    assert settings("N670", accounts=[account(transport=transport)])["SipProvider.0.TransportProtocol"] == code


@pytest.mark.parametrize(("srtp", "codes"), [("off", ("0", "1")), ("optional", ("1", "1")), ("mandatory", ("1", "0"))])
def test_encryption(srtp: str, codes: tuple[str, str]) -> None:
    maxwell = settings("Maxwell3", accounts=[account(srtp=srtp)])
    assert (maxwell["SIP.Security.SRTP"], maxwell["SIP.Security.AcceptNonSRTPCalls"]) == codes
    base = settings("N670", accounts=[account(srtp=srtp)])
    assert (base["SipProvider.0.SRTP_Enabled"], base["SipProvider.0.AcceptNonSRTPCalls"]) == codes


def test_passwords() -> None:
    maxwell = settings("Maxwell3")
    assert maxwell["SIP.Account.0.AuthPassword"] == "sip-secret"
    assert maxwell["WebUI.AdminPassword"] == maxwell["WebUI.UserPassword"] == "web-secret"
    base = settings("N670")
    assert base["SipAccount.00001.AuthPassword"] == "sip-secret"
    assert base["WebUIAccounts.1.Password"] == "web-secret"


def test_accounts_of_a_base_share_the_providers_they_can() -> None:
    accounts = [
        account(line=1),
        account(line=2, user="1002", outbound_proxy="sbc.example:5070"),
        account(line=12, user="1003", mailbox="*98"),
        account(line=4, user="1004"),
    ]
    phone = make("gigaset", "N670", accounts=accounts)
    found = gigaset_settings(document(phone).locked)
    providers = [found[f"SipAccount.{handset}.ProviderId"] for handset in ("00001", "00002", "00004", "00012")]
    assert providers == ["0", "1", "0", "2"]
    assert (found["SipProvider.0.OutboundProxyMode"], found["SipProvider.1.OutboundProxyMode"]) == ("2", "0")
    assert (found["SipProvider.1.OutboundProxyAddress"], found["SipProvider.1.OutboundProxyPort"]) == (
        "sbc.example",
        "5070",
    )
    assert [found[f"SipProvider.{number}.MWISubscription"] for number in (0, 1, 2)] == ["0", "0", "1"]
    assert "SipProvider.3.Name" not in found
    handsets = [each.get("value") for each in xml(document(phone).locked).findall("nvm/oper")]
    assert handsets == ["00001", "00002", "00004", "00012"]


def test_a_maxwell_has_one_transport_and_no_interval() -> None:
    accounts = [account(), account(line=2, transport="tls", srtp="mandatory"), account(line=5, expires=60)]
    told = faults("gigaset", "Maxwell3", accounts=accounts)
    assert {fault.where for fault in told} == {
        "accounts[1].transport", "accounts[1].srtp", "accounts[2].line", "accounts[2].expires",
    }  # fmt: skip


def test_keys_of_a_maxwell() -> None:
    keys = [
        {"key": 1, "type": "blf", "value": "1002", "label": "Bob"},
        {"key": 2, "type": "line", "account": 1},
        {"key": 3, "type": "dnd", "value": "*78"},
        {"key": 8, "type": "none"},
    ]
    found = settings("Maxwell3", keys=keys)
    path = "PhoneUI.Keys.FunctionKeys"
    assert [found[f"{path}.0.{name}"] for name in ("Type", "PhoneNumber", "DisplayName")] == ["4", "1002", "Bob"]
    assert (found[f"{path}.1.Type"], found[f"{path}.1.Connection"]) == ("0", "0")
    assert (found[f"{path}.2.Type"], found[f"{path}.2.EnableCode"]) == ("10", "*78")
    assert found[f"{path}.7.Type"] == "-1"
    (fault,) = faults("gigaset", "Maxwell3", keys=[{"key": 1, "type": "dnd"}])
    assert str(fault).startswith("keys[0].value: a key of type dnd needs a value on Gigaset Maxwell3 phones")


@pytest.mark.parametrize("model", ["Maxwell3", "N670"])
def test_firmware(model: str) -> None:
    url = "http://198.18.0.2/fw.bin?a=1&b=2"
    (file,) = xml(document(make("gigaset", model, firmware_url=url)).locked).findall("firmware/file")
    assert file.get("url") == url
    assert xml(document(make("gigaset", model)).locked).find("firmware") is None
