import type { BrokerConfig, RunningBroker } from '../broker-runtime/src/main.ts';
import type { Address } from '../broker-runtime/src/ports/network.ts';
import type { Faults } from './faults.ts';

/** From the twin to one of its broker processes. */
export type ToBroker =
  | {
      readonly type: 'start';
      readonly config: BrokerConfig;
      readonly faults: Faults;
      /** A bundle of the broker, absolute path: that version runs. Without it: the code beside the twin. */
      readonly bundle?: string;
    }
  | { readonly type: 'faults'; readonly faults: Faults }
  /** `drain`: partitions are given to the others first; without it they wait for whoever comes next. */
  | { readonly type: 'stop'; readonly drain: boolean };

/** From a broker process to its twin. */
export type FromBroker =
  | { readonly type: 'ready'; readonly address: Address; readonly internalAddress: Address }
  | { readonly type: 'status'; readonly status: BrokerSummary }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** What a status line, a supervisor and a drill want to know of one broker. */
export interface BrokerSummary {
  readonly nodeEpoch: number;
  readonly isController: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly connections: number;
  readonly walUsedBytes: number;
  readonly walCapacityBytes: number;
  readonly walWaitingBytes: number;
  readonly uploadedBytes: number;
  readonly uploadedObjects: number;
  readonly uploadTrouble?: string;
}

export function summaryOf(broker: RunningBroker): BrokerSummary {
  const { cluster, server, store } = broker.status();
  return {
    nodeEpoch: cluster.nodeEpoch,
    isController: cluster.isController,
    bytesIn: server.bytesIn,
    bytesOut: server.bytesOut,
    connections: server.connections,
    walUsedBytes: store.walUsedBytes,
    walCapacityBytes: store.walCapacityBytes,
    walWaitingBytes: store.walWaitingBytes,
    uploadedBytes: store.uploadedBytes,
    uploadedObjects: store.uploadedObjects,
    ...(store.uploadTrouble === undefined ? {} : { uploadTrouble: store.uploadTrouble }),
  };
}
