import { invariant } from '../base/errors.ts';
import { Errors, type ErrorCode } from '../wire/errors.ts';
import type { MemberIdentity } from './group-requests.ts';
import {
  memberBytes,
  type JoinedMember,
  type Member,
  type MemberOptions,
  type MemberProtocol,
} from './member.ts';

/**
 * Who belongs to a group: members by id, static members by instance id, the leader, and what all of them can speak.
 * No time, no states, no answers: those are {@link Group}'s.
 */
export class Membership {
  readonly #members = new Map<string, Member>();
  readonly #staticIds = new Map<string, string>();
  /** How many members support each protocol. */
  readonly #supporters = new Map<string, number>();
  #leaderId: string | undefined;
  #sizeBytes = 0;

  get size(): number {
    return this.#members.size;
  }

  /** Ids, protocol names and metadata of all members together. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get leaderId(): string | undefined {
    return this.#leaderId;
  }

  get(memberId: string): Member | undefined {
    return this.#members.get(memberId);
  }

  all(): Iterable<Member> {
    return this.#members.values();
  }

  staticMember(instanceId: string): Member | undefined {
    const memberId = this.#staticIds.get(instanceId);
    return memberId === undefined ? undefined : this.#members.get(memberId);
  }

  /** The member, or why there is none. An instance id in use by another member id means: you were replaced. */
  identify({ memberId, instanceId }: MemberIdentity): Member | ErrorCode {
    if (instanceId === null) return this.get(memberId) ?? Errors.UNKNOWN_MEMBER_ID;
    const holder = this.staticMember(instanceId);
    if (holder === undefined) return Errors.UNKNOWN_MEMBER_ID;
    return holder.memberId === memberId ? holder : Errors.FENCED_INSTANCE_ID;
  }

  /** The first member leads until it leaves or misses a rebalance. */
  add(member: Member): void {
    invariant(!this.#members.has(member.memberId), 'group', 'a member id is used once', {
      memberId: member.memberId,
    });
    this.#members.set(member.memberId, member);
    if (member.instanceId !== null) this.#staticIds.set(member.instanceId, member.memberId);
    this.#count(member.protocols, 1);
    this.#sizeBytes += memberBytes(member);
    this.#leaderId ??= member.memberId;
  }

  remove(member: Member): void {
    if (!this.#members.delete(member.memberId)) return;
    if (member.instanceId !== null) this.#staticIds.delete(member.instanceId);
    this.#count(member.protocols, -1);
    this.#sizeBytes -= memberBytes(member);
    if (this.#leaderId === member.memberId) this.#leaderId = this.#members.keys().next().value;
  }

  /** Gives a static member a new id; it keeps its place, its assignment and, if it led, the lead. */
  rename(member: Member, newMemberId: string): void {
    this.#members.delete(member.memberId);
    if (this.#leaderId === member.memberId) this.#leaderId = newMemberId;
    this.#sizeBytes += newMemberId.length - member.memberId.length;
    member.memberId = newMemberId;
    this.#members.set(newMemberId, member);
    if (member.instanceId !== null) this.#staticIds.set(member.instanceId, newMemberId);
  }

  /** A member joined again: everything it says about itself may have changed. */
  update(member: Member, to: Omit<MemberOptions, 'memberId' | 'instanceId'>): void {
    this.#count(member.protocols, -1);
    this.#sizeBytes -= memberBytes(member);
    member.clientId = to.clientId;
    member.clientHost = to.clientHost;
    member.rebalanceTimeoutMs = to.rebalanceTimeoutMs;
    member.sessionTimeoutMs = to.sessionTimeoutMs;
    member.protocols = to.protocols;
    this.#sizeBytes += memberBytes(member);
    this.#count(member.protocols, 1);
  }

  /** Keeps a leader that rejoined; otherwise the first member that did. False when none did. */
  electLeader(): boolean {
    if (this.#leaderId !== undefined && this.get(this.#leaderId)?.isAwaitingJoin === true) return true;
    for (const member of this.all()) {
      if (!member.isAwaitingJoin) continue;
      this.#leaderId = member.memberId;
      return true;
    }
    return false;
  }

  restoreLeader(leaderId: string | null): void {
    if (leaderId !== null && this.#members.has(leaderId)) this.#leaderId = leaderId;
  }

  hasEveryoneJoined(): boolean {
    for (const member of this.all()) if (!member.isAwaitingJoin) return false;
    return true;
  }

  awaitingJoin(): number {
    let count = 0;
    for (const member of this.all()) if (member.isAwaitingJoin) count++;
    return count;
  }

  /** Whether at least one of these protocols is spoken by every member already here. */
  shares(protocols: readonly MemberProtocol[]): boolean {
    return protocols.some(({ name }) => this.#supporters.get(name) === this.size);
  }

  /**
   * Every member votes for the first of its protocols that all members speak; most votes win, and among equals the
   * one that the earliest member prefers. Undefined only for a group without members.
   */
  vote(): string | undefined {
    const votes = new Map<string, number>();
    for (const member of this.all()) {
      const choice = member.protocols.find(({ name }) => this.#supporters.get(name) === this.size);
      invariant(choice !== undefined, 'group', 'members that share no protocol were let in');
      votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1);
    }
    let winner: string | undefined;
    for (const [name, count] of votes) {
      if (winner === undefined || count > (votes.get(winner) ?? 0)) winner = name;
    }
    return winner;
  }

  /** What the leader is given to compute an assignment from. */
  describeFor(protocolName: string | undefined): readonly JoinedMember[] {
    return [...this.all()].map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      metadata: member.metadataOf(protocolName),
    }));
  }

  largestRebalanceTimeoutMs(): number {
    let largestMs = 0;
    for (const member of this.all()) largestMs = Math.max(largestMs, member.rebalanceTimeoutMs);
    return largestMs;
  }

  #count(protocols: readonly MemberProtocol[], by: 1 | -1): void {
    // A protocol listed twice by one member counts once, or the others would seem to speak it too.
    for (const name of new Set(protocols.map((protocol) => protocol.name))) {
      const count = (this.#supporters.get(name) ?? 0) + by;
      if (count === 0) this.#supporters.delete(name);
      else this.#supporters.set(name, count);
    }
  }
}
