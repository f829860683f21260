import type { BalanceProposal } from '../broker-runtime/src/controller/balancer.ts';
import { systemEnv } from '../broker-runtime/src/adapters/system-env.ts';
import { TcpNetwork } from '../broker-runtime/src/adapters/tcp-network.ts';
import { RpcClient } from '../broker-runtime/src/rpc/client.ts';
import { ControlClient, TwinControlError } from './control-client.ts';
import { OptionError } from './options.ts';

const TIMEOUT_MS = 5_000;
/** More moves than that tell a person nothing. */
const MOVES_SHOWN = 20;

export interface BalanceCommandOptions {
  readonly data: string;
  readonly plan: boolean;
  readonly json: boolean;
}

/** `millrace balance --plan`: what the controller sees and would move; nothing is moved. @returns the exit status */
export async function balance({ data, plan, json }: BalanceCommandOptions): Promise<number> {
  if (!plan) {
    throw new OptionError(
      'got no --plan, allowed: --plan, which shows what would be moved; the controller moves partitions by itself',
    );
  }
  const proposal = await askController(data);
  process.stdout.write(json ? `${JSON.stringify(proposal)}\n` : renderProposal(proposal));
  return 0;
}

async function askController(data: string): Promise<BalanceProposal> {
  const { brokers } = await ControlClient.of(data).call('list', {});
  const controller = brokers.find(
    ({ state, summary }) => state === 'serving' && summary?.isController === true,
  );
  if (controller?.host === undefined || controller.internalPort === undefined) {
    throw new TwinControlError(
      'NO_CONTROLLER',
      'no broker is the controller at the moment: try again in some seconds',
    );
  }
  const { host, internalPort: port } = controller;
  const env = systemEnv({ minLevel: 'error' });
  const client = await RpcClient.connect(env, new TcpNetwork(), { host, port }, { timeoutMs: TIMEOUT_MS });
  try {
    const { json } = await client.call(
      'balance-proposal',
      { json: {}, blobs: [] },
      { timeoutMs: TIMEOUT_MS },
    );
    return json as BalanceProposal;
  } finally {
    client.close();
  }
}

export function renderProposal({ isEnabled, reason, nodes, moves }: BalanceProposal): string {
  const lines = ['broker  partitions  busy, % of a core'];
  for (const { nodeId, partitions, busyMicros } of nodes.toSorted((a, b) => a.nodeId - b.nodeId)) {
    lines.push(
      `${String(nodeId).padStart(6)}  ${String(partitions).padStart(10)}  ${percent(busyMicros).padStart(7)}`,
    );
  }
  lines.push('', verdict(isEnabled, reason, moves.length));
  for (const { topic, index, fromNodeId, toNodeId, weightMicros } of moves.slice(0, MOVES_SHOWN)) {
    lines.push(
      `  ${topic} ${index}: broker ${fromNodeId} -> ${toNodeId}, ${percent(weightMicros)} % of a core`,
    );
  }
  if (moves.length > MOVES_SHOWN) lines.push(`  and ${moves.length - MOVES_SHOWN} more (--json shows all)`);
  return `${lines.join('\n')}\n`;
}

function verdict(isEnabled: boolean, reason: BalanceProposal['reason'], moves: number): string {
  if (moves === 0) return 'Even: nothing would be moved.';
  const what = `To even this out ${moves} ${moves === 1 ? 'partition' : 'partitions'} would move.`;
  if (!isEnabled) return `${what} auto.leader.rebalance.enable is false: nothing is moved by itself.`;
  if (reason === 'joined') return `${what} A broker has joined: it is being done.`;
  if (reason === 'load') return `${what} The load is uneven enough: the next round begins with it.`;
  return `${what} The difference is too small to begin by itself.`;
}

function percent(micros: number): string {
  return (micros / 10_000).toFixed(2);
}
