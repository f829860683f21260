import type { Clock } from '../ports/clock.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { GroupConfig } from './group-config.ts';
import { GroupOffsets } from './group-offsets.ts';
import {
  Member,
  joinError,
  memberBytes,
  syncError,
  type JoinAnswer,
  type MemberOptions,
  type MemberProtocol,
  type SyncAnswer,
} from './member.ts';
import { Membership } from './membership.ts';
import { PendingMembers } from './pending-members.ts';
import { Rebalance, type GroupState } from './rebalance.ts';

export interface JoinRequest {
  /** '' when the client has no id yet. */
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly MemberProtocol[];
  /** A dynamic member must come back with the id it is given (v4, KIP-394). */
  readonly requiresMemberId: boolean;
  /** The client understands SkipAssignment (v9). */
  readonly understandsSkipAssignment: boolean;
}

/** How a member says who it is; sent with everything but its first JoinGroup. */
export interface MemberIdentity {
  readonly memberId: string;
  readonly instanceId: string | null;
}

export interface SyncRequest extends MemberIdentity {
  readonly generationId: number;
  /** Null below v5: not checked. */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  /** By member id; from the leader only. */
  readonly assignments: ReadonlyMap<string, Uint8Array>;
}

export interface CommitterIdentity extends MemberIdentity {
  /** -1: not a member (admin clients, consumers that assign themselves). */
  readonly generationId: number;
}

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

/** The part of a client id that goes into member ids: ids are strings of at most 32 KiB on the wire. */
const MEMBER_ID_PREFIX_LENGTH = 255;

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
    } else if (!this.#hasRoomFor(request)) {
      this.#dropFromFullGroup(request.memberId);
      answer(joinError('', Errors.GROUP_MAX_SIZE_REACHED));
    } else if (!this.#speaksWith(request)) {
      answer(joinError(request.memberId, Errors.INCONSISTENT_GROUP_PROTOCOL));
    } else if (request.memberId === '') {
      this.#joinAsNew(request, answer);
    } else {
      this.#joinAsKnown(request, answer);
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

  /**
   * New members are let in up to the maximum, members of a settled group always. During a rebalance those that came
   * first stay: the size itself may be too large after the limit was lowered.
   */
  #hasRoomFor(request: JoinRequest): boolean {
    const { maxGroupSize, maxGroupBytes } = this.#host.config;
    const known =
      request.memberId === ''
        ? request.instanceId === null
          ? undefined
          : this.members.staticMember(request.instanceId)
        : this.members.get(request.memberId);
    const replacedBytes = known === undefined ? 0 : memberBytes(known);
    if (this.members.sizeBytes - replacedBytes + memberBytes(request) > maxGroupBytes) return false;
    if (this.state === 'Empty') return true;
    if (this.state === 'PreparingRebalance') {
      return known?.isAwaitingJoin === true || this.members.awaitingJoin() < maxGroupSize;
    }
    return known !== undefined || this.members.size < maxGroupSize;
  }

  #dropFromFullGroup(memberId: string): void {
    const member = this.members.get(memberId);
    if (member !== undefined) this.#remove(member);
    else if (this.#pending.take(memberId)) this.rebalance.completeIfEveryoneJoined();
  }

  #speaksWith(request: JoinRequest): boolean {
    if (this.members.size === 0) return request.protocolType !== '' && request.protocols.length > 0;
    return request.protocolType === this.rebalance.protocolType && this.members.shares(request.protocols);
  }

  #joinAsNew(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    const { instanceId } = request;
    const prefix = (instanceId ?? request.clientId).slice(0, MEMBER_ID_PREFIX_LENGTH);
    const memberId = this.#host.newMemberId(prefix);
    const replaced = instanceId === null ? undefined : this.members.staticMember(instanceId);
    if (replaced !== undefined) this.#replaceStatic(replaced, memberId, request, answer);
    else if (instanceId === null && request.requiresMemberId) this.#expect(memberId, request, answer);
    else this.#add(memberId, request, answer);
  }

  #joinAsKnown(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (request.instanceId === null && this.#pending.take(request.memberId)) {
      this.#add(request.memberId, request, answer);
      return;
    }
    const member = this.#memberOf(request);
    if (typeof member === 'number') {
      answer(joinError(request.memberId, member));
      return;
    }
    const settled = this.state === 'Stable' || this.state === 'CompletingRebalance';
    // A leader that joins a stable group knows of changes that no metadata shows: new partitions of its topics.
    const wantsRebalance = this.state === 'Stable' && member.memberId === this.members.leaderId;
    if (settled && !wantsRebalance && member.speaksExactly(request.protocols)) {
      answer(this.rebalance.currentGeneration(member));
      return;
    }
    this.members.update(member, request);
    member.parkJoin(answer);
    this.rebalance.prepare();
  }

  #expect(memberId: string, request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (this.#pending.size >= this.#host.config.maxPendingMembers) {
      answer(joinError('', Errors.GROUP_MAX_SIZE_REACHED));
      return;
    }
    this.#pending.add(memberId, request.sessionTimeoutMs);
    answer(joinError(memberId, Errors.MEMBER_ID_REQUIRED));
  }

  #add(memberId: string, request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    const member = this.#newMember({ ...request, memberId });
    member.parkJoin(answer);
    this.members.add(member);
    member.session.set(this.#host.config.newMemberJoinTimeoutMs);
    this.rebalance.memberAdded(request.protocolType);
    this.rebalance.prepare();
  }

  /**
   * A static member came back without its old id (KIP-345). Whoever used the old id is fenced. In a stable group
   * nothing else changes, unless the group would now choose another protocol.
   */
  #replaceStatic(
    member: Member,
    newMemberId: string,
    request: JoinRequest,
    answer: (answer: JoinAnswer) => void,
  ): void {
    const oldMemberId = member.memberId;
    const oldLeaderId = this.members.leaderId ?? '';
    member.answerJoin(joinError(oldMemberId, Errors.FENCED_INSTANCE_ID));
    member.answerSync(syncError(Errors.FENCED_INSTANCE_ID));
    this.members.rename(member, newMemberId);
    this.rebalance.memberRenamed(oldMemberId);
    this.members.update(member, request);
    member.parkJoin(answer);
    member.session.set(member.sessionTimeoutMs);
    if (this.state !== 'Stable' || this.members.vote() !== this.rebalance.protocolName) {
      // A leader may be assigning to the old id at this moment: the new one would get nothing.
      this.rebalance.prepare();
      return;
    }
    this.#storeReplacement(member, request.understandsSkipAssignment, oldLeaderId);
  }

  /** The new id must outlive a crash, or the member would be unknown under the only id it has. */
  #storeReplacement(member: Member, understandsSkipAssignment: boolean, oldLeaderId: string): void {
    const { generationId } = this.rebalance;
    const newMemberId = member.memberId;
    const isWanted = (): boolean =>
      this.#isStill('Stable', generationId) && this.members.get(newMemberId)?.isAwaitingJoin === true;
    this.#host.store(this, this.#currentAssignments(), isWanted, (error) => {
      // A rebalance that began meanwhile answers the parked join itself.
      if (!isWanted()) return;
      if (error !== Errors.NONE) {
        member.answerJoin(joinError('', error));
        return;
      }
      const current = this.rebalance.currentGeneration(member);
      member.answerJoin(
        understandsSkipAssignment
          ? { ...current, skipAssignment: current.leaderId === newMemberId }
          : // Older clients would assign again if they found themselves leading, and nobody would get the result.
            { ...current, leaderId: oldLeaderId, members: [] },
      );
    });
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

  #currentAssignments(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.members.all()].map((member) => [member.memberId, member.assignment]));
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

  /** The member, or why there is none. An instance id in use by another member id means: you were replaced. */
  #memberOf(identity: MemberIdentity): Member | ErrorCode {
    if (this.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE;
    if (identity.instanceId !== null) {
      const holder = this.members.staticMember(identity.instanceId);
      if (holder === undefined) return Errors.UNKNOWN_MEMBER_ID;
      return holder.memberId === identity.memberId ? holder : Errors.FENCED_INSTANCE_ID;
    }
    return this.members.get(identity.memberId) ?? Errors.UNKNOWN_MEMBER_ID;
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
