#!/bin/bash
# The first boot of one instance, by the user data that a template gives it: `unshare --mount --pid --fork` runs this as the
# first process of a machine whose /etc, /opt, /usr/bin and /var are its own, and gone with it.
#
#   boot.sh USER_DATA      MILLRACE_NODE  a Node 24, "installed" by dnf
#                          MILLRACE_ASSETS  the folder cdk synth wrote, in place of the bucket of assets
#                          MILLRACE_UNIT_ENV  NAME=VALUE ..., where the metadata service and AWS are
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mount --make-rprivate /
disk=$(mktemp -d)
mount -t tmpfs disk "$disk"
for at in etc opt usr/bin var; do
  mkdir -p "$disk/$at/upper" "$disk/$at/work"
  mount -t overlay overlay -o "lowerdir=/$at,upperdir=$disk/$at/upper,workdir=$disk/$at/work" "/$at"
done
PATH="$here/bin:$PATH" bash "$1"
# As init: until power is lost, or the unit has ended.
while [ -d "/proc/$(cat /var/unit.pid)" ]; do sleep 0.2; done
