/** Loaded into jest and so into its workers: a worker whose jest was killed ends at once, not after its test file. */
if (process.send !== undefined) process.once('disconnect', () => process.exit(1));
