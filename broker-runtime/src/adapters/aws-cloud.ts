import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  SetInstanceHealthCommand,
} from '@aws-sdk/client-auto-scaling';
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import {
  AttachVolumeCommand,
  DescribeInstancesCommand,
  DescribeVolumesCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ChangeResourceRecordSetsCommand, type ChangeAction, Route53Client } from '@aws-sdk/client-route-53';
import {
  CloudError,
  type CloudErrorCode,
  type CloudVolume,
  type CloudVolumes,
  type Lifecycle,
  type Metrics,
  type Names,
  type Secrets,
} from '../ports/cloud.ts';

export interface AwsOptions {
  readonly region: string;
  /** Of something that behaves like AWS. @default - AWS */
  readonly endpoint?: string;
  /** Of each attempt. @default 10 s */
  readonly requestTimeoutMs?: number;
}

/** The SDK pauses between attempts, longer each time, and longer still when it is throttled. */
const ATTEMPTS = 6;
const CONNECT_TIMEOUT_MS = 3_000;
const REQUEST_TIMEOUT_MS = 10_000;

/** A client that resolves a name again is never further behind than this (Route 53: failover text). */
const NAME_TTL_S = 30;

/** A volume cannot do that in its present state, or only with a delay (EC2: error codes). */
const CONFLICTS: ReadonlySet<string> = new Set(['IncorrectState', 'VolumeInUse', 'IncorrectInstanceState']);

function clientOptions({ region, endpoint, requestTimeoutMs = REQUEST_TIMEOUT_MS }: AwsOptions) {
  return {
    region,
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      // Else the SDK writes a warning and goes on waiting.
      throwOnRequestTimeout: true,
    },
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

async function calling<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw cloudError(what, error);
  }
}

function cloudError(what: string, error: unknown): CloudError {
  const name = nameOf(error);
  const text = error instanceof Error ? error.message : String(error);
  return new CloudError(codeOf(name, error), `${what} failed: ${name}: ${text}`, { cause: error });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}

function codeOf(name: string, error: unknown): CloudErrorCode {
  if (CONFLICTS.has(name)) return 'CONFLICT';
  const status =
    error instanceof Error && '$metadata' in error
      ? (error.$metadata as { httpStatusCode?: number }).httpStatusCode
      : undefined;
  const isThrottled = /RequestLimitExceeded|Throttl|TooManyRequests/.test(name);
  return status !== undefined && status >= 400 && status < 500 && !isThrottled ? 'DENIED' : 'UNAVAILABLE';
}

/** Finds volumes by the tags that the templates put on them. */
export class Ec2Volumes implements CloudVolumes {
  readonly #client: EC2Client;
  readonly #tags: { readonly cluster: string; readonly nodeId: string };

  constructor(options: AwsOptions, tags: { readonly cluster: string; readonly nodeId: string }) {
    this.#client = new EC2Client(clientOptions(options));
    this.#tags = tags;
  }

  async list(cluster: string, zone: string): Promise<CloudVolume[]> {
    const answer = await calling(
      'ec2:DescribeVolumes',
      this.#client.send(
        new DescribeVolumesCommand({
          Filters: [
            { Name: `tag:${this.#tags.cluster}`, Values: [cluster] },
            { Name: 'tag-key', Values: [this.#tags.nodeId] },
            { Name: 'availability-zone', Values: [zone] },
          ],
        }),
      ),
    );
    return (answer.Volumes ?? []).map(({ VolumeId = '', Tags = [], Attachments = [] }) => ({
      volumeId: VolumeId,
      nodeId: Number(Tags.find(({ Key }) => Key === this.#tags.nodeId)?.Value),
      attachments: Attachments.map(({ InstanceId = '', State = '', Device = '' }) => ({
        instanceId: InstanceId,
        state: State,
        deviceName: Device,
      })),
    }));
  }

  async attach(volumeId: string, instanceId: string, deviceName: string): Promise<void> {
    const command = new AttachVolumeCommand({
      VolumeId: volumeId,
      InstanceId: instanceId,
      Device: deviceName,
    });
    await calling(`ec2:AttachVolume of ${volumeId} as ${deviceName}`, this.#client.send(command));
  }

  /** One that shuts down may still write; one that is gone from the list is gone. */
  async isRunning(instanceId: string): Promise<boolean> {
    try {
      const { Reservations = [] } = await this.#client.send(
        new DescribeInstancesCommand({ InstanceIds: [instanceId] }),
      );
      const state = Reservations[0]?.Instances?.[0]?.State?.Name;
      return state !== undefined && state !== 'terminated' && state !== 'stopped';
    } catch (error) {
      if (nameOf(error) === 'InvalidInstanceID.NotFound') return false;
      throw cloudError(`ec2:DescribeInstances of ${instanceId}`, error);
    }
  }
}

/** A records in one hosted zone. */
export class Route53Names implements Names {
  readonly #client: Route53Client;
  readonly #hostedZoneId: string;

  constructor(options: AwsOptions, hostedZoneId: string) {
    this.#client = new Route53Client(clientOptions(options));
    this.#hostedZoneId = hostedZoneId;
  }

  async put(name: string, address: string): Promise<void> {
    await calling(`route53:ChangeResourceRecordSets of ${name}`, this.#change('UPSERT', name, address));
  }

  async remove(name: string, address: string): Promise<void> {
    try {
      await this.#change('DELETE', name, address);
    } catch (error) {
      // It names another address, or nothing, by now: the slot has a new instance.
      if (nameOf(error) === 'InvalidChangeBatch') return;
      throw cloudError(`route53:ChangeResourceRecordSets of ${name}`, error);
    }
  }

  #change(action: ChangeAction, name: string, address: string): Promise<unknown> {
    const record = {
      Name: `${name}.`,
      Type: 'A' as const,
      TTL: NAME_TTL_S,
      ResourceRecords: [{ Value: address }],
    };
    return this.#client.send(
      new ChangeResourceRecordSetsCommand({
        HostedZoneId: this.#hostedZoneId,
        ChangeBatch: { Changes: [{ Action: action, ResourceRecordSet: record }] },
      }),
    );
  }
}

export class AutoScalingLifecycle implements Lifecycle {
  readonly #client: AutoScalingClient;

  constructor(options: AwsOptions) {
    this.#client = new AutoScalingClient(clientOptions(options));
  }

  async complete(group: string, hook: string, instanceId: string): Promise<void> {
    const command = new CompleteLifecycleActionCommand({
      AutoScalingGroupName: group,
      LifecycleHookName: hook,
      InstanceId: instanceId,
      LifecycleActionResult: 'CONTINUE',
    });
    try {
      await this.#client.send(command);
    } catch (error) {
      // "No active Lifecycle Action found": completed before, as after a restart in place.
      if (nameOf(error) === 'ValidationError') return;
      throw cloudError(`autoscaling:CompleteLifecycleAction ${hook}`, error);
    }
  }

  async reportUnhealthy(instanceId: string): Promise<void> {
    const command = new SetInstanceHealthCommand({
      InstanceId: instanceId,
      HealthStatus: 'Unhealthy',
      ShouldRespectGracePeriod: false,
    });
    await calling('autoscaling:SetInstanceHealth', this.#client.send(command));
  }
}

/** AWS Secrets Manager. */
export class ManagedSecrets implements Secrets {
  readonly #client: SecretsManagerClient;

  constructor(options: AwsOptions) {
    this.#client = new SecretsManagerClient(clientOptions(options));
  }

  async read(id: string): Promise<string> {
    const { SecretString } = await calling(
      `reading the secret ${id}`,
      this.#client.send(new GetSecretValueCommand({ SecretId: id })),
    );
    if (SecretString === undefined) throw new CloudError('DENIED', `the secret ${id} is not a text`);
    return SecretString;
  }
}

/** Amazon CloudWatch. */
export class CloudWatchMetrics implements Metrics {
  readonly #client: CloudWatchClient;
  readonly #namespace: string;

  constructor(options: AwsOptions, namespace: string) {
    this.#client = new CloudWatchClient(clientOptions(options));
    this.#namespace = namespace;
  }

  async put(
    values: Readonly<Record<string, number>>,
    dimensions: Readonly<Record<string, string>>,
  ): Promise<void> {
    const Dimensions = Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }));
    const MetricData = Object.entries(values).map(([MetricName, Value]) => ({
      MetricName,
      Value,
      Dimensions,
      // CloudWatch has no unit for days.
      Unit: MetricName.endsWith('Percent') ? ('Percent' as const) : ('None' as const),
    }));
    await calling(
      'putting metrics',
      this.#client.send(new PutMetricDataCommand({ Namespace: this.#namespace, MetricData })),
    );
  }
}
