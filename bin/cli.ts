import { Command, InvalidArgumentError, Option } from 'commander';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import type { ClampOptions } from './clamp-offsets.ts';
import type { DoctorOptions } from './doctor.ts';
import type { CostOptions } from './environment-commands.ts';
import type { PromoteOptions } from './promote.ts';
import { parsePhases } from '../drills/drill.ts';
import { parseLimit } from '../drills/report/budget.ts';
import {
  MAX_BROKERS_PER_ZONE,
  MAX_ZONES,
  parseAmount,
  parseBytes,
  parseCount,
  parseGeneration,
  parsePort,
  parseSetting,
  parseStore,
} from '../twin/options.ts';
import type { BalanceCommandOptions } from '../twin/balance.ts';
import type { DrillOptions } from '../twin/drill.ts';
import { up, type UpOptions } from '../twin/up.ts';

/** Commander prints an InvalidArgumentError as one line beside the option's name, without a stack trace. */
function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof MillraceError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

const storeOption = (what: string): Option =>
  new Option('--store <dir|s3://bucket/prefix>', what).argParser(checked(parseStore));
const endpointOption = (): Option =>
  new Option('--store-endpoint <url>', 'S3-compatible server instead of AWS');
const regionOption = (): Option => new Option('--store-region <region>', 'region of the bucket');
const generationOption = (what: string): Option =>
  new Option('--generation <n>', what).default(0).argParser(checked(parseGeneration));

const program = new Command('millrace').description(
  'Kafka in your own AWS account. On this machine: a cluster to try, to test against and to rehearse failures with.',
);

program
  .command('up')
  .description('start Millrace here; any Kafka client can connect to the addresses it prints')
  .option(
    '--env <name>',
    'zones, brokers, WAL kind, port and settings of an environment; options given here win',
  )
  .addOption(
    new Option(
      '--zones <n>',
      `availability zones, up to ${MAX_ZONES}; with one broker in one zone: one process`,
    )
      .default(3)
      .argParser(checked(parseCount(MAX_ZONES))),
  )
  .addOption(
    new Option('--brokers-per-zone <n>', `broker processes in each; two can take over from each other`)
      .default(1)
      .argParser(checked(parseCount(MAX_BROKERS_PER_ZONE))),
  )
  .addOption(
    new Option('--port <port>', 'port of the first broker, the others follow; 0 lets the system choose')
      .default(9092)
      .argParser(checked(parsePort)),
  )
  .option('--host <host>', 'address to listen on and to tell clients', '127.0.0.1')
  .option('--data <dir>', 'folder for everything that is kept', '.millrace')
  .addOption(
    storeOption('where data lives: a folder, or a bucket').default(
      undefined,
      'the folder `objects` in --data',
    ),
  )
  .addOption(endpointOption())
  .addOption(regionOption())
  .addOption(generationOption('how often the cluster was promoted (see `millrace promote`)'))
  .addOption(
    new Option(
      '--wal <path,...>',
      'write-ahead log of a single broker: devices or files, striped when several',
    )
      .default(undefined, 'the file `wal` in --data')
      .argParser((text: string) => text.split(',')),
  )
  .addOption(
    new Option(
      '--wal-kind <kind>',
      'block: on volumes, fast, lost with the zone until uploaded; object: in the bucket, survives a zone, slower',
    )
      .choices(['block', 'object'])
      .default('block'),
  )
  .option(
    '--accept-wal-loss',
    'start although the log with acknowledged records is gone, and give those records up',
    false,
  )
  .option('--tls-cert <file>', 'speak TLS with clients: certificate chain, PEM; needs --tls-key')
  .option('--tls-key <file>', 'private key of the certificate, PEM')
  .option('--tls-client-ca <file>', 'accept only clients with a certificate of these authorities, PEM')
  .addOption(
    new Option('--wal-size <size>', 'size of each WAL file that has to be made')
      .default(undefined, '128MiB, 512MiB for a single broker')
      .argParser(checked(parseBytes)),
  )
  .addOption(
    new Option('--memory <size>', 'memory of each broker for buffers and caches')
      .default(undefined, '192MiB, 512MiB for a single broker')
      .argParser(checked(parseBytes)),
  )
  .addOption(
    new Option('--set <name=value>', 'a Kafka broker setting, such as num.partitions=4; may be repeated')
      .default({}, 'none')
      .argParser((text: string, soFar: Record<string, string>) => ({
        ...soFar,
        ...checked(parseSetting)(text),
      })),
  )
  .option('--json', 'one JSON object a line on standard output: ready, status, stopped', false)
  .addHelpText(
    'after',
    `
Examples:
  millrace up                                     three zones, ports 9092 to 9094, data in .millrace/
  millrace up --brokers-per-zone 2                six brokers: kill one, and its neighbour takes over
  millrace up --zones 1 --port 0 --data /tmp/try  one broker on a free port, another folder
  millrace up --env prod                          as many brokers as the environment has slots
  millrace up --zones 1 --wal /dev/nvme1n1,/dev/nvme2n1     two raw devices, striped
  millrace up --store s3://my-bucket/try --store-region eu-central-1
  millrace up --store s3://b/p --store-endpoint http://127.0.0.1:9000

Then, with any client:
  echo hello | kcat -b 127.0.0.1:9092 -t greetings -P
  kcat -b 127.0.0.1:9092 -t greetings -C -e

Credentials for s3:// come from the usual places of the AWS SDK (environment, profile, instance role).
Stop with Ctrl-C: everything in memory is uploaded first. A broker that dies is started again and replays its log, or a
neighbour in its zone takes the log over.`,
  )
  .action(async ({ env, ...options }: UpOptions & { readonly env?: string }, command: Command) => {
    if (env === undefined) process.exit(await up(options));
    const { twinOptionsOf } = await import('./environment-commands.ts');
    const { set, ...sizes } = twinOptionsOf(env);
    const isGiven = (name: string): boolean => command.getOptionValueSource(name) !== 'default';
    const wanted = Object.entries(sizes).filter(([name]) => !isGiven(name));
    process.exit(await up({ ...options, ...Object.fromEntries(wanted), set: { ...set, ...options.set } }));
  });

program
  .command('drill')
  .description(
    'break the running cluster on purpose, under load, and report what was lost and how long clients waited',
  )
  .argument('<name>', 'a drill, or "list"')
  .option('--data <dir>', 'folder of the cluster that `millrace up` started', '.millrace')
  .option(
    '--report <dir>',
    'where report.html, report.json and the history go; default: a folder in DATA/drills',
  )
  .addOption(
    new Option(
      '--limit <name=value>',
      'another limit of the budget, such as stallMaxMs=5000; may be repeated',
    )
      .default({}, "the drill's own")
      .argParser((text: string, soFar: DrillOptions['limit']) => ({
        ...soFar,
        ...checked(parseLimit)(text),
      })),
  )
  .option(
    '--bundle <file>',
    'the other version of the broker that upgrade-and-back needs, made by npm run build',
  )
  .addOption(
    new Option(
      '--phases <steady,observe,recover>',
      'seconds of load before the fault, with it, and after healing, such as 10,600,30',
    )
      .default(undefined, "the drill's own")
      .argParser(checked(parsePhases)),
  )
  .option('--json', 'the report as JSON on standard output', false)
  .addHelpText(
    'after',
    `
Examples:
  millrace up --brokers-per-zone 2        in one terminal
  millrace drill list                     in another: what there is
  millrace drill kill-broker              status 0 when nothing was lost and the budget was kept
  millrace drill kill-broker --phases 10,600,30           ten minutes without the broker
  millrace drill upgrade-and-back --bundle ../next/broker-runtime/dist/millrace-broker.mjs`,
  )
  .action(async (name: string, options: DrillOptions) => {
    // Drills bring Kafka clients with them, which starting a cluster does not need.
    const { drill, listDrills } = await import('../twin/drill.ts');
    if (name === 'list') listDrills();
    else process.exit(await drill(name, options));
  });

program
  .command('balance')
  .description(
    'show how the load is spread over the running cluster, and which partitions would move to even it out',
  )
  .option('--plan', 'a dry run: nothing is moved', false)
  .option('--data <dir>', 'folder of the cluster that `millrace up` started', '.millrace')
  .option('--json', 'the proposal as JSON on standard output', false)
  .addHelpText(
    'after',
    `
Examples:
  millrace balance --plan                 brokers, what keeps them busy, and the moves

The controller balances by itself: at once when a broker joins, and every half minute when the load of two brokers differs
by three tenths of the mean and by a twentieth of a core. auto.leader.rebalance.enable=false switches that off.`,
  )
  .action(async (options: BalanceCommandOptions) => {
    const { balance } = await import('../twin/balance.ts');
    process.exit(await balance(options));
  });

program
  .command('promote')
  .description('after the loss of a region: make a cluster of the copy of its bucket')
  .addOption(storeOption('the copy: the bucket in the other region, or a folder'))
  .addOption(endpointOption())
  .addOption(regionOption())
  .addOption(
    generationOption('which generation to promote, if the copy is of a cluster that was promoted before'),
  )
  .option('--plan', 'a dry run: say what would be kept and given up', false)
  .option('--accept-loss', 'give up more than a minute of what was replicated', false)
  .option('--json', 'the report as JSON on standard output', false)
  .addHelpText(
    'after',
    `
Examples:
  millrace promote --store s3://my-bucket-replica --store-region us-west-2 --plan
  millrace promote --store s3://my-bucket-replica --store-region us-west-2

Objects are replicated in no particular order, so the newest metadata may name data that has not arrived. The cluster goes
on from the newest moment of which everything is there. What brokers had not uploaded yet is lost with their volumes.
Before: make sure that no broker of the lost region runs. docs/recovery.md has every step.`,
  )
  .action(async (options: PromoteOptions) => {
    const { promoteCommand } = await import('./promote.ts');
    await promoteCommand(options);
  });

program
  .command('clamp-offsets')
  .description('after a promotion: set offsets that groups committed past the end of a partition to that end')
  .requiredOption('--bootstrap <host:port,...>', 'brokers of the promoted cluster')
  .option('--plan', 'a dry run: only show them', false)
  .option('--json', 'the offsets as JSON on standard output', false)
  .action(async (options: ClampOptions) => {
    const { clampOffsets } = await import('./clamp-offsets.ts');
    process.exitCode = await clampOffsets(options);
  });

const amount = (flags: string, what: string, standard: number): Option =>
  new Option(flags, what).default(standard).argParser(checked(parseAmount));

program
  .command('cost')
  .description('estimate what an environment costs in a month, line by line, beside Apache Kafka')
  .requiredOption('--env <name>', 'an environment of environments/')
  .addOption(amount('--write <MiB/s>', 'written by producers, compressed, on average', 10))
  .addOption(amount('--fanout <n>', 'how many times each byte is read', 2))
  .addOption(amount('--retention <days>', 'how long records are kept', 3))
  .option('--json', 'lines, totals and sources as JSON', false)
  .addHelpText(
    'after',
    `
Examples:
  millrace cost --env prod                                    10 MiB/s, read twice, kept three days
  millrace cost --env prod --write 100 --fanout 3 --json

Nothing is looked up: prices are those of us-east-1 with date and source beside each line.`,
  )
  .action(async (options: CostOptions) => {
    const { cost } = await import('./environment-commands.ts');
    cost(options);
  });

program
  .command('doctor')
  .description('check an environment before it is deployed; status 0 when it can be')
  .requiredOption('--env <name>', 'an environment of environments/')
  .option('--online', 'also ask AWS, with your credentials, and change nothing', false)
  .option('--json', 'the findings as JSON', false)
  .action(async (options: DoctorOptions) => {
    const { doctor } = await import('./doctor.ts');
    process.exitCode = await doctor(options);
  });

// Whoever reads our output, `head` say, may have enough of it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

program.parseAsync().catch((error: unknown) => {
  // A user's mistake is one line; anything else is ours and shows where it came from.
  if (error instanceof MillraceError || hasCode(error, 'INVALID_ENVIRONMENT')) {
    console.error(`millrace: ${error.message}`);
  } else console.error(error);
  process.exitCode = 1;
});

/** The kit's own errors, without loading the kit for every command. */
function hasCode(error: unknown, code: string): error is Error {
  return error instanceof Error && 'code' in error && error.code === code;
}
