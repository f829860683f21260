import { backoffMs } from '../base/backoff.ts';
import { ClosedError, MillraceError, messageOf } from '../base/errors.ts';
import type { NodeRef } from '../metadata/cluster-metadata.ts';
import {
  type CommandArgs,
  type CommandName,
  type CommandResult,
  type Commands,
  NodeFencedError,
  NodeRecoveringError,
  StaleRecoveryError,
} from '../metadata/commands.ts';
import type { Env } from '../ports/env.ts';
import { ConnectError } from '../ports/network.ts';
import { RpcError, RpcRefusedError } from '../rpc/errors.ts';
import { ManifestConflictError } from '../store/manifest.ts';
import { UnknownStreamError } from '../store/stream.ts';
import type { LogFollower } from '../wal/log-follower.ts';
import { BucketUnreachableError, type ControllerLink, NoControllerError } from './controller-link.ts';

/** How long one try may take: a commit waits for one put at the object store, two when another one is under way. */
const TRY_TIMEOUT_MS = 15_000;
/** What a client asked for is answered within this, done or not: below the 30 s clients wait for a request. */
const CLIENT_DEADLINE_MS = 25_000;
const PAUSE = { firstMs: 50, maxMs: 2_000 };

/** Not repeated when it may have been done already: doing it again would have another outcome. */
const ONCE: ReadonlySet<CommandName> = new Set([
  'topics.create',
  'topics.delete',
  'partitions.create',
  'configs.alter',
]);
/** Somebody waits at a socket; all else is repeated until it is done, or this broker ends. */
const FOR_CLIENTS: ReadonlySet<CommandName> = new Set([...ONCE, 'producer-ids.allocate', 'partitions.move']);

/** Refusals of a process that does not lead, or has too much to do: nothing was decided. */
const NOT_NOW: ReadonlySet<string> = new Set(['NOT_CONTROLLER', 'JOURNAL_BUSY', 'BUSY']);
/** Answers of a controller that does not know itself what became of it. */
const UNKNOWN: ReadonlySet<string> = new Set(['JOURNAL_CLOSED', 'CLOSED', 'ANSWER_TOO_LARGE']);

export interface RemoteCommandsParts {
  readonly env: Env;
  readonly link: ControllerLink;
  readonly follower: LogFollower;
  /** This node's life; undefined before it is registered. */
  readonly self: () => NodeRef | undefined;
  readonly nodeId: number;
  /** Ends what is being repeated. */
  readonly signal: AbortSignal;
}

/** Commands to the controller, wherever it is at the moment. */
export class RemoteCommands implements Commands {
  readonly #parts: RemoteCommandsParts;

  constructor(parts: RemoteCommandsParts) {
    this.#parts = parts;
  }

  async send<N extends CommandName>(name: N, args: CommandArgs<N>): Promise<CommandResult<N>> {
    const { env, signal } = this.#parts;
    const begunMs = env.clock.monotonicMs();
    for (let repeat = 0; ; repeat++) {
      try {
        return await this.#try(name, args);
      } catch (error) {
        const outcome = outcomeOf(error);
        if (outcome === 'refused') throw error instanceof RpcRefusedError ? known(error) : error;
        const isLate = env.clock.monotonicMs() - begunMs > CLIENT_DEADLINE_MS;
        if ((outcome === 'unknown' && ONCE.has(name)) || (isLate && FOR_CLIENTS.has(name))) {
          throw new ControllerUnreachableError(
            outcome === 'unknown'
              ? `the controller did not answer ${name}: it may have been done or not`
              : `${name} was not done: ${messageOf(error)}`,
            { cause: error },
          );
        }
      }
      if (signal.aborted) throw new ClosedError('this broker closed before the controller answered');
      await env.clock.sleep(backoffMs(repeat, PAUSE, env.random), signal);
    }
  }

  async #try<N extends CommandName>(name: N, args: CommandArgs<N>): Promise<CommandResult<N>> {
    const { link, follower, self, nodeId, signal } = this.#parts;
    const node = self() ?? { nodeId, nodeEpoch: 0 };
    const answer = await link.call('command', { json: { name, args, node }, blobs: [] }, TRY_TIMEOUT_MS);
    const { result, sequence } = answer.json as { result: CommandResult<N>; sequence: number };
    await follower.whenApplied(sequence, signal);
    return result;
  }
}

/** The controller could not be asked, or its answer was lost. */
export class ControllerUnreachableError extends MillraceError {
  readonly code = 'CONTROLLER_UNREACHABLE';
}

/** `undone`: nothing happened, ask again. `unknown`: it may have happened. `refused`: it was decided against. */
function outcomeOf(error: unknown): 'undone' | 'unknown' | 'refused' {
  if (
    error instanceof NoControllerError ||
    error instanceof BucketUnreachableError ||
    error instanceof ConnectError
  ) {
    return 'undone';
  }
  if (error instanceof RpcError) return error.mayHaveRun ? 'unknown' : 'undone';
  if (!(error instanceof RpcRefusedError)) return 'refused';
  if (NOT_NOW.has(error.code)) return 'undone';
  return UNKNOWN.has(error.code) ? 'unknown' : 'refused';
}

/** Errors that callers tell apart, as the classes they know. */
function known(error: RpcRefusedError): Error {
  const { code, message } = error;
  switch (code) {
    case 'NODE_FENCED':
      return new NodeFencedError(message);
    case 'NODE_RECOVERING':
      return new NodeRecoveringError(message);
    case 'STALE_RECOVERY':
      return new StaleRecoveryError(message);
    case 'MANIFEST_CONFLICT':
      return new ManifestConflictError(message);
    case 'UNKNOWN_STREAM':
      return new UnknownStreamError(message);
    default:
      return error;
  }
}
