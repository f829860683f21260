import type { Operation, OperationKind } from '../history/operation.ts';

export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Stall extends Window {
  readonly client: string;
  readonly ms: number;
}

export interface StallSummary {
  /** Of all pauses between two successes of a client, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface Successes {
  readonly times: number[];
  lastMs: number;
}

/** When each client succeeded: what was between is what its user waited. */
export class Stalls {
  readonly #byKind = new Map<OperationKind, Map<string, Successes>>();

  add({ client, f, type, t0, t1 }: Operation): void {
    let clients = this.#byKind.get(f);
    if (clients === undefined) this.#byKind.set(f, (clients = new Map<string, Successes>()));
    let seen = clients.get(client);
    // A client's first success is waited for from the moment it first asked.
    if (seen === undefined) clients.set(client, (seen = { times: [t0], lastMs: t1 }));
    if (type === 'ok') seen.times.push(t1);
    seen.lastMs = Math.max(seen.lastMs, t1);
  }

  clients(f: OperationKind): readonly string[] {
    return [...(this.#byKind.get(f)?.keys() ?? [])];
  }

  /** The pauses of one client, or of all, that touch the window; whole ones, also where they reach beyond it. */
  pauses(f: OperationKind, window?: Window, client?: string): readonly Stall[] {
    const clients = this.#byKind.get(f) ?? new Map<string, Successes>();
    const stalls: Stall[] = [];
    for (const [name, { times, lastMs }] of clients) {
      if (client !== undefined && name !== client) continue;
      for (const [n, toMs] of [...times.slice(1), lastMs].entries()) {
        const fromMs = times[n] ?? toMs;
        // The last pause is one only when the client went on asking.
        if (toMs <= fromMs) continue;
        if (window !== undefined && (toMs < window.fromMs || fromMs > window.toMs)) continue;
        stalls.push({ client: name, fromMs, toMs, ms: toMs - fromMs });
      }
    }
    return stalls;
  }

  summary(f: OperationKind, window?: Window, client?: string): StallSummary | undefined {
    const sorted = Float64Array.from(this.pauses(f, window, client), ({ ms }) => ms).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return sorted.length === 0 ? undefined : { p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  longest(f: OperationKind, window?: Window): Stall | undefined {
    let longest: Stall | undefined;
    for (const stall of this.pauses(f, window)) {
      if (longest === undefined || stall.ms > longest.ms) longest = stall;
    }
    return longest;
  }
}
