import { messageOf } from '../broker-runtime/src/base/errors.ts';
import { staticSettings } from '../broker-runtime/src/metadata/static-settings.ts';
import { environments } from '../environments/index.ts';
import type { Environment } from '../lib/environment/environment.ts';
import { type Problem, problemsOf } from '../lib/environment/validate.ts';
import { OptionError } from '../twin/options.ts';

/**
 * What `--env NAME`, or `cdk -c env=NAME`, names.
 * @throws {OptionError} when there is none of that name, or it calls itself by another one
 */
export function environmentNamed(
  name: unknown,
  option = '--env',
  all: Readonly<Record<string, Environment>> = environments,
): Environment {
  const found = typeof name === 'string' && Object.hasOwn(all, name) ? all[name] : undefined;
  if (found === undefined) {
    throw new OptionError(
      `${option} is ${name === undefined ? 'missing' : JSON.stringify(name)}, allowed ${Object.keys(all).join(', ')}; ` +
        'copy a file of environments/ and add it to environments/index.ts',
    );
  }
  // A copied file that kept its name would deploy over the stacks of the one it was copied from.
  if (found.name !== name) {
    throw new OptionError(
      `${option} ${JSON.stringify(name)} has the name ${JSON.stringify(found.name)}, allowed the one under which it stands in ` +
        'environments/index.ts; change `name` in its file',
    );
  }
  return found;
}

/** All that keeps an environment from being used: by the kit, or else by its brokers. */
export function allProblemsOf(environment: Environment): readonly Problem[] {
  const problems = problemsOf(environment);
  return problems.length > 0 ? problems : settingProblems(environment);
}

/** Settings that its brokers would refuse when they start. The kit itself knows no broker. */
export function settingProblems({ brokerSettings = {} }: Environment): Problem[] {
  return Object.entries(brokerSettings).flatMap(([setting, value]) => {
    try {
      staticSettings(1, { [setting]: value });
      return [];
    } catch (error) {
      return [
        {
          code: 'BrokerSetting',
          path: `brokerSettings.${setting}`,
          got: JSON.stringify(value),
          allowed: 'what a broker takes',
          fix: messageOf(error),
        },
      ];
    }
  });
}
