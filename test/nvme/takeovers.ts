import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { B, clearReservations, holdWrites, HostProcess, letWritesGo } from './guest.ts';

export interface TakeoverCase {
  readonly name: string;
  /** What is worth reading beside "ok". */
  readonly run: () => Promise<string>;
}

const ACKED_BEFORE = 10;
/**
 * Until host A has in the disk all that it writes while it gets no answer: two groups, and the superblock that is due
 * within a second. One that came after a plain preempt would be refused, and end A before its held writes land.
 */
const IN_FLIGHT_AFTER_MS = 2000;
/** How long an abort is seen to wait; with nothing to wait for it takes a tenth. */
const ABORT_WATCHED_MS = 2500;
const SETTLED_AFTER_MS = 500;
/** The watch looks every 5 s; the rest is for an emulated CPU that others use too. */
const NOTICED_MS = 45_000;

export const TAKEOVER_CASES: readonly TakeoverCase[] = [
  {
    name: 'preempt-and-abort, report, read: no acknowledged record is lost, and the old owner hears of it',
    run: () => withHosts('fence', (a, b) => takeOver(a, b)),
  },
  {
    name: 'the same while host A is stopped in the middle of its writes, and wakes after the takeover',
    run: () =>
      withHosts('fence', async (a, b) => {
        a.signal('SIGSTOP');
        return takeOver(a, b, () => a.signal('SIGCONT'));
      }),
  },
  {
    name: 'counter-example: after a plain preempt a write lands behind the read, and is acknowledged: a record is lost',
    run: () =>
      withHosts('preempt', async (a, b) => {
        b.say('go');
        const first = new Set((await b.heard('read')).offsets);
        await letWritesGo();
        await a.heard('failed');
        b.say('again');
        const second = (await b.heard('read', 2)).offsets ?? [];
        const lost = acked(a).filter((offset) => !first.has(offset));
        const late = second.filter((offset) => !first.has(offset));
        assert.ok(lost.length > 0, 'a plain preempt lost nothing: the counter-example shows nothing');
        assert.ok(late.length > 0, 'nothing landed after the read');
        return `${acked(a).length} acknowledged, ${first.size} read, ${lost.length} lost, ${late.length} landed after the read`;
      }),
  },
  {
    name: 'T7: a reservation that vanishes is noticed by the watch, and the WAL fails',
    run: async () => {
      const a = new HostProcess('host-a.mjs', 'watch');
      try {
        await a.heard('acked', ACKED_BEFORE);
        const startedMs = Date.now();
        await clearReservations(B.device);
        const { text } = await a.heard('failed');
        const noticedMs = Date.now() - startedMs;
        assert.match(text ?? '', /held by nobody/);
        assert.ok(noticedMs < NOTICED_MS, `noticed after ${noticedMs} ms`);
        return `noticed after ${noticedMs} ms`;
      } finally {
        await a.end();
      }
    },
  },
];

async function takeOver(
  a: HostProcess,
  b: HostProcess,
  afterRead: () => void = () => undefined,
): Promise<string> {
  b.say('go');
  await b.heard('preempt-and-abort begins');
  await sleep(ABORT_WATCHED_MS);
  assert.equal(b.all('preempt-and-abort').length, 0, 'the abort did not wait for the writes of host A');
  await letWritesGo();
  const { text: drain } = await b.heard('fenced');
  const recovered = (await b.heard('read')).offsets ?? [];
  afterRead();
  const { text: failure } = await a.heard('failed');
  const { text: raw } = await a.heard('raw');
  await sleep(SETTLED_AFTER_MS);
  b.say('again');
  const later = (await b.heard('read', 2)).offsets ?? [];

  assert.equal(drain, 'aborted');
  assert.deepEqual(
    b.told.map(({ what }) => what).filter((what) => !what.endsWith('begins')),
    ['ready', 'report', 'register', 'report', 'preempt-and-abort', 'report', 'fenced', 'read', 'read'],
  );
  const lost = acked(a).filter((offset) => !recovered.includes(offset));
  assert.deepEqual(lost, [], 'acknowledged and not recovered');
  assert.deepEqual(later, recovered, 'something landed after the read');
  assert.match(failure ?? '', /^(FENCED|IO)$/);
  assert.match(raw ?? '', /^(FENCED|IO)$/);
  const end = a.told.findIndex(({ what }) => what === 'failed');
  assert.ok(!a.told.slice(end).some(({ what }) => what === 'acked'), 'acknowledged after the WAL failed');
  assert.ok(a.all('nacked').length + a.all('refused').length > 0, 'nothing was refused: A was no zombie');
  const abortMs = b.all('preempt-and-abort')[0]?.tookMs ?? 0;
  return (
    `the abort waited ${abortMs} ms; ${acked(a).length} acknowledged, ${recovered.length} recovered, 0 lost; ` +
    `A's WAL failed with ${failure}, its raw write with ${raw}`
  );
}

/** Host A with writes under way that the disk holds back, and host B ready to go. */
async function withHosts(
  how: 'fence' | 'preempt',
  act: (a: HostProcess, b: HostProcess) => Promise<string>,
): Promise<string> {
  const a = new HostProcess('host-a.mjs');
  const hosts = [a];
  try {
    await a.heard('acked', ACKED_BEFORE);
    // Not before: a takeover clears the registrations of all others.
    const b = new HostProcess('host-b.mjs', how);
    hosts.push(b);
    await b.heard('ready');
    await holdWrites();
    await sleep(IN_FLIGHT_AFTER_MS);
    return await act(a, b);
  } finally {
    await letWritesGo();
    await Promise.all(hosts.map((host) => host.end()));
  }
}

function acked(a: HostProcess): number[] {
  return a.all('acked').map(({ offset }) => offset ?? -1);
}
