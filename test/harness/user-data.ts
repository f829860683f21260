import type { InstanceConfig } from '../../lib/instance-contract.ts';

/** The script of a synthesized template's instances, with something in place of each reference. */
export function userDataOf(template: object, resolve: (reference: string) => string = String): string {
  const { Resources } = template as { Resources: Record<string, { Type: string; Properties: never }> };
  const launch = Object.values(Resources).find(({ Type }) => Type === 'AWS::EC2::LaunchTemplate');
  const { LaunchTemplateData } = launch?.Properties as unknown as {
    LaunchTemplateData: { UserData: { 'Fn::Base64': unknown } };
  };
  return textOf(LaunchTemplateData.UserData['Fn::Base64'], resolve);
}

export function instanceConfigOf(template: object, resolve?: (reference: string) => string): InstanceConfig {
  const script = userDataOf(template, resolve);
  const [, json] = /instance\.json <<'MILLRACE'\n(.*)\n/.exec(script) ?? [];
  if (json === undefined) throw new Error('the user data writes no instance.json');
  return JSON.parse(json) as InstanceConfig;
}

function textOf(value: unknown, resolve: (reference: string) => string): string {
  if (typeof value === 'string') return value;
  const { 'Fn::Join': join, 'Fn::Sub': sub } = value as {
    'Fn::Join'?: [string, unknown[]];
    'Fn::Sub'?: string;
  };
  if (join !== undefined) return join[1].map((part) => textOf(part, resolve)).join(join[0]);
  return resolve(sub ?? JSON.stringify(value).replaceAll('"', ''));
}
