#!/bin/sh
# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The first process of a machine of the demo: turns fresh mount, PID, UTS and IPC namespaces into a host of its own whose
# file system is a copy-on-write view of this one, then supervises the services a playbook installs in /etc/service.
# Everything written lives in a tmpfs inside the mount namespace, and vanishes with it.
#
# usage: boot-machine.sh DIRECTORY NAME [SEEN...]
#   DIRECTORY  an empty one to mount on; seen by nobody else
#   SEEN       folders of this host that stay visible where the machine has fresh ones, such as a checkout below /tmp
set -eu
base=$1
name=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=0755 machine "$base"

# One layer over the root, and one over each further file system of this host that holds part of the system.
layer() {
    mkdir -p "$base/layers$1/upper" "$base/layers$1/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$base/layers$1/upper,workdir=$base/layers$1/work" machine "$base/root$2"
}
mkdir "$base/root"
layer / ""
for directory in /usr /usr/local /var /var/lib /etc /opt /srv /home /root; do
    if mountpoint -q "$directory"; then layer "$directory" "$directory"; fi
done

cd "$base/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=0755 dev dev
mount -t tmpfs -o mode=0755 run run
mount -t tmpfs -o mode=1777 tmp tmp
for seen in "$@"; do
    mkdir -p "./$seen"
    mount --bind "$seen" "./$seen"
done
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm run/lock
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

# A machine fresh from its installer: Debian's packages, and nothing of what this host does with them.
rm -rf etc/service opt/autoprov etc/autoprov var/lib/autoprov var/log/autoprov var/lib/kea root/.ansible
mkdir etc/service
install -d -o _kea -g _kea -m 0750 var/lib/kea 2>/dev/null || true
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >etc/hosts.new
mv etc/hosts.new etc/hosts
rm -f etc/resolv.conf
: >etc/resolv.conf
hostname "$name"
printf '%s\n' "$name" >etc/hostname

mkdir run/.host
pivot_root . run/.host
cd /
umount -l /run/.host
rmdir /run/.host

# runsvdir looks for new services every five seconds, and whenever a child ends: half a second is more like systemd.
while sleep 0.5; do kill -CHLD 1; done &
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 runsvdir /etc/service
