/**
 * What templates and instances must agree on. The shape is checked against the broker's by the compiler (`import type`);
 * the kit imports nothing of the broker that would run.
 */
import type {
  CERTIFICATE_ENDS_SOON_DAYS as CertificateEndsSoonDays,
  CLUSTER_TAG as ClusterTag,
  METRIC_NAMESPACE as MetricNamespace,
  NODE_ID_TAG as NodeIdTag,
} from '../broker-runtime/src/agent/instance-config.ts';

export type { InstanceConfig } from '../broker-runtime/src/agent/instance-config.ts';

export const CERTIFICATE_ENDS_SOON_DAYS: typeof CertificateEndsSoonDays = 14;
export const CLUSTER_TAG: typeof ClusterTag = 'millrace:cluster';
export const METRIC_NAMESPACE: typeof MetricNamespace = 'Millrace';
export const NODE_ID_TAG: typeof NodeIdTag = 'millrace:node-id';

/** Between brokers; not open to clients. */
export const INTERNAL_PORT = 9093;
export const LAUNCH_HOOK = 'millrace-launch';
export const TERMINATE_HOOK = 'millrace-terminate';
