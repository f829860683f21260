import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { GroupConfig } from './group-config.ts';
import type { JoinRequest } from './group-requests.ts';
import {
  joinError,
  memberBytes,
  syncError,
  type JoinAnswer,
  type Member,
  type MemberOptions,
} from './member.ts';
import type { Membership } from './membership.ts';
import type { PendingMembers } from './pending-members.ts';
import type { GroupState, Rebalance } from './rebalance.ts';

/** The part of a client id that goes into member ids: ids are strings of at most 32 KiB on the wire. */
const MEMBER_ID_PREFIX_LENGTH = 255;

/** The group, as the way into it needs it. */
export interface JoiningHost {
  readonly config: GroupConfig;
  /** A fresh member id; the prefix makes it readable. */
  newMemberId(prefix: string): string;
  newMember(options: MemberOptions): Member;
  remove(member: Member): void;
  isStill(state: GroupState, generationId: number): boolean;
  /** As {@link GroupHost.store}. */
  store(
    assignments: ReadonlyMap<string, Uint8Array>,
    isWanted: () => boolean,
    done: (error: ErrorCode) => void,
  ): void;
}

/** The way into a group: who is let in, under which id, and what a member changes that joins again. */
export class Joining {
  readonly #members: Membership;
  readonly #rebalance: Rebalance;
  readonly #pending: PendingMembers;
  readonly #group: JoiningHost;

  constructor(members: Membership, rebalance: Rebalance, pending: PendingMembers, group: JoiningHost) {
    this.#members = members;
    this.#rebalance = rebalance;
    this.#pending = pending;
    this.#group = group;
  }

  /** Of a group that is not dead. */
  join(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (!this.#hasRoomFor(request)) {
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

  /**
   * New members are let in up to the maximum, members of a settled group always. During a rebalance those that came
   * first stay: the size itself may be too large after the limit was lowered.
   */
  #hasRoomFor(request: JoinRequest): boolean {
    const { maxGroupSize, maxGroupBytes } = this.#group.config;
    const known =
      request.memberId === ''
        ? request.instanceId === null
          ? undefined
          : this.#members.staticMember(request.instanceId)
        : this.#members.get(request.memberId);
    const replacedBytes = known === undefined ? 0 : memberBytes(known);
    if (this.#members.sizeBytes - replacedBytes + memberBytes(request) > maxGroupBytes) return false;
    if (this.#rebalance.state === 'Empty') return true;
    if (this.#rebalance.state === 'PreparingRebalance') {
      return known?.isAwaitingJoin === true || this.#members.awaitingJoin() < maxGroupSize;
    }
    return known !== undefined || this.#members.size < maxGroupSize;
  }

  #dropFromFullGroup(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member !== undefined) this.#group.remove(member);
    else if (this.#pending.take(memberId)) this.#rebalance.completeIfEveryoneJoined();
  }

  #speaksWith(request: JoinRequest): boolean {
    if (this.#members.size === 0) return request.protocolType !== '' && request.protocols.length > 0;
    return request.protocolType === this.#rebalance.protocolType && this.#members.shares(request.protocols);
  }

  #joinAsNew(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    const { instanceId } = request;
    const prefix = (instanceId ?? request.clientId).slice(0, MEMBER_ID_PREFIX_LENGTH);
    const memberId = this.#group.newMemberId(prefix);
    const replaced = instanceId === null ? undefined : this.#members.staticMember(instanceId);
    if (replaced !== undefined) this.#replaceStatic(replaced, memberId, request, answer);
    else if (instanceId === null && request.requiresMemberId) this.#expect(memberId, request, answer);
    else this.#add(memberId, request, answer);
  }

  #joinAsKnown(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (request.instanceId === null && this.#pending.take(request.memberId)) {
      this.#add(request.memberId, request, answer);
      return;
    }
    const member = this.#members.identify(request);
    if (typeof member === 'number') {
      answer(joinError(request.memberId, member));
      return;
    }
    const settled = this.#rebalance.state === 'Stable' || this.#rebalance.state === 'CompletingRebalance';
    // A leader that joins a stable group knows of changes that no metadata shows: new partitions of its topics.
    const wantsRebalance = this.#rebalance.state === 'Stable' && member.memberId === this.#members.leaderId;
    if (settled && !wantsRebalance && member.speaksExactly(request.protocols)) {
      answer(this.#rebalance.currentGeneration(member));
      return;
    }
    this.#members.update(member, request);
    member.parkJoin(answer);
    this.#rebalance.prepare();
  }

  #expect(memberId: string, request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    if (this.#pending.size >= this.#group.config.maxPendingMembers) {
      answer(joinError('', Errors.GROUP_MAX_SIZE_REACHED));
      return;
    }
    this.#pending.add(memberId, request.sessionTimeoutMs);
    answer(joinError(memberId, Errors.MEMBER_ID_REQUIRED));
  }

  #add(memberId: string, request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    const member = this.#group.newMember({ ...request, memberId });
    member.parkJoin(answer);
    this.#members.add(member);
    member.session.set(this.#group.config.newMemberJoinTimeoutMs);
    this.#rebalance.memberAdded(request.protocolType);
    this.#rebalance.prepare();
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
    const oldLeaderId = this.#members.leaderId ?? '';
    member.answerJoin(joinError(oldMemberId, Errors.FENCED_INSTANCE_ID));
    member.answerSync(syncError(Errors.FENCED_INSTANCE_ID));
    this.#members.rename(member, newMemberId);
    this.#rebalance.memberRenamed(oldMemberId);
    this.#members.update(member, request);
    member.parkJoin(answer);
    member.session.set(member.sessionTimeoutMs);
    if (this.#rebalance.state !== 'Stable' || this.#members.vote() !== this.#rebalance.protocolName) {
      // A leader may be assigning to the old id at this moment: the new one would get nothing.
      this.#rebalance.prepare();
      return;
    }
    this.#storeReplacement(member, request.understandsSkipAssignment, oldLeaderId);
  }

  /** The new id must outlive a crash, or the member would be unknown under the only id it has. */
  #storeReplacement(member: Member, understandsSkipAssignment: boolean, oldLeaderId: string): void {
    const { generationId } = this.#rebalance;
    const newMemberId = member.memberId;
    const isWanted = (): boolean =>
      this.#group.isStill('Stable', generationId) && this.#members.get(newMemberId)?.isAwaitingJoin === true;
    this.#group.store(this.#currentAssignments(), isWanted, (error) => {
      // A rebalance that began meanwhile answers the parked join itself.
      if (!isWanted()) return;
      if (error !== Errors.NONE) {
        member.answerJoin(joinError('', error));
        return;
      }
      const current = this.#rebalance.currentGeneration(member);
      member.answerJoin(
        understandsSkipAssignment
          ? { ...current, skipAssignment: current.leaderId === newMemberId }
          : // Older clients would assign again if they found themselves leading, and nobody would get the result.
            { ...current, leaderId: oldLeaderId, members: [] },
      );
    });
  }

  #currentAssignments(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#members.all()].map((member) => [member.memberId, member.assignment]));
  }
}
