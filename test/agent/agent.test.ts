import { describe, expect, test } from '@jest/globals';
import { AwsError } from '../aws-model/aws-account.ts';
import { AgentRig, ZONE } from './agent-rig.ts';

const TEN_MINUTES_MS = 10 * 60_000;

describe('from power-on to serving', () => {
  test('an instance claims a slot, gets its volume and its neighbour’s, writes its name, and only then completes the hook', async () => {
    const rig = new AgentRig();
    const { instance, brokers } = rig.boot();
    await rig.pass(10_000);
    expect(brokers).toHaveLength(1);
    expect(brokers[0]?.launch).toMatchObject({
      nodeId: 1,
      zone: ZONE,
      devices: { 1: '/dev/vol-0001', 2: '/dev/vol-0002' },
      advertisedHost: 'b1.test.internal',
      host: instance.privateIp,
    });
    expect(rig.account.records).toEqual(new Map([['b1.test.internal', instance.privateIp]]));
    expect(instance.hooks.has('millrace-launch')).toBe(true);
    brokers[0]?.serve();
    await rig.pass(100);
    expect(instance.hooks.has('millrace-launch')).toBe(false);
  });

  test('two instances that race for slots get one each, whoever is first', async () => {
    const rig = new AgentRig();
    const both = [rig.boot(), rig.boot()];
    await rig.pass(10_000);
    expect(both.map(({ brokers }) => brokers[0]?.launch.nodeId).sort()).toEqual([1, 2]);
  });

  test('a third waits for a slot, and takes that of an instance that is gone', async () => {
    const rig = new AgentRig();
    const first = await rig.bootToServing();
    await rig.bootToServing();
    const third = rig.boot();
    await rig.pass(30_000);
    expect(third.brokers).toHaveLength(0);
    rig.account.lose(first.instance.instanceId);
    await rig.pass(10_000);
    expect(third.brokers[0]?.launch.nodeId).toBe(1);
    expect(rig.account.records.get('b1.test.internal')).toBe(third.instance.privateIp);
  });

  test('more instances than slots end with an error that says so, and the group is told', async () => {
    const rig = new AgentRig();
    await rig.bootToServing();
    await rig.bootToServing();
    const third = rig.boot();
    await rig.pass(6 * 60_000);
    expect(String(await third.ended)).toMatch(
      /slots 1, 2 has an instance that runs.*lower its maximum or add slots/,
    );
    expect(third.instance.isHealthy).toBe(false);
  });

  test('a restart in place keeps the slot and finds its volumes attached', async () => {
    const rig = new AgentRig();
    const { instance } = await rig.bootToServing();
    const attaches = rig.account.calls.filter((call) => call === 'ec2:AttachVolume').length;
    const again = await rig.bootToServing(instance);
    expect(again.brokers[0]?.launch.nodeId).toBe(1);
    expect(rig.account.calls.filter((call) => call === 'ec2:AttachVolume')).toHaveLength(attaches);
  });

  test('with the WAL in the bucket no volume is asked for', async () => {
    const rig = new AgentRig({ walKind: 'object' });
    const { brokers } = await rig.bootToServing();
    expect(brokers[0]?.launch.devices).toEqual({});
    expect(rig.account.calls.filter((call) => call.startsWith('ec2:'))).toEqual([]);
  });

  test('a broker gets certificate and key of the secret; without them nothing is started and the group is told', async () => {
    const rig = new AgentRig({ tls: { secretId: 'arn:tls', clientCertificates: 'none' } });
    const early = rig.boot();
    await rig.pass(10_000);
    expect(String(await early.ended)).toMatch(/no secret arn:tls/);
    expect(early.brokers).toEqual([]);
    expect(early.instance.isHealthy).toBe(false);
    rig.account.secrets.set('arn:tls', '{"certificate": "C", "privateKey": "K"}');
    const { brokers } = await rig.bootToServing();
    expect(brokers[0]?.launch.credentials.tls).toEqual({ certificate: 'C', privateKey: 'K' });
  });

  test('a broker gets what it shows to other brokers, of a secret of its own', async () => {
    const rig = new AgentRig({ peerTls: { secretId: 'arn:peers', name: 'test.brokers' } });
    rig.account.secrets.set('arn:peers', '{"certificate": "C", "privateKey": "K", "authorities": "A"}');
    const { brokers } = await rig.bootToServing();
    expect(brokers[0]?.launch.credentials.peerTls).toEqual({
      certificate: 'C',
      privateKey: 'K',
      authorities: 'A',
      name: 'test.brokers',
    });
    expect(brokers[0]?.launch.credentials.tls).toBeUndefined();
  });

  describe('a new version of a secret', () => {
    const secretOf = (certificate: string) => JSON.stringify({ certificate, privateKey: 'K' });
    const withTls = async () => {
      const rig = new AgentRig({ tls: { secretId: 'arn:tls', clientCertificates: 'none' } });
      rig.account.secrets.set('arn:tls', secretOf('OLD'));
      const { brokers, instance } = await rig.bootToServing();
      const [broker] = brokers;
      if (broker === undefined) throw new Error('no broker');
      return { rig, brokers, broker, instance };
    };

    test('reaches the broker that serves within ten minutes, once; and the next one starts with it', async () => {
      const { rig, brokers, broker } = await withTls();
      await rig.pass(TEN_MINUTES_MS);
      expect(broker.renewed).toEqual([]);
      rig.account.secrets.set('arn:tls', secretOf('NEW'));
      await rig.pass(2 * TEN_MINUTES_MS);
      expect(broker.renewed).toEqual([{ tls: { certificate: 'NEW', privateKey: 'K' } }]);
      broker.end('SIGKILL');
      await rig.pass(10_000);
      expect(brokers.map(({ launch }) => launch.credentials.tls?.certificate)).toEqual(['OLD', 'NEW']);
    });

    test('bad-rotation: that cannot be used, or read, changes nothing, for a broker that starts later neither', async () => {
      const { rig, brokers, broker, instance } = await withTls();
      for (const bad of [secretOf('EXPIRED'), 'no JSON']) {
        rig.account.secrets.set('arn:tls', bad);
        await rig.pass(TEN_MINUTES_MS);
      }
      rig.account.secrets.delete('arn:tls');
      await rig.pass(TEN_MINUTES_MS);
      expect(broker.renewed).toEqual([]);
      expect(instance.isHealthy).toBe(true);
      broker.end('SIGKILL');
      await rig.pass(10_000);
      expect(brokers[1]?.launch.credentials.tls?.certificate).toBe('OLD');
      brokers[1]?.serve();
      rig.account.secrets.set('arn:tls', secretOf('NEW'));
      await rig.pass(TEN_MINUTES_MS + 1_000);
      expect(brokers[1]?.renewed).toHaveLength(1);
    });

    test('is not asked for where nobody speaks TLS', async () => {
      const rig = new AgentRig();
      await rig.bootToServing();
      await rig.pass(3 * TEN_MINUTES_MS);
      expect(rig.account.calls.filter((call) => call.startsWith('secretsmanager:'))).toEqual([]);
    });
  });

  test('how busy the broker is goes on once a minute; what does not get through holds nobody up', async () => {
    const rig = new AgentRig();
    const { brokers, instance } = await rig.bootToServing();
    const [broker] = brokers;
    if (broker === undefined) throw new Error('no broker');
    await rig.pass(61_000);
    expect(rig.account.metrics.size).toBe(0);
    broker.load = { busyPercent: 40, walFullPercent: 7 };
    await rig.pass(60_000);
    rig.account.throttled = 1;
    await rig.pass(60_000);
    broker.load = { busyPercent: 90, walFullPercent: 100, certificateDaysLeft: 13 };
    await rig.pass(60_000);
    expect(rig.account.metrics.get('Millrace/BusyPercent')).toEqual([40, 90]);
    expect(rig.account.metrics.get('Millrace/WalFullPercent')).toEqual([7, 100]);
    expect(rig.account.metrics.get('Millrace/CertificateDaysLeft')).toEqual([13]);
    expect(instance.isHealthy).toBe(true);
  });

  test('throttled-longer-than-the-sdk-tries: attaching, and looking whether it is there, goes on', async () => {
    const rig = new AgentRig();
    const { account } = rig;
    const attachVolume = account.attachVolume.bind(account);
    let refusals = 5;
    account.attachVolume = (...asked) => {
      if (refusals-- > 0) account.throttled = 1;
      attachVolume(...asked);
    };
    const { brokers, instance } = rig.boot();
    await rig.pass(1_000);
    account.throttled = 10;
    await rig.pass(30_000);
    expect(brokers[0]?.launch.devices).toMatchObject({ 1: '/dev/vol-0001' });
    expect(instance.isHealthy).toBe(true);
  });

  test('attached-without-an-answer: an attach whose answer was lost is seen, not asked for again for ever', async () => {
    const rig = new AgentRig();
    const { account } = rig;
    const attachVolume = account.attachVolume.bind(account);
    account.attachVolume = (...asked) => {
      attachVolume(...asked);
      throw new AwsError('RequestLimitExceeded', 'the answer was lost, and the repeats with it');
    };
    const { brokers } = rig.boot();
    await rig.pass(30_000);
    expect(brokers[0]?.launch.devices).toEqual({ 1: '/dev/vol-0001', 2: '/dev/vol-0002' });
  });

  test('a volume that attaches slowly comes all the same', async () => {
    const rig = new AgentRig();
    rig.account.attachMs = 45_000;
    const { brokers } = rig.boot();
    await rig.pass(60_000);
    expect(brokers[0]?.launch.devices).toMatchObject({ 1: '/dev/vol-0001', 2: '/dev/vol-0002' });
  });

  test('a neighbour’s volume that does not come holds nobody up for long', async () => {
    const rig = new AgentRig();
    const { account } = rig;
    const hasDevice = account.hasDevice.bind(account);
    account.hasDevice = (volumeId, instanceId) => volumeId === 'vol-0001' && hasDevice(volumeId, instanceId);
    const { brokers } = rig.boot();
    await rig.pass(70_000);
    expect(brokers[0]?.launch.devices).toEqual({ 1: '/dev/vol-0001' });
  });

  test('a volume that never becomes a device is an error that says how far it came', async () => {
    const rig = new AgentRig();
    rig.account.deviceMs = Infinity;
    const { ended, instance } = rig.boot();
    await rig.pass(3 * 60_000);
    expect(String(await ended)).toMatch(
      /vol-0001 of node 1 did not become a device .* is attached, the kernel shows no device/,
    );
    expect(instance.isHealthy).toBe(false);
  });

  test('a slot without a volume is an error that names those there are', async () => {
    const rig = new AgentRig();
    rig.account.volumes.delete('vol-0001');
    const { ended } = rig.boot();
    await rig.pass(1_000);
    expect(String(await ended)).toMatch(
      /no volume in eu-central-1a has the tags of cluster test and node 1; found are those of nodes 2/,
    );
  });

  test('a neighbour’s volume that cannot be attached is left out, with a warning', async () => {
    const rig = new AgentRig();
    const neighbour = rig.account.volumes.get('vol-0002');
    for (let n = 0; n < 16; n++) {
      neighbour?.attachments.push({ instanceId: `i-other-${n}`, deviceName: '/dev/sdf', askedAtMs: 0 });
    }
    const { brokers } = await rig.bootToServing();
    expect(brokers[0]?.launch.devices).toEqual({ 1: '/dev/vol-0001' });
    expect(rig.env.events.named('agent.standby-volume-missing')).toHaveLength(1);
  });

  test('an instance in a zone without slots says so', async () => {
    const rig = new AgentRig();
    const { ended } = rig.boot(rig.account.launch('eu-central-1c', 'group-c'));
    await rig.pass(100);
    expect(String(await ended)).toMatch(
      /is in eu-central-1c, but the cluster has slots in eu-central-1a, eu-central-1b only/,
    );
  });
});

describe('while it serves', () => {
  test('a broker that ends is started again', async () => {
    const rig = new AgentRig();
    const { brokers } = await rig.bootToServing();
    brokers[0]?.end('1');
    await rig.pass(5_000);
    expect(brokers).toHaveLength(2);
    expect(brokers[1]?.launch).toEqual(brokers[0]?.launch);
  });

  test('one that ends again and again is given up, and the group replaces the instance', async () => {
    const rig = new AgentRig();
    const { brokers, ended, instance } = await rig.bootToServing();
    for (let n = 0; n < 6; n++) {
      brokers.at(-1)?.end('1');
      await rig.pass(10_000);
    }
    expect(String(await ended)).toMatch(/ended 6 times, last with 1/);
    expect(brokers).toHaveLength(6);
    expect(instance.isHealthy).toBe(false);
  });

  // hung-and-in-service: a process that neither ends nor does anything, on an instance that its group counts.
  test('one that hangs is ended after some minutes, and another one started', async () => {
    const rig = new AgentRig();
    const { brokers, instance } = await rig.bootToServing();
    const [broker] = brokers;
    if (broker === undefined) throw new Error('no broker');
    broker.load = { busyPercent: 40, walFullPercent: 7 };
    await rig.pass(30 * 60_000);
    expect(brokers).toHaveLength(1);
    broker.isSilent = true;
    await rig.pass(4 * 60_000);
    expect(broker.isOver).toBe(true);
    expect(brokers).toHaveLength(2);
    expect(rig.env.events.named('agent.broker-silent')).toHaveLength(1);
    expect(instance.isHealthy).toBe(true);
  });

  test('one that never serves is killed and started again', async () => {
    const rig = new AgentRig();
    const { brokers } = rig.boot();
    await rig.pass(10_000);
    await rig.pass(6 * 60_000);
    expect(brokers[0]?.isOver).toBe(true);
    expect(brokers.length).toBe(2);
  });
});

describe('leaving', () => {
  test.each(['spot-interruption', 'rebalance', 'terminating'] as const)(
    'after %s: the broker drains, then the name goes, then the slot is free',
    async (notice) => {
      const rig = new AgentRig();
      const { instance, brokers, ended } = await rig.bootToServing();
      if (notice === 'terminating') rig.account.terminate(instance.instanceId);
      else instance.notice = notice;
      await rig.pass(10_000);
      expect(await ended).toBe('left');
      expect(brokers[0]?.stops).toBe(1);
      expect(rig.account.records.size).toBe(0);
      if (notice === 'terminating') expect(instance.state).toBe('terminated');
      // The next instance has the slot at once, although this one may still run.
      const next = await rig.bootToServing();
      expect(next.brokers[0]?.launch.nodeId).toBe(1);
    },
  );

  // idle-after-rebalance: the group counts an instance on which nothing serves.
  test('a recommendation to rebalance, which a group may leave at that, ends the instance all the same', async () => {
    const rig = new AgentRig();
    const { instance, ended } = await rig.bootToServing();
    instance.notice = 'rebalance';
    await rig.pass(10_000);
    expect(await ended).toBe('left');
    expect(instance.isHealthy).toBe(false);
    expect(instance.state).toBe('terminated');
  });

  test('idle-after-rebalance: health that cannot be told at once is told later', async () => {
    const rig = new AgentRig();
    const { account } = rig;
    const { instance, ended } = await rig.bootToServing();
    const setInstanceHealth = account.setInstanceHealth.bind(account);
    let refusals = 3;
    account.setInstanceHealth = (...asked) => {
      if (refusals-- > 0) throw new AwsError('RequestLimitExceeded', 'too many requests');
      setInstanceHealth(...asked);
    };
    instance.notice = 'rebalance';
    await rig.pass(60_000);
    expect(await ended).toBe('left');
    expect(instance.isHealthy).toBe(false);
    expect(instance.state).toBe('terminated');
  });

  test('a group that does not end it holds it up for ten minutes at most', async () => {
    const rig = new AgentRig();
    const { instance, ended } = await rig.bootToServing();
    rig.account.terminate = () => undefined;
    instance.notice = 'rebalance';
    await rig.pass(60_000);
    expect(instance.state).toBe('running');
    await rig.pass(10 * 60_000);
    expect(await ended).toBe('left');
  });

  test('other reasons to leave need no word about health', async () => {
    const rig = new AgentRig();
    const { instance, ended } = await rig.bootToServing();
    instance.notice = 'spot-interruption';
    await rig.pass(10_000);
    expect(await ended).toBe('left');
    expect(instance.isHealthy).toBe(true);
  });

  test('a broker that hangs is killed while there is still time', async () => {
    const rig = new AgentRig();
    const { instance, brokers, ended } = await rig.bootToServing();
    if (brokers[0] !== undefined) brokers[0].stopsWhenAsked = false;
    instance.notice = 'spot-interruption';
    await rig.pass(120_000);
    expect(brokers[0]?.isOver).toBe(true);
    expect(await ended).toBe('left');
  });

  test('a name that a new instance has written by then stays', async () => {
    const rig = new AgentRig();
    const { agent, ended } = await rig.bootToServing();
    rig.account.records.set('b1.test.internal', '10.60.0.99');
    agent.stop();
    await rig.pass(1_000);
    expect(await ended).toBe('left');
    expect(rig.account.records.get('b1.test.internal')).toBe('10.60.0.99');
  });

  test('a stop while it waits for a slot is no failure', async () => {
    const rig = new AgentRig();
    await rig.bootToServing();
    await rig.bootToServing();
    const { agent, ended, instance } = rig.boot();
    await rig.pass(5_000);
    agent.stop();
    await rig.pass(100);
    expect(await ended).toBe('left');
    expect(instance.isHealthy).toBe(true);
  });
});
