import type { MemberProtocol } from './member.ts';

/** What clients ask of a group; the handlers of the server fill these. */
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
