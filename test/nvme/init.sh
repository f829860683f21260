#!/bin/sh
# The guest's first process: makes one NVMe namespace that several hosts are attached to, and runs the tests.
# Until these start, any failure ends the guest without an exit status.
set -e; trap 'reboot -f' EXIT
export PATH=/usr/bin HOME=/root
mount -t devtmpfs dev /dev; exec >/dev/console 2>&1 # to the kernel log
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
ip link set lo up

# The namespace: a RAM disk behind a delay that is 0 at first, exported by the kernel's NVMe target with
# reservations on.
size_mib=64
for module in $(cat /modules/order); do
  [ $module = brd ] && opts="rd_nr=1 rd_size=$((size_mib * 1024))" || opts=
  insmod /modules/$module.ko $opts
done
dmsetup create disk --table "0 $((size_mib * 2048)) delay /dev/ram0 0 0"
mount -t configfs configfs /sys/kernel/config
nqn=nqn.2014-08.org.example:millrace
subsystem=/sys/kernel/config/nvmet/subsystems/$nqn; port=/sys/kernel/config/nvmet/ports/1
mkdir $subsystem; echo 1 >$subsystem/attr_allow_any_host
mkdir $subsystem/namespaces/1
echo -n /dev/dm-0 >$subsystem/namespaces/1/device_path
echo 1 >$subsystem/namespaces/1/resv_enable
echo 1 >$subsystem/namespaces/1/enable
mkdir $port; echo loop >$port/addr_trtype; ln -s $subsystem $port/subsystems/

# The hosts: a controller each, with its own host NQN and identifier. nvme_core.multipath=N keeps their block devices
# apart instead of joining them into one with two paths.
i=0
for name in A B; do
  id=00000000-0000-4000-8000-00000000000$((i + 1))
  echo -n "transport=loop,nqn=$nqn,hostnqn=nqn.2014-08.org.nvmexpress:uuid:$id,hostid=$id" >/dev/nvme-fabrics
  tries=0; until [ -b /dev/nvme${i}n1 ]; do [ $((tries += 1)) -lt 500 ]; usleep 10000; done
  export NVME_$name=/dev/nvme${i}n1
  i=$((i + 1))
done

# Output and exit status leave by two virtio serial ports. Processes that are left behind end with the guest. The
# warning is of kafkajs, which sets timers to the past.
cd /job
mkfifo /output; cat /output >/dev/vport0p1 &
reader=$! status=0
node --disable-warning=TimeoutNegativeWarning main.mjs </dev/null >/output 2>&1 || status=$?
for pid in $(cd /proc; echo [0-9]*); do
  case $pid in 1 | $reader) ;; *) kill -9 $pid 2>/dev/null || true ;; esac
done
wait $reader
echo $status >/dev/vport0p2
