import { Agent } from '../../broker-runtime/src/agent/agent.ts';
import {
  CLUSTER_TAG,
  type InstanceConfig,
  NODE_ID_TAG,
} from '../../broker-runtime/src/agent/instance-config.ts';
import type {
  BrokerCredentials,
  BrokerLaunch,
  BrokerLoad,
  BrokerProcess,
} from '../../broker-runtime/src/ports/broker-process.ts';
import { CloudError } from '../../broker-runtime/src/ports/cloud.ts';
import { AwsAccount, AwsError, type ModelInstance } from '../aws-model/aws-account.ts';
import { MemoryObjectStore } from '../simulation/world/memory-object-store.ts';
import { simEnv } from '../simulation/world/sim-env.ts';

export const ZONE = 'eu-central-1a';

export const CONFIG: InstanceConfig = {
  cluster: 'test',
  region: 'eu-central-1',
  bucket: 'bucket',
  walKind: 'block-shared',
  slots: [
    { nodeId: 1, zone: ZONE },
    { nodeId: 2, zone: ZONE },
    { nodeId: 101, zone: 'eu-central-1b' },
  ],
  groups: { [ZONE]: 'group-a', 'eu-central-1b': 'group-b' },
  launchHook: 'millrace-launch',
  terminateHook: 'millrace-terminate',
  dns: { hostedZoneId: 'Z1', domain: 'test.internal' },
  port: 9092,
  internalPort: 9093,
  settings: {},
};

/** A broker process that serves and ends when the test says so. */
export class FakeBroker implements BrokerProcess {
  readonly launch: BrokerLaunch;
  readonly #ready = Promise.withResolvers<undefined>();
  readonly #ended = Promise.withResolvers<string>();
  readonly ready: Promise<void> = this.#ready.promise.then(() => undefined);
  readonly ended = this.#ended.promise;
  /** Hangs: what it told last is all that it tells. */
  isSilent = false;
  #load: BrokerLoad | undefined;
  readonly renewed: BrokerCredentials[] = [];
  stops = 0;
  isOver = false;
  /** False: hangs when it is asked to stop. */
  stopsWhenAsked = true;

  constructor(launch: BrokerLaunch) {
    this.launch = launch;
  }

  get load(): BrokerLoad | undefined {
    if (!this.isSilent && this.#load !== undefined) this.#load = { ...this.#load };
    return this.#load;
  }

  set load(load: BrokerLoad | undefined) {
    this.#load = load;
  }

  renew(credentials: BrokerCredentials): void {
    this.renewed.push(credentials);
  }

  serve(): void {
    this.#ready.resolve(undefined);
  }

  end(status: string): void {
    this.isOver = true;
    this.#ended.resolve(status);
  }

  stop(): void {
    this.stops++;
    if (this.stopsWhenAsked) this.end('0');
  }

  kill(): void {
    this.end('SIGKILL');
  }
}

/** Instances of one zone with agents on them, an account around them, and time that the test moves. */
export class AgentRig {
  readonly env = simEnv(1);
  readonly account = new AwsAccount(this.env.clock);
  readonly objects = new MemoryObjectStore(this.env.clock);
  readonly config: InstanceConfig;

  constructor(config: Partial<InstanceConfig> = {}) {
    this.config = { ...CONFIG, ...config };
    for (const { nodeId, zone } of this.config.slots) {
      this.account.addVolume(`vol-${String(nodeId).padStart(4, '0')}`, zone, {
        [CLUSTER_TAG]: 'test',
        [NODE_ID_TAG]: String(nodeId),
      });
    }
  }

  /** An instance boots: its agent runs. */
  boot(instance: ModelInstance = this.account.launch(ZONE, 'group-a')): RunningAgent {
    const { account, env, objects } = this;
    const brokers: FakeBroker[] = [];
    const calling = <T>(call: () => T): Promise<T> => {
      try {
        return Promise.resolve(call());
      } catch (error) {
        if (!(error instanceof AwsError)) throw error;
        const code = ['IncorrectState', 'VolumeInUse'].includes(error.code) ? 'CONFLICT' : 'DENIED';
        // As the adapter says it when the SDK's own attempts are over.
        const isThrottled = error.code === 'RequestLimitExceeded';
        return Promise.reject(
          new CloudError(isThrottled ? 'UNAVAILABLE' : code, `${error.code}: ${error.message}`),
        );
      }
    };
    const agent = new Agent(
      {
        env,
        objects,
        metadata: {
          identity: () => Promise.resolve(instance),
          notice: () => Promise.resolve(instance.notice),
        },
        volumes: {
          list: (cluster, zone) =>
            calling(() =>
              account.describeVolumes({ [CLUSTER_TAG]: cluster }, NODE_ID_TAG, zone).map((volume) => ({
                volumeId: volume.volumeId,
                nodeId: Number(volume.tags[NODE_ID_TAG]),
                attachments: volume.attachments.map((one) => ({
                  ...one,
                  state: account.attachmentState(one),
                })),
              })),
            ),
          attach: (volumeId, instanceId, name) =>
            calling(() => account.attachVolume(volumeId, instanceId, name)),
          isRunning: (instanceId) =>
            calling(() => account.describeInstance(instanceId).state !== 'terminated'),
        },
        devices: {
          find: (volumeId) =>
            Promise.resolve(
              account.hasDevice(volumeId, instance.instanceId) ? `/dev/${volumeId}` : undefined,
            ),
        },
        names: {
          put: (name, address) => calling(() => account.changeRecord('UPSERT', name, address)),
          remove: (name, address) => calling(() => account.changeRecord('DELETE', name, address)),
        },
        metrics: {
          put: (values) =>
            calling(() => {
              for (const [name, value] of Object.entries(values)) account.putMetric('Millrace', name, value);
            }),
        },
        secrets: { read: (id) => calling(() => account.getSecretValue(id)) },
        lifecycle: {
          complete: (...asked) => calling(() => account.completeLifecycleAction(...asked)),
          reportUnhealthy: (instanceId) => calling(() => account.setInstanceHealth(instanceId, 'Unhealthy')),
        },
        brokers: {
          checkRenewal: ({ tls, peerTls }) => {
            if ([tls, peerTls].some((one) => one?.certificate === 'EXPIRED'))
              throw new Error('it ended yesterday');
          },
          start: (launch) => {
            const broker = new FakeBroker(launch);
            brokers.push(broker);
            return broker;
          },
        },
      },
      this.config,
    );
    const ended = agent.run().then(
      () => 'left' as const,
      (error: unknown) => error,
    );
    return { instance, agent, brokers, ended };
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.env.clock.advance(ms);
  }

  /** Until the instance serves. */
  async bootToServing(instance?: ModelInstance): Promise<RunningAgent> {
    const running = this.boot(instance);
    await this.pass(10_000);
    running.brokers.at(-1)?.serve();
    await this.pass(1_000);
    return running;
  }
}

export interface RunningAgent {
  readonly instance: ModelInstance;
  readonly agent: Agent;
  readonly brokers: FakeBroker[];
  /** 'left', or why it failed. */
  readonly ended: Promise<unknown>;
}
