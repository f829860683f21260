import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { environments } from '../environments/index.ts';
import { InvalidEnvironmentError } from '../lib/environment/validate.ts';
import { Millrace } from '../lib/millrace.ts';

/** The CDK app: `npx cdk synth -c env=dev`, `npx cdk deploy --all -c env=prod`. */
const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));

const name: unknown = app.node.tryGetContext('env');
const environment = typeof name === 'string' ? environments[name] : undefined;
if (environment === undefined) {
  fail(
    `-c env=NAME is ${name === undefined ? 'missing' : JSON.stringify(name)}, allowed ${Object.keys(environments).join(', ')}; ` +
      'copy a file of environments/ and add it to environments/index.ts',
  );
} else {
  try {
    new Millrace(app, environment.name, { environment });
  } catch (error) {
    // A user's mistake is told in lines, not in a stack trace.
    if (!(error instanceof InvalidEnvironmentError)) throw error;
    fail(error.message);
  }
}

function fail(message: string): void {
  console.error(`millrace: ${message}`);
  process.exit(1);
}
