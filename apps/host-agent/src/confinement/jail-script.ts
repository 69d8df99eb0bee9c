import { handoverName } from "./handover.ts";

/**
 * Makes the inside of a {@link Jail}, in a mount namespace of its own; then says so and waits for the end of its
 * input. `$1` is the directory of the host that it shows, or empty. `/tmp` serves as a mount point only because every host has it: the mount is seen by nobody else.
 *
 * The old root is put on top of the new one and taken off again: https://man7.org/linux/man-pages/man2/pivot_root.2.html
 * Options of /proc: https://docs.kernel.org/filesystems/proc.html#mount-options (per mount since Linux 5.8).
 */
export const jailScript = `
PATH=/usr/sbin:/usr/bin:/sbin:/bin
options=nosuid,noexec,size=64k,mode=755
mount --make-rprivate /
# Opened here: it may be below /tmp.
if [ -n "$1" ]; then exec 3< "$1"; fi
mount -t tmpfs -o "$options" jail /tmp
cd /tmp
mkdir usr dev dev/net etc proc

read_only() {
  mount --bind "/$1" "$1"
  mount -o "remount,bind,ro,nosuid,nodev$2" "$1"
}
read_only usr ""
# Links into /usr on a merged system, directories of their own on others.
for dir in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$dir" ]; then
    cp -P "/$dir" "$dir"
  elif [ -d "/$dir" ]; then
    mkdir "$dir"
    read_only "$dir" ""
  fi
done
# Where the dynamic linker finds libraries outside its default directories.
if [ -f /etc/ld.so.cache ]; then
  : > etc/ld.so.cache
  read_only etc/ld.so.cache ,noexec
fi

if [ -n "$1" ]; then
  mkdir ${handoverName}
  mount -c --bind /proc/self/fd/3 ${handoverName}
  mount -o remount,bind,nosuid,nodev,noexec ${handoverName}
  exec 3<&-
fi

mknod -m 666 dev/null c 1 3
mknod -m 444 dev/urandom c 1 9
# Opening it gives nothing: a device in it must belong to the user.
mknod -m 666 dev/net/tun c 10 200
if [ -c /dev/kvm ]; then mknod -m 666 dev/kvm c 10 232; fi
mount -t proc -o nosuid,nodev,noexec,hidepid=2,subset=pid proc proc

pivot_root . .
umount -l .
mount -o "remount,ro,$options" jail /
echo ready
read -r _ || :
`;
