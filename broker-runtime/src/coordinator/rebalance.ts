import { invariant } from '../base/errors.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { GroupConfig } from './group-config.ts';
import { NO_BYTES, syncError, type JoinAnswer, type Member, type SyncAnswer } from './member.ts';
import type { Membership } from './membership.ts';

/** States of a classic group; the names are what DescribeGroups and ListGroups print. */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead';

export interface RebalanceHost {
  readonly clock: Clock;
  readonly config: GroupConfig;
  /** Members were handed an id and are expected to join with it (KIP-394): their group waits for them. */
  hasPendingMembers(): boolean;
  /** The group has no member left: its empty generation is to be written down. */
  onEmpty(): void;
}

/**
 * From generation to generation.
 *
 *     Empty ──▶ PreparingRebalance ──▶ CompletingRebalance ──▶ Stable
 *       ▲            │    ▲                   │                  │
 *       └────────────┘    └───────────────────┴──────────────────┘
 *      nobody joined          a member came, left, failed or changed
 *
 * Preparing waits until every member asked to join again, at most the largest rebalance timeout of them; then the
 * generation grows by one and all parked JoinGroups are answered. Completing waits for the leader's assignment, and
 * at most the same time for every member to ask for its share.
 */
export class Rebalance {
  readonly #members: Membership;
  readonly #host: RebalanceHost;
  #state: GroupState = 'Empty';
  #stateSinceWallMs: number;
  #generationId = 0;
  #protocolType: string | undefined;
  #protocolName: string | undefined;
  /** Preparing: when to stop waiting for members. */
  #joinTimer: Timer | undefined;
  /** The group was empty: wait for more members even though all known ones are there. */
  #initial: { remainingMs: number; memberCame: boolean } | undefined;
  /** Completing or Stable: members of this generation whose SyncGroup has not come. */
  readonly #unsynced = new Set<string>();
  #syncTimer: Timer | undefined;

  constructor(members: Membership, host: RebalanceHost) {
    this.#members = members;
    this.#host = host;
    this.#stateSinceWallMs = host.clock.wallMs();
  }

  get state(): GroupState {
    return this.#state;
  }
  /** Wall clock: offsets of an empty group expire from here on. */
  get stateSinceWallMs(): number {
    return this.#stateSinceWallMs;
  }
  get generationId(): number {
    return this.#generationId;
  }
  /** Undefined until the first member joined: a group that only stores offsets. */
  get protocolType(): string | undefined {
    return this.#protocolType;
  }
  get protocolName(): string | undefined {
    return this.#protocolName;
  }

  /** The group as its record in the log has it. */
  restore(from: {
    readonly generationId: number;
    readonly protocolType: string | undefined;
    readonly protocolName: string | undefined;
    readonly stateSinceWallMs: number;
  }): void {
    this.#generationId = from.generationId;
    this.#protocolType = from.protocolType;
    this.#protocolName = from.protocolName;
    this.#state = this.#members.size === 0 ? 'Empty' : 'Stable';
    this.#stateSinceWallMs = from.stateSinceWallMs;
  }

  /** A member was added: the first one of an empty group decides what kind of group it is. */
  memberAdded(protocolType: string): void {
    if (this.#members.size === 1) this.#protocolType = protocolType;
    if (this.#initial !== undefined) this.#initial.memberCame = true;
  }

  /** Starts a rebalance unless one is being prepared; either way it goes on if nobody is missing. */
  prepare(): void {
    if (this.#state === 'Dead') return;
    if (this.#state !== 'PreparingRebalance') this.#startPreparing();
    this.completeIfEveryoneJoined();
  }

  completeIfEveryoneJoined(): void {
    if (this.#state !== 'PreparingRebalance' || this.#initial !== undefined) return;
    if (this.#members.hasEveryoneJoined() && !this.#host.hasPendingMembers()) this.#complete();
  }

  /** What a member of the current generation is told when it joins without changing anything. */
  currentGeneration(member: Member): JoinAnswer {
    const leaderId = this.#members.leaderId ?? '';
    return {
      error: Errors.NONE,
      memberId: member.memberId,
      generationId: this.#generationId,
      protocolType: this.#protocolType ?? null,
      protocolName: this.#protocolName ?? null,
      leaderId,
      skipAssignment: false,
      members: leaderId === member.memberId ? this.#members.describeFor(this.#protocolName) : [],
    };
  }

  /** The member's SyncGroup came: its share is given now (Stable) or with the leader's assignment (Completing). */
  memberSynced(member: Member, answer: (answer: SyncAnswer) => void): void {
    this.#unsynced.delete(member.memberId);
    if (this.#unsynced.size === 0) this.#syncTimer?.cancel();
    if (this.#state === 'Stable') {
      answer(this.#shareOf(member));
      member.session.set(member.sessionTimeoutMs);
    } else {
      member.parkSync(answer);
    }
  }

  /** The leader's assignment is durable: the generation is in force. Members it does not name get nothing. */
  assign(assignments: ReadonlyMap<string, Uint8Array>): void {
    invariant(this.#state === 'CompletingRebalance', 'group', 'only a completing group takes an assignment');
    for (const member of this.#members.all()) {
      member.assignment = assignments.get(member.memberId) ?? NO_BYTES;
    }
    this.#enter('Stable');
    for (const member of this.#members.all()) {
      if (!member.isAwaitingSync) continue;
      member.answerSync(this.#shareOf(member));
      member.session.set(member.sessionTimeoutMs);
    }
  }

  /** The assignment could not be written: everyone is told, and joins again. */
  assignmentFailed(error: ErrorCode): void {
    invariant(
      this.#state === 'CompletingRebalance',
      'group',
      'only a completing group waits for an assignment',
    );
    this.#refuseWaitingSyncs(error);
    this.prepare();
  }

  /** A member is gone: it has not joined, and nothing is owed to it. */
  memberRemoved(memberId: string): void {
    this.#unsynced.delete(memberId);
    if (this.#state === 'Stable' || this.#state === 'CompletingRebalance') this.prepare();
    else this.completeIfEveryoneJoined();
  }

  /** A static member took a new id; it asks for its share anew if it needs one. */
  memberRenamed(oldMemberId: string): void {
    this.#unsynced.delete(oldMemberId);
  }

  /** The group is deleted, or its coordinator moved. */
  die(): void {
    this.#joinTimer?.cancel();
    this.#syncTimer?.cancel();
    this.#initial = undefined;
    this.#enter('Dead');
  }

  #enter(state: GroupState): void {
    this.#state = state;
    this.#stateSinceWallMs = this.#host.clock.wallMs();
  }

  #startPreparing(): void {
    if (this.#state === 'CompletingRebalance') this.#refuseWaitingSyncs(Errors.REBALANCE_IN_PROGRESS);
    this.#unsynced.clear();
    this.#syncTimer?.cancel();
    const wasEmpty = this.#state === 'Empty';
    this.#enter('PreparingRebalance');
    if (!wasEmpty) {
      this.#waitForMembers();
      return;
    }
    const delayMs = this.#host.config.initialRebalanceDelayMs;
    const remainingMs = Math.max(0, this.#members.largestRebalanceTimeoutMs() - delayMs);
    this.#initial = { remainingMs, memberCame: false };
    this.#waitForFirstMembers(delayMs);
  }

  /** Every member that comes during the delay extends it by the delay, up to the rebalance timeout in all. */
  #waitForFirstMembers(delayMs: number): void {
    this.#joinTimer = this.#host.clock.timer(delayMs, () => {
      const initial = this.#initial;
      if (initial === undefined) return;
      if (initial.memberCame && initial.remainingMs > 0) {
        const nextMs = Math.min(this.#host.config.initialRebalanceDelayMs, initial.remainingMs);
        this.#initial = { remainingMs: initial.remainingMs - nextMs, memberCame: false };
        this.#waitForFirstMembers(nextMs);
      } else {
        this.#complete();
      }
    });
  }

  #waitForMembers(atLeastMs = 0): void {
    const timeoutMs = Math.max(atLeastMs, this.#members.largestRebalanceTimeoutMs());
    this.#joinTimer = this.#host.clock.timer(timeoutMs, () => {
      this.#complete();
    });
  }

  #complete(): void {
    this.#joinTimer?.cancel();
    this.#initial = undefined;
    for (const member of [...this.#members.all()]) {
      // A static member keeps its place until its session ends: that is what it is for.
      if (member.isAwaitingJoin || member.instanceId !== null) continue;
      member.session.clear();
      this.#members.remove(member);
    }
    if (this.#members.size === 0) {
      this.#generationId++;
      this.#protocolName = undefined;
      this.#enter('Empty');
      this.#host.onEmpty();
    } else if (this.#members.electLeader()) {
      this.#generationId++;
      this.#protocolName = this.#members.vote();
      this.#enter('CompletingRebalance');
      this.#announceGeneration();
    } else {
      // Static members alone, none of which came: their sessions end, or one comes. Not sooner than a session can
      // end, or members with a rebalance timeout of 0 would keep us busy until then.
      this.#waitForMembers(this.#host.config.minSessionTimeoutMs);
    }
  }

  #announceGeneration(): void {
    for (const member of this.#members.all()) {
      member.assignment = NO_BYTES;
      member.isNew = false;
      member.session.set(member.sessionTimeoutMs);
      this.#unsynced.add(member.memberId);
      member.answerJoin(this.currentGeneration(member));
    }
    this.#syncTimer = this.#host.clock.timer(this.#members.largestRebalanceTimeoutMs(), () => {
      this.#dropUnsynced();
    });
  }

  /** Members that joined and then never asked for their share would hold partitions nobody reads. */
  #dropUnsynced(): void {
    for (const memberId of this.#unsynced) {
      const member = this.#members.get(memberId);
      if (member === undefined) continue;
      member.session.clear();
      this.#members.remove(member);
    }
    this.#unsynced.clear();
    this.prepare();
  }

  #shareOf(member: Member): SyncAnswer {
    return {
      error: Errors.NONE,
      protocolType: this.#protocolType ?? null,
      protocolName: this.#protocolName ?? null,
      assignment: member.assignment,
    };
  }

  #refuseWaitingSyncs(error: ErrorCode): void {
    for (const member of this.#members.all()) {
      member.assignment = NO_BYTES;
      if (!member.isAwaitingSync) continue;
      member.answerSync(syncError(error));
      member.session.set(member.sessionTimeoutMs);
    }
  }
}
