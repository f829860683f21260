import type { Clock } from '../ports/clock.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { GroupConfig } from './group-config.ts';
import { GroupOffsets } from './group-offsets.ts';
import type { CommitterIdentity, JoinRequest, MemberIdentity, SyncRequest } from './group-requests.ts';
import { Joining } from './joining.ts';
import {
  Member,
  joinError,
  syncError,
  type JoinAnswer,
  type MemberOptions,
  type SyncAnswer,
} from './member.ts';
import { Membership } from './membership.ts';
import { PendingMembers } from './pending-members.ts';
import { Rebalance, type GroupState } from './rebalance.ts';

export interface GroupHost {
  readonly clock: Clock;
  readonly config: GroupConfig;
  /** Nobody wants the group any more, unless something is kept in it. */
  forgetIfUnused(group: Group): void;
  /** A fresh member id; the prefix makes it readable. */
  newMemberId(prefix: string): string;
  /**
   * Writes the group's record with these assignments. Asks `isWanted` right before the append; calls `done` when the
   * record is durable, or with the reason why it never will be.
   */
  store(
    group: Group,
    assignments: ReadonlyMap<string, Uint8Array>,
    isWanted: () => boolean,
    done: (error: ErrorCode) => void,
  ): void;
}

/**
 * A classic group: a synchronous state machine, driven by requests and timers. Nothing in here waits; a request that
 * must wait leaves its `answer` behind and is answered exactly once, whatever happens to the group (I37).
 */
export class Group {
  readonly id: string;
  readonly offsets = new GroupOffsets();
  readonly members = new Membership();
  readonly rebalance: Rebalance;
  readonly #host: GroupHost;
  readonly #pending: PendingMembers;
  readonly #joining: Joining;
  /** Generation whose assignment is being written: a leader that repeats itself does not start a second write. */
  #assigningGeneration = -1;

  constructor(id: string, host: GroupHost) {
    this.id = id;
    this.#host = host;
    this.#pending = new PendingMembers(host.clock, () => {
      this.rebalance.completeIfEveryoneJoined();
      host.forgetIfUnused(this);
    });
    this.rebalance = new Rebalance(this.members, {
      clock: host.clock,
      config: host.config,
      hasPendingMembers: () => this.#pending.size > 0,
      onEmpty: () => {
        const generationId = this.rebalance.generationId;
        // Should this write fail, the generation before it comes back after a restart, and its sessions end there.
        host.store(this, new Map(), () => this.#isStill('Empty', generationId), ignore);
      },
    });
    this.#joining = new Joining(this.members, this.rebalance, this.#pending, {
      config: host.config,
      newMemberId: (prefix) => host.newMemberId(prefix),
      newMember: (options) => this.#newMember(options),
      remove: (member) => {
        this.#remove(member);
      },
      isStill: (state, generationId) => this.#isStill(state, generationId),
      store: (assignments, isWanted, done) => {
        host.store(this, assignments, isWanted, done);
      },
    });
  }

  get state(): GroupState {
    return this.rebalance.state;
  }

  /** Nothing would be lost by forgetting this group. */
  get isUnused(): boolean {
    return this.rebalance.generationId === 0 && this.isVacant && this.offsets.isEmpty;
  }

  /** Without members, and none expected. */
  get isVacant(): boolean {
    return this.state === 'Empty' && this.#pending.size === 0;
  }

  join(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (this.state === 'Dead') {
      answer(joinError(request.memberId, Errors.COORDINATOR_NOT_AVAILABLE));
    } else {
      this.#joining.join(request, answer);
    }
  }

  sync(request: SyncRequest, answer: (answer: SyncAnswer) => void): void {
    const member = this.#memberOf(request);
    const error = this.#syncError(request, member);
    if (error !== Errors.NONE || typeof member === 'number') {
      answer(syncError(error));
      return;
    }
    this.rebalance.memberSynced(member, answer);
    const leads = member.memberId === this.members.leaderId;
    if (this.state === 'CompletingRebalance' && leads) this.#storeAssignment(request.assignments);
  }

  heartbeat(identity: MemberIdentity, generationId: number): ErrorCode {
    const member = this.#memberOf(identity);
    if (typeof member === 'number') return member;
    if (generationId !== this.rebalance.generationId) return Errors.ILLEGAL_GENERATION;
    if (this.state === 'Empty') return Errors.UNKNOWN_MEMBER_ID;
    member.session.set(member.sessionTimeoutMs);
    // While completing, the member has its generation already and only waits for its share: all is well.
    return this.state === 'PreparingRebalance' ? Errors.REBALANCE_IN_PROGRESS : Errors.NONE;
  }

  leave(identity: MemberIdentity): ErrorCode {
    if (this.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE;
    if (identity.instanceId === null && this.#pending.take(identity.memberId)) {
      this.rebalance.completeIfEveryoneJoined();
      return Errors.NONE;
    }
    // An administrator removes a static member by its instance id alone.
    const byInstance = identity.memberId === '' && identity.instanceId !== null;
    const member = byInstance
      ? (this.members.staticMember(identity.instanceId) ?? Errors.UNKNOWN_MEMBER_ID)
      : this.#memberOf(identity);
    if (typeof member === 'number') return member;
    this.#remove(member);
    return Errors.NONE;
  }

  /**
   * Whether this commit may be stored now (I17). Counts as a heartbeat of the member. The caller appends in the same
   * turn: nothing may happen to the group between this answer and the append.
   */
  checkCommit(committer: CommitterIdentity): ErrorCode {
    if (this.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE;
    if (committer.generationId < 0 && this.state === 'Empty') return Errors.NONE;
    const member = this.#memberOf(committer);
    if (typeof member === 'number') return member;
    if (committer.generationId !== this.rebalance.generationId) return Errors.ILLEGAL_GENERATION;
    if (this.state === 'CompletingRebalance') return Errors.REBALANCE_IN_PROGRESS;
    member.session.set(member.sessionTimeoutMs);
    return Errors.NONE;
  }

  /** Adds a member as the log has it. Its session starts again: nobody could send heartbeats meanwhile. */
  restoreMember(options: MemberOptions, assignment: Uint8Array): void {
    const member = this.#newMember(options);
    member.assignment = assignment;
    member.isNew = false;
    member.session.set(member.sessionTimeoutMs);
    this.members.add(member);
  }

  /** The limit was lowered while the group was away: it shrinks in a rebalance, so that members commit first. */
  shrinkIfTooLarge(): void {
    if (this.members.size > this.#host.config.maxGroupSize) this.rebalance.prepare();
  }

  /** The group is no longer kept here: whoever waits is answered `error`, no timer fires any more. */
  unload(error: ErrorCode): void {
    this.rebalance.die();
    this.#pending.clear();
    for (const member of this.members.all()) {
      member.session.clear();
      member.answerJoin(joinError(member.memberId, error));
      member.answerSync(syncError(error));
    }
  }

  #storeAssignment(assignments: ReadonlyMap<string, Uint8Array>): void {
    const { generationId } = this.rebalance;
    if (this.#assigningGeneration === generationId) return;
    this.#assigningGeneration = generationId;
    const isWanted = (): boolean => this.#isStill('CompletingRebalance', generationId);
    this.#host.store(this, assignments, isWanted, (error) => {
      if (!isWanted()) return;
      if (error === Errors.NONE) this.rebalance.assign(assignments);
      else this.rebalance.assignmentFailed(error);
    });
  }

  #isStill(state: GroupState, generationId: number): boolean {
    return this.state === state && this.rebalance.generationId === generationId;
  }

  #syncError(request: SyncRequest, member: Member | ErrorCode): ErrorCode {
    if (typeof member === 'number') return member;
    const { generationId, protocolType, protocolName } = this.rebalance;
    if (request.generationId !== generationId) return Errors.ILLEGAL_GENERATION;
    const otherType = request.protocolType !== null && request.protocolType !== protocolType;
    const otherName = request.protocolName !== null && request.protocolName !== protocolName;
    if (this.state === 'Empty') return Errors.UNKNOWN_MEMBER_ID;
    if (otherType || otherName) return Errors.INCONSISTENT_GROUP_PROTOCOL;
    return this.state === 'PreparingRebalance' ? Errors.REBALANCE_IN_PROGRESS : Errors.NONE;
  }

  #memberOf(identity: MemberIdentity): Member | ErrorCode {
    return this.state === 'Dead' ? Errors.COORDINATOR_NOT_AVAILABLE : this.members.identify(identity);
  }

  #newMember(options: MemberOptions): Member {
    return new Member(options, this.#host.clock, (member) => {
      this.#sessionPassed(member);
    });
  }

  /** A member that waits for the others is not expected to send heartbeats, unless it is new (see `isNew`). */
  #sessionPassed(member: Member): void {
    if (this.members.get(member.memberId) !== member) return;
    if (!member.isNew && (member.isAwaitingJoin || member.isAwaitingSync)) return;
    this.#remove(member);
  }

  #remove(member: Member): void {
    member.session.clear();
    member.answerJoin(joinError('', Errors.UNKNOWN_MEMBER_ID));
    member.answerSync(syncError(Errors.UNKNOWN_MEMBER_ID));
    this.members.remove(member);
    this.rebalance.memberRemoved(member.memberId);
  }
}

function ignore(): void {
  // The group goes on without its record; see where it is passed.
}
