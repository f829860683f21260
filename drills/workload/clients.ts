import { type Consumer, type ConsumerConfig, Kafka, type LogEntry, logLevel, type Producer } from 'kafkajs';
import { stopLateFetchers } from './late-fetchers.ts';

stopLateFetchers();

/** A producer repeats for as long as the drill lasts: a broker's death is a stall, not an error. */
const PRODUCER_RETRY = { retries: 100_000, initialRetryTime: 50, multiplier: 2, maxRetryTime: 500 };
/** A consumer finds a moved coordinator only when it starts again; so it gives up early, and starts again for ever. */
const CONSUMER_RETRY = { retries: 5, initialRetryTime: 50, multiplier: 2, maxRetryTime: 300 };
/** A leader that hangs answers nothing, so the client would not hear of the new one: it has to ask. */
const METADATA_MAX_AGE_MS = 2_000;
const SESSION_TIMEOUT_MS = 10_000;
/** Distinct complaints of the clients that are kept. */
const COMPLAINTS_MAX = 100;

/** Makes the clients of one workload, and keeps what they complain about. */
export class Clients {
  readonly #kafka: Kafka;
  readonly #complaints = new Map<string, number>();

  constructor(bootstrapServers: string, clientId: string, requestTimeoutMs: number) {
    this.#kafka = new Kafka({
      clientId,
      brokers: bootstrapServers.split(','),
      requestTimeout: requestTimeoutMs,
      connectionTimeout: Math.min(1_000, requestTimeoutMs),
      retry: PRODUCER_RETRY,
      logLevel: logLevel.ERROR,
      logCreator: () => (entry) => this.#complain(entry),
    });
  }

  /** What the clients logged while they tried again, and how often: no errors of the application. */
  get complaints(): ReadonlyMap<string, number> {
    return this.#complaints;
  }

  producer(): Producer {
    return this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      retry: PRODUCER_RETRY,
    });
  }

  consumer(groupId: string, config: Partial<ConsumerConfig> = {}): Consumer {
    return this.#kafka.consumer({
      groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: SESSION_TIMEOUT_MS / 10,
      rebalanceTimeout: SESSION_TIMEOUT_MS,
      maxWaitTimeInMs: 200,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      retry: { ...CONSUMER_RETRY, restartOnFailure: () => Promise.resolve(true) },
      ...config,
    });
  }

  admin() {
    return this.#kafka.admin({ retry: PRODUCER_RETRY });
  }

  #complain({ namespace, log }: LogEntry): void {
    const detail: unknown = log['error'];
    const text = `${namespace}: ${log.message}${typeof detail === 'string' ? ` (${detail})` : ''}`;
    const count = this.#complaints.get(text);
    if (count === undefined && this.#complaints.size >= COMPLAINTS_MAX) return;
    this.#complaints.set(text, (count ?? 0) + 1);
  }
}
