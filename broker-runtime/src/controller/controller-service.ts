import { MillraceError } from '../base/errors.ts';
import type { NodeRef } from '../metadata/cluster-metadata.ts';
import { readNodeLoad } from '../metadata/node-load.ts';
import type { RpcBody } from '../rpc/frame.ts';
import type { RpcHandler } from '../rpc/server.ts';
import type { Controller } from './controller.ts';

/** One answer has so much of the log at most, and one entry more. */
const MAX_FOLLOW_BYTES = 1024 * 1024;
/** A follower asks again after this, so that it finds out when the controller is gone. */
const MAX_FOLLOW_WAIT_MS = 10_000;

/** A command document is malformed: another release, or not one of our processes. */
export class BadCommandError extends MillraceError {
  readonly code = 'BAD_COMMAND';
}

/** This process does not lead; look for the controller anew. Nothing was done. */
export class NotControllerError extends MillraceError {
  readonly code = 'NOT_CONTROLLER';
}

/**
 * What brokers ask the controller (docs/cluster.md). `current` is the term this process leads, while its lease is valid:
 * asked before the work and, for heartbeats, in the same turn as the answer, because an answered heartbeat extends a
 * node's lease (protocol 3.4).
 */
export function controllerHandlers(current: () => Controller | undefined): ReadonlyMap<string, RpcHandler> {
  const leading = (): Controller => {
    const controller = current();
    if (controller === undefined) throw new NotControllerError('this process is not the controller');
    return controller;
  };
  return new Map<string, RpcHandler>([
    [
      'follow',
      async ({ json }, { signal }) => {
        const { after, maxWaitMs } = json as { after: number; maxWaitMs: number };
        const controller = leading();
        const waitMs = Math.min(maxWaitMs, MAX_FOLLOW_WAIT_MS);
        const recent = await controller.follow(after, waitMs, MAX_FOLLOW_BYTES, signal);
        return recent === 'too-far-behind'
          ? body({ epoch: controller.epoch, tooFarBehind: true })
          : { json: { epoch: controller.epoch }, blobs: recent.entries };
      },
    ],
    [
      'command',
      async ({ json }) => {
        const { name, args, node } = json as { name: string; args: unknown; node: NodeRef };
        const controller = leading();
        if (!controller.isCommand(name)) {
          throw new BadCommandError(
            `'${name}' is no command of this release; upgrade the controller's broker first`,
          );
        }
        // Sent by a broker of this cluster, whose compiler checked the arguments against the same table.
        return body(await controller.command(name, args as never, node));
      },
    ],
    [
      'heartbeat',
      ({ json }) => {
        const { node, load } = json as { node: NodeRef; load?: unknown };
        const controller = leading();
        const isAlive = controller.heartbeat(node, readNodeLoad(load));
        return Promise.resolve(body({ epoch: controller.epoch, isAlive }));
      },
    ],
    ['balance-proposal', () => Promise.resolve(body(leading().proposeBalance()))],
  ]);
}

function body(json: unknown): RpcBody {
  return { json, blobs: [] };
}
