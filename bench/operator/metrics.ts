/** What a process says of itself on /metrics, in Prometheus' text format. */

export interface Sample {
  name: string;
  labels: string;
  value: number;
}

export async function metricsOf(port: number): Promise<Sample[]> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
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
