import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { NvmeReservation, parseReport } from '../../broker-runtime/src/adapters/nvme-reservation.ts';
import { SystemClock } from '../../broker-runtime/src/adapters/system-env.ts';
import { ReservationError } from '../../broker-runtime/src/ports/reservation.ts';
import { SimClock } from '../simulation/world/sim-clock.ts';

const DEVICE = '/dev/nvme9n1';
let folder: string;
let program: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-nvme-'));
  program = path.join(folder, 'nvme');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A program in nvme's place that writes down how it was called and then does `script`. */
function reservationWith(script: string): NvmeReservation {
  writeFileSync(program, `#!/bin/sh\necho "$@" >>${folder}/calls\n${script}\n`);
  chmodSync(program, 0o755);
  return new NvmeReservation(new SystemClock(), DEVICE, { program });
}

function calls(): string[] {
  return readFileSync(path.join(folder, 'calls'), 'utf8').trim().split('\n');
}

/** What nvme-cli 2.13 prints. */
function report(
  rtype: number,
  registrants: readonly (readonly [key: number | string, status: number])[],
): string {
  const entries = registrants.map(
    ([key, status]) =>
      `{"cntlid":65535,"rcsts":${status},"rkey":${key},"hostid":"00000000-0000-4000-8000-000000000001"}`,
  );
  return `{"gen":4,"rtype":${rtype},"regctl":${entries.length},"ptpls":0,"regctlext":[${entries.join(',')}]}`;
}

describe('NvmeReservation', () => {
  test('calls nvme with these arguments', async () => {
    const reservation = reservationWith('');
    await reservation.register(5);
    await reservation.acquire(5);
    await reservation.preemptAndAbort(5, 4);
    await reservation.release(5);
    expect(calls()).toEqual([
      `resv-register ${DEVICE} --nrkey=5 --rrega=0`,
      `resv-acquire ${DEVICE} --crkey=5 --rtype=1 --racqa=0`,
      `resv-acquire ${DEVICE} --crkey=5 --prkey=4 --rtype=1 --racqa=2`,
      `resv-release ${DEVICE} --crkey=5 --rtype=1 --rrela=0`,
      `resv-register ${DEVICE} --crkey=5 --rrega=1`,
    ]);
  });

  test('replaces the key that an earlier process of this host left', async () => {
    const conflict = 'NVMe status: Reservation Conflict: The command was aborted (0x4083)';
    const reservation = reservationWith(`case "$*" in *rrega=0*) echo "${conflict}" >&2; exit 1;; esac`);
    await reservation.register(5);
    expect(calls()[1]).toBe(`resv-register ${DEVICE} --nrkey=5 --rrega=2 --iekey`);
  });

  test.each([
    ['NVMe status: Reservation Conflict: The command was aborted due to a conflict (0x4083)', 'CONFLICT'],
    ['NVMe status: Invalid Command Opcode: A reserved coded value (0x4001)', 'UNSUPPORTED'],
    ['NVMe status: Invalid Field in Command: A reserved coded value (0x4002)', 'UNSUPPORTED'],
    ['/dev/nvme9n1: Input/output error', 'UNAVAILABLE'],
    ['', 'UNAVAILABLE'],
  ])('tells %j as %s', async (said, code) => {
    const acquiring = reservationWith(`echo "${said}" >&2; exit 1`).acquire(5);
    await expect(acquiring).rejects.toMatchObject({ code });
    await expect(acquiring).rejects.toThrow(said);
  });

  test('a missing program is UNSUPPORTED, and says what to install', async () => {
    const reservation = new NvmeReservation(new SystemClock(), DEVICE, { program });
    await expect(reservation.report()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expect(reservation.report()).rejects.toThrow(/nvme-cli/);
  });

  test('a command that hangs, even past its kill, is UNAVAILABLE after its deadline', async () => {
    const clock = new SimClock();
    reservationWith('exec sleep 60');
    const reservation = new NvmeReservation(clock, DEVICE, { program });
    const failed = expect(reservation.report()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(10_000);
    await failed;
    const aborting = expect(reservation.preemptAndAbort(5, 4)).rejects.toThrow(/within 60000 ms/);
    await clock.advance(60_000);
    await aborting;
  });

  test('reads a report', async () => {
    const reservation = reservationWith(
      `cat <<'END'\n${report(1, [
        [7, 1],
        [8, 0],
      ])}\nEND`,
    );
    expect(await reservation.report()).toEqual({ holder: 7, registrants: [7, 8], generation: 4 });
    expect(calls()).toEqual([`resv-report ${DEVICE} --eds -o json`]);
    expect(parseReport(DEVICE, report(0, [[8, 0]]))).toEqual({
      holder: undefined,
      registrants: [8],
      generation: 4,
    });
    expect(parseReport(DEVICE, report(0, [])).registrants).toEqual([]);
  });

  test.each([
    ['a key that the parser rounds', report(1, [['9007199254740993', 1]])],
    ['a key that is negative', report(1, [[-5, 1]])],
    ['key 0', report(1, [[0, 1]])],
    ['another type of reservation', report(3, [[7, 1]])],
    ['a reservation that nobody holds', report(1, [[7, 0]])],
    [
      'two holders',
      report(1, [
        [7, 1],
        [8, 1],
      ]),
    ],
    ['a holder of nothing', report(0, [[7, 1]])],
    ['no list of registrants', '{"gen":4,"rtype":0}'],
    ['no JSON', 'NVMe status: Success'],
  ])('refuses %s', (_, output) => {
    expect(() => parseReport(DEVICE, output)).toThrow(ReservationError);
    expect(() => parseReport(DEVICE, output)).toThrow(/clear it .* if no broker uses the volume/);
  });
});
