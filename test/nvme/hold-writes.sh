#!/bin/sh
# hold-writes on|off: the disk takes writes and finishes none until "off", which lets those it has land at once.
set -e
case $1 in
  on) hold_ms=200000 ;; # "for ever"; the kernel would give a write up after nvme_core.io_timeout
  off) hold_ms=0 ;;
esac
dmsetup suspend disk # ends what is delayed
dmsetup reload disk --table "0 $(blockdev --getsz /dev/ram0) delay /dev/ram0 0 0 /dev/ram0 0 ${hold_ms:?on or off}"
dmsetup resume disk
