import { DrillRefusedError, type Target } from '../drill.ts';
import type { Member } from '../fault-injector.ts';

/** A broker that is not the controller, so that one failure is seen alone. */
export function oneBroker(members: readonly Member[]): Target {
  return targetOf(members.find(({ isController }) => !isController) ?? members[0]);
}

export function theController(members: readonly Member[]): Target {
  const controller = members.find(({ isController }) => isController);
  if (controller === undefined)
    throw new DrillRefusedError('no broker says it is the controller; is the cluster up?');
  return targetOf(controller);
}

/** All but one, the controller among them. */
export function allButOne(members: readonly Member[]): Target {
  const survivor = members.find(({ isController }) => !isController) ?? members[0];
  return { nodeIds: members.filter((member) => member !== survivor).map(({ nodeId }) => nodeId), zones: [] };
}

/** The zone with the controller: the hardest one to lose. */
export function controllersZone(members: readonly Member[]): Target {
  const { zone } = members.find(({ isController }) => isController) ?? members[0] ?? { zone: '' };
  const lost = members.filter((member) => member.zone === zone);
  return { nodeIds: lost.map(({ nodeId }) => nodeId), zones: [zone] };
}

/** Everybody, one after the other; the controller last, so that it moves once. */
export function everyBroker(members: readonly Member[]): Target {
  const inTurn = [...members].sort((a, b) => Number(a.isController) - Number(b.isController));
  return { nodeIds: inTurn.map(({ nodeId }) => nodeId), zones: [] };
}

/** What is hit is not a broker. */
export function nobody(): Target {
  return { nodeIds: [], zones: [] };
}

function targetOf(member: Member | undefined): Target {
  return { nodeIds: member === undefined ? [] : [member.nodeId], zones: [] };
}

/** `broker 2`, `brokers 1, 3`. */
export function named({ nodeIds }: Target): string {
  return `${nodeIds.length === 1 ? 'broker' : 'brokers'} ${nodeIds.join(', ')}`;
}
