/** Bounds of one connection; each side keeps its own. */
export interface RpcLimits {
  /** Longest frame, its length field not counted. Both sides must agree: a longer one ends the connection. */
  readonly frameMaxBytes: number;
  /** Longest JSON document of a frame: parsed it takes many times as much memory. */
  readonly documentMaxBytes: number;
  /** Blobs of a frame: each costs an object, also when it is empty. */
  readonly blobsMax: number;
  /**
   * Requests sent and not answered. The client counts those that timed out until their answer comes, because the
   * server may still work on them; so a client never exceeds a server of the same limit.
   */
  readonly inFlightMax: number;
  /** Bytes of requests that the server works on. */
  readonly inFlightMaxBytes: number;
  /**
   * Bytes handed to the socket that the peer has not taken. A client refuses calls that would exceed it; a server
   * reads no further request above half of it, and ends the connection when an answer exceeds it.
   */
  readonly unsentMaxBytes: number;
  /** A peer that takes nothing of what is unsent for so long is gone. */
  readonly sendDeadlineMs: number;
  /** A frame that began to arrive is complete after this. */
  readonly frameDeadlineMs: number;
  /** A connection on which nothing is in flight, and nothing is asked or answered, is closed after this. */
  readonly idleDeadlineMs: number;
}

const MIB = 1024 * 1024;

export const RPC_LIMITS: RpcLimits = {
  frameMaxBytes: 16 * MIB,
  documentMaxBytes: 4 * MIB,
  blobsMax: 16_384,
  inFlightMax: 256,
  inFlightMaxBytes: 64 * MIB,
  unsentMaxBytes: 32 * MIB,
  sendDeadlineMs: 30_000,
  frameDeadlineMs: 30_000,
  idleDeadlineMs: 120_000,
};
