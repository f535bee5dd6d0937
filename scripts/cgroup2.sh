#!/usr/bin/env bash
# The sandbox's tests on a kernel whose control groups are of version 2, for machines that have version 1:
# Debian's kernel in an emulated machine that sees this one's files, read-only. Takes about twenty
# minutes without hardware support, as root on Debian; ends with 0 when all passed.
# Usage: scripts/cgroup2.sh [TEST-NAME-PART...]
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/target/cgroup2
tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    tests=(sandbox::attacks::attacks_fail_on_the_strongest_tier sandbox::limits:: sandbox::leftovers:: sandbox::tiers:: sandbox::semantics::)
fi

packages=()
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
command -v busybox >/dev/null || packages+=(busybox-static)
command -v modprobe >/dev/null || packages+=(kmod)
command -v cpio >/dev/null || packages+=(cpio)
if [ ${#packages[@]} -gt 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# The kernel is unpacked, not installed.
mkdir -p "$work"
if ! compgen -G "$work/kernel/boot/vmlinuz-*" >/dev/null; then
    package=$(apt-cache depends linux-image-amd64 | grep -o 'linux-image-[0-9][^ ]*' | head -1)
    (cd "$work" && apt-get download -qq "$package" && dpkg -x "$package"_*.deb kernel && rm -f "$package"_*.deb)
fi
kernel=$(compgen -G "$work/kernel/boot/vmlinuz-*" | head -1)
version=${kernel##*/vmlinuz-}
depmod -b "$work/kernel" "$version"

cargo build --workspace --all-targets --locked --features conformance-fixtures
program=$(cargo test --workspace --locked --features conformance-fixtures --test it --no-run --message-format json 2>/dev/null |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["src_path"] == sys.argv[1]:
        print(message["executable"])
' "$root/tests/it/main.rs")
[ -x "$program" ] || { echo "error: the tests were not built" >&2; exit 1; }

# What the machine starts with: the modules that reach this one's files, and what to do.
inside=$work/inside
rm -rf "$inside"
mkdir -p "$inside"/{bin,modules,host,new,room,proc,sys,dev}
cp "$(command -v busybox)" "$inside/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p overlay virtio_rng; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$inside/modules/"
    basename "$file" >>"$inside/modules/order"
done
cat >"$inside/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read module; do insmod "/modules/$module"; done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host || poweroff -f
mount -t tmpfs -o size=1500m room /room
mkdir /room/upper /room/work
mount -t overlay -o lowerdir=/host,upperdir=/room/upper,workdir=/room/work new /new || poweroff -f
mount -t proc proc /new/proc
mount -t sysfs sys /new/sys
mount --bind /dev /new/dev
mkdir -p /new/dev/shm /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t devpts pts /new/dev/pts
mount -t tmpfs -o mode=1777 tmp /new/tmp
mount -t cgroup2 groups /new/sys/fs/cgroup
ifconfig lo 127.0.0.1 up
cp /job.sh /new/job.sh
exec switch_root /new /bin/bash /job.sh
INIT
chmod +x "$inside/init"
cat >"$inside/job.sh" <<JOB
exec >/dev/console 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root RUST_BACKTRACE=0
cd /tmp
result=passed
for name in ${tests[*]}; do
    # One at a time: an emulated machine is slow, and the tests have limits.
    "$program" "\$name" --test-threads 1 | tee /tmp/told
    # A name that fits no test proves nothing.
    grep -q 'test result: ok. [1-9]' /tmp/told || result=failed
done
left=\$(find /sys/fs/cgroup -type d -name 'atelier-*')
if [ -n "\$left" ]; then echo "left behind: \$left"; result=failed; fi
echo "control groups of version 2: \$result"
echo o >/proc/sysrq-trigger
sleep 10
JOB
(cd "$inside" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs"

qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 3072 -smp 2 -nographic -no-reboot -net none \
    -kernel "$kernel" -initrd "$work/initramfs" -append 'console=ttyS0 quiet panic=-1' \
    -virtfs local,path=/,mount_tag=host,security_model=passthrough,readonly=on,id=host,multidevs=remap \
    | tee "$work/log"
grep -q '^control groups of version 2: passed' "$work/log"
