import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { InvalidEnvironmentError } from '../lib/environment/validate.ts';
import { Millrace } from '../lib/millrace.ts';
import { OptionError } from '../twin/options.ts';
import { allProblemsOf, environmentNamed } from './named-environment.ts';

/** The CDK app: `npx cdk synth -c env=dev`, `npx cdk deploy --all -c env=prod`. */
const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));

try {
  const environment = environmentNamed(app.node.tryGetContext('env'), '-c env=NAME');
  const problems = allProblemsOf(environment);
  if (problems.length > 0) throw new InvalidEnvironmentError(environment.name, problems);
  new Millrace(app, environment.name, { environment });
} catch (error) {
  // A user's mistake is told in lines, not in a stack trace.
  if (!(error instanceof InvalidEnvironmentError) && !(error instanceof OptionError)) throw error;
  console.error(`millrace: ${error.message}`);
  process.exit(1);
}
