import type { Environment, ExistingNetwork, TlsOptions } from '../environment.ts';
import { LIMITS } from '../limits.ts';
import type { Checks } from './checks.ts';

/** The VPC, names, and who may connect how. */
export function checkNetwork({ environment, report, within, matches }: Checks): void {
  const { network = {}, zones, dns, clients } = environment;
  if ('vpcId' in network) checkExisting(network, zones, report);
  else if (network.cidr !== undefined) {
    const [prefix] = cidrOf(network.cidr)?.slice(-1) ?? [];
    if (prefix === undefined || prefix < 16 || prefix > 20) {
      report('Cidr', 'network.cidr', network.cidr, 'an IPv4 range of /16 to /20', 'such as 10.60.0.0/16');
    }
  }
  if (dns !== undefined) {
    matches(
      'Domain',
      'dns.domain',
      dns.domain,
      /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$/,
      'a domain name in lower case',
      'such as kafka.example.com',
    );
  }
  within('Port', 'clients.port', clients.port, LIMITS.port);
  if (environment.peerTls !== undefined) {
    checkSecret('PeerTlsSecret', 'peerTls.secretArn', environment.peerTls.secretArn, environment, report);
  }
  if (clients.tls !== undefined) checkTls(clients.tls, environment, report);
  else if (clients.acceptPlaintext !== true) {
    report(
      'Plaintext',
      'clients.acceptPlaintext',
      clients.acceptPlaintext,
      'true, or clients.tls',
      'add clients.tls, or say that the network is trusted',
    );
  }
  if (clients.allowedCidrs.length === 0) {
    report(
      'NoClients',
      'clients.allowedCidrs',
      [],
      'at least one IPv4 range',
      'name the ranges of your clients, such as the VPC',
    );
  }
  for (const range of clients.allowedCidrs) {
    const parts = cidrOf(range);
    if (parts === undefined || (parts.at(-1) ?? 0) < 8) {
      report(
        'ClientRange',
        'clients.allowedCidrs',
        range,
        'an IPv4 range of /8 or smaller',
        'brokers without authentication must not be open to the world',
      );
    }
  }
}

function checkExisting(network: ExistingNetwork, zones: readonly string[], report: Checks['report']): void {
  if (!/^vpc-[0-9a-f]{8,17}$/.test(network.vpcId)) {
    report(
      'VpcId',
      'network.vpcId',
      network.vpcId,
      'vpc- and hexadecimal digits',
      '`aws ec2 describe-vpcs` lists them',
    );
  }
  if (cidrOf(network.vpcCidr) === undefined) {
    report(
      'VpcCidr',
      'network.vpcCidr',
      network.vpcCidr,
      'the IPv4 range of that VPC',
      '`aws ec2 describe-vpcs` tells it',
    );
  }
  for (const zone of zones) {
    if (/^subnet-[0-9a-f]{8,17}$/.test(network.subnetIds[zone] ?? '')) continue;
    report(
      'SubnetOfZone',
      `network.subnetIds.${zone}`,
      network.subnetIds[zone],
      'a private subnet of that zone',
      '`aws ec2 describe-subnets` lists them',
    );
  }
}

const CIDR = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;

/** The four numbers and the prefix length; undefined when it is none. */
function cidrOf(text: string): number[] | undefined {
  const numbers = CIDR.exec(text)?.slice(1).map(Number);
  if (numbers === undefined) return undefined;
  const isValid = numbers.every((value, at) => value <= (at === 4 ? 32 : 255));
  return isValid ? numbers : undefined;
}

function checkSecret(
  code: string,
  path: string,
  secretArn: string,
  { account, region }: Environment,
  report: Checks['report'],
): void {
  const [, where, owner] =
    /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):(\d{12}):secret:[\w/+=.@-]+$/.exec(secretArn) ?? [];
  if (where === region && owner === account) return;
  report(
    code,
    path,
    secretArn,
    `the full ARN of a secret in ${region} of ${account}`,
    'aws secretsmanager describe-secret --secret-id NAME --query ARN',
  );
}

function checkTls(
  { secretArn, clientCertificates }: TlsOptions,
  environment: Environment,
  report: Checks['report'],
): void {
  checkSecret('TlsSecret', 'clients.tls.secretArn', secretArn, environment, report);
  if (!['required', 'none', undefined].includes(clientCertificates)) {
    report(
      'TlsClients',
      'clients.tls.clientCertificates',
      clientCertificates,
      '"required" or "none"',
      'see TlsOptions',
    );
  }
}
