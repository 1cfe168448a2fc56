# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terms of release: how rules resolve, what is wrong with them, and where they show."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.faults import Fault, Refused
from autoprovd.model import Audience, Phone, PhoneRule, ReleaseSettings, SecretClass, Settings, parse_settings
from autoprovd.policy import Mode, Policy, Proof, is_inside, policy_for
from autoprovd.rules import faults_of_phone_rules, faults_of_settings
from autoprovd.site import Selection
from autoprovd.vendors import VENDORS

from .conftest import SNOM, YEALINK, Box, snom, yealink

SIP, WEB, MENU, PROVISIONING = SecretClass.SIP, SecretClass.WEB, SecretClass.MENU, SecretClass.PROVISIONING
BUILT_IN = Policy(Mode.WINDOW, 600, True, Proof.ADDRESS)
LABEL = Policy(Mode.ALWAYS, 600, False, Proof.LABEL)
RUN = Policy(Mode.WINDOW, 600, False, Proof.NONE)


def terms(
    release: dict[str, Any] | None = None,
    own: list[dict[str, Any]] | None = None,
    phone: tuple[str, str] = ("snom", "D785"),
    secret_class: SecretClass = SIP,
    audience: Audience = Audience.PHONE,
) -> Policy:
    """What comes out for one secret."""
    settings = ReleaseSettings.model_validate(release or {})
    rules = [PhoneRule.model_validate(rule) for rule in own or []]
    return policy_for(*phone, secret_class, audience, settings, rules)


def faults(*rules: dict[str, Any], phones: list[Phone] | None = None, **settings: Any) -> list[Fault]:
    """What is wrong with rules of a site."""
    return list(faults_of_settings(ReleaseSettings.model_validate({"rules": rules, **settings}), phones or []))


# -- how they resolve -------------------------------------------------------------------------------------------------

NETWORK = {"proof": "network", "networks": ["198.18.0.0/24"]}
TABLE: list[tuple[str, dict[str, Any], Policy]] = [
    ("nothing is said", {}, BUILT_IN),
    ("web waits for its first request", {"secret_class": WEB}, BUILT_IN._replace(starts_at_arming=False)),
    ("provisioning too", {"secret_class": PROVISIONING}, BUILT_IN._replace(starts_at_arming=False)),
    ("menu has a window", {"secret_class": MENU}, BUILT_IN),
    ("a Gigaset base wants its label", {"phone": ("gigaset", "N670")}, LABEL),
    ("a Gigaset desk phone too", {"phone": ("gigaset", "maxwell3"), "secret_class": WEB}, LABEL),
    ("the P series is a Snom", {"phone": ("gigaset", "P810")}, BUILT_IN),
    ("an Ansible run", {"audience": Audience.CONTROLLER}, RUN),
    ("a label phone's run", {"audience": Audience.CONTROLLER, "phone": ("gigaset", "N670")}, RUN),
    ("strict at the site", {"release": {"strict": True}}, BUILT_IN._replace(mode=Mode.ONCE)),
    ("strict is not for runs", {"release": {"strict": True}, "audience": Audience.CONTROLLER}, RUN),
    ("strict is not for label phones", {"release": {"strict": True}, "phone": ("gigaset", "N670")}, LABEL),
    (
        "a rule overrides strict",
        {"release": {"strict": True, "rules": [{"mode": "window"}]}},
        BUILT_IN,
    ),
    (
        "so does strict: false",
        {"release": {"strict": True, "rules": [{"strict": False}]}},
        BUILT_IN,
    ),
    (
        "the phone's own rule is the last",
        {"release": {"rules": [{"mode": "once"}]}, "own": [{"mode": "window", "window_seconds": 60}]},
        BUILT_IN._replace(window_seconds=60),
    ),
    (
        "a rule of another vendor is not for it",
        {"release": {"rules": [{"vendor": "yealink", "mode": "once"}]}},
        BUILT_IN,
    ),
    (
        "a rule of another model is not for it",
        {"release": {"rules": [{"vendor": "snom", "model": "D385", "mode": "once"}]}},
        BUILT_IN,
    ),
    (
        "a rule of its model is, however it is capitalised",
        {"release": {"rules": [{"vendor": "snom", "model": "d785", "mode": "once"}]}},
        BUILT_IN._replace(mode=Mode.ONCE),
    ),
    (
        "a rule of another secret is not for it",
        {"release": {"rules": [{"secret_class": "web", "mode": "once"}]}},
        BUILT_IN,
    ),
    (
        "a rule may give web a window from arming",
        {"release": {"rules": [{"window_starts": "arming"}]}, "secret_class": WEB},
        BUILT_IN,
    ),
    (
        "network is an address inside networks",
        {"release": {"rules": [NETWORK]}},
        BUILT_IN._replace(networks=("198.18.0.0/24",)),
    ),
    (
        "networks hold beside a stronger proof",
        {"release": {"rules": [NETWORK]}, "own": [{"proof": "neighbour"}]},
        BUILT_IN._replace(networks=("198.18.0.0/24",), min_proof=Proof.NEIGHBOUR),
    ),
    (
        "a later rule may open them",
        {"release": {"rules": [NETWORK]}, "own": [{"proof": "neighbour", "networks": []}]},
        BUILT_IN._replace(min_proof=Proof.NEIGHBOUR),
    ),
    (
        "always has no window that could end",
        {"release": {"rules": [{"vendor": "snom", "mode": "always", "proof": "credentials"}]}},
        Policy(Mode.ALWAYS, 600, False, Proof.CREDENTIALS),
    ),
    (
        "what is for all phones leaves label phones what they need",
        {
            "release": {"rules": [{"mode": "once", "proof": "neighbour", "shred": True, "networks": ["10.0.0.0/8"]}]},
            "phone": ("gigaset", "N670"),
        },
        LABEL._replace(networks=("10.0.0.0/8",)),
    ),
    (
        "a rule without audience is for phones",
        {"release": {"rules": [{"mode": "once", "window_seconds": 60}]}, "audience": Audience.CONTROLLER},
        RUN,
    ),
    (
        "a rule for the controller is for runs",
        {
            "release": {"rules": [{"audience": "controller", "mode": "once", "window_seconds": 60}]},
            "audience": Audience.CONTROLLER,
        },
        Policy(Mode.ONCE, 60, False, Proof.NONE),
    ),
    (
        "and not for phones",
        {"release": {"rules": [{"audience": "controller", "mode": "once", "window_seconds": 60}]}},
        BUILT_IN,
    ),
    (
        "a secret is destroyed for everybody",
        {"release": {"rules": [{"shred": True}]}, "audience": Audience.CONTROLLER},
        RUN._replace(shred=True),
    ),
    (
        "provisioning credentials are not, they are checked later",
        {"release": {"rules": [{"shred": True}]}, "secret_class": PROVISIONING},
        BUILT_IN._replace(starts_at_arming=False),
    ),
    ("theft", {"release": {"rules": [{"on_theft": "rekey"}]}}, BUILT_IN._replace(on_theft="rekey")),
]


@pytest.mark.parametrize(("given_", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_how_rules_resolve(given_: dict[str, Any], expected: Policy) -> None:
    assert terms(**given_) == expected


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "secret_class": st.sampled_from(["sip", "web", "menu", "provisioning"]),
        "mode": st.sampled_from(["once", "window"]),
        "window_seconds": st.integers(10, 3600),
        "window_starts": st.sampled_from(["arming", "first_request"]),
        "proof": st.sampled_from(["address", "neighbour", "credentials", "certificate"]),
        "networks": st.lists(st.sampled_from(["10.0.0.0/8", "198.18.0.0/24", "2001:db8::/32"]), max_size=2),
        "on_theft": st.sampled_from(["report", "revoke", "rekey"]),
        "shred": st.booleans(),
    },
)


@given(
    site=st.lists(_VALUES, max_size=6),
    own=st.lists(_VALUES, max_size=3),
    secret_class=st.sampled_from(list(SecretClass)),
)
def test_for_each_field_the_last_rule_that_sets_it_wins(
    site: list[dict[str, Any]], own: list[dict[str, Any]], secret_class: SecretClass
) -> None:
    """Each field of the outcome is that of the last rule for the secret that sets it, else the built-in one."""
    found = terms({"rules": site}, own, secret_class=secret_class)
    mine = [rule for rule in [*site, *own] if rule.get("secret_class", secret_class) == secret_class]

    def last(field: str, otherwise: Any) -> Any:
        return next((rule[field] for rule in reversed(mine) if field in rule), otherwise)

    assert found.mode == last("mode", "window")
    assert found.window_seconds == last("window_seconds", 600)
    default = "arming" if secret_class in (SIP, MENU) else "first_request"
    assert found.starts_at_arming == (last("window_starts", default) == "arming")
    assert found.min_proof.name.lower() == last("proof", "address")
    assert list(found.networks) == last("networks", [])
    assert found.on_theft == last("on_theft", "report")
    assert found.shred == (secret_class != PROVISIONING and last("shred", False))


_VENDOR = st.fixed_dictionaries({}, optional={"vendor": st.sampled_from(["snom", "yealink", "gigaset"])})
_ALWAYS = st.sampled_from([{}, {"mode": "always"}])


@given(st.lists(st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, _VALUES, _ALWAYS, _VENDOR)))
def test_no_rules_that_a_door_lets_in_hand_out_again_and_again_without_proof(rules: list[dict[str, Any]]) -> None:
    """Whatever rules pass the door: what is released each time is released to a proof that cannot be taken over."""
    if faults(*rules):
        return
    for phone in (("snom", "D785"), ("yealink", "T54W"), ("gigaset", "N670"), ("gigaset", "P810")):
        room, model = VENDORS[phone[0]], VENDORS[phone[0]].model(phone[1])
        assert model is not None
        for secret_class in room.secret_classes(model):
            found = terms({"rules": rules}, phone=phone, secret_class=secret_class)
            assert found.mode is not Mode.ALWAYS or found.min_proof >= Proof.LABEL


# -- what is wrong with them ------------------------------------------------------------------------------------------

WRONG: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{}], "release.rules[0]", "sets nothing"),
    ([{"mode": "always"}], "release.rules[0].mode", "again and again"),
    ([{"vendor": "snom", "mode": "always", "proof": "neighbour"}], "release.rules[0].proof", "again and again"),
    (
        [{"vendor": "snom", "mode": "always", "proof": "network", "networks": ["10.0.0.0/8"]}],
        "release.rules[0].proof",
        "again and again",
    ),
    ([{"proof": "network"}], "release.rules[0].proof", "none are given"),
    ([{**NETWORK}, {"networks": []}], "release.rules[1].networks", "none are given"),
    ([{"proof": "certificate"}], "release.rules[0].proof", "cannot give the proof certificate"),
    ([{"proof": "credentials"}], "release.rules[0].proof", "cannot give the proof credentials"),
    ([{"vendor": "gigaset", "proof": "certificate"}], "release.rules[0].proof", "certificate"),
    ([{"vendor": "snom", "proof": "label"}], "release.rules[0].proof", "does not answer with the ID of a label"),
    ([{"vendor": "gigaset", "model": "N670", "mode": "once"}], "release.rules[0].mode", "forgets its passwords"),
    ([{"vendor": "gigaset", "model": "N670", "on_theft": "rekey"}], "release.rules[0].on_theft", "forgets"),
    ([{"vendor": "gigaset", "model": "N670", "secret_class": "menu", "shred": True}], "secret_class", "have no menu"),
    ([{"vendor": "snom", "model": "D7850", "mode": "once"}], "release.rules[0].model", "has no model 'D7850'"),
    ([{"model": "D785", "mode": "once"}], "release.rules[0].model", "without its vendor"),
    ([{"strict": True, "mode": "always"}], "release.rules[0].strict", "contradicts"),
    ([{"strict": True, "mode": "window"}], "release.rules[0].strict", "contradicts"),
    ([{"strict": False, "mode": "once"}], "release.rules[0].strict", "contradicts"),
    ([{"secret_class": "provisioning", "shred": True}], "release.rules[0].shred", "checked against"),
    ([{"audience": "phone", "shred": True}], "release.rules[0].shred", "for everybody"),
    ([{"audience": "controller", "proof": "neighbour"}], "release.rules[0].proof", "its token"),
    ([{"audience": "controller", "mode": "always"}], "release.rules[0].mode", "every Ansible run"),
    ([{"audience": "controller", "secret_class": "web", "mode": "once"}], "secret_class", "SIP passwords"),
    (
        [{"vendor": "snom", "mode": "always", "proof": "credentials", "on_theft": "revoke"}],
        "release.rules[0].on_theft",
        "nothing was stolen",
    ),
    (
        [{"vendor": "snom", "mode": "always", "proof": "certificate"}, {"vendor": "snom", "shred": True}],
        "release.rules[1].shred",
        "cannot be destroyed",
    ),
]


@pytest.mark.parametrize(("rules", "where", "what"), WRONG, ids=lambda value: str(value)[:60])
def test_what_is_wrong_with_rules(rules: list[dict[str, Any]], where: str, what: str) -> None:
    found = faults(*rules)
    assert [fault for fault in found if fault.where.endswith(where) and what in fault.what], found
    assert all(fault.fix for fault in found), "each has its way out"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"networks": ["198.18.0.7/24"]}, "for the network, write 198.18.0.0/24"),
        ({"networks": ["voice"]}, "is not a network"),
        ({"vendor": "cisco", "mode": "once"}, "'snom', 'yealink' or 'gigaset'"),
        ({"mode": "twice"}, "'once', 'window' or 'always'"),
        ({"window_seconds": 1}, "greater than or equal to 10"),
        ({"often": True}, "is not a known field"),
    ],
    ids=str,
)
def test_what_no_rule_can_say(rule: dict[str, Any], said: str) -> None:
    settings, found = parse_settings(Settings(), {"release": {"rules": [rule]}})
    assert settings is None
    assert said in str(found[0])
    assert found[0].where.startswith("release.rules[0]")


def test_all_faults_are_told_at_once() -> None:
    found = faults({"mode": "once"}, {}, {"model": "D785", "mode": "once"}, {"strict": True, "mode": "always"})
    assert [fault.where for fault in found] == [
        "release.rules[1]",
        "release.rules[2].model",
        "release.rules[3].strict",
    ]


def test_a_rule_is_told_once_though_it_fails_for_many_models() -> None:
    assert len(faults({"proof": "certificate"})) == 1


def test_a_rule_for_all_phones_may_leave_some_as_they_are() -> None:
    assert faults({"mode": "once", "on_theft": "rekey", "shred": True, "proof": "neighbour"}) == []
    assert faults({"vendor": "gigaset", "model": "N670", "networks": ["10.0.0.0/8"]}) == []


def test_settings_are_held_against_the_rules_of_phones() -> None:
    phone = Phone.model_validate(snom(release=[{"mode": "always"}]))
    credentials = {"vendor": "snom", "proof": "credentials"}
    assert list(faults_of_phone_rules(phone, ReleaseSettings.model_validate({"rules": [credentials]}), True)) == []
    found = faults({"mode": "once"}, phones=[phone])
    assert len(found) == 1
    assert f"with the rules of phone {SNOM} itself" in found[0].what


# -- at the doors -----------------------------------------------------------------------------------------------------


def test_a_wrong_rule_changes_no_settings(box: Box) -> None:
    with pytest.raises(Refused, match="nothing was changed") as refusal:
        box.site.apply_settings({"release": {"rules": [{"mode": "always"}]}}, False, "test")
    assert refusal.value.faults[0].where == "release.rules[0].mode"
    assert box.site.settings().release.rules == ()


def test_new_settings_must_fit_the_phones_that_are_there(box: Box) -> None:
    always = {"rules": [{"vendor": "snom", "proof": "credentials"}]}
    box.site.apply_settings({"release": always}, False, "test")
    box.site.apply_phones([snom(release=[{"mode": "always"}]), yealink(name='"release":[')], False, False, "test")
    with pytest.raises(Refused) as refusal:
        box.site.apply_settings({"release": {"rules": []}}, False, "test")
    assert SNOM in str(refusal.value.faults[0])


def test_a_phone_whose_rules_are_wrong_is_refused_with_the_whole_list(box: Box) -> None:
    wrong = snom(release=[{"proof": "label"}, {"networks": ["x"]}])
    with pytest.raises(Refused) as refusal:
        box.site.apply_phones([wrong, yealink(release=[{"mode": "always"}])], False, True, "test")
    told = [str(fault) for fault in refusal.value.faults]
    assert "phones[0] (00:04:13:96:D9:B4).release[1].networks[0]" in told[0]
    assert "phones[1] (80-5e-0c-4d-79-6d).release[0].mode" in told[1]


def test_credentials_that_nobody_knows_are_refused(box: Box) -> None:
    box.site.apply_settings({"release": {"rules": [{"vendor": "snom", "proof": "credentials"}]}}, False, "test")
    unknown = snom(provisioning_password=None)
    with pytest.raises(Refused) as refusal:
        box.site.apply_phones([unknown], False, False, "test")
    assert refusal.value.faults[0].where.endswith(".provisioning_password")
    box.site.apply_phones([snom()], False, False, "test")
    box.site.apply_phones([unknown | {"name": "Door"}], False, False, "test")  # it holds what it was given before


def test_terms_hold_from_the_next_arming_and_are_shown(box: Box) -> None:
    box.site.apply_phones([yealink()], False, False, "test")
    change = {"release": {"rules": [{"proof": "neighbour", "networks": ["198.18.0.0/24"], "on_theft": "revoke"}]}}
    changed, difference, settings = box.site.apply_settings(change, False, "test")
    assert changed
    assert "what waits keeps those it was armed under" in difference.after
    assert settings.model_dump(mode="json")["release"]["rules"] == change["release"]["rules"], "no empty fields"
    assert box.site.apply_settings(change, False, "test")[0] is False

    shown = next(grant for grant in box.overview.why(YEALINK)["grants"] if grant["audience"] == "phone")
    assert (shown["mode"], shown["proof"], shown["networks"], shown["on_theft"]) == ("window", "address", [], "report")
    box.site.revoke([Selection(YEALINK)], False, "anna")
    box.site.arm([Selection(YEALINK)], False, False, "anna")
    own = [grant for grant in box.overview.phone(YEALINK)["grants"] if grant["audience"] == "phone"]
    for shown in own:
        assert (shown["proof"], shown["networks"], shown["on_theft"]) == ("neighbour", ["198.18.0.0/24"], "revoke")


def test_the_rules_of_a_phone_are_kept_and_shown_in_its_difference(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    with_rules = snom(release=[{"secret_class": "sip", "window_seconds": 3600}])
    result = box.site.apply_phones([with_rules], False, False, "test")
    assert result.updated == [SNOM]
    assert "for what is armed from now on" in result.difference.after
    assert box.site.apply_phones([with_rules], False, False, "test").unchanged == 1
    box.site.revoke([Selection(SNOM)], False, "anna")
    box.site.arm([Selection(SNOM)], False, False, "anna")
    shown = {grant["secret_class"]: grant["window_seconds"] for grant in box.overview.phone(SNOM)["grants"]}
    assert shown == {"sip": 3600, "menu": 600, "web": 600, "provisioning": 600}


@pytest.mark.parametrize(
    ("address", "networks", "inside"),
    [
        ("198.18.0.7", ["198.18.0.0/24"], True),
        ("198.18.1.7", ["198.18.0.0/24"], False),
        ("198.18.1.7", ["198.18.0.0/24", "198.18.1.0/24"], True),
        ("2001:db8::7", ["198.18.0.0/24", "2001:db8::/64"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("", ["0.0.0.0/0"], False),
        ("token ansible", ["0.0.0.0/0", "::/0"], False),
    ],
)
def test_networks(address: str, networks: list[str], inside: bool) -> None:
    assert is_inside(address, networks) is inside
