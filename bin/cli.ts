import { Command, Option } from 'commander';
import { MillraceError } from '../broker-runtime/src/base/errors.ts';
import { parseAmount } from '../twin/options.ts';
import type { ClampOptions } from './clamp-offsets.ts';
import { checked, endpointOption, generationOption, regionOption, storeOption } from './cli-options.ts';
import type { DoctorOptions } from './doctor.ts';
import type { CostOptions } from './environment-commands.ts';
import { addLocalCommands } from './local-commands.ts';
import type { PromoteOptions } from './promote.ts';

const program = new Command('millrace').description(
  'Kafka in your own AWS account. On this machine: a cluster to try, to test against and to rehearse failures with.',
);

addLocalCommands(program);

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
