import { MillraceError } from '../base/errors.ts';
import { planOf } from './codec-plan.ts';
import { DecodeError, MessageReader } from './codec-reader.ts';
import { MessageWriter } from './codec-writer.ts';
import type {
  Decoded,
  DecodedFields,
  Encodable,
  EncodableFields,
  Fields,
  Message,
  MessagePlan,
} from './schema.ts';

export { DecodeError, MAX_ELEMENTS_PER_MESSAGE, MAX_TAGGED_FIELDS, MessageReader } from './codec-reader.ts';
export { EncodeError, MessageWriter, type EncodedMessage } from './codec-writer.ts';
export type { Decoded, Encodable, Message };

/** A version the message's table does not have. The caller checks versions before it decodes or answers. */
export class UnsupportedMessageVersionError extends MillraceError {
  readonly code = 'UNSUPPORTED_MESSAGE_VERSION';
}

/**
 * Decodes a message. Byte fields of the result are views of the reader's frame. What follows the message is left
 * unread: librdkafka leaves bytes behind some requests, and Kafka ignores them.
 * @throws {DecodeError} whatever is wrong with the bytes
 */
export function decodeMessage<F extends Fields>(
  message: Message<F>,
  version: number,
  reader: MessageReader,
): DecodedFields<F> {
  const plan = existingPlan(message, version);
  try {
    return plan.read(reader) as DecodedFields<F>;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DecodeError(`${message.name} version ${version}: ${error.message}`, { cause: error });
  }
}

/** @throws {EncodeError} when the version has no place for a value */
export function encodeMessage<F extends Fields>(
  message: Message<F>,
  version: number,
  writer: MessageWriter,
  value: EncodableFields<F>,
): void {
  existingPlan(message, version).write(writer, value);
}

/**
 * Encodes a message that stands alone behind its version, as the records of internal topics and the blobs of the
 * consumer protocol do:
 *
 *   versioned = version:int16 message
 */
export function encodeVersioned<F extends Fields>(
  message: Message<F>,
  version: number,
  value: EncodableFields<F>,
): Uint8Array {
  const writer = new MessageWriter(128);
  writer.int16(version);
  encodeMessage(message, version, writer, value);
  const { pieces, sizeBytes } = writer.finish();
  return joinPieces(pieces, sizeBytes);
}

/** The version in front of a versioned message. @throws {DecodeError} */
export function versionOf(bytes: Uint8Array): number {
  return new MessageReader(bytes).int16();
}

/**
 * Decodes what {@link encodeVersioned} wrote. A version above the table's is read as the highest one when
 * `newestAtMost` is set: the consumer protocol promises that newer versions only append fields.
 * @throws {DecodeError} also for a version the table does not have
 */
export function decodeVersioned<F extends Fields>(
  message: Message<F>,
  bytes: Uint8Array,
  options: { readonly newestAtMost?: boolean } = {},
): DecodedFields<F> {
  const reader = new MessageReader(bytes);
  const stored = reader.int16();
  const version = options.newestAtMost === true ? Math.min(stored, message.versions.to) : stored;
  if (planOf(message, version) === undefined) {
    throw new DecodeError(
      `${message.name} version ${stored}; ${message.versions.from} to ${message.versions.to} are known`,
    );
  }
  return decodeMessage(message, version, reader);
}

/** One array of all the pieces: for tests, and for messages that are stored instead of sent. */
export function joinPieces(pieces: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  if (pieces.length === 1 && pieces[0] !== undefined) return pieces[0];
  const joined = new Uint8Array(sizeBytes);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** Whether this version uses compact lengths and tagged fields, which also decides the header's version. */
export function isFlexible(message: Message, version: number): boolean {
  return existingPlan(message, version).flexible;
}

function existingPlan(message: Message, version: number): MessagePlan {
  const plan = planOf(message, version);
  if (plan === undefined) {
    throw new UnsupportedMessageVersionError(
      `${message.name} version ${version} is not known; ${message.versions.from} to ${message.versions.to} are`,
    );
  }
  return plan;
}
