/** Where a plan reads what is there now, and how it asks what an apply would store. Nothing here writes. */
import type { BoundResource, BrokerResource, SubscriptionResource } from '../resources.ts';
import type { SecretRef } from '../source.ts';
import type { LoadedResource } from '../folder/load.ts';
import type { Planned } from './plan.ts';

export type AnyResource = BoundResource | BrokerResource;

export interface Present extends AsyncDisposable {
  /** In words, for the head of the plan. */
  readonly where: string;
  /** There is a cluster, in which the operator scales consumers. */
  readonly scales: boolean;
  /** Of documents that name none. */
  readonly namespace: string;
  /** What is in force for `kind key`: rules that compare with the version before need it. */
  inForce(id: string): unknown;
  /** The resource as an apply would store it, and as it is now. Throws RefusedError with what an apply would say. */
  preview(loaded: LoadedResource): Promise<Planned<AnyResource>>;
  /** Tells the operator's clusters apart; undefined where nothing does. */
  clusterId(): Promise<string | undefined>;
  broker(name: string): Promise<BrokerResource | undefined>;
  /** All of a namespace. */
  subscriptionsIn(namespace: string): Promise<readonly SubscriptionResource[]>;
  readSecret(ref: SecretRef): Promise<Record<string, string> | undefined>;
}

/** An apply of this document would be refused; the message is what the API server says. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}
