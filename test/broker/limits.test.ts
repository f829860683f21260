import { afterEach, describe, expect, test } from '@jest/globals';
import { planMemory, SettingTooLargeError } from '../../broker-runtime/src/broker/memory.ts';
import { KafkaSettings } from '../../broker-runtime/src/broker/settings.ts';
import { DEFAULT_SERVER_OPTIONS, REQUEST_BYTES_CEILING } from '../../broker-runtime/src/server/options.ts';
import { Errors } from '../../broker-runtime/src/wire/errors.ts';
import { LARGEST_BATCH_BYTES } from '../../broker-runtime/src/wire/log-config.ts';
import { openMetadata } from '../metadata/metadata-world.ts';
import {
  batchOf,
  type BrokerRig,
  MIB,
  Produce,
  producedRow,
  produceTo,
  startBroker,
} from '../server/broker-rig.ts';

async function settingsOf(staticSettings: Record<string, string>): Promise<KafkaSettings> {
  return new KafkaSettings((await openMetadata({ staticSettings })).metadata);
}

/** Random text does not compress, and the batch is sent as it is anyway. */
const batchOfBytes = (bytes: number): Uint8Array => batchOf(['x'.repeat(bytes)]);

describe('limits of requests and connections', () => {
  test('told-limits-differ-from-kept: the defaults DescribeConfigs tells are those the listener keeps', async () => {
    const { limits } = await settingsOf({});
    const { requestMemoryBytes, ...told } = limits;
    expect(DEFAULT_SERVER_OPTIONS).toMatchObject(told);
    expect(requestMemoryBytes).toBeUndefined();
  });

  test('setting-without-effect: each setting given at start changes the limit it names', async () => {
    const { limits } = await settingsOf({
      'socket.request.max.bytes': '20971520',
      'queued.max.request.bytes': '41943040',
      'fetch.max.bytes': '1048576',
      'connections.max.idle.ms': '5000',
      'max.connections': '7',
      'max.connections.per.ip': '5',
      'max.connection.creation.rate': '3',
    });
    expect(planMemory(512 * MIB, limits).server).toMatchObject({
      requestMaxBytes: 20 * MIB,
      requestMemoryBytes: 40 * MIB,
      fetchMaxBytes: MIB,
      idleDeadlineMs: 5000,
      connectionsMax: 7,
      connectionsPerAddressMax: 5,
      connectionsPerSecondMax: 3,
    });
  });

  test('an idle limit of -1 closes no connection', async () => {
    const { limits } = await settingsOf({ 'connections.max.idle.ms': '-1' });
    expect(limits.idleDeadlineMs).toBe(Infinity);
  });

  test('the largest request must fit into the memory for requests, else the start is refused', async () => {
    const ask = async (settings: Record<string, string>, memoryMib: number): Promise<unknown> =>
      planMemory(memoryMib * MIB, (await settingsOf(settings)).limits);
    const largest = { 'socket.request.max.bytes': String(REQUEST_BYTES_CEILING) };
    await expect(ask(largest, 512)).rejects.toThrow(SettingTooLargeError);
    await expect(ask(largest, 512)).rejects.toThrow(/104857600 bytes \(socket\.request\.max\.bytes\)/);
    await expect(ask(largest, 1024)).resolves.toBeDefined();
    await expect(ask({ 'queued.max.request.bytes': '5000000' }, 512)).rejects.toThrow(/raise queued/);
    await expect(ask({ 'queued.max.request.bytes': '999999999' }, 512)).rejects.toThrow(/memory of this/);
  });
});

describe('the largest record batch', () => {
  let rig: BrokerRig | undefined;
  afterEach(async () => {
    await rig?.close();
    rig = undefined;
  });

  test('limit-above-capability: more than the log can take is refused where it is set', async () => {
    const tooMuch = String(LARGEST_BATCH_BYTES + 1);
    const refusal = `Value must be no more than ${LARGEST_BATCH_BYTES}`;
    await expect(settingsOf({ 'message.max.bytes': tooMuch })).rejects.toThrow(refusal);
    rig = await startBroker();
    await expect(rig.topic('t', { configs: { 'max.message.bytes': tooMuch } })).rejects.toThrow(refusal);
  });

  test('a batch of the largest size is stored when topic and broker allow it', async () => {
    // The smallest memory a broker starts with must do.
    rig = await startBroker({
      'message.max.bytes': String(LARGEST_BATCH_BYTES),
      'socket.request.max.bytes': String(11 * MIB),
    });
    await rig.topic('t');
    const overheadBytes = batchOfBytes(MIB).length - MIB;
    // The length of the value takes a byte more from 2 MiB on.
    const largest = batchOfBytes(LARGEST_BATCH_BYTES - overheadBytes - 4);
    expect(largest.length).toBeGreaterThan(LARGEST_BATCH_BYTES - 16);
    const stored = await rig.run(rig.client.call(Produce, 9, produceTo('t', largest)));
    expect(producedRow(stored).errorCode).toBe(Errors.NONE);
    const larger = batchOfBytes(LARGEST_BATCH_BYTES);
    const refused = await rig.run(rig.client.call(Produce, 9, produceTo('t', larger)));
    expect(producedRow(refused).errorCode).toBe(Errors.MESSAGE_TOO_LARGE);
  });

  test('failure class: out-of-order-for-ever: what a new producer sent behind a batch that no log can take waits for it', async () => {
    rig = await startBroker({ 'socket.request.max.bytes': String(12 * MIB) });
    await rig.topic('t');
    const send = (baseSequence: number, valueBytes: number) => {
      const batch = batchOf(['x'.repeat(valueBytes)], { producerId: 9, producerEpoch: 0, baseSequence });
      return rig?.client.call(Produce, 9, produceTo('t', batch)).then(producedRow);
    };
    const pipelined = Promise.all([send(0, LARGEST_BATCH_BYTES), send(1, 10)]);
    expect((await rig.run(pipelined)).map((row) => row?.errorCode)).toEqual([
      Errors.MESSAGE_TOO_LARGE,
      Errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
    ]);
    const again = Promise.all([send(0, 10), send(1, 10)]);
    expect((await rig.run(again)).map((row) => row?.errorCode)).toEqual([Errors.NONE, Errors.NONE]);
  });
});
