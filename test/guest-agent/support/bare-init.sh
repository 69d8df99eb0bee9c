#!/bin/sh
# PID 1 of the namespaces of a bare guest agent: makes a small computer out of nothing, with this machine's /usr to run
# and none of its files to harm, and then runs the agent in it and reaps what it leaves behind.
# Usage: bare-init.sh ROOT ENVD [OPTION...]; ROOT is an empty directory on a file system with extended attributes.
set -eu

root=$1
envd=$2
shift 2

file() { # file PATH: copies standard input there
  mkdir -p "$(dirname "$root$1")"
  cat >"$root$1"
}

mount --bind "$root" "$root"
cd "$root"
mkdir -p etc home root tmp var/tmp run proc sys dev usr opt srv mnt .old
mount --rbind /usr usr
mount -o remount,bind,ro usr
for link in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$link"; fi
done
mount -t tmpfs -o mode=755 tmpfs usr/local/bin
: >usr/local/bin/envd
mount --bind "$envd" usr/local/bin/envd

# Programs of Debian's have names that lead through here.
cp -a /etc/alternatives etc/
file /etc/passwd <<'PASSWD'
root:x:0:0:root:/root:/bin/bash
user:x:1000:1000:user:/home/user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
file /etc/group <<'GROUP'
root:x:0:
adm:x:4:user
user:x:1000:
nogroup:x:65534:
GROUP
echo "127.0.0.1 localhost" | file /etc/hosts
echo bare | file /etc/hostname
mkdir home/user
# Without root outside there is one user only.
chown 1000:1000 home/user 2>/dev/null || true
chmod 755 .
chmod 700 root

mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
chmod 1777 var/tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
  : >"dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t proc proc proc
for setting in sys sysrq-trigger; do # of the whole machine
  [ -e "proc/$setting" ] || continue
  mount --bind "proc/$setting" "proc/$setting"
  mount -o remount,bind,ro "proc/$setting"
done
mount -t sysfs -o ro sysfs sys

pivot_root . .old
umount -l /.old
rmdir /.old
cd /
hostname bare
ip link set lo up

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LOGNAME=root
# A shell has its background jobs ignore two signals; what the agent starts must not.
env --default-signal=INT,QUIT /usr/local/bin/envd "$@" &
agent=$!
trap 'kill -TERM "$agent"' TERM
code=0
wait "$agent" || code=$?
# A signal ends the first wait early.
if kill -0 "$agent" 2>/dev/null; then wait "$agent" || code=$?; fi
exit "$code"
