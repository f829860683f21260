import { Errors, type ErrorCode } from '../../wire/errors.ts';
import type { RequestContext } from '../api.ts';
import type { BrokerEndpoint, Services } from '../services.ts';
import { findTopic, type TopicRef } from './partition-access.ts';

export interface LeaderHint {
  readonly currentLeader?: { readonly leaderId: number; readonly leaderEpoch: number };
}

export interface NodeEndpoint {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

const NO_HINT: LeaderHint = {};

/** Whether an answer is to say who leads: the client came to the wrong broker, or knows an older leader. */
export function wantsLeader(error: ErrorCode): boolean {
  return error === Errors.NOT_LEADER_OR_FOLLOWER || error === Errors.FENCED_LEADER_EPOCH;
}

/**
 * KIP-951: an answer that sends a client elsewhere says where, which spares it the round of Metadata. For one answer,
 * made only when it has such an error. A leader that cannot be reached is no hint; neither is this broker, when it leads
 * a partition that it cannot serve at the moment (a move begins): the client would be back at once.
 */
export class LeaderHints {
  readonly #services: Services;
  readonly #byId: boolean;
  readonly #reachable: ReadonlyMap<number, BrokerEndpoint>;
  readonly #named = new Map<number, NodeEndpoint>();

  /** `byId`: the request names its topics by id. */
  constructor(services: Services, context: RequestContext, byId: boolean) {
    this.#services = services;
    this.#byId = byId;
    const endpoints = services.brokers.reachableFrom(context.connection.local);
    this.#reachable = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  }

  /** Of a partition that is answered with `error`. */
  of(ref: TopicRef, index: number, error: ErrorCode): LeaderHint {
    if (!wantsLeader(error)) return NO_HINT;
    const topic = findTopic(this.#services, ref, this.#byId);
    const partition = typeof topic === 'number' ? undefined : topic.partitions[index];
    if (partition === undefined) return NO_HINT;
    const { leaderId, leaderEpoch } = partition;
    const endpoint = this.#reachable.get(leaderId);
    const isSelf = leaderId === this.#services.brokerId;
    if (endpoint === undefined || (isSelf && error === Errors.NOT_LEADER_OR_FOLLOWER)) return NO_HINT;
    const { host, port, rack } = endpoint;
    this.#named.set(leaderId, { nodeId: leaderId, host, port, rack });
    return { currentLeader: { leaderId, leaderEpoch } };
  }

  /** Every leader named so far, once. */
  get nodeEndpoints(): readonly NodeEndpoint[] {
    return [...this.#named.values()];
  }
}
