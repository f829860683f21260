import type { InstanceConfig } from '../instance-contract.ts';

/** AWS refuses more, and `cdk synth` would not notice (EC2: user-data). */
export const USER_DATA_MAX_BYTES = 16 * 1024;

export interface UserDataProps {
  readonly region: string;
  /** Where the broker's bundle was published. */
  readonly bundleBucket: string;
  readonly bundleKey: string;
  /** Lower-case hexadecimal; another file is not started. */
  readonly bundleSha256: string;
  readonly config: InstanceConfig;
}

const UNIT = `[Unit]
Description=Millrace broker
Wants=network-online.target
After=network-online.target

[Service]
# As root, at each start: a request that hangs on a volume must fail before a lease does, and Amazon Linux waits for ever, after a
# reboot again (EBS: timeout-nvme-ebs-volumes). The first is for volumes that are attached from now on, the second for those that are.
ExecStartPre=+-/bin/sh -c 'echo 10 > /sys/module/nvme_core/parameters/io_timeout'
ExecStartPre=+-/bin/sh -c 'echo 10000 | tee /sys/block/nvme[1-9]*n1/queue/io_timeout'
ExecStart=/usr/bin/node-24 /opt/millrace/millrace-broker.mjs agent /etc/millrace/instance.json
User=millrace
SupplementaryGroups=disk
# Reservations are ioctls on the controller, which ask for CAP_SYS_ADMIN.
AmbientCapabilities=CAP_SYS_ADMIN
CapabilityBoundingSet=CAP_SYS_ADMIN
NoNewPrivileges=true
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
StateDirectory=millrace
# Private keys stay in memory.
RuntimeDirectory=millrace
RuntimeDirectoryMode=0700
LimitNOFILE=65536
Restart=on-failure
RestartSec=2
TimeoutStopSec=120
KillMode=mixed

[Install]
WantedBy=multi-user.target
`;

/**
 * The script of an instance's first boot: install Node and nvme-cli, fetch the bundle, verify it, write configuration and unit,
 * start. Every download is tried several times, and a failure leaves the launch hook to time out: the group replaces the
 * instance.
 */
export function userDataScript({
  region,
  bundleBucket,
  bundleKey,
  bundleSha256,
  config,
}: UserDataProps): string {
  return `#!/bin/bash
set -euo pipefail
exec > >(tee -a /var/log/millrace-boot.log) 2>&1
try() { for n in 1 2 3 4 5; do "$@" && return 0; sleep $((n * 2)); done; echo "gave up: $*"; return 1; }
try dnf install -y -q nodejs24 nvme-cli
id millrace >/dev/null 2>&1 || useradd --system --no-create-home --shell /sbin/nologin millrace
mkdir -p /opt/millrace /etc/millrace
try aws s3 cp --no-progress --region ${region} s3://${bundleBucket}/${bundleKey} /opt/millrace/millrace-broker.mjs
echo "${bundleSha256}  /opt/millrace/millrace-broker.mjs" | sha256sum --check --strict
cat > /etc/millrace/instance.json <<'MILLRACE'
${JSON.stringify(config)}
MILLRACE
cat > /etc/systemd/system/millrace.service <<'MILLRACE'
${UNIT}MILLRACE
systemctl daemon-reload
systemctl enable --now millrace
`;
}
