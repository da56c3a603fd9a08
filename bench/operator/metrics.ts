/** What a process says of itself on /metrics, in Prometheus' text format. */

export interface Sample {
  name: string;
  labels: string;
  value: number;
}

/** All, or those of these names. */
export async function metricsOf(port: number, names: readonly string[] = []): Promise<Sample[]> {
  const query = new URLSearchParams(names.map((name): [string, string] => ['name[]', name]));
  // A connection that was kept may be closed by a server that has been busy for longer than it keeps one.
  const headers = { connection: 'close' };
  const text = await (
    await fetch(`http://127.0.0.1:${port}/metrics?${query.toString()}`, { headers })
  ).text();
  return text.split('\n').flatMap((line) => {
    const [, name = '', labels = '', value] = /^(\w+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    return value === undefined ? [] : [{ name, labels, value: Number(value) }];
  });
}

export function sum(samples: readonly Sample[], name: string, ...having: readonly RegExp[]): number {
  return samples
    .filter((sample) => sample.name === name && having.every((label) => label.test(sample.labels)))
    .reduce((total, { value }) => total + value, 0);
}
