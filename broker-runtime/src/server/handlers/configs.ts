import type { ConfigChange, ConfigRow, TopicResult } from '../../metadata/cluster-metadata.ts';
import { topicNameProblem } from '../../metadata/topic-name.ts';
import { ApiKey } from '../../wire/api-keys.ts';
import { Errors, type ErrorCode } from '../../wire/errors.ts';
import { AlterConfigsRequest, AlterConfigsResponse } from '../../wire/messages/alter-configs.ts';
import { DescribeConfigsRequest, DescribeConfigsResponse } from '../../wire/messages/describe-configs.ts';
import {
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse,
} from '../../wire/messages/incremental-alter-configs.ts';
import type { Encodable } from '../../wire/schema.ts';
import { defineApi } from '../api.ts';
import type { Services } from '../services.ts';
import { repeated } from './repeated.ts';

type DescribedRow = Encodable<typeof DescribeConfigsResponse>['results'][number];
type AskedResource = DescribeConfigsRequest['resources'][number];

/** Kafka's numbers of resource types. Broker loggers (8), client metrics (16) and groups (32) have no settings here. */
const ResourceType = { TOPIC: 2, BROKER: 4 } as const;

/** Every setting with its value and where it comes from: tools and Connect read all of them, defaults included. */
export const describeConfigsApi = defineApi({
  key: ApiKey.DescribeConfigs,
  request: DescribeConfigsRequest,
  response: DescribeConfigsResponse,
  requestMemory: 'decoded',
  handler: (services) => (request) => ({
    throttleTimeMs: 0,
    results: request.resources.map((resource) => describe(services, request, resource)),
  }),
});

function describe(
  services: Services,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
  resource: AskedResource,
): DescribedRow {
  const { resourceType, resourceName, configurationKeys } = resource;
  const rows = rowsOf(services, resource);
  if (!Array.isArray(rows)) return { ...rows, resourceType, resourceName, configs: [] };
  const keys =
    configurationKeys === null || configurationKeys.length === 0 ? undefined : new Set(configurationKeys);
  return {
    errorCode: Errors.NONE,
    errorMessage: null,
    resourceType,
    resourceName,
    configs: rows
      .filter(({ name }) => keys?.has(name) ?? true)
      .map((row) => ({
        name: row.name,
        value: row.value,
        readOnly: row.readOnly,
        configSource: row.source,
        isSensitive: row.sensitive,
        synonyms: includeSynonyms ? row.synonyms : [],
        configType: row.type,
        documentation: includeDocumentation ? row.documentation : null,
      })),
  };
}

interface ConfigError {
  readonly errorCode: ErrorCode;
  readonly errorMessage: string;
}

function rowsOf(
  services: Services,
  { resourceType, resourceName }: AskedResource,
): ConfigRow[] | ConfigError {
  const { metadata } = services;
  if (resourceType === ResourceType.TOPIC) {
    const problem = topicNameProblem(resourceName);
    if (problem !== undefined) return { errorCode: Errors.INVALID_TOPIC_EXCEPTION, errorMessage: problem };
    const rows = metadata.describeTopicConfig(resourceName);
    if (rows !== undefined) return [...rows];
    return { errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: 'there is no topic of this name' };
  }
  if (resourceType === ResourceType.BROKER) {
    const rows = metadata.describeBrokerConfig(
      resourceName === '' ? 'cluster-default' : Number(resourceName),
    );
    if (rows !== undefined) return [...rows];
    const errorMessage = `'${excerpt(resourceName)}' is not the id of a broker; '' stands for all of them`;
    return { errorCode: Errors.INVALID_REQUEST, errorMessage };
  }
  return unsupportedType(resourceType);
}

/** Changes single settings (KIP-339). */
export const incrementalAlterConfigsApi = defineApi({
  key: ApiKey.IncrementalAlterConfigs,
  request: IncrementalAlterConfigsRequest,
  response: IncrementalAlterConfigsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) =>
    alter(
      services,
      request.resources.map(({ resourceType, resourceName, configs }) => ({
        resourceType,
        resourceName,
        mode: 'incremental',
        operations: configs.map(({ name, configOperation, value }) => ({
          name,
          op: OPERATIONS[configOperation],
          value,
        })),
      })),
      request.validateOnly,
    ),
});

/** By Kafka's numbers. */
const OPERATIONS = ['set', 'delete', 'append', 'subtract'] as const;

/** Replaces all settings of a resource: what is not named goes back to its default. */
export const alterConfigsApi = defineApi({
  key: ApiKey.AlterConfigs,
  request: AlterConfigsRequest,
  response: AlterConfigsResponse,
  requestMemory: 'decoded',
  handler: (services) => async (request) =>
    alter(
      services,
      request.resources.map(({ resourceType, resourceName, configs }) => ({
        resourceType,
        resourceName,
        mode: 'replace',
        operations: configs.map(({ name, value }) => ({ name, op: 'set' as const, value })),
      })),
      request.validateOnly,
    ),
});

interface AskedChange {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly mode: ConfigChange['mode'];
  readonly operations: readonly {
    readonly name: string;
    readonly op: (typeof OPERATIONS)[number] | undefined;
    readonly value: string | null;
  }[];
}

/** The same answer for both ways to change settings. */
async function alter(
  services: Services,
  asked: readonly AskedChange[],
  validateOnly: boolean,
): Promise<Encodable<typeof IncrementalAlterConfigsResponse>> {
  const twice = repeated(asked.map(keyOf));
  const changes = asked.map((change) => (twice.has(keyOf(change)) ? DUPLICATE : changeOf(change)));
  const valid = changes.filter((change): change is ConfigChange => 'mode' in change);
  const results = await services.metadata.alterConfigs(valid, validateOnly);
  const byChange = new Map<ConfigChange | TopicResult, TopicResult | undefined>(
    valid.map((change, at) => [change, results[at]]),
  );
  return {
    throttleTimeMs: 0,
    responses: asked.map(({ resourceType, resourceName }, at) => {
      const change = changes[at] ?? DUPLICATE;
      const { error, message } = 'error' in change ? change : (byChange.get(change) ?? DUPLICATE);
      return { errorCode: error, errorMessage: message ?? null, resourceType, resourceName };
    }),
  };
}

const DUPLICATE: TopicResult = {
  error: Errors.INVALID_REQUEST,
  message: 'the request names this resource more than once',
};

function keyOf({ resourceType, resourceName }: AskedChange): string {
  return `${resourceType}/${resourceName}`;
}

function changeOf({ resourceType, resourceName, mode, operations }: AskedChange): ConfigChange | TopicResult {
  const type = typeName(resourceType);
  if (type === undefined) {
    const { errorCode, errorMessage } = unsupportedType(resourceType);
    return { error: errorCode, message: errorMessage };
  }
  const known = operations.flatMap(({ name, op, value }) => (op === undefined ? [] : [{ name, op, value }]));
  if (known.length < operations.length) {
    return { error: Errors.INVALID_REQUEST, message: 'operations are 0 (set) to 3 (subtract)' };
  }
  return { resource: { type, name: resourceName }, mode, operations: known };
}

function typeName(resourceType: number): 'topic' | 'broker' | undefined {
  if (resourceType === ResourceType.TOPIC) return 'topic';
  return resourceType === ResourceType.BROKER ? 'broker' : undefined;
}

function unsupportedType(resourceType: number): ConfigError {
  return {
    errorCode: Errors.INVALID_REQUEST,
    errorMessage: `resource type ${resourceType} has no settings here; 2 (topic) and 4 (broker) have`,
  };
}

/** Error texts never carry much of what a client sent. */
function excerpt(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
