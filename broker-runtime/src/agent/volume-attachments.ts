import { MillraceError, messageOf } from '../base/errors.ts';
import { CloudError, type CloudVolume, type CloudVolumes, type VolumeDevices } from '../ports/cloud.ts';
import type { Env } from '../ports/env.ts';

/** A volume that this instance needs did not become a device of it. */
export class VolumeNotAttachedError extends MillraceError {
  readonly code = 'VOLUME_NOT_ATTACHED';
}

export interface VolumeAttachmentsParts {
  readonly env: Env;
  readonly volumes: CloudVolumes;
  readonly devices: VolumeDevices;
  readonly cluster: string;
  readonly zone: string;
  readonly instanceId: string;
  /** From the call to the device; hot attach took more than 30 s where it was measured. */
  readonly patienceMs: number;
  readonly signal?: AbortSignal;
}

/** EBS: Multi-Attach. */
const ATTACHMENTS_MAX = 16;
/** What an instance stands by for comes with its own volume, or a failover has to do without it. */
const STANDBY_PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 500;
/** EBS: names for data volumes. */
const DEVICE_NAMES = Array.from(
  { length: ATTACHMENTS_MAX },
  (_, n) => `/dev/sd${String.fromCharCode(0x66 + n)}`,
);

/**
 * Attaches every WAL volume of the zone ahead of time: its own, and those this instance stands by for, so that a failover never
 * waits for an attach. The kernel names devices as it likes; they are found by serial.
 *
 * Its own must come; one it stands by for may not, and is left out with a warning.
 * @returns paths by node id
 * @throws {VolumeNotAttachedError} its own volume is missing, or did not come in time
 */
export async function attachVolumes(
  parts: VolumeAttachmentsParts,
  ownNodeId: number,
): Promise<Record<string, string>> {
  const { env, volumes, cluster, zone, instanceId } = parts;
  const found = await volumes.list(cluster, zone);
  const own = found.find(({ nodeId }) => nodeId === ownNodeId);
  if (own === undefined) {
    throw new VolumeNotAttachedError(
      `no volume in ${zone} has the tags of cluster ${cluster} and node ${ownNodeId}; found are those of nodes ` +
        `${found.map(({ nodeId }) => nodeId).join(', ') || 'none'}: deploy the storage stack with this slot`,
    );
  }
  const byNodeId = [own, ...found.filter((volume) => volume !== own)].slice(0, ATTACHMENTS_MAX);
  const devices: Record<string, string> = {};
  const names = freeDeviceNames(found, instanceId);
  await Promise.all(
    byNodeId.map(async (volume, at) => {
      try {
        const patienceMs =
          volume === own ? parts.patienceMs : Math.min(parts.patienceMs, STANDBY_PATIENCE_MS);
        devices[volume.nodeId] = await attach({ ...parts, patienceMs }, volume, names[at] ?? '');
      } catch (error) {
        if (volume === own) throw error;
        env.events.warn('agent.standby-volume-missing', {
          nodeId: volume.nodeId,
          volumeId: volume.volumeId,
          reason: messageOf(error),
        });
      }
    }),
  );
  return devices;
}

async function attach(parts: VolumeAttachmentsParts, volume: CloudVolume, name: string): Promise<string> {
  const { env, volumes, devices, cluster, zone, instanceId, patienceMs, signal } = parts;
  const untilMs = env.clock.monotonicMs() + patienceMs;
  let isAsked = stateOn(volume, instanceId) !== undefined;
  let last = 'not asked yet';
  while (env.clock.monotonicMs() < untilMs) {
    try {
      const refused = isAsked
        ? undefined
        : await refusalOf(volumes.attach(volume.volumeId, instanceId, name));
      const now = (await volumes.list(cluster, zone)).find(({ volumeId }) => volumeId === volume.volumeId);
      const state = now === undefined ? 'gone' : (stateOn(now, instanceId) ?? 'detached');
      const device = await devices.find(volume.volumeId);
      if (state === 'attached' && device !== undefined) return device;
      // Refused because it is ours: the answer to an earlier request was lost. Else somebody took it away again, or it was on its
      // way out when we looked.
      isAsked = state !== 'detached' && state !== 'gone';
      if (!isAsked && refused !== undefined) throw refused;
      last = `the volume is ${state}, the kernel shows ${device ?? 'no device'}`;
    } catch (error) {
      // What is in a wrong state now, or throttled for longer than the SDK tries, is no reason to give the instance up.
      if (!(error instanceof CloudError) || error.code === 'DENIED') throw error;
      last = error.message;
    }
    await env.clock.sleep(LOOK_AGAIN_MS, signal);
  }
  throw new VolumeNotAttachedError(
    `${volume.volumeId} of node ${volume.nodeId} did not become a device of ${instanceId} within ${patienceMs} ms: ${last}`,
  );
}

/** Why a request was refused, or may have been; undefined: it was not. */
function refusalOf(request: Promise<void>): Promise<CloudError | undefined> {
  return request.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof CloudError) return error;
      throw error;
    },
  );
}

function stateOn(volume: CloudVolume, instanceId: string): string | undefined {
  const attachment = volume.attachments.find((one) => one.instanceId === instanceId);
  return attachment?.state === 'detached' ? undefined : attachment?.state;
}

/** Names that no volume on this instance has; a restart in place finds its volumes attached. */
function freeDeviceNames(volumes: readonly CloudVolume[], instanceId: string): string[] {
  const taken = new Set(
    volumes.flatMap(({ attachments }) =>
      attachments.filter((one) => one.instanceId === instanceId).map((one) => one.deviceName),
    ),
  );
  return DEVICE_NAMES.filter((name) => !taken.has(name));
}
