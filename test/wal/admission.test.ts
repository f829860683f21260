import { describe, expect, test } from '@jest/globals';
import { AdmissionExpiredError } from '../../broker-runtime/src/wal/wal.ts';
import { Admission } from '../../broker-runtime/src/wal/groups/admission.ts';
import { type SimEnv, simEnv } from '../simulation/world/sim-env.ts';

interface Line {
  readonly env: SimEnv;
  readonly admission: Admission;
  /** What happened to whom, in order. */
  readonly log: string[];
  roomBytes: number;
  /** Stands in the line and notes the end of it. */
  enter(name: string, bytes: number, patience?: { ms: number; signal?: AbortSignal }): void;
}

function lineWith(roomBytes: number): Line {
  const env = simEnv(1);
  const line: Line = {
    env,
    admission: new Admission((bytes) => bytes <= line.roomBytes, env.clock),
    log: [],
    roomBytes,
    enter: (name, bytes, patience) => {
      const waiting = line.admission.enter(bytes, 1, patience);
      if (waiting === undefined) line.log.push(`${name} at once`);
      else {
        waiting.then(
          () => line.log.push(`${name} in`),
          (error: unknown) =>
            line.log.push(`${name} ${error instanceof AdmissionExpiredError ? 'expired' : String(error)}`),
        );
      }
    },
  };
  return line;
}

describe('patience before a full WAL', () => {
  test('ends the wait when it is over, and not before', async () => {
    const line = lineWith(0);
    line.enter('patient', 10);
    line.enter('hurried', 10, { ms: 500 });
    await line.env.clock.advance(499);
    expect(line.log).toEqual([]);
    await line.env.clock.advance(1);
    expect(line.log).toEqual(['hurried expired']);
    line.roomBytes = 10;
    line.admission.admitWaiting();
    await line.env.clock.advance(1);
    expect(line.log).toEqual(['hurried expired', 'patient in']);
  });

  test('is forgotten once there is room', async () => {
    const line = lineWith(0);
    line.enter('first', 10, { ms: 500, signal: new AbortController().signal });
    line.roomBytes = 10;
    line.admission.admitWaiting();
    await line.env.clock.advance(1000);
    expect(line.log).toEqual(['first in']);
  });

  test('whoever leaves the head of the line lets those in who fit behind it', async () => {
    const line = lineWith(10);
    line.enter('large', 100, { ms: 500 });
    line.enter('small', 10);
    line.admission.admitWaiting();
    await line.env.clock.advance(100);
    expect(line.log).toEqual([]);
    await line.env.clock.advance(400);
    expect(line.log.toSorted()).toEqual(['large expired', 'small in']);
    expect(line.admission.wantedBytes).toBe(0);
  });

  test('ends when whoever waits is gone, also when it was gone before', async () => {
    const line = lineWith(0);
    const gone = new AbortController();
    line.enter('goes', 10, { ms: 60_000, signal: gone.signal });
    gone.abort();
    line.enter('was gone', 10, { ms: 60_000, signal: gone.signal });
    await line.env.clock.advance(1);
    expect(line.log).toEqual(['goes expired', 'was gone expired']);
    expect(line.admission.wantedBytes).toBe(0);
  });
});
