import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { environments } from '../../environments/index.ts';
import { Millrace } from '../../lib/millrace.ts';
import { TempDir } from '../harness/temp-dir.ts';

const ADAPTERS = path.join('broker-runtime', 'src', 'adapters');
const dir = new TempDir();
afterAll(() => dir.remove());

/** Actions that the S3 API asks for under another name than the command's (S3: permissions of API operations). */
const S3_ACTIONS: Readonly<Record<string, string>> = {
  GetObject: 's3:GetObject',
  HeadObject: 's3:GetObject',
  PutObject: 's3:PutObject',
  DeleteObjects: 's3:DeleteObject',
  ListObjectsV2: 's3:ListBucket',
};
const SERVICES: Readonly<Record<string, string>> = {
  '@aws-sdk/client-ec2': 'ec2',
  '@aws-sdk/client-auto-scaling': 'autoscaling',
  '@aws-sdk/client-route-53': 'route53',
  '@aws-sdk/client-cloudwatch': 'cloudwatch',
  '@aws-sdk/client-secrets-manager': 'secretsmanager',
};

/** Every command of the SDK that the broker and its agent can send: only adapters may know the SDK. */
function actionsOfTheCode(): string[] {
  const actions = new Set<string>();
  for (const name of readdirSync(ADAPTERS)) {
    const text = readFileSync(path.join(ADAPTERS, name), 'utf8');
    for (const [, names = '', from = ''] of text.matchAll(
      /import \{([^}]*)\} from '(@aws-sdk\/client-[^']+)'/g,
    )) {
      for (const [, command = ''] of names.matchAll(/(\w+)Command\b/g)) {
        const service = SERVICES[from];
        actions.add(service === undefined ? (S3_ACTIONS[command] ?? command) : `${service}:${command}`);
      }
    }
  }
  return [...actions].sort();
}

function actionsOfTheRole(): string[] {
  const environment = environments['prod'];
  if (environment === undefined) throw new Error('no such example');
  const bundleFile = dir.join('bundle.mjs');
  writeFileSync(bundleFile, '');
  const made = new Millrace(new App({ outdir: dir.join('cdk.out') }), 'prod', { environment, bundleFile });
  const policies = Template.fromStack(made.cluster).findResources('AWS::IAM::Policy') as Record<
    string,
    { Properties: { PolicyDocument: { Statement: { Action: string | string[] }[] } } }
  >;
  const statements = Object.values(policies).flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
  return [...new Set(statements.flatMap(({ Action }) => Action))].sort();
}

/** Asked of an instance by nobody else, and by the code only when somebody takes volumes away by hand. */
test('the role of the brokers allows what their code can ask for, and nothing else', () => {
  expect(actionsOfTheRole()).toEqual(actionsOfTheCode());
});
