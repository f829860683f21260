#!/bin/sh
# write-delay MS: from now on every write waits MS milliseconds in the disk before it takes effect.
set -e
dmsetup suspend disk # waits for writes under way
dmsetup reload disk --table "0 $(blockdev --getsz /dev/ram0) delay /dev/ram0 0 0 /dev/ram0 0 ${1:?milliseconds}"
dmsetup resume disk
