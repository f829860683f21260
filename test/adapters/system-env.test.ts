import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { LineEvents } from '../../broker-runtime/src/adapters/line-events.ts';
import { SystemClock, SystemRandom, systemEnv } from '../../broker-runtime/src/adapters/system-env.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

describe('SystemClock', () => {
  const clock = new SystemClock();

  test('timers are never early, not by a fraction of a millisecond', async () => {
    for (const delayMs of [0, 0.3, 1, 1.7, 5, 12.5]) {
      const startedMs = clock.monotonicMs();
      await clock.sleep(delayMs);
      expect(clock.monotonicMs() - startedMs).toBeGreaterThanOrEqual(delayMs);
    }
  });

  test('a delay beyond what Node can count does not fire at once (overflow)', async () => {
    let fired = false;
    const timer = clock.timer(2 ** 31 + 1000, () => {
      fired = true;
    });
    await clock.sleep(20);
    expect(fired).toBe(false);
    timer.cancel();
    timer.cancel();
  });

  test('a deadline that has passed fires at once, and Node has no negative timeout to warn of (warning on a loaded machine)', async () => {
    const set = jest.spyOn(globalThis, 'setTimeout');
    try {
      await clock.sleep(-500);
      expect(set.mock.calls.map(([, delayMs]) => delayMs)).toEqual([0]);
    } finally {
      set.mockRestore();
    }
  });

  test('a cancelled timer does not fire; sleep rejects with the reason of its signal', async () => {
    let fired = false;
    clock
      .timer(1, () => {
        fired = true;
      })
      .cancel();
    const abort = new AbortController();
    const sleeping = clock.sleep(10_000, abort.signal);
    abort.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await clock.sleep(5);
    expect(fired).toBe(false);
  });

  test('afterTurn runs after promise reactions, in order', async () => {
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      clock.afterTurn(() => seen.push('first task'));
      clock.afterTurn(() => {
        seen.push('second task');
        resolve();
      });
      void Promise.resolve().then(() => seen.push('reaction'));
    });
    expect(seen).toEqual(['reaction', 'first task', 'second task']);
  });

  test('the wall clock is whole milliseconds since 1970', () => {
    expect(Number.isInteger(clock.wallMs())).toBe(true);
    expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(1000);
  });
});

describe('SystemRandom', () => {
  test('stays below its bound, makes fresh bytes and version 4 UUIDs', () => {
    const random = new SystemRandom();
    for (let n = 0; n < 200; n++) expect(random.below(3)).toBeLessThan(3);
    expect(random.below(2 ** 32)).toBeLessThan(2 ** 32);
    expect(random.bytes(16)).toHaveLength(16);
    expect(Buffer.compare(random.bytes(16), random.bytes(16))).not.toBe(0);
    expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe('LineEvents', () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const lastLine = (): string => lines.at(-1) ?? '';

  test('writes one JSON object a line, our own fields first and not to be overwritten', () => {
    new LineEvents(new SimClock(), { write }).info('wal.recovered', {
      groups: 3,
      event: 'forged',
      path: '/x',
    });
    expect(lastLine()).toBe(
      '{"time":"2026-01-01T00:00:00.000Z","level":"info","event":"wal.recovered","groups":3,"path":"/x"}\n',
    );
  });

  test('writes columns for people', () => {
    const events = new LineEvents(new SimClock(), { write, format: 'text', minLevel: 'debug' });
    events.debug('server.listening', {
      address: '127.0.0.1:9092',
      name: 'two words',
      gone: undefined,
      ok: true,
    });
    expect(lastLine()).toBe(
      '2026-01-01T00:00:00.000Z DEBUG server.listening address=127.0.0.1:9092 name="two words" ok=true\n',
    );
  });

  test('drops what is below the least level', () => {
    const events = systemEnv({ write, minLevel: 'warn' }).events;
    const before = lines.length;
    events.debug('a');
    events.info('b');
    expect(lines).toHaveLength(before);
    events.warn('c');
    events.error('d');
    expect(lines).toHaveLength(before + 2);
  });

  test('no text of a client ends the line, reaches the terminal, or fills the disk', () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 });
    const hostile = fc.oneof(
      text,
      fc.constant('\u001b[2J\r\nfake line\u0085\u2028\u202e\u009b31m\u0000\ud800'),
    );
    for (const format of ['json', 'text'] as const) {
      const events = new LineEvents(new SimClock(), { write, format });
      fc.assert(
        fc.property(hostile, (clientId) => {
          events.info('client.refused', { clientId });
          const line = lastLine();
          const control = Array.from(line.slice(0, -1), (char) => char.charCodeAt(0)).filter(
            (code) => code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e),
          );
          expect(control).toEqual([]);
          if (format === 'json') expect(JSON.parse(line)).toMatchObject({ clientId });
        }),
      );
      events.info('client.refused', { clientId: 'x'.repeat(1_000_000) });
      expect(lastLine().length).toBeLessThan(2500);
    }
  });
});
