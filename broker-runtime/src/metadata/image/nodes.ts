import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { CorruptionError, invariant } from '../../base/errors.ts';
import { readText, readUvarint, writeText, writeUvarint } from '../../base/varint.ts';
import type { NodeRef, NodeState, PreviousLife, RegisteredBroker } from '../cluster-metadata.ts';
import { readRegistration, writeRegistration } from './fields.ts';
import type { MetadataRecord } from './records.ts';

export type NodeRecord = MetadataRecord & {
  readonly type: 'node-registered' | 'node-serving' | 'node-fenced' | 'recovery-assigned' | 'node-clean';
};

const STATES: readonly NodeState[] = ['active', 'fenced', 'clean'];

/**
 * The life of a node: registered (active), serving → fenced → recovered (clean), or clean after an orderly stop.
 * A start in place registers an active node anew.
 */
export function applyNodeRecord(
  nodes: Map<number, RegisteredBroker>,
  record: NodeRecord,
  sequence: number,
): void {
  switch (record.type) {
    case 'node-registered': {
      const { nodeId, incarnationId, walKind, zone } = record;
      const known = nodes.get(record.nodeId);
      invariant(sequence > (known?.nodeEpoch ?? 0), 'I31', 'node epochs strictly increase', { ...record });
      const recovererId = known?.state === 'fenced' ? known.recovery?.recovererId : undefined;
      invariant(
        recovererId === undefined || nodes.get(recovererId)?.state !== 'active',
        'I29',
        'a node does not live again while another one recovers its log',
        { nodeId: record.nodeId, recovererId },
      );
      const previous = known === undefined ? undefined : lifeOf(known);
      nodes.set(record.nodeId, {
        nodeId,
        incarnationId,
        walKind,
        zone,
        nodeEpoch: sequence,
        state: 'active',
        previous,
        logNeeded: known?.logNeeded ?? false,
      });
      return;
    }
    case 'node-serving': {
      const node = current(nodes, record);
      invariant(node.state === 'active', 'I31', 'only an active node serves', { ...record });
      const endpoint = { host: record.host, port: record.port };
      nodes.set(record.nodeId, { ...node, endpoint, logNeeded: true });
      return;
    }
    case 'node-fenced': {
      const node = current(nodes, record);
      invariant(node.state === 'active', 'I29', 'only an active node is fenced', { ...record });
      nodes.set(record.nodeId, { ...node, state: 'fenced', endpoint: undefined, recovery: undefined });
      return;
    }
    case 'recovery-assigned': {
      const node = current(nodes, record);
      const { recovererId, attempt } = record;
      invariant(
        node.state === 'fenced' && attempt === (node.recovery?.attempt ?? 0) + 1,
        'I29',
        'one recovery of a fenced node at a time',
        { ...record },
      );
      nodes.set(record.nodeId, { ...node, recovery: { recovererId, attempt } });
      return;
    }
    case 'node-clean': {
      const node = current(nodes, record);
      invariant(node.state !== 'clean', 'I29', 'a node becomes clean once an epoch', { ...record });
      nodes.set(record.nodeId, {
        ...node,
        state: 'clean',
        endpoint: undefined,
        recovery: undefined,
        logNeeded: false,
      });
    }
  }
}

/** See the snapshot's layout in `metadata-image.ts`. */
export function writeNodes(
  writer: ByteWriter,
  nodes: readonly (readonly [number, RegisteredBroker])[],
): void {
  writeUvarint(writer, nodes.length);
  for (const [, node] of nodes) {
    writeRegistration(writer, node);
    writeUvarint(writer, node.nodeEpoch);
    writer.uint8(STATES.indexOf(node.state));
    writer.uint8(node.logNeeded ? 1 : 0);
    writer.uint8(STATES.indexOf(node.previous?.state ?? 'clean'));
    writer.uint8(node.previous?.logNeeded === true ? 1 : 0);
    writeUvarint(writer, node.previous?.nodeEpoch ?? 0);
    writeUvarint(writer, node.recovery === undefined ? 0 : node.recovery.recovererId + 1);
    writeUvarint(writer, node.recovery?.attempt ?? 0);
    writeText(writer, node.endpoint?.host ?? '');
    writeUvarint(writer, node.endpoint?.port ?? 0);
  }
}

export function* readNodes(reader: ByteReader): Iterable<RegisteredBroker> {
  for (let left = readUvarint(reader); left > 0; left--) {
    const registration = readRegistration(reader);
    const nodeEpoch = readUvarint(reader);
    const state = STATES[reader.uint8()];
    const logNeeded = reader.uint8() === 1;
    const previousState = STATES[reader.uint8()];
    const previousNeeded = reader.uint8() === 1;
    if (state === undefined || previousState === undefined) {
      throw new CorruptionError(`node ${registration.nodeId} has an unknown state in the snapshot`);
    }
    const previousEpoch = readUvarint(reader);
    const previous =
      previousEpoch === 0
        ? undefined
        : { nodeEpoch: previousEpoch, state: previousState, logNeeded: previousNeeded };
    const recoverer = readUvarint(reader);
    const attempt = readUvarint(reader);
    const recovery = recoverer === 0 ? undefined : { recovererId: recoverer - 1, attempt };
    const host = readText(reader);
    const port = readUvarint(reader);
    const endpoint = host === '' ? undefined : { host, port };
    yield { ...registration, nodeEpoch, state, previous, logNeeded, endpoint, recovery };
  }
}

export function lifeOf({ nodeEpoch, state, logNeeded }: RegisteredBroker): PreviousLife {
  return { nodeEpoch, state, logNeeded };
}

function current(
  nodes: ReadonlyMap<number, RegisteredBroker>,
  { nodeId, nodeEpoch }: NodeRef,
): RegisteredBroker {
  const node = nodes.get(nodeId);
  invariant(node?.nodeEpoch === nodeEpoch, 'I31', 'records name the living epoch of a node', {
    nodeId,
    nodeEpoch,
  });
  return node;
}
