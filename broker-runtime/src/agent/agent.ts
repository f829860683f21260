import { MillraceError, messageOf } from '../base/errors.ts';
import type { BrokerProcess, BrokerProcesses } from '../ports/broker-process.ts';
import type {
  CloudVolumes,
  InstanceIdentity,
  InstanceMetadata,
  LeaveNotice,
  Lifecycle,
  Metrics,
  Names,
  Secrets,
  VolumeDevices,
} from '../ports/cloud.ts';
import type { Env } from '../ports/env.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { CertificateRotation } from './certificate-rotation.ts';
import type { InstanceConfig } from './instance-config.ts';
import { passOnLoad } from './load-metrics.ts';
import { claimSlot, releaseSlot } from './slot-claim.ts';
import { attachVolumes } from './volume-attachments.ts';

export interface AgentWorld {
  readonly env: Env;
  readonly metadata: InstanceMetadata;
  readonly volumes: CloudVolumes;
  readonly devices: VolumeDevices;
  readonly names: Names;
  readonly lifecycle: Lifecycle;
  readonly secrets: Secrets;
  readonly metrics: Metrics;
  readonly brokers: BrokerProcesses;
  /** The cluster's bucket. */
  readonly objects: ObjectStore;
}

/** The broker ended again and again, or never served. */
export class BrokerFailedError extends MillraceError {
  readonly code = 'BROKER_FAILED';
}

/** The launch hook's patience is ten minutes: with less than that left for a slot there is time to replay a WAL. */
const SLOT_PATIENCE_MS = 5 * 60_000;
const ATTACH_PATIENCE_MS = 2 * 60_000;
const READY_PATIENCE_MS = 5 * 60_000;
/** AWS asks to look every 5 s (EC2: spot instance interruption notices). */
const NOTICE_INTERVAL_MS = 5_000;
/** Of the two minutes of a spot notice; what is not drained by then is taken over. */
const LEAVE_PATIENCE_MS = 90_000;
/** From "unhealthy" until the group ends the instance; it takes about a minute. */
const REPLACED_PATIENCE_MS = 10 * 60_000;
const RESTARTS_MAX = 5;
/** A broker that served for so long has not failed "again". */
const RESTARTS_FORGOTTEN_MS = 10 * 60_000;
const RESTART_PAUSE_MS = 1_000;

/**
 * From power-on to serving and back, on one instance.
 *
 *   who am I → claim a slot of my zone → attach its volume and the neighbours' → start the broker → write its name
 *   → complete the launch hook → watch: notices, the broker, a stop
 *   leave: broker drains and stops → name removed → slot released → (rebalance: unhealthy) → terminate hook completed
 *
 * A name is written before clients are sent there by the load balancer, and removed after the broker stopped. The slot is released
 * last of what others wait for: who claims it finds an empty log.
 */
export class Agent {
  readonly #world: AgentWorld;
  readonly #config: InstanceConfig;
  readonly #stop = new AbortController();

  constructor(world: AgentWorld, config: InstanceConfig) {
    this.#world = world;
    this.#config = config;
  }

  /** Leaves as after a notice. */
  stop(): void {
    this.#stop.abort(new Error('asked to stop'));
  }

  /**
   * Resolves when this instance has left.
   * @throws {BrokerFailedError | VolumeNotAttachedError | NoFreeSlotError | CloudError} after the group was told
   */
  async run(): Promise<void> {
    const identity = await this.#world.metadata.identity();
    try {
      await this.#serve(identity);
    } catch (error) {
      // Asked to stop while it waited for a slot or a volume: nothing was begun that others wait for.
      if (this.#stop.signal.aborted) return;
      this.#world.env.events.error('agent.failed', { ...identity, reason: messageOf(error) });
      await this.#attempt('report-unhealthy', () =>
        this.#world.lifecycle.reportUnhealthy(identity.instanceId),
      );
      throw error;
    }
  }

  async #serve(identity: InstanceIdentity): Promise<void> {
    const { env, objects, volumes, names } = this.#world;
    const { cluster, dns, walKind, groups } = this.#config;
    const { instanceId, zone, privateIp } = identity;
    const group = groups[zone];
    const nodeIds = this.#config.slots.filter((slot) => slot.zone === zone).map(({ nodeId }) => nodeId);
    if (group === undefined || nodeIds.length === 0) {
      throw new BrokerFailedError(
        `this instance is in ${zone}, but the cluster has slots in ${Object.keys(groups).join(', ')} only; check the subnets of the group`,
      );
    }
    const nodeId = await claimSlot(objects, env, {
      nodeIds,
      instanceId,
      isRunning: (other) => volumes.isRunning(other),
      patienceMs: SLOT_PATIENCE_MS,
      signal: this.#stop.signal,
    });
    const devices =
      walKind === 'object'
        ? {}
        : await attachVolumes(
            {
              ...this.#world,
              cluster,
              zone,
              instanceId,
              patienceMs: ATTACH_PATIENCE_MS,
              signal: this.#stop.signal,
            },
            nodeId,
          );
    const certificates = await CertificateRotation.read(this.#world, this.#config);
    const name = `b${nodeId}.${dns.domain}`;
    const start = (): BrokerProcess =>
      this.#world.brokers.start({
        nodeId,
        zone,
        devices,
        host: privateIp,
        advertisedHost: name,
        port: this.#config.port,
        internalPort: this.#config.internalPort,
        credentials: certificates.current,
        settings: this.#config.settings,
      });
    await names.put(name, privateIp);
    const broker = await this.#keepServing(start, (process, over) => {
      void passOnLoad(this.#world, process, { Cluster: cluster, Zone: zone }, over);
      void certificates.keepCurrent(process, over);
      return this.#attempt('launch-hook', () =>
        this.#world.lifecycle.complete(group, this.#config.launchHook, instanceId),
      );
    });
    env.events.info('agent.leaving', { nodeId, instanceId, why: broker.why });
    await this.#stopBroker(broker.process);
    await this.#attempt('remove-name', () => names.remove(name, privateIp));
    await this.#attempt('release-slot', () => releaseSlot(objects, env, nodeId, instanceId));
    if (broker.why === 'rebalance') {
      await this.#attempt('be-replaced', () => this.#beReplaced(instanceId));
    }
    await this.#attempt('terminate-hook', () =>
      this.#world.lifecycle.complete(group, this.#config.terminateHook, instanceId),
    );
    env.events.info('agent.left', { nodeId, instanceId });
  }

  /** Starts the broker, again when it ends, until there is a reason to leave. */
  async #keepServing(
    start: () => BrokerProcess,
    onServing: (process: BrokerProcess, over: AbortSignal) => Promise<void>,
  ): Promise<{ readonly process: BrokerProcess; readonly why: LeaveNotice | 'stop' }> {
    const { env } = this.#world;
    let restarts = 0;
    for (;;) {
      const startedMs = env.clock.monotonicMs();
      const process = start();
      const why = await this.#whileRuns(process, onServing);
      if (why !== undefined) return { process, why };
      if (env.clock.monotonicMs() - startedMs > RESTARTS_FORGOTTEN_MS) restarts = 0;
      restarts++;
      const status = await process.ended;
      env.events.warn('agent.broker-ended', { status, restarts });
      if (restarts > RESTARTS_MAX) {
        throw new BrokerFailedError(
          `the broker ended ${restarts} times, last with ${status}; its log says why`,
        );
      }
      await env.clock.sleep(RESTART_PAUSE_MS * restarts, this.#stop.signal).catch(() => undefined);
    }
  }

  /** @returns why to leave; undefined when the broker ended by itself */
  async #whileRuns(
    process: BrokerProcess,
    onServing: (process: BrokerProcess, over: AbortSignal) => Promise<void>,
  ): Promise<LeaveNotice | 'stop' | undefined> {
    const { env } = this.#world;
    const over = new AbortController();
    const ended = process.ended.then(() => 'ended' as const);
    const stopped = new Promise<'stop'>((resolve) => {
      if (this.#stop.signal.aborted) resolve('stop');
      this.#stop.signal.addEventListener('abort', () => resolve('stop'), { signal: over.signal });
    });
    const late = env.clock.sleep(READY_PATIENCE_MS, over.signal).then(
      () => 'late' as const,
      () => 'late' as const,
    );
    try {
      const notice = this.#notice(over.signal);
      const first = await Promise.race([
        process.ready.then(() => 'ready' as const),
        ended,
        stopped,
        notice,
        late,
      ]);
      if (first === 'late') {
        env.events.warn('agent.broker-not-ready', { afterMs: READY_PATIENCE_MS });
        process.kill();
        return undefined;
      }
      if (first === 'ready') {
        env.events.info('agent.serving');
        await onServing(process, over.signal);
        const next = await Promise.race([ended, stopped, notice]);
        return next === 'ended' ? undefined : next;
      }
      return first === 'ended' ? undefined : first;
    } finally {
      over.abort(new Error('over'));
    }
  }

  /** Resolves when there is one; a metadata service that does not answer is asked again. */
  async #notice(over: AbortSignal): Promise<LeaveNotice> {
    const { env, metadata } = this.#world;
    for (;;) {
      try {
        const notice = await metadata.notice();
        if (notice !== undefined) return notice;
      } catch (error) {
        env.events.warn('agent.notices-unknown', { reason: messageOf(error) });
      }
      const isOver = await env.clock.sleep(NOTICE_INTERVAL_MS, over).then(
        () => false,
        () => true,
      );
      if (isOver) return new Promise(() => undefined);
    }
  }

  /**
   * A group that is at its size, or finds no better spot capacity, keeps an instance that was recommended for replacement
   * (ASG: capacity rebalancing). Nothing serves on this one any more, so it has to go.
   */
  async #beReplaced(instanceId: string): Promise<void> {
    const { env, lifecycle, metadata } = this.#world;
    const untilMs = env.clock.monotonicMs() + REPLACED_PATIENCE_MS;
    let isReported = false;
    while (!this.#stop.signal.aborted && env.clock.monotonicMs() < untilMs) {
      try {
        if (!isReported) await lifecycle.reportUnhealthy(instanceId);
        isReported = true;
        const notice = await metadata.notice();
        if (notice === 'terminating' || notice === 'spot-interruption') return;
      } catch (error) {
        env.events.warn('agent.replacement-unknown', { reason: messageOf(error) });
      }
      await env.clock.sleep(NOTICE_INTERVAL_MS, this.#stop.signal).catch(() => undefined);
    }
  }

  async #stopBroker(process: BrokerProcess): Promise<void> {
    const { env } = this.#world;
    process.stop();
    const late = new AbortController();
    const isLate = env.clock.sleep(LEAVE_PATIENCE_MS, late.signal).then(
      () => true,
      () => false,
    );
    if (await Promise.race([process.ended.then(() => false), isLate])) {
      env.events.warn('agent.broker-killed', { afterMs: LEAVE_PATIENCE_MS });
      process.kill();
      await process.ended;
    }
    late.abort();
  }

  /** A step of leaving that others can do without: the next one is not held up by it. */
  async #attempt(step: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#world.env.events.warn('agent.step-failed', { step, reason: messageOf(error) });
    }
  }
}
