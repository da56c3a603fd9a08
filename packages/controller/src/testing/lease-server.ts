import { AlreadyExistsError, ConflictError, ConnectionError } from '../errors.ts';
import type { LeaderElectorOptions } from '../leader-election.ts';
import type { KubernetesObject } from '../object.ts';

interface Lease extends KubernetesObject {
  spec: { holderIdentity: string; leaseDurationSeconds: number; renewTime: string; leaseTransitions: number };
}

/** For tests: one lease, as the API server keeps it; a process may be cut off from it, or get no answers. */
export class LeaseServer {
  lease: Lease | undefined;
  #version = 0;
  readonly cutOff = new Set<string>();
  readonly unanswered = new Set<string>();
  writes = 0;

  cluster(identity: string): LeaderElectorOptions['cluster'] {
    const reach = async () => {
      await Promise.resolve();
      if (this.unanswered.has(identity)) await new Promise(() => undefined);
      if (this.cutOff.has(identity)) throw new ConnectionError('cut off', { status: 0, request: 'lease' });
    };
    const store = (lease: Lease) => {
      this.#version += 1;
      this.writes += 1;
      this.lease = structuredClone({
        ...lease,
        metadata: { ...lease.metadata, resourceVersion: String(this.#version) },
      });
      return structuredClone(this.lease);
    };
    const resource = {
      find: async () => {
        await reach();
        return structuredClone(this.lease);
      },
      create: async (lease: Lease) => {
        await reach();
        if (this.lease !== undefined)
          throw new AlreadyExistsError('exists', { status: 409, request: 'lease' });
        return store(lease);
      },
      replace: async (lease: Lease) => {
        await reach();
        if (this.lease?.metadata.resourceVersion !== lease.metadata.resourceVersion) {
          throw new ConflictError('conflict', { status: 409, request: 'lease' });
        }
        return store(lease);
      },
    };
    return { resource: () => resource } as unknown as LeaderElectorOptions['cluster'];
  }
}
