import { INTERNAL_PORT } from '../../instance-contract.ts';
import type { Environment, ExistingNetwork } from '../environment.ts';
import { LIMITS } from '../limits.ts';
import type { Checks } from './checks.ts';

/** The VPC, names, and who may connect how. */
export function checkNetwork({ environment, report, within, matches }: Checks): void {
  const { network = {}, zones, dns, clients } = environment;
  if ('vpcId' in network) checkExisting(network, zones, report);
  else if (network.cidr !== undefined) {
    const range = cidrOf(network.cidr);
    if (range === undefined || range.prefix < 16 || range.prefix > 20 || !isPrivate(range)) {
      report(
        'Cidr',
        'network.cidr',
        network.cidr,
        'a private IPv4 range of /16 to /20 by its first address',
        'such as 10.60.0.0/16',
      );
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
    if (dns.hostedZoneId !== undefined) {
      matches(
        'HostedZoneId',
        'dns.hostedZoneId',
        dns.hostedZoneId,
        /^Z[A-Z0-9]{1,31}$/,
        'the id of a hosted zone, such as Z0123456789ABCDEFGHIJ',
        '`aws route53 list-hosted-zones` lists them',
      );
    }
  }
  within('Port', 'clients.port', clients.port, LIMITS.port);
  if (clients.port === INTERNAL_PORT) {
    report(
      'PortTaken',
      'clients.port',
      clients.port,
      `any but ${INTERNAL_PORT}`,
      'brokers speak with each other there: choose another',
    );
  }
  if (environment.peerTls !== undefined) {
    checkSecret('PeerTlsSecret', 'peerTls.secretArn', environment.peerTls.secretArn, environment, report);
  }
  if (clients.tls !== undefined) {
    checkSecret('TlsSecret', 'clients.tls.secretArn', clients.tls.secretArn, environment, report);
  } else if (clients.acceptPlaintext !== true) {
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
  if (clients.allowedCidrs.length > LIMITS.clientRanges.max) {
    within('ClientRanges', 'clients.allowedCidrs', clients.allowedCidrs.length, LIMITS.clientRanges);
  }
  for (const range of clients.allowedCidrs) {
    const prefix = cidrOf(range)?.prefix ?? 0;
    if (prefix < 8) {
      report(
        'ClientRange',
        'clients.allowedCidrs',
        range,
        'an IPv4 range of /8 or smaller by its first address, such as 10.60.0.0/16',
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
    const subnetId = network.subnetIds[zone] ?? '';
    const isOfOther = zones.some((other) => other !== zone && network.subnetIds[other] === subnetId);
    if (/^subnet-[0-9a-f]{8,17}$/.test(subnetId) && !isOfOther) continue;
    report(
      'SubnetOfZone',
      `network.subnetIds.${zone}`,
      network.subnetIds[zone],
      'a private subnet of that zone, and of no other',
      '`aws ec2 describe-subnets` lists them',
    );
  }
}

const CIDR = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;

interface Range {
  /** 32 bits. */
  readonly first: number;
  readonly prefix: number;
}

/** Undefined when it is none, or does not begin with its first address. */
function cidrOf(text: string): Range | undefined {
  const numbers = CIDR.exec(text)?.slice(1).map(Number);
  if (!numbers?.every((value, at) => value <= (at === 4 ? 32 : 255))) return undefined;
  const [prefix = 0] = numbers.slice(-1);
  const first = numbers.slice(0, 4).reduce((sum, value) => sum * 256 + value, 0);
  return first % 2 ** (32 - prefix) === 0 ? { first, prefix } : undefined;
}

/** RFC 1918, and RFC 6598, which VPCs may have as well: any other range would hide public addresses from the brokers. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];

function isPrivate(range: Range): boolean {
  return PRIVATE.some((text) => {
    const whole = cidrOf(text);
    if (whole === undefined || range.prefix < whole.prefix) return false;
    const size = 2 ** (32 - whole.prefix);
    return range.first - (range.first % size) === whole.first;
  });
}

function checkSecret(
  code: string,
  path: string,
  secretArn: string,
  { account, region }: Environment,
  report: Checks['report'],
): void {
  const [, where, owner] =
    /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):(\d{12}):secret:[\w/+=.@-]+-[A-Za-z0-9]{6}$/.exec(
      secretArn,
    ) ?? [];
  if (where === region && owner === account) return;
  report(
    code,
    path,
    secretArn,
    `the full ARN of a secret in ${region} of ${account}, with the six characters that AWS adds to its name`,
    'aws secretsmanager describe-secret --secret-id NAME --query ARN',
  );
}
