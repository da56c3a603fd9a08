/** What jest's `--json` says of a run, as far as `npm test` counts with it. */
export interface JestResult {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    /** The file's path. */
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** How many tests; a file that cannot be run counts as a failed one. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const countsOf = (result: JestResult): Counts => ({
  passed: result.numPassedTests,
  failed: result.numFailedTests + result.numRuntimeErrorTestSuites,
  skipped: result.numPendingTests + result.numTodoTests,
});

export const failedFiles = (result: JestResult): string[] =>
  result.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);

/** The tests that failed, each as `file: name`, the file relative to the root; a file that cannot be run by its path. */
export function failedTests(result: JestResult, root: string): string[] {
  return result.testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name, assertionResults }) => {
      const file = name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name;
      const failed = assertionResults.filter(({ status }) => status === 'failed');
      return failed.length === 0 ? [file] : failed.map(({ fullName }) => `${file}: ${fullName}`);
    });
}

/** The first run with its failed files as the second found them. */
export function withSecondTry(first: JestResult, second: JestResult): Counts {
  const kept = countsOf(first);
  const again = countsOf(second);
  const tests = first.testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ assertionResults }) => assertionResults);
  const were = (...statuses: string[]) => tests.filter(({ status }) => statuses.includes(status)).length;
  return {
    passed: kept.passed - were('passed') + again.passed,
    failed: again.failed,
    skipped: kept.skipped - were('pending', 'todo') + again.skipped,
  };
}
