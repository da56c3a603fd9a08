import { describe, expect, test } from '@jest/globals';
import { EnvironmentError } from '@warren/environment';
import { BrokenTreeError, building, isOfTheTree } from './blame.ts';

const step = (command: string) =>
  `subprocess exited with status 1\nError: building at STEP "RUN ${command}": exit status 1`;

describe('a build is failed by the tree', () => {
  test.each([
    ['a step fails', `src/x.ts(3,5): error TS2322: wrong\n${step('tsc --build')}`],
    ['the lock file is not of the package', `npm error code EUSAGE\n${step('npm ci')}`],
    [
      'a file to copy is missing',
      'Error: building at STEP "COPY nothing /x": checking on sources under "/tree": copier: stat: "/nothing": no such file or directory',
    ],
    ['an instruction is none', 'Error: building at STEP "FOO ": Build error: Unknown instruction: "FOO"'],
    ['a line is half', 'Error: FROM requires either one argument, or three: FROM <source> [as <name>]'],
    ['a stage is not there', 'Error: COPY --from=missing: no stage or image found with that name'],
    [
      'a step fails, in Docker',
      'ERROR: failed to solve: process "/bin/sh -c tsc" did not complete successfully: exit code: 2',
    ],
    [
      'a file to copy is missing, in Docker',
      'ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: "/nothing": not found',
    ],
    [
      'an instruction is none, in Docker',
      'ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: FOO',
    ],
  ])('when %s', (_when, said) => {
    expect(isOfTheTree(said)).toBe(true);
  });
});

describe('a build is failed by the machine', () => {
  test.each([
    [
      'a package cannot be downloaded',
      `npm error code ENOTFOUND\nnpm error network request failed\n${step('npm ci')}`,
    ],
    ['a registry refuses', `npm error code E403\nnpm error 403 403 Forbidden\n${step('npm ci')}`],
    [
      'a base image cannot be had',
      'Error: creating build container: initializing source docker://node:24: pinging container registry registry: dial tcp: lookup registry: no such host',
    ],
    [
      'the disk is full',
      `tar: cannot write: No space left on device\nno space left on device\n${step('tar')}`,
    ],
    [
      'it was killed for its memory',
      'ERROR: process "/bin/sh -c tsc" did not complete successfully: exit code: 137',
    ],
    ['the builder is not there', 'building: cannot run buildah'],
  ])('when %s', (_when, said) => {
    expect(isOfTheTree(said)).toBe(false);
  });
});

test('the error says so, and what it is no fault of stays as it was', async () => {
  const failing = (said: string) =>
    building(() => Promise.reject(new EnvironmentError('WARREN_ENVIRONMENT_BUILD', said)));
  await expect(failing(step('tsc'))).rejects.toThrow(BrokenTreeError);
  await expect(failing('dial tcp: no such host')).rejects.toThrow(EnvironmentError);
});
