import { mkdirSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';
import {
  AutoScalingLifecycle,
  CloudWatchMetrics,
  Ec2Volumes,
  ManagedSecrets,
  Route53Names,
} from '../adapters/aws-cloud.ts';
import { ChildBrokers } from '../adapters/child-brokers.ts';
import { Imds } from '../adapters/imds.ts';
import { NvmeDevices } from '../adapters/nvme-devices.ts';
import { S3ObjectStore } from '../adapters/s3-object-store.ts';
import { systemEnv } from '../adapters/system-env.ts';
import { Agent } from '../agent/agent.ts';
import {
  CLUSTER_TAG,
  type InstanceConfig,
  METRIC_NAMESPACE,
  NODE_ID_TAG,
  parseInstanceConfig,
} from '../agent/instance-config.ts';
import type { BrokerLaunch } from '../ports/broker-process.ts';
import type { BrokerConfig } from './broker-config.ts';
import { inGeneration } from './generation.ts';

/** systemd makes it and says where (StateDirectory). */
const STATE_FOLDER = process.env['STATE_DIRECTORY'] ?? '/var/lib/millrace';
/** In memory, gone with the unit: configurations of brokers, with private keys (RuntimeDirectory). */
const RUNTIME_FOLDER = process.env['RUNTIME_DIRECTORY'] ?? STATE_FOLDER;
/** Of the machine's memory, for buffers and caches; Node's heap, the kernel and its page cache take the rest. */
const MEMORY_SHARE = 0.4;

/**
 * The agent in the real world. Where a metadata service or AWS is not the usual one, the SDK's own environment variables say so:
 * AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_ENDPOINT_URL.
 * @returns the status to exit with
 */
export async function runAgent(configFile: string, program: string): Promise<number> {
  const config = parseInstanceConfig(readFileSync(configFile, 'utf8'));
  const env = systemEnv();
  const { region, bucket, generation = 0, dns } = config;
  mkdirSync(STATE_FOLDER, { recursive: true });
  const endpoint = process.env['AWS_ENDPOINT_URL_S3'];
  const store = { bucket, prefix: '', generation, region, ...(endpoint === undefined ? {} : { endpoint }) };
  const agent = new Agent(
    {
      env,
      metadata: new Imds(env.clock, process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT']),
      volumes: new Ec2Volumes({ region }, { cluster: CLUSTER_TAG, nodeId: NODE_ID_TAG }),
      devices: new NvmeDevices(),
      names: new Route53Names({ region }, dns.hostedZoneId),
      lifecycle: new AutoScalingLifecycle({ region }),
      secrets: new ManagedSecrets({ region }),
      metrics: new CloudWatchMetrics({ region }, METRIC_NAMESPACE),
      brokers: new ChildBrokers({
        program,
        folder: RUNTIME_FOLDER,
        configOf: (launch) => brokerConfig(config, launch, { kind: 's3', ...store }),
      }),
      objects: inGeneration(new S3ObjectStore(env, store), generation),
    },
    config,
  );
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => agent.stop());
  // Timers of ours keep no process alive, and between two of them there may be nothing else that does.
  const alive = setInterval(() => undefined, 60_000);
  try {
    await agent.run();
    return 0;
  } finally {
    clearInterval(alive);
  }
}

function brokerConfig(
  { walKind }: InstanceConfig,
  launch: BrokerLaunch,
  store: BrokerConfig['store'],
): BrokerConfig {
  return {
    nodeId: launch.nodeId,
    host: launch.host,
    port: launch.port,
    internalPort: launch.internalPort,
    advertisedHost: launch.advertisedHost,
    rack: launch.zone,
    dataDir: path.join(STATE_FOLDER, `node-${launch.nodeId}`),
    store,
    walPaths: [],
    walFileBytes: 0,
    ...(walKind === 'object' ? { walKind: 'object' } : { sharedVolumes: launch.devices }),
    memoryBytes: Math.floor(totalmem() * MEMORY_SHARE),
    settings: launch.settings,
    ...launch.credentials,
  };
}
