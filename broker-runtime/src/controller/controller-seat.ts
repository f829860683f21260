import type { Env } from '../ports/env.ts';
import type { Address } from '../ports/network.ts';
import type { ObjectStore } from '../ports/object-store.ts';
import { Controller } from './controller.ts';
import { Election, type Term } from './election.ts';

export interface ControllerSeatOptions {
  readonly nodeId: number;
  /** Where brokers reach this process. */
  readonly address: Address;
  readonly staticSettings: ReadonlyMap<string, string>;
  readonly sessionTimeoutMs: number;
  /** Highest controller epoch this process saw in the log. */
  readonly epochSeen: () => number;
  /** The election cannot go on: no permission, or a lease that cannot be read. */
  readonly onFatal: (error: Error) => void;
}

/**
 * A controller that stepped aside does not do so again for so long: it comes back to the seat when nobody else took it, or
 * when those who did were no better off, as when every zone is cut off from every other. Somebody has to act in the end.
 */
const STEP_ASIDE_AGAIN_MS = 60_000;

/** The seat of the controller in one process: it runs for it, and holds a {@link Controller} while it is elected. */
export class ControllerSeat {
  readonly #env: Env;
  readonly #objects: ObjectStore;
  readonly #options: ControllerSeatOptions;
  readonly #election: Election;
  #term: Term | undefined;
  #controller: Controller | undefined;
  #steppedAsideMs = -Infinity;

  constructor(env: Env, objects: ObjectStore, options: ControllerSeatOptions) {
    this.#env = env;
    this.#objects = objects;
    this.#options = options;
    this.#election = new Election(env, objects, {
      ...options.address,
      // The process that is node N holds N's WAL exclusively: a lease of node N is ours, or of a life that is over.
      ownerId: `node ${options.nodeId}`,
      epochSeen: options.epochSeen,
      onFailed: options.onFatal,
    });
  }

  /** The controller, while this process leads and can prove it: ask again before every answer (R5). */
  get current(): Controller | undefined {
    return this.#term?.isValid() === true ? this.#controller : undefined;
  }

  start(): void {
    this.#election.start(
      (term) => this.#serve(term),
      () => this.#end(),
    );
  }

  /** Who says that it leads, read from the bucket. @throws {ObjectStoreError} */
  leader(): Promise<Address | undefined> {
    return this.#election.currentLeader();
  }

  /** Gives the seat to whoever wants it next. */
  close(): Promise<void> {
    return this.#election.stop();
  }

  async #serve(term: Term): Promise<void> {
    const { nodeId, staticSettings, sessionTimeoutMs } = this.#options;
    const { clock } = this.#env;
    const hasSteppedAside = clock.monotonicMs() - this.#steppedAsideMs < STEP_ASIDE_AGAIN_MS;
    const stepAside = (reason: Error): void => {
      this.#steppedAsideMs = clock.monotonicMs();
      term.end('unheard', reason);
    };
    const controller = await Controller.open(this.#env, this.#objects, {
      nodeId,
      staticSettings,
      sessionTimeoutMs,
      minimumEpoch: term.epoch,
      isLeading: () => term.isValid(),
      signal: term.signal,
      onEnded: (error) => term.end('superseded', error),
      stepAside: hasSteppedAside ? undefined : stepAside,
    });
    if (term.signal.aborted) {
      await controller.close();
      return;
    }
    this.#term = term;
    this.#controller = controller;
    this.#env.events.info('controller.serving', { nodeId, epoch: controller.epoch });
  }

  async #end(): Promise<void> {
    const controller = this.#controller;
    this.#controller = undefined;
    this.#term = undefined;
    await controller?.close();
  }
}
