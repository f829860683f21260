/**
 * Limits of the listener, in one table. Kafka's name stands beside those it has. Every queue, wait and buffer of this
 * room is bounded by a row here.
 */
export interface ServerOptions {
  /** Largest request, without its length field (`socket.request.max.bytes`); larger closes the connection. */
  readonly requestMaxBytes: number;
  /** Memory for requests being received or worked on, over all connections (`queued.max.request.bytes`). */
  readonly requestMemoryBytes: number;
  /** Memory for bytes already read behind a request that waits for its turn. */
  readonly readAheadMemoryBytes: number;
  /** Request buffers kept for reuse while nobody needs them, beside what of `requestMemoryBytes` is not in use. */
  readonly idleFramesBytes: number;
  /** Record bytes that fetches may collect and hold until they are sent, over all connections. */
  readonly fetchMemoryBytes: number;
  /** Most a single fetch returns (`fetch.max.bytes`), unless its first batch alone is larger (KIP-74). */
  readonly fetchMaxBytes: number;
  /** Longest a fetch may park, whatever the client asks. */
  readonly fetchMaxWaitMs: number;

  /** Requests of one connection received and not yet answered; then reading stops. */
  readonly requestsInFlightMax: number;
  /** A connection with more unsent reply bytes than this starts no further request. */
  readonly unsentMaxBytes: number;
  /** Reply bytes must have left within this time. */
  readonly sendDeadlineMs: number;
  /** The same while other fetches wait for the memory that unsent replies hold. */
  readonly sendDeadlineUnderPressureMs: number;
  /** A request whose first byte came must be complete within this time. */
  readonly frameDeadlineMs: number;
  /** A connection with nothing to do is closed after this time (`connections.max.idle.ms`). */
  readonly idleDeadlineMs: number;

  /** `max.connections`. */
  readonly connectionsMax: number;
  /** `max.connections.per.ip`. */
  readonly connectionsPerAddressMax: number;
  /** `max.connection.creation.rate`, as a token bucket that holds one second's worth. */
  readonly connectionsPerSecondMax: number;
  /** How long `close` lets requests in flight finish. */
  readonly closeGraceMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** Upper bound of {@link ServerOptions.requestMaxBytes}: Kafka's own default. */
export const REQUEST_BYTES_CEILING = 100 * MIB;

export const DEFAULT_SERVER_OPTIONS: ServerOptions = {
  // Producers send at most 1 MiB a request by default; ten times that leaves room for many partitions at once.
  requestMaxBytes: 10 * MIB,
  // Two thirds of a second of produce at 100 MiB/s: more would only queue in front of the WAL.
  requestMemoryBytes: 64 * MIB,
  // One read is at most 256 KiB; 64 connections at a time may be caught with a full one.
  readAheadMemoryBytes: 16 * MIB,
  idleFramesBytes: 16 * MIB,
  fetchMemoryBytes: 64 * MIB,
  fetchMaxBytes: 55 * MIB,
  // Clients ask for 0.5 s (Java) to 5 s (kafkajs) and time out after 30 s.
  fetchMaxWaitMs: 30_000,
  // Java sends 5 ahead, librdkafka without bound; beyond this a client's own queue is the better place.
  requestsInFlightMax: 100,
  unsentMaxBytes: 256 * KIB,
  // No client waits longer for an answer (Java and kafkajs 30 s, librdkafka 60 s).
  sendDeadlineMs: 60_000,
  // A fetch holds at most 4 MiB by default: 3.4 Mbit/s are enough to keep out of this.
  sendDeadlineUnderPressureMs: 10_000,
  // A full 10 MiB request over 3 Mbit/s.
  frameDeadlineMs: 30_000,
  idleDeadlineMs: 600_000,
  connectionsMax: 10_000,
  connectionsPerAddressMax: 1_000,
  connectionsPerSecondMax: 100,
  // Appends finish in milliseconds; what remains are long polls, whose clients simply reconnect.
  closeGraceMs: 2_000,
};
