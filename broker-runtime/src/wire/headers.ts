import { ApiKey, apiOf } from './api-keys.ts';
import { decodeMessage, encodeMessage, isFlexible } from './codec.ts';
import { DecodeError, MessageReader } from './codec-reader.ts';
import { EncodeError, MessageWriter, type EncodedMessage } from './codec-writer.ts';
import {
  int16,
  int32,
  message,
  string,
  type DecodedFields,
  type EncodableFields,
  type Fields,
  type Message,
} from './schema.ts';

/**
 * Frames, both ways:
 *
 *   frame            = size:int32 header body                size counts what follows it
 *   request header   = apiKey:int16 apiVersion:int16 correlationId:int32 clientId [tags]
 *   response header  = correlationId:int32 [tags]
 *
 * Versions: requests have header 2 (with tags) when their version is flexible, else 1. ClientId keeps its int16
 * length even there. Responses have header 1 (with tags) when flexible, else 0; ApiVersions always 0, because a
 * client reads it before it knows what the broker speaks (KIP-511).
 */
export const RequestHeaderMessage = message({
  name: 'RequestHeader',
  versions: '1-2',
  flexible: '2+',
  fields: {
    requestApiKey: int16('0+'),
    requestApiVersion: int16('0+'),
    correlationId: int32('0+'),
    clientId: string('1+', { nullable: '1+', flexible: 'none' }),
  },
});

export const ResponseHeaderMessage = message({
  name: 'ResponseHeader',
  versions: '0-1',
  flexible: '1+',
  fields: { correlationId: int32('0+') },
});

export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
}

/** Bytes of the frame's length field, which stands before the frame and is not counted by it. */
export const FRAME_SIZE_BYTES = 4;

/**
 * Reads the header of a frame and leaves the reader at the body.
 * @returns undefined when the API is unknown: nobody can tell where its header ends, so the connection is closed
 * @throws {DecodeError}
 */
export function readRequestHeader(reader: MessageReader): RequestHeader | undefined {
  // Key and version decide how the header reads that they are part of.
  const api = apiOf(reader.peekInt16(0));
  if (api === undefined) return undefined;
  const version = reader.peekInt16(2) >= api.flexibleFrom ? 2 : 1;
  const header = decodeMessage(RequestHeaderMessage, version, reader);
  return {
    apiKey: header.requestApiKey,
    apiVersion: header.requestApiVersion,
    correlationId: header.correlationId,
    clientId: header.clientId,
  };
}

/** A whole response frame with its size in front. Record batches in it are spliced, not copied. */
export function encodeResponse<F extends Fields>(
  response: Message<F>,
  apiVersion: number,
  correlationId: number,
  body: EncodableFields<F>,
): EncodedMessage {
  const writer = new MessageWriter();
  writer.int32(0);
  const version = responseHeaderVersion(response, apiVersion);
  encodeMessage(ResponseHeaderMessage, version, writer, { correlationId });
  encodeMessage(response, apiVersion, writer, body);
  return finishFrame(writer);
}

/** A whole request frame, as a client sends it. */
export function encodeRequest<F extends Fields>(
  request: Message<F>,
  apiVersion: number,
  header: { readonly correlationId: number; readonly clientId: string | null },
  body: EncodableFields<F>,
): EncodedMessage {
  if (request.apiKey === undefined) throw new EncodeError(`${request.name} has no api key: not a request`);
  const writer = new MessageWriter();
  writer.int32(0);
  encodeMessage(RequestHeaderMessage, isFlexible(request, apiVersion) ? 2 : 1, writer, {
    requestApiKey: request.apiKey,
    requestApiVersion: apiVersion,
    ...header,
  });
  encodeMessage(request, apiVersion, writer, body);
  return finishFrame(writer);
}

/** Reads a response frame, as a client does; `frame` begins after the size. @throws {DecodeError} */
export function decodeResponse<F extends Fields>(
  response: Message<F>,
  apiVersion: number,
  frame: Uint8Array,
): { readonly correlationId: number; readonly body: DecodedFields<F> } {
  const reader = new MessageReader(frame);
  const header = decodeMessage(ResponseHeaderMessage, responseHeaderVersion(response, apiVersion), reader);
  return { correlationId: header.correlationId, body: decodeMessage(response, apiVersion, reader) };
}

/** Reads a request frame of a known API. @throws {DecodeError} also when it is for another API */
export function decodeRequest<F extends Fields>(
  request: Message<F>,
  frame: Uint8Array,
): { readonly header: RequestHeader; readonly body: DecodedFields<F> } {
  const reader = new MessageReader(frame);
  const header = readRequestHeader(reader);
  if (header === undefined || header.apiKey !== request.apiKey) {
    throw new DecodeError(`not a ${request.name}: api key ${header?.apiKey ?? 'unknown'}`);
  }
  return { header, body: decodeMessage(request, header.apiVersion, reader) };
}

function responseHeaderVersion(response: Message, apiVersion: number): number {
  return response.apiKey !== ApiKey.ApiVersions && isFlexible(response, apiVersion) ? 1 : 0;
}

function finishFrame(writer: MessageWriter): EncodedMessage {
  const frame = writer.finish();
  const first = frame.pieces[0];
  if (first === undefined) throw new EncodeError('a frame begins with its size');
  new DataView(first.buffer, first.byteOffset, FRAME_SIZE_BYTES).setInt32(
    0,
    frame.sizeBytes - FRAME_SIZE_BYTES,
  );
  return frame;
}
