import path from 'node:path';
import { Tags, Validations } from 'aws-cdk-lib';
import { ManagedPolicy, PermissionsBoundary } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Environment } from './environment/environment.ts';
import { type ResolvedEnvironment, resolveEnvironment } from './environment/resolve.ts';
import { ClusterStack } from './stacks/cluster-stack.ts';
import { DrillsStack } from './stacks/drills-stack.ts';
import { NetworkStack } from './stacks/network-stack.ts';
import { ObservabilityStack } from './stacks/observability-stack.ts';
import { RecoveryStack } from './stacks/recovery-stack.ts';
import { StorageStack } from './stacks/storage-stack.ts';

export interface MillraceProps {
  readonly environment: Environment;
  /** The broker in one file: `npm run build` makes it. @default - the one that came with the kit */
  readonly bundleFile?: string;
}

/** Beside `lib`, in the repository and in the package. */
const BUNDLE_FILE = path.join(import.meta.dirname, '..', 'broker-runtime', 'dist', 'millrace-broker.mjs');

/**
 * All stacks of one environment.
 *
 *   recovery (second region) → storage → network → cluster → observability → drills
 *
 * What holds data is in `recovery` and `storage` and protected against deletion; all others can be deleted and made again.
 */
export class Millrace extends Construct {
  readonly environment: ResolvedEnvironment;
  /** Undefined without a second region. */
  readonly recovery: RecoveryStack | undefined;
  readonly storage: StorageStack;
  /** Undefined in a VPC that exists already. */
  readonly network: NetworkStack | undefined;
  readonly cluster: ClusterStack;
  readonly observability: ObservabilityStack;
  readonly drills: DrillsStack;

  /** @throws {InvalidEnvironmentError} with every problem of the environment at once */
  constructor(scope: Construct, id: string, { environment: given, bundleFile = BUNDLE_FILE }: MillraceProps) {
    super(scope, id);
    const environment = resolveEnvironment(given);
    this.environment = environment;
    const { name, account, region, recovery, data } = environment;
    const stackProps = (what: string, description: string) => ({
      environment,
      env: { account, region },
      stackName: `millrace-${name}-${what}`,
      description: `Millrace ${name}: ${description}`,
    });
    // Data that is kept is behind two locks: termination protection of the stack, and RETAIN of each resource.
    const keeps = { terminationProtection: data.removal === 'retain' };
    this.recovery =
      recovery === undefined
        ? undefined
        : new RecoveryStack(this, 'Recovery', {
            ...stackProps('recovery', 'the copy in the second region'),
            ...keeps,
            recovery,
            env: { account, region: recovery.region },
          });
    this.storage = new StorageStack(this, 'Storage', {
      ...stackProps('storage', 'bucket and WAL volumes'),
      ...keeps,
    });
    const { network } = environment;
    this.network =
      'vpcId' in network
        ? undefined
        : new NetworkStack(this, 'Network', {
            ...stackProps('network', 'VPC and endpoints'),
            cidr: network.cidr,
          });
    this.cluster = new ClusterStack(this, 'Cluster', {
      ...stackProps('cluster', 'brokers and their name'),
      ...(this.network === undefined ? {} : { network: this.network }),
      bundleFile,
    });
    this.observability = new ObservabilityStack(this, 'Observability', {
      ...stackProps('observability', 'alarms and dashboard'),
      storage: this.storage,
    });
    this.drills = new DrillsStack(this, 'Drills', stackProps('drills', 'failures on purpose'));
    if (this.recovery !== undefined)
      this.storage.addStackDependency(this.recovery, 'replication needs its destination');
    this.cluster.addStackDependency(this.storage, 'brokers need bucket and volumes');
    this.drills.addStackDependency(this.observability, 'experiments stop on its alarm');
    for (const [key, value] of Object.entries(environment.tags)) Tags.of(this).add(key, value);
    const { permissionsBoundaryArn } = environment;
    if (permissionsBoundaryArn !== undefined) {
      // Every role: where a boundary is demanded, the deployment of a single one without it is refused.
      PermissionsBoundary.of(this).apply(
        ManagedPolicy.fromManagedPolicyArn(this.cluster, 'Boundary', permissionsBoundaryArn),
      );
    }
    Validations.of(this).acknowledge({
      id: 'CloudFormation-Validate::W3010',
      reason: 'A slot belongs to a zone, and its volume cannot leave it: the environment names them.',
    });
  }
}
