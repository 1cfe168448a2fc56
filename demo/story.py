# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of the demo: an integrator sets a site up, phones are plugged in, and a stranger gets nothing."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any

from demo import pbx
from demo.integrator import REPOSITORY, Integrator
from demo.phone import Configuration, Label, Phone
from demo.site import HERE, Host, Machine, Site, left_behind
from demo.table import Action, Progress, Step, StepError
from demo.web import fetch

APPLIANCE, REGISTRAR, CONTROLLER, STRANGER = "198.18.0.1", "198.18.0.5", "198.18.0.9", "198.18.0.13"
MAKERS = "198.18.0.21"
"""Where the phones' makers have their files: a web server, since the site has no internet."""
STRANGER_MAC = "02:00:00:00:00:66"
FOLDER = f"http://{APPLIANCE}:50080/"
"""Where every provisioning address of this site begins."""

SNOM = Label("snom", "D785", "000413922d24")
YEALINK = Label("yealink", "T54W", "805e0c123456")
GIGASET = Label("gigaset", "N670", "7c2f80e0d605", label_id="A1B2")
PHONES = (SNOM, YEALINK, GIGASET)
GUESTS = (
    Label("snom", "D735", "000413a0000e"),
    Label("yealink", "T54W", "805e0ca0000f"),
    Label("snom", "D713", "000413a00010"),
)
"""Phones without an account, in rooms of guests from elsewhere."""
LANGUAGES = dict(zip((SNOM, YEALINK, *GUESTS), ("de", "fr", "en", "it", "es"), strict=True))
"""As inventory/group_vars says."""
URL_OPTION = {SNOM: 66, YEALINK: 66, GIGASET: 114}
FILE = {
    SNOM: f"snom{SNOM.model}-{SNOM.mac.upper()}.htm",
    YEALINK: f"{YEALINK.mac}.cfg",
    GIGASET: f"{GIGASET.mac}.xml",
}
PASSWORDS = {SNOM: ("menu", "sip", "web"), YEALINK: ("menu", "sip", "web"), GIGASET: ("sip", "web")}
"""What a phone is given beside its provisioning credentials; a DECT base has no menu."""
USERS = {SNOM: "1001", YEALINK: "1002", GIGASET: "1003"}
FUNCTION_KEYS = {SNOM: 4, YEALINK: 3, GIGASET: 0}
"""As inventory/group_vars says."""

PLAYBOOK = HERE / "site.yml"
REARM = REPOSITORY / "playbooks" / "rearm.yml"


class Story:
    """The steps, and what they share. The first one furnishes the site, and the last one takes it down."""

    def __init__(self, site: Site, *, keep: bool = False) -> None:
        self.site = site
        self._keep = keep
        self._phones: dict[Label, Phone] = {}
        self._first: dict[Label, Configuration] = {}
        self._secrets: dict[Label, set[str]] = {label: set() for label in PHONES}

    def steps(self) -> list[Step]:
        """Everything that happens, in order."""
        return [
            Step("site", "set up", "2 machines, 9 other hosts", self._set_up, essential=True),
            Step("integrator", "playbook site.yml", "no task fails", self._play(PLAYBOOK), essential=True),
            *(step for label in PHONES for step in self._first_boot(label)),
            Step("5 phones", "words of the display", " ".join(LANGUAGES.values()), self._words),
            Step("registrar", "who is registered", " ".join(USERS.values()), self._registered),
            Step(SNOM.title, "asks again", "401→200, no password, all else", self._refresh(SNOM)),
            Step(YEALINK.title, "asks again", "401→200, no password, all else", self._refresh(YEALINK)),
            Step(GIGASET.title, "no label ID", "401, no password", self._asks_without_proof(GIGASET)),
            Step(
                GIGASET.title, "label ID again", "sip web, as each time", self._boot_with(GIGASET, PASSWORDS[GIGASET])
            ),
            *(Step("stranger", f"as the {label.title}", "no password", self._stranger_asks(label)) for label in PHONES),
            Step("appliance", "autoprov phones", f"suspicious: {SNOM.title}, {YEALINK.title}", self._overview),
            Step(SNOM.title, "factory reset, boots", "no password", self._factory_reset(SNOM)),
            Step(YEALINK.title, "reboots", "no password", self._boot_with(YEALINK, ())),
            Step(
                "integrator",
                "playbook rearm.yml",
                "no task fails",
                self._play(REARM, rearm_phones=[SNOM.mac, YEALINK.mac]),
            ),
            *(step for label in (SNOM, YEALINK) for step in self._once_more(label)),
            *([] if self._keep else [Step("site", "taken down", "nothing left", self._take_down, always=True)]),
        ]

    # -- the site -----------------------------------------------------------------------------------------------------

    def _set_up(self, progress: Progress) -> str:
        site = self.site
        for name, address in (("appliance", APPLIANCE), ("registrar", REGISTRAR)):
            progress(f"{name} boots")
            site.add_machine(name, address=f"{address}/24")
        pbx.install(self._machine("registrar"))
        controller = site.add_host("controller", address=f"{CONTROLLER}/24")
        site.add_host("stranger", mac=STRANGER_MAC, address=f"{STRANGER}/24")
        _publish(site.add_host("makers", address=f"{MAKERS}/24"))
        for label in PHONES:
            self._phones[label] = Phone(site.add_host(label.vendor, mac=label.mac_colons), label)
        for number, label in enumerate(GUESTS, 1):
            self._phones[label] = Phone(site.add_host(f"guest{number}", mac=label.mac_colons), label)
        values = {name: {"machine_pid": host.pid} for name, host in site.hosts.items() if isinstance(host, Machine)}
        common = {"demo_api_token": secrets.token_urlsafe(32), "demo_directory": str(controller.directory)}
        self._integrator = Integrator(controller, values, common)
        earlier = "; an earlier site was taken down" if site.replaced else ""
        return f"{len(values)} machines, {len(site.hosts) - len(values)} other hosts{earlier}"

    def _take_down(self, progress: Progress) -> str:
        self.site.close()
        if left := left_behind():
            raise StepError(", ".join(left))
        return "no namespace, mount, process or file"

    def _play(self, playbook: Any, **variables: Any) -> Action:
        return lambda progress: self._integrator.play(playbook, progress, variables)

    def _machine(self, name: str) -> Machine:
        machine = self.site.hosts[name]
        assert isinstance(machine, Machine)
        return machine

    def _words(self, progress: Progress) -> str:
        seen = []
        for label in LANGUAGES:
            phone = self._phones[label]
            if label in GUESTS:
                progress(f"{label.title} boots")
                phone.power_on()
                phone.provision()
            seen.append(phone.words().removeprefix(f"{label.vendor} ").strip())
        return _require(seen == list(LANGUAGES.values()), " ".join(seen))

    def _registered(self, progress: Progress) -> str:
        seen = " ".join(pbx.registered(self._machine("registrar"))) or "nobody"
        return _require(seen == " ".join(USERS.values()), seen)

    def _overview(self, progress: Progress) -> str:
        answer = json.loads(self._machine("appliance").run(["autoprov", "phones", "--json"]).stdout)
        marked = {phone["mac"] for phone in answer["phones"] if phone["suspicious"]}
        titles = ", ".join(label.title for label in PHONES if label.mac in marked)
        return _require(marked == {SNOM.mac, YEALINK.mac}, f"suspicious: {titles or 'none'}")

    # -- phones -------------------------------------------------------------------------------------------------------

    def _first_boot(self, label: Label) -> list[Step]:
        given = PASSWORDS[label]
        return [
            Step(label.title, "DHCP", f"option {URL_OPTION[label]}: {FOLDER}…", self._power_on(label)),
            Step(label.title, "files", f"{FILE[label]} 200", self._files(label)),
            Step(label.title, "passwords", f"{len(given)}: {' '.join(given)}", self._read(label)),
            Step(label.title, "SIP REGISTER", "200 OK", self._register(label)),
        ]

    def _once_more(self, label: Label) -> list[Step]:
        given = PASSWORDS[label]
        return [
            Step(label.title, "reboots", f"{len(given)}: {' '.join(given)}", self._boot_with(label, given)),
            Step(label.title, "SIP REGISTER", "200 OK", self._register(label)),
            Step(label.title, "asks again", "401→200, no password, all else", self._refresh(label)),
            Step(label.title, "reboots", "no password", self._boot_with(label, ())),
        ]

    def _power_on(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            answer = self._phones[label].power_on()
            url = answer.options.get(URL_OPTION[label], "nothing")
            return _require(url.startswith(FOLDER), f"{answer.address}, option {URL_OPTION[label]}: {url}")

        return action

    def _files(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            self._first[label] = self._remember(label, self._phones[label].provision())
            last = self._first[label].responses[-1]
            return _require(
                last.url == f"{FOLDER}{FILE[label]}" and last.status == 200, _all_requests(self._first[label])
            )

        return action

    def _read(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            given = self._first[label]
            complete = _given(given) == PASSWORDS[label] and given.function_keys == FUNCTION_KEYS[label]
            different = len(set(given.passwords.values())) == len(given.passwords)
            return _require(complete and different, f"{_passwords(given)}; {given.function_keys} function keys")

        return action

    def _register(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            seen = self._phones[label].register()
            return _require(seen == "200 OK", seen)

        return action

    def _refresh(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            phone = self._phones[label]
            before = dict(phone.flash)
            again = self._remember(label, phone.refresh())
            asked = again.responses[-1]
            proved = asked.statuses == (401, 200) and set(asked.challenges) == {"digest"}
            missing = set(self._first[label].settings) - phone.released_settings - set(again.settings)
            found = f"{len(again.settings)} settings, {len(missing)} missing"
            seen = f"{_answered(again)}, {self._leak(label, again)}, {found}"
            unchanged = phone.flash == before and again.function_keys == FUNCTION_KEYS[label]
            return _require(proved and _clean(seen) and not missing and unchanged, seen)

        return action

    def _boot_with(self, label: Label, passwords: tuple[str, ...]) -> Action:
        def action(progress: Progress) -> str:
            phone = self._phones[label]
            phone.power_on()
            configuration = phone.provision()
            if passwords:
                self._remember(label, configuration)
                return _require(
                    _given(configuration) == passwords, f"{_answered(configuration)}, {_passwords(configuration)}"
                )
            seen = f"{_answered(configuration)}, {self._leak(label, configuration)}"
            return _require(_clean(seen) and bool(configuration.settings), seen)

        return action

    def _factory_reset(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            self._phones[label].factory_reset()
            return self._boot_with(label, ())(progress)

        return action

    def _asks_without_proof(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            phone = self._phones[label]
            response = fetch(phone.host, self._address_of(label), phone.user_agent)
            seen = f"{response.status}, {self._leak_in(label, response.body)}"
            return _require(seen == "401, no password", seen)

        return action

    def _stranger_asks(self, label: Label) -> Action:
        def action(progress: Progress) -> str:
            response = fetch(self.site.hosts["stranger"], self._address_of(label), self._phones[label].user_agent)
            seen = f"{response.status}, {self._leak_in(label, response.body)}"
            return _require(_clean(seen) and response.status in (200, 401, 403), seen)

        return action

    def _address_of(self, label: Label) -> str:
        if label not in self._first:
            raise StepError("the phone itself never got its file")
        return self._first[label].responses[-1].url

    # -- secrets ------------------------------------------------------------------------------------------------------

    def _remember(self, label: Label, configuration: Configuration) -> Configuration:
        # Noted before anything is judged, so that a later leak of one of them is recognised wherever it appears.
        self._secrets[label].update(configuration.passwords.values())
        return configuration

    def _leak(self, label: Label, configuration: Configuration) -> str:
        return _passwords(configuration) if configuration.passwords else self._leak_in(label, configuration.body)

    def _leak_in(self, label: Label, body: str) -> str:
        """What a body holds of the phone's secrets, searched for as plain text."""
        return "A PASSWORD" if any(secret in body for secret in self._secrets[label]) else "no password"


def _publish(makers: Host) -> None:
    """A file of words for each vendor and language, as small as can be; the mirror fetches them from there."""
    for label, language in LANGUAGES.items():
        file = makers.directory / "www" / label.vendor / f"{language}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{label.vendor} {language}\n", "utf-8")
    serve: list[str | Path] = [
        sys.executable,
        "-m",
        "http.server",
        "--bind",
        MAKERS,
        "--directory",
        makers.directory / "www",
        "80",
    ]
    makers.start(serve, makers.directory / "http.log")


def _require(as_expected: bool, seen: str) -> str:
    if not as_expected:
        raise StepError(seen)
    return seen


def _clean(seen: str) -> bool:
    return "no password" in seen


def _given(configuration: Configuration) -> tuple[str, ...]:
    return tuple(sorted(set(configuration.passwords) - {"provisioning"}))


def _passwords(configuration: Configuration) -> str:
    beside = " + provisioning" if "provisioning" in configuration.passwords else ""
    return (" ".join(_given(configuration)) or "no password") + beside


def _all_requests(configuration: Configuration) -> str:
    return ", ".join(
        f"{response.url.rpartition('/')[2]} {'→'.join(map(str, response.statuses))}"
        for response in configuration.responses
    )


def _answered(configuration: Configuration) -> str:
    """How the last file, the phone's own, was answered."""
    return "→".join(map(str, configuration.responses[-1].statuses))
