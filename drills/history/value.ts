import { createHash } from 'node:crypto';

/**
 * A value of the workload says who it is, so that bytes that end up anywhere else betray themselves (I34):
 *
 *     topic|partition|producer|counter|hash            the head: this much stands in the history
 *     |hash|hash|hash ...                              padding up to the wanted size, made from the head
 *
 * `hash` is the first 12 hex digits of the SHA-256 of what stands before it.
 */
export interface ValueIdentity {
  readonly topic: string;
  readonly partition: number;
  /** One producer session: values of one producer stand in a partition in the order of their counters. */
  readonly producer: string;
  readonly counter: number;
}

const HASH_DIGITS = 12;
const SEPARATOR = '|';
/** How much of damaged bytes the history keeps as evidence. */
const EVIDENCE_BYTES = 96;
const DAMAGED = 'damaged';

/** The head: what identifies the value in the history. */
export function headOf({ topic, partition, producer, counter }: ValueIdentity): string {
  const text = [topic, partition, producer, counter].join(SEPARATOR);
  return text + SEPARATOR + hashOf(text);
}

/** The bytes to send: the head, and padding when it is shorter than `bytes`. */
export function encodeValue(identity: ValueIdentity, bytes = 0): Buffer {
  return pad(headOf(identity), bytes);
}

/** Undefined unless the head is whole and its hash is right. */
export function parseHead(head: string): ValueIdentity | undefined {
  const fields = head.split(SEPARATOR);
  const [topic, partition, producer, counter, hash] = fields;
  if (fields.length !== 5 || topic === undefined || producer === undefined) return undefined;
  const identity = { topic, partition: Number(partition), producer, counter: Number(counter) };
  if (!Number.isSafeInteger(identity.partition) || !Number.isSafeInteger(identity.counter)) return undefined;
  return hash === hashOf(fields.slice(0, 4).join(SEPARATOR)) ? identity : undefined;
}

/** Checks every byte. @returns the head, or the beginning of bytes that are no value, marked as damaged */
export function verifyValue(bytes: Buffer | null): string {
  if (bytes === null) return `${DAMAGED}:null`;
  const head = bytes.toString('latin1').split(SEPARATOR, 5).join(SEPARATOR);
  if (parseHead(head) !== undefined && pad(head, bytes.length).equals(bytes)) return head;
  return `${DAMAGED}:${bytes.length}:${bytes.subarray(0, EVIDENCE_BYTES).toString('base64')}`;
}

function pad(head: string, bytes: number): Buffer {
  const missing = bytes - head.length;
  if (missing <= 0) return Buffer.from(head, 'latin1');
  const unit = head.slice(-HASH_DIGITS - 1);
  return Buffer.from(head + unit.repeat(Math.ceil(missing / unit.length)).slice(0, missing), 'latin1');
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS);
}
