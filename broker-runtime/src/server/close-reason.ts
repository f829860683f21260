/** Why the server closed a connection. Stable: counted, logged, and asked for by tests. */
export type CloseReason =
  /** A length field that no request has: TLS or HTTP on this port, or a hostile peer. */
  | 'frame-length'
  /** Too much was sent ahead while requests wait for memory. */
  | 'read-ahead-memory'
  | 'malformed-request'
  | 'unsupported-request'
  /** A handler failed and the response cannot say so. */
  | 'failed-request'
  /** Produce with acks=0 failed: closing is the only way to tell (Kafka does the same). */
  | 'unanswerable-error'
  /** No room in the WAL for as long as the producer wanted to wait; told in the last answer. */
  | 'produce-timeout'
  | 'frame-deadline'
  | 'idle-deadline'
  | 'send-deadline'
  | 'too-many-connections'
  | 'shutdown';
