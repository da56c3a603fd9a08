/** `docs/reference/errors.md`: every stable error code, made from the tables in the header of each package's `errors.ts`. */

/** One package's `errors.ts`. */
export interface ErrorSource {
  /** As it is imported: `@warren/event-store`. */
  readonly name: string;
  readonly text: string;
}

/** The page, in Markdown, ending with a newline. */
export function renderErrorsReference(sources: readonly ErrorSource[]): string {
  return [
    '# Errors',
    '',
    '<!-- Made from the errors.ts of each package by `npm run docs`; do not edit. -->',
    '',
    'Every error has a `code` that stays. Alerts, callers and documents may rely on it; the message is for people and may change. No message holds a secret.',
    ...sources.flatMap(({ name, text }) => ['', `## ${name}`, '', ...headerOf(text)]),
    '',
  ].join('\n');
}

/** The codes that the header of an `errors.ts` documents. */
export function documentedCodes(text: string): Set<string> {
  return new Set(
    headerOf(text)
      .filter((line) => line.startsWith('|'))
      .flatMap((line) => line.match(/\bWARREN_[A-Z_0-9]+\b/g) ?? []),
  );
}

/** The codes that it defines. */
export function definedCodes(text: string): Set<string> {
  return new Set([...text.matchAll(/'(WARREN_[A-Z_0-9]+)'/g)].map(([, code = '']) => code));
}

/** The first doc comment without its frame, and with its codes as code. */
function headerOf(text: string): string[] {
  const comment = /^\/\*\*\n([\s\S]*?)\n \*\//m.exec(text)?.[1] ?? '';
  return comment
    .split('\n')
    .map((line) => line.replace(/^ \* ?/, ''))
    .map((line) =>
      line.startsWith('|') ? line.replace(/(?<![`A-Z_])(WARREN_[A-Z_0-9]+)(?![`A-Z_0-9])/g, '`$1`') : line,
    );
}
