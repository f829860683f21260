import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { BrokerStatus } from '../../broker-runtime/src/broker.ts';
import { formatStatus } from '../../twin/status-line.ts';
import { checkDrain } from '../harness/history.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { processStats } from '../harness/process-stats.ts';
import { drain, javaProducer, kafkajsProducer } from '../harness/producers.ts';
import { TempDir } from '../harness/temp-dir.ts';

/** Really full file systems: small ones in memory. Mounting needs root. */
const isRoot = process.getuid?.() === 0;

const MIB = 1024 ** 2;
const MEMORY_BYTES = 256 * MIB;
/** What a Node process has besides the buffers that --memory divides: heap, code. */
const BESIDES_BUDGET_BYTES = 256 * MIB;
const ROOM_AT_FIRST_BYTES = 24 * MIB;
/** Longer than both producers are willing to wait for an answer. */
const FULL_MS = 15_000;
const PATIENCE_MS = 120_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`not in ${PATIENCE_MS} ms: ${what}`);
    await sleep(250);
  }
}

if (!isRoot) {
  test('a file system of its own needs root: run as root; nothing was tested', () => {
    throw new Error('not root: the full disk was not tried');
  });
} else {
  describe('a full disk', () => {
    let dir: TempDir;
    let disk: string;
    let millrace: MillraceProcess | undefined;

    beforeEach(() => {
      dir = new TempDir();
      disk = dir.join('disk');
      mkdirSync(disk);
    });
    afterEach(async () => {
      await millrace?.kill();
      millrace = undefined;
      execFileSync('umount', [disk]);
      dir.remove();
    });

    const mount = (bytes: number): void => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', disk]);
    };
    const status = (): BrokerStatus | undefined => millrace?.lastEvent('status') as BrokerStatus | undefined;
    const fullness = (): number => {
      const store = status()?.store;
      return store === undefined ? 0 : store.walUsedBytes / store.walCapacityBytes;
    };

    test('under the objects: producers wait, nothing is lost, it says what is wrong and goes on by itself', async () => {
      mount(512 * MIB);
      const ballast = `${disk}/ballast`;
      writeFileSync(ballast, Buffer.alloc(512 * MIB - ROOM_AT_FIRST_BYTES));
      millrace = await MillraceProcess.start({
        dataDir: dir.join('data'),
        args: ['--wal-size', '64MiB', '--memory', `${MEMORY_BYTES / MIB}MiB`, '--store', `${disk}/objects`],
      });
      const bootstrap = millrace.bootstrapServers;
      const java = await javaProducer(bootstrap, 'java', 1_000, dir, 'request.timeout.ms=5000\n');
      // Large records fill the disk; a timeout below the client's own lets the broker's refusal be heard.
      const kafkajs = await kafkajsProducer(bootstrap, 'kafkajs', 10, { keyBytes: 50_000, timeoutMs: 3_000 });
      const acked = (): number => java.acked.length + kafkajs.acked.length;
      const { pid, stderr } = millrace;
      let largestBytes = 0;
      const watch = setInterval(() => {
        largestBytes = Math.max(largestBytes, processStats(pid).residentBytes);
      }, 250);

      try {
        await until('the disk is full', () => stderr.some((line) => line.includes('ENOSPC')));
        let before = -1;
        let sinceMs = performance.now();
        await until('producers are held back', () => {
          if (acked() !== before) sinceMs = performance.now();
          before = acked();
          return performance.now() - sinceMs > FULL_MS;
        });
        const full = status();
        if (full === undefined) throw new Error('no status was printed');
        const line = formatStatus(full, full, 1_000);
        console.log(`full: ${line}; ${acked()} acknowledged`);
        expect(line).toMatch(/uploads wait: .*ENOSPC/);
        expect(stderr.filter((text) => text.includes('produce-timeout'))).not.toEqual([]);
        const fullest = fullness();

        rmSync(ballast);
        await until('producers go on', () => acked() > before);
        await until('uploads go on', () => status()?.store.uploadTrouble === undefined && fullness() < 0.9);
        expect(status()?.metadataTrouble).toBeUndefined();
        await Promise.all([java.stop(), kafkajs.stop()]);
        console.log(
          `fullest log ${Math.round(fullest * 100)} %, largest resident ${Math.round(largestBytes / MIB)} MiB, ` +
            `${java.acked.length} + ${kafkajs.acked.length} acknowledged`,
        );
      } finally {
        clearInterval(watch);
      }
      expect(largestBytes).toBeLessThan(MEMORY_BYTES + BESIDES_BUDGET_BYTES);
      expect([...java.errors, ...kafkajs.errors].slice(0, 5)).toEqual([]);
      for (const [topic, producer] of Object.entries({ java, kafkajs })) {
        const report = checkDrain(producer.acked, await drain(bootstrap, topic));
        expect(report).toMatchObject({ lost: [], duplicated: [], inconsistent: [], gaps: [], reordered: [] });
      }
      expect(await millrace.stop()).toBe(0);
    });

    test('killed while it is full, the broker says what it waits for, and has everything when room is made', async () => {
      mount(256 * MIB);
      const ballast = `${disk}/ballast`;
      writeFileSync(ballast, Buffer.alloc(256 * MIB - ROOM_AT_FIRST_BYTES));
      const data = { dataDir: dir.join('data'), args: ['--wal-size', '64MiB', '--store', `${disk}/objects`] };
      millrace = await MillraceProcess.start(data);
      const { stderr } = millrace;
      const kafkajs = await kafkajsProducer(millrace.bootstrapServers, 'kafkajs', 10, {
        keyBytes: 50_000,
        timeoutMs: 3_000,
      });
      await until('the disk is full', () => stderr.some((line) => line.includes('ENOSPC')));
      await sleep(2_000);
      await millrace.kill();
      const linesBefore = stderr.length;
      const restarted = millrace.restart();
      restarted.catch(() => undefined);
      await until('the start says what it waits for', () =>
        stderr.slice(linesBefore).some((line) => line.includes('ENOSPC')),
      );
      rmSync(ballast);
      await restarted;
      const acked = kafkajs.acked.length;
      await until('producers go on', () => kafkajs.acked.length > acked);
      await kafkajs.stop();
      expect(kafkajs.errors).toEqual([]);
      const report = checkDrain(kafkajs.acked, await drain(millrace.bootstrapServers, 'kafkajs'));
      expect(report).toMatchObject({ lost: [], duplicated: [], inconsistent: [], gaps: [], reordered: [] });
    });

    test('under the log: the start fails, says how much is needed, and leaves nothing behind', async () => {
      mount(16 * MIB);
      const wal = `${disk}/wal`;
      const started = MillraceProcess.start({
        dataDir: dir.join('data'),
        args: ['--wal', wal, '--wal-size', '64MiB'],
      });
      await expect(started).rejects.toThrow(
        /exit 1[^]*wal cannot be created: it needs 67108864 bytes, and its file system has \d+ free; make room/,
      );
      expect([wal, `${wal}.preparing`].filter((file) => existsSync(file))).toEqual([]);
    });
  });
}
