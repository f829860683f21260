import type { JoinAnswer, SyncAnswer } from '../../broker-runtime/src/coordinator/group-coordinator.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { GROUP, asText, heartbeat, joinRequest, text, type CoordinatorWorld } from './coordinator-world.ts';

/** What every client of a storm saw, checked as it happens. */
export class StormLog {
  /** Requests that were sent and not answered yet. */
  unanswered = 0;
  readonly violations: string[] = [];
  /** Who was told to assign, by coordinator life and generation: one member each. */
  readonly #leaders = new Map<string, string>();
  /** Who holds which share, by generation: durable generations are the same in every life of the coordinator. */
  readonly #holders = new Map<string, string>();
  readonly #newest = new Map<number, number>();

  joined(life: number, answer: JoinAnswer): void {
    if (answer.error !== Errors.NONE) return;
    const newest = this.#newest.get(life) ?? 0;
    if (answer.generationId < newest) {
      this.violations.push(`generation ${answer.generationId} was announced after generation ${newest}`);
    }
    this.#newest.set(life, answer.generationId);
    if (answer.members.length === 0 || answer.skipAssignment) return;
    const key = `${life}/${answer.generationId}`;
    const leader = this.#leaders.get(key) ?? answer.memberId;
    if (leader !== answer.memberId) {
      this.violations.push(`generation ${key} has two leaders: ${leader} and ${answer.memberId}`);
    }
    this.#leaders.set(key, leader);
  }

  synced(generationId: number, owner: string, answer: SyncAnswer): void {
    if (answer.error !== Errors.NONE || answer.assignment.length === 0) return;
    const share = asText(answer.assignment) ?? '';
    if (!share.startsWith(`${generationId}/`)) {
      this.violations.push(`a member of generation ${generationId} was given '${share}'`);
    }
    const holder = this.#holders.get(share) ?? owner;
    if (holder !== owner) this.violations.push(`share ${share} is held by ${holder} and by ${owner}`);
    this.#holders.set(share, owner);
  }
}

/** A consumer that does what clients do: joins, assigns when it leads, syncs, sends heartbeats, starts over. */
export class StormClient {
  readonly name: string;
  readonly #instanceId: string | null;
  readonly #log: StormLog;
  #memberId = '';
  #generationId = -1;
  #holdsShare = false;
  /** Grows when the client dies or starts over: answers to who it was before are only looked at, not acted on. */
  #life = 0;
  #waits = false;
  #joined: JoinAnswer | undefined;
  #metadataVersion = 0;

  constructor(name: string, isStatic: boolean, log: StormLog) {
    this.name = name;
    this.#instanceId = isStatic ? name : null;
    this.#log = log;
  }

  get memberId(): string {
    return this.#memberId;
  }
  get generationId(): number {
    return this.#generationId;
  }
  get isStable(): boolean {
    return this.#holdsShare;
  }

  /** The next thing a client would do. Waiting for an answer, it does nothing. */
  step(world: CoordinatorWorld, coordinatorLife: number): void {
    if (this.#waits) return;
    if (this.#joined !== undefined) this.#sync(world, this.#joined);
    else if (this.#holdsShare) this.#beat(world);
    else this.#join(world, coordinatorLife);
  }

  /** Kill -9: a dynamic member comes back as somebody else, a static one under its instance id. */
  die(): void {
    this.#memberId = '';
    this.#startOver();
  }

  /** The client lost its connection: it keeps its id and asks again, while the old request is still parked. */
  reconnect(): void {
    this.#life++;
    this.#waits = false;
  }

  changeSubscription(world: CoordinatorWorld, coordinatorLife: number): void {
    if (this.#waits || !this.#holdsShare) return;
    this.#metadataVersion++;
    this.#startOver();
    this.#join(world, coordinatorLife);
  }

  leave(world: CoordinatorWorld): void {
    world.coordinator.leave(GROUP, [{ memberId: this.#memberId, instanceId: this.#instanceId }]);
    this.die();
  }

  #join(world: CoordinatorWorld, coordinatorLife: number): void {
    const request = joinRequest({
      memberId: this.#memberId,
      instanceId: this.#instanceId,
      clientId: this.name,
      requiresMemberId: this.#instanceId === null,
      rebalanceTimeoutMs: 20_000,
      protocols: [{ name: 'range', metadata: text(`${this.name} ${this.#metadataVersion}`) }],
    });
    this.#ask(world.coordinator.join(GROUP, request), (answer, isCurrent) => {
      this.#log.joined(coordinatorLife, answer);
      if (!isCurrent) return;
      if (answer.error === Errors.NONE) {
        this.#memberId = answer.memberId;
        this.#generationId = answer.generationId;
        this.#joined = answer;
      } else {
        this.#refused(answer.error, answer.memberId);
      }
    });
  }

  #sync(world: CoordinatorWorld, joined: JoinAnswer): void {
    const leads = joined.members.length > 0 && !joined.skipAssignment;
    const { generationId } = joined;
    const assignments = (leads ? joined.members : []).map(
      ({ memberId }, at) => [memberId, text(`${generationId}/${at}`)] as const,
    );
    const request = {
      memberId: this.#memberId,
      instanceId: this.#instanceId,
      generationId,
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: new Map(assignments),
    };
    const owner = this.#instanceId ?? this.#memberId;
    this.#ask(world.coordinator.sync(GROUP, request), (answer, isCurrent) => {
      this.#log.synced(generationId, owner, answer);
      if (!isCurrent) return;
      this.#joined = undefined;
      if (answer.error === Errors.NONE) this.#holdsShare = true;
      else this.#refused(answer.error, this.#memberId);
    });
  }

  #beat(world: CoordinatorWorld): void {
    const identity = {
      memberId: this.#memberId,
      generationId: this.#generationId,
      instanceId: this.#instanceId,
    };
    const error = heartbeat(world, identity);
    if (error !== Errors.NONE) this.#refused(error, this.#memberId);
  }

  #refused(error: number, memberId: string): void {
    const mustForget = error === Errors.UNKNOWN_MEMBER_ID || error === Errors.FENCED_INSTANCE_ID;
    this.#memberId = mustForget ? '' : memberId;
    this.#startOver();
  }

  #startOver(): void {
    this.#life++;
    this.#waits = false;
    this.#joined = undefined;
    this.#holdsShare = false;
    this.#generationId = -1;
  }

  #ask<T>(answer: Promise<T>, then: (answer: T, isCurrent: boolean) => void): void {
    const life = ++this.#life;
    this.#waits = true;
    this.#log.unanswered++;
    void answer.then((value) => {
      this.#log.unanswered--;
      const isCurrent = this.#life === life;
      if (isCurrent) this.#waits = false;
      then(value, isCurrent);
    });
  }
}
