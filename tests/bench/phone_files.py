# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones ask, against nginx sending the same bytes: 5,000 locked phones, 8 KiB each.

Both servers have one process; wrk asks for random phones over 32 connections, once keeping them alive and once
closing each after one answer, as many phones do. The rounds of the two servers take turns, so that a slow moment of
the machine meets both; the medians are compared. nginx is set up as distributions ship it, with sendfile and without
a cache of open files, which makes it another fifth faster.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from tests.bench.service import Service, free_port, phone

PHONES = 5000
KEYS = 62
ROUNDS = 7
SECONDS = 3
AIM = 0.55

_SCRIPT = """
local macs = {}
for line in io.lines("%(macs)s") do macs[#macs + 1] = line end
math.randomseed(%(seed)d)
local function spelled(mac) return (mac:gsub("%%x%%x", "%%0:"):sub(1, -2)) end
request = function()
  local mac = macs[math.random(#macs)]
  wrk.headers["User-Agent"] = "Yealink SIP-T58W 150.86.0.15 " .. spelled(mac)
  return wrk.format("GET", "/" .. mac .. ".cfg")
end
"""

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type text/plain;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port} backlog=2048; root {folder}/files; }}
}}
"""


def run() -> None:
    """Measure and print."""
    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing; run make setup as root")
    with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        service = Service(folder, free_port())
        service.prepare()
        with service.running():
            service.put_phones([phone(index, KEYS) for index in range(PHONES)])
        _release_everything(service.database)
        with service.running():
            _measure(folder, service)


def _release_everything(database: Path) -> None:
    # As after a day of provisioning: every grant released to the address the phones of this benchmark have.
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE grants SET state = 'released', claimant = 'address:127.0.0.1', claimed_from = '127.0.0.1',"
            " releases = 1, released_at = ?, expires_at = ?",
            (time.time() - 86400, time.time() - 86000),
        )


def _measure(folder: Path, service: Service) -> None:
    macs = [phone(index, 0)["mac"] for index in range(PHONES)]
    (folder / "macs").write_text("\n".join(macs) + "\n")
    size = _copy_files(folder, service.port, macs)
    nginx_port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=nginx_port))
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        time.sleep(1)
        print(f"\nphone files: {PHONES} locked phones, {size} bytes each, one process each, {ROUNDS} rounds in turn")
        print(f"{'':14}{'nginx/s':>10}{'autoprovd/s':>13}{'ratio':>8}   aim")
        for label, headers in (("keep-alive", []), ("closing", ["-H", "Connection: close"])):
            rates: dict[int, list[float]] = {nginx_port: [], service.port: []}
            for number in range(ROUNDS):
                for port, found in rates.items():
                    found.append(_wrk(folder, port, number, headers))
            base, own = statistics.median(rates[nginx_port]), statistics.median(rates[service.port])
            aim = f">= {AIM}" if label == "keep-alive" else ""
            print(f"{label:14}{base:10.0f}{own:13.0f}{own / base:8.2f}   {aim}")
    finally:
        nginx.terminate()
        nginx.wait(10)


def _copy_files(folder: Path, port: int, macs: list[str]) -> int:
    """Let nginx serve what the service answers; the size of a file."""
    (folder / "files").mkdir()
    sizes = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for mac in macs:
            spelled = ":".join(re.findall("..", mac))
            answer = client.get(f"/{mac}.cfg", headers={"user-agent": f"Yealink SIP-T58W 150.86.0.15 {spelled}"})
            answer.raise_for_status()
            if "password" in answer.text:
                raise SystemExit("a phone that should be locked was given a password")
            (folder / "files" / f"{mac}.cfg").write_bytes(answer.content)
            sizes.append(len(answer.content))
    return int(statistics.median(sizes))


def _wrk(folder: Path, port: int, seed: int, headers: list[str]) -> float:
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT % {"macs": folder / "macs", "seed": seed})
    command = ["wrk", "-t1", "-c32", f"-d{SECONDS}s", *headers, "-s", str(script), f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told:
        raise SystemExit(f"not every answer was a file:\n{told}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None:
        raise SystemExit(f"wrk told nothing:\n{told}")
    return float(found[1])
