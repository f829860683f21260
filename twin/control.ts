import type { BrokerSummary } from './messages.ts';
import type { BrokerState } from './supervised-broker.ts';
import type { BrokerEvent } from './twin-cluster.ts';

/** Where a running twin is described, in its data folder. It holds the key to its control listener: for its owner only. */
export const TWIN_FILE = 'twin.json';

export interface TwinFile {
  readonly pid: number;
  readonly control: { readonly host: string; readonly port: number; readonly key: string };
  readonly bootstrapServers: string;
  readonly brokers: readonly ListedBroker[];
}

export interface ListedBroker {
  readonly nodeId: number;
  readonly zone: string;
  readonly state: BrokerState;
  readonly isCutOff: boolean;
  readonly pid?: number;
  readonly host?: string;
  readonly port?: number;
  /** Where other brokers reach it; another one in every life. */
  readonly internalPort?: number;
  readonly folder: string;
  /** The file that plays its volume. */
  readonly volume: string;
  /** What its next start runs; absent: the code beside the twin. */
  readonly bundle?: string;
  readonly summary?: BrokerSummary;
}

/** What can be asked of a running twin: one POST of JSON each to /NAME. */
export interface ControlCommands {
  list: { args: object; result: Omit<TwinFile, 'control'> };
  /** kill -9; it stays down until `start`. */
  kill: { args: { readonly nodeId: number }; result: null };
  /** A clean stop: partitions go to the others first. It stays down until `start`. */
  stop: { args: { readonly nodeId: number }; result: { readonly status: number | null } };
  /** Answers when it serves. */
  start: { args: { readonly nodeId: number }; result: null };
  /** Another version from the next start on: a bundle of the broker, absolute path; null: the code beside the twin. */
  version: { args: { readonly nodeId: number; readonly bundle: string | null }; result: null };
  pause: { args: { readonly nodeId: number }; result: null };
  resume: { args: { readonly nodeId: number }; result: null };
  'cut-off': { args: { readonly nodeId: number }; result: null };
  restore: { args: { readonly nodeId: number }; result: null };
  store: { args: { readonly isDown: boolean; readonly delayMs: number }; result: null };
  /** What brokers wrote to standard error since the cursor of an earlier answer; 0: all that is kept. */
  events: {
    args: { readonly after: number };
    result: { readonly events: readonly BrokerEvent[]; readonly cursor: number };
  };
}

export type ControlName = keyof ControlCommands;
