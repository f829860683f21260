import { type Command, Option } from 'commander';
import { parsePhases } from '../drills/drill.ts';
import { parseLimit } from '../drills/report/budget.ts';
import type { BalanceCommandOptions } from '../twin/balance.ts';
import type { DrillOptions } from '../twin/drill.ts';
import {
  MAX_BROKERS_PER_ZONE,
  MAX_ZONES,
  parseBytes,
  parseCount,
  parsePort,
  parseSetting,
} from '../twin/options.ts';
import { up, type UpOptions } from '../twin/up.ts';
import { checked, endpointOption, generationOption, regionOption, storeOption } from './cli-options.ts';

/** What starts the cluster of this machine, and what is done to it while it runs. */
export function addLocalCommands(program: Command): void {
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
}
