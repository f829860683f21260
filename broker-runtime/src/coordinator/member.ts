import type { Clock } from '../ports/clock.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import { Deadline } from './deadline.ts';

/** A protocol a member can speak, with metadata only the members understand. The coordinator never looks inside. */
export interface MemberProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

/** Answer of JoinGroup. `members` is filled for the leader alone. */
export interface JoinAnswer {
  readonly error: ErrorCode;
  readonly memberId: string;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string;
  /** The leader must not assign anything: its earlier assignment still holds (v9). */
  readonly skipAssignment: boolean;
  readonly members: readonly JoinedMember[];
}

export interface JoinedMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly metadata: Uint8Array;
}

/** Answer of SyncGroup. */
export interface SyncAnswer {
  readonly error: ErrorCode;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignment: Uint8Array;
}

export const NO_BYTES = new Uint8Array(0);

/** An error answer keeps its strings valid: '' is allowed in every version, null only from v7 on. */
export function joinError(memberId: string, error: ErrorCode): JoinAnswer {
  return {
    error,
    memberId,
    generationId: -1,
    protocolType: null,
    protocolName: '',
    leaderId: '',
    skipAssignment: false,
    members: [],
  };
}

export function syncError(error: ErrorCode): SyncAnswer {
  return { error, protocolType: null, protocolName: null, assignment: NO_BYTES };
}

export interface MemberOptions {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly protocols: readonly MemberProtocol[];
}

/** One member of a group, with the requests of its that wait for the rest of the group. */
export class Member {
  /** Changes when a static member comes back under a new id (KIP-345). */
  memberId: string;
  readonly instanceId: string | null;
  clientId: string;
  clientHost: string;
  rebalanceTimeoutMs: number;
  sessionTimeoutMs: number;
  protocols: readonly MemberProtocol[];
  assignment: Uint8Array = NO_BYTES;
  /** It has not been part of a generation yet, so it has no way to send heartbeats. */
  isNew = true;
  /** Its session: passes when no heartbeat came for the session timeout. */
  readonly session: Deadline;
  #joinWaits: ((answer: JoinAnswer) => void) | undefined;
  #syncWaits: ((answer: SyncAnswer) => void) | undefined;

  constructor(options: MemberOptions, clock: Clock, onSessionPassed: (member: Member) => void) {
    this.memberId = options.memberId;
    this.instanceId = options.instanceId;
    this.clientId = options.clientId;
    this.clientHost = options.clientHost;
    this.rebalanceTimeoutMs = options.rebalanceTimeoutMs;
    this.sessionTimeoutMs = options.sessionTimeoutMs;
    this.protocols = options.protocols;
    this.session = new Deadline(clock, () => {
      onSessionPassed(this);
    });
  }

  get isAwaitingJoin(): boolean {
    return this.#joinWaits !== undefined;
  }

  get isAwaitingSync(): boolean {
    return this.#syncWaits !== undefined;
  }

  /** Parks a JoinGroup. One that waited already has lost its client, which asks again: it is told to rejoin. */
  parkJoin(answer: (answer: JoinAnswer) => void): void {
    this.answerJoin(joinError(this.memberId, Errors.REBALANCE_IN_PROGRESS));
    this.#joinWaits = answer;
  }

  answerJoin(answer: JoinAnswer): void {
    const waits = this.#joinWaits;
    this.#joinWaits = undefined;
    waits?.(answer);
  }

  parkSync(answer: (answer: SyncAnswer) => void): void {
    this.answerSync(syncError(Errors.REBALANCE_IN_PROGRESS));
    this.#syncWaits = answer;
  }

  answerSync(answer: SyncAnswer): void {
    const waits = this.#syncWaits;
    this.#syncWaits = undefined;
    waits?.(answer);
  }

  metadataOf(protocolName: string | undefined): Uint8Array {
    return this.protocols.find((protocol) => protocol.name === protocolName)?.metadata ?? NO_BYTES;
  }

  /** The same protocols in the same order with the same bytes: rejoining changes nothing. */
  speaksExactly(protocols: readonly MemberProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every((protocol, index) => {
        const mine = this.protocols[index];
        return mine?.name === protocol.name && equalBytes(mine.metadata, protocol.metadata);
      })
    );
  }
}

/** What a member makes the coordinator keep, in memory and in the group's record. */
export function memberBytes(member: {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocols: readonly MemberProtocol[];
}): number {
  const names =
    member.memberId.length +
    (member.instanceId?.length ?? 0) +
    member.clientId.length +
    member.clientHost.length;
  return member.protocols.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, names);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
