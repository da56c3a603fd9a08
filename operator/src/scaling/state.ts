/** What scaling says of a subscription in its status, and what is worth telling. Pure. */
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import type { ScalingReplicas, SubscriptionResource, SubscriptionStatus } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import type { Demand } from './demand.ts';
import type { Engine } from './engines.ts';

export interface ScalingState {
  condition: Said;
  replicas?: ScalingReplicas;
}

export function followed(engine: Engine, demand: Demand, current: number | undefined): ScalingState {
  const { replicas: desired, reason, message } = demand;
  return {
    condition: { type: 'Scaling', status: desired === undefined ? 'Unknown' : 'True', reason, message },
    replicas: {
      engine,
      ...(current === undefined ? {} : { current }),
      ...(desired === undefined ? {} : { desired }),
    },
  };
}

/** The demand that a status tells of, where it is of the spec as it is now. */
export function toldBefore({ metadata, status }: SubscriptionResource): Demand | undefined {
  const said = conditionOf(status?.conditions, 'Scaling');
  const replicas = status?.replicas?.desired;
  if (said?.status !== 'True' || replicas === undefined) return undefined;
  if (said.observedGeneration !== metadata.generation) return undefined;
  return { replicas, reason: said.reason as Demand['reason'], message: said.message };
}

export function refused(reason: string, message: string): ScalingState {
  return { condition: { type: 'Scaling', status: 'False', reason, message } };
}

/** Where nobody scales. */
export function notScaling(mode: 'folder' | 'kubernetes'): ScalingState {
  return mode === 'folder'
    ? refused('KubernetesNeeded', 'scaling needs Kubernetes: from a folder there are no replicas to set')
    : refused('SwitchedOff', 'the operator does not scale: install its chart with scaling.enabled=true');
}

/**
 * The numbers in a sentence move with every message: as long as the status says the same in its other words, its sentence
 * stays. So a status is written when the course changes, and not every few seconds.
 */
export function settled(state: ScalingState, status: SubscriptionStatus | undefined): ScalingState {
  const before = conditionOf(status?.conditions, 'Scaling');
  if (before === undefined) return state;
  const { condition, replicas } = state;
  const same =
    before.status === condition.status &&
    before.reason === condition.reason &&
    status?.replicas?.desired === replicas?.desired &&
    status?.replicas?.engine === replicas?.engine;
  return same && condition.status !== 'False'
    ? { ...state, condition: { ...condition, message: before.message } }
    : state;
}

export function isSaid(
  { condition, replicas }: ScalingState,
  status: SubscriptionStatus | undefined,
): boolean {
  const before = conditionOf(status?.conditions, 'Scaling');
  return (
    before?.status === condition.status &&
    before.reason === condition.reason &&
    before.message === condition.message &&
    status?.replicas?.current === replicas?.current &&
    status?.replicas?.desired === replicas?.desired &&
    status?.replicas?.engine === replicas?.engine
  );
}

const WARNINGS: ReadonlySet<string> = new Set([
  ...['StatisticsMissing', 'NotConsuming', 'Retrying', 'ConsumerMissing', 'ConsumerTaken'],
  ...['AutoscalerTaken', 'EngineRefused', 'KedaNotInstalled', 'MetricsApiMissing', 'MetricsApiTaken'],
]);

/** A turn: up after down, down after up, or a reason why it does not follow. Undefined while it goes on as it did. */
export function storyOfScaling(
  before: SubscriptionStatus | undefined,
  after: ScalingState,
  course: Map<string, 'up' | 'down'>,
  key: string,
): StoryEvent | undefined {
  const was = conditionOf(before?.conditions, 'Scaling');
  const { reason, message } = after.condition;
  if (WARNINGS.has(reason))
    return was?.reason === reason ? undefined : { type: 'Warning', reason, action: 'Scale', message };
  const [from, to] = [before?.replicas?.desired, after.replicas?.desired];
  if (from === undefined || to === undefined || from === to) return undefined;
  const direction = to > from ? 'up' : 'down';
  if (course.get(key) === direction) return undefined;
  course.set(key, direction);
  return {
    type: 'Normal',
    reason: direction === 'up' ? 'ScalingOut' : 'ScalingIn',
    action: 'Scale',
    message: `from ${from} to ${message}`,
  };
}

/** The status with what is said of scaling now, and else as it was. Undefined where that is the same. */
export function withScaling(
  { metadata, spec, status }: SubscriptionResource,
  state: ScalingState | undefined,
  now: string,
): SubscriptionStatus | undefined {
  if (spec.scaling === undefined || state === undefined || status === undefined || isSaid(state, status))
    return undefined;
  const { replicas: _, conditions = [], ...others } = status;
  const said = conditionsAfter(conditions, [state.condition], metadata.generation, now);
  return {
    ...others,
    conditions: [...conditions.filter(({ type }) => type !== 'Scaling'), ...said].sort((a, b) =>
      a.type.localeCompare(b.type),
    ),
    ...(state.replicas === undefined ? {} : { replicas: state.replicas }),
  };
}

/** What goes into a status. While nothing new is known, what was said before stays. */
export function scalingPart(
  { spec, status }: SubscriptionResource,
  state: ScalingState | undefined,
): { said: Said[]; replicas?: ScalingReplicas } {
  if (spec.scaling === undefined) return { said: [] };
  const before = conditionOf(status?.conditions, 'Scaling');
  const pending = {
    type: 'Scaling',
    status: 'Unknown',
    reason: 'Pending',
    message: 'not looked at yet',
  } as const;
  const said = state?.condition ?? (before === undefined ? pending : saidIn(before));
  const replicas = state === undefined ? status?.replicas : state.replicas;
  return { said: [said], ...(replicas === undefined ? {} : { replicas }) };
}

function saidIn({ type, status, reason, message }: Said): Said {
  return { type, status, reason, message };
}
