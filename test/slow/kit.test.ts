import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run, runOk } from '../harness/command.ts';
import { TempDir } from '../harness/temp-dir.ts';

/** The kit as its users have it: the CDK's command line, the tools of the trade, and an app of their own. */
const ROOT = path.resolve(__dirname, '..', '..');
const EXAMPLES = ['dev', 'stage', 'prod'] as const;
const SYNTH_WITHIN_MS = 60_000;
/** Root may take the network away; then nothing can be looked up, with or without credentials. */
const WITHOUT_NETWORK = process.getuid?.() === 0 ? ['unshare', '--net'] : [];

/** Reasons stand where the resources are made, as cdk-nag wants them too. */
const DECIDED_OTHERWISE = [
  // Access logs of every upload would cost more than the data (stream-bucket.ts).
  'CKV_AWS_18',
  // A network load balancer has access logs for TLS listeners only (bootstrap-endpoint.ts).
  'CKV_AWS_91',
];

/** It has no check for alarms, dashboards and experiments. */
const UNKNOWN_TO_CHECKOV = /Drills|Observability/;

interface CheckovReport {
  readonly results: {
    readonly passed_checks: readonly { readonly file_path: string }[];
    readonly failed_checks: readonly unknown[];
  };
  readonly summary: { readonly failed: number; readonly parsing_errors: number };
}

const dir = new TempDir();
afterAll(() => dir.remove());

/** No credentials, no profile, no home with either in it. */
function bareEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'));
  return { ...Object.fromEntries(kept), HOME: dir.path, AWS_EC2_METADATA_DISABLED: 'true', CI: 'true' };
}

async function synth(example: string, folder: string): Promise<number> {
  const startedMs = performance.now();
  const [command = '', ...args] = [
    ...WITHOUT_NETWORK,
    path.join(ROOT, 'node_modules', '.bin', 'cdk'),
    ...['synth', '--quiet', '--no-notices', '--no-version-reporting', '-c', `env=${example}`, '-o', folder],
  ];
  await runOk(command, args, { cwd: ROOT, env: bareEnv() });
  return performance.now() - startedMs;
}

const templatesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.template.json'))
    .sort();

describe('cdk synth, without credentials or network', () => {
  test.each(EXAMPLES)('of %s takes less than a minute and gives the same bytes twice', async (example) => {
    const [first, second] = [dir.join(example), dir.join(`${example}-again`)];
    const tookMs = await synth(example, first);
    await synth(example, second);
    const templates = templatesIn(first);
    console.log(`${example}: ${templates.length} templates in ${Math.round(tookMs)} ms`);
    expect(tookMs).toBeLessThan(SYNTH_WITHIN_MS);
    expect(templates.length).toBeGreaterThanOrEqual(4);
    expect(templatesIn(second)).toEqual(templates);
    for (const file of templates) {
      expect(readFileSync(path.join(second, file))).toEqual(readFileSync(path.join(first, file)));
    }
  });

  test('of an environment that does not exist names those that do', async () => {
    const cdk = path.join(ROOT, 'node_modules', '.bin', 'cdk');
    const { status, stderr, stdout } = await run(cdk, ['synth', '-c', 'env=nowhere'], {
      cwd: ROOT,
      env: bareEnv(),
    });
    expect(status).not.toBe(0);
    expect(`${stdout}${stderr}`).toMatch(/env=NAME is "nowhere", allowed dev, stage, prod; copy a file/);
  });
});

describe('the templates', () => {
  let tools: string;
  beforeAll(() => {
    tools = execFileSync(process.execPath, [path.join(ROOT, 'scripts', 'python-tools.mjs')], {
      encoding: 'utf8',
    }).trim();
  }, 300_000);

  test.each(EXAMPLES)('of %s have nothing that cfn-lint would say', async (example) => {
    const folder = dir.join(example);
    const files = templatesIn(folder).map((file) => path.join(folder, file));
    const { status, stdout } = await run(path.join(tools, 'cfn-lint'), ['--', ...files]);
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  test.each(EXAMPLES)(
    'of %s have nothing that checkov would say, but what is decided otherwise',
    async (example) => {
      const folder = dir.join(example);
      const { status, stdout } = await run(
        path.join(tools, 'checkov'),
        ['--directory', folder, '--framework', 'cloudformation', '--output', 'json'].concat(
          DECIDED_OTHERWISE.flatMap((check) => ['--skip-check', check]),
        ),
      );
      const { results, summary } = JSON.parse(stdout) as CheckovReport;
      const files = new Set(results.passed_checks.map(({ file_path }) => path.basename(file_path)));
      expect(results.failed_checks).toEqual([]);
      // A scan that read nothing finds nothing.
      const known = templatesIn(folder).filter((file) => !UNKNOWN_TO_CHECKOV.test(file));
      expect(known.filter((file) => !files.has(file))).toEqual([]);
      expect(summary).toMatchObject({ failed: 0, parsing_errors: 0 });
      expect(status).toBe(0);
    },
  );
});

describe('npm pack', () => {
  test('gives a package that an empty app with a VPC of its own compiles against and synthesizes', async () => {
    const app = dir.join('own-app');
    mkdirSync(app);
    const script = path.join(ROOT, 'scripts', 'pack-kit.mjs');
    const packed = execFileSync(process.execPath, [script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 2],
    });
    const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const versionOf = (name: string): string => `${name}@${manifest.devDependencies[name] ?? ''}`;
    writeFileSync(path.join(app, 'package.json'), '{"private": true, "type": "module"}');
    cpSync(path.join(ROOT, 'examples', 'own-app', 'app.ts'), path.join(app, 'app.ts'));
    await runOk(
      'npm',
      ['install', '--no-audit', '--no-fund', '--prefer-offline', packed.trim()].concat(
        ['aws-cdk-lib', 'constructs', 'typescript', '@types/node'].map(versionOf),
      ),
      { cwd: app },
    );
    const tsc = path.join(app, 'node_modules', '.bin', 'tsc');
    const options = '--strict --module nodenext --target es2024 --skipLibCheck false --types node'.split(' ');
    await runOk(tsc, [...options, 'app.ts'], { cwd: app });
    await runOk(process.execPath, ['app.js'], { cwd: app, env: { ...bareEnv(), CDK_OUTDIR: 'cdk.out' } });
    expect(
      templatesIn(path.join(app, 'cdk.out')).map((file) => path.basename(file, '.template.json')),
    ).toEqual(
      expect.arrayContaining(
        ['OrdersCluster', 'OrdersStorage', 'Own'].map((one) => expect.stringContaining(one)),
      ),
    );
  });
});
