#!/bin/busybox sh
# The first program of a guest: loads the modules, lays the root of the tests out, runs them, and switches off.
# Shares of the host, by tag: root (a Python and its packages) and repo, both read-only; out, where results go.
busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /target
$busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

while read -r module parameters; do
  # Words of the parameters are separate arguments.
  insmod "/modules/$module" $parameters || echo "bed: $module could not be loaded"
done < /modules/load

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2" || echo "bed: no share $1"; }
share root /target ro,cache=loose
share repo /target/repo ro,cache=loose
share out /target/out cache=none
for folder in tmp run; do mount -t tmpfs tmpfs /target/$folder; done
for folder in proc sys dev; do mount --rbind /$folder /target/$folder; done
mkdir -p /dev/shm && mount -t tmpfs tmpfs /target/dev/shm
mount -t debugfs debugfs /target/sys/kernel/debug
mount -t cgroup2 cgroup2 /target/sys/fs/cgroup
ifconfig lo 127.0.0.1 up

cd /target || poweroff -f
env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 \
  PYTHONPATH=/repo:/repo/tests PYTHONPYCACHEPREFIX=/out/pycache CI=true \
  chroot /target /usr/bin/python3 -m kernel.guest.run_tests
echo "bed: the tests' Python ended with $?"
poweroff -f
