import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { B, clearReservations, delayWrites, HostProcess } from './guest.ts';

export interface TakeoverCase {
  readonly name: string;
  /** What is worth reading beside "ok". */
  readonly run: () => Promise<string>;
}

/** Long enough for several commands of an emulated CPU while one write is under way. */
const WRITE_DELAY_MS = 1500;
/** A read within this time of a plain preempt comes before the write that was under way. */
const COUNTER_EXAMPLE_DELAY_MS = 4000;
const ACKED_BEFORE = 10;
/** Until host A, which appends every 50 ms, has written groups in the disk again. */
const IN_FLIGHT_AFTER_MS = 300;
/** Two writes one behind the other, which host A had under way. */
const landedAfterMs = (writeDelayMs: number): number => 2 * writeDelayMs;
/** The watch looks every 5 s; the rest is for an emulated CPU that others use too. */
const NOTICED_MS = 20_000;

export const TAKEOVER_CASES: readonly TakeoverCase[] = [
  {
    name: 'preempt-and-abort, report, read: no acknowledged record is lost, and the old owner hears of it',
    run: () => withHosts('fence', WRITE_DELAY_MS, (a, b) => takeOver(a, b)),
  },
  {
    name: 'the same while host A is stopped in the middle of its writes, and wakes after the takeover',
    run: () =>
      withHosts('fence', WRITE_DELAY_MS, async (a, b) => {
        a.signal('SIGSTOP');
        return takeOver(a, b, () => a.signal('SIGCONT'));
      }),
  },
  {
    name: 'counter-example: after a plain preempt a write lands behind the read, and is acknowledged: a record is lost',
    run: () =>
      withHosts('preempt', COUNTER_EXAMPLE_DELAY_MS, async (a, b) => {
        b.say('go');
        const first = new Set((await b.heard('read')).offsets);
        await sleep(landedAfterMs(COUNTER_EXAMPLE_DELAY_MS));
        b.say('again');
        const second = new Set((await b.heard('read', 2)).offsets);
        await a.heard('failed');
        const lost = acked(a).filter((offset) => !first.has(offset));
        const late = [...second].filter((offset) => !first.has(offset));
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
  const startedMs = Date.now();
  b.say('go');
  const { text: drain } = await b.heard('fenced');
  const fencedMs = Date.now() - startedMs;
  const recovered = (await b.heard('read')).offsets ?? [];
  afterRead();
  const { text: failure } = await a.heard('failed');
  const { text: raw } = await a.heard('raw');
  await sleep(landedAfterMs(WRITE_DELAY_MS));
  b.say('again');
  const later = (await b.heard('read', 2)).offsets ?? [];

  assert.equal(drain, 'aborted');
  const commands = b.all('command').map(({ text }) => text);
  assert.deepEqual(commands, ['report', 'register', 'report', 'preempt-and-abort', 'report']);
  const order = b.told.map(({ what }) => what).filter((what) => what === 'fenced' || what === 'read');
  assert.deepEqual(order, ['fenced', 'read', 'read']);
  const lost = acked(a).filter((offset) => !recovered.includes(offset));
  assert.deepEqual(lost, [], 'acknowledged and not recovered');
  assert.deepEqual(later, recovered, 'something landed after the read');
  assert.match(failure ?? '', /^(FENCED|IO)$/);
  assert.match(raw ?? '', /^(FENCED|IO)$/);
  const end = a.told.findIndex(({ what }) => what === 'failed');
  assert.ok(!a.told.slice(end).some(({ what }) => what === 'acked'), 'acknowledged after the WAL failed');
  assert.ok(a.all('nacked').length + a.all('refused').length > 0, 'nothing was refused: A was no zombie');
  return (
    `fenced in ${fencedMs} ms (${b
      .all('command')
      .map(({ text, tookMs }) => `${text} ${tookMs}`)
      .join(', ')}); ${acked(a).length} acknowledged, ${recovered.length} recovered, 0 lost; ` +
    `A's WAL failed with ${failure}, its raw write with ${raw}`
  );
}

/** Host A with writes under way that the disk holds back, and host B ready to go. */
async function withHosts(
  how: 'fence' | 'preempt',
  writeDelayMs: number,
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
    await delayWrites(writeDelayMs);
    await sleep(IN_FLIGHT_AFTER_MS);
    return await act(a, b);
  } finally {
    await Promise.all(hosts.map((host) => host.end()));
  }
}

function acked(a: HostProcess): number[] {
  return a.all('acked').map(({ offset }) => offset ?? -1);
}
