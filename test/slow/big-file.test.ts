import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { runOk } from '../harness/command.ts';
import { kafkajsCodecs } from '../harness/kafkajs-codecs.ts';
import { MillraceProcess } from '../harness/millrace-process.ts';
import { realFile } from '../harness/real-file.ts';
import { TempDir } from '../harness/temp-dir.ts';

const GIB = 1024 ** 3;
const DEADLINE_MS = 900_000;
const CHUNK_BYTES = 256 * 1024;

describe('a real file of 1 GiB goes in and comes out with the same SHA-256', () => {
  let file: string;
  let sha256: string | undefined;
  let dir: TempDir;
  let millrace: MillraceProcess;

  beforeEach(async () => {
    file = await realFile(GIB);
    sha256 ??= (await runOk('sha256sum', [file])).slice(0, 64);
    dir = new TempDir();
    millrace = await MillraceProcess.start({ dataDir: dir.join('data') });
  }, DEADLINE_MS);

  afterEach(async () => {
    expect(await millrace.stop()).toBe(0);
    dir.remove();
  }, DEADLINE_MS);

  test.each(['gzip', 'snappy', 'lz4', 'zstd'])(
    'through kcat with %s',
    async (codec) => {
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

  test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'through kafkajs with %s',
    async (codec) => {
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
