/**
 * Whose fault it is that an image could not be built: of this tree, where a step of its Dockerfile failed or cannot be
 * read, or of the machine, where something was refused or is missing. Nobody but the builder knows, and it has only words.
 */
import { EnvironmentError } from '@warren/environment';

/** A tree that no machine makes an image of. */
export class BrokenTreeError extends Error {
  override readonly name = 'BrokenTreeError';
}

/** A step failed, or is not one: buildah's words, then BuildKit's. */
const OF_THE_TREE = [
  /building at STEP /,
  /^Error: (FROM|COPY|ADD|RUN|ARG) ?\S* ?(requires|--from=)|: no stage or image found with that name|unknown instruction/im,
  /did not complete successfully: exit code/,
  /failed to calculate checksum of ref/,
  /dockerfile parse error/,
];

/** What a step of a correct tree can meet: no network, a registry that refuses, no space, no memory, no right to mount. */
const OF_THE_MACHINE = [
  /npm error network|npm error code (E[45]\d\d|EAI_AGAIN|ECONN|ENOTFOUND|ETIMEDOUT|ERR_SOCKET|UNABLE_TO|SELF_SIGNED|CERT_)/,
  /dial tcp|no such host|i\/o timeout|TLS handshake|x509:|toomanyrequests|pinging container registry/,
  /no space left on device|ENOSPC|cannot allocate memory|heap out of memory|signal: killed|exit (code:|status) 137/,
  /(mount|unshare|chroot|clone)\S*:? .*operation not permitted/i,
];

/** Whether what a builder said last tells of a mistake in the tree. In doubt it is none. */
export function isOfTheTree(said: string): boolean {
  const has = (words: RegExp) => words.test(said);
  return OF_THE_TREE.some(has) && !OF_THE_MACHINE.some(has);
}

/** Builds an image; rejects with a `BrokenTreeError` where that fails by what is in the tree. */
export async function building<T>(build: () => Promise<T>): Promise<T> {
  try {
    return await build();
  } catch (error) {
    const failed = error instanceof EnvironmentError && error.code === 'WARREN_ENVIRONMENT_BUILD';
    if (failed && isOfTheTree(error.message)) throw new BrokenTreeError(error.message, { cause: error });
    throw error;
  }
}
