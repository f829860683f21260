import type { Operation } from '../history/operation.ts';
import type { Findings } from './anomalies.ts';

const NONE = -1;

interface Register {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly commits: Commit[];
  readonly fetches: Access[];
}

interface Access {
  readonly client: string;
  readonly offset: number;
  readonly t0: number;
  readonly t1: number;
}

interface Commit extends Access {
  /** When it is sure to have happened: when it was acknowledged, or when its offset was first fetched. */
  doneMs: number;
}

/** The committed offset of a group in a partition is a register: a fetch gives the last commit, or a concurrent one (I16). */
export class GroupOffsets {
  readonly #registers = new Map<string, Register>();

  add({ client, f, type, t0, t1, group, ops }: Operation): void {
    if (group === undefined || type === 'fail') return;
    if (f !== 'commit' && (f !== 'fetch-offset' || type !== 'ok')) return;
    for (const { topic, partition, offset } of ops) {
      if (offset === undefined) continue;
      const key = `${group} ${topic}/${partition}`;
      const register = this.#registers.get(key) ?? { group, topic, partition, commits: [], fetches: [] };
      this.#registers.set(key, register);
      const access = { client, offset, t0, t1 };
      if (f === 'fetch-offset') register.fetches.push(access);
      else register.commits.push({ ...access, doneMs: type === 'ok' ? t1 : Infinity });
    }
  }

  check(findings: Findings): void {
    for (const register of this.#registers.values()) checkRegister(register, findings);
  }
}

function checkRegister({ group, topic, partition, commits, fetches }: Register, findings: Findings): void {
  const byOffset = new Map<number, Commit[]>();
  for (const commit of commits) {
    const same = byOffset.get(commit.offset);
    if (same === undefined) byOffset.set(commit.offset, [commit]);
    else same.push(commit);
  }
  // What was fetched had happened. With several commits of one offset nobody knows which.
  for (const { offset, t1 } of fetches) {
    const [only, ...others] = byOffset.get(offset) ?? [];
    if (only !== undefined && others.length === 0 && only.t0 < t1) only.doneMs = Math.min(only.doneMs, t1);
  }

  const byDone = [...commits].sort((a, b) => a.doneMs - b.doneMs);
  let done = 0;
  /** Of the commits that are done, the one that began last: whatever ended before it began is overwritten. */
  let last: Commit | undefined;
  for (const fetch of [...fetches].sort((a, b) => a.t0 - b.t0)) {
    for (let next = byDone[done]; next !== undefined && next.doneMs < fetch.t0; next = byDone[++done]) {
      if (last === undefined || next.t0 > last.t0) last = next;
    }
    const overwrittenBeforeMs = last?.t0 ?? -Infinity;
    const isAllowed =
      fetch.offset === NONE
        ? last === undefined
        : (byOffset.get(fetch.offset) ?? []).some(
            ({ t0, doneMs }) => t0 < fetch.t1 && doneMs >= overwrittenBeforeMs,
          );
    if (isAllowed) continue;
    findings.add({
      kind: 'group-offset',
      topic,
      partition,
      what: `${group} fetched ${fetch.offset}; the last acknowledged commit was ${last?.offset ?? 'none'}`,
      clients: [...(last === undefined ? [] : [last.client]), fetch.client],
      offsets: [...(last === undefined ? [] : [last.offset]), fetch.offset],
      timesMs: [...(last === undefined ? [] : [last.t1]), fetch.t0, fetch.t1],
    });
  }
}
