#!/bin/sh
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes the key with which the service seals passwords, once: as an encrypted credential of systemd where that works
# (bound to this host, and to its TPM where there is one), else as a file that the service's user alone can read.
#
# Says "made" when it made one.
# usage: sealing-key.sh PROGRAM FOLDER USER SUPERVISOR
set -eu
umask 077
program=$1 folder=$2 user=$3 supervisor=$4

# Whether a service gets its credential here: with a container's mounts, or an old systemd, it may not.
credential_reaches_a_service() {
    # shellcheck disable=SC2016 # The service's shell expands it.
    systemd-run --quiet --wait --collect --property=User="$user" \
        --property=LoadCredentialEncrypted=autoprov-sealing-key:"$1" \
        sh -c 'test -s "$CREDENTIALS_DIRECTORY/autoprov-sealing-key"' >/dev/null 2>&1
}

if [ ! -e "$folder/sealing.key" ] && [ ! -e "$folder/sealing.cred" ]; then
    key=$folder/sealing.key.new credential=$folder/sealing.cred.new
    rm -f "$key" "$credential" # of an attempt that was broken off
    "$program" generate-key "$key"
    if [ "$supervisor" = systemd ] && command -v systemd-creds >/dev/null 2>&1 &&
        systemd-creds encrypt --name=autoprov-sealing-key "$key" "$credential" >/dev/null 2>&1 &&
        credential_reaches_a_service "$credential"; then
        mv "$credential" "$folder/sealing.cred"
        rm -f "$key"
    else
        rm -f "$credential"
        chown "$user:$user" "$key"
        mv "$key" "$folder/sealing.key"
    fi
    echo made
fi
