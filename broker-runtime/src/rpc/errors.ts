import { MillraceError } from '../base/errors.ts';

/**
 * TIMED_OUT: no answer came in time. DISCONNECTED: the connection ended first. BUSY: too much is under way on this
 * connection. TOO_LARGE: the request exceeds a limit of the frame.
 */
export type RpcErrorCode = 'TIMED_OUT' | 'DISCONNECTED' | 'BUSY' | 'TOO_LARGE';

/** A call without an answer. */
export class RpcError extends MillraceError {
  readonly code: RpcErrorCode;
  /** False: the request never left, so repeating is safe. True: the peer may or may not have acted on it. */
  readonly mayHaveRun: boolean;

  constructor(code: RpcErrorCode, mayHaveRun: boolean, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.mayHaveRun = mayHaveRun;
  }
}

/** The peer answered with an error: `code` and message are the peer's own, or one of {@link RPC_REFUSAL}. */
export class RpcRefusedError extends MillraceError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Codes of errors that come from the server itself, not from a handler. */
export const RPC_REFUSAL = {
  /** No handler has this name. Not run. */
  unknownMethod: 'UNKNOWN_METHOD',
  /** More requests are in flight on the connection than the server allows. Not run. */
  busy: 'BUSY',
  /** The handler failed in a way that is a fault of ours; an event of the server tells. It may have acted. */
  internal: 'INTERNAL',
  /** The handler ran, and its answer exceeds a limit of the frame. */
  answerTooLarge: 'ANSWER_TOO_LARGE',
} as const;

/** Why a connection was closed by us. Stable: in events, and in tests. */
export type RpcFault =
  | 'frame-length'
  | 'frame-checksum'
  | 'frame-content'
  | 'protocol'
  | 'frame-deadline'
  | 'idle-deadline'
  | 'send-deadline'
  | 'unsent-bytes'
  | 'shutdown';

/** The peer sent what no peer of ours sends, or did not send what it should in time. */
export class RpcFaultError extends MillraceError {
  readonly code = 'RPC_FAULT';
  readonly fault: RpcFault;

  constructor(fault: RpcFault, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.fault = fault;
  }
}
