/** `docs/reference/metrics.md`: the section "Metrics" of each README, which tests beside the code hold to what is exported. */

/** One package's README. */
export interface Readme {
  /** Who exposes the metrics. */
  readonly name: string;
  readonly text: string;
}

/** The page, in Markdown, ending with a newline. Throws RangeError for a README without the section. */
export function renderMetricsReference(readmes: readonly Readme[]): string {
  return [
    '# Metrics',
    '',
    '<!-- Made from the section "Metrics" of each README by `npm run docs`; do not edit. -->',
    '',
    'Prometheus reads them at `/metrics`. `k8s/monitoring` has the scrape configuration and a Grafana dashboard; a test runs each of its queries against a real Prometheus.',
    ...readmes.flatMap(({ name, text }) => ['', `## ${name}`, '', sectionOf(name, text)]),
    '',
  ].join('\n');
}

function sectionOf(name: string, text: string): string {
  const section = /^## Metrics\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(text)?.[1];
  if (section === undefined) throw new RangeError(`the README of ${name} has no section "Metrics"`);
  return section.trim();
}
