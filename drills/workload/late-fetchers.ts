import { createRequire } from 'node:module';

interface Runner {
  readonly running: boolean;
  readonly fetchManager: { stop(): Promise<void> };
  fetch: (this: Runner, nodeId: number) => Promise<readonly unknown[]>;
}

/**
 * kafkajs 2.2.4 makes its fetchers anew when a broker came or went, also when the consumer is stopped meanwhile. Nobody stops the
 * new ones: each asks for nothing, again and again, in promise reactions alone, and the process does nothing else for ever. Seen
 * in pause-broker, whose broker comes back just before the end. So whoever asks after the stop is stopped here.
 */
export function stopLateFetchers(): void {
  const require = createRequire(import.meta.url);
  const { prototype } = require('kafkajs/src/consumer/runner') as { readonly prototype: Runner };
  const { fetch } = prototype;
  prototype.fetch = function (nodeId) {
    if (!this.running) void this.fetchManager.stop();
    return fetch.call(this, nodeId);
  };
}
