# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""A change that takes itself back unless a second connection confirms it: the commit-confirm of network appliances.

What runs is changed at once; what lasts is written when the change is confirmed, so a reboot in between takes it back
too. The timer is a process of its own. It needs neither Ansible nor this module, which may be gone by then: all it does
is written down as steps, beside its token, before anything is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import typing as t
from dataclasses import asdict

from . import steps
from .errors import FirewallError
from .steps import Step

DIRECTORY = "/run/autoprov-firewall"
CONFIRMED, TAKEN_BACK, WAITING = "confirmed", "taken back", "waiting"
_START_TIMEOUT = 20.0  # seconds until a timer must run
_GRACE = 5.0  # seconds by which a timer may be late
_TOKEN = re.compile(r"^[0-9a-f]{16}$")


@contextlib.contextmanager
def locked(timeout: float = 60.0) -> t.Iterator[None]:
    """One change at a time: hold an exclusive flock, which ends with this process. Raises FirewallError."""
    path = "/run/lock/autoprov-firewall"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise FirewallError(
            "the lock %s cannot be taken: %s; run as root (become: true)" % (path, exc.strerror)
        ) from exc
    try:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise FirewallError(
                        "another run has held the lock %s for %d seconds; wait for it, or end it" % (path, timeout)
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def do(wanted: t.Sequence[Step]) -> None:
    """Do the steps in this order. Raises FirewallError with every fault; later steps are done all the same."""
    faults = steps.do_steps([asdict(step) for step in wanted])
    if faults:
        raise FirewallError(*faults)


def pending() -> t.Optional[float]:
    """How many seconds it may take until an earlier change is confirmed or taken back; None when none waits.

    A change whose timer is not there any more is taken back here. Under the lock.
    """
    for folder in _folders():
        waiting, working = (os.path.join(folder, name) for name in ("undo.json", "undoing.json"))
        if os.path.exists(os.path.join(folder, "undone.json")) or not (
            os.path.exists(waiting) or os.path.exists(working)
        ):
            continue
        with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, "until.json")) as stream:
            left = float(stream.read()) - time.clock_gettime(time.CLOCK_BOOTTIME)
            if left + _GRACE > 0 or (os.path.exists(working) and left + steps.COMMAND_TIMEOUT > 0):
                return max(left, 0.0)
        with contextlib.suppress(FileNotFoundError):
            if os.path.exists(waiting):
                os.rename(waiting, working)
            do(_load(working))
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _folders() -> t.List[str]:
    try:
        return [os.path.join(DIRECTORY, name) for name in sorted(os.listdir(DIRECTORY)) if _TOKEN.match(name)]
    except FileNotFoundError:
        return []


def arm(undo: t.Sequence[Step], lasting: t.Sequence[Step], seconds: float, token: t.Optional[str] = None) -> str:
    """Start the timer, and see that it runs. Returns the token that confirms: the one given, or a new one."""
    token = token or secrets.token_hex(8)
    folder = _folder(token)
    try:
        os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
        _forget()
        os.mkdir(folder, mode=0o700)
        for name, wanted in (("lasting", lasting), ("undo", undo)):
            with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as stream:
                json.dump([asdict(step) for step in wanted], stream)
                stream.flush()
                os.fsync(stream.fileno())
        with open(os.path.join(folder, "until.json"), "w", encoding="utf-8") as stream:
            stream.write("%f" % (time.clock_gettime(time.CLOCK_BOOTTIME) + seconds))
        command = [sys.executable, "-I", "-c", inspect.getsource(steps), folder, str(seconds)]
        if os.path.isdir("/run/systemd/system") and shutil.which("systemd-run", path=steps.SEARCH_PATH):
            # Out of the session of the login, which may end with it.
            command = ["systemd-run", "--quiet", "--collect", "--unit=autoprov-firewall-%s" % token, *command]
            subprocess.run(command, check=True, capture_output=True, timeout=steps.COMMAND_TIMEOUT, env=_environment())
        else:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        _wait_for_timer(folder)
    except (OSError, subprocess.SubprocessError) as exc:
        if not isinstance(exc, FileExistsError):
            shutil.rmtree(folder, ignore_errors=True)  # a timer that comes late finds nothing to do
        raise FirewallError(
            "the timer that takes the change back cannot be started, so nothing was changed: %s" % exc
        ) from exc
    return token


def _forget() -> None:
    """Remove what is left of changes that were decided an hour ago."""
    for folder in _folders():
        for name in ("confirmed.json", "undone.json"):
            with contextlib.suppress(OSError):
                if os.stat(os.path.join(folder, name)).st_mtime < time.time() - 3600:
                    shutil.rmtree(folder, ignore_errors=True)


def _wait_for_timer(folder: str) -> None:
    end = time.monotonic() + _START_TIMEOUT
    while not os.path.exists(os.path.join(folder, "running.json")):
        if time.monotonic() > end:
            raise OSError("it does not run after %d seconds" % _START_TIMEOUT)
        time.sleep(0.01)


def take_back(token: str) -> None:
    """Do what the timer would do, now. Raises FirewallError."""
    folder = _claim(token)
    do(_load(os.path.join(folder, "claimed.json")))
    shutil.rmtree(folder, ignore_errors=True)


def confirm(token: str) -> None:
    """Keep the change: write what lasts, and end the timer. Raises FirewallError when it was taken back meanwhile."""
    folder = _claim(token)
    try:
        do(_load(os.path.join(folder, "lasting.json")))
    except FirewallError as exc:
        with contextlib.suppress(FirewallError):
            do(_load(os.path.join(folder, "claimed.json")))
        shutil.rmtree(folder, ignore_errors=True)
        raise FirewallError(*exc.faults, "the change could not be made to last, so it was taken back") from exc
    # Left for whoever did not hear of it, because the connection broke.
    with contextlib.suppress(OSError):
        os.rename(os.path.join(folder, "claimed.json"), os.path.join(folder, "confirmed.json"))


def wait_until_taken_back(token: str, seconds: float) -> t.Optional[t.List[str]]:
    """The timer's faults (none is good) once it has taken the change back; None when it has not within that time."""
    path = os.path.join(_folder(token), "undone.json")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                return t.cast("t.List[str]", json.load(stream))
        time.sleep(0.1)
    return None


def overtaken(token: str) -> bool:
    """Whether the timer came before the change was made."""
    return not os.path.exists(os.path.join(_folder(token), "undo.json"))


def fate(token: str, seconds: float) -> t.Tuple[str, t.List[str]]:
    """What became of a change, waiting for it up to `seconds`, and what was at fault when it was taken back.

    CONFIRMED, TAKEN_BACK (or never made, which is the same: the firewall is as it was), or WAITING.
    """
    if not os.path.isdir(_folder(token)):
        return TAKEN_BACK, []
    if os.path.exists(os.path.join(_folder(token), "confirmed.json")):
        return CONFIRMED, []
    faults = wait_until_taken_back(token, seconds)
    return (WAITING, []) if faults is None else (TAKEN_BACK, faults)


def _folder(token: str) -> str:
    if not _TOKEN.match(token):
        raise FirewallError("%s is no token of a change" % token)
    return os.path.join(DIRECTORY, token)


def _claim(token: str) -> str:
    """Take the change from the timer. Whoever renames the file first decides."""
    folder = _folder(token)
    try:
        os.rename(os.path.join(folder, "undo.json"), os.path.join(folder, "claimed.json"))
    except FileNotFoundError:
        raise FirewallError(
            "the change was not confirmed in time and has been taken back; the firewall is as it was"
        ) from None
    return folder


def _load(path: str) -> t.List[Step]:
    with open(path, encoding="utf-8") as stream:
        return [Step(**item) for item in json.load(stream)]


def _environment() -> t.Dict[str, str]:
    return dict(os.environ, PATH=steps.SEARCH_PATH, LC_ALL="C")
