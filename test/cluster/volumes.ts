/** Which nodes cannot be emptied: where a volume is tied to its node, the pod that has it runs there or nowhere. */

export interface Volume {
  status?: { phase?: string };
  spec: {
    nodeAffinity?: {
      required?: {
        nodeSelectorTerms: {
          matchExpressions?: { key: string; operator: string; values?: string[] }[];
        }[];
      };
    };
  };
}

/** The hosts that volumes in use are tied to, as those of kind's `standard` are. */
export function tiedHosts(volumes: readonly Volume[]): Set<string> {
  return new Set(
    volumes
      .filter(({ status }) => status?.phase === 'Bound')
      .flatMap(({ spec }) => spec.nodeAffinity?.required?.nodeSelectorTerms ?? [])
      .flatMap(({ matchExpressions = [] }) => matchExpressions)
      .filter(({ key, operator }) => key === 'kubernetes.io/hostname' && operator === 'In')
      .flatMap(({ values = [] }) => values),
  );
}
