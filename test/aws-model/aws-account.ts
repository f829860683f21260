import type { LeaveNotice } from '../../broker-runtime/src/ports/cloud.ts';
import type { Clock } from '../../broker-runtime/src/ports/clock.ts';

/** As AWS answers it: the code is the name that the SDK gives the error. */
export class AwsError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = code;
    this.code = code;
  }
}

export interface ModelVolume {
  readonly volumeId: string;
  readonly zone: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly attachments: ModelAttachment[];
}

export interface ModelAttachment {
  readonly instanceId: string;
  readonly deviceName: string;
  readonly askedAtMs: number;
}

export interface ModelInstance {
  readonly instanceId: string;
  readonly zone: string;
  readonly group: string;
  readonly privateIp: string;
  state: 'pending' | 'running' | 'shutting-down' | 'terminated';
  notice: LeaveNotice | undefined;
  isHealthy: boolean;
  /** Transitions that wait for the instance. */
  readonly hooks: Set<string>;
}

/** EBS: Multi-Attach. */
const ATTACHMENTS_MAX = 16;

/**
 * What an account does to volumes, instances and names, as far as instances of a cluster can see it, and what no emulator has:
 * volumes with several attachments, states that take their time, errors of the wrong zone and the wrong moment, throttling.
 *
 *   attaching, then attached after a while; the kernel shows the device later still     EBS: ebs-volumes-multi; API: AttachVolume
 *   InvalidVolume.ZoneMismatch, IncorrectState, VolumeInUse, AttachmentLimitExceeded    EC2: error codes
 *   RequestLimitExceeded                                                                EC2: API throttling
 *   a hook that is completed twice: ValidationError                                     ASG: lifecycle hooks
 *   an instance that is called unhealthy is terminated by its group                     ASG: health checks
 *   DELETE of a record with other values: InvalidChangeBatch                            R53API: ChangeResourceRecordSets
 */
export class AwsAccount {
  readonly volumes = new Map<string, ModelVolume>();
  readonly instances = new Map<string, ModelInstance>();
  readonly records = new Map<string, string>();
  readonly secrets = new Map<string, string>();
  /** All values, by namespace and name. */
  readonly metrics = new Map<string, number[]>();
  /** Names of all calls, as in IAM policies. */
  readonly calls: string[] = [];
  attachMs = 2_000;
  /** After it is attached. */
  deviceMs = 1_000;
  /** Of the private addresses of instances. */
  addressPrefix = '10.60.0.';
  /** So many of the next calls are answered "slow down". */
  throttled = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  addVolume(volumeId: string, zone: string, tags: Readonly<Record<string, string>>): void {
    this.volumes.set(volumeId, { volumeId, zone, tags, attachments: [] });
  }

  /** An instance of a group as it boots: running, and both hooks of the group to come. */
  launch(zone: string, group: string): ModelInstance {
    const number = this.instances.size + 1;
    const instance: ModelInstance = {
      instanceId: `i-${String(number).padStart(17, '0')}`,
      zone,
      group,
      privateIp: `${this.addressPrefix}${number}`,
      state: 'running',
      notice: undefined,
      isHealthy: true,
      hooks: new Set(['millrace-launch']),
    };
    this.instances.set(instance.instanceId, instance);
    return instance;
  }

  /** The group wants it gone: it is told, and its hook waits. */
  terminate(instanceId: string): void {
    const instance = this.#instance(instanceId);
    instance.notice = 'terminating';
    instance.hooks.add('millrace-terminate');
  }

  /** Without a word: what it was attached to is free of it. */
  lose(instanceId: string): void {
    this.#instance(instanceId).state = 'terminated';
    for (const { attachments } of this.volumes.values()) {
      const at = attachments.findIndex((one) => one.instanceId === instanceId);
      if (at >= 0) attachments.splice(at, 1);
    }
  }

  describeVolumes(tags: Readonly<Record<string, string>>, tagKey: string, zone: string): ModelVolume[] {
    this.#call('ec2:DescribeVolumes');
    return [...this.volumes.values()].filter(
      (volume) =>
        volume.zone === zone &&
        tagKey in volume.tags &&
        Object.entries(tags).every(([key, value]) => volume.tags[key] === value),
    );
  }

  attachmentState({ askedAtMs }: ModelAttachment): 'attaching' | 'attached' {
    return this.#clock.monotonicMs() - askedAtMs < this.attachMs ? 'attaching' : 'attached';
  }

  attachVolume(volumeId: string, instanceId: string, deviceName: string): void {
    this.#call('ec2:AttachVolume');
    const volume = this.volumes.get(volumeId);
    if (volume === undefined) throw new AwsError('InvalidVolume.NotFound', `no volume ${volumeId}`);
    const instance = this.#instance(instanceId);
    if (instance.zone !== volume.zone) {
      throw new AwsError('InvalidVolume.ZoneMismatch', `${volumeId} is in ${volume.zone}`);
    }
    if (instance.state !== 'running')
      throw new AwsError('IncorrectState', `${instanceId} is ${instance.state}`);
    if (volume.attachments.some((one) => one.instanceId === instanceId)) {
      throw new AwsError('VolumeInUse', `${volumeId} is attached to ${instanceId}`);
    }
    if (volume.attachments.length >= ATTACHMENTS_MAX) {
      throw new AwsError('AttachmentLimitExceeded', `${volumeId} has ${ATTACHMENTS_MAX} attachments`);
    }
    const isTaken = [...this.volumes.values()].some(({ attachments }) =>
      attachments.some((one) => one.instanceId === instanceId && one.deviceName === deviceName),
    );
    if (isTaken)
      throw new AwsError('InvalidParameterValue', `Attachment point ${deviceName} is already in use`);
    volume.attachments.push({ instanceId, deviceName, askedAtMs: this.#clock.monotonicMs() });
  }

  /** What the kernel of an instance shows. */
  hasDevice(volumeId: string, instanceId: string): boolean {
    const attachment = this.volumes.get(volumeId)?.attachments.find((one) => one.instanceId === instanceId);
    if (attachment === undefined) return false;
    return this.#clock.monotonicMs() - attachment.askedAtMs >= this.attachMs + this.deviceMs;
  }

  describeInstance(instanceId: string): ModelInstance {
    this.#call('ec2:DescribeInstances');
    const instance = this.instances.get(instanceId);
    if (instance === undefined) throw new AwsError('InvalidInstanceID.NotFound', `no instance ${instanceId}`);
    return instance;
  }

  changeRecord(action: string, name: string, address: string): void {
    this.#call('route53:ChangeResourceRecordSets');
    if (action === 'UPSERT') this.records.set(name, address);
    else if (this.records.get(name) === address) this.records.delete(name);
    else throw new AwsError('InvalidChangeBatch', `${name} does not have the value ${address}`);
  }

  completeLifecycleAction(group: string, hook: string, instanceId: string): void {
    this.#call('autoscaling:CompleteLifecycleAction');
    const instance = this.instances.get(instanceId);
    if (instance?.group !== group || !instance.hooks.delete(hook)) {
      throw new AwsError(
        'ValidationError',
        `No active Lifecycle Action found with instance ID ${instanceId}`,
      );
    }
    if (hook === 'millrace-terminate') this.lose(instanceId);
  }

  setInstanceHealth(instanceId: string, status: string): void {
    this.#call('autoscaling:SetInstanceHealth');
    const instance = this.#instance(instanceId);
    instance.isHealthy = status === 'Healthy';
    if (!instance.isHealthy) this.terminate(instanceId);
  }

  putMetric(namespace: string, name: string, value: number): void {
    this.#call('cloudwatch:PutMetricData');
    const key = `${namespace}/${name}`;
    this.metrics.set(key, [...(this.metrics.get(key) ?? []), value]);
  }

  getSecretValue(id: string): string {
    this.#call('secretsmanager:GetSecretValue');
    const text = this.secrets.get(id);
    if (text === undefined) throw new AwsError('ResourceNotFoundException', `no secret ${id}`);
    return text;
  }

  #call(name: string): void {
    this.calls.push(name);
    if (this.throttled === 0) return;
    this.throttled--;
    throw new AwsError('RequestLimitExceeded', 'Request limit exceeded.');
  }

  #instance(instanceId: string): ModelInstance {
    const instance = this.instances.get(instanceId);
    if (instance === undefined) throw new AwsError('InvalidInstanceID.NotFound', `no instance ${instanceId}`);
    return instance;
  }
}
