import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { runOk } from '../harness/command.ts';
import { kafkajsCodecs } from '../harness/kafkajs-codecs.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { realFile } from '../harness/real-file.ts';
import { TempDir } from '../harness/temp-dir.ts';

const MIB = 1024 ** 2;
const DEADLINE_MS = 900_000;
const CHUNK_BYTES = 256 * 1024;
/** The whole gibibyte with one codec: with all four it took a quarter of an hour, most of it in the clients' own codecs. */
const SIZES_MIB = { zstd: 1024, gzip: 256, snappy: 256, lz4: 256 } as const;
const CODECS = ['zstd', 'gzip', 'snappy', 'lz4'] as const;

describe('a real file, 1 GiB with zstd and 256 MiB with other codecs, goes in and comes out with the same SHA-256', () => {
  let dir: TempDir;
  let millrace: MillraceProcess;

  beforeEach(async () => {
    dir = new TempDir();
    millrace = await MillraceProcess.start({ dataDir: dir.join('data') });
  }, DEADLINE_MS);

  afterEach(async () => {
    expect(await millrace.stop()).toBe(0);
    dir.remove();
  }, DEADLINE_MS);

  async function original(codec: keyof typeof SIZES_MIB): Promise<{ file: string; sha256: string }> {
    const file = await realFile(SIZES_MIB[codec] * MIB);
    return { file, sha256: (await runOk('sha256sum', [file])).slice(0, 64) };
  }

  test.each(CODECS)(
    'through kcat with %s',
    async (codec) => {
      const { file, sha256 } = await original(codec);
      const broker = millrace.bootstrapServers;
      await runOk(
        'kcat',
        ['-P', '-b', broker, '-t', 'big', '-p', '0', '-z', codec, '-X', 'linger.ms=20', '-l', file],
        {
          deadlineMs: DEADLINE_MS,
        },
      );
      const consume = `kcat -C -q -e -b ${broker} -t big -p 0 -o beginning -X check.crcs=true -f '%s\\n' | sha256sum`;
      expect((await runOk('bash', ['-c', consume], { deadlineMs: DEADLINE_MS })).slice(0, 64)).toBe(sha256);
    },
    DEADLINE_MS,
  );

  test.each(CODECS)(
    'through kafkajs with %s',
    async (codec) => {
      const { file, sha256 } = await original(codec);
      const kafka = new Kafka({ brokers: [millrace.bootstrapServers], logLevel: logLevel.NOTHING });
      const compression = kafkajsCodecs()[codec];
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: 'big', numPartitions: 1 }] });
      await admin.disconnect();

      const producer = kafka.producer();
      await producer.connect();
      let sent = 0;
      for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
        await producer.send({ topic: 'big', compression, messages: [{ value: chunk as Buffer }] });
        sent += 1;
      }
      await producer.disconnect();

      const hash = createHash('sha256');
      const consumer = kafka.consumer({ groupId: 'big', maxBytesPerPartition: 8 * 1024 * 1024 });
      await consumer.connect();
      await consumer.subscribe({ topic: 'big', fromBeginning: true });
      let received = 0;
      await new Promise<void>((resolve, reject) => {
        consumer
          .run({
            eachMessage: async ({ message }) => {
              hash.update(message.value ?? '');
              received += 1;
              if (received === sent) resolve();
            },
          })
          .catch(reject);
      });
      await consumer.disconnect();
      expect(hash.digest('hex')).toBe(sha256);
    },
    DEADLINE_MS,
  );
});
