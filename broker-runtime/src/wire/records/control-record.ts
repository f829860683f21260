import { decodeVersioned, encodeVersioned } from '../codec.ts';
import { int16, int32, message } from '../schema.ts';

/**
 * A control record ends a transaction (KIP-98): the key says how, the value which coordinator epoch decided.
 * Both begin with their version.
 *
 *   key    = version:int16 type:int16      0 abort, 1 commit; others belong to KRaft
 *   value  = version:int16 coordinatorEpoch:int32
 */
const ControlRecordKey = message({
  name: 'ControlRecordKey',
  versions: '0',
  flexible: 'none',
  fields: { type: int16('0+') },
});
const EndTxnMarker = message({
  name: 'EndTxnMarker',
  versions: '0',
  flexible: 'none',
  fields: { coordinatorEpoch: int32('0+') },
});

export const ControlRecordType = { abort: 0, commit: 1 } as const;

export interface ControlRecord {
  readonly type: number;
  readonly coordinatorEpoch: number;
}

/** Newer versions only append, so they are read as the one known here. @throws {DecodeError} */
export function readControlRecord(key: Uint8Array, value: Uint8Array): ControlRecord {
  const { type } = decodeVersioned(ControlRecordKey, key, { newestAtMost: true });
  const { coordinatorEpoch } = decodeVersioned(EndTxnMarker, value, { newestAtMost: true });
  return { type, coordinatorEpoch };
}

/** Key and value of the single record of a control batch. */
export function encodeControlRecord(record: ControlRecord): {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
} {
  return {
    key: encodeVersioned(ControlRecordKey, 0, { type: record.type }),
    value: encodeVersioned(EndTxnMarker, 0, { coordinatorEpoch: record.coordinatorEpoch }),
  };
}
