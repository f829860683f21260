import { createServer, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type AwsAccount, AwsError, type ModelInstance } from './aws-account.ts';

/** The account behind the protocols that the SDK speaks: EC2 and Auto Scaling queries, Route 53's XML, JSON of Secrets Manager and CloudWatch. */
export class AwsServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(account: AwsAccount): Promise<AwsServer> {
    const server = createServer((request, response) => {
      void bodyOf(request).then((body) => {
        const path = request.url ?? '';
        try {
          const target = request.headers['x-amz-target'];
          if (typeof target === 'string') {
            const answer = JSON.stringify(json(account, target, body));
            response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(answer);
            return;
          }
          const xml = path.startsWith('/2013-04-01/') ? route53(account, body) : query(account, body);
          response.writeHead(200, { 'content-type': 'text/xml' }).end(xml);
        } catch (error) {
          if (!(error instanceof AwsError)) throw error;
          if (request.headers['x-amz-target'] !== undefined) {
            response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' });
            response.end(JSON.stringify({ __type: error.code, message: error.message }));
            return;
          }
          // EC2 API throttling: 503; everything else here is a mistake of the caller.
          const status = error.code === 'RequestLimitExceeded' ? 503 : 400;
          response.writeHead(status, { 'content-type': 'text/xml' }).end(errorXml(error, body, path));
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new AwsServer(server);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The metadata service of one instance, version 2: nothing without a token (EC2: instance metadata). */
export async function startImds(
  instance: ModelInstance,
  options: { readonly failures?: number; readonly credentials?: RoleCredentials } = {},
): Promise<Server & { readonly endpoint: string }> {
  let failures = options.failures ?? 0;
  const token = 'token-1';
  const server = createServer((request, response) => {
    const answer = (status: number, text = ''): void => void response.writeHead(status).end(text);
    if (failures > 0) {
      failures--;
      answer(500);
    } else if (request.method === 'PUT' && request.url === '/latest/api/token') {
      if (request.headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined) answer(400);
      else answer(200, token);
    } else if (request.headers['x-aws-ec2-metadata-token'] !== token) answer(401);
    else {
      const what = (request.url ?? '').replace('/latest/meta-data/', '');
      const value = credentialsOf(options.credentials, what) ?? metadataOf(instance, what);
      if (value === undefined) answer(404);
      else answer(200, value);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(server, { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

interface RoleCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Of the instance's role (EC2: instance metadata, security credentials). */
function credentialsOf(credentials: RoleCredentials | undefined, what: string): string | undefined {
  if (credentials === undefined) return undefined;
  const folder = 'iam/security-credentials/';
  if (what === folder) return 'brokers';
  if (what !== `${folder}brokers`) return undefined;
  return JSON.stringify({
    Code: 'Success',
    Type: 'AWS-HMAC',
    AccessKeyId: credentials.accessKeyId,
    SecretAccessKey: credentials.secretAccessKey,
    Token: '',
    Expiration: '2100-01-01T00:00:00Z',
  });
}

function metadataOf(instance: ModelInstance, what: string): string | undefined {
  const { notice } = instance;
  const values: Readonly<Record<string, string | undefined>> = {
    'instance-id': instance.instanceId,
    'placement/availability-zone': instance.zone,
    'local-ipv4': instance.privateIp,
    'autoscaling/target-lifecycle-state': notice === 'terminating' ? 'Terminated' : 'InService',
    'spot/instance-action':
      notice === 'spot-interruption' ? '{"action":"terminate","time":"2026-01-01T00:00:00Z"}' : undefined,
    'events/recommendations/rebalance':
      notice === undefined || notice === 'terminating' ? undefined : '{"noticeTime":"2026-01-01T00:00:00Z"}',
  };
  return values[what];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Services that speak JSON; the operation is in a header. */
function json(account: AwsAccount, target: string, body: string): object {
  switch (target) {
    case 'secretsmanager.GetSecretValue': {
      const { SecretId } = JSON.parse(body) as { SecretId: string };
      return { ARN: SecretId, SecretString: account.getSecretValue(SecretId) };
    }
    case 'GraniteServiceVersion20100801.PutMetricData': {
      const { Namespace, MetricData } = JSON.parse(body) as {
        Namespace: string;
        MetricData: { MetricName: string; Value: number }[];
      };
      for (const { MetricName, Value } of MetricData) account.putMetric(Namespace, MetricName, Value);
      return {};
    }
    default:
      throw new AwsError('InvalidAction', `the model has no ${target}`);
  }
}

function query(account: AwsAccount, body: string): string {
  const asked = new URLSearchParams(body);
  const text = (name: string): string => asked.get(name) ?? '';
  switch (asked.get('Action')) {
    case 'DescribeVolumes':
      return describeVolumes(account, asked);
    case 'AttachVolume':
      account.attachVolume(text('VolumeId'), text('InstanceId'), text('Device'));
      return '<AttachVolumeResponse><status>attaching</status></AttachVolumeResponse>';
    case 'DescribeInstances': {
      const { instanceId, state } = account.describeInstance(text('InstanceId.1'));
      return `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>${instanceId}</instanceId><instanceState><name>${state}</name></instanceState></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`;
    }
    case 'CompleteLifecycleAction':
      account.completeLifecycleAction(
        text('AutoScalingGroupName'),
        text('LifecycleHookName'),
        text('InstanceId'),
      );
      return '<CompleteLifecycleActionResponse><CompleteLifecycleActionResult/></CompleteLifecycleActionResponse>';
    case 'SetInstanceHealth':
      account.setInstanceHealth(text('InstanceId'), text('HealthStatus'));
      return '<SetInstanceHealthResponse/>';
    default:
      throw new AwsError('InvalidAction', `the model has no ${text('Action')}`);
  }
}

function describeVolumes(account: AwsAccount, asked: URLSearchParams): string {
  const tags: Record<string, string> = {};
  let tagKey = '';
  let zone = '';
  for (let n = 1; asked.has(`Filter.${n}.Name`); n++) {
    const name = asked.get(`Filter.${n}.Name`) ?? '';
    const value = asked.get(`Filter.${n}.Value.1`) ?? '';
    if (name.startsWith('tag:')) tags[name.slice('tag:'.length)] = value;
    else if (name === 'tag-key') tagKey = value;
    else if (name === 'availability-zone') zone = value;
    else throw new AwsError('InvalidParameterValue', `the model has no filter ${name}`);
  }
  const items = account.describeVolumes(tags, tagKey, zone).map((volume) => {
    const attachments = volume.attachments.map(
      (one) =>
        `<item><instanceId>${one.instanceId}</instanceId><device>${one.deviceName}</device><status>${account.attachmentState(one)}</status></item>`,
    );
    const pairs = Object.entries(volume.tags).map(
      ([key, value]) => `<item><key>${key}</key><value>${value}</value></item>`,
    );
    return `<item><volumeId>${volume.volumeId}</volumeId><attachmentSet>${attachments.join('')}</attachmentSet><tagSet>${pairs.join('')}</tagSet></item>`;
  });
  return `<DescribeVolumesResponse><volumeSet>${items.join('')}</volumeSet></DescribeVolumesResponse>`;
}

function route53(account: AwsAccount, body: string): string {
  const of = (tag: string): string => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(body)?.[1] ?? '';
  account.changeRecord(of('Action'), of('Name').replace(/\.$/, ''), of('Value'));
  return '<ChangeResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>';
}

function errorXml({ code, message }: AwsError, body: string, path: string): string {
  const error = `<Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  const isEc2 =
    !path.startsWith('/2013-04-01/') && /Action=(DescribeVolumes|AttachVolume|DescribeInstances)/.test(body);
  return isEc2 ? `<Response><Errors>${error}</Errors></Response>` : `<ErrorResponse>${error}</ErrorResponse>`;
}
