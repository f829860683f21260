import { messageOf } from '../broker-runtime/src/base/errors.ts';
import { ControlServer, listed } from './control-server.ts';
import { FOLDER_GONE, folderGoneText, goneFolder, stoppedText } from './data-folder.ts';
import type { ClusterPlan } from './layout.ts';
import { liveLine, printer, untilSignal } from './output.ts';
import { formatCluster } from './status-line.ts';
import { type BrokerEvent, TwinCluster } from './twin-cluster.ts';

const STATUS_INTERVAL_MS = 500;

/**
 * `millrace up` with several brokers: each a process of its own, until a signal ends it.
 * @returns the exit status: 0 after a clean stop
 */
export async function upCluster(plan: ClusterPlan, json: boolean): Promise<number> {
  const print = printer(json);
  let control: ControlServer | undefined;
  const lost = Promise.withResolvers<{ readonly folder: string }>();
  const cluster = new TwinCluster(plan, {
    brokerStarted: (broker, readyMs) => {
      const { nodeId } = broker;
      print('broker-started', { ...listed(broker), readyMs: Math.round(readyMs) });
      if (!json && control !== undefined) tell(`broker ${nodeId} serves again`);
      writeFile();
    },
    brokerExited: (broker, exit) => {
      const { nodeId } = broker;
      print('broker-exited', { nodeId, ...exit });
      const folder = goneFolder(plan);
      if (folder !== undefined) {
        // Until all are down: a start would make the folder anew, and an empty cluster in it.
        void broker.kill();
        lost.resolve({ folder });
        return;
      }
      const how = exit.reason ?? `it ended with ${exit.status ?? exit.signal ?? '?'}`;
      if (!json)
        tell(exit.isExpected ? `broker ${nodeId} is down` : `broker ${nodeId} is started again: ${how}`);
      writeFile();
    },
    event: (event) => {
      if (json) process.stderr.write(`${JSON.stringify(event)}\n`);
      // A person watches the status line and wants to hear of trouble only.
      else if (event.level === 'error') tell(textOf(event));
    },
    noise: ({ nodeId }, line) => process.stderr.write(`broker ${nodeId}: ${line}\n`),
  });

  const writeFile = (): void => {
    try {
      control?.writeFile();
    } catch (error) {
      // Brokers serve on without it; only drills read it.
      tell(messageOf(error));
    }
  };

  const signal = untilSignal(() => void cluster.kill());
  const started = await Promise.race([signal, cluster.start()]);
  if (typeof started === 'string') {
    await cluster.kill();
    print('stopped', { signal: started }, `stopped on ${started} before it served`);
    return 0;
  }
  control = await ControlServer.start(cluster);
  const { bootstrapServers } = cluster;
  print(
    'ready',
    { bootstrapServers, pid: process.pid, brokers: cluster.brokers.map(listed) },
    `bootstrap.servers=${bootstrapServers}`,
  );

  const stopStatus = showStatus(cluster, json);
  const ended = await Promise.race([signal, lost.promise]);
  stopStatus();
  control.close();
  control = undefined;
  // Without their folder, too: those whose store is elsewhere upload what they have in memory.
  const isClean = await cluster.stop();
  const gone = typeof ended === 'string' ? goneFolder(plan) : ended.folder;
  if (typeof ended !== 'string' || (gone !== undefined && !isClean)) {
    const message = folderGoneText(gone ?? plan.dataDir, plan);
    print('failed', { code: FOLDER_GONE, message }, `millrace failed (${FOLDER_GONE}): ${message}`);
    return 1;
  }
  print('stopped', { signal: ended, isClean }, stoppedText(ended, isClean));
  return isClean ? 0 : 1;
}

function showStatus(cluster: TwinCluster, json: boolean): () => void {
  if (json) {
    const interval = setInterval(
      () =>
        process.stdout.write(
          `${JSON.stringify({ event: 'status', brokers: cluster.brokers.map(listed) })}\n`,
        ),
      STATUS_INTERVAL_MS,
    );
    return () => clearInterval(interval);
  }
  if (!process.stderr.isTTY) return () => undefined;
  let before = cluster.brokers.map(listed);
  let beforeMs = performance.now();
  return liveLine(STATUS_INTERVAL_MS, () => {
    const now = cluster.brokers.map(listed);
    const nowMs = performance.now();
    const line = formatCluster(now, before, nowMs - beforeMs);
    [before, beforeMs] = [now, nowMs];
    return line;
  });
}

/** Above the status line. */
function tell(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\u001b[K' : ''}${text}\n`);
}

function textOf({ broker, event, ...fields }: BrokerEvent): string {
  const rest = Object.entries(fields)
    .filter(([name]) => name !== 'level' && name !== 'time')
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [`broker ${broker}: ${event}`, ...rest].join(' ');
}
