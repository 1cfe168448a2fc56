# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kea_option.py CODE: print what the running Kea gives everybody as that option, asked on its control socket."""

import json
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.settimeout(10)
    connection.connect("/run/kea/kea4-ctrl-socket")
    connection.sendall(b'{"command": "config-get"}')
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk

options = json.loads(answer)["arguments"]["Dhcp4"]["option-data"]
for option in options:
    if option["code"] == int(sys.argv[1]):
        # Kea shows data that was not given in its CSV form as hexadecimal digits.
        print(option["data"] if option["csv-format"] else bytes.fromhex(option["data"]).decode())
