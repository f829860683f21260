/** Randomness. In the simulator every call is drawn from the seed. */
export interface Random {
  /** A uniformly distributed integer, 0 ≤ n < `bound`; `bound` ≤ 2^32. */
  below(bound: number): number;

  /** Fresh random bytes, good enough for ids that must never collide. */
  bytes(length: number): Uint8Array;

  /** An RFC 4122 version 4 UUID in lower-case text form. */
  uuid(): string;
}
