# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld itself, asked with packets."""

from __future__ import annotations

import random
import time

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import PROFILES

from .firewalld_site import FirewalldHost
from .matrix import assert_open_to_phones_only, intent
from .walled_host import NETWORKS, OTHERS, PHONES

pytestmark = pytest.mark.root

SIP = {"profiles": ["sip"], "networks": NETWORKS[PHONES]}
SIP_PORTS = [("udp", 5060), ("tcp", 5060)]


def is_open(host: FirewalldHost, sender: str = PHONES, ports: list[tuple[str, int]] = SIP_PORTS) -> bool:
    """Whether all of these ports are open to a sender; never some of them only."""
    with host.listening(ports):
        answers = set(host.ask(sender, ports).values())
    assert len(answers) == 1, answers
    return answers == {"open"}


def test_from_nothing_to_all_profiles_and_back(firewalld: FirewalldHost) -> None:
    files, running, lasting = firewalld.files(), firewalld.running(), firewalld.lasting()
    everything = intent(*PROFILES)

    checked = firewalld.engine(check_mode=True, **everything)
    assert (checked.changed, checked.faults) == (True, [])
    assert (firewalld.files(), firewalld.running()) == (files, running)

    done = firewalld.engine(backend="auto", **everything)
    assert (done.changed, done.faults, done.backend) == (True, [], "firewalld")
    assert done.reason == "firewalld runs (firewall-cmd --state)"
    assert done.diff == checked.diff, "check mode told the truth"
    assert_open_to_phones_only(firewalld, list(PROFILES))
    assert "ports: 5060/tcp 5060/udp" in firewalld.cmd("--permanent", "--info-service=autoprov-sip")
    assert "autoprov-rtp" in firewalld.cmd("--permanent", "--list-rich-rules")

    again = firewalld.engine(**everything)
    assert (again.changed, again.diff) == (False, [])

    firewalld.cmd("--reload")
    assert_open_to_phones_only(firewalld, list(PROFILES))
    assert "autoprov-rtp" in firewalld.cmd("--list-rich-rules"), "what runs names the services now"
    assert firewalld.engine(**everything).changed is False

    gone = firewalld.engine()
    assert (gone.changed, gone.faults) == (True, [])
    assert firewalld.files() == files, "byte for byte"
    assert (firewalld.running(), firewalld.lasting()) == (running, lasting)
    assert firewalld.engine().changed is False
    firewalld.cmd("--reload")
    assert firewalld.running() == running


def test_each_profile_opens_its_ports_and_no_others(firewalld: FirewalldHost) -> None:
    for name in PROFILES:
        done = firewalld.engine(**intent(name))
        assert (done.changed, done.faults) == (True, [])
        assert_open_to_phones_only(firewalld, [name])


def test_a_change_that_nobody_confirms_takes_itself_back(firewalld: FirewalldHost) -> None:
    files, running = firewalld.files(), firewalld.running()
    done = firewalld.engine(confirm_seconds=3, **SIP)
    assert done.token
    assert is_open(firewalld)
    assert firewalld.files() == files, "a restart takes it back as well"
    firewalld.wait(lambda: firewalld.running() == running, "the timer")
    assert not is_open(firewalld)
    assert firewalld.files() == files
    assert "not confirmed in time" in firewalld.decide("confirm", done.token).faults[0]


def test_a_restart_before_the_confirmation_takes_it_back_and_after_it_keeps_it(firewalld: FirewalldHost) -> None:
    files = firewalld.files()
    assert firewalld.engine(confirm_seconds=60, **SIP).token
    firewalld.stop_firewall()
    firewalld.start_firewall()
    assert not is_open(firewalld)
    assert firewalld.files() == files
    done = firewalld.engine(confirm_seconds=60, **SIP)
    assert done.token
    assert firewalld.decide("confirm", done.token).faults == []
    firewalld.stop_firewall()
    firewalld.start_firewall()
    assert is_open(firewalld)
    assert not is_open(firewalld, OTHERS)


def test_files_alone_where_firewalld_does_not_run(firewalld: FirewalldHost) -> None:
    firewalld.stop_firewall()
    firewalld.do("firewall-offline-cmd", "--zone=work", "--add-source=198.18.1.2")
    firewalld.do("firewall-offline-cmd", "--zone=public", "--remove-service-from-zone=ssh")
    files = firewalld.files()
    assert "zone voice does not exist; there are block, dmz" in firewalld.engine(zones=["voice"], **SIP).faults[0]
    checked = firewalld.engine(check_mode=True, **SIP)
    assert (checked.changed, checked.faults, firewalld.files()) == (True, [], files)
    done = firewalld.engine(confirm_seconds=60, **SIP)
    assert done.diff == checked.diff
    assert "firewalld does not run: what is configured takes effect when it is started" in done.notes
    assert firewalld.files() == files, "not confirmed yet"
    assert firewalld.decide("confirm", str(done.token)).faults == []
    assert firewalld.engine(**SIP).changed is False
    door = {"name": "door", "port": ["22"], "networks": ["198.18.1.0/24"]}
    assert firewalld.engine(ports=[door], **SIP).faults == []
    cut = firewalld.engine(connection=["198.18.1.9", "198.18.1.1", 22], **SIP)
    assert "would cut the connection Ansible came over" in cut.faults[0], "when it is started"

    firewalld.start_firewall()
    assert firewalld.engine(ports=[door], **SIP).changed is False
    assert is_open(firewalld)
    assert is_open(firewalld, ports=[("tcp", 22)])
    assert not is_open(firewalld, OTHERS)
    firewalld.stop_firewall()
    assert (firewalld.engine().faults, firewalld.files()) == ([], files)


def test_a_reload_before_the_confirmation_does_not_leave_it_half_done(firewalld: FirewalldHost) -> None:
    done = firewalld.engine(confirm_seconds=60, **SIP)
    firewalld.cmd("--reload")
    assert not is_open(firewalld)
    assert firewalld.decide("confirm", str(done.token)).faults == []
    assert is_open(firewalld)


def test_taken_back_by_hand_after_something_of_it_was_made_to_last(firewalld: FirewalldHost) -> None:
    """The zone's file cannot be written, so the confirmation fails, and nothing of the change is left."""
    files, running, lasting = firewalld.files(), firewalld.running(), firewalld.lasting()
    done = firewalld.engine(confirm_seconds=60, **SIP)
    zones = firewalld.folder / "copies/etc/firewalld/zones"
    firewalld.do("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/etc/firewalld/zones")
    answer = firewalld.decide("confirm", str(done.token))
    firewalld.do("umount", "/etc/firewalld/zones")
    assert "taken back" in answer.faults[-1], answer
    assert not any(zones.iterdir())
    assert firewalld.files() == files
    assert (firewalld.running(), firewalld.lasting()) == (running, lasting)


def test_faults_change_nothing(firewalld: FirewalldHost) -> None:
    firewalld.engine(**SIP)
    files, running, rules = firewalld.files(), firewalld.running(), firewalld.rules()
    port = {"name": "many", "port": ["70000"], "protocol": "tcpp"}
    for wanted, words in (
        ({"zones": ["voice"]}, ["zone voice does not exist; there are block, dmz, drop, external, home"]),
        ({"ports": [port]}, ["port 70000 is outside 1..65535", "protocol tcpp is not known"]),
        ({"ports": [{"name": "many", "port": ["5-7", "6-9"]}]}, ["5-7/tcp and 6-9/tcp overlap"]),
        ({"profiles": ["pnp_multicast"], "networks": ["fd00::/8"]}, ["224.0.1.75 come from IPv4 networks only"]),
    ):
        answer = firewalld.engine(**{**SIP, **wanted})
        assert answer.faults
        for word in words:
            assert any(word in fault for fault in answer.faults), answer.faults
    firewalld.cmd("--panic-on")
    answer = firewalld.engine(**SIP | {"profiles": ["ntp"]})
    firewalld.cmd("--panic-off")
    assert any("PANIC" in fault.upper() for fault in answer.faults), answer.faults
    assert answer.details == {"rolled_back": True} or len(answer.faults) > 1
    (firewalld.folder / "copies/etc/firewalld/zones/public.xml").write_text("<zone")
    assert "cannot be read" in firewalld.engine(**SIP | {"profiles": ["ntp"]}).faults[0]
    (firewalld.folder / "copies/etc/firewalld/zones/public.xml").write_bytes(files["etc/firewalld/zones/public.xml"])
    assert (firewalld.files(), firewalld.running()) == (files, running)
    assert firewalld.rules() == rules


@pytest.mark.parametrize("reload_first", [False, True], ids=["before a reload", "after one"])
def test_changed_ports(firewalld: FirewalldHost, reload_first: bool) -> None:
    entry = {"name": "intercom", "port": ["7000", "7002-7004"], "networks": NETWORKS[PHONES]}
    firewalld.engine(ports=[entry])
    if reload_first:
        firewalld.cmd("--reload")
    assert is_open(firewalld, ports=[("tcp", 7000), ("tcp", 7003)])
    done = firewalld.engine(ports=[entry | {"port": ["7001", "7002-7004"]}])
    assert (done.changed, done.faults) == (True, [])
    for _ in range(2):
        assert is_open(firewalld, ports=[("tcp", 7001), ("tcp", 7003)])
        assert not is_open(firewalld, ports=[("tcp", 7000), ("tcp", 7005)])
        firewalld.cmd("--reload")


def test_a_file_with_comments_is_edited_as_a_person_would(firewalld: FirewalldHost) -> None:
    path = firewalld.folder / "copies/etc/firewalld/zones/public.xml"
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<zone>\n <short>Ours</short>\t<!-- ask Jo <rule> -->\n'
        '      <service name="ssh"/><rule priority="5080"><service name="http"/><accept/></rule>\n'
        '  <rule family="ipv4"><source address="198.18.1.66"/><drop/></rule>\n</zone>\n<!-- end -->\n'
    )
    path.write_text(text)
    firewalld.cmd("--reload")
    assert firewalld.engine(**SIP).faults == []
    now = path.read_text()
    assert now.startswith(text[: text.index("</zone>")])
    assert now.endswith(text[text.index("</zone>") :])
    # The administrator adds something; firewalld writes the file anew from what it remembers, and that has our rules.
    firewalld.cmd("--permanent", "--add-port=8080/tcp")
    assert "8080" in path.read_text()
    assert path.read_text().count("autoprov-sip") == 2
    firewalld.cmd("--reload")
    assert firewalld.engine(**SIP).changed is False
    path.write_text(now)
    firewalld.cmd("--reload")
    assert firewalld.engine().faults == []
    assert path.read_text() == text


def test_zones(firewalld: FirewalldHost) -> None:
    firewalld.cmd("--zone=internal", "--change-interface=voice0")
    firewalld.cmd("--zone=work", "--add-source=198.18.1.2")
    firewalld.cmd("--zone=drop", "--add-source=198.18.1.128/25")
    done = firewalld.engine(profiles=["sip", "dhcp"], networks=["198.18.1.0/24"])
    assert done.faults == []
    where = {zone: lines for zone, lines in firewalld.running().items() if any("5080" in line for line in lines)}
    assert {zone.split()[0] for zone in where} == {"internal", "work"}
    assert "198.18.1.128/25 is bound to zone drop, which lets nobody in, and stays closed" in done.notes
    assert is_open(firewalld)
    by_name = firewalld.engine(profiles=["sip"], networks=["198.18.1.0/24"], zones=["dmz"])
    assert (by_name.changed, by_name.faults) == (True, [])
    assert not is_open(firewalld), "the zone that was named is not theirs"
    by_interface = firewalld.engine(profiles=["sip"], interfaces=["voice0"])
    assert by_interface.faults == []
    assert not is_open(firewalld), "packets of a sender who is bound to a zone are not asked in that of the interface"
    firewalld.cmd("--zone=work", "--remove-source=198.18.1.2")
    assert is_open(firewalld)
    assert not is_open(firewalld, OTHERS)


def test_what_is_open_to_everybody_else_is_said(firewalld: FirewalldHost) -> None:
    firewalld.cmd("--add-service=sips")
    firewalld.cmd("--add-port=5060/udp")
    notes = firewalld.engine(check_mode=True, profiles=["sip", "sip_tls"], networks=NETWORKS[PHONES]).notes
    assert "zone public opens sip_tls to everybody as well, by service sips" in notes
    assert "zone public opens sip to everybody as well, by port 5060/udp" in notes
    notes = firewalld.engine(check_mode=True, zones=["trusted"], **SIP).notes
    assert "zone trusted lets everything in (its target is ACCEPT), so nothing is closed there to anybody" in notes


def test_the_connection_of_ansible_is_not_cut(firewalld: FirewalldHost) -> None:
    door = {"name": "door", "port": ["2222"], "networks": ["198.18.1.0/24"]}
    firewalld.engine(ports=[door])
    came = ["198.18.1.2", "198.18.1.1", 2222]
    files, rules = firewalld.files(), firewalld.rules()
    for wanted in ({}, SIP, {"ports": [door | {"networks": ["198.18.1.128/25"]}]}):
        answer = firewalld.engine(connection=came, **wanted)
        assert "would cut the connection Ansible came over (from 198.18.1.2 to port 2222/tcp)" in answer.faults[0]
        assert "zone public of firewalld would no longer let it in" in answer.faults[0]
    assert (firewalld.files(), firewalld.rules()) == (files, rules)
    assert firewalld.engine(connection=came, ports=[door | {"networks": ["198.18.1.0/25"]}]).faults == []
    firewalld.cmd("--add-rich-rule=rule family=ipv4 source address=198.18.1.2 port port=2222 protocol=tcp accept")
    assert firewalld.engine(connection=came).faults == [], "somebody else lets it in"


def test_a_service_of_ours_that_somebody_else_names_is_kept(firewalld: FirewalldHost) -> None:
    firewalld.engine(**SIP)
    firewalld.cmd("--permanent", "--zone=work", "--add-service=autoprov-sip")
    done = firewalld.engine()
    assert any("service autoprov-sip is kept" in note and "work.xml" in note for note in done.notes), done.notes
    firewalld.cmd("--check-config")
    firewalld.cmd("--reload")
    assert "autoprov-sip" in firewalld.cmd("--zone=work", "--list-services")
    firewalld.cmd("--permanent", "--zone=work", "--remove-service=autoprov-sip")
    assert firewalld.engine().changed
    assert "autoprov" not in " ".join(firewalld.files())


def test_nothing_of_others_is_touched(firewalld: FirewalldHost) -> None:
    """An administrator's own settings, by chance, running and lasting, before and in between."""
    seed = time.time_ns() % 100_000
    dice = random.Random(seed)
    used: set[str] = set()

    def changes(count: int) -> list[list[str]]:
        found = []
        for _ in range(count):
            port, host = dice.randrange(1, 65536), dice.randrange(256)
            what = dice.choice(
                [
                    f"--add-port={port}/{dice.choice(['tcp', 'udp'])}",
                    f"--add-service={dice.choice(['http', 'ntp', 'ldap', 'tftp', 'sip'])}",
                    f"--add-rich-rule=rule family=ipv4 source address=10.0.{host}.0/24 service name=ntp accept",
                    f"--add-rich-rule=rule priority={port % 9000} service name=sips {dice.choice(['accept', 'drop'])}",
                    f"--add-rich-rule=rule priority=5080 family=ipv4 source address=10.1.{host}.0/24 drop",
                    f"--add-source=203.0.113.{host}",
                    f"--add-forward-port=port={port}:proto=tcp:toport=80",
                    f"--add-icmp-block={dice.choice(['redirect', 'echo-request'])}",
                    "--add-masquerade",
                    f"--add-protocol={dice.choice(['igmp', 'esp'])}",
                ]
            )
            if what in used:
                continue
            used.add(what)
            zone = ["--zone=work"] if what.startswith("--add-source") else []
            found.append([*(["--permanent"] if dice.random() < 0.5 else []), *zone, what])
        return found

    for change in changes(10):
        firewalld.cmd(*change)
    files, running, lasting = firewalld.files(), firewalld.running(), firewalld.lasting()
    assert firewalld.engine(**intent("sip", "rtp", "pnp_multicast")).faults == [], seed
    assert firewalld.engine(**intent("sip", "ldap")).faults == [], seed
    assert firewalld.engine().faults == [], seed
    assert (firewalld.files(), firewalld.running(), firewalld.lasting()) == (files, running, lasting), seed

    added = changes(6)
    for change in added:
        firewalld.cmd(*change)
    expected = firewalld.running(), firewalld.lasting()
    for change in added:
        firewalld.cmd(*[word.replace("--add-", "--remove-") for word in change])
    assert firewalld.engine(**intent("sip", "rtp")).faults == [], seed
    for change in added:
        firewalld.cmd(*change)
    assert firewalld.engine().faults == [], seed
    assert (firewalld.running(), firewalld.lasting()) == expected, seed
