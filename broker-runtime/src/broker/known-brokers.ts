import type { ClusterMetadata, RegisteredBroker } from '../metadata/cluster-metadata.ts';
import type { BrokerEndpoint, Brokers } from '../server/services.ts';

/** The brokers that serve, as metadata shows them. */
export class KnownBrokers implements Brokers {
  readonly #metadata: ClusterMetadata;
  readonly #selfId: number;
  #serving: readonly BrokerEndpoint[] = [];

  constructor(metadata: ClusterMetadata, selfId: number) {
    this.#metadata = metadata;
    this.#selfId = selfId;
    this.#serving = servingOf(metadata.brokers());
    metadata.onChange((change) => {
      if (change.brokers) this.#serving = servingOf(this.#metadata.brokers());
    });
  }

  /** Any broker may be asked to change the cluster, so everybody is told to ask whom he talks to already. */
  get controllerId(): number {
    return this.#selfId;
  }

  reachableFrom(): readonly BrokerEndpoint[] {
    return this.#serving;
  }
}

function servingOf(brokers: Iterable<RegisteredBroker>): readonly BrokerEndpoint[] {
  return [...brokers].flatMap(({ nodeId, zone, state, endpoint }) =>
    state !== 'active' || endpoint === undefined
      ? []
      : [{ id: nodeId, ...endpoint, rack: zone === '' ? null : zone }],
  );
}
